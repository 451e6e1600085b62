// Failures of the C interface as Python exceptions.
#pragma once

#include <pybind11/pybind11.h>

#include <cerrno>
#include <cstdint>

#include "secousti.h"

namespace secousti::bindings {

namespace py = pybind11;

/// What a call reads, which decides the exception of a damaged or unfit input.
enum class Source { model, container, snapshot };

/// Raises the Python exception of `status` with the library's description. `error_number` is errno after the call.
[[noreturn]] inline void raise(secousti_status status, Source source, int error_number) {
    const char* text = secousti_last_error();
    const py::str message(text != nullptr && *text != '\0' ? text : secousti_status_name(status));
    const auto fail = [&](const py::object& type) {
        PyErr_SetObject(type.ptr(), message.ptr());
        throw py::error_already_set();
    };
    const auto own = [](const char* name) { return py::module_::import("secousti_native.errors").attr(name); };
    const auto builtin = [](PyObject* type) { return py::reinterpret_borrow<py::object>(type); };
    switch (status) {
        case SECOUSTI_INVALID_FILE:
        case SECOUSTI_INCOMPATIBLE:
            fail(own(source == Source::container
                         ? "ContainerError"
                         : (source == Source::snapshot ? "SnapshotError" : "ModelFormatError")));
            break;
        case SECOUSTI_IO_ERROR: {
            // OSError picks its subclass (FileNotFoundError, PermissionError, ...) from the number.
            const py::object type = builtin(PyExc_OSError);
            const py::object error = error_number != 0 ? type(error_number, message) : type(message);
            PyErr_SetObject(py::type::of(error).ptr(), error.ptr());
            throw py::error_already_set();
        }
        case SECOUSTI_INVALID_ARGUMENT:
            fail(builtin(PyExc_ValueError));
            break;
        case SECOUSTI_OUT_OF_MEMORY:
            fail(builtin(PyExc_MemoryError));
            break;
        case SECOUSTI_UNSUPPORTED:
            fail(own("UnsupportedError"));
            break;
        default:
            break;
    }
    fail(builtin(PyExc_RuntimeError));
    throw py::error_already_set();
}

/// Runs `call` without the GIL; it returns a status, or a count >= 0. Raises for negative values.
template <class Call>
auto run(Source source, const Call& call) {
    decltype(call()) result{};
    int error_number = 0;
    {
        const py::gil_scoped_release release;
        errno = 0;
        result = call();
        error_number = errno;
    }
    if (static_cast<std::int64_t>(result) < 0) raise(static_cast<secousti_status>(result), source, error_number);
    return result;
}

}  // namespace secousti::bindings

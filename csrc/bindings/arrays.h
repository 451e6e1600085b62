// numpy arguments: exact dtypes and shapes, or an exception that names the argument.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace secousti::bindings {

namespace py = pybind11;

/// Stands for "any length" in the shape of `require`.
inline constexpr py::ssize_t kAny = -1;

inline std::string shape_text(const py::ssize_t* shape, std::size_t count) {
    std::string text = "[";
    for (std::size_t i = 0; i < count; ++i) {
        text += i == 0 ? "" : ", ";
        text += shape[i] == kAny ? "*" : std::to_string(shape[i]);
    }
    return text + "]";
}

/// `object` as a C-contiguous array of T with the given shape. TypeError for another type or dtype, ValueError for
/// another shape; never converts.
template <class T, std::size_t N>
py::array_t<T> require(const py::object& object, const char* name, const std::array<py::ssize_t, N>& shape) {
    const auto text = [](const py::handle& h) { return py::str(h).cast<std::string>(); };
    const py::dtype expected = py::dtype::of<T>();
    if (!py::isinstance<py::array>(object)) {
        throw py::type_error(std::string(name) + ": expected a numpy array of " + text(expected) + ", got " +
                             text(py::type::of(object).attr("__name__")));
    }
    const auto array = py::reinterpret_borrow<py::array>(object);
    if (!array.dtype().equal(expected)) {
        throw py::type_error(std::string(name) + ": expected dtype " + text(expected) + ", got " + text(array.dtype()));
    }
    bool fits = array.ndim() == static_cast<py::ssize_t>(N);
    for (std::size_t i = 0; fits && i < N; ++i) {
        fits = shape[i] == kAny || shape[i] == array.shape(static_cast<py::ssize_t>(i));
    }
    if (!fits) {
        throw py::value_error(std::string(name) + ": expected shape " + shape_text(shape.data(), N) + ", got " +
                              shape_text(array.shape(), static_cast<std::size_t>(array.ndim())));
    }
    constexpr int wanted = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    if ((array.flags() & wanted) != wanted) {
        throw py::value_error(std::string(name) + ": must be C-contiguous and aligned");
    }
    return py::reinterpret_borrow<py::array_t<T>>(object);
}

/// As `require`, or an empty handle for None.
template <class T, std::size_t N>
py::array_t<T> optional(const py::object& object, const char* name, const std::array<py::ssize_t, N>& shape) {
    return object.is_none() ? py::array_t<T>() : require<T>(object, name, shape);
}

template <class T>
std::size_t length(const py::array_t<T>& array, py::ssize_t axis = 0) {
    return static_cast<std::size_t>(array.shape(axis));
}

template <class T>
py::array_t<T> empty(std::initializer_list<std::size_t> shape) {
    std::vector<py::ssize_t> sizes;
    std::transform(shape.begin(), shape.end(), std::back_inserter(sizes),
                   [](std::size_t n) { return static_cast<py::ssize_t>(n); });
    return py::array_t<T>(sizes);
}

/// Cuts a fresh one-dimensional array down to what was written.
template <class T>
py::array_t<T> shrink(py::array_t<T> array, std::size_t count) {
    if (count != length(array)) array.resize({static_cast<py::ssize_t>(count)}, false);
    return array;
}

}  // namespace secousti::bindings

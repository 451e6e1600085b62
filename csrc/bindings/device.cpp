// Arrays in device memory: those of other libraries, through DLPack, and our own.
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/dlpack.h"
#include "bindings/handles.h"
#include "bindings/status.h"
#include "secousti_device.h"

namespace secousti::bindings {
namespace {

using MemoryHandle = std::unique_ptr<secousti_device_memory, Release<secousti_device_memory_destroy>>;

/// What a DLPack capsule holds, until this object goes.
class Borrowed {
  public:
    explicit Borrowed(const py::capsule& capsule) {
        if (capsule.name() == nullptr || std::string(capsule.name()) != dlpack::kName) {
            throw py::type_error("expected a DLPack capsule that nobody has consumed");
        }
        managed_ = capsule.get_pointer<dlpack::Managed>();
        if (PyCapsule_SetName(capsule.ptr(), dlpack::kUsedName) != 0) throw py::error_already_set();
    }
    ~Borrowed() {
        if (managed_->deleter != nullptr) managed_->deleter(managed_);
    }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;

    std::uintptr_t address() const {
        return reinterpret_cast<std::uintptr_t>(tensor().data) + static_cast<std::uintptr_t>(tensor().byte_offset);
    }
    py::tuple device() const { return py::make_tuple(tensor().device.type, tensor().device.id); }
    std::string dtype() const {
        const dlpack::Type type = tensor().type;
        const char* kind = type.code == dlpack::kFloat ? "float" : (type.code == dlpack::kInt ? "int" : "other");
        return kind + std::to_string(type.bits) + (type.lanes == 1 ? "" : "x" + std::to_string(type.lanes));
    }
    std::vector<std::int64_t> shape() const { return {tensor().shape, tensor().shape + tensor().dimensions}; }
    /// In elements; None: C-contiguous.
    py::object strides() const {
        if (tensor().strides == nullptr) return py::none();
        return py::cast(std::vector<std::int64_t>(tensor().strides, tensor().strides + tensor().dimensions));
    }

  private:
    const dlpack::Tensor& tensor() const { return managed_->tensor; }

    dlpack::Managed* managed_ = nullptr;
};

/// An array of our own: C-contiguous float32 or int32.
class DeviceArray {
  public:
    DeviceArray(const Model& model, std::vector<std::int64_t> shape, std::string dtype)
        : shape_(std::move(shape)), dtype_(std::move(dtype)) {
        if (dtype_ != "float32" && dtype_ != "int32") throw py::value_error("dtype: float32 or int32");
        count_ = 1;
        for (const std::int64_t length : shape_) {
            if (length < 0) throw py::value_error("shape: a length is negative");
            count_ *= static_cast<std::size_t>(length);
        }
        secousti_device_memory* handle = nullptr;
        run(Source::model, [&] {
            return secousti_device_memory_create(model.handle.get(), std::max<std::size_t>(1, bytes()), &handle);
        });
        memory_.reset(handle);
    }

    const std::vector<std::int64_t>& shape() const { return shape_; }
    const std::string& dtype() const { return dtype_; }
    std::size_t bytes() const { return count_ * sizeof(float); }
    std::uintptr_t address() const {
        return reinterpret_cast<std::uintptr_t>(secousti_device_memory_address(memory_.get()));
    }

    void write(const py::array& values, std::uintptr_t stream) {
        const void* from = checked(values);
        if (count_ == 0) return;
        run(Source::model, [&] {
            return secousti_device_memory_write(memory_.get(), reinterpret_cast<void*>(stream), from, bytes());
        });
    }
    py::array read(std::uintptr_t stream) const {
        py::array values(py::dtype(dtype_), std::vector<py::ssize_t>(shape_.begin(), shape_.end()));
        void* to = values.mutable_data();
        if (count_ == 0) return values;
        run(Source::model,
            [&] { return secousti_device_memory_read(memory_.get(), reinterpret_cast<void*>(stream), to, bytes()); });
        return values;
    }
    void wait(std::uintptr_t stream) const {
        run(Source::model, [&] { return secousti_device_memory_wait(memory_.get(), reinterpret_cast<void*>(stream)); });
    }

    /// A capsule that keeps `self` alive.
    static py::capsule to_dlpack(const py::object& self) {
        struct Export : dlpack::Managed {
            py::object owner;
            std::vector<std::int64_t> shape;
        };
        const auto& array = self.cast<const DeviceArray&>();
        auto exported = std::make_unique<Export>();
        exported->owner = self;
        exported->shape = array.shape_;
        const std::uint8_t code = array.dtype_ == "float32" ? dlpack::kFloat : dlpack::kInt;
        exported->tensor = {reinterpret_cast<void*>(array.address()),
                            {dlpack::kCuda, 0},
                            static_cast<std::int32_t>(array.shape_.size()),
                            {code, 32, 1},
                            exported->shape.data(),
                            nullptr,
                            0};
        exported->context = nullptr;
        exported->deleter = [](dlpack::Managed* managed) {
            const py::gil_scoped_acquire acquire;
            delete static_cast<Export*>(managed);
        };
        py::capsule capsule(static_cast<dlpack::Managed*>(exported.get()), dlpack::kName, [](PyObject* object) {
            // One that was consumed is the consumer's to delete.
            if (PyCapsule_IsValid(object, dlpack::kName) == 0) return;
            auto* managed = static_cast<dlpack::Managed*>(PyCapsule_GetPointer(object, dlpack::kName));
            managed->deleter(managed);
        });
        exported.release();
        return capsule;
    }

  private:
    const void* checked(const py::array& values) const {
        bool fits = values.dtype().equal(py::dtype(dtype_)) &&
                    values.ndim() == static_cast<py::ssize_t>(shape_.size()) &&
                    (values.flags() & py::array::c_style) != 0;
        for (std::size_t i = 0; fits && i < shape_.size(); ++i) {
            fits = values.shape(static_cast<py::ssize_t>(i)) == shape_[i];
        }
        if (!fits) throw py::value_error("expected a C-contiguous " + dtype_ + " array of the same shape");
        return values.data();
    }

    std::vector<std::int64_t> shape_;
    std::string dtype_;
    std::size_t count_ = 0;
    MemoryHandle memory_;
};

}  // namespace

void bind_device(py::module_& module) {
    py::class_<Borrowed>(module, "Borrowed", "What a DLPack capsule holds, until this object goes.")
        .def(py::init<const py::capsule&>(), py::arg("capsule"))
        .def("address", &Borrowed::address)
        .def("device", &Borrowed::device, "DLPack's type of device, and its number.")
        .def("dtype", &Borrowed::dtype)
        .def("shape", &Borrowed::shape)
        .def("strides", &Borrowed::strides, "In elements; None: C-contiguous.");
    py::class_<DeviceArray>(module, "DeviceArray", "A C-contiguous array in the memory of a model's device.")
        .def(py::init<const Model&, std::vector<std::int64_t>, std::string>(), py::arg("model"), py::arg("shape"),
             py::arg("dtype"))
        .def("shape", &DeviceArray::shape)
        .def("dtype", &DeviceArray::dtype)
        .def("address", &DeviceArray::address)
        .def("write", &DeviceArray::write, py::arg("values"), py::arg("stream"), "Copies from host memory; waits.")
        .def("read", &DeviceArray::read, py::arg("stream"), "A copy in host memory; waits.")
        .def("wait", &DeviceArray::wait, py::arg("stream"), "Waits for the work of a stream.")
        .def(
            "to_dlpack", [](const py::object& self) { return DeviceArray::to_dlpack(self); },
            "A DLPack capsule, which keeps the array alive.");
}

}  // namespace secousti::bindings

// Arrays on the device, and the matrices of a model there.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "base/arena.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/launchers.h"

namespace secousti::core::cuda {

/// `count` objects on the device, not initialised or copied from the host, or a view of some. Throws
/// Error(out_of_memory).
template <class T>
class DeviceArray {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    DeviceArray() = default;
    DeviceArray(const CudaQueue& queue, std::size_t count, const char* what)
        : buffer_(count == 0 ? Buffer() : Buffer(count * sizeof(T), what, queue.device())),
          data_(buffer_.template as<T>()),
          count_(count) {}
    DeviceArray(const CudaQueue& queue, std::span<const T> values, const char* what)
        : DeviceArray(queue, values.size(), what) {
        if (values.empty()) return;
        queue.copy_to_device(data_, values.data(), values.size_bytes());
        queue.synchronize();  // the values may go now
    }

    /// Null when empty.
    T* data() const noexcept { return data_; }
    std::size_t count() const noexcept { return count_; }
    std::size_t bytes() const noexcept { return count_ * sizeof(T); }
    /// Part `index` of `parts` equal ones, for as long as the whole is there.
    DeviceArray part(std::size_t index, std::size_t parts) const noexcept {
        DeviceArray view;
        view.count_ = count_ / parts;
        view.data_ = data_ + index * view.count_;
        return view;
    }

  private:
    Buffer buffer_;
    T* data_ = nullptr;
    std::size_t count_ = 0;
};

/// A matrix and its bias as the kernels want them.
class DeviceMatrix {
  public:
    DeviceMatrix() = default;
    /// weights [outputs, depth], bias [outputs] or empty.
    DeviceMatrix(const CudaQueue& queue, Precision precision, std::span<const float> weights, int outputs, int depth,
                 std::span<const float> bias = {})
        : precision_(precision), outputs_(outputs), depth_(depth), bias_(queue, bias, "the bias of a layer") {
        std::vector<std::byte> packed(packed_bytes(precision, outputs, depth));
        pack_matrix(precision, weights.data(), outputs, depth, packed.data());
        packed_ = DeviceArray<std::byte>(queue, std::span<const std::byte>(packed), "the weights of a layer");
    }

    Matrix view() const noexcept { return {precision_, packed_.data(), bias_.data(), outputs_, depth_}; }
    int outputs() const noexcept { return outputs_; }
    int depth() const noexcept { return depth_; }
    std::size_t bytes() const noexcept { return packed_.bytes() + bias_.bytes(); }
    /// Scratch of a product over `rows` rows.
    std::size_t operand(int rows) const { return operand_bytes(precision_, rows, depth_); }

  private:
    Precision precision_ = Precision::fp32;
    int outputs_ = 0, depth_ = 0;
    DeviceArray<std::byte> packed_;
    DeviceArray<float> bias_;
};

}  // namespace secousti::core::cuda

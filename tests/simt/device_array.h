// Host vectors to the device and back, for tests of kernels.
#pragma once

#include <vector>

#include "kernels/cuda/device.h"

namespace simt_test {

using secousti::core::cuda::CudaQueue;

inline CudaQueue& queue() {
    static CudaQueue shared;
    return shared;
}

/// A typed array on the device.
template <class T>
class Array {
  public:
    /// Not initialised.
    explicit Array(std::size_t count, const char* what = "test array")
        : buffer_(count * sizeof(T), what), count_(count) {}
    explicit Array(const std::vector<T>& values, const char* what = "test array") : Array(values.size(), what) {
        queue().copy_to_device(buffer_.data(), values.data(), buffer_.bytes());
        queue().synchronize();
    }
    T* data() const { return buffer_.as<T>(); }
    std::vector<T> host() const {
        std::vector<T> values(count_);
        queue().copy_to_host(values.data(), buffer_.data(), buffer_.bytes());
        queue().synchronize();
        return values;
    }

  private:
    secousti::core::cuda::Buffer buffer_;
    std::size_t count_;
};

}  // namespace simt_test

// Device memory for hosts that have no library of their own for it.
#include <memory>
#include <utility>

#include "cuda/engine.h"
#include "kernels/cuda/device.h"

namespace secousti::core::cuda {

namespace {

class Block final : public OwnedDeviceMemory {
  public:
    explicit Block(std::size_t bytes) : buffer_(bytes, "an array of the caller's") {}

    void* address() const noexcept override { return buffer_.data(); }
    std::size_t bytes() const noexcept override { return buffer_.bytes(); }
    void write(void* stream, const void* host) override {
        const CudaQueue queue = CudaQueue::borrow(stream);
        queue.copy_to_device(buffer_.data(), host, buffer_.bytes());
        queue.synchronize();
    }
    void read(void* stream, void* host) const override {
        const CudaQueue queue = CudaQueue::borrow(stream);
        queue.copy_to_host(host, buffer_.data(), buffer_.bytes());
        queue.synchronize();
    }
    void wait(void* stream) const override { CudaQueue::borrow(stream).synchronize(); }

  private:
    Buffer buffer_;
};

}  // namespace

std::unique_ptr<OwnedDeviceMemory> make_device_memory(std::size_t bytes) { return std::make_unique<Block>(bytes); }

}  // namespace secousti::core::cuda

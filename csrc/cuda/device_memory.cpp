// Device memory for hosts that have no library of their own for it.
#include <memory>
#include <utility>

#include "codec/cuda.h"
#include "cuda/model.h"

namespace secousti::core {

namespace {

class Block final : public DeviceMemory {
  public:
    explicit Block(std::size_t bytes) : buffer_(bytes, "an array of the caller's") {}

    void* address() const noexcept override { return buffer_.data(); }
    std::size_t bytes() const noexcept override { return buffer_.bytes(); }
    void write(void* stream, const void* host) override {
        const cuda::Stream queue = cuda::Stream::borrow(stream);
        queue.copy_to_device(buffer_.data(), host, buffer_.bytes());
        queue.synchronize();
    }
    void read(void* stream, void* host) const override {
        const cuda::Stream queue = cuda::Stream::borrow(stream);
        queue.copy_to_host(host, buffer_.data(), buffer_.bytes());
        queue.synchronize();
    }
    void wait(void* stream) const override { cuda::Stream::borrow(stream).synchronize(); }

  private:
    cuda::Buffer buffer_;
};

}  // namespace

std::unique_ptr<DeviceMemory> make_device_memory(const Model& model, std::size_t bytes) {
    require_on_device(model);
    return std::make_unique<Block>(bytes);
}

}  // namespace secousti::core

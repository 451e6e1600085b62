// kernels/cuda/device.h on the host: device memory is checked host memory, streams run at once, graphs are lists.
#include "kernels/cuda/device.h"

#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "emulator/memory.h"

namespace secousti::core::cuda {

namespace {
namespace emulator = simt::emulator;
using Work = std::function<void()>;
}  // namespace

bool available() noexcept { return true; }
const char* why_unavailable() noexcept { return ""; }
Properties properties(int device) {
    if (device != 0) throw Error(Status::unsupported, "the emulator has one device, 0, not " + std::to_string(device));
    return {"SIMT emulator", 9, 0, 4, std::size_t{1} << 32U, std::size_t{1} << 32U};
}

struct CudaQueue::Impl : emulator::Queue {};

CudaQueue::CudaQueue(int device) : impl_(std::make_unique<Impl>()) { properties(device); }
CudaQueue::CudaQueue(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CudaQueue CudaQueue::borrow(void*, int) { return CudaQueue(std::make_unique<Impl>()); }
CudaQueue::~CudaQueue() = default;
CudaQueue::CudaQueue(CudaQueue&&) noexcept = default;
CudaQueue& CudaQueue::operator=(CudaQueue&&) noexcept = default;
int CudaQueue::device() const noexcept { return 0; }
void* CudaQueue::handle() const noexcept { return static_cast<emulator::Queue*>(impl_.get()); }
bool CudaQueue::overlaps_launches() const noexcept { return true; }
void CudaQueue::synchronize() const {}

void CudaQueue::copy_to_device(void* device, const void* host, std::size_t bytes) const {
    emulator::submit(handle(), [=] { emulator::write_bytes(device, host, bytes); });
}
void CudaQueue::copy_to_host(void* host, const void* device, std::size_t bytes) const {
    emulator::submit(handle(), [=] { emulator::read_bytes(host, device, bytes); });
}
void CudaQueue::copy_on_device(void* to, const void* from, std::size_t bytes) const {
    emulator::submit(handle(), [=] { emulator::copy_bytes(to, from, bytes); });
}
void CudaQueue::fill(void* device, int byte, std::size_t bytes) const {
    emulator::submit(handle(), [=] { emulator::fill_bytes(device, byte, bytes); });
}

Buffer::Buffer(std::size_t bytes, const char* what, int device)
    : data_(emulator::allocate(bytes, what)), bytes_(bytes), device_(device) {}
Buffer::~Buffer() { emulator::release(data_); }
Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }
Buffer& Buffer::operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(device_, other.device_);
    return *this;
}

PinnedBuffer::PinnedBuffer(std::size_t bytes) : data_(::operator new(bytes)), bytes_(bytes) {
    std::memset(data_, 0, bytes);
}
PinnedBuffer::~PinnedBuffer() { ::operator delete(data_); }
PinnedBuffer::PinnedBuffer(PinnedBuffer&& other) noexcept { *this = std::move(other); }
PinnedBuffer& PinnedBuffer::operator=(PinnedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
}

struct Event::Impl {
    std::chrono::steady_clock::time_point time;
};
Event::Event() : impl_(std::make_unique<Impl>()) {}
Event::~Event() = default;
Event::Event(Event&&) noexcept = default;
Event& Event::operator=(Event&&) noexcept = default;
void Event::record(const CudaQueue& queue) {
    emulator::submit(queue.handle(), [impl = impl_.get()] { impl->time = std::chrono::steady_clock::now(); });
}
void Event::make_wait(const CudaQueue&) const {}
void Event::synchronize() const {}
float Event::milliseconds_since(const Event& earlier) const {
    return std::chrono::duration<float, std::milli>(impl_->time - earlier.impl_->time).count();
}

struct Graph::Impl {
    std::vector<Work> work;
};
Graph::Graph(const CudaQueue& queue, const std::function<void()>& record) : impl_(std::make_unique<Impl>()) {
    auto*& recording = static_cast<emulator::Queue*>(queue.handle())->recording;
    struct Stop {
        std::vector<Work>*& recording;
        ~Stop() { recording = nullptr; }
    } stop{recording};
    recording = &impl_->work;
    record();
}
Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;
void Graph::replay(const CudaQueue&) const {
    for (const Work& work : impl_->work) work();
}

}  // namespace secousti::core::cuda

namespace secousti::core::simt::emulator {

void submit(void* handle, std::function<void()> work) {
    const Queue& queue = *static_cast<Queue*>(handle);
    if (queue.recording != nullptr) {
        queue.recording->push_back(std::move(work));
    } else {
        work();
    }
}

}  // namespace secousti::core::simt::emulator

// kernels/cuda/device.h on a GPU, through the CUDA runtime.
#include <cuda_runtime.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.h"
#include "kernels/cuda/device.h"

namespace secousti::core::cuda {

namespace {

void check(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    cudaGetLastError();  // an error that is not sticky must not show up in a later, innocent call
    const Status status = error == cudaErrorMemoryAllocation ? Status::out_of_memory : Status::internal_error;
    throw Error(status, std::string("CUDA: ") + what + ": " + cudaGetErrorString(error));
}

/// The reason in words; empty when there is a device.
std::string find_reason() {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count > 0) return "";
    cudaGetLastError();
    if (error == cudaErrorInsufficientDriver) {
        int driver = 0;
        if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no CUDA driver is installed";
        return "the CUDA driver is too old for this build's runtime (" + std::string(cudaGetErrorString(error)) + ")";
    }
    if (error == cudaSuccess || error == cudaErrorNoDevice) return "no CUDA device is visible";
    return std::string("the CUDA driver does not answer (") + cudaGetErrorString(error) + ")";
}

const std::string& reason() noexcept {
    static const std::string text = find_reason();
    return text;
}

/// SECOUSTI_CUDA_PDL=0 turns programmatic dependent launch off; read once.
bool overlap_wanted() noexcept {
    static const bool wanted = [] {
        const char* set = std::getenv("SECOUSTI_CUDA_PDL");
        return set == nullptr || std::strcmp(set, "0") != 0;
    }();
    return wanted;
}

std::string megabytes(std::size_t bytes) { return std::to_string((bytes + (1U << 20U) - 1) >> 20U) + " MiB"; }

}  // namespace

bool available() noexcept { return reason().empty(); }
const char* why_unavailable() noexcept { return reason().c_str(); }

Properties properties(int device) {
    if (!available()) throw Error(Status::unsupported, "CUDA: " + reason());
    cudaDeviceProp found{};
    check(cudaGetDeviceProperties(&found, device), "cudaGetDeviceProperties");
    Properties result{found.name, found.major, found.minor, found.multiProcessorCount, found.totalGlobalMem, 0};
    std::size_t total = 0;
    check(cudaSetDevice(device), "cudaSetDevice");
    check(cudaMemGetInfo(&result.free_bytes, &total), "cudaMemGetInfo");
    return result;
}

// ---- Queue

struct CudaQueue::Impl {
    cudaStream_t stream = nullptr;
    int device = 0;
    bool owned = false;
    bool overlaps = false;

    Impl(cudaStream_t given, int number, bool own) : stream(given), device(number), owned(own) {
        if (!available()) throw Error(Status::unsupported, "CUDA: " + reason());
        check(cudaSetDevice(device), "cudaSetDevice");
        int major = 0;
        check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
        overlaps = major >= 9 && overlap_wanted();
        if (owned) check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    }
    ~Impl() {
        if (owned) cudaStreamDestroy(stream);
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
};

CudaQueue::CudaQueue(int device) : impl_(std::make_unique<Impl>(nullptr, device, true)) {}
CudaQueue::CudaQueue(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CudaQueue CudaQueue::borrow(void* handle, int device) {
    return CudaQueue(std::make_unique<Impl>(static_cast<cudaStream_t>(handle), device, false));
}
CudaQueue::~CudaQueue() = default;
CudaQueue::CudaQueue(CudaQueue&&) noexcept = default;
CudaQueue& CudaQueue::operator=(CudaQueue&&) noexcept = default;

int CudaQueue::device() const noexcept { return impl_->device; }
void* CudaQueue::handle() const noexcept { return impl_->stream; }
bool CudaQueue::overlaps_launches() const noexcept { return impl_->overlaps; }
void CudaQueue::synchronize() const { check(cudaStreamSynchronize(impl_->stream), "cudaStreamSynchronize"); }

void CudaQueue::copy_to_device(void* device, const void* host, std::size_t bytes) const {
    check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, impl_->stream), "copy to the device");
}
void CudaQueue::copy_to_host(void* host, const void* device, std::size_t bytes) const {
    check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, impl_->stream), "copy to the host");
}
void CudaQueue::copy_on_device(void* to, const void* from, std::size_t bytes) const {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, impl_->stream), "copy on the device");
}
void CudaQueue::fill(void* device, int byte, std::size_t bytes) const {
    check(cudaMemsetAsync(device, byte, bytes, impl_->stream), "cudaMemsetAsync");
}

// ---- Memory

Buffer::Buffer(std::size_t bytes, const char* what, int device) : bytes_(bytes), device_(device) {
    if (!available()) throw Error(Status::unsupported, "CUDA: " + reason());
    check(cudaSetDevice(device), "cudaSetDevice");
    const cudaError_t error = cudaMalloc(&data_, bytes);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        std::size_t left = 0, total = 0;
        cudaMemGetInfo(&left, &total);
        throw Error(Status::out_of_memory, "CUDA: out of memory: " + std::to_string(bytes) + " bytes (" +
                                               megabytes(bytes) + ") asked for " + what + ", " + megabytes(left) +
                                               " of " + megabytes(total) + " free");
    }
    check(error, "cudaMalloc");
}
Buffer::~Buffer() {
    if (data_ != nullptr) cudaFree(data_);
}
Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }
Buffer& Buffer::operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(device_, other.device_);
    return *this;
}

PinnedBuffer::PinnedBuffer(std::size_t bytes) : bytes_(bytes) {
    if (!available()) throw Error(Status::unsupported, "CUDA: " + reason());
    const cudaError_t error = cudaHostAlloc(&data_, bytes, cudaHostAllocDefault);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        throw Error(Status::out_of_memory,
                    "CUDA: out of memory: " + std::to_string(bytes) + " bytes of page-locked host memory asked for");
    }
    check(error, "cudaHostAlloc");
    std::memset(data_, 0, bytes);
}
PinnedBuffer::~PinnedBuffer() {
    if (data_ != nullptr) cudaFreeHost(data_);
}
PinnedBuffer::PinnedBuffer(PinnedBuffer&& other) noexcept { *this = std::move(other); }
PinnedBuffer& PinnedBuffer::operator=(PinnedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
}

// ---- Events

struct Event::Impl {
    cudaEvent_t event = nullptr;
    Impl() { check(cudaEventCreate(&event), "cudaEventCreate"); }
    ~Impl() { cudaEventDestroy(event); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
};

Event::Event() : impl_(std::make_unique<Impl>()) {}
Event::~Event() = default;
Event::Event(Event&&) noexcept = default;
Event& Event::operator=(Event&&) noexcept = default;

void Event::record(const CudaQueue& queue) {
    check(cudaEventRecord(impl_->event, static_cast<cudaStream_t>(queue.handle())), "cudaEventRecord");
}
void Event::make_wait(const CudaQueue& queue) const {
    check(cudaStreamWaitEvent(static_cast<cudaStream_t>(queue.handle()), impl_->event, 0), "cudaStreamWaitEvent");
}
void Event::synchronize() const { check(cudaEventSynchronize(impl_->event), "cudaEventSynchronize"); }
float Event::milliseconds_since(const Event& earlier) const {
    float milliseconds = 0.0F;
    check(cudaEventElapsedTime(&milliseconds, earlier.impl_->event, impl_->event), "cudaEventElapsedTime");
    return milliseconds;
}

// ---- Graphs

struct Graph::Impl {
    cudaGraphExec_t executable = nullptr;
    Impl() = default;
    ~Impl() {
        if (executable != nullptr) cudaGraphExecDestroy(executable);
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
};

Graph::Graph(const CudaQueue& queue, const std::function<void()>& record) : impl_(std::make_unique<Impl>()) {
    const auto stream = static_cast<cudaStream_t>(queue.handle());
    // Thread-local: what other threads do to the device meanwhile does not break the capture.
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    cudaGraph_t graph = nullptr;
    try {
        record();
    } catch (...) {
        cudaStreamEndCapture(stream, &graph);
        if (graph != nullptr) cudaGraphDestroy(graph);
        cudaGetLastError();
        throw;
    }
    check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    const cudaError_t error = cudaGraphInstantiate(&impl_->executable, graph, 0);
    cudaGraphDestroy(graph);
    check(error, "cudaGraphInstantiate");
}
Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;
void Graph::replay(const CudaQueue& queue) const {
    check(cudaGraphLaunch(impl_->executable, static_cast<cudaStream_t>(queue.handle())), "cudaGraphLaunch");
}

}  // namespace secousti::core::cuda

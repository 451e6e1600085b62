// The device as plain C++: memory, queues, graphs. Implemented by device.cu on a GPU and by csrc/emulator/ on the host,
// where kernels run through the emulator. Every failing call throws core::Error and says which; only `available` and
// `why_unavailable` never throw.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace secousti::core::cuda {

/// Is there a device that this build can use?
bool available() noexcept;
/// One line: "built without CUDA", "no CUDA driver", ...; empty when available.
const char* why_unavailable() noexcept;

struct Properties {
    std::string name;
    int major = 0, minor = 0;  ///< compute capability
    int multiprocessors = 0;
    std::size_t memory_bytes = 0, free_bytes = 0;
};
Properties properties(int device);

/// A queue of work on one device (a CUDA stream): operations run in the order in which they were given.
class CudaQueue {
  public:
    explicit CudaQueue(int device = 0);
    /// The caller's queue (a cudaStream_t), which must outlive this object.
    static CudaQueue borrow(void* handle, int device = 0);
    ~CudaQueue();
    CudaQueue(CudaQueue&&) noexcept;
    CudaQueue& operator=(CudaQueue&&) noexcept;

    int device() const noexcept;
    /// cudaStream_t.
    void* handle() const noexcept;
    /// Whether kernels may start before the previous one has ended (programmatic dependent launch: sm_90 and later).
    bool overlaps_launches() const noexcept;
    void synchronize() const;

    /// Asynchronous when the host memory is pinned.
    void copy_to_device(void* device, const void* host, std::size_t bytes) const;
    void copy_to_host(void* host, const void* device, std::size_t bytes) const;
    void copy_on_device(void* to, const void* from, std::size_t bytes) const;
    void fill(void* device, int byte, std::size_t bytes) const;

  private:
    struct Impl;
    explicit CudaQueue(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// Device memory; not initialised. Out of memory names `what` and the bytes asked for and left.
class Buffer {
  public:
    Buffer() = default;
    Buffer(std::size_t bytes, const char* what, int device = 0);
    ~Buffer();
    Buffer(Buffer&&) noexcept;
    Buffer& operator=(Buffer&&) noexcept;

    void* data() const noexcept { return data_; }
    template <class T>
    T* as() const noexcept {
        return static_cast<T*>(data_);
    }
    std::size_t bytes() const noexcept { return bytes_; }

  private:
    void* data_ = nullptr;
    std::size_t bytes_ = 0;
    int device_ = 0;
};

/// Page-locked host memory, zeroed.
class PinnedBuffer {
  public:
    PinnedBuffer() = default;
    explicit PinnedBuffer(std::size_t bytes);
    ~PinnedBuffer();
    PinnedBuffer(PinnedBuffer&&) noexcept;
    PinnedBuffer& operator=(PinnedBuffer&&) noexcept;

    template <class T>
    T* as() const noexcept {
        return static_cast<T*>(data_);
    }
    std::size_t bytes() const noexcept { return bytes_; }

  private:
    void* data_ = nullptr;
    std::size_t bytes_ = 0;
};

/// A point in a queue; for timing and for ordering queues.
class Event {
  public:
    Event();
    ~Event();
    Event(Event&&) noexcept;
    Event& operator=(Event&&) noexcept;

    void record(const CudaQueue& queue);
    /// Work given to `queue` from now on starts after the recorded point.
    void make_wait(const CudaQueue& queue) const;
    void synchronize() const;
    /// Milliseconds from `earlier` to this; both recorded and reached.
    float milliseconds_since(const Event& earlier) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Operations recorded once and replayed with one call.
class Graph {
  public:
    Graph() = default;
    /// What `record` gives to `queue` becomes the graph; nothing runs yet.
    Graph(const CudaQueue& queue, const std::function<void()>& record);
    ~Graph();
    Graph(Graph&&) noexcept;
    Graph& operator=(Graph&&) noexcept;

    explicit operator bool() const noexcept { return impl_ != nullptr; }
    void replay(const CudaQueue& queue) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace secousti::core::cuda

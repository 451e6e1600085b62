// A small pool for splitting one kernel call: no allocation, no lock and, while workers still spin, no system call.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace secousti::core {

class ThreadPool {
  public:
    using Task = void (*)(void* context, int task);

    static constexpr int kDefaultSpins = 4000;  ///< some tens of microseconds

    /// `threads` counts the calling thread: threads - 1 workers are started. A worker that finds nothing to do polls
    /// `spins` times before it sleeps, and so does the caller when it waits for the last tasks. Throws
    /// std::system_error when the system refuses a thread.
    explicit ThreadPool(int threads, int spins = kDefaultSpins);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int threads() const noexcept { return static_cast<int>(workers_->size()) + 1; }

    /// Runs task(context, 0 .. tasks - 1) on the workers and the caller, in no particular order, and returns when all
    /// are done. One caller at a time; a task may not call run.
    void run(Task task, void* context, int tasks) noexcept;

  private:
    bool run_one() noexcept;
    void work() noexcept;
    void stop() noexcept;

    // Claiming is a compare-and-swap on the count of unclaimed tasks: a worker that is late from an earlier run either
    // finds 0 or claims a task of the present run, whose function and context stay until that task is done.
    alignas(64) std::atomic<std::int32_t> unclaimed_{0};
    alignas(64) std::atomic<std::int32_t> unfinished_{0};
    alignas(64) std::atomic<std::uint32_t> round_{0};  ///< what sleeping workers wait on
    std::atomic<std::int32_t> sleeping_{0};
    std::atomic<bool> stopping_{false};
    Task task_ = nullptr;
    void* context_ = nullptr;
    int spins_;
    std::unique_ptr<std::vector<std::thread>> workers_;
    const std::intptr_t process_;  ///< that the workers run in
};

}  // namespace secousti::core

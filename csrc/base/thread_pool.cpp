#include "base/thread_pool.h"

#if !defined(_WIN32)
#include <unistd.h>
#endif

namespace secousti::core {
namespace {

void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

std::intptr_t this_process() noexcept {
#if defined(_WIN32)
    return 0;
#else
    return ::getpid();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads, int spins)
    : spins_(spins), workers_(std::make_unique<std::vector<std::thread>>()), process_(this_process()) {
    try {
        workers_->reserve(static_cast<std::size_t>(threads > 1 ? threads - 1 : 0));
        for (int i = 1; i < threads; ++i) workers_->emplace_back([this] { work(); });
    } catch (...) {
        stop();
        throw;
    }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() noexcept {
    if (process_ != this_process()) {
        // A child made by fork has this object, but not its threads: they can be neither joined nor detached.
        static_cast<void>(workers_.release());
        return;
    }
    stopping_.store(true);
    round_.fetch_add(1);
    round_.notify_all();
    for (std::thread& worker : *workers_) worker.join();
}

bool ThreadPool::run_one() noexcept {
    std::int32_t left = unclaimed_.load(std::memory_order_relaxed);
    while (left > 0) {
        if (unclaimed_.compare_exchange_weak(left, left - 1, std::memory_order_acquire, std::memory_order_relaxed)) {
            task_(context_, left - 1);
            if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
            return true;
        }
        pause();
    }
    return false;
}

void ThreadPool::run(Task task, void* context, int tasks) noexcept {
    if (workers_->empty() || tasks <= 1) {
        for (int i = 0; i < tasks; ++i) task(context, i);
        return;
    }
    task_ = task;
    context_ = context;
    unfinished_.store(tasks, std::memory_order_relaxed);
    unclaimed_.store(tasks, std::memory_order_release);
    round_.fetch_add(1);  // sequentially consistent with `sleeping_`: either side sees the other
    if (sleeping_.load() > 0) round_.notify_all();
    while (run_one()) {
    }
    for (int spin = 0; spin < spins_; ++spin) {
        if (unfinished_.load(std::memory_order_acquire) == 0) return;
        pause();
    }
    for (std::int32_t left; (left = unfinished_.load(std::memory_order_acquire)) != 0;) unfinished_.wait(left);
}

void ThreadPool::work() noexcept {
    while (!stopping_.load(std::memory_order_relaxed)) {
        const std::uint32_t round = round_.load();
        bool found = run_one();
        for (int spin = 0; spin < spins_ && !found; ++spin) {
            pause();
            found = run_one();
        }
        if (found) continue;
        sleeping_.fetch_add(1);
        if (!stopping_.load()) round_.wait(round);
        sleeping_.fetch_sub(1);
    }
}

}  // namespace secousti::core

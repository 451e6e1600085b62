// What a step runs on: a kernel table and, when the caller asked for threads, a pool.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/backend.h"

namespace secousti::core {

struct Exec {
    const Backend* backend = nullptr;
    ThreadPool* pool = nullptr;  ///< null: this thread alone

    /// Multiply-adds below which waking a worker costs more than it saves.
    static constexpr std::int64_t kWorthSplitting = 64 * 1024;

    const Backend* operator->() const noexcept { return backend; }
    int threads() const noexcept { return pool == nullptr ? 1 : pool->threads(); }
    /// Without the pool: for work inside one of its tasks.
    Exec alone() const noexcept { return {backend, nullptr}; }

    /// Splits [0, count) into at most `tasks` ranges and calls body(task, begin, end) for each, on the pool if there is
    /// one, in any order. The body may not use the pool.
    template <class Body>
    void split(int count, int tasks, const Body& body) const noexcept {
        tasks = threads() == 1 ? 1 : std::min(tasks, count);
        if (tasks <= 1) {
            if (count > 0) body(0, 0, count);
            return;
        }
        struct Call {
            const Body* body;
            int count, tasks;
        };
        const Call call{&body, count, tasks};
        pool->run(
            [](void* context, int task) {
                const Call& c = *static_cast<const Call*>(context);
                const auto bound = [&](int t) { return static_cast<int>(std::int64_t{c.count} * t / c.tasks); };
                (*c.body)(task, bound(task), bound(task + 1));
            },
            const_cast<Call*>(&call), tasks);
    }

    /// `linear` over all outputs, split over the pool by panels when the work is worth waking it.
    void linear(const LinearArgs& args) const noexcept;
};

}  // namespace secousti::core

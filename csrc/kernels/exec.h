// What a step runs on: a kernel table and, when the caller asked for threads, a pool.
#pragma once

#include "base/thread_pool.h"
#include "kernels/backend.h"

namespace secousti::core {

struct Exec {
    const Backend* backend = nullptr;
    ThreadPool* pool = nullptr;  ///< null: this thread alone

    const Backend* operator->() const noexcept { return backend; }

    /// `linear` over all outputs, split over the pool by panels when the work is worth waking it.
    void linear(const LinearArgs& args) const noexcept;
};

}  // namespace secousti::core

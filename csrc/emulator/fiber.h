// Fibers: functions with stacks of their own that hand the processor to each other by name.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace secousti::core::simt::emulator {

/// Starts suspended; `resume` runs it until it calls `suspend` or its function ends. One host thread at a time.
class Fiber {
  public:
    Fiber();
    ~Fiber();
    Fiber(Fiber&&) noexcept;

    /// Gives the fiber a function to run from its start, whatever it was doing. The function may not throw.
    void start(void (*function)(void*), void* argument);
    void resume();
    /// Called on the fiber: back to the caller of resume.
    void suspend();

    struct Impl;

  private:
    std::unique_ptr<Impl> impl_;
};

}  // namespace secousti::core::simt::emulator

// Watches operator new and anonymous mmap of the whole process: tests can state that a call allocates nothing, how much
// memory one takes at most, and can make any single allocation fail.
#pragma once

#include <cstddef>
#include <cstdint>

namespace allocations {

/// Since the program's start, on all threads.
std::uint64_t count();
/// Bytes that are allocated now.
std::size_t live_bytes();
/// Most bytes that were allocated at once since the last begin_peak.
std::size_t peak_bytes();
void begin_peak();

/// While it lives, allocations of this thread number `first` (0: the next one) to `first + times - 1` throw
/// std::bad_alloc.
class Failing {
  public:
    explicit Failing(std::uint64_t first, std::uint64_t times = 1);
    ~Failing();
    Failing(const Failing&) = delete;
    Failing& operator=(const Failing&) = delete;

    /// Whether one did.
    bool happened() const;
};

}  // namespace allocations

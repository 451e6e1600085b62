// Watches what a piece of code asks of the system: memory, locks, system calls.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace watch {

/// What happened while watching. Plain memory, so that a process may share it with its parent.
struct Counts {
    static constexpr std::size_t kNames = 32, kSystemCalls = 512;
    std::array<const char*, kNames> names;
    std::array<std::uint64_t, kNames> calls;
    std::array<std::uint64_t, kSystemCalls> system_calls;

    std::uint64_t total() const;
    /// "malloc x1, system call 202 x3"
    std::string text() const;
};

/// Makes the kernel trap every system call of this thread, for good, but the end of the process: the caller is a child
/// made for this. False when the system does not let it.
bool trap_system_calls();

/// From begin to end, calls of the memory and lock functions on this thread and trapped system calls are counted.
void begin(Counts& counts);
void end();

}  // namespace watch

// Counts the heap allocations of the whole process, so that tests can state that a call makes none.
#pragma once

#include <cstdint>

namespace allocations {

/// Whether this build can count: with glibc, and under AddressSanitizer.
bool counted();
/// Since the program's start, on all threads.
std::uint64_t count();

}  // namespace allocations

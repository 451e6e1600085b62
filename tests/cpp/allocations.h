// Counts the calls of operator new of the whole process, so that tests can state that a call makes none.
#pragma once

#include <cstdint>

namespace allocations {

/// Since the program's start, on all threads.
std::uint64_t count();

}  // namespace allocations

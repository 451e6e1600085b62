// Where weights, state and scratch live.
#pragma once

#include <cstddef>

namespace secousti::core {

inline constexpr std::size_t kArenaAlignment = 64;

/// Memory on cache-line boundaries; from 2 MiB on in huge pages where the system grants them, because streaming weights
/// through 4 KiB pages costs a seventh of the read bandwidth. Throws std::bad_alloc.
void* allocate_aligned(std::size_t bytes);
void free_aligned(void* p, std::size_t bytes) noexcept;

}  // namespace secousti::core

// Where weights, state and scratch live.
#pragma once

#include <cstddef>

namespace secousti::core {

inline constexpr std::size_t kArenaAlignment = 64;

/// Memory on cache-line boundaries. Throws std::bad_alloc.
void* allocate_aligned(std::size_t bytes);
void free_aligned(void* p, std::size_t bytes) noexcept;

/// The same for what lives long. From 2 MiB on in huge pages where the system grants them, because streaming weights
/// through 4 KiB pages costs a seventh of the read bandwidth; and on Linux in a mapping of its own, which goes back to
/// the system when it is freed: among the heap's blocks, the streams of a day of calls leave holes that nobody fills.
void* allocate_pages(std::size_t bytes);
void free_pages(void* p, std::size_t bytes) noexcept;

}  // namespace secousti::core

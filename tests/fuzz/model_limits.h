// Most memory that a file of `size` bytes can make the engine take, as docs/measured/reliability.md promises.
#pragma once

#include <cstddef>

namespace limits {

inline constexpr std::size_t kMiB = std::size_t{1} << 20U;

constexpr std::size_t json(std::size_t size) { return 64 * size + 4096; }
/// Of the loader alone.
constexpr std::size_t header(std::size_t size) { return 100 * size + (64U << 10U); }
/// Opening a model, at its peak.
constexpr std::size_t opening(std::size_t size) { return 100 * size + 64 * kMiB; }
/// One encoder and one decoder: each 64 MiB and 64 times the weights in memory, which are at most twice the file.
constexpr std::size_t streams(std::size_t size) { return 2 * (128 * size + 64 * kMiB); }
constexpr std::size_t container(std::size_t size) { return 128 * size + (64U << 10U) + 64 * kMiB; }

}  // namespace limits

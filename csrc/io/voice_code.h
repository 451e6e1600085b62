// Eight-bit quantisation of the paralinguistic vector G for files and packets.
//
// Blocks of 64 values: the largest magnitude as bfloat16 (2 bytes, little endian), then each value as round(127 x / M)
// in one signed byte. The largest value of a block is reproduced as M itself, so quantising a second time changes
// nothing.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace secousti::core {

/// 512 values take 528 bytes.
constexpr std::size_t voice_bytes(std::size_t dimension) noexcept { return dimension + 2 * ((dimension + 63) / 64); }

/// Appends voice_bytes(values.size()) bytes. Throws Error(invalid_argument) if a value is not finite.
void quantise_voice(std::span<const float> values, std::vector<std::byte>& out);

/// Reads voice_bytes(values.size()) bytes; false if they are not as quantise_voice writes them.
bool dequantise_voice(std::span<const std::byte> bytes, std::span<float> values) noexcept;

}  // namespace secousti::core

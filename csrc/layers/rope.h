// Rotary position angles that stay exact for streams of any length.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace secousti::core {

/// Frequencies are kept as 64-bit fractions of a turn per frame: position * frequency wraps modulo one turn in integer
/// arithmetic, so the angle's error does not grow with rounding of large float products.
class RotaryTable {
  public:
    RotaryTable() = default;
    RotaryTable(int head_dim, double base);

    /// cos and sin [rows, head_dim/2] of the angles at positions position, position + 1, …
    void fill(std::uint64_t position, int rows, float* cosine, float* sine) const noexcept;

    /// [head_dim/2] in units of 2^-64 turns.
    std::span<const std::uint64_t> turns_per_frame() const noexcept { return turns_per_frame_; }

  private:
    std::vector<std::uint64_t> turns_per_frame_;
};

}  // namespace secousti::core

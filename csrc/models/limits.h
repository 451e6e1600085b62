// How much one internal step takes: larger pushes are cut into steps of this size, so scratch memory is bounded.
#pragma once

namespace secousti::core {

/// Mel frames per step of the encoder, the decoder and the vocoders.
inline constexpr int kMaxFrames = 64;

}  // namespace secousti::core

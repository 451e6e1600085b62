// How much one internal step takes: larger pushes are cut into steps of this size, so scratch memory is bounded.
#pragma once

namespace secousti::core {

/// Mel frames per step of the encoder, the decoder and the vocoders.
inline constexpr int kMaxFrames = 64;
/// Token frames per step of the transformers: of many streams together, or of one, whose end may complete a stride.
inline constexpr int kMaxTokens = kMaxFrames + 1;

}  // namespace secousti::core

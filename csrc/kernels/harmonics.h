// Constants of HiFT's excitation (spec: harmonic source), the same on every device.
#pragma once

#include <cstddef>
#include <cstdint>

namespace secousti::core::harmonics {

inline constexpr float kSineAmplitude = 0.1F;
inline constexpr float kVoicedNoise = 0.003F;
inline constexpr float kUnvoicedNoise = kSineAmplitude / 3.0F;
inline constexpr float kVoicedHz = 10.0F;   ///< a frame with a higher f0 is voiced
inline constexpr std::size_t kGroup = 4;    ///< harmonics that share a block of the generator
inline constexpr std::uint32_t kNoise = 0;  ///< what the generator is asked for
inline constexpr std::uint32_t kPhase = 1;

}  // namespace secousti::core::harmonics

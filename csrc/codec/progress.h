// When frames and tokens come out: a function of the samples that went in.
#pragma once

#include <cstdint>

#include "models/config.h"

namespace secousti::core {

/// Frames that the front end can have emitted after `samples`, and after the end.
inline std::uint64_t frames_ready(const Config& config, std::uint64_t samples, bool end) noexcept {
    const std::uint64_t n_fft = static_cast<std::uint64_t>(config.n_fft);
    const std::uint64_t hop = static_cast<std::uint64_t>(config.hop_length);
    if (end) return samples / hop;
    const std::uint64_t padded = samples + (n_fft - hop) / 2;
    return padded < n_fft ? 0 : (padded - n_fft) / hop + 1;
}

inline std::uint64_t tokens_ready(const Config& config, std::uint64_t samples, bool end) noexcept {
    const std::uint64_t frames = frames_ready(config, samples, end);
    const std::uint64_t ratio = static_cast<std::uint64_t>(config.frames_per_token());
    return end ? (frames + ratio - 1) / ratio : frames / ratio;
}

}  // namespace secousti::core

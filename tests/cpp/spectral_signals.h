// Configurations, sound and mels that tests of the spectral vocoder share.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "check.h"
#include "models/limits.h"
#include "models/mel.h"
#include "models/vocoder.h"
#include "published_config.h"

namespace spectral_signals {

using namespace secousti::core;

inline Config speech_config(int iterations = -1) {
    Config config = published::front_end();
    config.vocoder = VocoderKind::spectral;
    config.spectral.iterations = iterations;
    return config;
}

/// Other proportions: half overlap, bands narrower than a bin, transforms of two passes.
inline Config small_config(int iterations = -1) {
    Config config = speech_config(iterations);
    config.sample_rate = 8000;
    config.n_fft = 128;
    config.hop_length = 64;
    config.n_mels = 40;
    config.mel_fmin = 50.0;
    config.mel_fmax = 3900.0;
    return config;
}

inline std::vector<float> mel_of(const Config& config, const std::vector<float>& pcm) {
    ArenaLayout state_layout, scratch_layout;
    const MelFrontEnd front_end(config, state_layout, scratch_layout);
    Arena state(state_layout.bytes()), scratch(scratch_layout.bytes());
    const auto bands = static_cast<std::size_t>(config.n_mels);
    std::vector<float> mel, rows(kMaxFrames * bands);
    const auto step = static_cast<std::size_t>(front_end.max_samples());
    for (std::size_t at = 0; at < pcm.size(); at += step) {
        const std::size_t count = std::min(step, pcm.size() - at);
        const int frames = front_end.push({&default_backend(), nullptr}, state.data(), scratch.data(), pcm.data() + at,
                                          static_cast<int>(count), at + count == pcm.size(), rows.data());
        mel.insert(mel.end(), rows.begin(), rows.begin() + frames * config.n_mels);
    }
    return mel;
}

/// Harmonics of a gliding pitch under a slow envelope, and noise: nothing that a lucky phase would get right.
inline std::vector<float> test_signal(const Config& config, int frames) {
    std::vector<float> pcm;
    double phase = 0.0;
    for (int i = 0; i < frames * config.hop_length; ++i) {
        const double t = static_cast<double>(i) / config.sample_rate;
        phase += (150.0 + 40.0 * std::sin(5.0 * t)) / config.sample_rate;
        double sum = 0.0;
        for (int h = 1; h <= 8; ++h) sum += std::sin(2.0 * std::numbers::pi * h * phase) / h;
        pcm.push_back(static_cast<float>(0.2 * (0.6 + 0.4 * std::sin(20.0 * t)) * sum) + 0.002F * check::uniform());
    }
    return pcm;
}

/// Mean |ln mel - ln mel'| where the original is within `range` of its loudest value.
inline double mel_error(const std::vector<float>& original, const std::vector<float>& result, float range) {
    const float loudest = *std::max_element(original.begin(), original.end());
    double sum = 0.0;
    int count = 0;
    for (std::size_t i = 0; i < original.size(); ++i) {
        if (original[i] < loudest - range) continue;
        sum += std::abs(static_cast<double>(original[i]) - static_cast<double>(result[i]));
        ++count;
    }
    return sum / count;
}

}  // namespace spectral_signals

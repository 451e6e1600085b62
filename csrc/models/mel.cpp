#include "models/mel.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "models/limits.h"

namespace secousti::core {

namespace {

// Slaney's Auditory Toolbox scale: linear below 1 kHz, logarithmic above (27 steps per factor 6.4).
constexpr double kLinearSlope = 200.0 / 3.0;
constexpr double kBreakHz = 1000.0;
const double kLogStep = std::log(6.4) / 27.0;

double hz_to_mel(double hz) {
    return hz < kBreakHz ? hz / kLinearSlope : kBreakHz / kLinearSlope + std::log(hz / kBreakHz) / kLogStep;
}

double mel_to_hz(double mel) {
    const double break_mel = kBreakHz / kLinearSlope;
    return mel < break_mel ? mel * kLinearSlope : kBreakHz * std::exp((mel - break_mel) * kLogStep);
}

/// Index into a signal of `length` samples reflected at both ends as often as needed, edges not repeated.
std::int64_t reflect(std::int64_t index, std::int64_t length) {
    if (length == 1) return 0;
    const std::int64_t period = 2 * (length - 1);
    index = ((index % period) + period) % period;
    return index < length ? index : period - index;
}

}  // namespace

AlignedVector<float> hann_window(int length) {
    AlignedVector<float> window;
    for (int i = 0; i < length; ++i) {
        window.push_back(static_cast<float>(0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * i / length)));
    }
    return window;
}

MelBands::MelBands(const Config& config) {
    const int bins = config.n_fft / 2 + 1;
    const double low = hz_to_mel(config.mel_fmin), high = hz_to_mel(config.mel_fmax);
    std::vector<double> edges;
    for (int i = 0; i < config.n_mels + 2; ++i)
        edges.push_back(mel_to_hz(low + (high - low) * i / (config.n_mels + 1)));
    for (std::size_t m = 0; m + 2 < edges.size(); ++m) {
        const double area = 2.0 / (edges[m + 2] - edges[m]);
        std::int32_t first = 0;
        const std::int32_t begin = static_cast<std::int32_t>(weights.size());
        for (std::int32_t b = 0; b < bins; ++b) {
            const double hz = static_cast<double>(b) * config.sample_rate / config.n_fft;
            const double rise = (hz - edges[m]) / (edges[m + 1] - edges[m]);
            const double fall = (edges[m + 2] - hz) / (edges[m + 2] - edges[m + 1]);
            const double weight = area * std::min(rise, fall);
            if (weight <= 0.0) continue;
            if (static_cast<std::int32_t>(weights.size()) == begin) first = b;
            weights.push_back(static_cast<float>(weight));
        }
        start.push_back(first);
        offset.push_back(begin);
        length.push_back(static_cast<std::int32_t>(weights.size()) - begin);
    }
}

MelFrontEnd::MelFrontEnd(const Config& config, ArenaLayout& state, ArenaLayout& scratch)
    : n_fft_(config.n_fft),
      hop_(config.hop_length),
      pad_((config.n_fft - config.hop_length) / 2),
      bands_(config.n_mels),
      multiple_(config.frames_per_token() <= kMaxFrames / 4 ? std::max(1, config.frames_per_token()) : 1),
      // The end of a stream adds up to ceil(pad / hop) frames to those of the last samples, and those held back.
      max_samples_((kMaxFrames - (config.n_fft + config.hop_length - 1) / config.hop_length - (multiple_ - 1)) *
                   config.hop_length),
      fft_(config.n_fft),
      window_(hann_window(config.n_fft)),
      filters_(config) {
    const std::size_t length = window_.size(), bins = length / 2 + 1;
    buffer_ = state.reserve<float>(2 * length + static_cast<std::size_t>(max_samples_ + (multiple_ - 1) * hop_));
    progress_ = state.reserve<Progress>(1);
    windowed_ = scratch.reserve<float>(length);
    work_ = scratch.reserve<float>(length);
    real_ = scratch.reserve<float>(bins);
    imaginary_ = scratch.reserve<float>(bins);
    magnitude_ = scratch.reserve<float>(bins);
}

void MelFrontEnd::compute_frame(const Exec& exec, std::byte* scratch, const float* samples, float* mel) const noexcept {
    float* windowed = windowed_.in(scratch);
    float* real = real_.in(scratch);
    float* imaginary = imaginary_.in(scratch);
    float* magnitude = magnitude_.in(scratch);
    for (std::size_t i = 0; i < window_.size(); ++i) windowed[i] = samples[i] * window_[i];
    exec->rfft(fft_.tables(), windowed, work_.in(scratch), real, imaginary);
    exec->magnitude(real, imaginary, kMagnitudeEpsilon, n_fft_ / 2 + 1, magnitude);
    filters_.sum(exec, magnitude, mel);
    exec->log_floor(mel, kMelFloor, bands_, mel);
}

int MelFrontEnd::push(const Exec& exec, std::byte* state, std::byte* scratch, const float* pcm, int samples, bool end,
                      float* mel) const noexcept {
    Progress& progress = *progress_.in(state);
    float* buffer = buffer_.in(state);
    // The buffer starts at sample hop*frames - pad: in the beginning with `pad` samples still to be reflected.
    std::int64_t fill = pad_ + progress.appended;
    if (samples > 0) std::memcpy(buffer + fill, pcm, static_cast<std::size_t>(samples) * sizeof(float));
    fill += samples;
    progress.samples += static_cast<std::uint64_t>(samples);
    const std::int64_t total = static_cast<std::int64_t>(progress.samples);

    std::int64_t ready = fill < n_fft_ ? 0 : (fill - n_fft_) / hop_ + 1;
    ready -= ready % multiple_;
    if (end) {
        ready = total / hop_ - static_cast<std::int64_t>(progress.frames);
        const std::int64_t origin = static_cast<std::int64_t>(progress.frames) * hop_ - pad_;
        const std::int64_t needed = ready > 0 ? (ready - 1) * hop_ + n_fft_ : 0;
        for (std::int64_t i = fill; i < needed; ++i) buffer[i] = buffer[reflect(origin + i, total) - origin];
        fill = std::max(fill, needed);
    }
    if (ready > 0 && progress.frames == 0) {
        const std::int64_t known = end ? total : fill - pad_;
        for (std::int64_t i = 0; i < pad_; ++i) buffer[i] = buffer[pad_ + reflect(i - pad_, known)];
    }
    for (std::int64_t t = 0; t < ready; ++t) {
        compute_frame(exec, scratch, buffer + t * hop_, mel + t * bands_);
    }
    const std::int64_t consumed = ready * hop_;
    if (ready > 0 && fill > consumed) {
        std::memmove(buffer, buffer + consumed, static_cast<std::size_t>(fill - consumed) * sizeof(float));
    }
    progress.frames += static_cast<std::uint64_t>(ready);
    progress.appended = fill - consumed - pad_;
    return static_cast<int>(ready);
}

}  // namespace secousti::core

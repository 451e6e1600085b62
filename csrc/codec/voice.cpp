#include "codec/voice.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "codec/engine.h"
#include "models/limits.h"
#include "models/mel.h"

namespace secousti::core {

namespace {

/// Of the loudest band, in natural-log units: speech is what is at most kRange below the peak and kLeast above silence.
/// The peak decays over kDecay seconds; kHangOver seconds after speech still count, so that words stay whole.
constexpr float kRange = 4.0F, kLeast = 2.0F;
constexpr double kDecay = 20.0, kHangOver = 0.2;
/// Parts of the first prompt after which there is an estimate.
constexpr std::array<double, 3> kFirst = {1.0 / 6.0, 1.0 / 3.0, 2.0 / 3.0};
/// Seconds of speech that the average remembers: a voice may change, and a speaker too.
constexpr double kMemory = 35.0;

}  // namespace

VoiceEstimator::VoiceEstimator(ModelPtr model, std::span<const float> stored, double stored_seconds)
    : model_(std::move(model)),
      features_(model_->engine->make_voice_features(model_)),
      mel_(area(kMaxFrames, model_->config.n_mels)),
      prompt_(area(model_->config.prompt_frames, model_->config.n_mels)),
      sum_(static_cast<std::size_t>(model_->config.dimension)),
      estimate_(static_cast<std::size_t>(model_->config.dimension)),
      voice_(static_cast<std::size_t>(model_->config.dimension)),
      peak_(std::log(kMelFloor)) {
    if (stored.empty()) return;
    voice_.assign(stored.begin(), stored.end());
    weight_ = stored_seconds * model_->config.sample_rate / model_->config.hop_length;
    for (std::size_t i = 0; i < sum_.size(); ++i) sum_[i] = weight_ * static_cast<double>(stored[i]);
}

double VoiceEstimator::seconds() const noexcept {
    return heard_ * model_->config.hop_length / model_->config.sample_rate;
}

bool VoiceEstimator::push(const float* pcm, std::size_t samples) {
    bool renewed = false;
    while (samples > 0) {
        const std::size_t part = std::min(samples, static_cast<std::size_t>(features_->max_samples()));
        const int frames = features_->mel(pcm, static_cast<int>(part), mel_.data());
        for (int t = 0; t < frames; ++t) renewed |= add_frame(mel_.data() + t * model_->config.n_mels);
        pcm += part;
        samples -= part;
    }
    return renewed;
}

bool VoiceEstimator::is_speech(const float* mel) noexcept {
    const Config& config = model_->config;
    const double frame = static_cast<double>(config.hop_length) / config.sample_rate;
    const float level = *std::max_element(mel, mel + config.n_mels);
    const float silence = std::log(kMelFloor);
    peak_ = std::max(level, silence + (peak_ - silence) * static_cast<float>(std::exp(-frame / kDecay)));
    if (level > peak_ - kRange && level > silence + kLeast) {
        hang_over_ = static_cast<int>(kHangOver / frame);
        return true;
    }
    return hang_over_-- > 0;
}

bool VoiceEstimator::add_frame(const float* mel) {
    const std::size_t bands = static_cast<std::size_t>(model_->config.n_mels);
    const std::size_t prompt = static_cast<std::size_t>(model_->config.prompt_frames);
    if (!is_speech(mel)) {
        hang_over_ = std::max(hang_over_, 0);
        return false;
    }
    std::copy_n(mel, bands, prompt_.begin() + static_cast<std::ptrdiff_t>(frames_ * bands));
    ++frames_;
    heard_ += 1.0;
    const bool first = heard_ <= static_cast<double>(prompt);
    const bool due =
        frames_ == prompt || (first && std::any_of(kFirst.begin(), kFirst.end(), [&](double part) {
                                  return frames_ == static_cast<std::size_t>(part * static_cast<double>(prompt));
                              }));
    if (due) renew();
    return due;
}

void VoiceEstimator::renew() {
    features_->encode(prompt_.data(), frames_, estimate_.data());
    const double frames = static_cast<double>(frames_), total = weight_ + frames;
    for (std::size_t i = 0; i < voice_.size(); ++i) {
        const double sum = sum_[i] + frames * static_cast<double>(estimate_[i]);
        voice_[i] = static_cast<float>(sum / total);
    }
    if (frames_ < static_cast<std::size_t>(model_->config.prompt_frames)) return;
    weight_ = std::min(total, kMemory * model_->config.sample_rate / model_->config.hop_length);
    for (std::size_t i = 0; i < voice_.size(); ++i) sum_[i] = weight_ * static_cast<double>(voice_[i]);
    frames_ = 0;
}

}  // namespace secousti::core

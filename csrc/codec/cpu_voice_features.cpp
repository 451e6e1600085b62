// The arithmetic of a voice estimate on the CPU.
#include <memory>
#include <utility>

#include "base/arena.h"
#include "codec/cpu_engine.h"
#include "codec/voice.h"
#include "models/mel.h"

namespace secousti::core {

namespace {

class CpuVoiceFeatures final : public VoiceFeatures {
  public:
    explicit CpuVoiceFeatures(ModelPtr model)
        : model_(std::move(model)),
          front_end_(model_->config, state_layout_, scratch_layout_),
          renewal_(scratch_layout_.reserve<std::byte>(model_->voice_encoder.scratch_bytes())),
          state_(state_layout_.bytes()),
          scratch_(scratch_layout_.bytes()) {}

    int max_samples() const noexcept override { return front_end_.max_samples(); }
    int mel(const float* pcm, int samples, float* rows) override {
        return front_end_.push(exec(), state_.data(), scratch_.data(), pcm, samples, false, rows);
    }
    void encode(const float* rows, std::size_t frames, float* g) override {
        model_->voice_encoder.encode(exec(), renewal_.in(scratch_.data()), rows, frames, g);
    }

  private:
    Exec exec() const noexcept { return {&model_->backend, nullptr}; }

    ModelPtr model_;
    ArenaLayout state_layout_, scratch_layout_;
    MelFrontEnd front_end_;
    Slice<std::byte> renewal_;  ///< scratch of the paralinguistic encoder
    Arena state_, scratch_;
};

}  // namespace

std::unique_ptr<VoiceFeatures> make_cpu_voice_features(ModelPtr model) {
    return std::make_unique<CpuVoiceFeatures>(std::move(model));
}

}  // namespace secousti::core

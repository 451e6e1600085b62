// The arithmetic of a voice estimate that grows, on the device.
#include <memory>
#include <utility>

#include "codec/voice.h"
#include "cuda/engine.h"
#include "cuda/model.h"
#include "models/limits.h"

namespace secousti::core::cuda {

namespace {

class DeviceVoiceFeatures final : public VoiceFeatures {
  public:
    DeviceVoiceFeatures(ModelPtr model, const DeviceModel& device)
        : model_(std::move(model)),
          device_(device),
          bands_(static_cast<std::size_t>(model_->config.n_mels)),
          // Up to a window's worth is held back, so that a step gives a frame more than its own.
          max_samples_((kMaxFrames - 1) * model_->config.hop_length),
          state_(device_.mel.make_state(stream_, 1, 1)),
          scratch_(device_.voice.make_scratch(stream_)),
          pcm_(stream_, static_cast<std::size_t>(max_samples_), "the samples of a voice"),
          rows_(stream_, kMaxFrames * bands_, "the mel of a voice"),
          prompt_(stream_, static_cast<std::size_t>(model_->config.prompt_frames) * bands_, "the prompt of a voice"),
          g_(stream_, static_cast<std::size_t>(model_->config.dimension), "a voice"),
          frames_(stream_, 1, "the frames of a voice") {}

    int max_samples() const noexcept override { return max_samples_; }
    int mel(const float* pcm, int samples, float* rows) override {
        stream_.copy_to_device(pcm_.data(), pcm, static_cast<std::size_t>(samples) * sizeof(float));
        device_.mel.push(stream_, state_, nullptr, pcm_.data(), samples, false, rows_.data(), kMaxFrames,
                         frames_.data());
        std::int32_t frames = 0;
        stream_.copy_to_host(&frames, frames_.data(), sizeof frames);
        stream_.synchronize();
        if (frames > 0) {
            stream_.copy_to_host(rows, rows_.data(), static_cast<std::size_t>(frames) * bands_ * sizeof(float));
            stream_.synchronize();
        }
        return frames;
    }
    void encode(const float* rows, std::size_t frames, float* g) override {
        stream_.copy_to_device(prompt_.data(), rows, frames * bands_ * sizeof(float));
        device_.voice.encode(stream_, scratch_, prompt_.data(), frames, g_.data());
        stream_.copy_to_host(g, g_.data(), g_.bytes());
        stream_.synchronize();
    }

  private:
    const ModelPtr model_;
    const DeviceModel& device_;
    const std::size_t bands_;
    const int max_samples_;
    const CudaQueue stream_;
    DeviceMel::State state_;
    DeviceVoice::Scratch scratch_;
    DeviceArray<float> pcm_, rows_, prompt_, g_;
    DeviceArray<std::int32_t> frames_;
};

}  // namespace

std::unique_ptr<VoiceFeatures> make_device_voice_features(ModelPtr model, const DeviceModel& device) {
    return std::make_unique<DeviceVoiceFeatures>(std::move(model), device);
}

}  // namespace secousti::core::cuda

#include "cuda/engine.h"

#include <string>
#include <utility>

#include "base/error.h"
#include "codec/offline.h"
#include "codec/voice.h"
#include "cuda/decoder_group.h"
#include "cuda/encoder_group.h"
#include "cuda/model.h"

namespace secousti::core {

namespace cuda {

namespace {

constexpr const char* kName = "cuda";

class CudaEngine final : public Engine {
  public:
    CudaEngine(const CudaQueue& stream, const Config& config, const WeightMap& weights)
        : weights_(stream, config, weights) {}

    const char* device() const noexcept override { return kName; }
    std::size_t weight_bytes() const noexcept override { return weights_.weight_bytes(); }

    std::unique_ptr<EncoderStream> make_encoder(ModelPtr model, int) const override {
        return make_device_encoder(std::move(model), weights_);
    }
    std::unique_ptr<DecoderStream> make_decoder(ModelPtr model, const VocoderOptions& options,
                                                std::span<const float> voice, int) const override {
        return make_device_decoder(std::move(model), weights_, options, voice);
    }
    std::unique_ptr<EncoderStream> restore_encoder(ModelPtr model, std::span<const std::byte> snapshot,
                                                   int) const override {
        return restore_device_encoder(std::move(model), weights_, snapshot);
    }
    std::unique_ptr<DecoderStream> restore_decoder(ModelPtr model, std::span<const std::byte> snapshot,
                                                   int) const override {
        return restore_device_decoder(std::move(model), weights_, snapshot);
    }
    std::unique_ptr<EncoderGroup> make_encoder_group(ModelPtr model, const GroupOptions& options) const override {
        return std::make_unique<DeviceEncoderGroup>(std::move(model), weights_, options);
    }
    std::unique_ptr<DecoderGroup> make_decoder_group(ModelPtr model, const GroupOptions& options,
                                                     const VocoderOptions& vocoder,
                                                     std::span<const float> voice) const override {
        return std::make_unique<DeviceDecoderGroup>(std::move(model), weights_, options, vocoder, voice);
    }
    std::unique_ptr<Offline> make_offline(const Model& model, int) const override {
        return make_device_offline(model, weights_);
    }
    std::unique_ptr<VoiceFeatures> make_voice_features(ModelPtr model) const override {
        return make_device_voice_features(std::move(model), weights_);
    }
    std::unique_ptr<OwnedDeviceMemory> make_memory(const Model&, std::size_t bytes) const override {
        return make_device_memory(bytes);
    }

  private:
    const DeviceModel weights_;
};

std::shared_ptr<const Engine> open(std::string_view, const Config& config, const WeightMap& weights) {
    if (!available()) throw Error(Status::unsupported, std::string("device 'cuda': ") + why_unavailable());
    const CudaQueue stream;
    std::shared_ptr<const Engine> engine = std::make_shared<const CudaEngine>(stream, config, weights);
    stream.synchronize();
    return engine;
}

}  // namespace

}  // namespace cuda

EngineEntry cuda_entry() {
    return {cuda::kName, [](const Config&) { return Precision::bf16; }, &cuda::open};
}

}  // namespace secousti::core

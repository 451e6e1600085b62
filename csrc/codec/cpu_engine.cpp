#include "codec/cpu_engine.h"

#include <utility>

#include "base/error.h"
#include "codec/cpu_stream.h"
#include "codec/group.h"
#include "codec/offline.h"
#include "codec/voice.h"

namespace secousti::core {

namespace {

class CpuEngine final : public Engine {
  public:
    const char* device() const noexcept override { return "cpu"; }
    std::size_t weight_bytes() const noexcept override { return 0; }

    std::unique_ptr<EncoderStream> make_encoder(ModelPtr model, int threads) const override {
        return std::make_unique<CpuEncoderStream>(std::move(model), threads);
    }
    std::unique_ptr<DecoderStream> make_decoder(ModelPtr model, const VocoderOptions& options,
                                                std::span<const float> voice, int threads) const override {
        return std::make_unique<CpuDecoderStream>(std::move(model), options, voice, threads);
    }
    std::unique_ptr<EncoderStream> restore_encoder(ModelPtr model, std::span<const std::byte> snapshot,
                                                   int threads) const override {
        auto stream = std::make_unique<CpuEncoderStream>(std::move(model), threads);
        stream->restore(snapshot);
        return stream;
    }
    std::unique_ptr<DecoderStream> restore_decoder(ModelPtr model, std::span<const std::byte> snapshot,
                                                   int threads) const override {
        auto stream =
            std::make_unique<CpuDecoderStream>(std::move(model), VocoderOptions(), std::span<const float>(), threads);
        stream->restore(snapshot);
        return stream;
    }
    std::unique_ptr<EncoderGroup> make_encoder_group(ModelPtr model, const GroupOptions& options) const override {
        return make_cpu_encoder_group(std::move(model), options);
    }
    std::unique_ptr<DecoderGroup> make_decoder_group(ModelPtr model, const GroupOptions& options,
                                                     const VocoderOptions& vocoder,
                                                     std::span<const float> voice) const override {
        return make_cpu_decoder_group(std::move(model), options, vocoder, voice);
    }
    std::unique_ptr<Offline> make_offline(const Model& model, int threads) const override {
        return make_cpu_offline(model, threads);
    }
    std::unique_ptr<VoiceFeatures> make_voice_features(ModelPtr model) const override {
        return make_cpu_voice_features(std::move(model));
    }
    std::unique_ptr<OwnedDeviceMemory> make_memory(const Model& model, std::size_t) const override {
        throw Error(Status::unsupported, "the model " + model.config.name +
                                             " was opened for the CPU, which has no memory of its own: open it for a "
                                             "device, or use arrays in host memory");
    }
};

}  // namespace

const std::shared_ptr<const Engine>& cpu_engine() {
    static const std::shared_ptr<const Engine> engine = std::make_shared<const CpuEngine>();
    return engine;
}

EngineEntry cpu_entry() {
    return {"cpu", [](const Config& config) { return config.default_precision; },
            [](std::string_view, const Config&, const WeightMap&) { return cpu_engine(); }};
}

}  // namespace secousti::core

#include "codec/single.h"

#include <algorithm>
#include <utility>

#include "codec/cuda.h"

namespace secousti::core {

namespace {

/// The parts of both kinds. Interface is SingleEncoder or SingleDecoder.
template <class Interface, class StreamType>
class CpuSingle : public Interface {
  public:
    explicit CpuSingle(StreamType stream) : Interface(stream.shared_model()), stream_(std::move(stream)) {}

    std::size_t memory_bytes() const noexcept override { return stream_.state_bytes() + stream_.scratch_bytes(); }
    void reset() noexcept override { stream_.reset(); }
    bool ended() const noexcept override { return stream_.ended(); }
    std::size_t snapshot_bytes() const noexcept override { return stream_.snapshot_bytes(); }
    void snapshot(std::byte* out) noexcept override { stream_.snapshot(out); }

  protected:
    StreamType stream_;
};

class CpuEncoder final : public CpuSingle<SingleEncoder, EncoderStream> {
  public:
    using CpuSingle::CpuSingle;

    std::unique_ptr<SingleEncoder> clone() override { return std::make_unique<CpuEncoder>(EncoderStream(stream_)); }
    std::size_t tokens_after_push(std::size_t samples) const noexcept override {
        return stream_.tokens_after_push(samples);
    }
    std::size_t tokens_after_flush(std::size_t samples) const noexcept override {
        return stream_.tokens_after_flush(samples);
    }
    std::size_t push(const float* pcm, std::size_t samples, std::int32_t* tokens) noexcept override {
        return stream_.push(pcm, samples, tokens);
    }
    std::size_t flush(std::int32_t* tokens) noexcept override { return stream_.flush(tokens); }
};

class CpuDecoder final : public CpuSingle<SingleDecoder, DecoderStream> {
  public:
    using CpuSingle::CpuSingle;

    std::unique_ptr<SingleDecoder> clone() override { return std::make_unique<CpuDecoder>(DecoderStream(stream_)); }
    DecoderUse use() const noexcept override { return stream_.use(); }
    int latency() const noexcept override { return stream_.latency(); }
    void get_voice(float* values) const noexcept override {
        const std::span<const float> current = stream_.voice();
        std::copy(current.begin(), current.end(), values);
    }
    void set_voice(std::span<const float> values) noexcept override { stream_.set_voice(values); }
    std::size_t samples_owed(std::size_t frames) const noexcept override { return stream_.samples_owed(frames); }
    std::size_t push(const std::int32_t* tokens, std::size_t count, float* pcm) noexcept override {
        return stream_.push(tokens, count, pcm);
    }
    void push_to_mel(const std::int32_t* tokens, std::size_t count, float* mel) noexcept override {
        stream_.push_to_mel(tokens, count, mel);
    }
    std::size_t push_from_mel(const float* mel, std::size_t frames, float* pcm) noexcept override {
        return stream_.push_from_mel(mel, frames, pcm);
    }
    std::size_t flush(float* pcm) noexcept override { return stream_.flush(pcm); }
};

}  // namespace

std::unique_ptr<SingleEncoder> make_encoder(ModelPtr model, int threads) {
    if (model->device) return make_device_encoder(std::move(model));
    return std::make_unique<CpuEncoder>(EncoderStream(std::move(model), threads));
}

std::unique_ptr<SingleEncoder> restore_encoder(ModelPtr model, std::span<const std::byte> snapshot, int threads) {
    if (model->device) return restore_device_encoder(std::move(model), snapshot);
    EncoderStream stream(std::move(model), threads);
    stream.restore(snapshot);
    return std::make_unique<CpuEncoder>(std::move(stream));
}

std::unique_ptr<SingleDecoder> make_decoder(ModelPtr model, const VocoderOptions& options, std::span<const float> voice,
                                            int threads) {
    if (model->device) return make_device_decoder(std::move(model), options, voice);
    return std::make_unique<CpuDecoder>(DecoderStream(std::move(model), options, voice, threads));
}

std::unique_ptr<SingleDecoder> restore_decoder(ModelPtr model, std::span<const std::byte> snapshot, int threads) {
    if (model->device) return restore_device_decoder(std::move(model), snapshot);
    DecoderStream stream(std::move(model), {}, {}, threads);
    stream.restore(snapshot);
    return std::make_unique<CpuDecoder>(std::move(stream));
}

}  // namespace secousti::core

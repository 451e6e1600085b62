#include "cuda/vocoder.h"

#include <utility>

#include "base/error.h"
#include "cuda/hift.h"
#include "cuda/spectral.h"

namespace secousti::core::cuda {

namespace {

template <class State>
class SlotsOf final : public DeviceVocoder::Slots {
  public:
    explicit SlotsOf(State made) : state(std::move(made)) {}
    std::size_t bytes() const noexcept override { return state.bytes(); }

    const State state;
};

/// Machine: DeviceSpectral or DeviceHift.
template <class Machine>
class VocoderOf : public DeviceVocoder {
  public:
    template <class... Arguments>
    explicit VocoderOf(const Arguments&... arguments) : machine_(arguments...) {}

    std::size_t weight_bytes() const override { return machine_.weight_bytes(); }
    void push(const CudaQueue& queue, const Slots& slots, const std::uint8_t* active, const float* mel, int frames,
              float* pcm, std::ptrdiff_t pcm_stride, std::int32_t* samples) const override {
        machine_.push(queue, state(slots), active, mel, frames, pcm, pcm_stride, samples);
    }

  protected:
    using State = typename Machine::State;
    static const State& state(const Slots& slots) { return static_cast<const SlotsOf<State>&>(slots).state; }
    static std::unique_ptr<Slots> owned(State state) { return std::make_unique<SlotsOf<State>>(std::move(state)); }

    const Machine machine_;
};

class SpectralVocoder final : public VocoderOf<DeviceSpectral> {
  public:
    using VocoderOf::VocoderOf;

    std::unique_ptr<Slots> make_slots(const CudaQueue& queue, int slots, int, int max_look_ahead) const override {
        return owned(machine_.make_state(queue, slots, max_look_ahead));
    }
    bool accepts(const Slots& slots, const VocoderOptions& resolved) const noexcept override {
        return resolved.look_ahead >= 0 && resolved.look_ahead <= state(slots).max_look_ahead;
    }
    void start(const CudaQueue& queue, const Slots& slots, int slot, const VocoderOptions& resolved) const override {
        machine_.start(queue, state(slots), slot, resolved.look_ahead);
    }
    void finish(const CudaQueue& queue, const Slots& slots, int slot, float* pcm,
                std::int32_t* samples) const override {
        machine_.finish(queue, state(slots), slot, pcm, samples);
    }
    void save(const CudaQueue& queue, const Slots& slots, int slot, std::byte* vocoder_state) const override {
        machine_.save(queue, state(slots), slot, vocoder_state);
    }
    void load(const CudaQueue& queue, const Slots& slots, int slot, const std::byte* vocoder_state) const override {
        machine_.load(queue, state(slots), slot, vocoder_state);
    }
};

class HiftVocoder final : public VocoderOf<DeviceHift> {
  public:
    using VocoderOf::VocoderOf;

    std::unique_ptr<Slots> make_slots(const CudaQueue& queue, int slots, int max_frames, int) const override {
        return owned(machine_.make_state(queue, slots, max_frames));
    }
    bool accepts(const Slots&, const VocoderOptions& resolved) const noexcept override {
        return resolved.look_ahead == machine_.look_ahead();
    }
    void start(const CudaQueue& queue, const Slots& slots, int slot, const VocoderOptions& resolved) const override {
        machine_.start(queue, state(slots), slot, resolved);
    }
    void finish(const CudaQueue& queue, const Slots& slots, int slot, float* pcm,
                std::int32_t* samples) const override {
        machine_.finish(queue, DeviceHift::slot_of(state(slots), slot), nullptr, pcm, 0, samples);
    }
    void save(const CudaQueue& queue, const Slots& slots, int slot, std::byte* vocoder_state) const override {
        machine_.save(queue, state(slots), slot, vocoder_state);
    }
    void load(const CudaQueue& queue, const Slots& slots, int slot, const std::byte* vocoder_state) const override {
        machine_.load(queue, state(slots), slot, vocoder_state);
    }
};

}  // namespace

std::unique_ptr<const DeviceVocoder> make_device_vocoder(const CudaQueue& queue, const Config& config,
                                                         const WeightMap& weights) {
    switch (config.vocoder) {
        case VocoderKind::spectral:
            return std::make_unique<SpectralVocoder>(queue, config);
        case VocoderKind::hift:
            return std::make_unique<HiftVocoder>(queue, config, weights, config.precision);
        case VocoderKind::none:
            break;
    }
    return nullptr;
}

}  // namespace secousti::core::cuda

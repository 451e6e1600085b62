// The HiFT vocoder of many streams on the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "cuda/arrays.h"
#include "kernels/cuda/hift.h"
#include "layers/conv.h"
#include "layers/weight_map.h"
#include "models/config.h"
#include "models/hift/config.h"
#include "models/hift/past.h"
#include "models/hift/stream.h"
#include "models/vocoder.h"

namespace secousti::core::cuda {

/// Weights and the plan of a step; the streams' memory is a group's. The same signals as on the CPU
/// (models/hift/hift.cpp), each in a ring per slot, so that a step copies no history: see HiftSignal.
class DeviceHift {
  public:
    struct State {
        int slots = 0;
        int max_frames = 0;  ///< of a step
        std::vector<HiftSignal> signals;
        DeviceArray<std::byte> rings;   ///< [slots, slot_bytes]
        DeviceArray<HiftClock> clocks;  ///< [slots]
        std::size_t bytes() const noexcept { return rings.bytes() + clocks.bytes(); }
    };

    /// `precision` fp32 or bf16: of the weights and of what convolutions read. Sums, residual paths, f0 and the source
    /// are float32 at both.
    DeviceHift(const CudaQueue& queue, const Config& config, const WeightMap& weights, Precision precision);

    int latency() const noexcept { return latency_; }  ///< samples, as on the CPU
    int look_ahead() const noexcept { return (hop_length_ - 1 + latency_) / hop_length_; }
    std::size_t weight_bytes() const;
    /// Most samples that finishing returns.
    int max_finish_samples() const noexcept { return latency_; }

    /// Steps take up to `max_frames` (1..kHiftMaxFrames) mel frames.
    State make_state(const CudaQueue& queue, int slots, int max_frames) const;
    /// One slot as a state of its own, for as long as the other is there.
    static State slot_of(const State& state, int slot);
    /// A slot starts anew.
    void start(const CudaQueue& queue, const State& state, int slot, const VocoderOptions& options) const;

    /// Feeds `frames` rows of mel [slots, frames, n_mels] to the slots that `active` [slots] (null: all) names; row i
    /// of pcm [slots, pcm_stride] gets the samples that are ready, at most frames*hop_length, and samples [slots] their
    /// number (0 for slots that are not active). All pointers are device memory; asynchronous, for graphs.
    void push(const CudaQueue& queue, const State& state, const std::uint8_t* active, const float* mel, int frames,
              float* pcm, std::ptrdiff_t pcm_stride, std::int32_t* samples) const;
    /// The samples that the active slots still owe, at most latency(); they must then start anew.
    void finish(const CudaQueue& queue, const State& state, const std::uint8_t* active, float* pcm,
                std::ptrdiff_t pcm_stride, std::int32_t* samples) const;

    /// A slot's past to and from a CPU vocoder's state (models/hift/past.h); these wait for the queue. What has been
    /// saved is still to be computed on the CPU; loading computes it. A slot that is finished cannot be saved.
    void save(const CudaQueue& queue, const State& state, int slot, std::byte* vocoder_state) const;
    void load(const CudaQueue& queue, const State& state, int slot, const std::byte* vocoder_state) const;

  private:
    /// A signal before it has memory.
    struct Signal {
        hift::Timing timing;
        int width;
        Precision precision;
        int history = 0;  ///< rows before a step's own that are read
    };
    static constexpr int kNone = -1;
    struct Convolution {
        int in = kNone, residual = kNone, raw = kNone, next = kNone;
        hift::Timing timing;  ///< of its outputs
        HiftConv args;        ///< all but the signals
    };
    struct Convolve {
        Precision precision;
        std::vector<Convolution> jobs;
    };
    struct Sum {
        int trunk, source, sum, next[kHiftJobs];
        const float* alpha[kHiftJobs];
        const float* inverse_alpha[kHiftJobs];
        int width;
    };
    struct Mean {
        int in[kHiftJobs], mean;
        float slope;
        int width;
    };
    struct Snake {
        const float* alpha = nullptr;
        const float* inverse = nullptr;
    };
    struct Ends {
        int raw, next;
    };

    const float* keep(const CudaQueue& queue, std::span<const float> values);
    int signal(const hift::Timing& timing, int width, Precision precision);
    void read(int index, int history);
    const hift::Timing& timing(int index) const { return signals_[static_cast<std::size_t>(index)].timing; }
    Snake snake(const CudaQueue& queue, const WeightMap& weights, const std::string& name);
    /// A convolution of signal `in`; its outputs are still to be set.
    Convolution convolution(const CudaQueue& queue, const WeightMap& weights, const hift::ConvLayer& layer, int in,
                            Precision precision);
    /// The same from matrix [outputs, kernel*inputs].
    Convolution convolution(const CudaQueue& queue, const ConvSpec& spec, int pad_right, std::span<const float> matrix,
                            std::span<const float> bias, int in, Precision precision);
    void set_snake(Convolution& convolution, const Snake& snake) const;
    /// Residual blocks side by side, of raw and activated inputs; returns their outputs.
    std::vector<int> blocks(const CudaQueue& queue, const WeightMap& weights, std::span<const hift::BlockLayers> blocks,
                            std::vector<Ends> ends);
    int stage(const CudaQueue& queue, const WeightMap& weights, const hift::StageLayers& layers, int in);
    void launch(const CudaQueue& queue, const State& state, const HiftStep& step, const Convolve& op) const;
    void launch(const CudaQueue& queue, const State& state, const HiftStep& step, const Sum& op) const;
    void launch(const CudaQueue& queue, const State& state, const HiftStep& step, const Mean& op) const;
    void feed(const CudaQueue& queue, const State& state, const HiftStep& step, const float* mel) const;
    /// f0 and the excitation of a step.
    void source(const CudaQueue& queue, const State& state, const HiftStep& step) const;
    void run(const CudaQueue& queue, const State& state, const HiftStep& step, const HiftEmitArgs& head) const;
    HiftEmitArgs head(const State& state, float* pcm, std::ptrdiff_t pcm_stride, std::int32_t* samples) const;

    HiftConfig config_;
    ArenaLayout past_layout_;
    hift::Past past_;
    Precision precision_;
    int bands_, hop_length_, sample_rate_;
    int latency_ = 0;
    std::vector<Signal> signals_;
    std::vector<DeviceArray<float>> constants_;
    std::vector<DeviceArray<std::byte>> matrices_;

    int mel_ = kNone, rounded_mel_ = kNone, features_ = kNone, excitation_ = kNone, spectra_ = kNone, head_ = kNone;
    std::vector<Convolve> f0_;
    const float* classifier_ = nullptr;
    float classifier_bias_ = 0.0F;
    const float* mix_ = nullptr;
    float mix_bias_ = 0.0F;
    const float* analysis_ = nullptr;
    const float* synthesis_ = nullptr;
    const float* start_gain_ = nullptr;
    const float* end_gain_ = nullptr;
    hift::Timing samples_;  ///< of rows of istft_hop samples
    std::vector<std::variant<Convolve, Sum, Mean>> trunk_;
};

}  // namespace secousti::core::cuda

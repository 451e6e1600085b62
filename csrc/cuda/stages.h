// The encoder from mel to tokens and the decoder from tokens to mel on the device: the same stages as models/encoder.h
// and models/decoder.h, a whole token frame at a time for every slot of a group.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuda/layers.h"
#include "models/config.h"
#include "models/seanet_layers.h"

namespace secousti::core::cuda {

using SeanetConvolutions = std::array<DeviceConv, kSeanetLayers>;

/// What a group's slots keep between steps of one of the two machines.
struct SlotsState {
    DeviceArray<std::uint64_t> position, start;           ///< [slots]: clock
    std::array<DeviceArray<float>, kSeanetLayers> rings;  ///< [slots, ring_rows, inputs], in order of application
    std::vector<DeviceTransformer::State> transformers;   ///< in order of application
    DeviceArray<ConcealMemory> memory;                    ///< [slots]; of decoders, and so is
    DeviceArray<float> floor;                             ///< [slots, n_mels]

    /// Device memory that this holds.
    std::size_t bytes() const;
    /// One slot as a state of its own, for as long as this one is there.
    SlotsState slot_of(int slot) const;
};

/// Memory between the parts of one step; its contents mean nothing from one step to the next.
struct StepScratch {
    DeviceArray<float> a, b, c;  ///< SeanetRows
    DeviceArray<float> x, mu;    ///< [slots*tokens, dimension]
    DeviceTransformer::Scratch rows;
    DeviceArray<std::byte> operand;

    std::size_t bytes() const;
};

/// What a step of the encoder gives beside tokens, device memory; null members are not wanted.
struct EncoderExtras {
    float* encoder_out = nullptr;  ///< z [slots*tokens, dimension]
    float* fsq_in = nullptr;       ///< [slots*tokens, dimensions of the quantiser]
};

class DeviceEncoder {
  public:
    DeviceEncoder(const CudaQueue& queue, const Config& config, const WeightMap& weights);

    SlotsState make_state(const CudaQueue& queue, int slots, int max_tokens) const;
    StepScratch make_scratch(const CudaQueue& queue, int slots, int max_tokens) const;
    std::size_t weight_bytes() const;
    const SeanetConvolutions& convolutions() const noexcept { return convolutions_; }
    const DeviceTransformer& transformer() const noexcept { return transformer_; }

    /// mel [slots, tokens*frames_per_token, n_mels] -> tokens [slots*tokens], kNoToken for inactive slots; time goes on
    /// by step.tokens. `valid` [slots], null before the end of streams: mel frames that there are; the rest are
    /// completed. Leaves mu [slots*tokens, dimension] in the scratch memory.
    void push(const Step& step, const SlotsState& state, const StepScratch& scratch, const float* mel,
              const std::int32_t* valid, std::int32_t* tokens, const EncoderExtras& extras = {}) const;

  private:
    int dimension_ = 0;
    Fsq fsq_;
    DeviceTransformer transformer_;
    DeviceMatrix mu_;
    DeviceArray<float> project_in_, project_in_bias_;
    SeanetLayers layers_;
    SeanetConvolutions convolutions_;
};

class DeviceDecoder {
  public:
    DeviceDecoder(const CudaQueue& queue, const Config& config, const WeightMap& weights);

    SlotsState make_state(const CudaQueue& queue, int slots, int max_tokens) const;
    StepScratch make_scratch(const CudaQueue& queue, int slots, int max_tokens) const;
    std::size_t weight_bytes() const;
    const SeanetConvolutions& convolutions() const noexcept { return convolutions_; }
    const DeviceTransformer& connector() const noexcept { return connector_; }
    const DeviceTransformer& transformer() const noexcept { return transformer_; }

    /// tokens [slots*tokens], negative ones lost, and G [slots, dimension] -> mel [slots, tokens*frames_per_token,
    /// n_mels]; time goes on by step.tokens.
    void push(const Step& step, const SlotsState& state, const StepScratch& scratch, const std::int32_t* tokens,
              const float* voice, float* mel) const;
    /// A [slots*tokens, dimension] -> mel: the decoder without its connector.
    void push_acoustic(const Step& step, const SlotsState& state, const StepScratch& scratch, const float* acoustic,
                       float* mel) const;

  private:
    /// scratch.x [slots*tokens, dimension], an acoustic embedding, -> mel; time stands still.
    void expand(const Step& step, const SlotsState& state, const StepScratch& scratch, float* mel) const;

    int dimension_ = 0, bands_ = 0;
    Fsq fsq_;
    Concealing concealing_;  ///< but for the memory
    DeviceArray<float> project_out_, project_out_bias_;
    DeviceTransformer connector_, transformer_;
    SeanetLayers layers_;
    SeanetConvolutions convolutions_;
};

}  // namespace secousti::core::cuda

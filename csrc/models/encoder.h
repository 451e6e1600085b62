// log-mel to tokens: SEANet encoder, semantic transformer, quantiser; and the acoustic branch beside it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layers/transformer.h"
#include "models/config.h"
#include "models/quantiser.h"
#include "models/seanet.h"

namespace secousti::core {

/// Where a step writes, [tokens, …] each; null members are not wanted.
struct EncodedRows {
    float* encoder_out = nullptr;  ///< z [tokens, dimension]
    float* semantic_mu = nullptr;  ///< [tokens, dimension]
    float* fsq_in = nullptr;       ///< [tokens, fsq dimensions]
    std::int32_t* tokens = nullptr;
};

class Encoder {
  public:
    Encoder(const Backend& backend, const Config& config, const WeightMap& weights, ArenaLayout& state,
            ArenaLayout& scratch);

    /// Feeds `frames` <= kMaxFrames of mel [frames, n_mels]; returns the number of tokens written.
    int push(const Exec& exec, std::byte* state, std::byte* scratch, const float* mel, int frames, bool end,
             const EncodedRows& out) const noexcept;

    /// The two halves of it, for streams that step together. The convolutions: as Seanet::push.
    int features(const Exec& exec, const Batch& batch, std::byte* scratch, const float* mel, bool end,
                 float* z) const noexcept {
        return seanet_.push(exec, batch, scratch, mel, end, z);
    }
    std::size_t windows(int frames) const noexcept { return seanet_.windows(frames); }
    /// The rest: z [batch.rows() <= kMaxTokens, dimension], overwritten, to what `out` (but encoder_out) wants.
    void quantise(const Exec& exec, const Batch& batch, std::byte* scratch, float* z,
                  const EncodedRows& out) const noexcept;

    const Seanet& seanet() const noexcept { return seanet_; }
    const Transformer& transformer() const noexcept { return semantic_; }

  private:
    std::size_t dimension_ = 0;
    Seanet seanet_;
    Transformer semantic_;
    Quantiser quantiser_;
    Slice<float> z_, mu_, fsq_in_;
    Slice<std::int32_t> tokens_;
};

/// The continuous embedding A of z, from a transformer of its own.
class AcousticBranch {
  public:
    AcousticBranch(const Backend& backend, const Config& config, const WeightMap& weights, ArenaLayout& state,
                   ArenaLayout& scratch);
    /// z [tokens, dimension] in place to A; tokens <= kMaxFrames.
    void push(const Exec& exec, std::byte* state, std::byte* scratch, float* z, int tokens) const noexcept {
        transformer_.push(exec, state, scratch, z, tokens);
    }

  private:
    Transformer transformer_;
};

}  // namespace secousti::core

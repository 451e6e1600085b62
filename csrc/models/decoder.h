// Tokens and G, or an acoustic embedding, to log-mel: dequantiser, connector, decoder transformer, SEANet decoder.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layers/transformer.h"
#include "models/concealment.h"
#include "models/config.h"
#include "models/quantiser.h"
#include "models/seanet.h"

namespace secousti::core {

class Decoder {
  public:
    Decoder(const Backend& backend, const Config& config, const WeightMap& weights, ArenaLayout& state,
            ArenaLayout& scratch);

    /// Tokens that a step takes at most.
    int max_tokens() const noexcept { return max_tokens_; }
    /// tokens [count] and G [dimension] -> mel [count * frames_per_token, n_mels].
    void push_tokens(const Exec& exec, std::byte* state, std::byte* scratch, const std::int32_t* tokens, int count,
                     const float* voice, float* mel) const noexcept;
    /// As push_tokens for `count` tokens that never came: what is most likely, fading when it lasts.
    void push_lost(const Exec& exec, std::byte* state, std::byte* scratch, int count, const float* voice,
                   float* mel) const noexcept;
    /// A [count, dimension] -> mel.
    void push_acoustic(const Exec& exec, std::byte* state, std::byte* scratch, const float* acoustic, int count,
                       float* mel) const noexcept;

    /// Streams that step together, one token each. First the transformers: tokens [lanes], at most kMaxTokens of them,
    /// a negative one is lost, and each state's own G -> rows [lanes, dimension].
    void transform(const Exec& exec, const Batch& batch, std::byte* scratch, const std::int32_t* tokens,
                   Slice<float> voice, float* rows) const noexcept;
    /// Then the convolutions, at most max_tokens() lanes: those rows -> mel [lanes, frames_per_token, n_mels]. Sets the
    /// lanes' rows to their frames.
    void expand(const Exec& exec, const Batch& batch, std::byte* scratch, const std::int32_t* tokens, const float* rows,
                float* mel) const noexcept;
    /// Floats of Batch::windows for `tokens` of all lanes.
    std::size_t windows(int tokens) const noexcept { return seanet_.windows(tokens); }

    const Transformer& connector() const noexcept { return connector_; }
    const Transformer& transformer() const noexcept { return transformer_; }
    const Seanet& seanet() const noexcept { return seanet_; }
    const Concealment& concealment() const noexcept { return concealment_; }

  private:
    /// z_q [count, dimension], in rows_, and G -> mel.
    void push_rows(const Exec& exec, std::byte* state, std::byte* scratch, int count, const float* voice,
                   float* mel) const noexcept;
    /// The code of a token that never came, `ahead` (0, 1, ...) tokens from now.
    void lost_code(const std::byte* state, int ahead, float* code) const noexcept;

    int dimension_ = 0, max_tokens_ = 0, n_mels_ = 0;
    Quantiser quantiser_;
    Transformer connector_, transformer_;
    Seanet seanet_;
    Concealment concealment_;
    Slice<float> rows_, codes_;
};

}  // namespace secousti::core

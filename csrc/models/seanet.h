// SEANet encoder and decoder: causal convolutions between mel frames and token frames (spec section 2 and 6).
#pragma once

#include <cstddef>

#include "layers/conv.h"
#include "layers/weight_map.h"
#include "models/config.h"

namespace secousti::core {

/// x + conv1x1(ELU(conv3(ELU(x)))), half as wide inside.
class ResidualUnit {
  public:
    ResidualUnit() = default;
    ResidualUnit(const Backend& backend, int channels, const WeightMap& weights, const std::string& prefix,
                 int max_rows, ArenaLayout& state, ArenaLayout& scratch, Precision precision);
    /// In place: x [rows, channels].
    void push(const Exec& exec, std::byte* state, std::byte* scratch, float* x, int rows) const noexcept;

  private:
    Conv narrow_, widen_;
    Slice<float> hidden_;
};

/// log-mel [frames, n_mels] -> z [tokens, dimension].
class SeanetEncoder {
  public:
    SeanetEncoder(const Backend& backend, const Config& config, const WeightMap& weights, ArenaLayout& state,
                  ArenaLayout& scratch);
    /// Feeds `frames` <= kMaxFrames; writes the rows of z that are ready and returns how many. With `end` the last
    /// incomplete strides are completed with zeros; nothing may follow.
    int push(const Exec& exec, std::byte* state, std::byte* scratch, const float* mel, int frames, bool end,
             float* z) const noexcept;

  private:
    Conv first_, down1_, down2_, last_;
    ResidualUnit residual1_, residual2_;
    Slice<float> rows1_, rows2_, rows3_;
};

/// Transformer output [tokens, dimension] -> log-mel [tokens * r1 * r2, n_mels].
class SeanetDecoder {
  public:
    SeanetDecoder(const Backend& backend, const Config& config, const WeightMap& weights, ArenaLayout& state,
                  ArenaLayout& scratch);
    /// At most kMaxFrames / (r1*r2) tokens (at least one) a push.
    void push(const Exec& exec, std::byte* state, std::byte* scratch, const float* x, int tokens,
              float* mel) const noexcept;

  private:
    int ratio1_ = 1, ratio2_ = 1;
    Conv first_, up1_, up2_, last_;
    ResidualUnit residual1_, residual2_;
    Slice<float> rows1_, rows2_, rows3_;
};

/// Token frames that a step of the decoder takes at most.
int max_tokens_per_step(const Config& config) noexcept;
/// Names and shapes of both networks' tensors.
void append_seanet_tensors(const Config& config, std::vector<TensorSpec>& tensors);

}  // namespace secousti::core

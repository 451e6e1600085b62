#include "models/encoder.h"

#include <algorithm>

#include "models/limits.h"

namespace secousti::core {

Encoder::Encoder(const Backend& backend, const Config& config, const WeightMap& weights, ArenaLayout& state,
                 ArenaLayout& scratch)
    : dimension_(static_cast<std::size_t>(config.dimension)),
      seanet_(backend, config, weights, state, scratch),
      // One more than the frames hold, for the stride that the end completes.
      max_tokens_(kMaxFrames / config.frames_per_token() + 1),
      semantic_(backend, config.transformer(config.semantic_layers), weights,
                "vae_semantic_transformer.semantic_transformer.transformer", max_tokens_, state, scratch),
      quantiser_(backend, config, weights) {
    const std::size_t rows = static_cast<std::size_t>(max_tokens_);
    z_ = scratch.reserve<float>(rows * dimension_);
    mu_ = scratch.reserve<float>(rows * dimension_);
    fsq_in_ = scratch.reserve<float>(rows * config.fsq_levels.size());
    tokens_ = scratch.reserve<std::int32_t>(rows);
}

int Encoder::push(const Exec& exec, std::byte* state, std::byte* scratch, const float* mel, int frames, bool end,
                  const EncodedRows& out) const noexcept {
    float* z = z_.in(scratch);
    float* mu = out.semantic_mu != nullptr ? out.semantic_mu : mu_.in(scratch);
    float* fsq_in = out.fsq_in != nullptr ? out.fsq_in : fsq_in_.in(scratch);
    std::int32_t* tokens = out.tokens != nullptr ? out.tokens : tokens_.in(scratch);
    const int count = seanet_.push(exec, state, scratch, mel, frames, end, z);
    if (count == 0) return 0;
    if (out.encoder_out != nullptr) std::copy_n(z, static_cast<std::size_t>(count) * dimension_, out.encoder_out);
    semantic_.push(exec, state, scratch, z, count);
    quantiser_.semantic_mu(exec, z, count, mu);
    quantiser_.encode(exec, mu, count, fsq_in, tokens);
    return count;
}

AcousticBranch::AcousticBranch(const Backend& backend, const Config& config, const WeightMap& weights,
                               ArenaLayout& state, ArenaLayout& scratch)
    : transformer_(backend, config.transformer(config.acoustic_layers), weights, "encoder_transformer.transformer",
                   kMaxFrames, state, scratch) {}

}  // namespace secousti::core

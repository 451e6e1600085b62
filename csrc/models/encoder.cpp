#include "models/encoder.h"

#include <algorithm>

#include "models/limits.h"

namespace secousti::core {

Encoder::Encoder(const Backend& backend, const Config& config, const WeightMap& weights, ArenaLayout& state,
                 ArenaLayout& scratch)
    : dimension_(static_cast<std::size_t>(config.dimension)), quantiser_(backend, config, weights) {
    constexpr std::size_t kRows = kMaxTokens;
    z_ = scratch.reserve<float>(kRows * dimension_);
    mu_ = scratch.reserve<float>(kRows * dimension_);
    fsq_in_ = scratch.reserve<float>(kRows * config.fsq_levels.size());
    tokens_ = scratch.reserve<std::int32_t>(kRows);
    ArenaLayout convolutions = scratch;
    seanet_ = {backend, seanet_encoder_layers(config), kMaxFrames, weights, state, convolutions};
    semantic_ = {backend, config.semantic_transformer(), weights, kMaxTokens, state, scratch};
    scratch.include(convolutions);
}

int Encoder::push(const Exec& exec, std::byte* state, std::byte* scratch, const float* mel, int frames, bool end,
                  const EncodedRows& out) const noexcept {
    float* z = z_.in(scratch);
    Lane lane{state, frames};
    const Batch batch{{&lane, 1}};
    const int count = features(exec, batch, scratch, mel, end, z);
    if (count == 0) return 0;
    if (out.encoder_out != nullptr) std::copy_n(z, static_cast<std::size_t>(count) * dimension_, out.encoder_out);
    quantise(exec, batch, scratch, z, out);
    return count;
}

void Encoder::quantise(const Exec& exec, const Batch& batch, std::byte* scratch, float* z,
                       const EncodedRows& out) const noexcept {
    const int count = batch.rows();
    if (count == 0) return;
    float* mu = out.semantic_mu != nullptr ? out.semantic_mu : mu_.in(scratch);
    float* fsq_in = out.fsq_in != nullptr ? out.fsq_in : fsq_in_.in(scratch);
    std::int32_t* tokens = out.tokens != nullptr ? out.tokens : tokens_.in(scratch);
    semantic_.push(exec, batch, scratch, z);
    quantiser_.semantic_mu(exec, z, count, mu);
    quantiser_.encode(exec, mu, count, fsq_in, tokens);
}

AcousticBranch::AcousticBranch(const Backend& backend, const Config& config, const WeightMap& weights,
                               ArenaLayout& state, ArenaLayout& scratch)
    : transformer_(backend, config.acoustic_transformer(), weights, kMaxFrames, state, scratch) {}

}  // namespace secousti::core

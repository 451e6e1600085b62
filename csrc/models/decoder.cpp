#include "models/decoder.h"

#include <algorithm>

namespace secousti::core {

Decoder::Decoder(const Backend& backend, const Config& config, const WeightMap& weights, ArenaLayout& state,
                 ArenaLayout& scratch)
    : dimension_(config.dimension),
      max_tokens_(max_tokens_per_step(config)),
      quantiser_(backend, config, weights),
      connector_(backend, config.transformer(config.connector_layers), weights,
                 "semantic_connector.semantic_transformer.transformer", max_tokens_, state, scratch),
      transformer_(backend, config.transformer(config.decoder_layers), weights, "decoder_transformer.transformer",
                   max_tokens_, state, scratch),
      seanet_(backend, config, weights, state, scratch),
      concealment_(config, state) {
    const std::size_t rows = static_cast<std::size_t>(max_tokens_);
    rows_ = scratch.reserve<float>(rows * static_cast<std::size_t>(dimension_));
    codes_ = scratch.reserve<float>(rows * config.fsq_levels.size());
}

void Decoder::push_rows(const Exec& exec, std::byte* state, std::byte* scratch, int count, const float* paralinguistic,
                        float* mel) const noexcept {
    float* rows = rows_.in(scratch);
    exec->add_row(rows, paralinguistic, count, dimension_, rows);
    connector_.push(exec, state, scratch, rows, count);
    transformer_.push(exec, state, scratch, rows, count);
    seanet_.push(exec, state, scratch, rows, count, mel);
}

void Decoder::push_tokens(const Exec& exec, std::byte* state, std::byte* scratch, const std::int32_t* tokens, int count,
                          const float* paralinguistic, float* mel) const noexcept {
    quantiser_.decode(exec, tokens, count, codes_.in(scratch), rows_.in(scratch));
    push_rows(exec, state, scratch, count, paralinguistic, mel);
    concealment_.received(state, tokens, count, mel);
}

void Decoder::push_lost(const Exec& exec, std::byte* state, std::byte* scratch, int count, const float* paralinguistic,
                        float* mel) const noexcept {
    float* code = codes_.in(scratch);
    for (int i = 0; i < count; ++i, code += quantiser_.dimensions()) {
        quantiser_.code(concealment_.last_token(state), code);
        const float weight = concealment_.weight(state, i);
        for (int d = 0; d < quantiser_.dimensions(); ++d) code[d] *= weight;
    }
    quantiser_.project(exec, codes_.in(scratch), count, rows_.in(scratch));
    push_rows(exec, state, scratch, count, paralinguistic, mel);
    concealment_.lost(state, count, mel);
}

void Decoder::push_acoustic(const Exec& exec, std::byte* state, std::byte* scratch, const float* acoustic, int count,
                            float* mel) const noexcept {
    float* rows = rows_.in(scratch);
    std::copy_n(acoustic, static_cast<std::size_t>(count) * static_cast<std::size_t>(dimension_), rows);
    transformer_.push(exec, state, scratch, rows, count);
    seanet_.push(exec, state, scratch, rows, count, mel);
}

}  // namespace secousti::core

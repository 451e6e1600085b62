#include "models/decoder.h"

#include <algorithm>

#include "models/limits.h"

namespace secousti::core {

Decoder::Decoder(const Backend& backend, const Config& config, const WeightMap& weights, ArenaLayout& state,
                 ArenaLayout& scratch)
    : dimension_(config.dimension),
      max_tokens_(max_tokens_per_step(config)),
      n_mels_(config.n_mels),
      quantiser_(backend, config, weights) {
    rows_ = scratch.reserve<float>(area(kMaxTokens, dimension_));
    codes_ = scratch.reserve<float>(area(kMaxTokens, quantiser_.dimensions()));
    // One stage runs at a time.
    ArenaLayout connector = scratch, convolutions = scratch;
    connector_ = {backend, config.connector_transformer(), weights, kMaxTokens, state, connector};
    transformer_ = {backend, config.decoder_transformer(), weights, kMaxTokens, state, scratch};
    seanet_ = {backend, seanet_decoder_layers(config), max_tokens_, weights, state, convolutions};
    scratch.include(connector);
    scratch.include(convolutions);
    concealment_ = {config, state};
}

void Decoder::push_rows(const Exec& exec, std::byte* state, std::byte* scratch, int count, const float* voice,
                        float* mel) const noexcept {
    float* rows = rows_.in(scratch);
    exec->add_row(rows, voice, count, dimension_, rows);
    connector_.push(exec, state, scratch, rows, count);
    push_acoustic(exec, state, scratch, rows, count, mel);
}

void Decoder::push_tokens(const Exec& exec, std::byte* state, std::byte* scratch, const std::int32_t* tokens, int count,
                          const float* voice, float* mel) const noexcept {
    quantiser_.decode(exec, tokens, count, codes_.in(scratch), rows_.in(scratch));
    push_rows(exec, state, scratch, count, voice, mel);
    concealment_.received(state, tokens, count, mel);
}

void Decoder::push_lost(const Exec& exec, std::byte* state, std::byte* scratch, int count, const float* voice,
                        float* mel) const noexcept {
    float* code = codes_.in(scratch);
    for (int i = 0; i < count; ++i, code += quantiser_.dimensions()) lost_code(state, i, code);
    quantiser_.project(exec, codes_.in(scratch), count, rows_.in(scratch));
    push_rows(exec, state, scratch, count, voice, mel);
    concealment_.lost(state, count, mel);
}

void Decoder::push_acoustic(const Exec& exec, std::byte* state, std::byte* scratch, const float* acoustic, int count,
                            float* mel) const noexcept {
    float* rows = rows_.in(scratch);
    if (rows != acoustic) std::copy_n(acoustic, area(count, dimension_), rows);
    Lane lane{state, count};
    const Batch batch{{&lane, 1}};
    transformer_.push(exec, batch, scratch, rows);
    seanet_.push(exec, batch, scratch, rows, false, mel);
}

void Decoder::lost_code(const std::byte* state, int ahead, float* code) const noexcept {
    quantiser_.code(concealment_.last_token(state), code);
    const float weight = concealment_.weight(state, ahead);
    for (int d = 0; d < quantiser_.dimensions(); ++d) code[d] *= weight;
}

void Decoder::transform(const Exec& exec, const Batch& batch, std::byte* scratch, const std::int32_t* tokens,
                        Slice<float> voice, float* rows) const noexcept {
    float* code = codes_.in(scratch);
    for (const Lane& lane : batch.lanes) {
        if (const std::int32_t token = *tokens++; token >= 0) {
            quantiser_.code(token, code);
        } else {
            lost_code(lane.state, 0, code);
        }
        code += quantiser_.dimensions();
    }
    quantiser_.project(exec, codes_.in(scratch), batch.rows(), rows);
    float* row = rows;
    for (const Lane& lane : batch.lanes) {
        exec->add_row(row, voice.in(lane.state), 1, dimension_, row);
        row += dimension_;
    }
    connector_.push(exec, batch, scratch, rows);
    transformer_.push(exec, batch, scratch, rows);
}

void Decoder::expand(const Exec& exec, const Batch& batch, std::byte* scratch, const std::int32_t* tokens,
                     const float* rows, float* mel) const noexcept {
    seanet_.push(exec, batch, scratch, rows, false, mel);
    for (const Lane& lane : batch.lanes) {
        if (*tokens >= 0) {
            concealment_.received(lane.state, tokens, 1, mel);
        } else {
            concealment_.lost(lane.state, 1, mel);
        }
        ++tokens;
        mel += area(lane.rows, n_mels_);
    }
}

}  // namespace secousti::core

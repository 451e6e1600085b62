#include "models/quantiser.h"

namespace secousti::core {

Quantiser::Quantiser(const Backend& backend, const Config& config, const WeightMap& weights)
    : levels_(config.fsq_levels.begin(), config.fsq_levels.end()) {
    std::int32_t basis = 1;
    for (const std::int32_t levels : levels_) {
        basis_.push_back(basis);
        half_.push_back(static_cast<float>((levels - 1) / 2));
        basis *= levels;
    }
    const int d = config.dimension, dims = static_cast<int>(levels_.size());
    mu_ = {backend, d, d, weights.get("vae_semantic_transformer.dense_mu.weight"),
           weights.get("vae_semantic_transformer.dense_mu.bias")};
    project_in_ = {backend, d, dims, weights.get("fsq.project_in.weight"), weights.get("fsq.project_in.bias")};
    project_out_ = {backend, dims, d, weights.get("fsq.project_out.weight"), weights.get("fsq.project_out.bias")};
}

void Quantiser::semantic_mu(const Exec& exec, const float* x, int rows, float* mu) const noexcept {
    mu_.apply(exec, x, rows, mu);
}

void Quantiser::encode(const Exec& exec, const float* mu, int rows, float* fsq_in,
                       std::int32_t* tokens) const noexcept {
    project_in_.apply(exec, mu, rows, fsq_in);
    exec->fsq_quantise(fsq_in, half_.data(), basis_.data(), rows, dimensions(), tokens);
}

void Quantiser::code(std::int32_t token, float* values) const noexcept {
    for (std::size_t d = 0; d < levels_.size(); ++d) {
        // Codes are normalised by half the level count, so they lie in [-1, 1]; with three levels that is identity.
        values[d] = (static_cast<float>(token % levels_[d]) - half_[d]) / half_[d];
        token /= levels_[d];
    }
}

void Quantiser::project(const Exec& exec, const float* codes, int rows, float* z_q) const noexcept {
    project_out_.apply(exec, codes, rows, z_q);
}

void Quantiser::decode(const Exec& exec, const std::int32_t* tokens, int rows, float* codes,
                       float* z_q) const noexcept {
    for (int r = 0; r < rows; ++r) code(tokens[r], codes + r * dimensions());
    project(exec, codes, rows, z_q);
}

void append_quantiser_tensors(const Config& config, std::vector<TensorSpec>& tensors) {
    const std::int64_t d = config.dimension, dims = static_cast<std::int64_t>(config.fsq_levels.size());
    tensors.push_back({"vae_semantic_transformer.dense_mu.weight", {d, d}});
    tensors.push_back({"vae_semantic_transformer.dense_mu.bias", {d}});
    tensors.push_back({"fsq.project_in.weight", {dims, d}});
    tensors.push_back({"fsq.project_in.bias", {dims}});
    tensors.push_back({"fsq.project_out.weight", {d, dims}});
    tensors.push_back({"fsq.project_out.bias", {d}});
}

}  // namespace secousti::core

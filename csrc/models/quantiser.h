// The quantiser of the semantic branch: mu, finite scalar quantisation to tokens, and back (spec section 4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned_vector.h"
#include "kernels/exec.h"
#include "layers/linear.h"
#include "layers/weight_map.h"
#include "models/config.h"

namespace secousti::core {

class Quantiser {
  public:
    Quantiser(const Backend& backend, const Config& config, const WeightMap& weights);

    int dimensions() const noexcept { return project_in_.outputs(); }
    /// Semantic transformer output [rows, dimension] -> mu, same shape.
    void semantic_mu(const Exec& exec, const float* x, int rows, float* mu) const noexcept;
    /// mu [rows, dimension] -> fsq_in [rows, dimensions()] and tokens [rows] in [0, cardinality).
    void encode(const Exec& exec, const float* mu, int rows, float* fsq_in, std::int32_t* tokens) const noexcept;
    /// Tokens in [0, cardinality) -> z_q [rows, dimension]. `codes` is scratch for rows * dimensions() floats.
    void decode(const Exec& exec, const std::int32_t* tokens, int rows, float* codes, float* z_q) const noexcept;
    /// The code of one token: dimensions() values in [-1, 1].
    void code(std::int32_t token, float* values) const noexcept;
    /// Codes [rows, dimensions()] -> z_q.
    void project(const Exec& exec, const float* codes, int rows, float* z_q) const noexcept;

  private:
    std::vector<std::int32_t> levels_, basis_;
    std::vector<float> half_;
    Linear mu_, project_in_, project_out_;
};

void append_quantiser_tensors(const Config& config, std::vector<TensorSpec>& tensors);

}  // namespace secousti::core

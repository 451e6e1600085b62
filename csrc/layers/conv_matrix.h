// Weights of convolutions as torch holds them -> the matrix of a product with windows of time-major rows, tap by tap.
// Every device packs that matrix in its own way.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace secousti::core {

/// Conv1d weight [outputs, inputs, kernel] -> [outputs, kernel*inputs].
inline std::vector<float> conv_matrix(std::span<const float> weight, int outputs, int inputs, int kernel) {
    std::vector<float> matrix(weight.size());
    const std::size_t ins = static_cast<std::size_t>(inputs), taps = static_cast<std::size_t>(kernel);
    float* to = matrix.data();
    for (std::size_t o = 0; o < static_cast<std::size_t>(outputs); ++o) {
        const float* from = weight.data() + o * ins * taps;
        for (std::size_t k = 0; k < taps; ++k) {
            for (std::size_t i = 0; i < ins; ++i) *to++ = from[i * taps + k];
        }
    }
    return matrix;
}

/// ConvTranspose1d weight [inputs, outputs, 2*stride] -> [stride*outputs, 2*inputs]: output row t*stride + p is
/// W[:, :, p]' x[t] + W[:, :, p + stride]' x[t-1], so a window of two taps gives the `stride` phases side by side.
inline std::vector<float> transposed_matrix(std::span<const float> weight, int inputs, int outputs, int stride) {
    std::vector<float> matrix(weight.size());
    const std::size_t ins = static_cast<std::size_t>(inputs), outs = static_cast<std::size_t>(outputs);
    const std::size_t phases = static_cast<std::size_t>(stride);
    float* to = matrix.data();
    for (std::size_t p = 0; p < phases; ++p) {
        for (std::size_t o = 0; o < outs; ++o) {
            for (const std::size_t tap : {p + phases, p}) {
                for (std::size_t i = 0; i < ins; ++i) *to++ = weight[(i * outs + o) * 2 * phases + tap];
            }
        }
    }
    return matrix;
}

/// The bias of all phases of such a product.
inline std::vector<float> transposed_bias(std::span<const float> bias, int stride) {
    std::vector<float> repeated;
    for (int phase = 0; phase < stride; ++phase) repeated.insert(repeated.end(), bias.begin(), bias.end());
    return repeated;
}

}  // namespace secousti::core

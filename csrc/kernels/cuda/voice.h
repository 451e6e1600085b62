// The end of the voice encoder, which cuda/voice.h fills these arguments in for. The rules are those of launchers.h.
#pragma once

#include "kernels/cuda/device.h"

namespace secousti::core::cuda {

/// x *= 1 + logistic(gate), of each channel.
struct ExciteArgs {
    float* x = nullptr;           ///< [rows, channels]
    const float* gate = nullptr;  ///< [channels]
    int rows = 0, channels = 0;
};
void excite(const CudaQueue& queue, const ExciteArgs& args);

inline constexpr int kGruHidden = 64;
/// A gated recurrent unit in torch's order r, z, n, from zeros on.
struct GruArgs {
    const float* input = nullptr;  ///< [rows, 3*hidden]: what the inputs add to the gates, bias included
    int rows = 0;
    const float* hidden_weights = nullptr;  ///< [hidden, 3*hidden]: torch's weight_hh, transposed
    const float* hidden_bias = nullptr;     ///< [3*hidden]
    float* last = nullptr;                  ///< [hidden]: the last state
};
void gru(const CudaQueue& queue, const GruArgs& args);

}  // namespace secousti::core::cuda

// How packed matrices and operand rows lie in memory, for the host that packs and the kernels that read.
//
// The depth is cut into at most eight chunks; a chunk is one chain of multiply-adds, and an output is the sum of its
// chunks, in order. Which warp computes a chunk is free, and products are batch-invariant.
//
//   fp32  weights [outputs/32][depth/4][32 outputs][4]: a lane has an output
//         operand [rows][depth]
//   bf16  weights [outputs/16][depth/16][32 lanes][8]: what a lane holds of a 16x16 tile of mma_bf16
//         operand [rows/8][depth/16][32 lanes][8]: b[0], b[1] of the high terms, then of the low terms
//   int8  weight scales [outputs], then weights [outputs/16][depth/32][32 lanes][16] as mma_int8 wants them
//         operand [rows/8][depth/32][32 lanes][8], then row scales [rows]
// Outputs are rounded up to 64, rows to 8 and depths to 32; the rest is zeros.
#pragma once

#include <cstddef>

#include "kernels/backend.h"

namespace secousti::core::cuda {

inline constexpr int kMaxChunks = 8;
inline constexpr int kDepthStep = 32;
inline constexpr int kOutputStep = 64;
inline constexpr int kRowTile = 8;

constexpr int rounded_up(int count, int to) { return (count + to - 1) / to * to; }
constexpr int padded_depth(int depth) { return rounded_up(depth, kDepthStep); }
/// Depth of a chunk; the last one may have less.
constexpr int chunk_depth(int depth) { return rounded_up((depth + kMaxChunks - 1) / kMaxChunks, kDepthStep); }
constexpr int chunk_count(int depth) { return (padded_depth(depth) + chunk_depth(depth) - 1) / chunk_depth(depth); }

constexpr std::size_t weight_scale_bytes(int outputs) {
    return static_cast<std::size_t>(rounded_up(outputs, kOutputStep)) * sizeof(float);
}
constexpr std::size_t operand_row_bytes(Precision precision, int depth) {
    return static_cast<std::size_t>(padded_depth(depth)) * (precision == Precision::int8 ? 1U : sizeof(float));
}

}  // namespace secousti::core::cuda

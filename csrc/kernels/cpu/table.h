// The kernel table of the instruction set whose simd_<isa>.h was included first.
#pragma once

#include "kernels/cpu/vector_math.h"
// clang-format off: each body builds on those above it
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/fp16.h"
#include "kernels/cpu/body_epilogue.h"
#include "kernels/cpu/body_linear.h"
#include "kernels/cpu/body_int8.h"
#include "kernels/cpu/body_elementwise.h"
#include "kernels/cpu/body_narrow.h"
#include "kernels/cpu/body_peak.h"
#include "kernels/cpu/body_attention.h"
#include "kernels/cpu/body_fft.h"
#include "kernels/cpu/body_phase.h"
// clang-format on

namespace secousti::core {
namespace {

constexpr Backend make_table(const char* name) {
    return {.name = name,
            .panel = kPanel,
            .packed_bytes = packed_bytes,
            .pack_linear = pack_linear,
            .pack_integers = pack_integers,
            .quantise_rows = quantise_rows,
            .packed_narrow_bytes = packed_narrow_bytes,
            .pack_narrow = pack_narrow,
            .narrow_rows = narrow_rows,
            .linear = linear_any,
            .layer_norm = layer_norm,
            .attention = attention,
            .activate = activate,
            .snake = snake,
            .sum3 = sum3,
            .add = add_vectors,
            .add_row = add_row,
            .fsq_quantise = fsq_quantise,
            .rfft = rfft,
            .irfft = irfft,
            .magnitude = magnitude,
            .log_floor = log_floor,
            .exp = exp_vectors,
            .band_sum = band_sum,
            .multiply = multiply,
            .interpolate = interpolate,
            .griffin_lim = griffin_lim,
            .polar_head = polar_head,
            .multiply_add = multiply_add};
}

}  // namespace
}  // namespace secousti::core

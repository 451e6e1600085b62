// One function per kernel: device pointers, shapes, a queue. Plain C++: the engine includes no CUDA header.
//
// Rules:
//  - All pointers are device memory unless a comment says host; activations are float32 rows.
//  - Kernels are batch-invariant: each output element is reduced in an order that depends on the shapes of one row
//    only, so a stream in a group gives bit for bit what it gives alone, in any split into steps.
//  - A launcher throws core::Error on shapes that its kernel does not take; nothing is checked on the device.
//  - `slots` are independent streams; row (slot, r) of a step is row slot*rows_per_slot + r of its arrays.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cuda/device.h"

namespace secousti::core::cuda {

// ---- Weights

/// Device bytes of a packed matrix [outputs, depth].
std::size_t packed_bytes(Precision precision, int outputs, int depth);
/// weights [outputs, depth] row-major -> packed; both on the host.
void pack_matrix(Precision precision, const float* weights, int outputs, int depth, void* packed);

/// A dense layer; a convolution over time-major rows has depth = kernel*inputs, tap by tap.
struct Matrix {
    Precision precision = Precision::fp32;
    const void* weights = nullptr;  ///< packed by pack_matrix, 16-byte aligned
    const float* bias = nullptr;    ///< [outputs] or null
    int outputs = 0;
    int depth = 0;
};

/// y = residual + scale * act(bias + sum). `y` may be `residual`, never the input.
struct Epilogue {
    Activation activation = Activation::none;
    float slope = 0.0F;
    const float* scale = nullptr;     ///< [outputs] or null (1)
    const float* residual = nullptr;  ///< [rows, outputs] or null (0)
};

// ---- Matrix products

/// Rows up to this many take one kernel and no scratch.
inline constexpr int kFusedRows = 8;
/// Scratch that a matrix product over `rows` rows needs (0 up to kFusedRows).
std::size_t operand_bytes(Precision precision, int rows, int depth);

/// y [slots*rows_per_slot, outputs] = epilogue(matrix * in), in[slot, r, tap, k] =
/// x[slot*slot_stride + r*row_stride + tap*tap_stride + k], after an optional layer norm over the depth (one tap).
/// bf16: x is taken as the sum of two bfloat16 terms (16 bits of mantissa). int8: as on the CPU; one tap.
struct LinearArgs {
    const float* x = nullptr;
    std::ptrdiff_t slot_stride = 0;
    std::ptrdiff_t row_stride = 0;
    std::ptrdiff_t tap_stride = 0;
    int taps = 1;
    int slots = 1;
    int rows_per_slot = 0;
    const float* gamma = nullptr;  ///< layer norm [depth], or null: none
    const float* beta = nullptr;
    float epsilon = 1e-5F;
    Matrix matrix;
    Epilogue epilogue;
    void* operand = nullptr;  ///< scratch of operand_bytes(precision, slots*rows_per_slot, depth), 16-byte aligned
    float* y = nullptr;
};
void linear(const CudaQueue& queue, const LinearArgs& args);

// ---- Time of the slots

/// Where each slot's stream is. Kernels read it; `advance` and `seek` write it.
struct Clock {
    std::uint64_t* position = nullptr;     ///< [slots]: token frames before this step
    std::uint64_t* start = nullptr;        ///< [slots]: position of the stream's first token frame
    const std::uint8_t* active = nullptr;  ///< [slots] or null (all): the state of inactive slots does not change
    int slots = 0;
};
/// position += tokens, for active slots.
void advance(const CudaQueue& queue, const Clock& clock, int tokens);
/// position = start = `positions[slot]` (null: 0) where mask[slot] (null: all slots).
void seek(const CudaQueue& queue, const Clock& clock, const std::uint8_t* mask, const std::uint64_t* positions);

// ---- Convolutions

/// Streaming convolution, causal: output row o of a step covers the input rows up to o*stride + stride - 1. History
/// lies in a ring: the (activated) input row of stream time t at ring[slot, t % ring_rows], t counted from position 0
/// (t = position*rows_per_token at the step's first row). Rows before the stream's start are zeros, so a reset only
/// moves the clock. A transposed convolution (kernel 2*stride, last `stride` outputs dropped) is one of two taps whose
/// outputs are the phases side by side (layers/conv_matrix.h).
struct ConvArgs {
    Clock clock;
    int tokens = 1;            ///< token frames of this step
    int rows_per_token = 1;    ///< input rows of one token frame; tokens*rows_per_token is a multiple of stride
    const float* x = nullptr;  ///< [slots, tokens*rows_per_token, inputs]
    Activation pre = Activation::none;
    float pre_slope = 0.0F;
    float* ring = nullptr;  ///< [slots, ring_rows, inputs]
    int ring_rows = 0;      ///< >= conv_ring_rows(...) of the largest step
    int inputs = 0;
    int kernel = 1;
    int stride = 1;
    int dilation = 1;
    const std::int32_t* valid = nullptr;  ///< [slots] or null (all): see valid_ratio. For the end of a stream
    int valid_ratio = 1;                  ///< input rows >= ceil(valid[slot]/valid_ratio) of this step are zeros
    Matrix matrix;                        ///< depth = kernel*inputs
    Epilogue epilogue;                    ///< residual: [slots*rows_out, outputs]
    void* operand = nullptr;              ///< scratch of operand_bytes(precision, slots*rows_out, depth)
    float* y = nullptr;                   ///< [slots, rows_out, outputs], rows_out = tokens*rows_per_token/stride
};
void conv(const CudaQueue& queue, const ConvArgs& args);
/// Rows that a ring needs for steps of up to `rows` input rows.
constexpr int conv_ring_rows(int kernel, int stride, int dilation, int rows) noexcept {
    const int history = (kernel - 1) * dilation + 1 - stride;
    return (history > 0 ? history : 0) + rows;
}

// ---- Attention

/// cos and sin [slots, tokens, half] of the rotary angles at positions position + 0 ... tokens - 1, exact for streams
/// of any length. turns_per_frame [half]: fractions of a turn in units of 2^-64, as layers/rope.h makes them.
void rope_angles(const CudaQueue& queue, const Clock& clock, const std::uint64_t* turns_per_frame, int tokens, int half,
                 float* cos, float* sin);

/// One transformer layer's attention step: rotates q and k, appends k and v to the ring, attends to the last `context`
/// positions (itself included). The key of position p lies at keys[slot, head, p % ring_rows]. q stays float32 with
/// every ring, where the CPU has two terms of int8 for an int8 ring.
struct AttentionArgs {
    Clock clock;
    int tokens = 1;
    int heads = 0;
    int head_dim = 0;  ///< 16, 32, 64 or 128
    int context = 0;
    int ring_rows = 0;                 ///< >= context + tokens - 1
    Precision ring = Precision::bf16;  ///< of keys and values
    void* keys = nullptr;              ///< [slots, heads, ring_rows, head_dim]
    void* values = nullptr;
    float* key_scales = nullptr;  ///< int8: [slots, heads, ring_rows]
    float* value_scales = nullptr;
    const float* qkv = nullptr;  ///< [slots*tokens, 3*heads*head_dim]: q, k, v, each head-major
    const float* cos = nullptr;  ///< [slots*tokens, head_dim/2]
    const float* sin = nullptr;
    float* y = nullptr;  ///< [slots*tokens, heads*head_dim]; rows of inactive slots are zeros
};
void attention(const CudaQueue& queue, const AttentionArgs& args);

// ---- Quantiser

inline constexpr int kMaxFsqDims = 16;
/// levels of each dimension; half = (levels - 1)/2; basis = product of the levels before.
struct Fsq {
    int dims = 0;
    std::int32_t levels[kMaxFsqDims] = {};
};

/// mu [slots*tokens, dimension] -> fsq_in [slots*tokens, dims] (or null) and tokens [slots*tokens]; tokens of inactive
/// slots are -1. project_in [dims, dimension] row-major, bias [dims].
struct FsqEncodeArgs {
    Clock clock;
    int tokens_per_slot = 1;
    Fsq fsq;
    const float* mu = nullptr;
    int dimension = 0;
    const float* project_in = nullptr;
    const float* bias = nullptr;
    float* fsq_in = nullptr;
    std::int32_t* tokens = nullptr;
};
void fsq_encode(const CudaQueue& queue, const FsqEncodeArgs& args);

/// What a slot remembers for concealment (models/concealment.h), and its constants. Time is in mel frames.
struct ConcealMemory {
    std::int32_t heard, last;
    std::uint32_t missing;
};
struct Concealing {
    ConcealMemory* memory = nullptr;  ///< [slots]; null: no token is lost
    int frames_per_token = 1;
    float frame_seconds = 0.0F;
    float correlation = 0.0F, decay = 1.0F;  ///< of codes, after `decay` seconds 1/e of it
    float hold = 0.0F, fade = 1.0F;          ///< seconds
    float down = 0.0F, up = 0.0F;            ///< of the noise floor, in a frame
    float silence = 0.0F;                    ///< log-mel
};

/// tokens [slots*tokens] -> y [slots*tokens, dimension] = project_out codes + bias + G[slot]. A token < 0 is lost: it
/// has the code of the last one before it, the older the weaker (without a memory: of token 0).
/// project_out [dimension, dims] row-major; g [slots, dimension] or null.
struct FsqDecodeArgs {
    Clock clock;
    int tokens_per_slot = 1;
    Fsq fsq;
    Concealing concealing = {};
    const std::int32_t* tokens = nullptr;
    int dimension = 0;
    const float* project_out = nullptr;
    const float* bias = nullptr;
    const float* g = nullptr;
    float* y = nullptr;
};
void fsq_decode(const CudaQueue& queue, const FsqDecodeArgs& args);

/// The end of a decoder's step, for active slots: mel [slots, tokens*frames_per_token, bands] of lost tokens fades to
/// the noise floor [slots, bands], that of others moves it; the memory takes note of them, and time goes on.
struct ConcealArgs {
    Clock clock;
    int tokens_per_slot = 1;
    Concealing concealing = {};
    const std::int32_t* tokens = nullptr;
    float* floor = nullptr;
    float* mel = nullptr;
    int bands = 0;
};
void conceal(const CudaQueue& queue, const ConcealArgs& args);

/// active[slot] = tokens[slot*stride] >= 0: the mask of a decoder's step from its tokens.
void mask_of_tokens(const CudaQueue& queue, const std::int32_t* tokens, int slots, int stride, std::uint8_t* active);

// ---- Rows

/// y[i] = act(x[i]); y may be x.
void activate(const CudaQueue& queue, Activation activation, float slope, const float* x, std::size_t count, float* y);
/// Rows of `width` values of 4 bytes, `from_stride` and `to_stride` values apart.
void copy_rows(const CudaQueue& queue, const void* from, std::ptrdiff_t from_stride, void* to, std::ptrdiff_t to_stride,
               int rows, int width);
/// mean [slots, channels] over the first `valid[slot]` (null: all) of x [slots, rows, channels].
void mean_rows(const CudaQueue& queue, const float* x, int slots, int rows, int channels, const std::int32_t* valid,
               float* mean);

}  // namespace secousti::core::cuda

// The kernel table: every arithmetic loop of the engine, one pointer each, filled once per instruction set.
//
// Rules of the table:
//  - Activations are float32 rows, time-major: [rows, channels].
//  - A kernel allocates nothing, locks nothing and reports nothing; callers pass valid shapes.
//  - Kernels are batch-invariant: each output element is reduced in an order that depends on the shapes of one row
//    only, never on `rows` or on the panel range, so any split of the rows or of the outputs gives the same bits.
//  - Buffers of `n` floats are read and written for exactly `n` floats, unless a comment says otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace secousti::core {

/// How packed weights lie in memory. Sums are float32, except of int8, whose sums are exact integers. fp16 is for
/// weights alone, of a model at fp32 whose file holds them so: they are widened exactly, so that nothing but the bytes
/// changes.
enum class Precision : std::int32_t { fp32, bf16, int8, fp16 };

/// Bytes of one value.
constexpr std::size_t bytes_of(Precision precision) noexcept {
    return precision == Precision::fp32 ? 4U : precision == Precision::int8 ? 1U : 2U;
}

/// Rows of int8 activations are zero-filled to whole cache lines.
constexpr int int8_stride(int depth) noexcept { return (depth + 63) / 64 * 64; }

enum class Activation : std::int32_t { none, elu, gelu, relu, leaky_relu, tanh };

/// Bytes of a row of `width` values as narrow_rows writes it: bf16 filled to pairs with zero; int8 filled to fours and
/// followed by the row's scale (a float).
constexpr int narrow_row_bytes(Precision precision, int width) noexcept {
    return precision == Precision::bf16 ? (width + 1) / 2 * 4 : (width + 3) / 4 * 4 + 4;
}
inline constexpr int kMaxNarrowWidth = 4096;

/// Rows on their way into a convolution with narrow activations: y = narrow(act(x)), or of snake(x) if `alpha` is
/// given.
struct NarrowArgs {
    const float* x = nullptr;  ///< [rows, width]
    int rows = 0;
    int width = 0;  ///< at most kMaxNarrowWidth
    Activation activation = Activation::none;
    float slope = 0.0F;                     ///< of leaky_relu
    const float* alpha = nullptr;           ///< [width] or null
    const float* inverse_alpha = nullptr;   ///< [width]
    Precision precision = Precision::bf16;  ///< bf16 (to nearest even) or int8 (max |y| / 127 a row)
    std::byte* y = nullptr;                 ///< [rows, narrow_row_bytes(precision, width)]
};

/// Windowed matrix product: linear layers, convolutions and transposed convolutions.
///   y[m, n] = residual[m, n] + scale[n] * act(bias[n] + sum_{tap, k} in[m, tap, k] * weights[n, tap, k])
///   in[m, tap, k] = x[m*row_stride + tap*tap_stride + k]
/// A linear layer has one tap; a convolution over time-major rows has `kernel` taps whose stride is dilation*channels,
/// and row_stride = stride*channels. `y` may alias `residual`, never `x`.
///  - fp16, bf16: the weights are rounded to float16 or bfloat16 (to nearest even); all else is as with fp32, bit for
///    bit.
///  - int8: the weights of each output are integers -127..127 times a scale, and so is each row of x (quantise_rows);
///    the sum is float(exact integer sum) * (row scale * output scale). One tap only.
/// With `window` instead of `x` activations are narrow too, and strides count bytes. Each output is one chain over
/// taps:
///  - bf16: of pairs of exact products, the second of a pair first (what one AVX-512 BF16 instruction does);
///  - int8: of float(exact integer sum of the tap) * (row scale * scale of output and tap).
struct LinearArgs {
    const float* x = nullptr;
    std::ptrdiff_t row_stride = 0;  ///< floats from one output row's window to the next
    int taps = 1;
    std::ptrdiff_t tap_stride = 0;  ///< floats from one tap to the next
    int depth = 0;                  ///< floats read at each tap
    int rows = 0;
    int outputs = 0;
    Precision precision = Precision::fp32;  ///< of the weights
    const void* weights = nullptr;          ///< packed by pack_linear
    const std::byte* window = nullptr;      ///< rows by narrow_rows; weights by pack_narrow
    const std::int8_t* x_int8 = nullptr;    ///< int8, in place of x: [rows, terms, int8_stride(depth)] by quantise_rows
    const float* x_scales = nullptr;        ///< int8: [rows, terms]
    int terms = 1;                          ///< int8: 1 or 2; the products of a row's terms are added
    const float* bias = nullptr;            ///< [outputs] or null
    Activation activation = Activation::none;
    float slope = 0.0F;               ///< of leaky_relu
    const float* scale = nullptr;     ///< [outputs] or null (1)
    const float* residual = nullptr;  ///< rows of `outputs` floats, or null (0)
    std::ptrdiff_t residual_stride = 0;
    float* y = nullptr;
    std::ptrdiff_t y_stride = 0;
};

inline constexpr int kMaxHeadDim = 512;

/// One transformer layer's attention over `rows` new positions, in order: rotates q and k, appends k and v to the ring,
/// attends to the last `context` positions (itself included). Heads do not depend on each other. With an int8 ring q is
/// two terms of int8 as well (quantise_rows), so that scores are exact integers times scales.
struct AttentionArgs {
    const float* qkv = nullptr;        ///< [rows, 3*heads*head_dim]: q, k, v, each head-major
    const float* rope_cos = nullptr;   ///< [rows, head_dim/2]
    const float* rope_sin = nullptr;   ///< [rows, head_dim/2]
    Precision ring = Precision::fp32;  ///< of keys and values
    void* keys = nullptr;              ///< ring [heads, context, head_dim]; slot of position p is p % context
    void* values = nullptr;            ///< ring [heads, context, head_dim]
    float* key_scales = nullptr;       ///< int8: [heads, context], max |key| / 127 of a row, as quantise_rows has it
    float* value_scales = nullptr;     ///< int8: [heads, context]
    float* scores = nullptr;           ///< scratch, `context` rounded up to 64 floats; a call's own
    float* y = nullptr;                ///< [rows, heads*head_dim]
    int rows = 0;
    int heads = 0;
    int head_dim = 0;  ///< a multiple of 2, at most kMaxHeadDim
    int context = 0;
    std::uint64_t position = 0;  ///< of the first new row
    std::uint64_t start = 0;     ///< position of the stream's first row: keys before it do not exist
};

/// Tables of one FFT length (a power of two >= 16), made by layers/fft.h. The complex FFT of length/2 points is seen as
/// a matrix of `rows` rows and length/2/rows columns.
struct FftTables {
    int length = 0;                   ///< real samples
    int rows = 0;                     ///< a power of two near sqrt(length/2)
    const float* root_cos = nullptr;  ///< [length]: cos(2 pi k / length)
    const float* root_sin = nullptr;
    const float* step_cos = nullptr;  ///< [rows, columns]: cos(2 pi i j / (length/2))
    const float* step_sin = nullptr;
};

struct Backend {
    const char* name;  ///< "scalar", "avx2", "avx512", "avx512vnni", "avx512bf16", "neon", "neondot"
    int panel;         ///< outputs packed side by side: [ceil(outputs/panel), taps*depth, panel], zero-filled

    std::size_t (*packed_bytes)(Precision precision, int outputs, int inputs);
    /// weights [outputs, inputs] row-major (inputs = taps*depth) -> packed.
    void (*pack_linear)(Precision precision, const float* weights, int outputs, int inputs, void* packed);
    /// int8 from weights [outputs, inputs] that are integers -127..127 already, and their scales [outputs].
    void (*pack_integers)(const std::int8_t* weights, const float* scales, int outputs, int inputs, void* packed);
    /// Rows of `depth` floats -> x_int8 [rows, terms, int8_stride(depth)] and scales [rows, terms]: x is about the sum
    /// of scale * x_int8 over the terms. Of the first, scale = max |x| / 127; the second is what the first leaves,
    /// quantised likewise: 15 bits in all. Rows that hold NaN or infinity get NaN scales.
    void (*quantise_rows)(const float* x, int rows, int depth, int terms, std::int8_t* x_int8, float* scales);
    std::size_t (*packed_narrow_bytes)(Precision precision, int outputs, int taps, int depth);
    /// weights [outputs, taps, depth] row-major -> packed, for products of narrow rows.
    void (*pack_narrow)(Precision precision, const float* weights, int outputs, int taps, int depth, void* packed);
    void (*narrow_rows)(const NarrowArgs& args);
    /// Computes the outputs of panels [panel_begin, panel_end) for all rows.
    void (*linear)(const LinearArgs& args, int panel_begin, int panel_end);

    /// y = (x - mean) / sqrt(var + eps) * gamma + beta per row of `dim` floats.
    void (*layer_norm)(const float* x, const float* gamma, const float* beta, float eps, int rows, int dim, float* y);
    /// Computes heads [head_begin, head_end).
    void (*attention)(const AttentionArgs& args, int head_begin, int head_end);
    /// y = act(x) over `count` floats; y may be x.
    void (*activate)(Activation activation, float slope, const float* x, std::size_t count, float* y);
    /// y[r, c] = x[r, c] + sin^2(alpha[c] * x[r, c]) * inverse_alpha[c]; y may be x.
    void (*snake)(const float* x, const float* alpha, const float* inverse_alpha, int rows, int channels, float* y);
    /// y[i] = scale * (x0[i] + x1[i] + x2[i]); y may be any of them.
    void (*sum3)(const float* x0, const float* x1, const float* x2, float scale, std::size_t count, float* y);
    /// y[i] = x0[i] + x1[i]; y may be either.
    void (*add)(const float* x0, const float* x1, std::size_t count, float* y);
    /// y[r, c] = x[r, c] + v[c]; y may be x.
    void (*add_row)(const float* x, const float* v, int rows, int channels, float* y);

    /// FSQ of rows [rows, dims] of projected values: code = round_half_even(half[d] * 0.999 * tanh(y)), token =
    /// sum_d (code_d + half[d]) * basis[d]. `half[d]` = (levels_d - 1)/2. NaN gives code 0.
    void (*fsq_quantise)(const float* y, const float* half, const std::int32_t* basis, int rows, int dims,
                         std::int32_t* tokens);

    /// Real FFT without scaling: x [length] -> re, im [length/2 + 1]. `work` has length floats. x may not alias.
    void (*rfft)(const FftTables& tables, const float* x, float* work, float* re, float* im);
    /// Inverse with the factor 1/length: re, im [length/2 + 1] -> x [length]; im[0] and im[length/2] are taken as 0.
    /// `work` has 2*length floats.
    void (*irfft)(const FftTables& tables, const float* re, const float* im, float* work, float* x);
    /// y[i] = sqrt(re[i]^2 + im[i]^2 + eps).
    void (*magnitude)(const float* re, const float* im, float eps, int count, float* y);
    /// y[i] = log(max(x[i], floor)); floor >= FLT_MIN; y may be x.
    void (*log_floor)(const float* x, float floor, int count, float* y);
    /// y[i] = exp(x[i]); y may be x.
    void (*exp)(const float* x, int count, float* y);
    /// Sparse bands: y[b] = sum_{i < length[b]} weights[offset[b] + i] * x[start[b] + i].
    void (*band_sum)(const float* x, const std::int32_t* start, const std::int32_t* length, const std::int32_t* offset,
                     const float* weights, int bands, float* y);
    /// y[i] = x0[i] * x1[i]; y may be either.
    void (*multiply)(const float* x0, const float* x1, std::size_t count, float* y);
    /// y[i] = (1 - fraction[i]) * values[index[i]] + fraction[i] * values[index[i] + 1].
    void (*interpolate)(const float* values, const std::int32_t* index, const float* fraction, int count, float* y);
    /// One step of accelerated Griffin-Lim on `count` bins: c = x + momentum * (x - previous), previous = x,
    /// x = c / |c| * magnitude * gain; where c is 0, x becomes 0.
    void (*griffin_lim)(const float* magnitude, const float* gain, float momentum, int count, float* re, float* im,
                        float* previous_re, float* previous_im);
    /// HiFT head, rows [rows, 2*bins] -> same shape: m = min(exp(x[:bins]), 100), p = sin(x[bins:]);
    /// y[:bins] = m*cos(p), y[bins:] = m*sin(p). y may be x.
    void (*polar_head)(const float* x, int rows, int bins, float* y);

    /// For benchmarks: multiply-adds of a precision in registers alone. Returns how many operations it did, two each.
    std::uint64_t (*multiply_add)(Precision precision, int rounds, float* sink);
};

/// The fastest table this processor runs, or the one that SECOUSTI_ISA names. Throws Error(unsupported) when the
/// variable names an ISA that is unknown, not built in or not available here; the message lists those that are.
const Backend& default_backend();
/// The table called `name`; throws Error(unsupported) as above.
const Backend& backend_by_name(const char* name);
/// Tables that this processor runs, fastest first.
std::span<const Backend* const> available_backends();

}  // namespace secousti::core

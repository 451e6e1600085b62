// Panels and register tiles of the matrix products, and what follows the sums. Included after vector_math.h.
#pragma once

namespace secousti::core {
namespace {

inline constexpr int kPanelVectors = 4;
inline constexpr int kPanel = kPanelVectors * kWidth;
inline constexpr int kPrefetchBytes = 8192;  // ahead; hides memory latency when few rows stream the weights

inline int panels_of(int outputs) { return (outputs + kPanel - 1) / kPanel; }
inline int vectors_of(int live_outputs) {
    return live_outputs >= kPanel ? kPanelVectors : (live_outputs + kWidth - 1) / kWidth;
}

/// The lines of `bytes` bytes, some way ahead of `p`.
template <int kBytes>
SIMD_INLINE void prefetch_ahead(const void* p) {
    const char* ahead = static_cast<const char*>(p) + kPrefetchBytes;
#pragma GCC unroll 8
    for (int line = 0; line < kBytes; line += 64) __builtin_prefetch(ahead + line);
}

/// Kind::run<rows, vectors, Prefetch>, for 1 to kTileRows rows and 1 to kPanelVectors vectors of outputs.
template <class Kind, bool Prefetch, int Rows = kTileRows, int Vectors = kPanelVectors>
auto tile_of(int rows, int vectors) {
    if constexpr (Rows > 1) {
        if (rows < Rows) return tile_of<Kind, Prefetch, Rows - 1, Vectors>(rows, vectors);
    }
    if constexpr (Vectors > 1) {
        if (vectors < Vectors) return tile_of<Kind, Prefetch, Rows, Vectors - 1>(rows, vectors);
    }
    return &Kind::template run<Rows, Vectors, Prefetch>;
}

SIMD_INLINE V activated(Activation activation, V slope, V x) {
    const V zero = set1(0.0F);
    switch (activation) {
        case Activation::elu:
            return select(less(zero, x), x, vexpm1(x));
        case Activation::gelu:
            return vgelu(x);
        case Activation::relu:
            return max(zero, x);
        case Activation::leaky_relu:
            return select(less(zero, x), x, mul(slope, x));
        case Activation::tanh:
            return vtanh(x);
        case Activation::none:
            break;
    }
    return x;
}

/// Bias, activation, scale and residual of `rows` rows of one panel, from the sums to y.
template <Activation kActivation>
void epilogue(const LinearArgs& args, int first_output, int first_row, int rows, const float* sums) {
    const int outputs = args.outputs - first_output < kPanel ? args.outputs - first_output : kPanel;
    const V slope = set1(args.slope);
    for (int r = 0; r < rows; ++r) {
        const float* sum = sums + r * kPanel;
        float* y = args.y + (first_row + r) * args.y_stride + first_output;
        const float* residual =
            args.residual ? args.residual + (first_row + r) * args.residual_stride + first_output : nullptr;
        for (int n = 0; n < outputs; n += kWidth) {
            const int left = outputs - n < kWidth ? outputs - n : kWidth;
            V v = load(sum + n);
            if (args.bias) v = add(v, load_n(args.bias + first_output + n, left));
            v = activated(kActivation, slope, v);
            if (args.scale) v = mul(v, load_n(args.scale + first_output + n, left));
            if (residual) v = add(v, load_n(residual + n, left));
            store_n(y + n, v, left);
        }
    }
}

void finish(const LinearArgs& args, int first_output, int first_row, int rows, const float* sums) {
    switch (args.activation) {
        case Activation::none:
            return epilogue<Activation::none>(args, first_output, first_row, rows, sums);
        case Activation::elu:
            return epilogue<Activation::elu>(args, first_output, first_row, rows, sums);
        case Activation::gelu:
            return epilogue<Activation::gelu>(args, first_output, first_row, rows, sums);
        case Activation::relu:
            return epilogue<Activation::relu>(args, first_output, first_row, rows, sums);
        case Activation::leaky_relu:
            return epilogue<Activation::leaky_relu>(args, first_output, first_row, rows, sums);
        case Activation::tanh:
            return epilogue<Activation::tanh>(args, first_output, first_row, rows, sums);
    }
}

}  // namespace
}  // namespace secousti::core

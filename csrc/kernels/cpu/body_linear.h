// The windowed matrix product. Included after vector_math.h.
//
// A panel is four vectors of outputs. A register tile is up to kTileRows rows of one panel; each of its elements is
// one chain of fused multiply-adds over (tap, k) in order, so its bits depend on neither the tile nor the panel range.
#pragma once

namespace secousti::core {
namespace {

inline constexpr int kPanelVectors = 4;
inline constexpr int kPanel = kPanelVectors * kWidth;
inline constexpr int kRowBlock = 8 * kTileRows;  // rows whose partial sums wait on the stack between depth blocks
inline constexpr int kDepthBlock = 1 << (kWidth == 16 ? 10 : 11);  // of one panel: <= 256 KiB, a part of L2
inline constexpr int kPrefetch = 2048;  // floats ahead; hides memory latency when few rows stream the weights

void pack_linear(const float* __restrict weights, int outputs, int inputs, float* __restrict packed) {
    const int panels = (outputs + kPanel - 1) / kPanel;
    for (int p = 0; p < panels; ++p) {
        float* panel = packed + static_cast<std::ptrdiff_t>(p) * inputs * kPanel;
        for (int n = 0; n < kPanel; ++n) {
            const int output = p * kPanel + n;
            const float* row = weights + static_cast<std::ptrdiff_t>(output) * inputs;
            for (int k = 0; k < inputs; ++k)
                panel[static_cast<std::ptrdiff_t>(k) * kPanel + n] = output < outputs ? row[k] : 0.0F;
        }
    }
}

/// Where the window of a row lies.
struct Window {
    std::ptrdiff_t row_stride;
    std::ptrdiff_t tap_stride;
    int depth;
};

/// sums [Rows, kPanel] += x (windowed) * weights over flattened inputs [begin, end); starts from zero when begin is 0.
template <int Rows, int Vectors, bool Prefetch>
void tile(const float* __restrict x, const Window& window, const float* __restrict weights, int begin, int end,
          float* __restrict sums) {
    V acc[Rows][Vectors];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) acc[r][v] = begin == 0 ? set1(0.0F) : load(sums + r * kPanel + v * kWidth);
    }
    const std::ptrdiff_t row_stride = window.row_stride;
    for (int at = begin; at < end;) {
        const int tap = at / window.depth;
        const int first = at - tap * window.depth;
        const int count = window.depth - first < end - at ? window.depth - first : end - at;
        const float* in = x + tap * window.tap_stride + first;
        for (int k = 0; k < count; ++k, weights += kPanel) {
            if constexpr (Prefetch) {
#pragma GCC unroll 8
                for (int line = 0; line < Vectors * kWidth; line += 16) __builtin_prefetch(weights + kPrefetch + line);
            }
            V broadcast[Rows];
#pragma GCC unroll 8
            for (int r = 0; r < Rows; ++r) broadcast[r] = set1(in[r * row_stride + k]);
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) {
                const V w = load(weights + v * kWidth);
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) acc[r][v] = fma(broadcast[r], w, acc[r][v]);
            }
        }
        at += count;
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) store(sums + r * kPanel + v * kWidth, acc[r][v]);
    }
}

using TileFn = void (*)(const float*, const Window&, const float*, int, int, float*);

template <int Rows, bool Prefetch>
TileFn tile_of_vectors(int vectors) {
    if constexpr (Rows > kTileRows) {
        return nullptr;
    } else {
        switch (vectors) {
            case 1:
                return tile<Rows, 1, Prefetch>;
            case 2:
                return tile<Rows, 2, Prefetch>;
            case 3:
                return tile<Rows, 3, Prefetch>;
            default:
                return tile<Rows, 4, Prefetch>;
        }
    }
}

template <bool Prefetch>
TileFn tile_of(int rows, int vectors) {
    static_assert(kTileRows <= 6);
    switch (rows) {
        case 1:
            return tile_of_vectors<1, Prefetch>(vectors);
        case 2:
            return tile_of_vectors<2, Prefetch>(vectors);
        case 3:
            return tile_of_vectors<3, Prefetch>(vectors);
        case 4:
            return tile_of_vectors<4, Prefetch>(vectors);
        case 5:
            return tile_of_vectors<5, Prefetch>(vectors);
        default:
            return tile_of_vectors<6, Prefetch>(vectors);
    }
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

void linear(const LinearArgs& args, int panel_begin, int panel_end) {
    alignas(64) float sums[kRowBlock * kPanel];
    const int inputs = args.taps * args.depth;
    Window window{args.row_stride, args.tap_stride, args.depth};
    if (window.tap_stride == window.depth) window.depth = inputs;  // adjacent taps are one long tap
    for (int panel = panel_begin; panel < panel_end; ++panel) {
        const int first_output = panel * kPanel;
        const int live = args.outputs - first_output;
        const int vectors = live >= kPanel ? kPanelVectors : (live + kWidth - 1) / kWidth;
        const float* weights = args.weights + static_cast<std::ptrdiff_t>(panel) * inputs * kPanel;
        for (int row = 0; row < args.rows; row += kRowBlock) {
            const int block = args.rows - row < kRowBlock ? args.rows - row : kRowBlock;
            const int tiles = (block + kTileRows - 1) / kTileRows;
            for (int begin = 0; begin < inputs; begin += kDepthBlock) {
                const int end = inputs - begin < kDepthBlock ? inputs : begin + kDepthBlock;
                for (int t = 0, done = 0; t < tiles; ++t) {
                    const int rows = (block - done + tiles - t - 1) / (tiles - t);  // tiles of nearly equal height
                    // The first tile brings the weights in; the others find them in L2.
                    const TileFn run = row + done == 0 ? tile_of<true>(rows, vectors) : tile_of<false>(rows, vectors);
                    run(args.x + (row + done) * args.row_stride, window,
                        weights + static_cast<std::ptrdiff_t>(begin) * kPanel, begin, end, sums + done * kPanel);
                    done += rows;
                }
            }
            finish(args, first_output, row, block, sums);
        }
    }
}

}  // namespace
}  // namespace secousti::core

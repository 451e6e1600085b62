// The windowed matrix product with float32, float16 and bfloat16 weights. Included after body_epilogue.h.
//
// A panel is four vectors of outputs. A register tile is up to kTileRows rows of one panel; each of its elements is
// one chain of fused multiply-adds over (tap, k) in order, so its bits depend on neither the tile nor the panel range.
#pragma once

namespace secousti::core {
namespace {

inline constexpr int kRowBlock = 8 * kTileRows;  // rows whose partial sums wait on the stack between depth blocks
inline constexpr int kDepthBlock = 1 << (kWidth == 16 ? 10 : 11);  // of one panel: <= 256 KiB, a part of L2

inline std::ptrdiff_t panel_elements(int inputs) { return static_cast<std::ptrdiff_t>(inputs) * kPanel; }

/// Panels of float or Half, by squares of a vector's width.
template <class W>
void pack_in_order(const float* __restrict weights, int outputs, int inputs, W* __restrict packed) {
    const int vectors = panels_of(outputs) * kPanelVectors;
    for (int v = 0; v < vectors; ++v) {
        W* to = packed + v / kPanelVectors * panel_elements(inputs) + v % kPanelVectors * kWidth;
        for (int k = 0; k < inputs; k += kWidth) {
            const int n = inputs - k < kWidth ? inputs - k : kWidth;
            V square[kWidth];
            for (int r = 0; r < kWidth; ++r) {
                const int output = v * kWidth + r;
                square[r] = set1(0.0F);
                if (output >= outputs) continue;
                const float* row = weights + static_cast<std::ptrdiff_t>(output) * inputs + k;
                square[r] = n == kWidth ? load(row) : load_n(row, n);
            }
            transpose(square);
            for (int r = 0; r < n; ++r) store(to + static_cast<std::ptrdiff_t>(k + r) * kPanel, square[r]);
        }
    }
}

/// Two vectors of outputs interleave, so that one load and two bit operations widen both.
void pack_bf16(const float* __restrict weights, int outputs, int inputs, std::uint16_t* __restrict packed) {
    for (int p = 0; p < panels_of(outputs); ++p) {
        std::uint16_t* panel = packed + p * panel_elements(inputs);
        for (int n = 0; n < kPanel; ++n) {
            const int vector = n / kWidth, lane = n % kWidth;
            const int place = vector / 2 * 2 * kWidth + 2 * lane + vector % 2;
            const int output = p * kPanel + n;
            const float* row = weights + static_cast<std::ptrdiff_t>(output) * inputs;
            for (int k = 0; k < inputs; ++k)
                panel[static_cast<std::ptrdiff_t>(k) * kPanel + place] = output < outputs ? to_bf16(row[k]) : 0;
        }
    }
}

/// Where the window of a row lies.
struct Window {
    std::ptrdiff_t row_stride;
    std::ptrdiff_t tap_stride;
    int depth;
};

template <class W>
SIMD_INLINE void load_two(const W* weights, V& first, V& second) {
    first = load(weights);
    second = load(weights + kWidth);
}
SIMD_INLINE void load_two(const std::uint16_t* weights, V& first, V& second) {
    load_bf16_pairs(weights, first, second);
}

template <class W>
struct FloatTile {
    /// sums [Rows, kPanel] += x (windowed) * weights over flattened inputs [begin, end); starts from zero when begin
    /// is 0.
    template <int Rows, int Vectors, bool Prefetch>
    static void run(const float* __restrict x, const Window& window, const W* __restrict weights, int begin, int end,
                    float* __restrict sums) {
        V acc[Rows][Vectors];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v)
                acc[r][v] = begin == 0 ? set1(0.0F) : load(sums + r * kPanel + v * kWidth);
        }
        const std::ptrdiff_t row_stride = window.row_stride;
        for (int at = begin; at < end;) {
            const int tap = at / window.depth;
            const int first = at - tap * window.depth;
            const int count = window.depth - first < end - at ? window.depth - first : end - at;
            const float* in = x + tap * window.tap_stride + first;
            for (int k = 0; k < count; ++k, weights += kPanel) {
                if constexpr (Prefetch) prefetch_ahead<Vectors * kWidth* static_cast<int>(sizeof(W))>(weights);
                V broadcast[Rows];
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) broadcast[r] = set1(in[r * row_stride + k]);
#pragma GCC unroll 8
                for (int v = 0; v < Vectors; v += 2) {
                    V w[2];
                    load_two(weights + v * kWidth, w[0], w[1]);
#pragma GCC unroll 8
                    for (int r = 0; r < Rows; ++r) acc[r][v] = fma(broadcast[r], w[0], acc[r][v]);
                    if (v + 1 < Vectors) {
#pragma GCC unroll 8
                        for (int r = 0; r < Rows; ++r) acc[r][v + 1] = fma(broadcast[r], w[1], acc[r][v + 1]);
                    }
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
};

template <class W>
void linear_float(const LinearArgs& args, int panel_begin, int panel_end) {
    alignas(64) float sums[kRowBlock * kPanel];
    const int inputs = args.taps * args.depth;
    Window window{args.row_stride, args.tap_stride, args.depth};
    if (window.tap_stride == window.depth) window.depth = inputs;  // adjacent taps are one long tap
    for (int panel = panel_begin; panel < panel_end; ++panel) {
        const int first_output = panel * kPanel;
        const int vectors = vectors_of(args.outputs - first_output);
        const W* weights = static_cast<const W*>(args.weights) + panel * panel_elements(inputs);
        for (int row = 0; row < args.rows; row += kRowBlock) {
            const int block = args.rows - row < kRowBlock ? args.rows - row : kRowBlock;
            const int tiles = (block + kTileRows - 1) / kTileRows;
            for (int begin = 0; begin < inputs; begin += kDepthBlock) {
                const int end = inputs - begin < kDepthBlock ? inputs : begin + kDepthBlock;
                for (int t = 0, done = 0; t < tiles; ++t) {
                    const int rows = (block - done + tiles - t - 1) / (tiles - t);  // tiles of nearly equal height
                    // The first tile brings the weights in; the others find them in L2.
                    const auto run = row + done == 0 ? tile_of<FloatTile<W>, true>(rows, vectors)
                                                     : tile_of<FloatTile<W>, false>(rows, vectors);
                    run(args.x + (row + done) * args.row_stride, window, weights + panel_elements(begin), begin, end,
                        sums + done * kPanel);
                    done += rows;
                }
            }
            finish(args, first_output, row, block, sums);
        }
    }
}

}  // namespace
}  // namespace secousti::core

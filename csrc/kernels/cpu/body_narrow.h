// Convolutions whose activations are narrow as well: bfloat16 pairs and int8 rows that carry their scale. Included
// after body_int8.h and body_elementwise.h.
#pragma once

namespace secousti::core {
namespace {

inline int pairs_of(int depth) { return (depth + 1) / 2; }
inline int int8_scale_at(int width) { return (width + 3) / 4 * 4; }
inline std::ptrdiff_t pair_panel_elements(int taps, int depth) {
    return static_cast<std::ptrdiff_t>(taps) * pairs_of(depth) * 2 * kPanel;
}

std::size_t packed_narrow_bytes(Precision precision, int outputs, int taps, int depth) {
    const auto panels = static_cast<std::size_t>(panels_of(outputs));
    if (precision == Precision::bf16)
        return panels * static_cast<std::size_t>(pair_panel_elements(taps, depth)) * sizeof(std::uint16_t);
    return panels * static_cast<std::size_t>(taps) * static_cast<std::size_t>(int8_panel_bytes(depth));
}

/// Panels [taps, pairs, kPanel, 2].
void pack_pairs(const float* __restrict weights, int outputs, int taps, int depth, std::uint16_t* __restrict packed) {
    const int pairs = pairs_of(depth);
    for (int p = 0; p < panels_of(outputs); ++p) {
        std::uint16_t* panel = packed + p * pair_panel_elements(taps, depth);
        for (int t = 0; t < taps; ++t) {
            for (int n = 0; n < kPanel; ++n) {
                const int output = p * kPanel + n;
                const float* row = weights + (static_cast<std::ptrdiff_t>(output) * taps + t) * depth;
                for (int k = 0; k < 2 * pairs; ++k) {
                    panel[(static_cast<std::ptrdiff_t>(t * pairs + k / 2) * kPanel + n) * 2 + k % 2] =
                        output < outputs && k < depth ? to_bf16(row[k]) : 0;
                }
            }
        }
    }
}

/// One int8 panel for each panel and tap.
void pack_narrow(Precision precision, const float* weights, int outputs, int taps, int depth, void* packed) {
    if (precision == Precision::bf16)
        return pack_pairs(weights, outputs, taps, depth, static_cast<std::uint16_t*>(packed));
    const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(taps) * depth;
    for (int p = 0; p < panels_of(outputs); ++p) {
        for (int t = 0; t < taps; ++t) {
            pack_int8_panel(weights + p * kPanel * stride + static_cast<std::ptrdiff_t>(t) * depth, stride,
                            outputs - p * kPanel < kPanel ? outputs - p * kPanel : kPanel, depth,
                            static_cast<char*>(packed) + (p * taps + t) * int8_panel_bytes(depth));
        }
    }
}

/// Writes the rows that `map` makes of those at x.
template <class Map>
void narrow_as(const NarrowArgs& args, Map map) {
    const std::size_t width = static_cast<std::size_t>(args.width);
    const int bytes = narrow_row_bytes(args.precision, args.width);
    const float* x = args.x;
    std::byte* y = args.y;
    for (int r = 0; r < args.rows; ++r, x += args.width, y += bytes) {
        if (args.precision == Precision::bf16) {
            auto* out = reinterpret_cast<std::uint16_t*>(y);
            std::size_t i = 0;
            for (; i + kWidth <= width; i += kWidth) store_bf16(out + i, map(load(x + i), i, kWidth), kWidth);
            const int left = static_cast<int>(width - i);
            if (left > 0) store_bf16(out + i, map(load_n(x + i, left), i, left), left);
            if (args.width % 2 != 0) out[args.width] = 0;
        } else {
            alignas(64) float values[kMaxNarrowWidth];
            each(x, width, values, map);
            const Int8Range range = int8_range(values, args.width);
            auto* out = reinterpret_cast<std::int8_t*>(y);
            to_int8(values, args.width, range.inverse, out);
            const int end = int8_scale_at(args.width);
            for (int i = args.width; i < end; ++i) out[i] = 0;
            __builtin_memcpy(out + end, &range.scale, sizeof range.scale);
        }
    }
}

template <Activation kActivation>
void narrow_activated(const NarrowArgs& args) {
    const V slope = set1(args.slope);
    narrow_as(args, [slope](V v, std::size_t, int) { return activated(kActivation, slope, v); });
}

void narrow_rows(const NarrowArgs& args) {
    if (args.alpha != nullptr) {
        const float* alpha = args.alpha;
        const float* inverse = args.inverse_alpha;
        return narrow_as(
            args, [=](V v, std::size_t i, int n) { return snake_of(v, load_n(alpha + i, n), load_n(inverse + i, n)); });
    }
    switch (args.activation) {
        case Activation::none:
            return narrow_activated<Activation::none>(args);
        case Activation::elu:
            return narrow_activated<Activation::elu>(args);
        case Activation::gelu:
            return narrow_activated<Activation::gelu>(args);
        case Activation::relu:
            return narrow_activated<Activation::relu>(args);
        case Activation::leaky_relu:
            return narrow_activated<Activation::leaky_relu>(args);
        case Activation::tanh:
            return narrow_activated<Activation::tanh>(args);
    }
}

struct PairTile {
    /// sums [Rows, kPanel] += window * weights over flattened pairs [begin, end), `depth` pairs a tap; from zero when
    /// begin is 0.
    template <int Rows, int Vectors, bool Prefetch>
    static void run(const std::byte* __restrict x, const Window& window, const std::uint16_t* __restrict weights,
                    int begin, int end, float* __restrict sums) {
        constexpr int kPairBytes = 4;
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
            const std::byte* in = x + tap * window.tap_stride + static_cast<std::ptrdiff_t>(first) * kPairBytes;
            for (int k = 0; k < count; ++k, in += kPairBytes, weights += 2 * kPanel) {
                if constexpr (Prefetch) prefetch_ahead<Vectors * kWidth * kPairBytes>(weights);
                Pairs broadcast[Rows];
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) broadcast[r] = broadcast_pair(in + r * row_stride);
#pragma GCC unroll 8
                for (int v = 0; v < Vectors; ++v) {
                    const Pairs w = load_pairs(weights + v * 2 * kWidth);
#pragma GCC unroll 8
                    for (int r = 0; r < Rows; ++r) acc[r][v] = dot(acc[r][v], w, broadcast[r]);
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

struct Int8TapTile {
    /// sums [Rows, kPanel] += float(x * weights) * (row scale * output scale) of one tap.
    template <int Rows, int Vectors, bool Prefetch>
    static void run(const std::byte* __restrict x, std::ptrdiff_t stride, int depth, const Int8Panel& panel,
                    float* __restrict sums) {
        Ints acc[Rows][Vectors];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) acc[r][v] = load_ints(panel.start + v * kWidth);
        }
        const std::int8_t* __restrict weights = panel.weights;
        const auto* in = reinterpret_cast<const std::int8_t*>(x);
        for (int g = groups_of(depth); g > 0; --g, in += kGroup, weights += kPanel * kGroup) {
            if constexpr (Prefetch) prefetch_ahead<Vectors * kWidth * kGroup>(weights);
            Bytes broadcast[Rows];
#pragma GCC unroll 8
            for (int r = 0; r < Rows; ++r) broadcast[r] = broadcast_group(in + r * stride);
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) {
                const Bytes w = load_group(weights + v * kWidth * kGroup);
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) acc[r][v] = dot(acc[r][v], w, broadcast[r]);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) {
            float scale = 0.0F;
            __builtin_memcpy(&scale, x + r * stride + int8_scale_at(depth), sizeof scale);
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) {
                float* sum = sums + r * kPanel + v * kWidth;
                const V both = mul(set1(scale), load(panel.scales + v * kWidth));
                store(sum, fma(to_floats(acc[r][v]), both, load(sum)));
            }
        }
    }
};

/// Calls body(first row, rows, whether they are the first of all) for tiles of nearly equal height.
template <class Body>
SIMD_INLINE void each_tile(int rows, int limit, Body body) {
    const int tiles = (rows + limit - 1) / limit;
    for (int t = 0, done = 0; t < tiles; ++t) {
        const int height = (rows - done + tiles - t - 1) / (tiles - t);
        body(done, height);
        done += height;
    }
}

inline constexpr int kPairBlock = 512;  // pairs of one panel: <= 128 KiB, a part of L2

void narrow_bf16(const LinearArgs& args, int panel_begin, int panel_end) {
    alignas(64) float sums[kRowBlock * kPanel];
    const int pairs = args.taps * pairs_of(args.depth);
    Window window{args.row_stride, args.tap_stride, pairs_of(args.depth)};
    if (window.tap_stride == narrow_row_bytes(Precision::bf16, args.depth)) window.depth = pairs;
    for (int panel = panel_begin; panel < panel_end; ++panel) {
        const int vectors = vectors_of(args.outputs - panel * kPanel);
        const auto* weights =
            static_cast<const std::uint16_t*>(args.weights) + panel * pair_panel_elements(args.taps, args.depth);
        for (int row = 0; row < args.rows; row += kRowBlock) {
            const int block = args.rows - row < kRowBlock ? args.rows - row : kRowBlock;
            for (int begin = 0; begin < pairs; begin += kPairBlock) {
                const int end = pairs - begin < kPairBlock ? pairs : begin + kPairBlock;
                each_tile(block, kPairRows, [&](int first, int rows) {
                    const auto run = row + first == 0 ? tile_of<PairTile, true, kPairRows>(rows, vectors)
                                                      : tile_of<PairTile, false, kPairRows>(rows, vectors);
                    run(args.window + (row + first) * args.row_stride, window,
                        weights + static_cast<std::ptrdiff_t>(begin) * 2 * kPanel, begin, end, sums + first * kPanel);
                });
            }
            finish(args, panel * kPanel, row, block, sums);
        }
    }
}

void narrow_int8(const LinearArgs& args, int panel_begin, int panel_end) {
    alignas(64) float sums[kRowBlock * kPanel];
    for (int panel = panel_begin; panel < panel_end; ++panel) {
        const int vectors = vectors_of(args.outputs - panel * kPanel);
        for (int row = 0; row < args.rows; row += kRowBlock) {
            const int block = args.rows - row < kRowBlock ? args.rows - row : kRowBlock;
            __builtin_memset(sums, 0, sizeof(float) * static_cast<std::size_t>(block * kPanel));
            for (int tap = 0; tap < args.taps; ++tap) {
                const Int8Panel weights = int8_panel(args.weights, panel * args.taps + tap, args.depth);
                each_tile(block, kTileRows, [&](int first, int rows) {
                    const auto run = row + first == 0 ? tile_of<Int8TapTile, true>(rows, vectors)
                                                      : tile_of<Int8TapTile, false>(rows, vectors);
                    run(args.window + (row + first) * args.row_stride + tap * args.tap_stride, args.row_stride,
                        args.depth, weights, sums + first * kPanel);
                });
            }
            finish(args, panel * kPanel, row, block, sums);
        }
    }
}

/// The product that the arguments ask for.
void linear_any(const LinearArgs& args, int panel_begin, int panel_end) {
    if (args.window == nullptr) return linear(args, panel_begin, panel_end);
    if (args.precision == Precision::bf16) return narrow_bf16(args, panel_begin, panel_end);
    return narrow_int8(args, panel_begin, panel_end);
}

}  // namespace
}  // namespace secousti::core

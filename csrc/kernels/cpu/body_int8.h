// Rows of int8 with a scale, the matrix product with int8 weights and activations, and the choice of the product by
// precision. Included after body_linear.h. Integer sums are exact, so that every instruction set has the same.
#pragma once

namespace secousti::core {
namespace {

inline constexpr float kInt8Limit = 127.0F;
inline constexpr float kTiniest = 1e-30F;  // rows and outputs below it count as zero: 127/max must not overflow

SIMD_INLINE V load(const std::int8_t* p) { return load_int8(p); }
SIMD_INLINE V load_n(const std::int8_t* p, int n) {
    std::int8_t lanes[kWidth] = {};
    for (int i = 0; i < n && i < kWidth; ++i) lanes[i] = p[i];
    return load_int8(lanes);
}

/// One panel in memory: scales [kPanel], first sums [kPanel], then weights [groups, kPanel, kGroup].
struct Int8Panel {
    const float* scales;
    const std::int32_t* start;  ///< -kInt8Offset * sum of the output's weights
    const std::int8_t* weights;
};

inline int groups_of(int inputs) { return (inputs + kGroup - 1) / kGroup; }
inline std::ptrdiff_t int8_panel_bytes(int inputs) {
    return kPanel * static_cast<std::ptrdiff_t>(sizeof(float) + sizeof(std::int32_t) +
                                                static_cast<std::size_t>(groups_of(inputs)) * kGroup);
}
inline Int8Panel int8_panel(const void* packed, int panel, int inputs) {
    const char* at = static_cast<const char*>(packed) + panel * int8_panel_bytes(inputs);
    const auto* scales = reinterpret_cast<const float*>(at);
    const auto* start = reinterpret_cast<const std::int32_t*>(scales + kPanel);
    return {scales, start, reinterpret_cast<const std::int8_t*>(start + kPanel)};
}

/// How values become int8: the scale, max |x| / 127 (NaN when one is not finite), and what brings them to -127..127.
struct Int8Range {
    float scale;
    float inverse;
};

Int8Range int8_range(const float* x, int count) {
    V high = set1(0.0F), poison = set1(0.0F);
    for (int i = 0; i < count; i += kWidth) {
        const V v = load_n(x + i, count - i < kWidth ? count - i : kWidth);
        high = max(abs(v), high);
        poison = fma(v, set1(0.0F), poison);
    }
    const float top = hmax(high);
    if (!(top > kTiniest)) return {hsum(poison), 0.0F};
    return {top / kInt8Limit + hsum(poison), kInt8Limit / top};
}

/// q[i] = round(x[i] * inverse). The limits also make NaN a number; its scale carries it on.
void to_int8(const float* x, int count, float inverse, std::int8_t* q) {
    for (int i = 0; i < count; i += kWidth) {
        const int n = count - i < kWidth ? count - i : kWidth;
        const V scaled = max(mul(load_n(x + i, n), set1(inverse)), set1(-kInt8Limit));
        store_int8(q + i, round(min(scaled, set1(kInt8Limit))), n);
    }
}

void quantise_rows(const float* x, int rows, int depth, int terms, std::int8_t* x_int8, float* scales) {
    const int stride = int8_stride(depth);
    for (int r = 0; r < rows; ++r, x += depth) {
        const Int8Range range = int8_range(x, depth);
        to_int8(x, depth, range.inverse, x_int8);
        for (int i = depth; i < stride; ++i) x_int8[i] = 0;
        *scales++ = range.scale;
        x_int8 += stride;
        if (terms == 1) continue;
        // Half a step at most, whatever the row holds: so its scale needs no pass to find the largest.
        const Int8Range left{range.scale * (0.5F / kInt8Limit), range.inverse * (2.0F * kInt8Limit)};
        for (int i = 0; i < depth; i += kWidth) {
            const int n = depth - i < kWidth ? depth - i : kWidth;
            const V v = load_n(x + i, n);
            const V rest = mul(fnma(set1(range.scale), round(mul(v, set1(range.inverse))), v), set1(left.inverse));
            store_int8(x_int8 + i, round(min(max(rest, set1(-kInt8Limit)), set1(kInt8Limit))), n);
        }
        for (int i = depth; i < stride; ++i) x_int8[i] = 0;
        *scales++ = left.scale;
        x_int8 += stride;
    }
}

/// Groups of a line of memory: while so many are packed, the pieces of all outputs stay in the first cache.
inline constexpr int kPackedGroups = 64 / kGroup;

/// `count` groups of one output to its places in a panel, of which `to` is the first.
SIMD_INLINE void put_groups(const std::int8_t* from, int count, std::int8_t* to) {
    for (int g = 0; g < count; ++g) __builtin_memcpy(to + g * kPanel * kGroup, from + g * kGroup, kGroup);
}

/// `outputs` <= kPanel rows of `inputs` weights, `stride` floats apart.
void pack_int8_panel(const float* __restrict weights, std::ptrdiff_t stride, int outputs, int inputs,
                     void* __restrict packed) {
    constexpr int kBlock = kPackedGroups * kGroup;
    __builtin_memset(packed, 0, static_cast<std::size_t>(int8_panel_bytes(inputs)));
    auto* scales = static_cast<float*>(packed);
    auto* start = reinterpret_cast<std::int32_t*>(scales + kPanel);
    auto* panel = reinterpret_cast<std::int8_t*>(start + kPanel);
    float inverse[kPanel];
    for (int n = 0; n < outputs; ++n) {
        const Int8Range range = int8_range(weights + n * stride, inputs);
        scales[n] = range.scale;
        inverse[n] = range.inverse;
    }
    for (int begin = 0; begin < inputs; begin += kBlock) {
        const int count = inputs - begin < kBlock ? inputs - begin : kBlock;
        for (int n = 0; n < outputs; ++n) {
            std::int8_t q[kBlock] = {};
            to_int8(weights + n * stride + begin, count, inverse[n], q);
            std::int32_t sum = 0;
            for (int i = 0; i < kBlock; ++i) sum += q[i];
            start[n] -= kInt8Offset * sum;
            put_groups(q, groups_of(count),
                       panel + (static_cast<std::ptrdiff_t>(begin / kGroup) * kPanel + n) * kGroup);
        }
    }
}

void pack_int8(const float* weights, int outputs, int inputs, void* packed) {
    for (int p = 0; p < panels_of(outputs); ++p) {
        pack_int8_panel(weights + static_cast<std::ptrdiff_t>(p) * kPanel * inputs, inputs,
                        outputs - p * kPanel < kPanel ? outputs - p * kPanel : kPanel, inputs,
                        static_cast<char*>(packed) + p * int8_panel_bytes(inputs));
    }
}

void pack_integers(const std::int8_t* __restrict weights, const float* __restrict scales, int outputs, int inputs,
                   void* __restrict packed) {
    const int groups = inputs / kGroup, left = inputs % kGroup;
    for (int p = 0; p < panels_of(outputs); ++p) {
        const int live = outputs - p * kPanel < kPanel ? outputs - p * kPanel : kPanel;
        auto* panel_scales = reinterpret_cast<float*>(static_cast<char*>(packed) + p * int8_panel_bytes(inputs));
        auto* start = reinterpret_cast<std::int32_t*>(panel_scales + kPanel);
        auto* panel = reinterpret_cast<std::int8_t*>(start + kPanel);
        if (live < kPanel || left != 0)
            __builtin_memset(panel_scales, 0, static_cast<std::size_t>(int8_panel_bytes(inputs)));
        const std::int8_t* rows = weights + static_cast<std::ptrdiff_t>(p) * kPanel * inputs;
        for (int n = 0; n < live; ++n) {
            const std::int8_t* row = rows + static_cast<std::ptrdiff_t>(n) * inputs;
            std::int32_t sum = 0;
            for (int i = 0; i < inputs; ++i) sum += row[i];
            panel_scales[n] = scales[p * kPanel + n];
            start[n] = -kInt8Offset * sum;
            for (int i = 0; i < left; ++i)
                panel[(static_cast<std::ptrdiff_t>(groups) * kPanel + n) * kGroup + i] = row[groups * kGroup + i];
        }
        for (int begin = 0; begin < groups; begin += kPackedGroups) {
            const int count = groups - begin < kPackedGroups ? groups - begin : kPackedGroups;
            for (int n = 0; n < live; ++n) {
                const std::int8_t* from = rows + static_cast<std::ptrdiff_t>(n) * inputs + begin * kGroup;
                put_groups(from, count, panel + (static_cast<std::ptrdiff_t>(begin) * kPanel + n) * kGroup);
            }
        }
    }
}

struct Int8Tile {
    /// sums [Rows, kPanel] = float(x * weights) * (row scale * output scale)
    template <int Rows, int Vectors, bool Prefetch>
    static void run(const std::int8_t* __restrict x, int stride, const float* __restrict row_scales,
                    const Int8Panel& panel, int groups, float* __restrict sums) {
        Ints acc[Rows][Vectors];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) acc[r][v] = load_ints(panel.start + v * kWidth);
        }
        const std::int8_t* __restrict weights = panel.weights;
        for (int g = 0; g < groups; ++g, weights += kPanel * kGroup) {
            if constexpr (Prefetch) prefetch_ahead<Vectors * kWidth * kGroup>(weights);
            Bytes broadcast[Rows];
#pragma GCC unroll 8
            for (int r = 0; r < Rows; ++r) broadcast[r] = broadcast_group(x + r * stride + g * kGroup);
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) {
                const Bytes w = load_group(weights + v * kWidth * kGroup);
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) acc[r][v] = dot(acc[r][v], w, broadcast[r]);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) {
                const V scale = mul(set1(row_scales[r]), load(panel.scales + v * kWidth));
                store(sums + r * kPanel + v * kWidth, mul(to_floats(acc[r][v]), scale));
            }
        }
    }
};

/// Rows of sums [2 * rows, kPanel] in pairs -> [rows, kPanel].
void add_terms(int rows, int vectors, float* sums) {
    for (int r = 0; r < rows; ++r) {
        for (int v = 0; v < vectors; ++v) {
            const float* pair = sums + 2 * r * kPanel + v * kWidth;
            store(sums + r * kPanel + v * kWidth, add(load(pair), load(pair + kPanel)));
        }
    }
}

void linear_int8(const LinearArgs& args, int panel_begin, int panel_end) {
    alignas(64) float sums[kTileRows * kPanel];
    const int stride = int8_stride(args.depth);
    for (int p = panel_begin; p < panel_end; ++p) {
        const int vectors = vectors_of(args.outputs - p * kPanel);
        const Int8Panel panel = int8_panel(args.weights, p, args.depth);
        const int limit = kTileRows / args.terms, tiles = (args.rows + limit - 1) / limit;
        for (int t = 0, row = 0; t < tiles; ++t) {
            const int rows = (args.rows - row + tiles - t - 1) / (tiles - t);
            const auto run = row == 0 ? tile_of<Int8Tile, true>(rows * args.terms, vectors)
                                      : tile_of<Int8Tile, false>(rows * args.terms, vectors);
            run(args.x_int8 + static_cast<std::ptrdiff_t>(row) * args.terms * stride, stride,
                args.x_scales + row * args.terms, panel, groups_of(args.depth), sums);
            if (args.terms == 2) add_terms(rows, vectors, sums);
            finish(args, p * kPanel, row, rows, sums);
            row += rows;
        }
    }
}

std::size_t packed_bytes(Precision precision, int outputs, int inputs) {
    const auto panels = static_cast<std::size_t>(panels_of(outputs));
    if (precision == Precision::int8) return panels * static_cast<std::size_t>(int8_panel_bytes(inputs));
    return panels * static_cast<std::size_t>(panel_elements(inputs)) * bytes_of(precision);
}

void pack_linear(Precision precision, const float* weights, int outputs, int inputs, void* packed) {
    switch (precision) {
        case Precision::fp32:
            return pack_in_order(weights, outputs, inputs, static_cast<float*>(packed));
        case Precision::fp16:
            return pack_in_order(weights, outputs, inputs, static_cast<Half*>(packed));
        case Precision::bf16:
            return pack_bf16(weights, outputs, inputs, static_cast<std::uint16_t*>(packed));
        case Precision::int8:
            return pack_int8(weights, outputs, inputs, packed);
    }
}

void linear(const LinearArgs& args, int panel_begin, int panel_end) {
    switch (args.precision) {
        case Precision::fp32:
            return linear_float<float>(args, panel_begin, panel_end);
        case Precision::fp16:
            return linear_float<Half>(args, panel_begin, panel_end);
        case Precision::bf16:
            return linear_float<std::uint16_t>(args, panel_begin, panel_end);
        case Precision::int8:
            return linear_int8(args, panel_begin, panel_end);
    }
}

}  // namespace
}  // namespace secousti::core

// How rows become the operand of a matrix product (matrix_layout.h): an optional layer norm, then the precision.
#pragma once

#include "kernels/cuda/int8.cuh"
#include "kernels/cuda/matrix_layout.h"
#include "kernels/cuda/sources.cuh"

namespace secousti::core::cuda {

/// A layer norm in front of the product; gamma null: none.
struct Norm {
    const float* gamma;
    const float* beta;
    float epsilon;
};

struct RowStatistics {
    float mean, deviation;  ///< of the layer norm
    float scale, inverse;   ///< of int8
};

/// Normalises elements of rows.
class Normaliser {
  public:
    SIMT_DEVICE explicit Normaliser(const Norm& norm)
        : gamma_(simt::global(norm.gamma)), beta_(simt::global(norm.beta)) {}
    SIMT_DEVICE bool on() const { return static_cast<bool>(gamma_); }
    SIMT_DEVICE float operator()(float x, float mean, float deviation, int k) const {
        return fmaf((x - mean) / deviation, gamma_[k], beta_[k]);
    }
    SIMT_DEVICE Pair operator()(const Pair& p, float mean, float deviation, int k, int depth) const {
        Pair y;
        if (k < depth) y.first = (*this)(p.first, mean, deviation, k);
        if (k + 1 < depth) y.second = (*this)(p.second, mean, deviation, k + 1);
        return y;
    }

  private:
    simt::Global<const float> gamma_, beta_;
};

/// One warp: the statistics of one row that the norm and the precision need.
template <class Row>
SIMT_DEVICE RowStatistics row_statistics(const Row& row, const Norm& norm, int depth, bool int8) {
    const Normaliser normalise(norm);
    RowStatistics s{0.0F, 1.0F, 0.0F, 0.0F};
    if (normalise.on()) {
        const float size = static_cast<float>(depth);
        float sum = 0.0F;
        for (int k = 2 * simt::lane(); k < depth; k += 2 * simt::kWarp) {
            const Pair p = row.pair(k);
            sum += p.first + p.second;
        }
        s.mean = simt::warp_sum(sum) / size;
        float squares = 0.0F;
        for (int k = 2 * simt::lane(); k < depth; k += 2 * simt::kWarp) {
            const Pair p = row.pair(k);
            const float a = p.first - s.mean;
            const float b = k + 1 < depth ? p.second - s.mean : 0.0F;
            squares = fmaf(a, a, fmaf(b, b, squares));
        }
        s.deviation = sqrtf(simt::warp_sum(squares) / size + norm.epsilon);
    }
    if (int8) {
        float top = 0.0F, poison = 0.0F;
        for (int k = 2 * simt::lane(); k < depth; k += 2 * simt::kWarp) {
            Pair p = row.pair(k);
            if (normalise.on()) p = normalise(p, s.mean, s.deviation, k, depth);
            top = fmaxf(top, fmaxf(fabsf(p.first), fabsf(p.second)));
            poison = fmaf(p.first, 0.0F, fmaf(p.second, 0.0F, poison));
        }
        int8_range(simt::warp_max(top), simt::warp_sum(poison), s.scale, s.inverse);
    }
    return s;
}

/// How a lane brings elements of a row into the operand. `kItem` elements are a warp's share of one row; a lane has
/// kPairs pairs of them, the j-th at position(item, j).
struct Fp32Operand {
    static constexpr Precision kPrecision = Precision::fp32;
    static constexpr int kItem = 4 * simt::kWarp, kPairs = 2;
    using Word = float;

    SIMT_DEVICE static int position(int item, int j) { return item * kItem + 4 * simt::lane() + 2 * j; }
    template <class Out>
    SIMT_DEVICE static void put(const Pair (&p)[kPairs], float, int row, int item, int padded, Out out) {
        if (position(item, 0) >= padded) return;
        simt::store(out + (static_cast<std::ptrdiff_t>(row) * padded + position(item, 0)),
                    simt::Vector<float, 4>{{p[0].first, p[0].second, p[1].first, p[1].second}});
    }
};

/// Where a lane's words of a tensor-core tile lie.
SIMT_DEVICE std::ptrdiff_t tile_place(int row, int tile, int tiles) {
    return (static_cast<std::ptrdiff_t>(row / kRowTile) * tiles + tile) * simt::kWarp + row % kRowTile * 4 +
           simt::lane() % 4;
}

/// x = high + low, each a bfloat16: 16 bits of mantissa.
struct Bf16Operand {
    static constexpr Precision kPrecision = Precision::bf16;
    static constexpr int kTile = 16, kItem = kTile * simt::kWarp / 4, kPairs = 2;
    using Word = std::uint32_t;

    SIMT_DEVICE static int position(int item, int j) {
        return (item * (simt::kWarp / 4) + simt::lane() / 4) * kTile + 8 * j + 2 * (simt::lane() % 4);
    }
    template <class Out>
    SIMT_DEVICE static void put(const Pair (&p)[kPairs], float, int row, int item, int padded, Out out) {
        const int tile = item * (simt::kWarp / 4) + simt::lane() / 4;
        if (tile * kTile >= padded) return;
        simt::Vector<std::uint32_t, 4> words;
        SIMT_UNROLL
        for (int j = 0; j < kPairs; ++j) {
            words[j] = simt::pack_bf16(p[j].first, p[j].second);
            words[2 + j] =
                simt::pack_bf16(p[j].first - simt::bf16_low(words[j]), p[j].second - simt::bf16_high(words[j]));
        }
        simt::store(out + tile_place(row, tile, padded / kTile) * 4, words);
    }
};

struct Int8Operand {
    static constexpr Precision kPrecision = Precision::int8;
    static constexpr int kTile = 32, kItem = kTile * simt::kWarp / 4, kPairs = 4;
    using Word = std::uint32_t;

    SIMT_DEVICE static int position(int item, int j) {
        return (item * (simt::kWarp / 4) + simt::lane() / 4) * kTile + 16 * (j / 2) + 4 * (simt::lane() % 4) +
               2 * (j % 2);
    }
    template <class Out>
    SIMT_DEVICE static void put(const Pair (&p)[kPairs], float inverse, int row, int item, int padded, Out out) {
        const int tile = item * (simt::kWarp / 4) + simt::lane() / 4;
        if (tile * kTile >= padded) return;
        simt::Vector<std::uint32_t, 2> words;
        SIMT_UNROLL
        for (int half = 0; half < 2; ++half) {
            const Pair a = p[2 * half], b = p[2 * half + 1];
            words[half] = int8_byte(a.first, inverse, 0) | int8_byte(a.second, inverse, 1) |
                          int8_byte(b.first, inverse, 2) | int8_byte(b.second, inverse, 3);
        }
        simt::store(out + tile_place(row, tile, padded / kTile) * 2, words);
    }
};

inline constexpr int kHeldItems = 4;  // of a row that a warp keeps in registers

/// Gain and offset of a layer norm, for the elements that a lane holds; loaded while the previous kernel runs.
template <class Operand>
struct HeldNorm {
    Pair gamma[kHeldItems][Operand::kPairs], beta[kHeldItems][Operand::kPairs];

    SIMT_DEVICE void load(const Norm& norm, int depth) {
        const auto g = simt::global(norm.gamma), b = simt::global(norm.beta);
        if (!g) return;
        SIMT_UNROLL
        for (int i = 0; i < kHeldItems; ++i) {
            SIMT_UNROLL
            for (int j = 0; j < Operand::kPairs; ++j) {
                const int k = Operand::position(i, j);
                if (k < depth)
                    gamma[i][j].first = simt::load_constant(g + k), beta[i][j].first = simt::load_constant(b + k);
                if (k + 1 < depth) {
                    gamma[i][j].second = simt::load_constant(g + (k + 1)),
                    beta[i][j].second = simt::load_constant(b + (k + 1));
                }
            }
        }
    }
};

/// A row of at most kHeldItems items, read once: one warp normalises it and writes it. Returns its int8 scale.
template <class Operand, class Row, class Out>
SIMT_DEVICE float write_held_row(const Row& in, const Norm& norm, const HeldNorm<Operand>& affine, int row, int depth,
                                 Out out) {
    constexpr int kPairs = Operand::kPairs;
    Pair p[kHeldItems][kPairs];
    const auto each = [&](auto&& use) {
        SIMT_UNROLL
        for (int i = 0; i < kHeldItems; ++i) {
            SIMT_UNROLL
            for (int j = 0; j < kPairs; ++j) {
                const int k = Operand::position(i, j);
                if (k < depth) use(p[i][j].first, affine.gamma[i][j].first, affine.beta[i][j].first);
                if (k + 1 < depth) use(p[i][j].second, affine.gamma[i][j].second, affine.beta[i][j].second);
            }
        }
    };
    SIMT_UNROLL
    for (int i = 0; i < kHeldItems; ++i) {
        SIMT_UNROLL
        for (int j = 0; j < kPairs; ++j) p[i][j] = in.pair(Operand::position(i, j));
    }
    if (norm.gamma != nullptr) {
        const float size = static_cast<float>(depth);
        float sum = 0.0F, squares = 0.0F;
        each([&](float& x, float, float) { sum += x; });
        const float mean = simt::warp_sum(sum) / size;
        each([&](float& x, float, float) {
            x -= mean;
            squares = fmaf(x, x, squares);
        });
        const float deviation = sqrtf(simt::warp_sum(squares) / size + norm.epsilon);
        each([&](float& x, float gamma, float beta) { x = fmaf(x / deviation, gamma, beta); });
    }
    float scale = 0.0F, inverse = 0.0F;
    if constexpr (Operand::kPrecision == Precision::int8) {
        float top = 0.0F, poison = 0.0F;
        each([&](float& x, float, float) {
            top = fmaxf(top, fabsf(x));
            poison = fmaf(x, 0.0F, poison);
        });
        int8_range(simt::warp_max(top), simt::warp_sum(poison), scale, inverse);
    }
    const int padded = padded_depth(depth);
    SIMT_UNROLL
    for (int i = 0; i < kHeldItems; ++i) {
        if (i * Operand::kItem < padded) Operand::put(p[i], inverse, row, i, padded, out);
    }
    return scale;
}

template <class Operand>
SIMT_DEVICE bool held(int depth) {
    return padded_depth(depth) <= kHeldItems * Operand::kItem;
}

/// The items of a row that a block writes: `index`, `index` + `count`, ... where nothing depends on the whole row.
struct Part {
    int index = 0, count = 1;
};

/// A block of eight warps: rows [first, first + count), count <= 8, become rows 0... of `out`; `statistics` has eight
/// rows of shared memory. Ends with a barrier. Rows from `count` up to `filled` become zeros.
template <class Operand, class Source, class Out>
SIMT_DEVICE void write_operand(const Source& source, const Norm& norm, const HeldNorm<Operand>& affine, int first,
                               int count, int filled, int depth, Part part, simt::Shared<float> statistics, Out out) {
    constexpr bool kInt8 = Operand::kPrecision == Precision::int8;
    constexpr int kTogether = 4;  // items whose loads are in flight together
    const int padded = padded_depth(depth);
    const Normaliser normalise(norm);
    const bool by_row = normalise.on() || kInt8;
    const int items = (padded + Operand::kItem - 1) / Operand::kItem;
    if (by_row && held<Operand>(depth)) {
        if (simt::warp() < count) {
            const float scale =
                write_held_row(source.row(first + simt::warp()), norm, affine, simt::warp(), depth, out);
            if (kInt8 && simt::lane() == 0) statistics[4 * simt::warp() + 2] = scale;
        } else if (simt::warp() < filled) {
            const Pair zeros[Operand::kPairs] = {};
            for (int item = 0; item < items; ++item) Operand::put(zeros, 0.0F, simt::warp(), item, padded, out);
        }
        simt::barrier();
        return;
    }
    if (by_row) {
        if (simt::warp() < count) {
            const RowStatistics s = row_statistics(source.row(first + simt::warp()), norm, depth, kInt8);
            if (simt::lane() == 0)
                simt::store(statistics + 4 * simt::warp(),
                            simt::Vector<float, 4>{{s.mean, s.deviation, s.scale, s.inverse}});
        }
        simt::barrier();
    }
    const int own = (items - part.index + part.count - 1) / part.count;
    for (int base = simt::warp(); base < filled * own; base += kRowTile * kTogether) {
        Pair p[kTogether][Operand::kPairs];
        SIMT_UNROLL
        for (int n = 0; n < kTogether; ++n) {
            const int i = base + n * kRowTile, row = i / own;
            if (row >= count) continue;
            const int item = part.index + (i - row * own) * part.count;
            const auto in = source.row(first + row);
            SIMT_UNROLL
            for (int j = 0; j < Operand::kPairs; ++j) p[n][j] = in.pair(Operand::position(item, j));
        }
        SIMT_UNROLL
        for (int n = 0; n < kTogether; ++n) {
            const int i = base + n * kRowTile, row = i / own;
            if (row >= filled) continue;
            const int item = part.index + (i - row * own) * part.count;
            float inverse = 0.0F;
            if (by_row && row < count) {
                const simt::Vector<float, 4> s = simt::load<4>(statistics + 4 * row);
                inverse = s[3];
                SIMT_UNROLL
                for (int j = 0; j < Operand::kPairs; ++j) {
                    if (normalise.on()) p[n][j] = normalise(p[n][j], s[0], s[1], Operand::position(item, j), depth);
                }
            }
            Operand::put(p[n], inverse, row, item, padded, out);
        }
    }
    simt::barrier();
}

}  // namespace secousti::core::cuda

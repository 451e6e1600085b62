// Where the rows of a matrix product come from, and how they become its operand (matrix_layout.h).
#pragma once

#include "kernels/cuda/activation.h"
#include "kernels/cuda/matrix_layout.h"

namespace secousti::core::simt {

struct Pair {
    float first = 0.0F, second = 0.0F;
};

/// Rows that lie in memory: see cuda::LinearArgs.
class WindowSource {
  public:
    struct Args {
        const float* x;
        std::ptrdiff_t slot_stride, row_stride, tap_stride;
        int rows_per_slot, width, depth;  ///< width of a tap; depth = taps*width
    };

    SIMT_DEVICE explicit WindowSource(const Args& args) : args_(args), x_(global(args.x)) {}

    /// Elements k and k + 1 (k even) of a row; zeros from the depth on.
    SIMT_DEVICE Pair pair(int row, int k) const {
        const int slot = row / args_.rows_per_slot;
        const std::ptrdiff_t begin = slot * args_.slot_stride + (row - slot * args_.rows_per_slot) * args_.row_stride;
        Pair p;
        if (k < args_.depth) p.first = at(begin, k);
        if (k + 1 < args_.depth) p.second = at(begin, k + 1);
        return p;
    }
    static constexpr bool kAppends = false;

  private:
    SIMT_DEVICE float at(std::ptrdiff_t begin, int k) const {
        const int tap = k / args_.width;
        return x_[begin + tap * args_.tap_stride + (k - tap * args_.width)];
    }

    const Args& args_;
    Global<const float> x_;
};

/// Rows of one tap, 8-byte aligned: as WindowSource, with one load for two elements.
class DenseSource {
  public:
    struct Args {
        const float* x;
        std::ptrdiff_t slot_stride, row_stride;
        int rows_per_slot, depth;  ///< strides and depth even
    };

    SIMT_DEVICE explicit DenseSource(const Args& args) : args_(args), x_(global(args.x)) {}

    SIMT_DEVICE Pair pair(int row, int k) const {
        if (k >= args_.depth) return {};
        const int slot = row / args_.rows_per_slot;
        const std::ptrdiff_t begin = slot * args_.slot_stride + (row - slot * args_.rows_per_slot) * args_.row_stride;
        const Vector<float, 2> v = load<2>(x_ + (begin + k));
        return {v[0], v[1]};
    }
    static constexpr bool kAppends = false;

  private:
    const Args& args_;
    Global<const float> x_;
};

/// Windows of a streaming convolution, from the ring and the new rows: see cuda::ConvArgs.
class RingSource {
  public:
    struct Args {
        const std::uint64_t* position;
        const std::uint64_t* start;
        const std::uint8_t* active;
        const std::int32_t* valid;
        const float* x;
        float* ring;
        Activation pre;
        float pre_slope;
        int slots, rows_in, rows_out, rows_per_token, valid_ratio;
        int ring_rows, inputs, stride, dilation, history, depth;
    };

    SIMT_DEVICE explicit RingSource(const Args& args)
        : args_(args),
          position_(global(args.position)),
          start_(global(args.start)),
          active_(global(args.active)),
          valid_(global(args.valid)),
          x_(global(args.x)),
          ring_(global(args.ring)) {}

    SIMT_DEVICE Pair pair(int row, int k) const {
        const int slot = row / args_.rows_out;
        const int first = (row - slot * args_.rows_out) * args_.stride - args_.history;
        Pair p;
        if (k < args_.depth) p.first = at(slot, first, k);
        if (k + 1 < args_.depth) p.second = at(slot, first, k + 1);
        return p;
    }

    static constexpr bool kAppends = true;
    /// Writes the last `history` new rows into the ring. `worker` of `workers` threads.
    SIMT_DEVICE void append(int worker, int workers) const {
        const int kept = args_.history < args_.rows_in ? args_.history : args_.rows_in;
        const int per_slot = kept * args_.inputs;
        for (int i = worker; i < args_.slots * per_slot; i += workers) {
            const int slot = i / per_slot;
            if (active_ && active_[slot] == 0) continue;
            const int rest = i - slot * per_slot;
            const int j = args_.rows_in - kept + rest / args_.inputs;
            const int c = rest % args_.inputs;
            const std::uint64_t time = rows_before(slot) + static_cast<std::uint64_t>(j);
            ring_[ring_row(slot, time) * args_.inputs + c] = fresh(slot, j, c);
        }
    }

  private:
    SIMT_DEVICE std::uint64_t rows_before(int slot) const {
        return position_[slot] * static_cast<std::uint64_t>(args_.rows_per_token);
    }
    SIMT_DEVICE std::ptrdiff_t ring_row(int slot, std::uint64_t time) const {
        const int at = static_cast<int>(time % static_cast<std::uint64_t>(args_.ring_rows));
        return static_cast<std::ptrdiff_t>(slot) * args_.ring_rows + at;
    }
    /// Row j >= 0 of this step.
    SIMT_DEVICE float fresh(int slot, int j, int c) const {
        if (valid_) {
            const int frames = valid_[slot];
            if (j >= (frames + args_.valid_ratio - 1) / args_.valid_ratio) return 0.0F;
        }
        const float v = x_[(static_cast<std::ptrdiff_t>(slot) * args_.rows_in + j) * args_.inputs + c];
        return activated(args_.pre, args_.pre_slope, v);
    }
    SIMT_DEVICE float at(int slot, int first, int k) const {
        const int tap = k / args_.inputs;
        const int c = k - tap * args_.inputs;
        const int j = first + tap * args_.dilation;
        if (j >= 0) return fresh(slot, j, c);
        const std::uint64_t before = rows_before(slot);
        const std::uint64_t begin = start_[slot] * static_cast<std::uint64_t>(args_.rows_per_token);
        if (before < begin + static_cast<std::uint64_t>(-j)) return 0.0F;
        return ring_[ring_row(slot, before - static_cast<std::uint64_t>(-j)) * args_.inputs + c];
    }

    const Args& args_;
    Global<const std::uint64_t> position_, start_;
    Global<const std::uint8_t> active_;
    Global<const std::int32_t> valid_;
    Global<const float> x_;
    Global<float> ring_;
};

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
    SIMT_DEVICE explicit Normaliser(const Norm& norm) : gamma_(global(norm.gamma)), beta_(global(norm.beta)) {}
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
    Global<const float> gamma_, beta_;
};

/// One warp: the statistics of one row that the norm and the precision need.
template <class Source>
SIMT_DEVICE RowStatistics row_statistics(const Source& source, const Norm& norm, int row, int depth, bool int8) {
    const Normaliser normalise(norm);
    RowStatistics s{0.0F, 1.0F, 0.0F, 0.0F};
    if (normalise.on()) {
        const float size = static_cast<float>(depth);
        float sum = 0.0F;
        for (int k = 2 * lane(); k < depth; k += 2 * kWarp) {
            const Pair p = source.pair(row, k);
            sum += p.first + p.second;
        }
        s.mean = warp_sum(sum) / size;
        float squares = 0.0F;
        for (int k = 2 * lane(); k < depth; k += 2 * kWarp) {
            const Pair p = source.pair(row, k);
            const float a = p.first - s.mean;
            const float b = k + 1 < depth ? p.second - s.mean : 0.0F;
            squares = fmaf(a, a, fmaf(b, b, squares));
        }
        s.deviation = sqrtf(warp_sum(squares) / size + norm.epsilon);
    }
    if (int8) {
        constexpr float kTiniest = 1e-30F, kLimit = 127.0F;  // as kernels/cpu/body_int8.h
        float top = 0.0F, poison = 0.0F;
        for (int k = 2 * lane(); k < depth; k += 2 * kWarp) {
            Pair p = source.pair(row, k);
            if (normalise.on()) p = normalise(p, s.mean, s.deviation, k, depth);
            top = fmaxf(top, fmaxf(fabsf(p.first), fabsf(p.second)));
            poison = fmaf(p.first, 0.0F, fmaf(p.second, 0.0F, poison));
        }
        top = warp_max(top);
        s.scale = warp_sum(poison);
        if (top > kTiniest) {
            s.scale += top / kLimit;
            s.inverse = kLimit / top;
        }
    }
    return s;
}

/// How a lane brings elements of a row into the operand. `kItem` elements are a warp's share of one row.
struct Fp32Operand {
    static constexpr Precision kPrecision = Precision::fp32;
    static constexpr int kItem = 4 * kWarp;
    using Word = float;

    template <class Elements, class Out>
    SIMT_DEVICE static void write(const Elements& elements, const RowStatistics&, int row, int item, int padded,
                                  Out out) {
        const int k = item * kItem + 4 * lane();
        if (k >= padded) return;
        const Pair a = elements(k), b = elements(k + 2);
        store(out + (static_cast<std::ptrdiff_t>(row) * padded + k),
              Vector<float, 4>{{a.first, a.second, b.first, b.second}});
    }
};

/// x = high + low, each a bfloat16: 16 bits of mantissa.
struct Bf16Operand {
    static constexpr Precision kPrecision = Precision::bf16;
    static constexpr int kTile = 16;
    static constexpr int kItem = kTile * kWarp / 4;
    using Word = std::uint32_t;

    template <class Elements, class Out>
    SIMT_DEVICE static void write(const Elements& elements, const RowStatistics&, int row, int item, int padded,
                                  Out out) {
        const int tile = item * (kWarp / 4) + lane() / 4, t = lane() % 4;
        if (tile * kTile >= padded) return;
        Vector<std::uint32_t, 4> words;
        SIMT_UNROLL
        for (int half = 0; half < 2; ++half) {
            const Pair p = elements(tile * kTile + 8 * half + 2 * t);
            words[half] = pack_bf16(p.first, p.second);
            words[2 + half] = pack_bf16(p.first - bf16_low(words[half]), p.second - bf16_high(words[half]));
        }
        const std::ptrdiff_t place =
            (static_cast<std::ptrdiff_t>(row / cuda::kRowTile) * (padded / kTile) + tile) * kWarp +
            row % cuda::kRowTile * 4 + t;
        store(out + place * 4, words);
    }
};

struct Int8Operand {
    static constexpr Precision kPrecision = Precision::int8;
    static constexpr int kTile = 32;
    static constexpr int kItem = kTile * kWarp / 4;
    using Word = std::uint32_t;

    SIMT_DEVICE static std::uint32_t byte(float x, float inverse, int place) {
        const float q = rintf(fminf(127.0F, fmaxf(-127.0F, x * inverse)));
        return (static_cast<std::uint32_t>(static_cast<std::int32_t>(q)) & 0xFFU) << (8 * place);
    }
    template <class Elements, class Out>
    SIMT_DEVICE static void write(const Elements& elements, const RowStatistics& s, int row, int item, int padded,
                                  Out out) {
        const int tile = item * (kWarp / 4) + lane() / 4, t = lane() % 4;
        if (tile * kTile >= padded) return;
        Vector<std::uint32_t, 2> words;
        SIMT_UNROLL
        for (int half = 0; half < 2; ++half) {
            const Pair a = elements(tile * kTile + 16 * half + 4 * t);
            const Pair b = elements(tile * kTile + 16 * half + 4 * t + 2);
            words[half] = byte(a.first, s.inverse, 0) | byte(a.second, s.inverse, 1) | byte(b.first, s.inverse, 2) |
                          byte(b.second, s.inverse, 3);
        }
        const std::ptrdiff_t place =
            (static_cast<std::ptrdiff_t>(row / cuda::kRowTile) * (padded / kTile) + tile) * kWarp +
            row % cuda::kRowTile * 4 + t;
        store(out + place * 2, words);
    }
};

/// A block of eight warps: rows [first, first + count), count <= 8, become rows 0... of `out`; `statistics` has eight
/// rows of shared memory. Ends with a barrier. Rows from `count` up to `filled` become zeros.
template <class Operand, class Source, class Out>
SIMT_DEVICE void write_operand(const Source& source, const Norm& norm, int first, int count, int filled, int depth,
                               Shared<float> statistics, Out out) {
    constexpr bool kInt8 = Operand::kPrecision == Precision::int8;
    const int padded = cuda::padded_depth(depth);
    const Normaliser normalise(norm);
    if (normalise.on() || kInt8) {
        if (warp() < count) {
            const RowStatistics s = row_statistics(source, norm, first + warp(), depth, kInt8);
            if (lane() == 0)
                store(statistics + 4 * warp(), Vector<float, 4>{{s.mean, s.deviation, s.scale, s.inverse}});
        }
        barrier();
    }
    const int items = (padded + Operand::kItem - 1) / Operand::kItem;
    for (int i = warp(); i < filled * items; i += cuda::kRowTile) {
        const int row = i / items;
        RowStatistics s{0.0F, 1.0F, 0.0F, 0.0F};
        if ((normalise.on() || kInt8) && row < count) {
            const Vector<float, 4> v = load<4>(statistics + 4 * row);
            s = {v[0], v[1], v[2], v[3]};
        }
        const auto elements = [&](int k) {
            if (row >= count) return Pair{};
            const Pair p = source.pair(first + row, k);
            return normalise.on() ? normalise(p, s.mean, s.deviation, k, depth) : p;
        };
        Operand::write(elements, s, row, i % items, padded, out);
    }
    barrier();
}

}  // namespace secousti::core::simt

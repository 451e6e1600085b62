// Where the rows of a matrix product come from, and how they become its operand (matrix_layout.h).
#pragma once

#include "kernels/cuda/activation.h"
#include "kernels/cuda/matrix_layout.h"

namespace secousti::core::simt {

struct Pair {
    float first = 0.0F, second = 0.0F;
};

/// Division of numbers below 2^16 by one divisor: a multiplication.
struct Divisor {
    std::uint32_t value = 1;
    std::uint32_t reciprocal = 0;  ///< ceil(2^32 / value)

    static Divisor of(int value) {
        const auto d = static_cast<std::uint32_t>(value);
        return {d, static_cast<std::uint32_t>(((std::uint64_t{1} << 32U) + d - 1) / d)};
    }
    SIMT_DEVICE int quotient(int k) const {
        if (value == 1) return k;
        return static_cast<int>((static_cast<std::uint64_t>(static_cast<std::uint32_t>(k)) * reciprocal) >> 32U);
    }
};
inline constexpr int kMaxDividend = 65535;

/// A source of rows gives rows (`row`, a little arithmetic) and pairs of their elements: `pair(k)` is elements k and
/// k + 1, k even; zeros from the depth on.

/// Rows that lie in memory: see cuda::LinearArgs.
class WindowSource {
  public:
    struct Args {
        const float* x;
        std::ptrdiff_t slot_stride, row_stride, tap_stride;
        int rows_per_slot, depth;  ///< depth = taps*width
        Divisor width;             ///< of a tap
    };
    class Row {
      public:
        SIMT_DEVICE Row(const Args& args, const Global<const float>& begin) : args_(args), begin_(begin) {}
        SIMT_DEVICE Pair pair(int k) const {
            Pair p;
            if (k < args_.depth) p.first = at(k);
            if (k + 1 < args_.depth) p.second = at(k + 1);
            return p;
        }

      private:
        SIMT_DEVICE float at(int k) const {
            const int tap = args_.width.quotient(k);
            return begin_[tap * args_.tap_stride + (k - tap * static_cast<int>(args_.width.value))];
        }
        const Args& args_;
        Global<const float> begin_;
    };

    SIMT_DEVICE explicit WindowSource(const Args& args) : args_(args) {}
    SIMT_DEVICE Row row(int m) const {
        const int slot = m / args_.rows_per_slot;
        return {args_,
                global(args_.x) + (slot * args_.slot_stride + (m - slot * args_.rows_per_slot) * args_.row_stride)};
    }
    static constexpr bool kAppends = false;

  private:
    const Args& args_;
};

/// Rows of one tap, 8-byte aligned, of even strides and depth: as WindowSource, with one load for two elements.
class DenseSource {
  public:
    struct Args {
        const float* x;
        std::ptrdiff_t slot_stride, row_stride;
        int rows_per_slot, depth;
    };
    class Row {
      public:
        SIMT_DEVICE Row(int depth, const Global<const float>& begin) : depth_(depth), begin_(begin) {}
        SIMT_DEVICE Pair pair(int k) const {
            if (k >= depth_) return {};
            const Vector<float, 2> v = load<2>(begin_ + k);
            return {v[0], v[1]};
        }

      private:
        int depth_;
        Global<const float> begin_;
    };

    SIMT_DEVICE explicit DenseSource(const Args& args) : args_(args) {}
    SIMT_DEVICE Row row(int m) const {
        const int slot = m / args_.rows_per_slot;
        const std::ptrdiff_t begin = slot * args_.slot_stride + (m - slot * args_.rows_per_slot) * args_.row_stride;
        return {args_.depth, global(args_.x) + begin};
    }
    static constexpr bool kAppends = false;

  private:
    const Args& args_;
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
        int ring_rows, stride, dilation, history, depth;
        Divisor inputs;
    };

    /// Of one slot in this step.
    struct Slot {
        Global<const float> x;
        Global<float> ring;
        int fresh_rows;  ///< of x that exist
        int held;        ///< rows of the ring that exist, at most `history`
        int next;        ///< ring row of the first new row
    };

    class Row {
      public:
        SIMT_DEVICE Row(const Args& args, const Slot& slot, int first) : args_(args), slot_(slot), first_(first) {}
        SIMT_DEVICE Pair pair(int k) const {
            if (k >= args_.depth) return {};
            const int inputs = static_cast<int>(args_.inputs.value);
            const int tap = args_.inputs.quotient(k);
            if (inputs % 2 != 0) {
                const int other = args_.inputs.quotient(k + 1);
                return {one(tap, k - tap * inputs), k + 1 < args_.depth ? one(other, k + 1 - other * inputs) : 0.0F};
            }
            const int j = first_ + tap * args_.dilation, c = k - tap * inputs;
            if (j < 0) {
                if (-j > slot_.held) return {};
                const Vector<float, 2> v = load<2>(slot_.ring + (wrapped(j) * inputs + c));
                return {v[0], v[1]};
            }
            if (j >= slot_.fresh_rows) return {};
            const Vector<float, 2> v = load<2>(slot_.x + (j * inputs + c));
            return {activated(args_.pre, args_.pre_slope, v[0]), activated(args_.pre, args_.pre_slope, v[1])};
        }

      private:
        SIMT_DEVICE float one(int tap, int c) const {
            const int j = first_ + tap * args_.dilation, inputs = static_cast<int>(args_.inputs.value);
            if (j < 0) return -j > slot_.held ? 0.0F : static_cast<float>(slot_.ring[wrapped(j) * inputs + c]);
            if (j >= slot_.fresh_rows) return 0.0F;
            return activated(args_.pre, args_.pre_slope, slot_.x[j * inputs + c]);
        }
        SIMT_DEVICE int wrapped(int j) const {
            const int at = slot_.next + j;
            return at < 0 ? at + args_.ring_rows : at;
        }
        const Args& args_;
        Slot slot_;
        int first_;
    };

    SIMT_DEVICE explicit RingSource(const Args& args) : args_(args) {}

    SIMT_DEVICE Row row(int m) const {
        const int slot = m / args_.rows_out;
        return {args_, at(slot), (m - slot * args_.rows_out) * args_.stride - args_.history};
    }

    static constexpr bool kAppends = true;
    /// Writes the last `history` new rows into the ring, a warp a row. `worker` of `workers` warps.
    SIMT_DEVICE void append(int worker, int workers) const {
        const int kept = args_.history < args_.rows_in ? args_.history : args_.rows_in;
        const int inputs = static_cast<int>(args_.inputs.value);
        const auto active = global(args_.active);
        for (int i = worker; i < args_.slots * kept; i += workers) {
            const int index = i / kept, j = args_.rows_in - kept + (i - index * kept);
            if (active && active[index] == 0) continue;
            const Slot slot = at(index);
            int to = slot.next + j;
            while (to >= args_.ring_rows) to -= args_.ring_rows;
            for (int c = lane(); c < inputs; c += kWarp) {
                float v = 0.0F;
                if (j < slot.fresh_rows) v = activated(args_.pre, args_.pre_slope, slot.x[j * inputs + c]);
                slot.ring[to * inputs + c] = v;
            }
        }
    }

  private:
    SIMT_DEVICE Slot at(int slot) const {
        const std::ptrdiff_t inputs = static_cast<std::ptrdiff_t>(args_.inputs.value);
        Slot s;
        s.x = global(args_.x) + slot * args_.rows_in * inputs;
        s.fresh_rows = args_.rows_in;
        const auto valid = global(args_.valid);
        if (valid) {
            const int frames = valid[slot];
            s.fresh_rows = (frames + args_.valid_ratio - 1) / args_.valid_ratio;
        }
        s.held = 0;
        s.next = 0;
        if (args_.history > 0) {
            s.ring = global(args_.ring) + slot * args_.ring_rows * inputs;
            const std::uint64_t position = global(args_.position)[slot], start = global(args_.start)[slot];
            const std::uint64_t before = (position - start) * static_cast<std::uint64_t>(args_.rows_per_token);
            s.held = before < static_cast<std::uint64_t>(args_.history) ? static_cast<int>(before) : args_.history;
            s.next = static_cast<int>(position * static_cast<std::uint64_t>(args_.rows_per_token) %
                                      static_cast<std::uint64_t>(args_.ring_rows));
        }
        return s;
    }

    const Args& args_;
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
template <class Row>
SIMT_DEVICE RowStatistics row_statistics(const Row& row, const Norm& norm, int depth, bool int8) {
    const Normaliser normalise(norm);
    RowStatistics s{0.0F, 1.0F, 0.0F, 0.0F};
    if (normalise.on()) {
        const float size = static_cast<float>(depth);
        float sum = 0.0F;
        for (int k = 2 * lane(); k < depth; k += 2 * kWarp) {
            const Pair p = row.pair(k);
            sum += p.first + p.second;
        }
        s.mean = warp_sum(sum) / size;
        float squares = 0.0F;
        for (int k = 2 * lane(); k < depth; k += 2 * kWarp) {
            const Pair p = row.pair(k);
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
            Pair p = row.pair(k);
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
            const RowStatistics s = row_statistics(source.row(first + warp()), norm, depth, kInt8);
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
        const auto in = source.row(first + (row < count ? row : 0));
        const auto elements = [&](int k) {
            if (row >= count) return Pair{};
            const Pair p = in.pair(k);
            return normalise.on() ? normalise(p, s.mean, s.deviation, k, depth) : p;
        };
        Operand::write(elements, s, row, i % items, padded, out);
    }
    barrier();
}

}  // namespace secousti::core::simt

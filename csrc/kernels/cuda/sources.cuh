// Where the rows of a matrix product come from: memory, or the ring and the new rows of a streaming convolution.
#pragma once

#include "kernels/cuda/activation.cuh"

namespace secousti::core::cuda {

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
        SIMT_DEVICE Row(const Args& args, const simt::Global<const float>& begin) : args_(args), begin_(begin) {}
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
        simt::Global<const float> begin_;
    };

    SIMT_DEVICE explicit WindowSource(const Args& args) : args_(args) {}
    SIMT_DEVICE Row row(int m) const {
        const int slot = m / args_.rows_per_slot;
        return {args_, simt::global(args_.x) +
                           (slot * args_.slot_stride + (m - slot * args_.rows_per_slot) * args_.row_stride)};
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
        SIMT_DEVICE Row(int depth, const simt::Global<const float>& begin) : depth_(depth), begin_(begin) {}
        SIMT_DEVICE Pair pair(int k) const {
            if (k >= depth_) return {};
            const simt::Vector<float, 2> v = simt::load<2>(begin_ + k);
            return {v[0], v[1]};
        }

      private:
        int depth_;
        simt::Global<const float> begin_;
    };

    SIMT_DEVICE explicit DenseSource(const Args& args) : args_(args) {}
    SIMT_DEVICE Row row(int m) const {
        const int slot = m / args_.rows_per_slot;
        const std::ptrdiff_t begin = slot * args_.slot_stride + (m - slot * args_.rows_per_slot) * args_.row_stride;
        return {args_.depth, simt::global(args_.x) + begin};
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

    /// What a step knows of one slot.
    struct Slot {
        simt::Global<const float> x;
        simt::Global<float> ring;
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
                const simt::Vector<float, 2> v = simt::load<2>(slot_.ring + (wrapped(j) * inputs + c));
                return {v[0], v[1]};
            }
            if (j >= slot_.fresh_rows) return {};
            const simt::Vector<float, 2> v = simt::load<2>(slot_.x + (j * inputs + c));
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
        const auto active = simt::global(args_.active);
        for (int i = worker; i < args_.slots * kept; i += workers) {
            const int index = i / kept, j = args_.rows_in - kept + (i - index * kept);
            if (active && active[index] == 0) continue;
            const Slot slot = at(index);
            int to = slot.next + j;
            while (to >= args_.ring_rows) to -= args_.ring_rows;
            for (int c = simt::lane(); c < inputs; c += simt::kWarp) {
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
        s.x = simt::global(args_.x) + slot * args_.rows_in * inputs;
        s.fresh_rows = args_.rows_in;
        const auto valid = simt::global(args_.valid);
        if (valid) {
            const int frames = valid[slot];
            s.fresh_rows = (frames + args_.valid_ratio - 1) / args_.valid_ratio;
        }
        s.held = 0;
        s.next = 0;
        if (args_.history > 0) {
            s.ring = simt::global(args_.ring) + slot * args_.ring_rows * inputs;
            const std::uint64_t position = simt::global(args_.position)[slot], start = simt::global(args_.start)[slot];
            const std::uint64_t before = (position - start) * static_cast<std::uint64_t>(args_.rows_per_token);
            s.held = before < static_cast<std::uint64_t>(args_.history) ? static_cast<int>(before) : args_.history;
            s.next = static_cast<int>(position * static_cast<std::uint64_t>(args_.rows_per_token) %
                                      static_cast<std::uint64_t>(args_.ring_rows));
        }
        return s;
    }

    const Args& args_;
};

}  // namespace secousti::core::cuda

// Rows of HiFT into its rings, sums and means of signals, and the clocks of its streams.
#pragma once

#include "kernels/cuda/hift_math.cuh"

namespace secousti::core::cuda {

struct HiftFeed {
    using Args = HiftFeedArgs;
    static constexpr int kThreads = 128;

    /// Grid: (blocks of pairs of bands, slots).
    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        const int slot = simt::block_y(), pairs = (args.bands + 1) / 2;
        const int item = simt::block_x() * kThreads + simt::thread();
        if (item >= args.step.frames * pairs || !hift_active(args.step, slot)) return;
        const int r = item / pairs, c = 2 * (item - r * pairs);
        const HiftRow at(args.step, args.exact, slot, r);
        if (!at.exists) return;
        const auto mel =
            simt::global(args.mel) + (static_cast<std::ptrdiff_t>(slot) * args.step.frames + r) * args.bands + c;
        const float v0 = mel[0], v1 = c + 1 < args.bands ? static_cast<float>(mel[1]) : 0.0F;
        hift_store<false>(args.exact, slot, hift_ring_row(args.exact, at.row), c, v0, v1);
        if (args.rounded.data != nullptr) {
            hift_store<true>(args.rounded, slot, hift_ring_row(args.rounded, at.row), c, v0, v1);
        }
    }
};

/// Rows of this step in the rings of several signals, and which of them exist. The divisions are done once a block.
template <int kSignals, int kThreads>
class HiftRings {
  public:
    static constexpr int kItems = 8 * kThreads;  ///< of a block
    static constexpr std::size_t shared() { return simt::shared_bytes<int>(kSignals); }

    /// `of` says which rows there are; the rings are those of signals[0] ... in the same rows.
    SIMT_DEVICE HiftRings(const HiftStep& step, const HiftSignal& of, int slot, const HiftSignal (&signals)[kSignals]) {
        const long long first = hift_first(of, hift_frames(step, slot));
        low_ = clamp_to_int(-first);
        const int known = of.rate * step.frames;
        const int high = clamp_to_int(hift_total(of, hift_length(step, slot)) - first);
        high_ = high < known ? high : known;
        simt::SharedArena arena;
        start_ = arena.take<int>(kSignals);
        SIMT_UNROLL
        for (int i = 0; i < kSignals; ++i) {
            if (simt::thread() == i) start_[i] = hift_ring_row(signals[i], first);
            rows_[i] = signals[i].rows;
        }
        simt::barrier();
    }

    /// Calls body(rings, slot, r, c) for this block's pairs of channels c, c + 1 of the rows r that exist; `of`: the
    /// signal whose rows they are. Grid: (blocks of kItems pairs of channels, slots).
    template <class Args, class Body>
    SIMT_DEVICE static void for_pairs(const Args& args, const HiftSignal& of, const Body& body) {
        simt::wait_for_previous();
        const int slot = simt::block_y(), pairs = (args.width + 1) / 2;
        if (!hift_active(args.step, slot)) return;
        const HiftRings rings(args.step, of, slot, args.signals);
        for (int i = 0; i < kItems; i += kThreads) {
            const int item = simt::block_x() * kItems + i + simt::thread();
            const int r = item / pairs, c = 2 * (item - r * pairs);
            if (rings.exists(r)) body(rings, slot, r, c);
        }
    }

    SIMT_DEVICE bool exists(int r) const { return r >= low_ && r < high_; }
    template <int kSignal>
    SIMT_DEVICE int at(int r) const {
        const int row = start_[kSignal] + r;
        return row >= rows_[kSignal] ? row - rows_[kSignal] : row;
    }

  private:
    simt::Shared<int> start_;
    int rows_[kSignals];
    int low_, high_;
};

template <bool kBf16>
struct HiftSum {
    using Args = HiftSumArgs;
    static constexpr int kThreads = 256;
    using Rings = HiftRings<6, kThreads>;

    SIMT_DEVICE static void run(const Args& args) {
        Rings::for_pairs(args, args.signals[2], [&](const Rings& rings, int slot, int r, int c) {
            const auto trunk = simt::load<2>(hift_floats(args.signals[0], slot, rings.template at<0>(r)) + c);
            const auto source = simt::load<2>(hift_floats(args.signals[1], slot, rings.template at<1>(r)) + c);
            const bool both = c + 1 < args.width;
            const float v0 = trunk[0] + source[0], v1 = both ? trunk[1] + source[1] : 0.0F;
            hift_store<false>(args.signals[2], slot, rings.template at<2>(r), c, v0, v1);
            activate(args.signals[3], args.alpha[0], args.inverse_alpha[0], slot, rings.template at<3>(r), c, both, v0,
                     v1);
            activate(args.signals[4], args.alpha[1], args.inverse_alpha[1], slot, rings.template at<4>(r), c, both, v0,
                     v1);
            activate(args.signals[5], args.alpha[2], args.inverse_alpha[2], slot, rings.template at<5>(r), c, both, v0,
                     v1);
        });
    }

  private:
    SIMT_DEVICE static void activate(const HiftSignal& next, const float* alphas, const float* inverses, int slot,
                                     int row, int c, bool both, float v0, float v1) {
        const auto alpha = simt::global(alphas), inverse = simt::global(inverses);
        const float w0 = snake(v0, simt::load_constant(alpha + c), simt::load_constant(inverse + c));
        const float w1 =
            both ? snake(v1, simt::load_constant(alpha + c + 1), simt::load_constant(inverse + c + 1)) : 0.0F;
        hift_store<kBf16>(next, slot, row, c, w0, w1);
    }
};

template <bool kBf16>
struct HiftMean {
    using Args = HiftMeanArgs;
    static constexpr int kThreads = 256;
    using Rings = HiftRings<4, kThreads>;

    SIMT_DEVICE static void run(const Args& args) {
        Rings::for_pairs(args, args.signals[3], [&](const Rings& rings, int slot, int r, int c) {
            const auto x0 = simt::load<2>(hift_floats(args.signals[0], slot, rings.template at<0>(r)) + c);
            const auto x1 = simt::load<2>(hift_floats(args.signals[1], slot, rings.template at<1>(r)) + c);
            const auto x2 = simt::load<2>(hift_floats(args.signals[2], slot, rings.template at<2>(r)) + c);
            constexpr float kShare = 1.0F / static_cast<float>(kHiftJobs);
            const float v0 = (x0[0] + x1[0] + x2[0]) * kShare, v1 = (x0[1] + x1[1] + x2[1]) * kShare;
            hift_store<kBf16>(args.signals[3], slot, rings.template at<3>(r), c, v0 > 0.0F ? v0 : args.slope * v0,
                              v1 > 0.0F ? v1 : args.slope * v1);
        });
    }
};

struct HiftAdvance {
    using Args = HiftStep;
    static constexpr int kThreads = 128;

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        const int slot = simt::block_x() * kThreads + simt::thread();
        if (slot >= args.slots || !hift_active(args, slot)) return;
        const auto clock = simt::global(reinterpret_cast<long long*>(args.clocks + slot));
        const long long frames = clock[hift_clock::kFrames], turns = clock[hift_clock::kNextTurns];
        clock[hift_clock::kFrames] = frames + args.frames;
        clock[hift_clock::kTurns] = turns;
    }
};

struct HiftEnd {
    using Args = HiftStep;
    static constexpr int kThreads = 128;

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        const int slot = simt::block_x() * kThreads + simt::thread();
        if (slot >= args.slots || !hift_active(args, slot)) return;
        const auto clock = simt::global(reinterpret_cast<long long*>(args.clocks + slot));
        const long long frames = clock[hift_clock::kFrames];
        clock[hift_clock::kLength] = frames;
    }
};

}  // namespace secousti::core::cuda

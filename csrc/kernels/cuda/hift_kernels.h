// The kernels of HiFT around its convolutions: rows in and out of the rings, sums, the excitation and both transforms.
#pragma once

#include "base/philox.h"
#include "kernels/cuda/hift_math.h"

namespace secousti::core::cuda {

/// Row of a signal that thread-item `r` of this step stands for.
struct HiftRow {
    long long row;
    bool exists;

    SIMT_DEVICE HiftRow(const HiftStep& step, const HiftSignal& signal, int slot, int r)
        : row(hift_first(signal, hift_frames(step, slot)) + r),
          exists(row >= 0 && row < hift_total(signal, hift_length(step, slot))) {}
};

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

/// One block per mel frame of a stream.
struct HiftSource {
    using Args = HiftSourceArgs;
    static constexpr int kThreads = 256;
    static constexpr std::size_t shared() {
        return simt::shared_bytes<float>(kHiftMaxFrames) + simt::shared_bytes<unsigned long long>(kHiftMaxFrames);
    }

    static constexpr float kSineAmplitude = 0.1F, kVoicedNoise = 0.003F, kUnvoicedNoise = kSineAmplitude / 3.0F;
    static constexpr float kVoicedHz = 10.0F;
    static constexpr int kGroup = 4;  ///< harmonics that share a block of the generator
    static constexpr std::uint32_t kNoiseStream = 0, kPhaseStream = 1;

    /// Grid: (frames, slots).
    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        const int slot = simt::block_y(), mine = simt::block_x();
        if (!hift_active(args.step, slot)) return;
        simt::SharedArena arena;
        const auto f0 = arena.take<float>(kHiftMaxFrames);
        const auto steps = arena.take<unsigned long long>(kHiftMaxFrames);
        const auto weights = simt::global(args.classifier);
        for (int r = simt::warp(); r <= mine; r += kThreads / simt::kWarp) {
            const HiftRow at(args.step, args.features, slot, r);
            float sum = 0.0F;
            if (at.exists) {  // the same for the whole warp
                const auto x = hift_floats(args.features, slot, hift_ring_row(args.features, at.row));
                for (int c = simt::lane(); c < args.channels; c += simt::kWarp) {
                    const float v = x[c];
                    sum += simt::load_constant(weights + c) * v;
                }
            }
            sum = simt::warp_sum(sum);
            if (simt::lane() == 0) {
                const float hz = fabsf(sum + args.classifier_bias);
                f0[r] = hz;
                steps[r] = at.exists ? increment(hz, args.sample_rate) : 0;
            }
        }
        simt::barrier();

        const auto clock = simt::global(reinterpret_cast<unsigned long long*>(args.step.clocks + slot));
        unsigned long long turns = clock[2];
        const unsigned long long seed = clock[4], noise = clock[5];
        for (int r = 0; r < mine; ++r) {
            const unsigned long long step = steps[r];
            turns += step * static_cast<unsigned long long>(args.samples);
        }
        const unsigned long long step = steps[mine];
        if (mine + 1 == args.step.frames && simt::thread() == 0) {
            clock[3] = turns + step * static_cast<unsigned long long>(args.samples);
        }
        const HiftRow at(args.step, args.features, slot, mine);
        if (!at.exists) return;
        const float hz = f0[mine];
        const bool finite = hz < 3.4e38F;
        const bool voiced = finite && hz > kVoicedHz;
        const float sigma = noise == 0 ? 0.0F : voiced ? kVoicedNoise : kUnvoicedNoise;
        const auto out = hift_floats(args.excitation, slot, 0);
        for (int i = simt::thread(); i < args.samples; i += kThreads) {
            const unsigned long long sample =
                static_cast<unsigned long long>(at.row) * static_cast<unsigned long long>(args.samples) +
                static_cast<unsigned long long>(i);
            const unsigned long long phase = turns + step * static_cast<unsigned long long>(i + 1);
            const float value = mixed(args, phase, sample, seed, voiced, sigma);
            const int ring = hift_ring_row(args.excitation, static_cast<long long>(sample));
            out[static_cast<std::ptrdiff_t>(ring) * args.excitation.stride] = tanhf(value);
        }
    }

  private:
    /// Turns per sample in units of 2^-64; 0 for NaN and infinity.
    SIMT_DEVICE static unsigned long long increment(float hz, double sample_rate) {
        if (!(hz < 3.4e38F)) return 0;
        const double turns = static_cast<double>(hz) / sample_rate;
        return static_cast<unsigned long long>((turns - floor(turns)) * 18446744073709551616.0);
    }
    SIMT_DEVICE static PhiloxBlock draw(unsigned long long seed, unsigned long long sample, int harmonic,
                                        std::uint32_t stream) {
        return philox(seed, {static_cast<std::uint32_t>(sample), static_cast<std::uint32_t>(sample >> 32U),
                             static_cast<std::uint32_t>(harmonic / kGroup), stream});
    }
    /// Box and Muller: one of a pair of standard normal values.
    SIMT_DEVICE static float normal(std::uint32_t a, std::uint32_t b, bool second) {
        const float uniform = (static_cast<float>(a) + 0.5F) * 2.3283064365386963e-10F;
        const float angle = static_cast<float>(b) * (4.656612873077393e-10F * 3.14159265358979F);
        const float radius = sqrtf(-2.0F * logf(uniform));
        return radius * (second ? sine(angle) : cosine(angle));
    }

    SIMT_DEVICE static float mixed(const Args& args, unsigned long long phase, unsigned long long sample,
                                   unsigned long long seed, bool voiced, float sigma) {
        const auto mix = simt::global(args.mix);
        float sum = args.mix_bias;
        for (int begin = 0; begin < args.harmonics; begin += kGroup) {
            PhiloxBlock noise{}, starts{};
            if (sigma > 0.0F) {
                noise = draw(seed, sample, begin, kNoiseStream);
                starts = draw(seed, 0, begin, kPhaseStream);
            }
            SIMT_UNROLL
            for (int e = 0; e < kGroup; ++e) {
                const int h = begin + e;
                if (h >= args.harmonics) break;
                float wave = 0.0F;
                if (voiced) {
                    // The multiple of the phase modulo one turn, exactly; the first harmonic starts at 0.
                    const unsigned long long start =
                        h == 0 ? 0 : static_cast<unsigned long long>(starts[static_cast<std::size_t>(e)]) << 32U;
                    const auto turns = static_cast<long long>(static_cast<unsigned long long>(h + 1) * phase + start);
                    wave = kSineAmplitude *
                           sine(static_cast<float>(turns) * (1.0842021724855044e-19F * 3.14159265358979F));
                }
                float v = wave;
                if (sigma > 0.0F) {
                    const std::size_t pair = static_cast<std::size_t>(e) / 2 * 2;
                    v += sigma * normal(noise[pair], noise[pair + 1], e % 2 == 1);
                }
                sum += simt::load_constant(mix + h) * v;
            }
        }
        return sum;
    }
};

template <bool kBf16>
struct HiftAnalysis {
    using Args = HiftAnalysisArgs;
    static constexpr int kThreads = 128;

    /// Grid: (blocks of pairs of bins, slots).
    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        const int slot = simt::block_y(), pairs = args.n_fft / 2 + 1;
        const int item = simt::block_x() * kThreads + simt::thread();
        const int r = item / pairs, c = 2 * (item - r * pairs);
        if (r >= args.spectra.rate * args.step.frames || !hift_active(args.step, slot)) return;
        const HiftRow at(args.step, args.spectra, slot, r);
        if (!at.exists) return;
        const long long total = hift_total(args.excitation, hift_length(args.step, slot));
        const auto samples = hift_floats(args.excitation, slot, 0);
        const auto basis = simt::global(args.basis) + c * args.n_fft;
        const long long first = at.row * args.hop - args.n_fft / 2;
        const int start = hift_ring_row(args.excitation, first);
        float v0 = 0.0F, v1 = 0.0F;
        for (int i = 0; i < args.n_fft; ++i) {
            const long long sample = first + i;
            int ring = start + i;
            if (ring >= args.excitation.rows) ring -= args.excitation.rows;
            if (sample < 0) ring = hift_ring_row(args.excitation, -sample);
            if (sample >= total) ring = hift_ring_row(args.excitation, 2 * (total - 1) - sample);
            const float x = samples[static_cast<std::ptrdiff_t>(ring) * args.excitation.stride];
            v0 += simt::load_constant(basis + i) * x;
            v1 += simt::load_constant(basis + args.n_fft + i) * x;
        }
        hift_store<kBf16>(args.spectra, slot, hift_ring_row(args.spectra, at.row), c, v0, v1);
    }
};

/// A block makes kSamples samples of a stream.
struct HiftEmit {
    using Args = HiftEmitArgs;
    static constexpr int kThreads = 128;
    static constexpr int kSamples = 128;

    static int frames(const Args& args) { return (kSamples + args.n_fft) / args.hop + 2; }
    static std::size_t shared(const Args& args) {
        return simt::shared_bytes<float>(static_cast<std::size_t>(frames(args) * (args.n_fft + 2)));
    }

    /// Grid: (blocks of samples, slots).
    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        const int slot = simt::block_y(), thread = simt::thread();
        const auto samples = simt::global(args.samples);
        if (!hift_active(args.step, slot)) {
            if (simt::block_x() == 0 && thread == 0) samples[slot] = 0;
            return;
        }
        const long long frames_before = hift_frames(args.step, slot), length = hift_length(args.step, slot);
        const long long total = length < 0 ? kHiftForever : length * args.hop_length;
        const long long first = (args.rate * frames_before - args.lag) * args.hop - (args.hop - 1);
        const long long end = first + static_cast<long long>(args.rate) * args.step.frames * args.hop;
        const long long stop = end < total ? end : total;
        // Where this slot's pcm starts.
        const long long owed = length * args.hop_length - args.latency;
        const long long origin = args.end ? (owed < 0 ? 0 : owed) : first < 0 ? 0 : first;
        if (simt::block_x() == 0 && thread == 0) {
            const long long count = (args.end ? total : stop) - origin;
            samples[slot] = static_cast<int>(count < 0 ? 0 : count);
        }
        const long long from = first + static_cast<long long>(simt::block_x()) * kSamples;

        simt::SharedArena arena;
        const int bins = args.n_fft / 2 + 1, width = 2 * bins, held = (kSamples + args.n_fft) / args.hop + 2;
        const auto spectra = arena.take<float>(held * width);
        // The first frame that reaches sample `from`: hop*t > from - n_fft/2.
        const long long shifted = from - args.n_fft / 2;
        const long long first_frame = shifted >= 0 ? shifted / args.hop : -((-shifted + args.hop - 1) / args.hop);
        const long long rows = hift_total(args.head, length),
                        known = hift_first(args.head, frames_before) +
                                static_cast<long long>(args.head.rate) * args.step.frames;
        for (int item = thread; item < held * bins; item += kThreads) {
            const int t = item / bins, k = item - t * bins;
            const long long row = first_frame + t;
            float re = 0.0F, im = 0.0F;
            if (row >= 0 && row < rows && row < known) {
                const auto x = hift_floats(args.head, slot, hift_ring_row(args.head, row));
                const float log_magnitude = x[k], angle = x[bins + k];
                const float magnitude = fminf(100.0F, expf(log_magnitude)), phase = sine(angle);
                re = magnitude * cosine(phase);
                im = magnitude * sine(phase);
            }
            spectra[t * width + k] = re;
            spectra[t * width + bins + k] = im;
        }
        simt::barrier();

        const auto basis = simt::global(args.basis);
        const auto pcm = simt::global(args.pcm + slot * args.pcm_stride);
        const int half = args.n_fft / 2;
        for (int i = thread; i < kSamples; i += kThreads) {
            const long long sample = from + i;
            if (sample < 0 || sample >= stop) continue;
            float value = 0.0F;
            const int place = static_cast<int>(sample - first_frame * args.hop) + half;  // in frame 0
            for (int t = (place - 1) / args.hop; t >= 0 && place - t * args.hop < args.n_fft; --t) {
                const auto weights = basis + (place - t * args.hop) * width;
                for (int k = 0; k < width; ++k) {
                    const float x = spectra[t * width + k];
                    value += simt::load_constant(weights + k) * x;
                }
            }
            if (sample < half) value *= simt::load_constant(simt::global(args.start_gain) + sample);
            if (total - sample <= half)
                value *= simt::load_constant(simt::global(args.end_gain) + (total - sample - 1));
            // Input that overflows gives silence rather than NaN.
            pcm[sample - origin] = value == value ? fminf(fmaxf(value, -args.limit), args.limit) : 0.0F;
        }
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
        const long long frames = clock[0], turns = clock[3];
        clock[0] = frames + args.frames;
        clock[2] = turns;
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
        const long long frames = clock[0];
        clock[1] = frames;
    }
};

}  // namespace secousti::core::cuda

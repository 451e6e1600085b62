// The excitation of HiFT: f0 of a frame, then sines at its multiples, and noise.
#pragma once

#include "base/philox.h"
#include "kernels/cuda/hift_math.cuh"
#include "kernels/harmonics.h"

namespace secousti::core::cuda {

/// One block per mel frame of a stream.
struct HiftSource {
    using Args = HiftSourceArgs;
    static constexpr int kThreads = 256;
    static constexpr std::size_t shared() {
        return simt::shared_bytes<float>(kHiftMaxFrames) + simt::shared_bytes<unsigned long long>(kHiftMaxFrames);
    }

    static constexpr int kGroup = static_cast<int>(harmonics::kGroup);

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
        unsigned long long turns = clock[hift_clock::kTurns];
        const unsigned long long seed = clock[hift_clock::kSeed], noise = clock[hift_clock::kNoise];
        for (int r = 0; r < mine; ++r) {
            const unsigned long long step = steps[r];
            turns += step * static_cast<unsigned long long>(args.samples);
        }
        const unsigned long long step = steps[mine];
        if (mine + 1 == args.step.frames && simt::thread() == 0) {
            clock[hift_clock::kNextTurns] = turns + step * static_cast<unsigned long long>(args.samples);
        }
        const HiftRow at(args.step, args.features, slot, mine);
        if (!at.exists) return;
        const float hz = f0[mine];
        const bool finite = hz < 3.4e38F;
        const bool voiced = finite && hz > harmonics::kVoicedHz;
        const float sigma = noise == 0 ? 0.0F : voiced ? harmonics::kVoicedNoise : harmonics::kUnvoicedNoise;
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
                                        std::uint32_t what) {
        return philox(seed, {static_cast<std::uint32_t>(sample), static_cast<std::uint32_t>(sample >> 32U),
                             static_cast<std::uint32_t>(harmonic / kGroup), what});
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
                noise = draw(seed, sample, begin, harmonics::kNoise);
                starts = draw(seed, 0, begin, harmonics::kPhase);
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
                    wave = harmonics::kSineAmplitude *
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

}  // namespace secousti::core::cuda

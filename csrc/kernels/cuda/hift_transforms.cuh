// The short-time transforms of HiFT: the excitation's spectra, and samples from the spectra that the network gives.
#pragma once

#include "kernels/cuda/hift_math.cuh"

namespace secousti::core::cuda {

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

}  // namespace secousti::core::cuda

// The log-mel front end: one block per stream, which holds the window of samples and transforms two frames at a time.
#pragma once

#include "kernels/cuda/fft.cuh"
#include "kernels/cuda/mel.h"

namespace secousti::core::cuda {

/// Sums of the bands' stretches of magnitudes.
struct BandSums {
    simt::Global<const std::int32_t> start, count, offset;
    simt::Global<const float> weights;

    SIMT_DEVICE explicit BandSums(const Spectrum& s)
        : start(simt::global(s.start)),
          count(simt::global(s.count)),
          offset(simt::global(s.offset)),
          weights(simt::global(s.weights)) {}

    SIMT_DEVICE float sum(int band, simt::Shared<const float> magnitude) const {
        const int first = simt::load_constant(start + band), bins = simt::load_constant(count + band);
        const int from = simt::load_constant(offset + band);
        float total = 0.0F;
        for (int i = 0; i < bins; ++i) {
            const float m = magnitude[first + i];
            total += simt::load_constant(weights + from + i) * m;
        }
        return total;
    }
};

SIMT_DEVICE bool is_active(const std::uint8_t* active, int slot) {
    if (active == nullptr) return true;
    const std::uint8_t value = simt::global(active)[slot];
    return value != 0;
}

/// Index into a signal of `length` samples reflected at both ends as often as needed, edges not repeated.
SIMT_DEVICE long long reflected(long long index, long long length) {
    if (length <= 1) return 0;
    while (index < 0 || index >= length) index = index < 0 ? -index : 2 * (length - 1) - index;
    return index;
}

struct MelKernel {
    using Args = MelArgs;
    static constexpr int kThreads = 128;
    static constexpr int kFrames = 2;  ///< at a time

    static std::size_t shared(const Args& args) {
        const int half = args.spectrum.length / 2;
        return kFrames * (2 * simt::shared_bytes<float>(static_cast<std::size_t>(complex_buffer_floats(half))) +
                          simt::shared_bytes<float>(static_cast<std::size_t>(half + 1)));
    }

    /// The samples of a step: those kept from before, the new ones and, at the ends of the signal, their reflections.
    struct Window {
        simt::Global<float> kept;
        simt::Global<const float> fresh;
        long long origin;  ///< absolute index of sample 0 of the buffer
        long long total;   ///< samples of the signal so far
        int pad;           ///< samples at the start that are still to be reflected
        int kept_count, fill;

        SIMT_DEVICE float get(int i) const {
            if (i < pad || i >= fill) i = static_cast<int>(reflected(origin + i, total) - origin);
            const float v = i < kept_count ? static_cast<float>(kept[i]) : static_cast<float>(fresh[i - kept_count]);
            return v;
        }
    };

    /// Where the frames of a step go.
    struct Rows {
        const Args& args;
        int slot;
        long long first;  ///< frame of the step's first one, by which its block is chosen

        SIMT_DEVICE std::ptrdiff_t offset(int frame) const {
            long long row = slot * static_cast<long long>(args.max_frames) + frame;
            if (args.blocks > 0) {
                const long long f = first + frame, block = f / args.max_frames % args.blocks;
                row = (block * args.slots + slot) * args.max_frames + f % args.max_frames;
            }
            return static_cast<std::ptrdiff_t>(row) * args.spectrum.bands;
        }
    };

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        const int slot = simt::block_x(), thread = simt::thread();
        const auto frames_out = simt::global(args.frames);
        if (!is_active(args.active, slot)) {
            if (thread == 0) frames_out[slot] = 0;
            return;
        }
        const int length = args.spectrum.length;
        const auto progress = simt::global(reinterpret_cast<long long*>(args.progress + slot));
        const long long before = progress[0], frames = progress[1], appended = progress[2];
        const auto counts = simt::global(args.counts);
        const int samples = counts ? static_cast<int>(counts[slot]) : args.samples;
        const long long total = before + samples;
        const int kept = args.pad + static_cast<int>(appended), fill = kept + samples;
        int ready = fill < length ? 0 : (fill - length) / args.hop + 1;
        ready -= ready % args.multiple;
        if (args.end) ready = static_cast<int>(total / args.hop - frames);
        const Window window{
            simt::global(args.buffer + static_cast<std::ptrdiff_t>(slot) * args.capacity),
            simt::global(args.pcm == nullptr ? static_cast<const float*>(args.buffer)
                                             : args.pcm + static_cast<std::ptrdiff_t>(slot) * args.samples),
            frames * args.hop - args.pad,
            total,
            frames == 0 ? args.pad : 0,
            kept,
            fill};

        const Rows rows{args, slot, args.blocks == 0 ? 0 : frames};
        for (int t = 0; t < ready; t += kFrames)
            transform(args, window, t, ready - t < kFrames ? ready - t : kFrames, rows);
        if (!args.end) keep(window, ready * args.hop);
        simt::barrier();  // all have read the progress
        if (thread == 0) {
            const int needed = args.end && ready > 0 ? (ready - 1) * args.hop + length : 0;
            progress[0] = total;
            progress[1] = frames + ready;
            progress[2] = (needed > fill ? needed : fill) - ready * args.hop - args.pad;
            frames_out[slot] = ready;
        }
    }

  private:
    SIMT_DEVICE static void transform(const Args& args, const Window& window, int first, int count, const Rows& rows) {
        const BlockFft<kThreads> fft(args.spectrum.length, simt::global(args.spectrum.roots));
        const int half = fft.half(), bands = args.spectrum.bands;
        simt::SharedArena arena;
        const int floats = complex_buffer_floats(half), stride = (half + 4) / 4 * 4;
        const simt::Shared<float> a = arena.take<float>(kFrames * floats), b = arena.take<float>(kFrames * floats);
        const simt::Shared<float> magnitudes = arena.take<float>(kFrames * stride);
        const auto points = [&](int f) { return ComplexBuffer{a + f * floats}; };
        const auto spare = [&](int f) { return ComplexBuffer{b + f * floats}; };
        const auto hann = simt::global(args.spectrum.window);
        const auto sample = [&](int f, int i) {
            return simt::load_constant(hann + i) * window.get((first + f) * args.hop + i);
        };
        const auto load = [&](int f, int i) { return Complex{sample(f, 2 * i), sample(f, 2 * i + 1)}; };
        const auto store = [&](int f, int i, Complex c) { points(f).put(i, c); };
        if (fft.passes() % 2 == 1) {
            fft.transform(count, load, store, points, spare);
        } else {
            fft.transform(count, load, store, spare, points);
        }
        simt::barrier();

        const float epsilon = args.epsilon;
        const auto magnitude = [&](int f, int k, Complex c) {
            magnitudes[f * stride + k] = sqrtf(c.re * c.re + (c.im * c.im + epsilon));
        };
        for (int item = simt::thread(); item < count * (half / 2); item += kThreads) {
            const int f = item / (half / 2), k = item % (half / 2);
            const Complex z = points(f).get(k);
            if (k == 0) {
                const Complex middle = points(f).get(half / 2);
                magnitude(f, 0, {z.re + z.im, 0.0F});
                magnitude(f, half, {z.re - z.im, 0.0F});
                magnitude(f, half / 2, middle);
                continue;
            }
            const BinPair x = unpack_bins(z, points(f).get(half - k), fft.roots.get(k));
            magnitude(f, k, x.low);
            magnitude(f, half - k, x.high);
        }
        simt::barrier();

        const BandSums sums(args.spectrum);
        const auto mel = simt::global(args.mel);
        for (int item = simt::thread(); item < count * bands; item += kThreads) {
            const int f = item / bands, m = item % bands;
            mel[rows.offset(first + f) + m] = logf(fmaxf(sums.sum(m, magnitudes + f * stride), args.floor));
        }
        simt::barrier();
    }

    /// Moves what later frames need to the front of the buffer.
    SIMT_DEVICE static void keep(const Window& window, int consumed) {
        if (consumed == 0) {
            for (int i = window.kept_count + simt::thread(); i < window.fill; i += kThreads) {
                const float v = window.fresh[i - window.kept_count];
                window.kept[i] = v;
            }
            return;
        }
        for (int base = 0; base < window.fill - consumed; base += kThreads) {
            const int i = base + simt::thread();
            const bool inside = i < window.fill - consumed;
            const float v = inside ? window.get(consumed + i) : 0.0F;
            simt::barrier();  // reads lie ahead of writes by `consumed`
            if (inside) window.kept[i] = v;
        }
    }
};

}  // namespace secousti::core::cuda

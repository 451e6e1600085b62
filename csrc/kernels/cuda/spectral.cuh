// The spectral vocoder: one block per stream does all iterations of a mel frame in shared memory, the open frames side
// by side. docs/design/spectral.md says what is computed; models/spectral.cpp does the same on the CPU.
#pragma once

#include "kernels/cuda/fft.cuh"
#include "kernels/cuda/mel.cuh"
#include "kernels/cuda/spectral.h"

namespace secousti::core::cuda {

/// A stream at some number of frames.
struct SpectralView {
    long long frames;
    int look_ahead;
    int slots;   ///< frames revised when a new one comes
    int open;    ///< of these, those that exist
    int newest;  ///< the slot of the newest frame
    int emit;    ///< where in the signal the next hop to go out starts

    SIMT_DEVICE SpectralView(const SpectralArgs& args, long long frames_so_far, int ahead)
        : frames(frames_so_far),
          look_ahead(ahead < 0                     ? 0
                     : ahead > args.max_look_ahead ? args.max_look_ahead
                                                   : ahead),
          slots(look_ahead < 1 ? 2 : look_ahead + 1),
          open(frames < slots ? static_cast<int>(frames) : slots),
          newest(frames > 0 ? static_cast<int>((frames - 1) % slots) : 0),
          emit(args.span - args.spectrum.length + (args.spectrum.length - args.hop) / 2 - look_ahead * args.hop) {}

    /// The slot of the frame that came `age` frames before the newest.
    SIMT_DEVICE int slot_of(int age) const { return newest >= age ? newest - age : newest - age + slots; }
};

SIMT_DEVICE float spectral_sample(float v) { return fminf(fmaxf(v, -1.0F), 1.0F); }

/// All that happens in one stream.
class SpectralBlock {
  public:
    static constexpr int kThreads = 256;

    static constexpr int most_open(int max_look_ahead) { return max_look_ahead < 1 ? 2 : max_look_ahead + 1; }
    static std::size_t shared(const SpectralArgs& args) {
        const std::size_t frames = static_cast<std::size_t>(most_open(args.max_look_ahead));
        const auto floats = [](int n) { return static_cast<std::size_t>(n); };
        const int n = args.spectrum.length;
        return 2 * simt::shared_bytes<float>(floats(args.span)) +
               2 * simt::shared_bytes<float>(frames * floats(complex_buffer_floats(n / 2))) +
               simt::shared_bytes<float>(frames * floats(n)) +
               2 * simt::shared_bytes<float>(frames * floats(n / 2 + 1)) +
               2 * simt::shared_bytes<float>(frames * floats(args.spectrum.bands + 2));
    }

    SIMT_DEVICE SpectralBlock(const SpectralArgs& args, int slot)
        : args_(args),
          fft_(args.spectrum.length, simt::global(args.spectrum.roots)),
          sums_(args.spectrum),
          hann_(simt::global(args.spectrum.window)),
          band_(simt::global(args.band)),
          fraction_(simt::global(args.fraction)),
          state_(simt::global(args.state + static_cast<std::size_t>(slot) * args.state_floats)),
          n_(args.spectrum.length),
          points_(complex_buffer_floats(n_ / 2)),
          bins_(n_ / 2 + 1),
          bands_(args.spectrum.bands) {
        const int frames = most_open(args.max_look_ahead);
        simt::SharedArena arena;
        signal_ = arena.take<float>(args.span);
        closed_ = arena.take<float>(args.span);
        a_ = arena.take<float>(frames * points_);
        b_ = arena.take<float>(frames * points_);
        segment_ = arena.take<float>(frames * n_);
        previous_re_ = arena.take<float>(frames * bins_);
        previous_im_ = arena.take<float>(frames * bins_);
        target_ = arena.take<float>(frames * (bands_ + 2));
        ratio_ = arena.take<float>(frames * (bands_ + 2));
        for (int i = simt::thread(); i < 2 * frames; i += kThreads) {  // for bins outside all bands
            target_[i / 2 * (bands_ + 2) + bands_ + i % 2] = 0.0F;
            ratio_[i / 2 * (bands_ + 2) + bands_ + i % 2] = 0.0F;
        }
    }

    /// One frame of log-mel: `before` is the stream before it.
    SIMT_DEVICE void push(const SpectralView& before, const SpectralView& now, simt::Global<const float> mel) {
        load(before, now, mel);
        simt::barrier();
        project<true>(now, 1);
        overlap_add(now);
        for (int i = 0; i < args_.iterations[now.look_ahead]; ++i) {
            project<false>(now, now.open);
            overlap_add(now);
        }
        save(now);
    }

    SIMT_DEVICE void emit(const SpectralView& now, simt::Global<float> pcm) const {
        for (int i = simt::thread(); i < args_.hop; i += kThreads) pcm[i] = spectral_sample(signal_[now.emit + i]);
    }

  private:
    SIMT_DEVICE int position(int age) const { return args_.span - n_ - age * args_.hop; }
    SIMT_DEVICE float kept(int at, int i) const { return state_[at + i]; }

    /// Moves time on by a hop, closes the oldest frame if all are open, and takes in the new frame's bands.
    SIMT_DEVICE void load(const SpectralView& before, const SpectralView& now, simt::Global<const float> mel) {
        const bool full = before.open == before.slots;
        const int oldest = full ? before.slot_of(before.slots - 1) : 0;
        const int start = position(before.slots);
        for (int i = simt::thread(); i < args_.span; i += kThreads) {
            const bool known = before.frames > 0 && i + args_.hop < args_.span;
            signal_[i] = known ? kept(args_.signal, i + args_.hop) : 0.0F;
            float sum = known ? kept(args_.closed, i + args_.hop) : 0.0F;
            if (full && i >= start && i - start < n_) sum += kept(args_.frame[oldest].segment, i - start);
            closed_[i] = sum;
        }
        for (int age = 1; age < now.open; ++age) {
            const int f = now.slot_of(age);
            const SpectralArgs::Frame& from = args_.frame[f];
            for (int i = simt::thread(); i < n_; i += kThreads) segment_[f * n_ + i] = kept(from.segment, i);
            for (int i = simt::thread(); i < bins_; i += kThreads) {
                previous_re_[f * bins_ + i] = kept(from.previous_re, i);
                previous_im_[f * bins_ + i] = kept(from.previous_im, i);
            }
            for (int i = simt::thread(); i < bands_; i += kThreads)
                target_[f * (bands_ + 2) + i] = kept(from.target, i);
        }
        const int newest = now.slot_of(0);
        for (int m = simt::thread(); m < bands_; m += kThreads) {
            const float value = mel[m];  // a NaN counts as silence
            const float limited = value > args_.log_low ? fminf(value, args_.log_high) : args_.log_low;
            // The front end lifts all that is below the floor to it: at the floor, nothing is the better guess.
            target_[newest * (bands_ + 2) + m] = fmaxf(expf(limited) - args_.floor, args_.tiny);
        }
    }

    SIMT_DEVICE void save(const SpectralView& now) {
        for (int i = simt::thread(); i < args_.span; i += kThreads) {
            state_[args_.signal + i] = static_cast<float>(signal_[i]);
            state_[args_.closed + i] = static_cast<float>(closed_[i]);
        }
        for (int age = 0; age < now.open; ++age) {
            const int f = now.slot_of(age);
            const SpectralArgs::Frame& to = args_.frame[f];
            for (int i = simt::thread(); i < n_; i += kThreads) {
                state_[to.segment + i] = static_cast<float>(segment_[f * n_ + i]);
            }
            for (int i = simt::thread(); i < bins_; i += kThreads) {
                state_[to.previous_re + i] = static_cast<float>(previous_re_[f * bins_ + i]);
                state_[to.previous_im + i] = static_cast<float>(previous_im_[f * bins_ + i]);
            }
            for (int i = simt::thread(); i < bands_; i += kThreads) {
                state_[to.target + i] = static_cast<float>(target_[f * (bands_ + 2) + i]);
            }
        }
    }

    /// (1 - fraction) * values[band] + fraction * values[band + 1]: bands spread over their bins.
    SIMT_DEVICE float interpolated(simt::Shared<float> values, int bin) const {
        const int band = simt::load_constant(band_ + bin);
        const float fraction = simt::load_constant(fraction_ + bin);
        const float low = values[band], high = values[band + 1];
        return (1.0F - fraction) * low + fraction * high;
    }

    /// One step of the `count` newest frames: the spectrum of the signal under the window, scaled to the mel bands. The
    /// opening step of a frame starts from its bands alone and without momentum.
    template <bool kOpening>
    SIMT_DEVICE void project(const SpectralView& now, int count) {
        const int half = n_ / 2;
        const auto points = [&](int age) { return ComplexBuffer{a_ + now.slot_of(age) * points_}; };
        const auto spare = [&](int age) { return ComplexBuffer{b_ + now.slot_of(age) * points_}; };
        const auto sample = [&](int age, int i) {
            const float windowed = simt::load_constant(hann_ + i) * signal_[position(age) + i];
            return kOpening && i == half ? windowed + args_.impulse : windowed;
        };
        const auto window = [&](int age, int i) { return Complex{sample(age, 2 * i), sample(age, 2 * i + 1)}; };
        const auto keep = [&](int age, int i, Complex c) { points(age).put(i, c); };
        if (fft_.passes() % 2 == 1) {
            fft_.transform(count, window, keep, points, spare);
        } else {
            fft_.transform(count, window, keep, spare, points);
        }
        simt::barrier();

        for (int item = simt::thread(); item < count * (half / 2); item += kThreads) {
            const int age = item / (half / 2), k = item % (half / 2), f = now.slot_of(age);
            const ComplexBuffer x = points(age);
            const simt::Shared<float> magnitude = b_ + f * points_, target = target_ + f * (bands_ + 2);
            const auto finish = [&](int bin, Complex c) {
                x.put(bin, c);
                magnitude[bin] =
                    kOpening ? interpolated(target, bin) : sqrtf(c.re * c.re + (c.im * c.im + args_.epsilon));
            };
            const Complex z = x.get(k);
            if (k == 0) {
                const Complex middle = x.get(half / 2);
                finish(0, {z.re + z.im, 0.0F});
                finish(half, {z.re - z.im, 0.0F});
                finish(half / 2, {middle.re, -middle.im});
                continue;
            }
            const BinPair pair = unpack_bins(z, x.get(half - k), fft_.roots.get(k));
            finish(k, pair.low);
            finish(half - k, pair.high);
        }
        simt::barrier();

        for (int item = simt::thread(); item < count * bands_; item += kThreads) {
            const int f = now.slot_of(item / bands_), m = item % bands_;
            const float sum = sums_.sum(m, b_ + f * points_);
            const float target = target_[f * (bands_ + 2) + m];
            ratio_[f * (bands_ + 2) + m] = target / fmaxf(sum, args_.tiny);
        }
        simt::barrier();

        const float scale = 1.0F / static_cast<float>(n_);
        for (int item = simt::thread(); item < count * (half / 2); item += kThreads) {
            const int age = item / (half / 2), k = item % (half / 2), f = now.slot_of(age);
            const ComplexBuffer x = points(age);
            const auto imposed = [&](int bin) { return impose<kOpening>(f, bin, x.get(bin)); };
            if (k == 0) {
                const Complex zero = imposed(0), last = imposed(half), middle = imposed(half / 2);
                x.put(0, {(zero.re + last.re) * scale, (zero.re - last.re) * scale});
                // Its own mirror: even part twice the real part, odd part twice the imaginary one.
                x.put(half / 2, {2.0F * middle.re * scale, -2.0F * middle.im * scale});
                continue;
            }
            const BinPair packed = pack_bins({imposed(k), imposed(half - k)}, fft_.roots.get(k), scale);
            x.put(k, packed.low);
            x.put(half - k, packed.high);
        }
        simt::barrier();

        const auto swapped = [&](int age, int i) {
            const Complex c = points(age).get(i);
            return Complex{c.im, c.re};
        };
        const auto segment = [&](int age, int i, Complex c) {
            const simt::Shared<float> out = segment_ + now.slot_of(age) * n_;
            out[2 * i] = simt::load_constant(hann_ + 2 * i) * c.im;
            out[2 * i + 1] = simt::load_constant(hann_ + 2 * i + 1) * c.re;
        };
        fft_.transform(count, swapped, segment, spare, points);
        simt::barrier();
    }

    /// The bin scaled by the multiplicative update, with the phase of the accelerated step.
    template <bool kOpening>
    SIMT_DEVICE Complex impose(int f, int bin, Complex x) {
        const int at = f * bins_ + bin;
        const float magnitude = b_[f * points_ + bin];
        const float size = magnitude * interpolated(ratio_ + f * (bands_ + 2), bin);
        Complex c = x;
        if (!kOpening) {
            const float re = previous_re_[at], im = previous_im_[at];
            c = {x.re + args_.momentum * (x.re - re), x.im + args_.momentum * (x.im - im)};
        }
        const float gain = size / sqrtf(c.re * c.re + (c.im * c.im + kZero));
        const Complex y{gain * c.re, gain * c.im};
        previous_re_[at] = kOpening ? y.re : x.re;
        previous_im_[at] = kOpening ? y.im : x.im;
        return y;
    }

    /// The signal that fits all frames best in the least-squares sense, for samples that are not out yet.
    SIMT_DEVICE void overlap_add(const SpectralView& now) {
        const auto weight = simt::global(args_.inverse_weight);
        for (int i = now.emit + simt::thread(); i < args_.span; i += kThreads) {
            float sum = closed_[i];
            for (int age = 0; age < now.open; ++age) {
                const int at = i - position(age);
                if (at < 0 || at >= n_) continue;
                const float v = segment_[now.slot_of(age) * n_ + at];
                sum += v;
            }
            signal_[i] = sum * simt::load_constant(weight + i);
        }
        simt::barrier();
    }

    static constexpr float kZero = 1e-30F;  ///< the square of a vector that counts as 0

    const SpectralArgs& args_;
    BlockFft<kThreads> fft_;
    BandSums sums_;
    simt::Global<const float> hann_;
    simt::Global<const std::int32_t> band_;
    simt::Global<const float> fraction_;
    simt::Global<float> state_;
    int n_, points_, bins_, bands_;
    simt::Shared<float> signal_, closed_, a_, b_, segment_, previous_re_, previous_im_, target_, ratio_;
};

struct SpectralKernel {
    using Args = SpectralArgs;
    static constexpr int kThreads = SpectralBlock::kThreads;

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        const int slot = simt::block_x();
        const auto samples = simt::global(args.samples);
        if (!is_active(args.active, slot)) {
            if (simt::thread() == 0) samples[slot] = 0;
            return;
        }
        const auto progress = simt::global(reinterpret_cast<long long*>(args.progress + slot));
        const long long before = progress[0];
        const int look_ahead = static_cast<int>(progress[1]);
        SpectralBlock block(args, slot);
        const auto pcm = simt::global(args.pcm + slot * args.pcm_stride);
        int written = 0;
        for (int t = 0; t < args.frames; ++t) {
            const SpectralView now(args, before + t + 1, look_ahead);
            block.push(
                {args, before + t, look_ahead}, now,
                simt::global(args.mel + (static_cast<std::ptrdiff_t>(slot) * args.frames + t) * args.spectrum.bands));
            if (now.frames > now.look_ahead) {
                block.emit(now, pcm + written);
                written += args.hop;
            }
            simt::barrier();  // what was saved is loaded again
        }
        if (simt::thread() == 0) {
            progress[0] = before + args.frames;
            samples[slot] = written;
        }
    }
};

struct SpectralFinishKernel {
    using Args = SpectralArgs;
    static constexpr int kThreads = 128;

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        const int slot = simt::block_x();
        const auto samples = simt::global(args.samples);
        if (!is_active(args.active, slot)) {
            if (simt::thread() == 0) samples[slot] = 0;
            return;
        }
        const auto progress = simt::global(reinterpret_cast<const long long*>(args.progress + slot));
        const SpectralView now(args, progress[0], static_cast<int>(progress[1]));
        const int hops = now.frames < now.look_ahead ? static_cast<int>(now.frames) : now.look_ahead;
        const auto signal = simt::global(static_cast<const float*>(args.state) +
                                         static_cast<std::size_t>(slot) * args.state_floats + args.signal);
        const auto pcm = simt::global(args.pcm + slot * args.pcm_stride);
        const int from = now.emit + (1 + now.look_ahead - hops) * args.hop;
        for (int i = simt::thread(); i < hops * args.hop; i += kThreads) pcm[i] = spectral_sample(signal[from + i]);
        if (simt::thread() == 0) samples[slot] = hops * args.hop;
    }
};

}  // namespace secousti::core::cuda

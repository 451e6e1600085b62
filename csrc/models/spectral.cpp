// The training-free vocoder: accelerated Griffin-Lim (Perraudin, Balazs, Sondergaard 2013) that runs in real time over
// the newest frames, as RTISI-LA does (Zhu, Beauregard, Wyse 2007), with the magnitudes left free below the mel
// filters: a projection scales the spectrum at hand so that its mel bands match, instead of imposing one fixed inverse
// of the filters. Samples once emitted stay as they are; only the frames that reach beyond them are revised.
#include "models/spectral.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/aligned_vector.h"
#include "base/arena.h"
#include "layers/fft.h"
#include "models/mel.h"
#include "models/vocoder.h"

namespace secousti::core {

namespace spectral {

namespace {

/// Added to the squared windows that a sample is divided by: fades the newest edge, where only a window's end reaches.
constexpr double kEdge = 0.005;

std::size_t size(int n) noexcept { return static_cast<std::size_t>(n); }

}  // namespace

const float kLogLow = std::log(kMelFloor);

Tables::Tables(const Config& config)
    : window(hann_window(config.n_fft)),
      filters(config),
      inverse_weight(size(span(config))),
      band(size(config.n_fft / 2 + 1), config.n_mels),
      fraction(band.size()) {
    const int last = span(config) - config.n_fft;
    for (int n = 0; n < span(config); ++n) {
        double weight = kEdge;
        for (int start = last; start > n - config.n_fft; start -= config.hop_length) {
            if (start <= n) weight += std::pow(window[size(n - start)], 2.0);
        }
        inverse_weight[size(n)] = static_cast<float>(1.0 / weight);
    }
    AlignedVector<float> lower(band.size());
    for (int m = 0; m < config.n_mels; ++m) {
        for (int i = 0; i < filters.length[size(m)]; ++i) {
            const std::size_t bin = size(filters.start[size(m)] + i);
            const float weight = filters.weights[size(filters.offset[size(m)] + i)];
            if (band[bin] == config.n_mels) {
                band[bin] = m;
                lower[bin] = weight;
            } else {
                fraction[bin] = weight / (weight + lower[bin]);
            }
        }
    }
}

State::State(const Config& config) {
    const std::size_t bins = size(config.n_fft / 2 + 1);
    ArenaLayout layout;
    progress = layout.reserve<Progress>(1);
    signal = layout.reserve<float>(size(span(config)));
    closed = layout.reserve<float>(size(span(config)));
    for (Frame& frame : frames) {
        frame.target = layout.reserve<float>(size(config.n_mels));
        frame.segment = layout.reserve<float>(size(config.n_fft));
        frame.previous_re = layout.reserve<float>(bins);
        frame.previous_im = layout.reserve<float>(bins);
    }
    bytes = layout.bytes();
}

}  // namespace spectral

namespace {

using namespace spectral;

class Spectral final : public Vocoder {
  public:
    explicit Spectral(const Config& config)
        : n_fft_(config.n_fft),
          hop_(config.hop_length),
          bins_(config.n_fft / 2 + 1),
          mels_(config.n_mels),
          span_(span(config)),
          config_(config.spectral),
          fft_(config.n_fft),
          tables_(config),
          state_(config) {
        ArenaLayout scratch;
        samples_ = scratch.reserve<float>(size(n_fft_));
        work_ = scratch.reserve<float>(2 * size(n_fft_));
        re_ = scratch.reserve<float>(size(bins_));
        im_ = scratch.reserve<float>(size(bins_));
        magnitude_ = scratch.reserve<float>(size(bins_));
        gain_ = scratch.reserve<float>(size(bins_));
        ratio_ = scratch.reserve<float>(size(mels_) + 2);
        scratch_bytes_ = scratch.bytes();
    }

    const char* name() const noexcept override { return "spectral"; }
    std::size_t state_bytes() const noexcept override { return state_.bytes; }
    std::size_t scratch_bytes() const noexcept override { return scratch_bytes_; }
    int default_look_ahead() const noexcept override {
        return config_.look_ahead < 0 ? kDefaultLookAhead : config_.look_ahead;
    }
    int max_look_ahead() const noexcept override { return kMaxLookAhead; }
    bool accepts_look_ahead(int look_ahead) const noexcept override {
        return look_ahead >= 0 && look_ahead <= kMaxLookAhead;
    }
    int latency(int look_ahead) const noexcept override { return look_ahead * hop_; }

    void start(std::byte* state, const VocoderOptions& options) const noexcept override {
        state_.progress.in(state)->look_ahead = options.look_ahead;
    }
    std::size_t max_samples(int frames) const noexcept override {
        return size(hop_) * size(std::max(frames, kMaxLookAhead));
    }

    int push(const Exec& exec, std::byte* state, std::byte* scratch, const float* mel, int frames,
             float* pcm) const noexcept override {
        int written = 0;
        for (int f = 0; f < frames; ++f) {
            const Stream stream = open_frame(exec, state, scratch, mel + f * mels_);
            for (int i = 0; i < iterations(config_, stream.look_ahead); ++i) {
                for (int age = 0; age < stream.open; ++age) project(exec, state, scratch, stream, age);
                overlap_add(exec, state, stream);
            }
            if (stream.frames <= static_cast<std::uint64_t>(stream.look_ahead)) continue;
            emit(state_.signal.in(state) + stream.emit, 1, pcm + written);
            written += hop_;
        }
        return written;
    }

    int finish(const Exec&, std::byte* state, std::byte*, float* pcm) const noexcept override {
        const Stream stream = view(state);
        const int blocks = static_cast<int>(std::min<std::uint64_t>(stream.frames, size(stream.look_ahead)));
        emit(state_.signal.in(state) + stream.emit + (1 + stream.look_ahead - blocks) * hop_, blocks, pcm);
        return blocks * hop_;
    }

  private:
    using Frame = State::Frame;
    struct Stream {
        std::uint64_t frames;
        int look_ahead;
        int slots;  ///< frames revised when a new one comes. Without look-ahead one frame whose samples are out, too.
        int open;   ///< of these, those that exist
        int emit;   ///< where in `signal_` the next hop to go out starts
    };

    Stream view(const std::byte* state) const noexcept {
        const Progress& progress = *state_.progress.in(state);
        const int look_ahead = std::clamp<int>(progress.look_ahead, 0, kMaxLookAhead);
        const int slots = spectral::slots(look_ahead);
        const int open = static_cast<int>(std::min<std::uint64_t>(progress.frames, size(slots)));
        return {progress.frames, look_ahead, slots, open, span_ - n_fft_ + (n_fft_ - hop_) / 2 - look_ahead * hop_};
    }

    /// The frame that came `age` frames before the newest.
    const Frame& frame(const Stream& stream, int age) const noexcept {
        return state_.frames[(stream.frames - 1 - size(age)) % size(stream.slots)];
    }
    /// Where it starts in `signal_`, which ends with the newest frame.
    int position(int age) const noexcept { return span_ - n_fft_ - age * hop_; }

    static void emit_block(const float* signal, int count, float* pcm) noexcept {
        for (int i = 0; i < count; ++i) pcm[i] = std::clamp(signal[i], -1.0F, 1.0F);
    }
    void emit(const float* signal, int blocks, float* pcm) const noexcept { emit_block(signal, blocks * hop_, pcm); }

    /// Adds what of a segment lies at or after `from` to `sum`, which is laid out like `signal_`.
    void add_segment(const Exec& exec, const float* segment, int start, int from, float* sum) const noexcept {
        const int skip = std::max(0, from - start);
        if (skip >= n_fft_) return;
        exec->add(sum + start + skip, segment + skip, size(n_fft_ - skip), sum + start + skip);
    }

    /// Moves time on by a hop, closes the oldest open frame and starts a new one from the signal so far.
    Stream open_frame(const Exec& exec, std::byte* state, std::byte* scratch, const float* mel) const noexcept {
        float* signal = state_.signal.in(state);
        float* closed = state_.closed.in(state);
        for (float* buffer : {signal, closed}) {
            std::memmove(buffer, buffer + hop_, size(span_ - hop_) * sizeof(float));
            std::fill_n(buffer + span_ - hop_, hop_, 0.0F);
        }
        const Stream before = view(state);
        if (before.open == before.slots) {
            const int oldest = before.slots - 1;
            add_segment(exec, frame(before, oldest).segment.in(state), position(oldest + 1), 0, closed);
        }
        ++state_.progress.in(state)->frames;
        const Stream stream = view(state);

        const Frame& slot = frame(stream, 0);
        float* target = slot.target.in(state);
        for (int m = 0; m < mels_; ++m) {  // a NaN counts as silence
            target[m] = mel[m] > kLogLow ? std::min(mel[m], kLogHigh) : kLogLow;
        }
        exec->exp(target, mels_, target);
        // The front end lifts all that is below the floor to it: at the floor, nothing is the better guess.
        for (int m = 0; m < mels_; ++m) target[m] = std::max(target[m] - kMelFloor, kTiny);

        float* samples = samples_.in(scratch);
        exec->multiply(tables_.window.data(), signal + position(0), size(n_fft_), samples);
        samples[n_fft_ / 2] += kImpulse;
        exec->rfft(fft_.tables(), samples, work_.in(scratch), re_.in(scratch), im_.in(scratch));
        // First magnitudes: the bands spread over their bins.
        float* ratio = ratio_.in(scratch);
        std::copy_n(target, mels_, ratio);
        ratio[mels_] = ratio[mels_ + 1] = 0.0F;
        exec->interpolate(ratio, tables_.band.data(), tables_.fraction.data(), bins_, magnitude_.in(scratch));
        impose(exec, state, scratch, slot, 0.0F);
        std::copy_n(re_.in(scratch), bins_, slot.previous_re.in(state));
        std::copy_n(im_.in(scratch), bins_, slot.previous_im.in(state));
        overlap_add(exec, state, stream);
        return stream;
    }

    /// One step of a frame: the spectrum of the signal under its window, scaled to the frame's mel bands.
    void project(const Exec& exec, std::byte* state, std::byte* scratch, const Stream& stream, int age) const noexcept {
        float* samples = samples_.in(scratch);
        exec->multiply(tables_.window.data(), state_.signal.in(state) + position(age), size(n_fft_), samples);
        exec->rfft(fft_.tables(), samples, work_.in(scratch), re_.in(scratch), im_.in(scratch));
        exec->magnitude(re_.in(scratch), im_.in(scratch), kMagnitudeEpsilon, bins_, magnitude_.in(scratch));
        impose(exec, state, scratch, frame(stream, age), kMomentum);
    }

    /// Scales `magnitude_` by the multiplicative update of non-negative matrix factorisation under the Kullback-Leibler
    /// divergence (Lee, Seung 2001), gives it the phase of re, im with momentum and makes the frame's segment.
    void impose(const Exec& exec, std::byte* state, std::byte* scratch, const Frame& slot,
                float momentum) const noexcept {
        const float* target = slot.target.in(state);
        const float* magnitude = magnitude_.in(scratch);
        float* ratio = ratio_.in(scratch);
        float* re = re_.in(scratch);
        float* im = im_.in(scratch);
        float* samples = samples_.in(scratch);
        tables_.filters.sum(exec, magnitude, ratio);
        for (int m = 0; m < mels_; ++m) ratio[m] = target[m] / std::max(ratio[m], kTiny);
        ratio[mels_] = ratio[mels_ + 1] = 0.0F;  // for bins outside all bands
        exec->interpolate(ratio, tables_.band.data(), tables_.fraction.data(), bins_, gain_.in(scratch));
        exec->griffin_lim(magnitude, gain_.in(scratch), momentum, bins_, re, im, slot.previous_re.in(state),
                          slot.previous_im.in(state));
        exec->irfft(fft_.tables(), re, im, work_.in(scratch), samples);
        exec->multiply(tables_.window.data(), samples, size(n_fft_), slot.segment.in(state));
    }

    /// The signal that fits all frames best in the least-squares sense, for samples that are not out yet.
    void overlap_add(const Exec& exec, std::byte* state, const Stream& stream) const noexcept {
        float* signal = state_.signal.in(state);
        const std::size_t from = size(stream.emit), count = size(span_ - stream.emit);
        std::copy_n(state_.closed.in(state) + from, count, signal + from);
        for (int age = 0; age < stream.open; ++age) {
            add_segment(exec, frame(stream, age).segment.in(state), position(age), stream.emit, signal);
        }
        exec->multiply(signal + from, tables_.inverse_weight.data() + from, count, signal + from);
    }

    int n_fft_, hop_, bins_, mels_, span_;
    SpectralConfig config_;
    Fft fft_;
    Tables tables_;
    State state_;
    Slice<float> samples_, work_, re_, im_, magnitude_, gain_, ratio_;
    std::size_t scratch_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Vocoder> make_spectral(const Backend&, const Config& config) {
    return std::make_unique<Spectral>(config);
}

}  // namespace secousti::core

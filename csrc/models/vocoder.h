// What every vocoder is: a causal machine from log-mel frames to samples, with a stated look-ahead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/exec.h"
#include "models/config.h"

namespace secousti::core {

struct VocoderOptions {
    int look_ahead = -1;  ///< mel frames; -1: the default. HiFT's is fixed.
    bool noise = true;    ///< HiFT: seeded phases and noise; false: all zero
    std::uint64_t seed = 0;
};

/// Immutable and shared; all of a stream's memory is the caller's. Feeding T frames in any split, then `finish`, gives
/// the same T * hop_length samples bit for bit.
class Vocoder {
  public:
    virtual ~Vocoder() = default;
    Vocoder(const Vocoder&) = delete;
    Vocoder& operator=(const Vocoder&) = delete;

    virtual const char* name() const noexcept = 0;
    /// Bytes of the state arena (snapshots copy it) and of scratch memory (contents are lost between calls). Both the
    /// same for all options.
    virtual std::size_t state_bytes() const noexcept = 0;
    virtual std::size_t scratch_bytes() const noexcept = 0;
    /// The look-ahead used when options.look_ahead is -1, and the largest that may be asked for, in mel frames.
    virtual int default_look_ahead() const noexcept = 0;
    virtual int max_look_ahead() const noexcept = 0;
    /// Whether `look_ahead` (not -1) can be asked for.
    virtual bool accepts_look_ahead(int look_ahead) const noexcept = 0;
    /// Options with the default filled in; throws Error(unsupported) for a look-ahead that this vocoder cannot do.
    VocoderOptions resolve(const VocoderOptions& options) const;
    /// Samples of delay: after pushing t frames, at least t*hop - latency samples have come out.
    virtual int latency(int look_ahead) const noexcept = 0;

    /// Starts a stream with resolved options: `state` is all zero bytes on entry.
    virtual void start(std::byte* state, const VocoderOptions& options) const noexcept = 0;
    /// Most samples that pushing `frames` (or finishing) can return.
    virtual std::size_t max_samples(int frames) const noexcept = 0;
    /// Feeds `frames` <= kMaxFrames rows of log-mel; writes the samples that are ready and returns how many.
    virtual int push(const Exec& exec, std::byte* state, std::byte* scratch, const float* mel, int frames,
                     float* pcm) const noexcept = 0;
    /// Ends the stream and writes the remaining samples.
    virtual int finish(const Exec& exec, std::byte* state, std::byte* scratch, float* pcm) const noexcept = 0;

  protected:
    Vocoder() = default;
};

std::unique_ptr<Vocoder> make_hift(const Backend& backend, const Config& config, const WeightMap& weights);
std::unique_ptr<Vocoder> make_spectral(const Backend& backend, const Config& config);

}  // namespace secousti::core

// A vocoder on the device, whichever the model has: what DecoderGroup needs of cuda_spectral.h and cuda_hift.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "cuda/arrays.h"
#include "layers/weight_map.h"
#include "models/config.h"
#include "models/vocoder.h"

namespace secousti::core::cuda {

/// Weights and tables; immutable. Device pointers and asynchronous calls, for graphs, unless a comment says otherwise.
class DeviceVocoder {
  public:
    /// The streams of a group's slots.
    class Slots {
      public:
        Slots() = default;
        virtual ~Slots() = default;
        Slots(const Slots&) = delete;
        Slots& operator=(const Slots&) = delete;
        virtual std::size_t bytes() const noexcept = 0;  ///< on the device
    };

    DeviceVocoder() = default;
    virtual ~DeviceVocoder() = default;
    DeviceVocoder(const DeviceVocoder&) = delete;
    DeviceVocoder& operator=(const DeviceVocoder&) = delete;

    virtual std::size_t weight_bytes() const = 0;
    /// For steps of up to `max_frames` mel frames and streams that look up to `max_look_ahead` frames ahead (HiFT: its
    /// own look-ahead). Every slot is to be started.
    virtual std::unique_ptr<Slots> make_slots(const CudaQueue& queue, int slots, int max_frames,
                                              int max_look_ahead) const = 0;
    /// Whether a slot can be started with these (resolved) options.
    virtual bool accepts(const Slots& slots, const VocoderOptions& resolved) const noexcept = 0;
    /// A slot starts anew. Waits for the queue.
    virtual void start(const CudaQueue& queue, const Slots& slots, int slot, const VocoderOptions& resolved) const = 0;

    /// Feeds `frames` rows of mel [slots, frames, n_mels] to the slots that `active` [slots] (null: all) names. Row i
    /// of pcm [slots, pcm_stride] gets the samples that are ready, at most frames*hop_length: after t frames max(0,
    /// t*hop_length - latency) in all, with the latency of the CPU's vocoder. samples [slots]: how many; 0 for slots
    /// that are not active.
    virtual void push(const CudaQueue& queue, const Slots& slots, const std::uint8_t* active, const float* mel,
                      int frames, float* pcm, std::ptrdiff_t pcm_stride, std::int32_t* samples) const = 0;
    /// The samples that one slot still owes, at most the latency, and in samples[0] their number; it must then start
    /// anew.
    virtual void finish(const CudaQueue& queue, const Slots& slots, int slot, float* pcm,
                        std::int32_t* samples) const = 0;

    /// A slot's state, if it is not finished, to and from a CPU vocoder's state, which is as when it was started; these
    /// wait for the queue. HiFT's goes by what the stream was fed last (models/hift/past.h).
    virtual void save(const CudaQueue& queue, const Slots& slots, int slot, std::byte* vocoder_state) const = 0;
    virtual void load(const CudaQueue& queue, const Slots& slots, int slot, const std::byte* vocoder_state) const = 0;
};

/// Null if the model has no vocoder.
std::unique_ptr<const DeviceVocoder> make_device_vocoder(const CudaQueue& queue, const Config& config,
                                                         const WeightMap& weights);

}  // namespace secousti::core::cuda

// The spectral vocoder of many streams on the device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/spectrum.h"
#include "kernels/cuda/spectral.h"
#include "models/config.h"
#include "models/spectral.h"

namespace secousti::core::cuda {

class DeviceSpectral {
  public:
    /// Streams of a group's slots.
    struct State {
        int slots = 0;
        int max_look_ahead = 0;
        DeviceArray<float> data;                 ///< [slots]: as on the CPU, less the progress
        DeviceArray<SpectralProgress> progress;  ///< [slots]

        std::size_t bytes() const noexcept { return data.bytes() + progress.bytes(); }
    };

    DeviceSpectral(const CudaQueue& queue, const Config& config);

    /// Bytes of its tables on the device.
    std::size_t weight_bytes() const noexcept {
        return spectrum_.bytes() + inverse_weight_.bytes() + fraction_.bytes() + band_.bytes();
    }

    /// Slots may look up to `max_look_ahead` (0..3) frames ahead: more than the slots need costs occupancy. Every slot
    /// is a stream that starts, without look-ahead: `start` sets another.
    State make_state(const CudaQueue& queue, int slots, int max_look_ahead) const;
    /// A slot starts anew.
    void start(const CudaQueue& queue, const State& state, int slot, int look_ahead) const;

    /// Feeds `frames` rows of mel [slots, frames, n_mels] to the slots that `active` [slots] (null: all) names; row i
    /// of pcm [slots, pcm_stride] gets the samples that are ready, at most frames*hop, and samples [slots] their number
    /// (0 for slots that are not active). All pointers are device memory; asynchronous, for graphs.
    void push(const CudaQueue& queue, const State& state, const std::uint8_t* active, const float* mel, int frames,
              float* pcm, std::ptrdiff_t pcm_stride, std::int32_t* samples) const;
    /// The last look_ahead hops of the active slots, which must then start anew.
    void finish(const CudaQueue& queue, const State& state, const std::uint8_t* active, float* pcm,
                std::ptrdiff_t pcm_stride, std::int32_t* samples) const;

    /// The same of one slot alone: pcm of that slot, samples[0].
    void finish(const CudaQueue& queue, const State& state, int slot, float* pcm, std::int32_t* samples) const;

    /// A slot's state to and from a CPU vocoder's state; these wait for the queue. What is loaded may not look further
    /// ahead than the group.
    void save(const CudaQueue& queue, const State& state, int slot, std::byte* vocoder_state) const;
    void load(const CudaQueue& queue, const State& state, int slot, const std::byte* vocoder_state) const;

  private:
    SpectralArgs args(const State& state, const std::uint8_t* active, float* pcm, std::ptrdiff_t pcm_stride,
                      std::int32_t* samples) const;

    SpectralConfig config_;
    int hop_, span_;
    core::spectral::State layout_;
    core::spectral::Tables tables_;
    DeviceSpectrum spectrum_;
    DeviceArray<float> inverse_weight_, fraction_;
    DeviceArray<std::int32_t> band_;
};

}  // namespace secousti::core::cuda

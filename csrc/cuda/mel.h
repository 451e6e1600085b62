// The log-mel front end of many streams on the device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/spectrum.h"
#include "models/config.h"

namespace secousti::core::cuda {

class DeviceMel {
  public:
    /// Windows of samples of a group's slots. All zero bytes: streams that start.
    struct State {
        int slots = 0;
        int multiple = 1;  ///< before the end of a stream, frames come in whole multiples of this many
        int capacity = 0;
        DeviceArray<float> samples;         ///< [slots, capacity]
        DeviceArray<MelProgress> progress;  ///< [slots]

        /// One slot as a state of its own, for as long as this one is there.
        State slot_of(int slot) const {
            const std::size_t index = static_cast<std::size_t>(slot), all = static_cast<std::size_t>(slots);
            return {1, multiple, capacity, samples.part(index, all), progress.part(index, all)};
        }
    };

    DeviceMel(const CudaQueue& queue, const Config& config);

    /// With `multiple` = frames_per_token each push of frame_size samples gives one token's frames or none, and tokens
    /// come when they come on the CPU.
    State make_state(const CudaQueue& queue, int slots, int multiple) const;
    /// Most frames that a push of `samples` returns.
    int max_frames(const State& state, int samples, bool end) const noexcept;

    /// Feeds `samples` of pcm [slots, samples] to the slots that `active` [slots] (null: all) names. Writes the frames
    /// that are ready to mel [slots, max_frames, n_mels] and their numbers to frames [slots] (0 for slots that are not
    /// active). With `end` (and samples 0, pcm null), the remaining frames of the signal; the slot must then start
    /// anew. All pointers are device memory; asynchronous, for graphs.
    void push(const CudaQueue& queue, const State& state, const std::uint8_t* active, const float* pcm, int samples,
              bool end, float* mel, int max_frames, std::int32_t* frames) const {
        push(queue, state, active, pcm, samples, nullptr, end, mel, max_frames, 0, frames);
    }
    /// The same with `counts` [slots] (null: all) of the samples that are each slot's, and with frames that go to the
    /// rows of mel [blocks, slots, max_frames, n_mels] which their number in the stream says (MelArgs::blocks).
    void push(const CudaQueue& queue, const State& state, const std::uint8_t* active, const float* pcm, int samples,
              const std::int32_t* counts, bool end, float* mel, int max_frames, int blocks, std::int32_t* frames) const;

    /// A slot starts anew.
    void reset(const CudaQueue& queue, const State& state, int slot) const;
    /// A slot's state to and from the state arena of a CPU stream; these wait for the queue. A slot that is loaded
    /// must have emitted a whole multiple of frames.
    void save(const CudaQueue& queue, const State& state, int slot, const MelFrontEnd& cpu, std::byte* arena) const;
    void load(const CudaQueue& queue, const State& state, int slot, const MelFrontEnd& cpu,
              const std::byte* arena) const;

  private:
    int length_, hop_, pad_;
    DeviceSpectrum spectrum_;
};

}  // namespace secousti::core::cuda

// Encoder streams that step together on the device; a stream alone is a group of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "codec/cuda_masks.h"
#include "codec/cuda_model.h"
#include "codec/group.h"

namespace secousti::core::cuda {

class DeviceEncoderGroup final : public EncoderGroup {
  public:
    DeviceEncoderGroup(ModelPtr model, const GroupOptions& options);

    std::size_t memory_bytes() const noexcept override;
    void reset(const std::uint8_t* mask) override;
    bool ended(int slot) const noexcept override { return ended_[static_cast<std::size_t>(slot)] != 0; }
    std::size_t snapshot_bytes() const noexcept override { return snapshot_bytes_; }
    void snapshot(int slot, std::byte* out) const override;
    void restore(int slot, std::span<const std::byte> snapshot) override;
    void step(const float* pcm, const std::uint8_t* active, std::int32_t* tokens) override;
    std::size_t tokens_after_flush(int slot) const noexcept override;
    std::size_t flush(int slot, std::int32_t* tokens) override;

    /// As `step`, with pcm [capacity, frame_size] and tokens [capacity] in device memory, in the order of the caller's
    /// stream (a cudaStream_t); does not wait. `active` is host memory. Non-finite samples spoil their own slot only.
    void step_on_device(void* stream, const float* pcm, const std::uint8_t* active, std::int32_t* tokens) override;

    /// Feeds any number of samples, up to frame_size, to the slots that `active` names: a stream that is pushed in
    /// chunks. `pcm` is [capacity, samples].
    void feed(const float* pcm, int samples, const std::uint8_t* active, std::int32_t* tokens);

  private:
    /// The masks: slots that are fed, and slots that give a token.
    enum Mask : int { kFed, kGiving, kMasks };

    /// Counts `samples` more for the active slots and decides which give a token.
    void plan(const Stream& stream, int samples, const std::uint8_t* active);
    /// The launches of one step: front end, then encoder.
    void launch(const Stream& stream, int samples, bool end) const;
    Step step_of(const Stream& stream, int tokens) const;
    std::size_t slots() const noexcept { return static_cast<std::size_t>(capacity_); }

    const DeviceModel& device_;
    const std::size_t snapshot_bytes_;
    const int frame_size_, frames_per_token_, flush_tokens_;
    Stream stream_;
    DeviceMel::State mel_state_;
    SlotsState state_;
    StepScratch scratch_;
    DeviceArray<float> pcm_;  ///< [slots, frame_size]
    SlotMasks masks_;
    Turns turns_;
    DeviceArray<float> mel_;            ///< [slots, flush_tokens*frames_per_token, n_mels]
    DeviceArray<std::int32_t> frames_;  ///< [slots]
    DeviceArray<std::int32_t> tokens_;  ///< [slots, flush_tokens]
    PinnedBuffer host_pcm_, host_tokens_;
    std::vector<std::uint64_t> samples_;  ///< [slots]: pushed since the start
    std::vector<std::uint8_t> ended_;     ///< [slots]
    std::optional<Graph> from_host_, on_device_;
};

}  // namespace secousti::core::cuda

// Encoder streams that step together on the device; a stream alone is a group of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "codec/group.h"
#include "codec/progress.h"
#include "cuda/masks.h"
#include "cuda/model.h"

namespace secousti::core::cuda {

class DeviceEncoderGroup final : public EncoderGroup {
  public:
    DeviceEncoderGroup(ModelPtr model, const DeviceModel& device, const GroupOptions& options);

    std::size_t memory_bytes() const noexcept override;
    void reset(const std::uint8_t* mask) override;
    bool ended(int slot) const noexcept override { return ended_[static_cast<std::size_t>(slot)] != 0; }
    void snapshot(int slot, std::byte* out) const override;
    void restore(int slot, std::span<const std::byte> snapshot) override;
    void steps(const float* pcm, const std::uint8_t* active, int count, std::int32_t* tokens) override;
    std::size_t tokens_after_flush(int slot) const noexcept override;
    std::size_t flush(int slot, std::int32_t* tokens) override;

    void steps_on_device(void* stream, const float* pcm, const std::uint8_t* active, int count,
                         std::int32_t* tokens) override;

    /// Feeds any number of samples, up to frame_size, to the slots that `active` names: a stream that is pushed in
    /// chunks. `pcm` is [capacity, samples].
    void feed(const float* pcm, int samples, const std::uint8_t* active, std::int32_t* tokens);

    /// Pushed to the slot since it started.
    std::uint64_t samples(int slot) const noexcept { return samples_[static_cast<std::size_t>(slot)]; }

  private:
    /// The masks: slots that are fed, and slots that give a token.
    enum Mask : int { kFed, kGiving, kMasks };
    /// Without copies, and with those from and to pinned memory.
    struct Graphs {
        Graph on_device, from_host;
    };

    /// Of `count` steps; made when they are first asked for, and then no slot is active any more.
    const Graphs& graphs(int count);
    /// Tokens that `samples` more bring out of a slot.
    std::uint64_t tokens_of(std::size_t slot, int samples) const noexcept {
        return tokens_ready(model_->config, samples_[slot] + static_cast<std::uint64_t>(samples), false) -
               tokens_ready(model_->config, samples_[slot], false);
    }
    /// Whether each slot gives a token in all of the next `count` steps or in none. Otherwise, when its first token
    /// comes within them, the steps are made one by one.
    bool together(int count, const std::uint8_t* active) const noexcept;
    /// Counts `samples` more for the active slots and decides which give a token.
    void plan(const CudaQueue& stream, int samples, const std::uint8_t* active);
    /// The launches of one pass: front end, then encoder.
    void launch(const CudaQueue& stream, int samples, int tokens) const;
    Step step_of(const CudaQueue& stream, int tokens) const;
    std::size_t slots() const noexcept { return static_cast<std::size_t>(capacity_); }

    const DeviceModel& device_;
    const int frame_size_, frames_per_token_, flush_tokens_, most_tokens_;  ///< tokens: of the end; of any pass
    CudaQueue stream_;
    DeviceMel::State mel_state_;
    SlotsState state_;
    StepScratch scratch_;
    DeviceArray<float> pcm_;  ///< [slots, count*frame_size]
    SlotMasks masks_;
    StreamOrder order_;
    DeviceArray<float> mel_;            ///< [slots, tokens*frames_per_token, n_mels]
    DeviceArray<std::int32_t> frames_;  ///< [slots]
    DeviceArray<std::int32_t> tokens_;  ///< [slots, tokens]
    PinnedBuffer host_pcm_, host_tokens_;
    std::vector<std::uint64_t> samples_;  ///< [slots]: pushed since the start
    std::vector<std::uint8_t> ended_;     ///< [slots]
    std::map<int, Graphs> graphs_;
};

}  // namespace secousti::core::cuda

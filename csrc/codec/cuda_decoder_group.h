// Decoder streams that step together on the device; a stream alone is a group of one.
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

class DeviceDecoderGroup final : public DecoderGroup {
  public:
    DeviceDecoderGroup(ModelPtr model, const GroupOptions& options, const VocoderOptions& vocoder,
                       std::span<const float> paralinguistic);

    std::size_t memory_bytes() const noexcept override;
    void reset(const std::uint8_t* mask) override;
    bool ended(int slot) const noexcept override { return header(slot).ended != 0; }
    std::size_t snapshot_bytes() const noexcept override { return snapshot_bytes_; }
    void snapshot(int slot, std::byte* out) const override;
    void restore(int slot, std::span<const std::byte> snapshot) override;
    void start(int slot, const VocoderOptions& options, std::span<const float> paralinguistic) override;
    void set_paralinguistic(int slot, std::span<const float> values) override;
    void get_paralinguistic(int slot, float* values) const override;
    DecoderUse use(int slot) const noexcept override { return header(slot).use; }
    void step(const std::int32_t* tokens, float* pcm, std::int32_t* samples) override;
    void step_to_mel(const std::int32_t* tokens, float* mel) override;
    std::size_t samples_owed(int slot) const noexcept override;
    std::size_t flush(int slot, float* pcm) override;

    /// As `step` and `step_to_mel` with arrays in device memory, in the order of the caller's stream (a cudaStream_t);
    /// they do not wait. `active` [capacity] (null: all) is host memory; tokens of active slots are in range. `samples`
    /// may be null.
    void step_on_device(void* stream, const std::int32_t* tokens, const std::uint8_t* active, float* pcm,
                        std::int32_t* samples) override;
    void step_to_mel_on_device(void* stream, const std::int32_t* tokens, const std::uint8_t* active,
                               float* mel) override;

  private:
    enum Output { to_mel, to_pcm };

    std::size_t slots() const noexcept { return static_cast<std::size_t>(capacity_); }
    DecoderStreamHeader& header(int slot) noexcept { return headers_[static_cast<std::size_t>(slot)]; }
    const DecoderStreamHeader& header(int slot) const noexcept { return headers_[static_cast<std::size_t>(slot)]; }
    /// Throws Error(unsupported) for options that the device's vocoder does not take.
    VocoderOptions resolve(const VocoderOptions& options) const;
    void begin(int slot, const VocoderOptions& resolved);
    /// Masks and counters of a step of the slots whose token is not negative.
    void plan(const Stream& stream, const std::int32_t* tokens, const std::uint8_t* active, Output output);
    void launch(const Stream& stream, Output output) const;
    Step step_of(const Stream& stream) const;

    const DeviceModel& device_;
    const std::size_t snapshot_bytes_;
    const int frame_size_, mel_size_;  ///< samples, and floats of mel, of a token
    Stream stream_;
    SlotsState state_;
    StepScratch scratch_;
    std::unique_ptr<DeviceVocoder::Slots> vocoder_;  ///< null when the model has none
    SlotMasks masks_;
    Turns turns_;
    DeviceArray<std::int32_t> tokens_;   ///< [slots]
    DeviceArray<float> paralinguistic_;  ///< [slots, dimension]
    DeviceArray<float> mel_;             ///< [slots, frames_per_token, n_mels]
    DeviceArray<float> pcm_;             ///< [slots, frame_size]; room for a flush
    DeviceArray<std::int32_t> samples_;  ///< [slots]
    PinnedBuffer host_tokens_, host_mel_, host_pcm_, host_samples_;
    std::vector<DecoderStreamHeader> headers_;
    std::vector<float> voices_;  ///< [slots, dimension]
    int pcm_stride_ = 0;
    std::optional<Graph> from_host_[2], on_device_[2];  ///< by Output
};

}  // namespace secousti::core::cuda

// Decoder streams that step together on the device; a stream alone is a group of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "codec/group.h"
#include "cuda/masks.h"
#include "cuda/model.h"

namespace secousti::core::cuda {

class DeviceDecoderGroup final : public DecoderGroup {
  public:
    DeviceDecoderGroup(ModelPtr model, const DeviceModel& device, const GroupOptions& options,
                       const VocoderOptions& vocoder, std::span<const float> voice);

    std::size_t memory_bytes() const noexcept override;
    void reset(const std::uint8_t* mask) override;
    bool ended(int slot) const noexcept override { return header(slot).ended != 0; }
    void snapshot(int slot, std::byte* out) const override;
    void restore(int slot, std::span<const std::byte> snapshot) override;
    /// The same from the state arena of a stream on the CPU.
    void restore_state(int slot, const std::byte* arena);
    void start(int slot, const VocoderOptions& options, std::span<const float> voice) override;
    void set_voice(int slot, std::span<const float> values) override;
    void get_voice(int slot, float* values) const override;
    DecoderUse use(int slot) const noexcept override { return header(slot).use; }
    void steps(const std::int32_t* tokens, int count, float* pcm, std::int32_t* samples) override;
    void steps_to_mel(const std::int32_t* tokens, int count, float* mel) override;
    void step_from_mel(const float* mel, const std::uint8_t* active, int frames, float* pcm,
                       std::int32_t* samples) override;
    std::size_t samples_owed(int slot) const noexcept override;
    std::size_t flush(int slot, float* pcm) override;

    void steps_on_device(void* stream, const std::int32_t* tokens, const std::uint8_t* active, int count, float* pcm,
                         std::int32_t* samples) override;
    void steps_to_mel_on_device(void* stream, const std::int32_t* tokens, const std::uint8_t* active, int count,
                                float* mel) override;
    void step_from_mel_on_device(void* stream, const float* mel, const std::uint8_t* active, int frames, float* pcm,
                                 std::int32_t* samples) override;

  private:
    /// What a call launches: of so many tokens, or of so many mel frames.
    struct Work {
        DecoderUse use;
        int count;
        auto operator<=>(const Work&) const = default;
    };
    /// Without copies, and with those from and to pinned memory.
    struct Graphs {
        Graph on_device, from_host;
    };

    std::size_t slots() const noexcept { return static_cast<std::size_t>(capacity_); }
    DecoderStreamHeader& header(int slot) noexcept { return headers_[static_cast<std::size_t>(slot)]; }
    const DecoderStreamHeader& header(int slot) const noexcept { return headers_[static_cast<std::size_t>(slot)]; }
    /// Throws Error(unsupported) for options that the device's vocoder does not take.
    VocoderOptions resolve(const VocoderOptions& options) const;
    void begin(int slot, const VocoderOptions& resolved);
    int frames_of(const Work& work) const noexcept {
        return work.use == DecoderUse::mel_to_pcm ? work.count : work.count * model_->config.frames_per_token();
    }
    std::size_t pcm_row(const Work& work) const noexcept { return area(frames_of(work), model_->config.hop_length); }
    /// Made when it is first asked for; then no slot is active any more.
    const Graphs& graphs(const Work& work);
    /// Masks and counters. The tokens [capacity, count] say what is active, else the mask (null: all).
    void plan(const CudaQueue& stream, const Work& work, const std::int32_t* tokens, const std::uint8_t* active);
    void launch(const CudaQueue& stream, const Work& work) const;
    /// The call as a whole: tokens or mel in host memory, or on the device.
    void run(const Work& work, const void* in, std::size_t bytes, const std::int32_t* tokens,
             const std::uint8_t* active);
    void run_on_device(void* stream, const Work& work, const void* in, const std::uint8_t* active, float* mel,
                       float* pcm, std::int32_t* samples);
    void fetch_pcm(const Work& work, float* pcm, std::int32_t* samples) const;
    Step step_of(const CudaQueue& stream, int tokens) const;

    const DeviceModel& device_;
    const int mel_size_;  ///< floats of a token's mel
    CudaQueue stream_;
    SlotsState state_;
    StepScratch scratch_;
    std::unique_ptr<DeviceVocoder::Slots> vocoder_;  ///< null when the model has none
    SlotMasks masks_;
    StreamOrder order_;
    DeviceArray<std::int32_t> tokens_;   ///< [slots, count]
    DeviceArray<float> voice_;           ///< [slots, dimension]
    DeviceArray<float> mel_;             ///< [slots, count*frames_per_token, n_mels]
    DeviceArray<float> pcm_;             ///< [slots, frames*hop_length]; of a flush, one slot's
    DeviceArray<std::int32_t> samples_;  ///< [slots]
    PinnedBuffer host_tokens_, host_mel_, host_pcm_, host_samples_;
    std::vector<DecoderStreamHeader> headers_;
    std::vector<float> voices_;  ///< [slots, dimension]
    std::map<Work, Graphs> graphs_;
};

}  // namespace secousti::core::cuda

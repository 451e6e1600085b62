// The device engine as the rest of the codec sees it. Built without CUDA, every function throws Error(unsupported) that
// says so (cuda_absent.cpp).
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "codec/group.h"
#include "codec/model.h"
#include "codec/offline.h"
#include "codec/single.h"
#include "codec/voice.h"

namespace secousti::core {

class WeightMap;

namespace cuda {
class DeviceModel;
}

/// The model's weights on the device. Throws Error: unsupported when this build has no CUDA, or the machine no driver
/// or device; out_of_memory, with the bytes asked for.
std::shared_ptr<const cuda::DeviceModel> make_device_model(const Config& config, const WeightMap& weights);
/// Bytes that the weights hold on the device.
std::size_t device_weight_bytes(const cuda::DeviceModel& model);

/// Groups of a model that was loaded for the device.
std::unique_ptr<EncoderGroup> make_device_encoder_group(ModelPtr model, const GroupOptions& options);
std::unique_ptr<DecoderGroup> make_device_decoder_group(ModelPtr model, const GroupOptions& options,
                                                        const VocoderOptions& vocoder, std::span<const float> voice);

/// Single streams of such a model: groups of one slot. Throw as groups do, and restoring as Stream::restore does.
std::unique_ptr<SingleEncoder> make_device_encoder(ModelPtr model);
std::unique_ptr<SingleEncoder> restore_device_encoder(ModelPtr model, std::span<const std::byte> snapshot);
std::unique_ptr<SingleDecoder> make_device_decoder(ModelPtr model, const VocoderOptions& options,
                                                   std::span<const float> voice);
std::unique_ptr<SingleDecoder> restore_device_decoder(ModelPtr model, std::span<const std::byte> snapshot);
/// Offline calls there.
std::unique_ptr<Offline> make_device_offline(const Model& model);

/// Of a voice estimate that grows.
std::unique_ptr<VoiceMachine> make_device_voice_machine(ModelPtr model);

/// A piece of device memory, of the caller's own. Streams are cudaStream_t.
class DeviceMemory {
  public:
    DeviceMemory() = default;
    virtual ~DeviceMemory() = default;  ///< after what uses it
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;
    virtual void* address() const noexcept = 0;
    virtual std::size_t bytes() const noexcept = 0;
    /// All of it from and to host memory, in the order of the stream; these wait, as does `wait` for the stream alone.
    virtual void write(void* stream, const void* host) = 0;
    virtual void read(void* stream, void* host) const = 0;
    virtual void wait(void* stream) const = 0;
};
std::unique_ptr<DeviceMemory> make_device_memory(const Model& model, std::size_t bytes);

}  // namespace secousti::core

// The device engine's entry in the registry (codec/engine.h), and what it makes.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "codec/engine.h"

namespace secousti::core {

EngineEntry cuda_entry();

}  // namespace secousti::core

namespace secousti::core::cuda {

class DeviceModel;

/// Single streams are groups of one slot. `device` belongs to the model's engine.
std::unique_ptr<EncoderStream> make_device_encoder(ModelPtr model, const DeviceModel& device);
std::unique_ptr<EncoderStream> restore_device_encoder(ModelPtr model, const DeviceModel& device,
                                                      std::span<const std::byte> snapshot);
std::unique_ptr<DecoderStream> make_device_decoder(ModelPtr model, const DeviceModel& device,
                                                   const VocoderOptions& options, std::span<const float> voice);
std::unique_ptr<DecoderStream> restore_device_decoder(ModelPtr model, const DeviceModel& device,
                                                      std::span<const std::byte> snapshot);
std::unique_ptr<Offline> make_device_offline(const Model& model, const DeviceModel& device);
std::unique_ptr<VoiceFeatures> make_device_voice_features(ModelPtr model, const DeviceModel& device);
std::unique_ptr<OwnedDeviceMemory> make_device_memory(std::size_t bytes);

}  // namespace secousti::core::cuda

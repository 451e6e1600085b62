// The device engine as the rest of the codec sees it. Built without CUDA, every function throws Error(unsupported) that
// says so (cuda_absent.cpp).
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "codec/group.h"
#include "codec/model.h"

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
                                                        const VocoderOptions& vocoder,
                                                        std::span<const float> paralinguistic);

}  // namespace secousti::core

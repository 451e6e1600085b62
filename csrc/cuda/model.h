// A model's weights on the device: immutable, shared by every group and stream there.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "cuda/mel.h"
#include "cuda/stages.h"
#include "cuda/vocoder.h"
#include "cuda/voice.h"

namespace secousti::core::cuda {

class DeviceModel {
  public:
    DeviceModel(const CudaQueue& stream, const Config& config, const WeightMap& weights);

    const DeviceMel mel;
    const DeviceEncoder encoder;
    const DeviceDecoder decoder;
    const DeviceVoice voice;
    const std::optional<const DeviceTransformer> acoustic;  ///< of the acoustic branch, if the model has one
    const std::unique_ptr<const DeviceVocoder> vocoder;     ///< null when the model has none

    std::size_t weight_bytes() const {
        return encoder.weight_bytes() + decoder.weight_bytes() + voice.weight_bytes() +
               (acoustic ? acoustic->weight_bytes() : 0) + (vocoder ? vocoder->weight_bytes() : 0);
    }
};

}  // namespace secousti::core::cuda

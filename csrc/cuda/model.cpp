#include "cuda/model.h"

#include <string>

#include "base/error.h"

namespace secousti::core::cuda {

namespace {

const Config& supported(const Config& config) {
    const int head_dim = config.head_dim;
    if (head_dim != 16 && head_dim != 32 && head_dim != 64 && head_dim != 128) {
        throw Error(Status::unsupported,
                    "device 'cuda': head_dim is " + std::to_string(head_dim) + ", the kernels take 16, 32, 64 and 128");
    }
    return config;
}

}  // namespace

DeviceModel::DeviceModel(const CudaQueue& stream, const Config& config, const WeightMap& weights)
    : mel(stream, supported(config)),
      encoder(stream, config, weights),
      decoder(stream, config, weights),
      voice(stream, config, weights),
      acoustic(config.acoustic_layers == 0
                   ? std::nullopt
                   : std::optional<DeviceTransformer>(std::in_place, stream, config.acoustic_transformer(), weights)),
      vocoder(make_device_vocoder(stream, config, weights)) {}

}  // namespace secousti::core::cuda

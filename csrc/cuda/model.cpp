#include "cuda/model.h"

#include <string>

#include "base/error.h"

namespace secousti::core {

namespace cuda {

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

DeviceModel::DeviceModel(const Stream& stream, const Config& config, const WeightMap& weights)
    : mel(stream, supported(config)),
      encoder(stream, config, weights),
      decoder(stream, config, weights),
      voice(stream, config, weights),
      acoustic(config.acoustic_layers == 0
                   ? std::nullopt
                   : std::optional<DeviceTransformer>(std::in_place, stream, config.transformer(config.acoustic_layers),
                                                      weights, "encoder_transformer.transformer")),
      vocoder(make_device_vocoder(stream, config, weights)) {}

}  // namespace cuda

std::shared_ptr<const cuda::DeviceModel> make_device_model(const Config& config, const WeightMap& weights) {
    if (!cuda::available()) {
        throw Error(Status::unsupported, std::string("device 'cuda': ") + cuda::why_unavailable());
    }
    const cuda::Stream stream;
    auto model = std::make_shared<const cuda::DeviceModel>(stream, config, weights);
    stream.synchronize();
    return model;
}

void require_on_device(const Model& model) {
    if (!cuda::available()) {
        throw Error(Status::unsupported, std::string("device 'cuda': ") + cuda::why_unavailable());
    }
    if (!model.device) {
        throw Error(Status::unsupported, "device 'cuda': the model " + model.config.name +
                                             " was opened for the CPU: open it with device 'cuda'");
    }
}

std::size_t device_weight_bytes(const cuda::DeviceModel& model) { return model.weight_bytes(); }

}  // namespace secousti::core

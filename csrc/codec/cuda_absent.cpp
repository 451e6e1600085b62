// Stands in for the device engine in builds without CUDA.
#include "base/error.h"
#include "codec/cuda.h"

namespace secousti::core {

namespace {
[[noreturn]] void absent() {
    throw Error(Status::unsupported,
                "device 'cuda': this build has no CUDA (it was configured with SECOUSTI_CUDA=OFF, or without nvcc)");
}
}  // namespace

std::shared_ptr<const cuda::DeviceModel> make_device_model(const Config&, const WeightMap&) { absent(); }
std::size_t device_weight_bytes(const cuda::DeviceModel&) { absent(); }
std::unique_ptr<EncoderGroup> make_device_encoder_group(ModelPtr, const GroupOptions&) { absent(); }
std::unique_ptr<DecoderGroup> make_device_decoder_group(ModelPtr, const GroupOptions&, const VocoderOptions&,
                                                        std::span<const float>) {
    absent();
}

}  // namespace secousti::core

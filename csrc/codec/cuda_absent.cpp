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
std::unique_ptr<SingleEncoder> make_device_encoder(ModelPtr) { absent(); }
std::unique_ptr<SingleEncoder> restore_device_encoder(ModelPtr, std::span<const std::byte>) { absent(); }
std::unique_ptr<SingleDecoder> make_device_decoder(ModelPtr, const VocoderOptions&, std::span<const float>) {
    absent();
}
std::unique_ptr<SingleDecoder> restore_device_decoder(ModelPtr, std::span<const std::byte>) { absent(); }
std::unique_ptr<Offline> make_device_offline(const Model&) { absent(); }
std::unique_ptr<VoiceMachine> make_device_voice_machine(ModelPtr) { absent(); }
std::unique_ptr<DeviceMemory> make_device_memory(const Model&, std::size_t) { absent(); }

}  // namespace secousti::core

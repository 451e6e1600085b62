// What the CPU's engine makes; streams are in codec/cpu_stream.h.
#pragma once

#include <memory>
#include <span>

#include "codec/engine.h"

namespace secousti::core {

std::unique_ptr<EncoderGroup> make_cpu_encoder_group(ModelPtr model, const GroupOptions& options);
std::unique_ptr<DecoderGroup> make_cpu_decoder_group(ModelPtr model, const GroupOptions& options,
                                                     const VocoderOptions& vocoder, std::span<const float> voice);
std::unique_ptr<Offline> make_cpu_offline(const Model& model, int threads);
std::unique_ptr<VoiceFeatures> make_cpu_voice_features(ModelPtr model);

}  // namespace secousti::core

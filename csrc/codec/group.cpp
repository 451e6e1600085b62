#include "codec/group.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "codec/engine.h"
#include "models/limits.h"

namespace secousti::core {

namespace {

void require(bool condition, const std::string& message) {
    if (!condition) throw Error(Status::invalid_argument, message);
}

void check(const Model& model, const GroupOptions& options) {
    require(options.capacity >= 1 && options.capacity <= kMaxGroupCapacity,
            "capacity is " + std::to_string(options.capacity) + ", expected 1 to " + std::to_string(kMaxGroupCapacity));
    require(options.threads >= 1 && options.threads <= kMaxThreads,
            "threads is " + std::to_string(options.threads) + ", expected 1 to " + std::to_string(kMaxThreads));
    require(options.spins >= -1, "spins is " + std::to_string(options.spins) + ", expected -1 or more");
    const int most = kMaxFrames / model.config.frames_per_token();
    require(options.max_steps >= 1 && options.max_steps <= std::max(1, most),
            "max_steps is " + std::to_string(options.max_steps) + ", expected 1 to " + std::to_string(most) + " (" +
                std::to_string(kMaxFrames) + " mel frames)");
    if (model.config.frame_size() > model.mel.max_samples() || model.config.frames_per_token() > kMaxFrames) {
        throw Error(Status::unsupported,
                    "groups: a token of " + model.config.name + " is longer than a step takes: use single streams");
    }
}

[[noreturn]] void on_the_cpu() {
    throw Error(Status::unsupported,
                "this group is on the CPU: give it arrays in host memory, or make it on the device");
}

}  // namespace

void EncoderGroup::steps_on_device(void*, const float*, const std::uint8_t*, int, std::int32_t*) { on_the_cpu(); }
void DecoderGroup::steps_on_device(void*, const std::int32_t*, const std::uint8_t*, int, float*, std::int32_t*) {
    on_the_cpu();
}
void DecoderGroup::steps_to_mel_on_device(void*, const std::int32_t*, const std::uint8_t*, int, float*) {
    on_the_cpu();
}
void DecoderGroup::step_from_mel_on_device(void*, const float*, const std::uint8_t*, int, float*, std::int32_t*) {
    on_the_cpu();
}

std::unique_ptr<EncoderGroup> make_encoder_group(ModelPtr model, const GroupOptions& options) {
    check(*model, options);
    const Engine& engine = engine_of(*model, options.device);
    return engine.make_encoder_group(std::move(model), options);
}

std::unique_ptr<DecoderGroup> make_decoder_group(ModelPtr model, const GroupOptions& options,
                                                 const VocoderOptions& vocoder, std::span<const float> voice) {
    check(*model, options);
    const Engine& engine = engine_of(*model, options.device);
    return engine.make_decoder_group(std::move(model), options, vocoder, voice);
}

}  // namespace secousti::core

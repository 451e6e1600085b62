#include "codec/offline.h"

#include "base/error.h"
#include "codec/engine.h"

namespace secousti::core {

std::size_t Offline::mel_frames(std::size_t samples) const noexcept {
    return samples / static_cast<std::size_t>(model_.config.hop_length);
}

std::size_t Offline::tokens_of(std::size_t frames) const noexcept {
    const std::size_t ratio = static_cast<std::size_t>(model_.config.frames_per_token());
    return (frames + ratio - 1) / ratio;
}

const Vocoder& Offline::vocoder() const {
    if (model_.vocoder == nullptr) {
        throw Error(Status::unsupported, "the model " + model_.config.name + " has no vocoder");
    }
    return *model_.vocoder;
}

std::unique_ptr<Offline> make_offline(const Model& model, int threads) {
    return model.engine->make_offline(model, threads);
}

}  // namespace secousti::core

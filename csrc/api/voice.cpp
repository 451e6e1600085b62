// C interface: the voice vector of a live call.
#include "codec/voice.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "api/checks.h"
#include "api/handles.h"
#include "secousti_live.h"

using namespace secousti::core;

struct secousti_voice_estimator {
    VoiceEstimator estimator;
};

extern "C" {

void secousti_voice_estimator_options_init(secousti_voice_estimator_options* options) SECOUSTI_NOEXCEPT {
    if (options != nullptr) *options = {sizeof *options, nullptr, 0.0F};
}

secousti_status secousti_voice_estimator_create(secousti_model* model, const secousti_voice_estimator_options* options,
                                                secousti_voice_estimator** estimator) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(model, "model");
        require_pointer(estimator, "estimator");
        *estimator = nullptr;
        std::span<const float> stored;
        float seconds = 0.0F;
        if (options != nullptr) {
            require_size(options->struct_size, sizeof *options, "secousti_voice_estimator_options");
            seconds = options->stored_seconds;
            if (!(seconds >= 0.0F && seconds <= 3600.0F)) {
                invalid("stored_seconds is " + std::to_string(seconds) + ", expected 0 to 3600");
            }
            if (options->voice != nullptr) {
                const std::size_t dimension = static_cast<std::size_t>(model->model->config.dimension);
                stored = checked_voice(options->voice, dimension, dimension);
            }
        }
        *estimator = new secousti_voice_estimator{VoiceEstimator(model->model, stored, static_cast<double>(seconds))};
        return SECOUSTI_OK;
    });
}

void secousti_voice_estimator_destroy(secousti_voice_estimator* estimator) SECOUSTI_NOEXCEPT { delete estimator; }

int64_t secousti_voice_estimator_push(secousti_voice_estimator* estimator, const float* pcm,
                                      size_t samples) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        require_pointer(estimator, "estimator");
        if (samples == 0) return 0;
        require_pointer(pcm, "pcm");
        require_pcm(pcm, samples);
        return estimator->estimator.push(pcm, samples) ? 1 : 0;
    });
}

secousti_status secousti_voice_estimator_get(const secousti_voice_estimator* estimator, float* voice,
                                             size_t dimension) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(estimator, "estimator");
        require_pointer(voice, "voice");
        const std::span<const float> current = estimator->estimator.voice();
        require_capacity(dimension, current.size(), "values");
        std::copy(current.begin(), current.end(), voice);
        return SECOUSTI_OK;
    });
}

double secousti_voice_estimator_seconds(const secousti_voice_estimator* estimator) SECOUSTI_NOEXCEPT {
    return estimator == nullptr ? 0.0 : estimator->estimator.seconds();
}

}  // extern "C"

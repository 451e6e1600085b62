// The published front end, for tests and measurements of vocoders with weights of their own.
#pragma once

#include "models/config.h"

namespace published {

inline secousti::core::Config front_end() {
    secousti::core::Config config;
    config.sample_rate = 22050;
    config.n_fft = 1024;
    config.hop_length = 256;
    config.n_mels = 80;
    config.mel_fmin = 0.0;
    config.mel_fmax = 8000.0;
    return config;
}

}  // namespace published

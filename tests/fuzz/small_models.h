// As small as each kind of model can be: most of a file is then what mutation should reach, and a fuzzer of streams
// tries hundreds of inputs a second instead of one.
#pragma once

#include "tiny_model.h"

namespace small_models {

inline constexpr tiny::Shape kSpectral = tiny::kSmallest;

constexpr tiny::Shape with(const char* vocoder, int ratio1, int ratio2, int acoustic_layers) {
    tiny::Shape shape = kSpectral;
    shape.vocoder = vocoder;
    shape.ratio1 = ratio1;
    shape.ratio2 = ratio2;
    shape.acoustic_layers = acoustic_layers;
    return shape;
}

inline constexpr tiny::Shape kHalved = with("spectral", 2, 2, 0);
inline constexpr tiny::Shape kOdd = with("spectral", 1, 3, 2);
inline constexpr tiny::Shape kSilent = with("none", 1, 1, 1);
inline constexpr tiny::Shape kHift = [] {
    tiny::Shape shape = with("hift", 2, 1, 1);
    shape.n_fft = 128;
    shape.hop_length = 32;
    shape.hift_channels = 4;
    shape.upsample_rates = "[2, 4]";
    shape.upsample_kernels = "[4, 8]";
    return shape;
}();

}  // namespace small_models

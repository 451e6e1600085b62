// Host code.
#pragma once

#include "kernels/cuda/launch_shapes.h"
#include "kernels/cuda/mel.h"

namespace secousti::core::cuda {

inline void check_spectrum(const Spectrum& s) {
    require(s.length >= 16 && s.length <= kMaxFftLength && (s.length & (s.length - 1)) == 0,
            "FFT length: not a power of two from 16 to 4096");
    require(s.bands > 0, "mel bands: none");
}

}  // namespace secousti::core::cuda

// Tables of a windowed FFT and its mel bands on the device.
#pragma once

#include <vector>

#include "cuda/arrays.h"
#include "kernels/cuda/mel.h"
#include "layers/fft.h"
#include "models/mel.h"

namespace secousti::core::cuda {

class DeviceSpectrum {
  public:
    DeviceSpectrum(const CudaQueue& queue, int length, const AlignedVector<float>& window, const MelBands& bands)
        : length_(length),
          bands_(static_cast<int>(bands.start.size())),
          roots_(queue, interleaved(Fft(length)), "the roots of an FFT"),
          window_(queue, window, "a window"),
          start_(queue, bands.start, "mel bands"),
          count_(queue, bands.length, "mel bands"),
          offset_(queue, bands.offset, "mel bands"),
          weights_(queue, bands.weights, "mel bands") {}

    Spectrum view() const noexcept {
        return {.length = length_,
                .roots = roots_.data(),
                .window = window_.data(),
                .bands = bands_,
                .start = start_.data(),
                .count = count_.data(),
                .offset = offset_.data(),
                .weights = weights_.data()};
    }

    std::size_t bytes() const noexcept {
        return roots_.bytes() + window_.bytes() + start_.bytes() + count_.bytes() + offset_.bytes() + weights_.bytes();
    }

  private:
    static std::vector<float> interleaved(const Fft& fft) {
        const FftTables tables = fft.tables();
        std::vector<float> roots;
        for (int k = 0; k < tables.length; ++k) {
            roots.push_back(tables.root_cos[k]);
            roots.push_back(tables.root_sin[k]);
        }
        return roots;
    }

    int length_, bands_;
    DeviceArray<float> roots_, window_;
    DeviceArray<std::int32_t> start_, count_, offset_;
    DeviceArray<float> weights_;
};

}  // namespace secousti::core::cuda

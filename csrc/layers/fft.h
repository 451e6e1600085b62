// Tables of one real FFT length.
#pragma once

#include <cmath>
#include <cstddef>
#include <numbers>
#include <string>

#include "base/aligned_vector.h"
#include "base/error.h"
#include "kernels/backend.h"

namespace secousti::core {

struct Fft {
    /// `length` real samples, a power of two of at least 16. Throws Error(invalid_argument) otherwise.
    explicit Fft(int length) : length_(length) {
        if (length < 16 || (length & (length - 1)) != 0)
            throw Error(Status::invalid_argument,
                        "FFT length must be a power of two of at least 16, not " + std::to_string(length));
        const int points = length / 2;
        while (rows_ * rows_ * 4 <= points) rows_ *= 2;
        const int columns = points / rows_;
        for (int k = 0; k < length; ++k) append(root_cos_, root_sin_, k, length);
        for (int i = 0; i < rows_; ++i)
            for (int j = 0; j < columns; ++j) append(step_cos_, step_sin_, i * j, points);
    }

    FftTables tables() const noexcept {
        return {length_, rows_, root_cos_.data(), root_sin_.data(), step_cos_.data(), step_sin_.data()};
    }

  private:
    static void append(AlignedVector<float>& cos, AlignedVector<float>& sin, int k, int length) {
        const double angle = 2.0 * std::numbers::pi * k / length;
        cos.push_back(static_cast<float>(std::cos(angle)));
        sin.push_back(static_cast<float>(std::sin(angle)));
    }

    int length_ = 0;
    int rows_ = 2;
    AlignedVector<float> root_cos_, root_sin_, step_cos_, step_sin_;
};

}  // namespace secousti::core

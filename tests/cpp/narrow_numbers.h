// Roundings to bfloat16, float16 and int8, written down once more for the tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace kernel_cases {

/// The nearest number with eight significant bits, ties to even, by arithmetic.
inline float rounded_to_bf16(float x) {
    int exponent = 0;
    const double mantissa = std::frexp(double{x}, &exponent);
    return static_cast<float>(std::ldexp(std::nearbyint(mantissa * 256.0), exponent - 8));
}

/// The nearest number with eleven significant bits and no bit below 2^-24, ties to even, by arithmetic.
inline float rounded_to_fp16(float x) {
    int exponent = 0;
    std::frexp(double{x}, &exponent);
    const int step = std::max(exponent - 11, -24);
    return static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(double{x}, -step)), step));
}

/// One scale and integers -127..127 for a row or an output.
struct Quantised {
    float scale = 0.0F;
    std::vector<int> values;

    explicit Quantised(const float* x, int count) {
        float top = 0.0F;
        for (int i = 0; i < count; ++i) top = std::max(top, std::abs(x[i]));
        const bool live = top > 1e-30F;
        scale = live ? top / 127.0F : 0.0F;
        const float inverse = live ? 127.0F / top : 0.0F;
        for (int i = 0; i < count; ++i) {
            const float scaled = x[i] * inverse;
            values.push_back(static_cast<int>(std::nearbyint(std::clamp(scaled, -127.0F, 127.0F))));
        }
    }
};

}  // namespace kernel_cases

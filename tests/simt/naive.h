// Slow references in double precision for tests of kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "check.h"
#include "kernels/backend.h"
#include "narrow_numbers.h"
#include "tolerances.h"

namespace simt_test {

using secousti::core::Activation;
using secousti::core::Precision;

inline double activated(Activation activation, double slope, double x) {
    switch (activation) {
        case Activation::elu:
            return x > 0.0 ? x : std::expm1(x);
        case Activation::gelu:
            return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
        case Activation::relu:
            return x > 0.0 ? x : 0.0;
        case Activation::leaky_relu:
            return x > 0.0 ? x : slope * x;
        case Activation::tanh:
            return std::tanh(x);
        case Activation::none:
            break;
    }
    return x;
}

using kernel_cases::rounded_to_bf16;

/// Values that int8 keeps of `count` values: integers times a scale.
inline std::vector<double> rounded_to_int8(const float* x, int count) {
    const kernel_cases::Quantised row(x, count);
    std::vector<double> y;
    for (const int q : row.values) y.push_back(static_cast<double>(q) * static_cast<double>(row.scale));
    return y;
}

/// What precision makes of weights [outputs, depth].
inline std::vector<double> kept_weights(Precision precision, const std::vector<float>& weights, int depth) {
    std::vector<double> kept;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        if (precision == Precision::int8) {
            if (i % static_cast<std::size_t>(depth) != 0) continue;
            const std::vector<double> row = rounded_to_int8(&weights[i], depth);
            kept.insert(kept.end(), row.begin(), row.end());
        } else {
            kept.push_back(
                static_cast<double>(precision == Precision::bf16 ? rounded_to_bf16(weights[i]) : weights[i]));
        }
    }
    return kept;
}

/// y [rows, outputs] and the sizes that errors count against.
struct Sums {
    std::vector<double> y, size;
};

inline Sums product(const std::vector<double>& x, const std::vector<double>& weights, int rows, int outputs,
                    int depth) {
    Sums sums;
    for (int r = 0; r < rows; ++r) {
        for (int n = 0; n < outputs; ++n) {
            double y = 0.0, size = 0.0;
            for (int k = 0; k < depth; ++k) {
                const double term =
                    x[static_cast<std::size_t>(r * depth + k)] * weights[static_cast<std::size_t>(n * depth + k)];
                y += term;
                size += std::abs(term);
            }
            sums.y.push_back(y);
            sums.size.push_back(size);
        }
    }
    return sums;
}

/// Records a failure unless every |actual - expected| <= tolerance*size + kAbsolute; never true of NaN.
inline void expect_close(const char* file, int line, const std::vector<float>& actual,
                         const std::vector<double>& expected, const std::vector<double>& size, double tolerance,
                         const std::string& what) {
    if (actual.size() != expected.size()) return check::fail(file, line, what + ": sizes differ");
    for (std::size_t i = 0; i < actual.size(); ++i) {
        const double error = std::abs(static_cast<double>(actual[i]) - expected[i]);
        if (error <= tolerance * size[i] + kAbsolute) continue;
        return check::fail(file, line,
                           what + ": [" + std::to_string(i) + "] is " + std::to_string(actual[i]) + ", expected " +
                               std::to_string(expected[i]) + ", error " + std::to_string(error) + " against " +
                               std::to_string(size[i]));
    }
}

}  // namespace simt_test

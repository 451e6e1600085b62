// How far kernels may be from a reference in double precision, in one place. An error counts against the size of what
// was added up: |actual - expected| <= tolerance * sum |x*w| + kAbsolute.
#pragma once

#include "kernels/backend.h"

namespace simt_test {

inline constexpr double kAbsolute = 2e-6;

constexpr double tolerance(secousti::core::Precision precision) {
    switch (precision) {
        case secousti::core::Precision::fp32:
            return 2e-6;
        case secousti::core::Precision::bf16:
            return 2e-5;  // of the activations' two terms; the reference has rounded weights
        case secousti::core::Precision::int8:
        case secousti::core::Precision::fp16:  // nothing on a device is kept so
            break;
    }
    return 2e-6;  // the reference has the same integers
}
/// int8 after a layer norm: the last bit of a norm can move an activation to the next integer.
inline constexpr double kInt8Normed = 1e-2;

}  // namespace simt_test

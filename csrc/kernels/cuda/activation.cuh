// Activations on the device, and the choice of one at run time.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/simt.cuh"

namespace secousti::core::cuda {

SIMT_DEVICE float activated(Activation activation, float slope, float x) {
    switch (activation) {
        case Activation::elu:
            return x > 0.0F ? x : expm1f(x);
        case Activation::gelu:
            return 0.5F * x * erfcf(-0.707106781F * x);  // erfc keeps the negative tail's relative accuracy
        case Activation::relu:
            return x > 0.0F || x != x ? x : 0.0F;
        case Activation::leaky_relu:
            return x > 0.0F ? x : slope * x;
        case Activation::tanh:
            return tanhf(x);
        case Activation::none:
            break;
    }
    return x;
}

}  // namespace secousti::core::cuda

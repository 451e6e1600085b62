// Host code: weights into the layouts of matrix_layout.h.
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cuda/bf16.h"
#include "kernels/cuda/launch_shapes.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/matrix_layout.h"

namespace secousti::core::cuda {

namespace {

constexpr const char* kNoHalves = "a device keeps weights as fp32, bf16 or int8";

/// Row `output`, column `k` of the matrix, zero outside.
struct Padded {
    const float* weights;
    int outputs, depth;
    float operator()(int output, int k) const {
        return output < outputs && k < depth ? weights[static_cast<std::ptrdiff_t>(output) * depth + k] : 0.0F;
    }
};

/// Elements of A as the lanes hold them: register r of lane l has row l/4 + 8*(r%2) and, with `per` elements in a
/// register, columns (l%4)*per + (r/2)*per*4 onwards.
template <class Element, class Convert>
void pack_tiles(const Padded& matrix, int per, Element* packed, Convert convert) {
    const int tile = per * 8;
    for (int o = 0; o < rounded_up(matrix.outputs, kOutputStep); o += 16) {
        for (int k = 0; k < padded_depth(matrix.depth); k += tile) {
            for (int lane = 0; lane < 32; ++lane) {
                for (int r = 0; r < 4; ++r) {
                    for (int e = 0; e < per; ++e) {
                        const int output = o + lane / 4 + r % 2 * 8;
                        *packed++ = convert(output, matrix(output, k + lane % 4 * per + r / 2 * per * 4 + e));
                    }
                }
            }
        }
    }
}

void pack_fp32(const Padded& matrix, float* packed) {
    constexpr int kLanes = 32;
    for (int o = 0; o < rounded_up(matrix.outputs, kOutputStep); o += kLanes) {
        for (int k = 0; k < padded_depth(matrix.depth); k += 4) {
            for (int lane = 0; lane < kLanes; ++lane) {
                for (int e = 0; e < 4; ++e) *packed++ = matrix(o + lane, k + e);
            }
        }
    }
}

/// Weights of each output as integers -127..127 times a scale; as kernels/cpu/body_int8.h.
void pack_int8(const Padded& matrix, void* packed) {
    constexpr float kTiniest = 1e-30F, kLimit = 127.0F;
    auto* scales = static_cast<float*>(packed);
    const int outputs = rounded_up(matrix.outputs, kOutputStep);
    std::vector<float> inverses(static_cast<std::size_t>(outputs));
    for (int o = 0; o < outputs; ++o) {
        float top = 0.0F, poison = 0.0F;
        for (int k = 0; k < matrix.depth; ++k) {
            top = std::fmax(top, std::fabs(matrix(o, k)));
            poison += matrix(o, k) * 0.0F;
        }
        scales[o] = poison + (top > kTiniest ? top / kLimit : 0.0F);
        inverses[static_cast<std::size_t>(o)] = top > kTiniest ? kLimit / top : 0.0F;
    }
    pack_tiles(matrix, 4, static_cast<std::int8_t*>(packed) + weight_scale_bytes(matrix.outputs),
               [&](int output, float w) {
                   const float q = w * inverses[static_cast<std::size_t>(output)];
                   return static_cast<std::int8_t>(std::nearbyint(std::fmin(kLimit, std::fmax(-kLimit, q))));
               });
}

}  // namespace

std::size_t packed_bytes(Precision precision, int outputs, int depth) {
    require(outputs > 0 && depth > 0, "a packed matrix needs outputs and a depth");
    const std::size_t elements =
        static_cast<std::size_t>(rounded_up(outputs, kOutputStep)) * static_cast<std::size_t>(padded_depth(depth));
    switch (precision) {
        case Precision::fp32:
            return elements * sizeof(float);
        case Precision::bf16:
            return elements * sizeof(std::uint16_t);
        case Precision::int8:
            break;
        case Precision::fp16:
            require(false, kNoHalves);
    }
    return weight_scale_bytes(outputs) + elements;
}

void pack_matrix(Precision precision, const float* weights, int outputs, int depth, void* packed) {
    const Padded matrix{weights, outputs, depth};
    switch (precision) {
        case Precision::fp32:
            return pack_fp32(matrix, static_cast<float*>(packed));
        case Precision::bf16:
            return pack_tiles(matrix, 2, static_cast<std::uint16_t*>(packed), [](int, float w) { return to_bf16(w); });
        case Precision::int8:
            return pack_int8(matrix, packed);
        case Precision::fp16:
            require(false, kNoHalves);
    }
}

}  // namespace secousti::core::cuda

// The layers of SEANet, described once: the tensors of a model file, the CPU's convolutions (models/seanet.h) and a
// device's (cuda/stages.h) follow from these lists, and both run them through walk_seanet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "layers/conv.h"
#include "layers/weight_map.h"
#include "models/config.h"

namespace secousti::core {

/// What a layer does with the rows x that the one before it leaves.
enum class SeanetRole : std::uint8_t {
    plain,   ///< x = conv(x)
    down,    ///< x = conv(x) with a stride: a row for `ratio` rows
    up,      ///< x = transposed conv(x): `ratio` rows for a row
    narrow,  ///< the first half of a residual unit: hidden = conv(x)
    widen,   ///< its second half: x += conv(hidden)
};

struct SeanetLayer {
    SeanetRole role = SeanetRole::plain;
    std::string name;  ///< of its tensors in a model file, without ".weight" and ".bias"
    int inputs = 0;
    int outputs = 0;
    int kernel = 1;
    int ratio = 1;
    int rows_per_token = 1;                 ///< of inputs
    Activation pre = Activation::elu;       ///< of what it reads
    Precision precision = Precision::fp32;  ///< of its weights
    int stride() const noexcept { return role == SeanetRole::down ? ratio : 1; }
};

inline constexpr std::size_t kSeanetLayers = 8;
using SeanetLayers = std::array<SeanetLayer, kSeanetLayers>;

/// log-mel [frames, n_mels] -> z [tokens, dimension].
SeanetLayers seanet_encoder_layers(const Config& config);
/// [tokens, dimension] -> log-mel [frames, n_mels].
SeanetLayers seanet_decoder_layers(const Config& config);
/// Names and shapes of the tensors of a network.
void append_seanet_tensors(const SeanetLayers& layers, std::vector<TensorSpec>& tensors);

/// Memory for the rows between the layers.
struct SeanetRows {
    float* one = nullptr;
    float* other = nullptr;
    float* hidden = nullptr;  ///< inside a residual unit
};

/// Calls apply(index, in, out, residual) for every layer in order; `residual` is null or rows to be added to the
/// outputs, which may be `out`.
template <class Apply>
void walk_seanet(const SeanetLayers& layers, const float* in, float* out, const SeanetRows& rows, const Apply& apply) {
    float* x = nullptr;
    for (std::size_t i = 0; i < layers.size(); ++i) {
        if (layers[i].role == SeanetRole::narrow) {
            apply(i, static_cast<const float*>(x), rows.hidden, static_cast<const float*>(nullptr));
        } else if (layers[i].role == SeanetRole::widen) {
            apply(i, static_cast<const float*>(rows.hidden), x, static_cast<const float*>(x));
        } else {
            float* y = i + 1 == layers.size() ? out : x == rows.one ? rows.other : rows.one;
            apply(i, i == 0 ? in : x, y, static_cast<const float*>(nullptr));
            x = y;
        }
    }
}

}  // namespace secousti::core

#include "models/seanet.h"

#include <algorithm>
#include <string>
#include <utility>

#include "models/limits.h"

namespace secousti::core {

Seanet::Seanet(const Backend& backend, SeanetLayers layers, int max_rows, const WeightMap& weights, ArenaLayout& state,
               ArenaLayout& scratch)
    : layers_(std::move(layers)) {
    std::size_t between = 0, hidden = 0, window = 0;
    int rows = max_rows;
    for (std::size_t i = 0; i < kSeanetLayers; ++i) {
        const SeanetLayer& layer = layers_[i];
        const std::string weight = layer.name + ".weight", bias = layer.name + ".bias";
        const Precision kept = weights.kept_at(weight, layer.precision);
        convolutions_[i] =
            layer.role == SeanetRole::up
                ? Conv::transposed(backend, layer.inputs, layer.outputs, layer.ratio, weights.get(weight),
                                   weights.get(bias), rows, state, kept)
                : Conv(backend, ConvSpec::causal(layer.inputs, layer.outputs, layer.kernel, layer.stride()),
                       weights.get(weight), weights.get(bias), rows, state, kept);
        window = std::max(window, convolutions_[i].window_floats());
        if (layer.role == SeanetRole::down) rows = convolutions_[i].max_outputs(rows);
        if (layer.role == SeanetRole::up) rows *= layer.ratio;
        // The end of a stream may complete one row more.
        std::size_t& most = layer.role == SeanetRole::narrow ? hidden : between;
        if (i + 1 < kSeanetLayers) most = std::max(most, area(rows + 1, layer.outputs));
    }
    one_ = scratch.reserve<float>(between);
    other_ = scratch.reserve<float>(between);
    hidden_ = scratch.reserve<float>(hidden);
    window_ = scratch.reserve<float>(window);
}

int Seanet::push(const Exec& exec, const Batch& streams, std::byte* scratch, const float* x, bool end,
                 float* y) const noexcept {
    const Batch batch{streams.lanes, streams.windows, window_.in(scratch)};
    const SeanetRows rows{one_.in(scratch), other_.in(scratch), hidden_.in(scratch)};
    walk_seanet(layers_, x, y, rows, [&](std::size_t i, const float* in, float* out, const float* residual) {
        const SeanetLayer& layer = layers_[i];
        const Conv& conv = convolutions_[i];
        conv.push(exec, batch, in, out, {layer.pre}, {.residual = residual});
        if (layer.role == SeanetRole::up) {
            for (Lane& lane : batch.lanes) lane.rows *= layer.ratio;
        } else if (layer.role == SeanetRole::down && end) {
            Lane& lane = batch.lanes.front();
            lane.rows += conv.finish(exec, lane.state, batch.window, out + area(lane.rows, layer.outputs));
        }
    });
    return batch.rows();
}

std::size_t Seanet::windows(int rows) const noexcept {
    std::size_t most = 0;
    for (std::size_t i = 0; i < kSeanetLayers; ++i) {
        const SeanetLayer& layer = layers_[i];
        if (layer.role == SeanetRole::down) rows /= layer.ratio;
        most = std::max(most, convolutions_[i].gathered(rows));
        if (layer.role == SeanetRole::up) rows *= layer.ratio;
    }
    return most;
}

std::array<const Conv*, kSeanetLayers> Seanet::convolutions() const noexcept {
    std::array<const Conv*, kSeanetLayers> all{};
    for (std::size_t i = 0; i < kSeanetLayers; ++i) all[i] = &convolutions_[i];
    return all;
}

int max_tokens_per_step(const Config& config) noexcept { return std::max(1, kMaxFrames / config.frames_per_token()); }

}  // namespace secousti::core

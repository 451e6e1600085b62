#include "layers/transformer.h"

#include <algorithm>
#include <cstddef>
#include <memory>

namespace secousti::core {

namespace {
constexpr float kLayerNormEpsilon = 1e-5F;
constexpr int kAttentionTasks = 16;  // that attention is split into at most
}  // namespace

TransformerTensors transformer_tensors(const TransformerSpec& spec, int layer) {
    const int d = spec.dimension;
    const std::string name = spec.name + ".layers." + std::to_string(layer) + ".";
    return {name + "norm1.weight",
            name + "norm1.bias",
            name + "norm2.weight",
            name + "norm2.bias",
            name + "layer_scale_1.scale",
            name + "layer_scale_2.scale",
            {name + "self_attn.in_proj_weight", 3 * d, d},
            {name + "self_attn.out_proj.weight", d, d},
            {name + "linear1.weight", spec.feedforward, d, spec.terms},
            {name + "linear2.weight", d, spec.feedforward, spec.terms}};
}

void append_transformer_tensors(const TransformerSpec& spec, std::vector<TensorSpec>& tensors) {
    for (int i = 0; i < spec.layers; ++i) {
        const TransformerTensors of = transformer_tensors(spec, i);
        for (const std::string* name : of.vectors()) tensors.push_back({*name, {spec.dimension}});
        for (const TransformerMatrix* matrix : of.matrices()) {
            tensors.push_back({matrix->name, {matrix->outputs, matrix->inputs}, spec.precision, true});
        }
    }
}

Transformer::Transformer(const Backend& backend, const TransformerSpec& spec, const WeightMap& weights, int max_rows,
                         ArenaLayout& state, ArenaLayout& scratch)
    : spec_(spec), rotary_(spec.head_dim, spec.rope_base) {
    const auto size = [](auto... factors) { return (static_cast<std::size_t>(factors) * ...); };
    const int d = spec.dimension;
    const Precision precision = spec.precision;
    const std::size_t ring = size(spec.context, d) * bytes_of(precision);
    const std::size_t scales = precision == Precision::int8 ? size(spec.context, d / spec.head_dim) : 0;
    const auto kept = [&](const TransformerMatrix& matrix) { return weights.kept_at(matrix.name, precision); };
    std::size_t total = 0;
    for (int i = 0; i < spec.layers; ++i) {
        const TransformerTensors of = transformer_tensors(spec, i);
        for (const TransformerMatrix* matrix : of.matrices()) {
            total += WeightBlock::padded(backend.packed_bytes(kept(*matrix), matrix->outputs, matrix->inputs));
        }
    }
    const auto block = std::make_shared<WeightBlock>(total);
    for (int i = 0; i < spec.layers; ++i) {
        Layer layer{make_parts(
                        transformer_tensors(spec, i), [&](const std::string& name) { return weights.get(name); },
                        [&](const TransformerMatrix& matrix) {
                            return Linear(backend, matrix.inputs, matrix.outputs, weights.stored(matrix.name),
                                          kept(matrix), block, matrix.terms);
                        }),
                    {},
                    {},
                    {},
                    {}};
        layer.keys = state.reserve<std::byte>(ring);
        layer.values = state.reserve<std::byte>(ring);
        layer.key_scales = state.reserve<float>(scales);
        layer.value_scales = state.reserve<float>(scales);
        layers_.push_back(std::move(layer));
    }
    clock_ = state.reserve<Clock>(1);
    // Attention needs its input no more once q, k and v are there, nor them in the feed-forward part.
    attended_ = normed_ = scratch.reserve<float>(size(max_rows, d));
    ArenaLayout feedforward = scratch;
    qkv_ = scratch.reserve<float>(size(max_rows, 3, d));
    hidden_ = feedforward.reserve<float>(size(max_rows, spec.feedforward));
    scratch.include(feedforward);
    scores_ = scratch.reserve<float>(size(kAttentionTasks) * scores_stride());
    cos_ = scratch.reserve<float>(size(max_rows, spec.head_dim / 2));
    sin_ = scratch.reserve<float>(size(max_rows, spec.head_dim / 2));
    if (precision == Precision::int8) {
        quantised_ =
            scratch.reserve<std::int8_t>(size(max_rows, spec.terms, int8_stride(std::max(d, spec.feedforward))));
        quantised_scales_ = scratch.reserve<float>(size(max_rows, spec.terms));
    }
}

void Transformer::push(const Exec& exec, const Batch& batch, std::byte* scratch, float* x) const noexcept {
    const int rows = batch.rows();
    if (rows == 0) return;
    float* normed = normed_.in(scratch);
    float* qkv = qkv_.in(scratch);
    float* attended = attended_.in(scratch);
    float* hidden = hidden_.in(scratch);
    const QuantisedRows quantised{quantised_.in(scratch), quantised_scales_.in(scratch)};
    std::ptrdiff_t angles = 0;
    for (const Lane& lane : batch.lanes) {
        rotary_.fill(clock_.in(lane.state)->position, lane.rows, cos_.in(scratch) + angles, sin_.in(scratch) + angles);
        angles += std::ptrdiff_t{lane.rows} * (spec_.head_dim / 2);
    }

    for (const Layer& layer : layers_) {
        layer.in_projection.prefetch();
        exec->layer_norm(x, layer.norm1_weight.data(), layer.norm1_bias.data(), kLayerNormEpsilon, rows,
                         spec_.dimension, normed);
        layer.in_projection.apply(exec, normed, rows, qkv, {}, quantised);
        attend(exec, batch, scratch, layer, rows);
        layer.out_projection.prefetch();
        layer.out_projection.apply(exec, attended, rows, x, {.scale = layer.scale1.data(), .residual = x}, quantised);
        layer.expand.prefetch();
        exec->layer_norm(x, layer.norm2_weight.data(), layer.norm2_bias.data(), kLayerNormEpsilon, rows,
                         spec_.dimension, normed);
        layer.expand.apply(exec, normed, rows, hidden, {.activation = Activation::gelu}, quantised);
        layer.contract.prefetch();
        layer.contract.apply(exec, hidden, rows, x, {.scale = layer.scale2.data(), .residual = x}, quantised);
    }
    for (const Lane& lane : batch.lanes) clock_.in(lane.state)->position += static_cast<std::uint64_t>(lane.rows);
}

void Transformer::attend(const Exec& exec, const Batch& batch, std::byte* scratch, const Layer& layer,
                         int rows) const noexcept {
    const int heads = spec_.dimension / spec_.head_dim;
    const std::int64_t work = std::int64_t{2} * rows * spec_.context * spec_.dimension;
    const int tasks = work < Exec::kWorthSplitting ? 1 : std::min(2 * exec.threads(), kAttentionTasks);
    // Every head of every lane is a unit of work.
    exec.split(static_cast<int>(batch.lanes.size()) * heads, tasks, [&](int task, int begin, int end) noexcept {
        AttentionArgs args;
        args.qkv = qkv_.in(scratch);
        args.rope_cos = cos_.in(scratch);
        args.rope_sin = sin_.in(scratch);
        args.scores = scores_.in(scratch) + static_cast<std::size_t>(task) * scores_stride();
        args.y = attended_.in(scratch);
        args.ring = spec_.precision;
        args.heads = heads;
        args.head_dim = spec_.head_dim;
        args.context = spec_.context;
        for (const Lane& lane : batch.lanes) {
            const int first = std::max(begin, 0), last = std::min(end, heads);
            if (first < last) {
                const Clock& clock = *clock_.in(lane.state);
                args.keys = layer.keys.in(lane.state);
                args.values = layer.values.in(lane.state);
                args.key_scales = layer.key_scales.in(lane.state);
                args.value_scales = layer.value_scales.in(lane.state);
                args.rows = lane.rows;
                args.position = clock.position;
                args.start = clock.start;
                exec->attention(args, first, last);
            }
            begin -= heads;
            end -= heads;
            args.qkv += std::ptrdiff_t{lane.rows} * 3 * spec_.dimension;
            args.y += std::ptrdiff_t{lane.rows} * spec_.dimension;
            args.rope_cos += std::ptrdiff_t{lane.rows} * (spec_.head_dim / 2);
            args.rope_sin += std::ptrdiff_t{lane.rows} * (spec_.head_dim / 2);
        }
    });
}

void Transformer::seek(std::byte* state, std::uint64_t position) const noexcept {
    *clock_.in(state) = {position, position};
}

}  // namespace secousti::core

#include "cuda/layers.h"

#include <algorithm>
#include <array>

#include "layers/conv_matrix.h"
#include "layers/rope.h"

namespace secousti::core::cuda {

namespace {

void product(const Step& step, const DeviceMatrix& matrix, const float* x, float* y, const Epilogue& epilogue,
             const DeviceArray<float>* gamma = nullptr, const DeviceArray<float>* beta = nullptr) {
    LinearArgs args;
    args.x = x;
    args.row_stride = matrix.depth();
    args.rows_per_slot = step.rows();
    if (gamma != nullptr) {
        args.gamma = gamma->data();
        args.beta = beta->data();
    }
    args.matrix = matrix.view();
    args.epilogue = epilogue;
    args.operand = step.operand;
    args.y = y;
    linear(step.queue, args);
}

}  // namespace

DeviceConv::DeviceConv(const CudaQueue& queue, const Shape& shape, const WeightMap& weights, const std::string& name,
                       Precision precision)
    : shape_(shape) {
    const std::vector<float> matrix =
        conv_matrix(weights.get(name + ".weight"), shape.outputs, shape.inputs, shape.kernel);
    matrix_ = {queue, precision, matrix, shape.outputs, shape.kernel * shape.inputs, weights.get(name + ".bias")};
}

DeviceConv DeviceConv::transposed(const CudaQueue& queue, int inputs, int outputs, int stride, int rows_per_token,
                                  const WeightMap& weights, const std::string& name, Precision precision) {
    DeviceConv conv;
    conv.shape_ = {inputs, stride * outputs, 2, 1, rows_per_token, Activation::elu};
    const std::vector<float> matrix = transposed_matrix(weights.get(name + ".weight"), inputs, outputs, stride);
    conv.matrix_ = {
        queue, precision, matrix, stride * outputs, 2 * inputs, transposed_bias(weights.get(name + ".bias"), stride)};
    return conv;
}

void DeviceConv::apply(const Step& step, const DeviceArray<float>& ring, const float* x, float* y,
                       const float* residual, const std::int32_t* valid, int valid_ratio) const {
    ConvArgs args;
    args.clock = step.clock;
    args.tokens = step.tokens;
    args.rows_per_token = shape_.rows_per_token;
    args.x = x;
    args.pre = shape_.pre;
    args.ring = ring.data();
    args.ring_rows = static_cast<int>(ring.count() / area(step.clock.slots, shape_.inputs));
    args.inputs = shape_.inputs;
    args.kernel = shape_.kernel;
    args.stride = shape_.stride;
    args.valid = valid;
    args.valid_ratio = valid_ratio;
    args.matrix = matrix_.view();
    args.epilogue.residual = residual;
    args.operand = step.operand;
    args.y = y;
    conv(step.queue, args);
}

DeviceTransformer::DeviceTransformer(const CudaQueue& queue, const TransformerSpec& spec, const WeightMap& weights)
    : spec_(spec) {
    const RotaryTable rotary(spec.head_dim, spec.rope_base);
    turns_per_frame_ = {queue, rotary.turns_per_frame(), "rotary frequencies"};
    for (int i = 0; i < spec.layers; ++i) {
        layers_.push_back(make_parts(
            transformer_tensors(spec, i),
            [&](const std::string& name) {
                return DeviceArray<float>(queue, weights.get(name), "the weights of a transformer");
            },
            [&](const TransformerMatrix& matrix) {
                return DeviceMatrix(queue, spec.precision, weights.get(matrix.name), matrix.outputs, matrix.inputs);
            }));
    }
}

DeviceTransformer::State DeviceTransformer::make_state(const CudaQueue& queue, int slots, int max_tokens) const {
    State state;
    state.ring_rows = spec_.context + max_tokens - 1;
    const std::size_t values = area(slots, state.ring_rows) * static_cast<std::size_t>(spec_.dimension);
    const auto zeros = [&]<class T>(std::vector<DeviceArray<T>>& arrays, std::size_t count, const char* what) {
        arrays.emplace_back(queue, count, what);
        // A snapshot copies rows that no step has written yet.
        queue.fill(arrays.back().data(), 0, arrays.back().bytes());
    };
    for (int i = 0; i < spec_.layers; ++i) {
        zeros(state.keys, values * bytes_of(spec_.precision), "keys of a group's slots");
        zeros(state.values, values * bytes_of(spec_.precision), "values of a group's slots");
        if (spec_.precision != Precision::int8) continue;
        const std::size_t rows = values / static_cast<std::size_t>(spec_.head_dim);
        zeros(state.key_scales, rows, "scales of a group's keys");
        zeros(state.value_scales, rows, "scales of a group's values");
    }
    return state;
}

std::size_t DeviceTransformer::State::bytes() const noexcept {
    std::size_t total = 0;
    const auto add = [&](const auto& arrays) {
        for (const auto& array : arrays) total += array.bytes();
    };
    add(keys), add(values), add(key_scales), add(value_scales);
    return total;
}

DeviceTransformer::State DeviceTransformer::State::part(std::size_t slot, std::size_t slots) const {
    State mine;
    mine.ring_rows = ring_rows;
    const auto take = [&](const auto& all, auto& to) {
        for (const auto& array : all) to.push_back(array.part(slot, slots));
    };
    take(keys, mine.keys), take(values, mine.values);
    take(key_scales, mine.key_scales), take(value_scales, mine.value_scales);
    return mine;
}

DeviceTransformer::Scratch DeviceTransformer::make_scratch(const CudaQueue& queue, int rows) const {
    const auto rows_of = [&](int width) { return DeviceArray<float>(queue, area(rows, width), "rows of a step"); };
    return {rows_of(3 * spec_.dimension), rows_of(spec_.dimension), rows_of(spec_.feedforward),
            rows_of(spec_.head_dim / 2), rows_of(spec_.head_dim / 2)};
}

std::size_t DeviceTransformer::operand(int rows) const {
    std::size_t most = 0;
    for (const Layer& layer : layers_) {
        for (const DeviceMatrix* matrix : layer.matrices()) most = std::max(most, matrix->operand(rows));
    }
    return most;
}

std::size_t DeviceTransformer::weight_bytes() const {
    std::size_t total = 0;
    for (const Layer& layer : layers_) {
        for (const DeviceMatrix* matrix : layer.matrices()) total += matrix->bytes();
        for (const DeviceArray<float>* vector : layer.vectors()) total += vector->bytes();
    }
    return total;
}

void DeviceTransformer::apply(const Step& step, const State& state, const Scratch& scratch, float* x) const {
    const int heads = spec_.dimension / spec_.head_dim;
    rope_angles(step.queue, step.clock, turns_per_frame_.data(), step.tokens, spec_.head_dim / 2, scratch.cosine.data(),
                scratch.sine.data());
    AttentionArgs attend;
    attend.clock = step.clock;
    attend.tokens = step.tokens;
    attend.heads = heads;
    attend.head_dim = spec_.head_dim;
    attend.context = spec_.context;
    attend.ring_rows = state.ring_rows;
    attend.ring = spec_.precision;
    attend.qkv = scratch.qkv.data();
    attend.cos = scratch.cosine.data();
    attend.sin = scratch.sine.data();
    attend.y = scratch.attended.data();
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        const Layer& layer = layers_[i];
        product(step, layer.in_projection, x, scratch.qkv.data(), {}, &layer.norm1_weight, &layer.norm1_bias);
        attend.keys = state.keys[i].data();
        attend.values = state.values[i].data();
        if (spec_.precision == Precision::int8) {
            attend.key_scales = state.key_scales[i].data();
            attend.value_scales = state.value_scales[i].data();
        }
        attention(step.queue, attend);
        product(step, layer.out_projection, scratch.attended.data(), x, {.scale = layer.scale1.data(), .residual = x});
        product(step, layer.expand, x, scratch.hidden.data(), {.activation = Activation::gelu}, &layer.norm2_weight,
                &layer.norm2_bias);
        product(step, layer.contract, scratch.hidden.data(), x, {.scale = layer.scale2.data(), .residual = x});
    }
}

}  // namespace secousti::core::cuda

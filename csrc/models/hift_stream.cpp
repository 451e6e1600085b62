#include "models/hift_stream.h"

#include <cstring>
#include <utility>

namespace secousti::core::hift {

namespace {

constexpr int floor_divide(int a, int b) noexcept { return a >= 0 ? a / b : -((b - 1 - a) / b); }

std::size_t floats(int rows, int width) noexcept {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(width);
}

std::ptrdiff_t offset(int rows, int width) noexcept { return static_cast<std::ptrdiff_t>(rows) * width; }

}  // namespace

void Step::clear_outside(const Timing& t, float* buffer, int width) const noexcept {
    const Range range = real(t);
    std::memset(buffer, 0, floats(range.begin, width) * sizeof(float));
    std::memset(buffer + offset(range.end, width), 0, floats(rows(t) - range.end, width) * sizeof(float));
}

void History::load(const std::byte* state, float* fresh) const noexcept {
    std::memcpy(fresh - offset(rows_, width_), kept_.in(state), floats(rows_, width_) * sizeof(float));
}

void History::save(std::byte* state, const float* fresh, int count) const noexcept {
    std::memcpy(kept_.in(state), fresh + offset(count - rows_, width_), floats(rows_, width_) * sizeof(float));
}

Timing StreamConv::after(const ConvSpec& spec, int pad_right, const Timing& in) noexcept {
    // Output row o reads input rows o*stride - pad_left … + span - 1.
    const int ahead = spec.span() - spec.pad_left - spec.stride;
    return {in.rate / spec.stride, -floor_divide(-(in.lag + ahead), spec.stride),
            floor_divide(in.extra + spec.pad_left + pad_right - spec.span(), spec.stride) + 1};
}

StreamConv::StreamConv(WindowConv conv, int pad_right, const Timing& in, Plan& plan, int delay)
    : conv_(std::move(conv)), in_(in), out_(after(conv_.spec(), pad_right, in)) {
    const ConvSpec& spec = conv_.spec();
    out_.lag += delay;
    const int kept = spec.stride * out_.lag - in.lag + spec.pad_left;
    history_ = History(kept, spec.inputs, plan);
    plan.window = std::max(plan.window, floats(kept + in.rate * kStepFrames, spec.inputs));
}

float* StreamConv::open(const Step& step) const noexcept {
    float* fresh = step.window + offset(history_.rows(), spec().inputs);
    history_.load(step.state, fresh);
    return fresh;
}

void StreamConv::emit(const Step& step, float* y, Epilogue epilogue) const noexcept {
    const ConvSpec& s = spec();
    const Step::Range range = step.real(out_);
    if (epilogue.residual != nullptr) epilogue.residual += offset(range.begin, s.outputs);
    conv_.apply(step.exec, step.window + offset(range.begin * s.stride, s.inputs), range.end - range.begin,
                y + offset(range.begin, s.outputs), epilogue);
    step.clear_outside(out_, y, s.outputs);
    history_.save(step.state, step.window + offset(history_.rows(), s.inputs), step.rows(in_));
}

void StreamConv::run(const Step& step, const float* x, float* y, const PreActivation& pre,
                     const Epilogue& epilogue) const noexcept {
    float* fresh = open(step);
    const std::size_t count = floats(step.rows(in_), spec().inputs);
    if (pre.kind == Activation::none) {
        std::memcpy(fresh, x, count * sizeof(float));
    } else {
        step.exec->activate(pre.kind, pre.slope, x, count, fresh);
    }
    emit(step, y, epilogue);
}

Snake::Snake(const WeightMap& weights, const std::string& name) : alpha(weights.get(name + ".alpha")) {
    constexpr float kEpsilon = 1e-9F;
    for (const float a : alpha) inverse.push_back(1.0F / (a + kEpsilon));
}

int ResBlock::lag(int kernel, const std::vector<int>& dilations) noexcept {
    int rows = 0;
    for (const int dilation : dilations) rows += (kernel - 1) / 2 * (dilation + 1);
    return rows;
}

ResBlock::ResBlock(const Backend& backend, const WeightMap& weights, const std::string& prefix, int channels,
                   int kernel, const std::vector<int>& dilations, const Timing& in, int delay, Plan& plan)
    : channels_(channels), delay_(delay) {
    Timing timing{in.rate, in.lag + delay, in.extra};
    for (std::size_t i = 0; i < dilations.size(); ++i) {
        const std::string index = "." + std::to_string(i);
        const auto conv = [&](const std::string& name, int dilation) {
            const ConvSpec spec = ConvSpec::same(channels, channels, kernel, dilation);
            StreamConv made({backend, spec, weights.get(name + ".weight"), weights.get(name + ".bias")}, spec.pad_right,
                            timing, plan);
            timing = made.timing();
            return made;
        };
        const int lag_before = timing.lag;
        StreamConv first = conv(prefix + ".convs1" + index, dilations[i]);
        StreamConv second = conv(prefix + ".convs2" + index, 1);
        const int residual = timing.lag - lag_before;
        if (i > 0) headroom_ = std::max(headroom_, residual);
        layers_.push_back({Snake(weights, prefix + ".activations1" + index),
                           Snake(weights, prefix + ".activations2" + index), std::move(first), std::move(second),
                           residual, i > 0 ? History(residual, channels, plan) : History()});
    }
}

void ResBlock::run(const Step& step, const float* x, float* work0, float* work1, float* y) const noexcept {
    const int rows = step.rows(timing());
    const float* in = x - offset(delay_, channels_);
    float* between = work0;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        const Layer& layer = layers_[i];
        float* out = i + 1 == layers_.size() ? y : between;
        const Snake& snake1 = layer.snake1;
        const Snake& snake2 = layer.snake2;
        step.exec->snake(in, snake1.alpha.data(), snake1.inverse.data(), rows, channels_, layer.first.open(step));
        layer.first.emit(step, out);
        step.exec->snake(out, snake2.alpha.data(), snake2.inverse.data(), rows, channels_, layer.second.open(step));
        layer.second.emit(step, out, {.residual = in - offset(layer.residual, channels_)});
        if (i > 0) layer.history.save(step.state, in, rows);
        if (i + 1 < layers_.size()) layers_[i + 1].history.load(step.state, out);
        in = out;
        between = between == work0 ? work1 : work0;
    }
}

}  // namespace secousti::core::hift

#include "models/hift/stream.h"

#include <cstring>
#include <utility>

namespace secousti::core::hift {

namespace {

std::ptrdiff_t offset(int rows, int width) noexcept { return static_cast<std::ptrdiff_t>(rows) * width; }

}  // namespace

void Step::clear_outside(const Timing& t, float* buffer, int width) const noexcept {
    const Range range = real(t);
    std::memset(buffer, 0, area(range.begin, width) * sizeof(float));
    std::memset(buffer + offset(range.end, width), 0, area(rows(t) - range.end, width) * sizeof(float));
}

void History::load(const std::byte* state, void* fresh) const noexcept {
    std::memcpy(static_cast<std::byte*>(fresh) - offset(rows_, row_bytes_), kept_.in(state), area(rows_, row_bytes_));
}

void History::save(std::byte* state, const void* fresh, int count) const noexcept {
    std::memcpy(kept_.in(state), static_cast<const std::byte*>(fresh) + offset(count - rows_, row_bytes_),
                area(rows_, row_bytes_));
}

StreamConv::StreamConv(WindowConv conv, int pad_right, const Timing& in, Plan& plan, int delay)
    : conv_(std::move(conv)), in_(in), out_(in.after(conv_.spec(), pad_right)) {
    const ConvSpec& spec = conv_.spec();
    out_.lag += delay;
    const int kept = spec.stride * out_.lag - in.lag + spec.pad_left;
    history_ = History(kept, conv_.row_bytes(), plan);
    plan.window = std::max(plan.window, area(kept + in.rate * kStepFrames, conv_.row_bytes()));
}

std::byte* StreamConv::open_rows(const Step& step) const noexcept {
    std::byte* fresh = step.window + offset(history_.rows(), conv_.row_bytes());
    history_.load(step.state, fresh);
    return fresh;
}

void StreamConv::emit(const Step& step, float* y, Epilogue epilogue) const noexcept {
    const ConvSpec& s = spec();
    const Step::Range range = step.real(out_);
    if (epilogue.residual != nullptr) epilogue.residual += offset(range.begin, s.outputs);
    conv_.apply(step.exec, step.window + offset(range.begin * s.stride, conv_.row_bytes()), range.end - range.begin,
                y + offset(range.begin, s.outputs), epilogue);
    step.clear_outside(out_, y, s.outputs);
    history_.save(step.state, step.window + offset(history_.rows(), conv_.row_bytes()), step.rows(in_));
}

void StreamConv::run(const Step& step, const float* x, float* y, const PreActivation& pre,
                     const Epilogue& epilogue) const noexcept {
    std::byte* fresh = open_rows(step);
    const int rows = step.rows(in_), width = spec().inputs;
    if (conv_.narrow()) {
        step.exec->narrow_rows({.x = x,
                                .rows = rows,
                                .width = width,
                                .activation = pre.kind,
                                .slope = pre.slope,
                                .precision = conv_.precision(),
                                .y = fresh});
    } else if (pre.kind == Activation::none) {
        std::memcpy(fresh, x, area(rows, width) * sizeof(float));
    } else {
        step.exec->activate(pre.kind, pre.slope, x, area(rows, width), reinterpret_cast<float*>(fresh));
    }
    emit(step, y, epilogue);
}

void StreamConv::run(const Step& step, const float* x, float* y, const Snake& snake,
                     const Epilogue& epilogue) const noexcept {
    std::byte* fresh = open_rows(step);
    const int rows = step.rows(in_), width = spec().inputs;
    if (conv_.narrow()) {
        step.exec->narrow_rows({.x = x,
                                .rows = rows,
                                .width = width,
                                .alpha = snake.alpha.data(),
                                .inverse_alpha = snake.inverse.data(),
                                .precision = conv_.precision(),
                                .y = fresh});
    } else {
        step.exec->snake(x, snake.alpha.data(), snake.inverse.data(), rows, width, reinterpret_cast<float*>(fresh));
    }
    emit(step, y, epilogue);
}

Snake::Snake(const WeightMap& weights, const std::string& name) : alpha(weights.get(name + ".alpha")) {
    constexpr float kEpsilon = 1e-9F;
    for (const float a : alpha) inverse.push_back(1.0F / (a + kEpsilon));
}

ResBlock::ResBlock(const Backend& backend, const WeightMap& weights, const BlockLayers& layers, const Timing& in,
                   int delay, Plan& plan, Precision precision)
    : channels_(layers.units.front().first.spec.inputs), delay_(delay) {
    Timing timing{in.rate, in.lag + delay, in.extra};
    for (const BlockLayers::Unit& unit : layers.units) {
        const auto conv = [&](const ConvLayer& layer) {
            StreamConv made({backend, layer.spec, weights.get(layer.name + ".weight"),
                             weights.get(layer.name + ".bias"), precision, Rows::narrow, plan.weights},
                            layer.spec.pad_right, timing, plan);
            timing = made.timing();
            return made;
        };
        const int lag_before = timing.lag;
        StreamConv first = conv(unit.first);
        StreamConv second = conv(unit.second);
        const int residual = timing.lag - lag_before;
        const bool later = !layers_.empty();
        if (later) headroom_ = std::max(headroom_, residual);
        layers_.push_back({Snake(weights, unit.snake1), Snake(weights, unit.snake2), std::move(first),
                           std::move(second), residual,
                           later ? History::floats(residual, channels_, plan) : History()});
    }
}

void ResBlock::run(const Step& step, const float* x, float* work0, float* work1, float* y) const noexcept {
    const int rows = step.rows(timing());
    const float* in = x - offset(delay_, channels_);
    float* between = work0;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        const Layer& layer = layers_[i];
        float* out = i + 1 == layers_.size() ? y : between;
        layer.first.run(step, in, out, layer.snake1);
        layer.second.run(step, out, out, layer.snake2, {.residual = in - offset(layer.residual, channels_)});
        if (i > 0) layer.history.save(step.state, in, rows);
        if (i + 1 < layers_.size()) layers_[i + 1].history.load(step.state, out);
        in = out;
        between = between == work0 ? work1 : work0;
    }
}

}  // namespace secousti::core::hift

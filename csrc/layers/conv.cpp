#include "layers/conv.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "layers/conv_matrix.h"

namespace secousti::core {

ConvSpec ConvSpec::causal(int inputs, int outputs, int kernel, int stride, int dilation) noexcept {
    const int span = (kernel - 1) * dilation + 1;
    return {inputs, outputs, kernel, stride, dilation, span - stride, kCompleteStride};
}

ConvSpec ConvSpec::same(int inputs, int outputs, int kernel, int dilation) noexcept {
    const int pad = (kernel - 1) * dilation / 2;
    return {inputs, outputs, kernel, 1, dilation, pad, pad};
}

namespace {

bool is_narrow(const ConvSpec& spec, Precision precision, Rows rows) noexcept {
    const bool can = precision == Precision::bf16 || precision == Precision::int8;
    return rows == Rows::narrow && can && spec.inputs <= kMaxNarrowWidth;
}
/// Of the weights that multiply wide rows.
Precision wide_precision(Precision precision) noexcept {
    return precision == Precision::int8 ? Precision::bf16 : precision;
}

}  // namespace

std::size_t WindowConv::weight_bytes(const Backend& backend, const ConvSpec& spec, Precision precision,
                                     Rows rows) noexcept {
    return WeightBlock::padded(
        is_narrow(spec, precision, rows)
            ? backend.packed_narrow_bytes(precision, spec.outputs, spec.kernel, spec.inputs)
            : backend.packed_bytes(wide_precision(precision), spec.outputs, spec.inputs * spec.kernel));
}

WindowConv::WindowConv(const Backend& backend, const ConvSpec& spec, const Matrix& matrix, std::span<const float> bias,
                       Precision precision, Rows rows, std::shared_ptr<WeightBlock> block)
    : spec_(spec),
      weights_(is_narrow(spec, precision, rows)
                   ? PackedWeights::narrow(backend, precision, matrix.values, spec.outputs, spec.kernel, spec.inputs,
                                           std::move(block))
                   : PackedWeights(backend, wide_precision(precision), matrix.values, spec.outputs,
                                   spec.inputs * spec.kernel, std::move(block))),
      bias_(bias.begin(), bias.end()),
      narrow_(is_narrow(spec, precision, rows)) {}

WindowConv::WindowConv(const Backend& backend, const ConvSpec& spec, std::span<const float> weight,
                       std::span<const float> bias, Precision precision, Rows rows, std::shared_ptr<WeightBlock> block)
    : WindowConv(backend, spec, Matrix{conv_matrix(weight, spec.outputs, spec.inputs, spec.kernel)}, bias, precision,
                 rows, std::move(block)) {}

WindowConv WindowConv::transposed(const Backend& backend, int inputs, int outputs, int stride,
                                  std::span<const float> weight, std::span<const float> bias, Precision precision,
                                  Rows rows, std::shared_ptr<WeightBlock> block) {
    return {backend,
            ConvSpec::causal(inputs, stride * outputs, 2),
            Matrix{transposed_matrix(weight, inputs, outputs, stride)},
            transposed_bias(bias, stride),
            precision,
            rows,
            std::move(block)};
}

void WindowConv::multiply(const Exec& exec, const void* window, int stride, int dilation, int rows, float* y,
                          const Epilogue& epilogue) const noexcept {
    if (rows <= 0) return;
    LinearArgs args;
    if (narrow_) {
        args.window = static_cast<const std::byte*>(window);
    } else {
        args.x = static_cast<const float*>(window);
    }
    const std::ptrdiff_t width = narrow_ ? row_bytes() : spec_.inputs;
    args.row_stride = stride * width;
    args.taps = spec_.kernel;
    args.tap_stride = dilation * width;
    args.depth = spec_.inputs;
    args.rows = rows;
    args.outputs = spec_.outputs;
    args.precision = weights_.precision();
    args.weights = weights_.data();
    args.bias = bias_.empty() ? nullptr : bias_.data();
    args.activation = epilogue.activation;
    args.slope = epilogue.slope;
    args.scale = epilogue.scale;
    args.residual = epilogue.residual;
    args.residual_stride = spec_.outputs;
    args.y = y;
    args.y_stride = spec_.outputs;
    exec.linear(args);
}

Conv::Conv(WindowConv conv, int max_rows, ArenaLayout& state) : conv_(std::move(conv)) {
    const ConvSpec& spec = conv_.spec();
    const int longest_pad = std::max({spec.pad_left, spec.pad_right, spec.stride});
    window_rows_ = spec.span() - 1 + spec.stride + std::max(max_rows, longest_pad);
    kept_ = state.reserve<float>(area(std::max(spec.span() - 1, spec.pad_left), spec.inputs));
    appended_ = state.reserve<std::int32_t>(1);
}

float* Conv::open(const std::byte* state, float* window) const noexcept {
    return std::copy_n(kept_.in(state), area(fill(state), spec().inputs), window);
}

void Conv::close(std::byte* state, const float* window, int fill, int count) const noexcept {
    const int consumed = count * spec().stride;
    const int kept = fill - consumed;
    if (kept > 0) std::copy_n(window + area(consumed, spec().inputs), area(kept, spec().inputs), kept_.in(state));
    *appended_.in(state) = kept - spec().pad_left;
}

int Conv::push(const Exec& exec, const Batch& batch, const float* x, float* y, const PreActivation& pre,
               const Epilogue& epilogue) const noexcept {
    const ConvSpec& spec = conv_.spec();
    float* gathered = batch.windows;
    int total = 0;
    for (Lane& lane : batch.lanes) {
        const int after = fill(lane.state) + lane.rows;
        const std::size_t count = area(lane.rows, spec.inputs);
        float* fresh = open(lane.state, batch.window);
        if (pre.kind == Activation::none) {
            std::copy_n(x, count, fresh);
        } else {
            exec->activate(pre.kind, pre.slope, x, count, fresh);
        }
        x += count;
        lane.rows = ready(after);
        total += lane.rows;
        if (batch.lanes.size() == 1) {
            conv_.apply(exec, batch.window, total, y, epilogue);
        } else {
            // The windows of all lanes, side by side: copying costs little beside a pass over the weights for each.
            for (int output = 0; output < lane.rows; ++output) {
                for (int tap = 0; tap < spec.kernel; ++tap, gathered += spec.inputs) {
                    std::copy_n(batch.window + area(output * spec.stride + tap * spec.dilation, spec.inputs),
                                spec.inputs, gathered);
                }
            }
        }
        close(lane.state, batch.window, after, lane.rows);
    }
    if (batch.lanes.size() > 1) conv_.apply_gathered(exec, batch.windows, total, y, epilogue);
    return total;
}

int Conv::finish(const Exec& exec, std::byte* state, float* window, float* y, const Epilogue& epilogue) const noexcept {
    const ConvSpec& spec = conv_.spec();
    const int before = fill(state);
    int pad = spec.pad_right;
    if (pad == ConvSpec::kCompleteStride) {
        const int pending = before - (spec.span() - spec.stride);
        pad = pending % spec.stride == 0 ? 0 : spec.stride - pending % spec.stride;
    }
    float* padding = open(state, window);
    if (pad > 0) std::memset(padding, 0, area(pad, spec.inputs) * sizeof(float));
    const int count = ready(before + pad);
    conv_.apply(exec, window, count, y, epilogue);
    close(state, window, before + pad, count);
    return count;
}

}  // namespace secousti::core

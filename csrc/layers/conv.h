// Streaming 1-D convolution over time-major rows: one window buffer, one rule for every padding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/aligned_vector.h"
#include "base/arena.h"
#include "kernels/exec.h"
#include "layers/batch.h"
#include "layers/packing.h"

namespace secousti::core {

/// Applied to rows on their way into the window buffer (the cache update reads and writes them anyway).
struct PreActivation {
    Activation kind = Activation::none;
    float slope = 0.0F;
};

/// Applied to each output; `residual` has rows of `outputs` floats aligned with the outputs.
struct Epilogue {
    Activation activation = Activation::none;
    float slope = 0.0F;
    const float* scale = nullptr;
    const float* residual = nullptr;
};

struct ConvSpec {
    int inputs = 0;
    int outputs = 0;
    int kernel = 1;
    int stride = 1;
    int dilation = 1;
    int pad_left = 0;   ///< zero rows before the first input
    int pad_right = 0;  ///< zero rows after the last; kCompleteStride: as many as make the last window full

    static constexpr int kCompleteStride = -1;

    int span() const noexcept { return (kernel - 1) * dilation + 1; }
    /// Left padding of (k-1)*dilation + 1 - stride; the end is completed to a whole stride.
    static ConvSpec causal(int inputs, int outputs, int kernel, int stride = 1, int dilation = 1) noexcept;
    /// Symmetric padding that keeps the length (odd kernels, stride 1).
    static ConvSpec same(int inputs, int outputs, int kernel, int dilation = 1) noexcept;
};

/// What the rows of a convolution's window are.
enum class Rows : std::uint8_t {
    wide,   ///< float32, whatever the weights are; weights of fp32 or bf16
    narrow  ///< of the weights' precision if that is bf16 or int8: see NarrowArgs
};

/// The stateless part: a function of (window, weights).
class WindowConv {
  public:
    WindowConv() = default;
    /// `weight` is [outputs, inputs, kernel] as torch's Conv1d holds it, `bias` [outputs] or empty.
    WindowConv(const Backend& backend, const ConvSpec& spec, std::span<const float> weight, std::span<const float> bias,
               Precision precision = Precision::fp32, Rows rows = Rows::wide,
               std::shared_ptr<WeightBlock> block = nullptr);
    /// Bytes that its weights take of a block.
    static std::size_t weight_bytes(const Backend& backend, const ConvSpec& spec, Precision precision = Precision::fp32,
                                    Rows rows = Rows::wide) noexcept;

    /// ConvTranspose1d with kernel 2*stride, `weight` [inputs, outputs, 2*stride], as a convolution of two taps: the
    /// window (x[t-1], x[t]) gives one row of stride*outputs, which is `stride` consecutive rows of `outputs` floats.
    static WindowConv transposed(const Backend& backend, int inputs, int outputs, int stride,
                                 std::span<const float> weight, std::span<const float> bias,
                                 Precision precision = Precision::fp32, Rows rows = Rows::wide,
                                 std::shared_ptr<WeightBlock> block = nullptr);

    const ConvSpec& spec() const noexcept { return spec_; }
    /// Precision of the weights, and of the window's rows if they are narrow.
    Precision precision() const noexcept { return weights_.precision(); }
    bool narrow() const noexcept { return narrow_; }
    /// Bytes of a row of the window.
    int row_bytes() const noexcept {
        return narrow_ ? narrow_row_bytes(precision(), spec_.inputs) : spec_.inputs * static_cast<int>(sizeof(float));
    }
    /// y [rows, outputs]; `window` starts at the first output's first tap: floats, or narrow rows.
    void apply(const Exec& exec, const void* window, int rows, float* y, const Epilogue& epilogue = {}) const noexcept {
        multiply(exec, window, spec_.stride, spec_.dilation, rows, y, epilogue);
    }
    /// The same with the windows side by side, [rows, kernel, inputs].
    void apply_gathered(const Exec& exec, const void* windows, int rows, float* y,
                        const Epilogue& epilogue) const noexcept {
        multiply(exec, windows, spec_.kernel, 1, rows, y, epilogue);
    }

  private:
    struct Matrix {
        std::vector<float> values;  ///< [outputs, kernel*inputs]
    };
    WindowConv(const Backend& backend, const ConvSpec& spec, const Matrix& matrix, std::span<const float> bias,
               Precision precision, Rows rows, std::shared_ptr<WeightBlock> block);

    /// `stride` rows from window to window, `dilation` rows from tap to tap.
    void multiply(const Exec& exec, const void* window, int stride, int dilation, int rows, float* y,
                  const Epilogue& epilogue) const noexcept;

    ConvSpec spec_;
    PackedWeights weights_;
    AlignedVector<float> bias_;
    bool narrow_ = false;
};

/// Feeding rows in any split gives the rows of the padded offline convolution, each as soon as its window is full.
class Conv {
  public:
    Conv() = default;
    /// `weight` is [outputs, inputs, kernel] as torch's Conv1d holds it, `bias` [outputs] or empty. `max_rows` bounds
    /// one push.
    Conv(const Backend& backend, const ConvSpec& spec, std::span<const float> weight, std::span<const float> bias,
         int max_rows, ArenaLayout& state, Precision precision = Precision::fp32)
        : Conv(WindowConv(backend, spec, weight, bias, precision), max_rows, state) {}

    /// ConvTranspose1d with kernel 2*stride, `weight` [inputs, outputs, 2*stride], last `stride` outputs dropped: each
    /// input row gives `stride` consecutive rows of `outputs` floats, written as one row of stride*outputs.
    static Conv transposed(const Backend& backend, int inputs, int outputs, int stride, std::span<const float> weight,
                           std::span<const float> bias, int max_rows, ArenaLayout& state,
                           Precision precision = Precision::fp32) {
        return {WindowConv::transposed(backend, inputs, outputs, stride, weight, bias, precision), max_rows, state};
    }

    const ConvSpec& spec() const noexcept { return conv_.spec(); }
    /// Where a stream's state lies, which a device takes from there and back: the rows that the next window begins
    /// with, and how many there are beyond the left padding.
    const Slice<float>& window() const noexcept { return kept_; }
    const Slice<std::int32_t>& appended() const noexcept { return appended_; }
    /// Most rows that pushing `rows`, or finishing, can return.
    int max_outputs(int rows) const noexcept { return rows / spec().stride + 1; }

    /// Appends the rows of x and writes the outputs that are ready; sets the lanes' rows to how many and returns their
    /// sum. x may not alias y.
    int push(const Exec& exec, const Batch& batch, const float* x, float* y, const PreActivation& pre = {},
             const Epilogue& epilogue = {}) const noexcept;
    /// One stream alone. `window` is scratch.
    int push(const Exec& exec, std::byte* state, float* window, const float* x, int rows, float* y,
             const PreActivation& pre = {}, const Epilogue& epilogue = {}) const noexcept {
        Lane lane{state, rows};
        return push(exec, Batch{{&lane, 1}, nullptr, window}, x, y, pre, epilogue);
    }
    /// Floats of one lane's window.
    std::size_t window_floats() const noexcept { return area(window_rows_, spec().inputs); }
    /// Floats of Batch::windows for `outputs` rows of all lanes.
    std::size_t gathered(int outputs) const noexcept { return area(outputs, spec().kernel * spec().inputs); }
    /// Pads the end and writes the remaining outputs. (Residual rows are then those of the padded positions.)
    int finish(const Exec& exec, std::byte* state, float* window, float* y,
               const Epilogue& epilogue = {}) const noexcept;

  private:
    Conv(WindowConv conv, int max_rows, ArenaLayout& state);
    /// Rows in the window.
    int fill(const std::byte* state) const noexcept { return spec().pad_left + *appended_.in(state); }
    /// Outputs of a window of `fill` rows.
    int ready(int fill) const noexcept { return fill < spec().span() ? 0 : (fill - spec().span()) / spec().stride + 1; }
    /// Writes the rows of the state to the beginning of `window`; returns where the next row goes.
    float* open(const std::byte* state, float* window) const noexcept;
    /// Keeps what `count` outputs of a window of `fill` rows leave.
    void close(std::byte* state, const float* window, int fill, int count) const noexcept;

    WindowConv conv_;
    int window_rows_ = 0;           ///< most rows of a window
    Slice<float> kept_;             ///< less than the span of an output
    Slice<std::int32_t> appended_;  ///< rows in the window beyond the left padding (negative once that has passed)
};

}  // namespace secousti::core

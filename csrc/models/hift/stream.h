// How a non-causal graph of convolutions streams exactly.
//
// After t mel frames, rows [0, rate*t - lag) of a signal can be known; rate and lag are fixed per signal and follow
// from the convolutions before it. A step of n frames therefore computes exactly rate*n rows of every signal, from row
// rate*t - lag on, whatever t is: rows before 0 and, once the length is known, rows past the end are zero, which is the
// convolutions' padding. Nothing is counted but t, every buffer has a fixed size, and the end of a stream is a few more
// steps without input. A convolution carries the rows that it still needs from step to step as its history.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/aligned_vector.h"
#include "base/arena.h"
#include "layers/conv.h"
#include "layers/weight_map.h"
#include "models/hift/config.h"

namespace secousti::core::hift {

/// Most mel frames of a step: enough to amortise streaming the weights, few enough for activations to stay in L2.
inline constexpr int kStepFrames = 4;

/// One step of one stream.
struct Step {
    static constexpr std::int64_t kUnknown = -1;

    const Exec& exec;
    std::byte* state;
    std::byte* window;    ///< scratch for the window of the convolution that runs
    std::int64_t begin;   ///< first mel frame
    int frames;           ///< <= kStepFrames
    std::int64_t length;  ///< frames of the utterance once it has ended, else kUnknown

    /// Positions in a signal's buffer of rate*frames rows.
    struct Range {
        int begin;
        int end;
    };

    int rows(const Timing& t) const noexcept { return t.rate * frames; }
    /// Index of the buffer's first row.
    std::int64_t first(const Timing& t) const noexcept { return t.rate * begin - t.lag; }
    /// The part of the buffer whose rows exist.
    Range real(const Timing& t) const noexcept {
        const std::int64_t count = rows(t);
        const std::int64_t low = std::clamp<std::int64_t>(-first(t), 0, count);
        if (length == kUnknown) return {static_cast<int>(low), static_cast<int>(count)};
        const std::int64_t total = t.rate * length + t.extra;
        return {static_cast<int>(low), static_cast<int>(std::clamp<std::int64_t>(total - first(t), low, count))};
    }
    /// Zeroes the rows that do not exist.
    void clear_outside(const Timing& t, float* buffer, int width) const noexcept;
};

/// Plans the memory of a graph.
struct Plan {
    ArenaLayout state;
    std::size_t window = 0;                ///< bytes of the largest convolution window
    std::shared_ptr<WeightBlock> weights;  ///< of all convolutions, in the order of use
};

/// The last `rows` rows of a signal, kept in the state from one step to the next.
class History {
  public:
    History() = default;
    History(int rows, int row_bytes, Plan& plan)
        : rows_(rows), row_bytes_(row_bytes), kept_(plan.state.reserve<std::byte>(area(rows, row_bytes))) {}
    static History floats(int rows, int width, Plan& plan) {
        return {rows, width * static_cast<int>(sizeof(float)), plan};
    }

    int rows() const noexcept { return rows_; }
    /// Writes them right before `fresh`.
    void load(const std::byte* state, void* fresh) const noexcept;
    /// Takes them from the end of the `count` rows at `fresh` and the loaded rows before.
    void save(std::byte* state, const void* fresh, int count) const noexcept;

  private:
    int rows_ = 0;
    int row_bytes_ = 0;
    Slice<std::byte> kept_;
};

/// x + sin^2(alpha x) / alpha with a frequency per channel.
struct Snake {
    /// Reads `<name>.alpha`.
    Snake(const WeightMap& weights, const std::string& name);

    AlignedVector<float> alpha;
    AlignedVector<float> inverse;
};

/// A convolution (or the two taps of a transposed one) from one signal to another.
class StreamConv {
  public:
    StreamConv() = default;
    /// `delay`: rows of output to wait beyond what the convolution itself needs.
    StreamConv(WindowConv conv, int pad_right, const Timing& in, Plan& plan, int delay = 0);

    const Timing& timing() const noexcept { return out_; }
    const ConvSpec& spec() const noexcept { return conv_.spec(); }
    /// Where the step's input rows go if they are wide; the rows before them are the history.
    float* open(const Step& step) const noexcept { return reinterpret_cast<float*>(open_rows(step)); }
    /// The step's output rows; `epilogue.residual` is aligned with y.
    void emit(const Step& step, float* y, Epilogue epilogue = {}) const noexcept;
    /// The same with input rows from `x`. y may be x.
    void run(const Step& step, const float* x, float* y, const PreActivation& pre = {},
             const Epilogue& epilogue = {}) const noexcept;
    void run(const Step& step, const float* x, float* y, const Snake& snake,
             const Epilogue& epilogue = {}) const noexcept;

  private:
    std::byte* open_rows(const Step& step) const noexcept;

    WindowConv conv_;
    Timing in_, out_;
    History history_;
};

/// For each dilation: x += conv(snake(dilated conv(snake(x)))).
class ResBlock {
  public:
    ResBlock() = default;
    /// `delay`: rows to wait beyond the block's own lag.
    ResBlock(const Backend& backend, const WeightMap& weights, const BlockLayers& layers, const Timing& in, int delay,
             Plan& plan, Precision precision);

    const Timing& timing() const noexcept { return layers_.back().second.timing(); }
    /// Input rows that must lie before the step's own, and rows of headroom that run's buffers need.
    int input_history() const noexcept { return delay_ + layers_.front().residual; }
    int headroom() const noexcept { return headroom_; }
    /// `x`: the step's rows, input_history() rows before them. `work0` and `work1` have headroom() rows before them. No
    /// two buffers may be the same.
    void run(const Step& step, const float* x, float* work0, float* work1, float* y) const noexcept;

  private:
    struct Layer {
        Snake snake1, snake2;
        StreamConv first, second;
        int residual;     ///< rows between input and output
        History history;  ///< of the input; the first layer's is the caller's
    };

    int channels_ = 0;
    int delay_ = 0;
    int headroom_ = 0;
    std::vector<Layer> layers_;
};

}  // namespace secousti::core::hift

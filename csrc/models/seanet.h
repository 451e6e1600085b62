// SEANet encoder and decoder: causal convolutions between mel frames and token frames (spec section 2 and 6).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "layers/conv.h"
#include "layers/weight_map.h"
#include "models/config.h"

namespace secousti::core {

/// x + conv1x1(ELU(conv3(ELU(x)))), half as wide inside.
class ResidualUnit {
  public:
    ResidualUnit() = default;
    ResidualUnit(const Backend& backend, int channels, const WeightMap& weights, const std::string& prefix,
                 int max_rows, ArenaLayout& state, ArenaLayout& scratch, Precision precision);
    /// In place: x [batch.rows(), channels].
    void push(const Exec& exec, const Batch& batch, std::byte* scratch, float* x) const noexcept;
    /// Floats of Batch::windows for `rows` rows of all lanes.
    std::size_t windows(int rows) const noexcept { return std::max(narrow_.gathered(rows), widen_.gathered(rows)); }

    /// Floats of Batch::window.
    std::size_t window_floats() const noexcept { return std::max(narrow_.window_floats(), widen_.window_floats()); }

    const Conv& narrow() const noexcept { return narrow_; }
    const Conv& widen() const noexcept { return widen_; }

  private:
    Conv narrow_, widen_;
    Slice<float> hidden_;
};

/// log-mel [frames, n_mels] -> z [tokens, dimension].
class SeanetEncoder {
  public:
    SeanetEncoder() = default;
    SeanetEncoder(const Backend& backend, const Config& config, const WeightMap& weights, ArenaLayout& state,
                  ArenaLayout& scratch);
    /// Feeds at most kMaxFrames frames in all; writes the rows of z that are ready, sets the lanes' rows to how many
    /// and returns their sum. With `end`, which one lane alone may have, the last incomplete strides are completed with
    /// zeros; nothing may follow. Lanes that step together are fed whole tokens, except for a stream's first.
    int push(const Exec& exec, const Batch& streams, std::byte* scratch, const float* mel, bool end,
             float* z) const noexcept;
    /// Floats of Batch::windows for `frames` of all lanes.
    std::size_t windows(int frames) const noexcept;

    /// In the order of application.
    std::array<const Conv*, 8> convolutions() const noexcept {
        return {&first_,
                &residual1_.narrow(),
                &residual1_.widen(),
                &down1_,
                &residual2_.narrow(),
                &residual2_.widen(),
                &down2_,
                &last_};
    }

  private:
    Conv first_, down1_, down2_, last_;
    ResidualUnit residual1_, residual2_;
    Slice<float> rows1_, rows2_, rows3_, window_;
};

/// Transformer output [tokens, dimension] -> log-mel [tokens * r1 * r2, n_mels].
class SeanetDecoder {
  public:
    SeanetDecoder() = default;
    SeanetDecoder(const Backend& backend, const Config& config, const WeightMap& weights, ArenaLayout& state,
                  ArenaLayout& scratch);
    /// At most kMaxFrames / (r1*r2) tokens (at least one) a push, of all lanes. Sets the lanes' rows to their frames.
    void push(const Exec& exec, const Batch& streams, std::byte* scratch, const float* x, float* mel) const noexcept;
    /// Floats of Batch::windows for `tokens` of all lanes.
    std::size_t windows(int tokens) const noexcept;

    /// In the order of application.
    std::array<const Conv*, 8> convolutions() const noexcept {
        return {
            &first_, &up1_, &residual1_.narrow(), &residual1_.widen(), &up2_, &residual2_.narrow(), &residual2_.widen(),
            &last_};
    }

  private:
    int ratio1_ = 1, ratio2_ = 1;
    Conv first_, up1_, up2_, last_;
    ResidualUnit residual1_, residual2_;
    Slice<float> rows1_, rows2_, rows3_, window_;
};

/// Token frames that a step of the decoder takes at most.
int max_tokens_per_step(const Config& config) noexcept;
/// Names and shapes of both networks' tensors.
void append_seanet_tensors(const Config& config, std::vector<TensorSpec>& tensors);

}  // namespace secousti::core

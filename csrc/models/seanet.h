// SEANet on the CPU: causal convolutions between mel frames and token frames (spec sections 2 and 6).
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "layers/conv.h"
#include "layers/weight_map.h"
#include "models/seanet_layers.h"

namespace secousti::core {

/// The encoder or the decoder, whichever `layers` describes.
class Seanet {
  public:
    Seanet() = default;
    /// A push feeds at most `max_rows` rows of all lanes.
    Seanet(const Backend& backend, SeanetLayers layers, int max_rows, const WeightMap& weights, ArenaLayout& state,
           ArenaLayout& scratch);

    /// Feeds rows x; writes the rows y that are ready, sets the lanes' rows to how many and returns their sum. With
    /// `end`, which one lane alone may have, the last incomplete strides are completed with zeros; nothing may follow.
    /// Lanes that step together are fed whole tokens, except for a stream's first.
    int push(const Exec& exec, const Batch& streams, std::byte* scratch, const float* x, bool end,
             float* y) const noexcept;
    /// Floats of Batch::windows for `rows` rows of x of all lanes.
    std::size_t windows(int rows) const noexcept;

    /// In the order of application.
    std::array<const Conv*, kSeanetLayers> convolutions() const noexcept;

  private:
    SeanetLayers layers_;
    std::array<Conv, kSeanetLayers> convolutions_;
    Slice<float> one_, other_, hidden_, window_;
};

/// Token frames that a step of the decoder takes at most.
int max_tokens_per_step(const Config& config) noexcept;

}  // namespace secousti::core

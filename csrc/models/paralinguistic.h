// Paralinguistic encoder: a log-mel prompt to one vector G for the voice (spec section 5). Offline by nature: squeeze
// and excitation averages over the whole prompt.
#pragma once

#include <cstddef>
#include <vector>

#include "base/aligned_vector.h"
#include "kernels/exec.h"
#include "layers/conv.h"
#include "layers/linear.h"
#include "layers/weight_map.h"
#include "models/config.h"

namespace secousti::core {

class ParalinguisticEncoder {
  public:
    ParalinguisticEncoder(const Backend& backend, const Config& config, const WeightMap& weights);

    /// G [dimension] of the middle prompt_frames frames of mel [frames, n_mels], or of all when there are fewer.
    /// `frames` >= 1. Allocates its own memory.
    std::vector<float> encode(const Exec& exec, const float* mel, std::size_t frames) const;

  private:
    int n_mels_ = 0, prompt_frames_ = 0, hidden_ = 0;
    std::vector<Conv> convs_;
    ArenaLayout conv_state_;
    Linear squeeze_, excite_, gru_input_, gru_hidden_, mu_;
};

void append_paralinguistic_tensors(const Config& config, std::vector<TensorSpec>& tensors);

}  // namespace secousti::core

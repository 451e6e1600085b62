// The paralinguistic encoder on the device: a prompt's log-mel to G (spec section 5), a clip at a time.
#pragma once

#include <cstddef>
#include <vector>

#include "cuda/arrays.h"
#include "layers/weight_map.h"
#include "models/config.h"

namespace secousti::core::cuda {

class DeviceVoice {
  public:
    /// Memory of one clip under way.
    struct Scratch {
        DeviceArray<float> a, b;  ///< rows between zero rows on both sides
        DeviceArray<float> mean, squeezed, gate, gates, last;
        DeviceArray<std::byte> operand;
    };

    DeviceVoice(const CudaQueue& queue, const Config& config, const WeightMap& weights);

    Scratch make_scratch(const CudaQueue& queue) const;
    std::size_t weight_bytes() const;
    /// G [dimension] of the middle prompt_frames rows of mel [frames, n_mels], or of all when there are fewer; `frames`
    /// >= 1. Device pointers; asynchronous.
    void encode(const CudaQueue& queue, const Scratch& scratch, const float* mel, std::size_t frames, float* g) const;

  private:
    int bands_, prompt_frames_, dimension_, width_ = 0;
    std::vector<DeviceMatrix> convolutions_;
    DeviceMatrix squeeze_, excite_, gru_input_, mu_;
    DeviceArray<float> gru_hidden_, gru_hidden_bias_;
};

}  // namespace secousti::core::cuda

// HiFT, the published vocoder (arXiv 2508.02849, section on the vocoder; harmonic source and inverse STFT head), as an
// exact stream: see stream.h for how a non-causal graph streams, vocoder.h for what a vocoder is.
#pragma once

#include <string>
#include <vector>

#include "layers/weight_map.h"
#include "models/config.h"

namespace secousti::core {

/// Every tensor of a HiFT vocoder: `vocoder.` and the published name, weight norm folded into `.weight`.
/// Throws Error(incompatible) that names the key if the sizes do not fit together.
std::vector<TensorSpec> hift_tensors(const HiftConfig& config, int n_mels, Precision precision = Precision::fp32);

}  // namespace secousti::core

// The layers of HiFT, described once: names, shapes and order, from the sizes of its configuration. The tensors of a
// model file, the CPU's vocoder (hift.cpp) and a device's (cuda/hift.cpp) are built from this. How a step runs through
// them is not shared: the CPU carries the last rows of each signal from step to step, while a device keeps signals in
// rings, runs the blocks of a stage side by side and writes a signal once more, activated, for each of its readers.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "layers/conv.h"
#include "models/config.h"
#include "models/hift/timing.h"

namespace secousti::core::hift {

inline constexpr std::size_t kBlocks = 3;   ///< parallel residual blocks whose mean is taken
inline constexpr float kTrunkSlope = 0.1F;  ///< of the leaky ReLU before the upsampling of a stage
inline constexpr float kHeadSlope = 0.01F;  ///< of the one before the last convolution
inline constexpr float kMaxSample = 0.99F;  ///< samples are clamped to ± this

/// Throws Error(incompatible) that names the key at fault.
void validate(const HiftConfig& config);
void validate(const HiftConfig& config, int hop_length);

/// A convolution with tensors "<name>.weight" and "<name>.bias".
struct ConvLayer {
    std::string name;
    ConvSpec spec;
};

/// A residual block.
struct BlockLayers {
    /// x += second(snake2(first(snake1(x)))); a snake's frequencies are the tensor "<name>.alpha".
    struct Unit {
        std::string snake1;
        ConvLayer first;  ///< dilated
        std::string snake2;
        ConvLayer second;
    };
    std::vector<Unit> units;

    /// Rows that the block looks ahead.
    int lag() const noexcept;
};

/// Upsampling, source branch, their sum, the mean of the residual blocks of the sum.
struct StageLayers {
    int width = 0;          ///< channels; twice as many come in
    int rate = 0;           ///< rows for a row that comes in
    bool reflects = false;  ///< the last stage: a row in front, which repeats row 2
    /// A transposed convolution as one of two taps whose outputs are the phases side by side (layers/conv.h).
    ConvLayer up;
    ConvLayer down;  ///< from spectra of the source
    BlockLayers source;
    std::array<BlockLayers, kBlocks> blocks;
    float slope = 0.0F;  ///< of the leaky ReLU after the stage

    /// Timing of the upsampled rows, from that of the rows that come in.
    Timing upsampled(const Timing& in) const noexcept;
};

struct Layers {
    std::string mix;               ///< of the harmonics: a linear layer, "<mix>.weight" and "<mix>.bias"
    std::vector<ConvLayer> pitch;  ///< predicts f0 from mel: ELU after each
    std::string classifier;        ///< a linear layer from the last one's rows to f0
    ConvLayer pre;                 ///< from mel to the trunk
    std::vector<StageLayers> stages;
    ConvLayer post;  ///< from the trunk to spectra
};
/// Throws as `validate` does.
Layers layers(const HiftConfig& config, int n_mels);

}  // namespace secousti::core::hift

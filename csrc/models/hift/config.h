// Sizes and tensor names of HiFT that follow from its configuration.
#pragma once

#include <cstddef>
#include <string>

#include "layers/conv.h"
#include "models/config.h"

namespace secousti::core::hift {

inline constexpr int kOuterKernel = 7;     ///< of the trunk's first and last convolutions
inline constexpr std::size_t kBlocks = 3;  ///< parallel residual blocks whose mean is taken

/// Throws Error(incompatible) that names the key at fault.
void validate(const HiftConfig& config);
void validate(const HiftConfig& config, int hop_length);

/// The name in a model file of a published tensor or module.
std::string published(const std::string& name);
std::string indexed(const std::string& name, std::size_t index);

/// Channels of stage `index`.
int stage_width(const HiftConfig& config, std::size_t index) noexcept;
/// The convolution from spectra of the source to rows of stage `index`.
ConvSpec down_spec(const HiftConfig& config, std::size_t index) noexcept;

}  // namespace secousti::core::hift

// What stands where a token could: the same numbers in files, packets and groups, on every device.
#pragma once

#include <cstdint>

namespace secousti::core {

/// The token never came: a decoder conceals it.
inline constexpr std::int32_t kLostToken = -1;
/// There is none: the slot of a group is not active, or its stream too young for one.
inline constexpr std::int32_t kNoToken = -2;

}  // namespace secousti::core

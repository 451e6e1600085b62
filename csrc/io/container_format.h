// Records of the `.sec` container, shared by its writer and its reader. Layout: docs/design/container.md.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "io/crc32.h"

namespace secousti::core::container {

inline constexpr std::size_t kCrcBytes = 4;

// Header and trailer: magic 4, version 1, flags 1, dimension 2, identity 8, sample rate 4, samples a token 4,
// cardinality 4, tokens 4, samples 8, G if flagged, CRC.
using Magic = std::array<std::uint8_t, 4>;
inline constexpr Magic kHeaderMagic = {0x89, 'S', 'E', 'C'};
inline constexpr Magic kTrailerMagic = {0x8A, 'E', 'N', 'D'};
inline constexpr std::uint8_t kVersion = 1;
inline constexpr std::uint8_t kHasParalinguistic = 1;  // flag: G follows
inline constexpr std::size_t kFixedBytes = 40;
inline constexpr std::uint32_t kUnknownTokens = 0xFFFFFFFF;
inline constexpr std::uint64_t kUnknownSamples = 0xFFFFFFFFFFFFFFFF;
inline constexpr std::uint32_t kMaxSampleRate = 1U << 20;
inline constexpr std::uint32_t kMaxSamplesPerToken = 1U << 24;

// Group: sync 2, count 1, index of the first token 4, packed tokens, CRC continued from that of the cardinality.
inline constexpr std::uint16_t kGroupSync = 0x6BA9;
inline constexpr std::size_t kGroupBytes = 7;
inline constexpr std::size_t kMaxGroupTokens = 255;

/// A group's CRC covers the cardinality too, although the group does not carry it.
inline std::uint32_t group_crc_start(std::uint32_t cardinality) noexcept {
    const auto bytes = std::bit_cast<std::array<std::byte, 4>>(cardinality);
    return crc32c(bytes);
}

// Of the published quantiser, eight trits: assumed when header and trailer are lost (the groups' CRCs confirm it).
inline constexpr std::uint32_t kDefaultCardinality = 6561;

}  // namespace secousti::core::container

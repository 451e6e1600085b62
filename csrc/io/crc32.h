// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78; RFC 3720 appendix B.4). It tells all patterns of up to five
// flipped bits from none in messages of up to 5,243 bits (Koopman 2002), so that a single flipped bit can be located
// while two, three or four are still only detected.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace secousti::core {

/// Pass the result of the preceding bytes as `before` to go on.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;

/// `frame` is a message and its CRC-32C (4 bytes, little endian, continued from `before`) that do not agree. Returns
/// the one bit (8 * byte + bit) whose flipping makes them agree, if there is one.
std::optional<std::size_t> crc32c_locate_flip(std::span<const std::byte> frame, std::uint32_t before = 0) noexcept;

}  // namespace secousti::core

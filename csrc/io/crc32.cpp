#include "io/crc32.h"

#include <array>
#include <bit>

#include "io/bytes.h"

namespace secousti::core {
namespace {

constexpr std::array<std::uint32_t, 256> kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78U : 0U);
        table[i] = crc;
    }
    return table;
}();

constexpr std::uint32_t step(std::uint32_t crc, std::uint32_t byte) { return kTable[(crc ^ byte) & 0xFF] ^ (crc >> 8); }

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
    std::uint32_t crc = ~before;
    for (const std::byte byte : bytes) crc = step(crc, std::to_integer<std::uint32_t>(byte));
    return ~crc;
}

std::optional<std::size_t> crc32c_locate_flip(std::span<const std::byte> frame, std::uint32_t before) noexcept {
    if (frame.size() < 4) return std::nullopt;
    const std::size_t message = frame.size() - 4;
    const std::uint32_t syndrome = crc32c(frame.first(message), before) ^ load<std::uint32_t>(frame.subspan(message));
    if (std::has_single_bit(syndrome)) return 8 * message + static_cast<std::size_t>(std::countr_zero(syndrome));
    // The CRC is linear: flipping a bit changes it by what that bit alone, followed by zeros, would leave.
    std::array<std::uint32_t, 8> change;
    for (std::uint32_t bit = 0; bit < 8; ++bit) change[bit] = kTable[1U << bit];
    for (std::size_t byte = message; byte-- > 0;) {
        for (std::size_t bit = 0; bit < 8; ++bit) {
            if (change[bit] == syndrome) return 8 * byte + bit;
            change[bit] = step(change[bit], 0);
        }
    }
    return std::nullopt;
}

}  // namespace secousti::core

// Philox4x32-10, a counter-based random generator (Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as
// 1, 2, 3", SC 2011): a value depends on its key and counter alone, so draws need no state and no order.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace secousti::core {

using PhiloxBlock = std::array<std::uint32_t, 4>;

constexpr PhiloxBlock philox(std::uint64_t key, PhiloxBlock counter) noexcept {
    std::uint32_t key0 = static_cast<std::uint32_t>(key);
    std::uint32_t key1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * counter[0];
        const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * counter[2];
        counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(product1),
                   static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1,
                   static_cast<std::uint32_t>(product0)};
        key0 += 0x9E3779B9U;
        key1 += 0xBB67AE85U;
    }
    return counter;
}

/// Four independent standard normal values of one block (Box and Muller, 1958).
inline std::array<float, 4> normals(const PhiloxBlock& block) noexcept {
    std::array<float, 4> values{};
    for (std::size_t pair = 0; pair < 4; pair += 2) {
        // The half keeps the logarithm's argument above zero.
        const float uniform = (static_cast<float>(block[pair]) + 0.5F) * 0x1p-32F;
        const float angle = static_cast<float>(block[pair + 1]) * (0x1p-31F * std::numbers::pi_v<float>);
        const float radius = std::sqrt(-2.0F * std::log(uniform));
        values[pair] = radius * std::cos(angle);
        values[pair + 1] = radius * std::sin(angle);
    }
    return values;
}

}  // namespace secousti::core

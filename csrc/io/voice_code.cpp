#include "io/voice_code.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "io/bytes.h"

namespace secousti::core {
namespace {

constexpr std::size_t kBlock = 64;
constexpr int kLevels = 127;
constexpr std::uint16_t kLargestFinite = 0x7F7F;
// Below this, bfloat16 loses its relative precision and with it idempotence; nothing audible is so small.
constexpr float kSmallest = 1e-30F;

std::uint16_t to_bfloat16(float magnitude) {
    const auto bits = std::bit_cast<std::uint32_t>(magnitude);
    return std::min(static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16), kLargestFinite);
}

double from_bfloat16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

}  // namespace

void quantise_voice(std::span<const float> values, std::vector<std::byte>& out) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!std::isfinite(values[i])) {
            throw Error(Status::invalid_argument,
                        "paralinguistic vector: value " + std::to_string(i) + " is not finite");
        }
    }
    while (!values.empty()) {
        const auto block = values.first(std::min(kBlock, values.size()));
        values = values.subspan(block.size());
        float largest = 0;
        for (const float value : block) largest = std::max(largest, std::abs(value));
        const std::uint16_t code = largest < kSmallest ? std::uint16_t{0} : to_bfloat16(largest);
        append(out, code);
        const double scale = code == 0 ? 0 : kLevels / from_bfloat16(code);
        for (const float value : block) {
            const auto level = std::clamp(std::lround(value * scale), -long{kLevels}, long{kLevels});
            append(out, static_cast<std::int8_t>(level));
        }
    }
}

bool dequantise_voice(std::span<const std::byte> bytes, std::span<float> values) noexcept {
    while (!values.empty()) {
        const auto block = values.first(std::min(kBlock, values.size()));
        values = values.subspan(block.size());
        const auto code = load<std::uint16_t>(bytes);
        if (code > kLargestFinite) return false;
        for (std::size_t i = 0; i < block.size(); ++i) {
            const auto level = load<std::int8_t>(bytes.subspan(2 + i));
            if (level < -kLevels) return false;
            block[i] = static_cast<float>(level * from_bfloat16(code) / kLevels);
        }
        bytes = bytes.subspan(2 + block.size());
    }
    return true;
}

}  // namespace secousti::core

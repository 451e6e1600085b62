#include "io/token_packing.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "io/bytes.h"

namespace secousti::core {
namespace {

std::size_t bytes_for(std::uint64_t value) { return (static_cast<std::size_t>(std::bit_width(value)) + 7) / 8; }

}  // namespace

TokenPacking::TokenPacking(std::uint32_t cardinality) noexcept : cardinality_(cardinality) {
    const std::uint64_t digit = cardinality - 1;
    while (block_tokens_ < 64 && largest_[block_tokens_] <= (UINT64_MAX - digit) / cardinality) {
        largest_[block_tokens_ + 1] = largest_[block_tokens_] * cardinality + digit;
        ++block_tokens_;
    }
}

std::size_t TokenPacking::packed_size(std::size_t count) const noexcept {
    return count / block_tokens_ * bytes_for(largest_[block_tokens_]) + bytes_for(largest_[count % block_tokens_]);
}

void TokenPacking::pack(std::span<const std::int32_t> tokens, std::byte* out) const noexcept {
    while (!tokens.empty()) {
        const auto block = tokens.first(std::min(block_tokens_, tokens.size()));
        tokens = tokens.subspan(block.size());
        std::uint64_t value = 0;
        for (std::size_t i = block.size(); i-- > 0;)
            value = value * cardinality_ + static_cast<std::uint32_t>(block[i]);
        const std::size_t size = bytes_for(largest_[block.size()]);
        std::memcpy(out, &value, size);
        out += size;
    }
}

bool TokenPacking::unpack(const std::byte* bytes, std::span<std::int32_t> tokens) const noexcept {
    while (!tokens.empty()) {
        const auto block = tokens.first(std::min(block_tokens_, tokens.size()));
        tokens = tokens.subspan(block.size());
        const std::size_t size = bytes_for(largest_[block.size()]);
        std::uint64_t value = 0;
        std::memcpy(&value, bytes, size);
        bytes += size;
        if (value > largest_[block.size()]) return false;
        for (std::int32_t& token : block) {
            token = static_cast<std::int32_t>(value % cardinality_);
            value /= cardinality_;
        }
    }
    return true;
}

}  // namespace secousti::core

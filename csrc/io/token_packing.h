// Tokens as little-endian integers in base `cardinality`: as many tokens as fit 64 bits make a block, and a shorter
// last block takes as few bytes as its largest value needs. Eight-trit tokens (cardinality 3^8): 3^40 < 2^64, so that
// five tokens take eight bytes, 12.8 bits a token.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace secousti::core {

class TokenPacking {
  public:
    /// `cardinality` is in [2, 2^31).
    explicit TokenPacking(std::uint32_t cardinality) noexcept;

    std::uint32_t cardinality() const noexcept { return cardinality_; }
    std::size_t block_tokens() const noexcept { return block_tokens_; }
    std::size_t packed_size(std::size_t count) const noexcept;
    /// Tokens are in [0, cardinality); writes packed_size(tokens.size()) bytes.
    void pack(std::span<const std::int32_t> tokens, std::byte* out) const noexcept;
    /// Reads packed_size(tokens.size()) bytes; false if they were not made by pack.
    bool unpack(const std::byte* bytes, std::span<std::int32_t> tokens) const noexcept;

  private:
    std::uint32_t cardinality_;
    std::size_t block_tokens_ = 0;
    std::array<std::uint64_t, 65> largest_{};  // value of a block of i tokens
};

}  // namespace secousti::core

// Packets of a live call: a few tokens, the ones before them again if wanted, and now and then a part of the voice
// vector G. Each can be read alone; the reader is the jitter buffer. Byte layout, costs and what was measured:
// docs/design/packets.md. Neither end allocates after it was made; the reader's input is untrusted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "io/token_packing.h"

namespace secousti::core {

/// What both ends of a call agree on; packets of other streams do not pass the check.
struct PacketStream {
    std::uint64_t identity = 0;     ///< of the model
    std::uint32_t cardinality = 0;  ///< tokens are in [0, cardinality), 2..2^31 - 1
    std::uint32_t dimension = 0;    ///< of G, 0..kMaxPacketDimension
};

inline constexpr std::uint32_t kMaxPacketDimension = 4096;
/// Most new tokens, and most repeated ones, in a packet.
inline constexpr std::size_t kMaxPacketTokens = 15;
/// Bytes of the coded G that a packet carries: a block of 64 values, so that each part can be read alone.
inline constexpr std::size_t kVoicePartBytes = 66;

struct PacketWriterOptions {
    std::size_t tokens_per_packet = 4;  ///< 1..15
    std::size_t redundancy = 0;         ///< 0..15 tokens before the new ones are sent again
    std::size_t voice_repeat = 0;       ///< packets from one sending of G to the next; 0: each G is sent once
};

class PacketWriter {
  public:
    /// Throws Error(invalid_argument) for values out of range.
    PacketWriter(const PacketStream& stream, const PacketWriterOptions& options);

    /// Most bytes of a packet.
    std::size_t max_bytes() const noexcept;
    /// Adds a token in [0, cardinality). Writes a packet when it completes one and returns its size, else 0.
    std::size_t push(std::int32_t token, std::byte* out) noexcept;
    /// Writes the packet under way, if it has a token.
    std::size_t flush(std::byte* out) noexcept;
    /// The voice from now on: [dimension] finite values, sent in parts with the next packets.
    void set_voice(std::span<const float> voice);

    const PacketStream& stream() const noexcept { return stream_; }

  private:
    std::size_t write(std::byte* out) noexcept;

    PacketStream stream_;
    PacketWriterOptions options_;
    TokenPacking packing_;
    std::uint32_t check_start_;
    std::array<std::int32_t, 2 * kMaxPacketTokens> tokens_{};  ///< repeated ones, then those that wait
    std::size_t repeated_ = 0, waiting_ = 0;
    std::uint16_t next_ = 0;  ///< index of the first waiting token
    std::vector<std::byte> voice_;
    std::uint8_t voice_version_ = 0;
    std::size_t voice_part_ = 0, voice_parts_ = 0, since_voice_ = 0;
};

enum class PacketResult : std::int32_t {
    accepted,  ///< it brought something new
    late,      ///< all its tokens have been played or given up
    known,     ///< all its tokens were here already
    stray,     ///< far from where the stream is; the stream moves there if the next packet follows on
    damaged,   ///< no packet, or not one of this stream
};

struct PacketCounts {
    std::uint64_t packets = 0, late = 0, known = 0, stray = 0, damaged = 0;
    std::uint64_t tokens = 0;     ///< that came in time
    std::uint64_t recovered = 0;  ///< of these, those that came only as repetition
    std::uint64_t lost = 0;       ///< played without having come
    std::uint64_t restarts = 0;   ///< moves to another place in the stream
};

/// Puts tokens in order. Playing starts when `depth` tokens are in hand and then takes one a step; the depth is the
/// delay that late packets may have.
class PacketReader {
  public:
    PacketReader(const PacketStream& stream, std::size_t depth);

    PacketResult push(std::span<const std::byte> packet) noexcept;

    enum class Next : std::int32_t { lost, token, waiting };
    /// The next token in playing order, kLostToken, or kNoToken where the result is `waiting`: nothing to play yet, or
    /// not for long after the other end fell silent.
    Next pop(std::int32_t& token) noexcept;
    /// Tokens from the one to be played next to the newest that came, gaps included.
    std::size_t buffered() const noexcept;
    /// Copies G if every part has come and any is newer than at the last call.
    bool take_voice(std::span<float> voice) noexcept;

    const PacketCounts& counts() const noexcept { return counts_; }
    const PacketStream& stream() const noexcept { return stream_; }

  private:
    static constexpr std::size_t kWindow = 1024;
    struct Parsed;

    bool parse(std::span<const std::byte> packet, Parsed& parsed) noexcept;
    void restart(std::int64_t position) noexcept;
    bool store_voice(const Parsed& parsed) noexcept;
    PacketResult store_tokens(const Parsed& parsed) noexcept;
    std::int32_t& slot(std::int64_t index) noexcept { return slots_[static_cast<std::size_t>(index) % kWindow]; }

    PacketStream stream_;
    TokenPacking packing_;
    std::uint32_t check_start_;
    std::int64_t depth_;
    std::vector<std::int32_t> slots_;         ///< [kWindow]: tokens by index, kLostToken where none
    std::int64_t position_ = 0, newest_ = 0;  ///< index to be played next; one past the newest that came
    bool started_ = false, playing_ = false;
    std::int32_t stray_next_ = -1;  ///< sequence number that would follow the last stray packet
    int late_in_a_row_ = 0;
    std::vector<std::byte> voice_;
    std::vector<std::int32_t> voice_versions_;  ///< of each part; -1: it has not come
    bool voice_renewed_ = false;
    PacketCounts counts_;
};

}  // namespace secousti::core

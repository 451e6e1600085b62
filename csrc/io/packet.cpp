#include "io/packet.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "base/error.h"
#include "base/tokens.h"
#include "io/bytes.h"
#include "io/crc32.h"
#include "io/voice_code.h"

namespace secousti::core {
namespace {

// Version and flags 1, counts 1, sequence number 2; tokens; voice version 1, part 1, bytes; check 2.
constexpr std::size_t kHeaderBytes = 4, kVoiceHeaderBytes = 2, kCheckBytes = 2;
constexpr std::uint8_t kVersion = 1, kHasVoice = 1;
/// So many late packets in a row: the other end's clock fell behind ours for good.
constexpr int kLateLimit = 8;

std::uint32_t check_start(const PacketStream& stream) noexcept {
    std::array<std::byte, 16> bytes{};
    std::memcpy(bytes.data(), &stream.identity, 8);
    std::memcpy(bytes.data() + 8, &stream.cardinality, 4);
    std::memcpy(bytes.data() + 12, &stream.dimension, 4);
    return crc32c(bytes);
}

std::size_t part_count(std::size_t bytes) noexcept { return (bytes + kVoicePartBytes - 1) / kVoicePartBytes; }

const PacketStream& checked(const PacketStream& stream) {
    const auto refuse = [](const char* name, std::uint64_t value, const char* expected) {
        throw Error(Status::invalid_argument,
                    "packets: " + std::string(name) + " is " + std::to_string(value) + ", expected " + expected);
    };
    if (stream.cardinality < 2 || stream.cardinality > INT32_MAX) {
        refuse("cardinality", stream.cardinality, "2 to 2147483647");
    }
    if (stream.dimension > kMaxPacketDimension) refuse("dimension", stream.dimension, "0 to 4096");
    return stream;
}

std::size_t in_range(const char* name, std::size_t value, std::size_t low, std::size_t high) {
    if (value < low || value > high) {
        throw Error(Status::invalid_argument, "packets: " + std::string(name) + " is " + std::to_string(value) +
                                                  ", expected " + std::to_string(low) + " to " + std::to_string(high));
    }
    return value;
}

}  // namespace

/* ---- writer */

PacketWriter::PacketWriter(const PacketStream& stream, const PacketWriterOptions& options)
    : stream_(checked(stream)), options_(options), packing_(stream.cardinality), check_start_(check_start(stream)) {
    in_range("tokens_per_packet", options.tokens_per_packet, 1, kMaxPacketTokens);
    in_range("redundancy", options.redundancy, 0, kMaxPacketTokens);
    voice_.reserve(voice_bytes(stream.dimension));
}

std::size_t PacketWriter::max_bytes() const noexcept {
    return kHeaderBytes + packing_.packed_size(options_.redundancy + options_.tokens_per_packet) +
           (stream_.dimension == 0 ? 0 : kVoiceHeaderBytes + kVoicePartBytes) + kCheckBytes;
}

std::size_t PacketWriter::push(std::int32_t token, std::byte* out) noexcept {
    tokens_[repeated_ + waiting_] = token;
    return ++waiting_ == options_.tokens_per_packet ? write(out) : 0;
}

std::size_t PacketWriter::flush(std::byte* out) noexcept { return waiting_ == 0 ? 0 : write(out); }

void PacketWriter::set_voice(std::span<const float> voice) {
    voice_.clear();
    quantise_voice(voice, voice_);  // within the reserved memory
    ++voice_version_;
    voice_part_ = since_voice_ = 0;
    voice_parts_ = part_count(voice_.size());
}

std::size_t PacketWriter::write(std::byte* out) noexcept {
    if (voice_part_ == voice_parts_ && options_.voice_repeat != 0 && since_voice_ >= options_.voice_repeat) {
        voice_part_ = since_voice_ = 0;
    }
    const bool has_voice = voice_part_ < voice_parts_;
    out[0] = static_cast<std::byte>(kVersion << 4 | (has_voice ? kHasVoice : 0));
    out[1] = static_cast<std::byte>(repeated_ << 4 | waiting_);
    std::memcpy(out + 2, &next_, 2);
    std::size_t size = kHeaderBytes;
    const std::span<const std::int32_t> tokens(tokens_.data(), repeated_ + waiting_);
    packing_.pack(tokens, out + size);
    size += packing_.packed_size(tokens.size());
    if (has_voice) {
        const std::size_t from = voice_part_ * kVoicePartBytes, count = std::min(kVoicePartBytes, voice_.size() - from);
        out[size] = static_cast<std::byte>(voice_version_);
        out[size + 1] = static_cast<std::byte>(voice_part_);
        std::memcpy(out + size + kVoiceHeaderBytes, voice_.data() + from, count);
        size += kVoiceHeaderBytes + count;
        ++voice_part_;
    }
    ++since_voice_;
    const auto check = static_cast<std::uint16_t>(crc32c({out, size}, check_start_));
    std::memcpy(out + size, &check, kCheckBytes);

    next_ = static_cast<std::uint16_t>(next_ + waiting_);
    const std::size_t keep = std::min(tokens.size(), options_.redundancy);
    std::copy(tokens.end() - static_cast<std::ptrdiff_t>(keep), tokens.end(), tokens_.begin());
    repeated_ = keep;
    waiting_ = 0;
    return size + kCheckBytes;
}

/* ---- reader */

struct PacketReader::Parsed {
    std::uint16_t sequence = 0;
    std::size_t repeated = 0, fresh = 0;
    std::array<std::int32_t, 2 * kMaxPacketTokens> tokens{};
    bool has_voice = false;
    std::uint8_t voice_version = 0, voice_part = 0;
    std::span<const std::byte> voice;
};

PacketReader::PacketReader(const PacketStream& stream, std::size_t depth)
    : stream_(checked(stream)),
      packing_(stream.cardinality),
      check_start_(check_start(stream)),
      depth_(static_cast<std::int64_t>(in_range("depth", depth, 1, kWindow / 2))),
      slots_(kWindow, kLostToken),
      voice_(voice_bytes(stream.dimension)),
      voice_versions_(part_count(voice_.size()), -1) {}

bool PacketReader::parse(std::span<const std::byte> packet, Parsed& parsed) noexcept {
    if (packet.size() < kHeaderBytes + kCheckBytes) return false;
    const std::span<const std::byte> body = packet.first(packet.size() - kCheckBytes);
    if (load<std::uint16_t>(packet.last(kCheckBytes)) != static_cast<std::uint16_t>(crc32c(body, check_start_))) {
        return false;
    }
    const unsigned first = std::to_integer<unsigned>(body[0]), counts = std::to_integer<unsigned>(body[1]);
    if (first >> 4 != kVersion || (first & 0xEU) != 0) return false;
    parsed.has_voice = (first & kHasVoice) != 0;
    parsed.repeated = counts >> 4;
    parsed.fresh = counts & 0xFU;
    parsed.sequence = load<std::uint16_t>(body.subspan(2));
    std::span<const std::byte> rest = body.subspan(kHeaderBytes);
    const std::size_t tokens = parsed.repeated + parsed.fresh, packed = packing_.packed_size(tokens);
    if (rest.size() < packed || !packing_.unpack(rest.data(), std::span(parsed.tokens).first(tokens))) return false;
    rest = rest.subspan(packed);
    if (!parsed.has_voice) return rest.empty();
    if (rest.size() < kVoiceHeaderBytes) return false;
    parsed.voice_version = std::to_integer<std::uint8_t>(rest[0]);
    parsed.voice_part = std::to_integer<std::uint8_t>(rest[1]);
    parsed.voice = rest.subspan(kVoiceHeaderBytes);
    const std::size_t from = parsed.voice_part * kVoicePartBytes;
    return from < voice_.size() && parsed.voice.size() == std::min(kVoicePartBytes, voice_.size() - from);
}

void PacketReader::restart(std::int64_t position) noexcept {
    std::fill(slots_.begin(), slots_.end(), kLostToken);
    counts_.restarts += started_ ? 1 : 0;
    position_ = newest_ = position;
    started_ = true;
    playing_ = false;
    late_in_a_row_ = 0;
    stray_next_ = -1;
    std::fill(voice_versions_.begin(), voice_versions_.end(), -1);  // who is somewhere else may be somebody else
}

bool PacketReader::store_voice(const Parsed& parsed) noexcept {
    if (!parsed.has_voice) return false;
    // Parts of different versions go together: each is the newest word on its values. Late ones of an older version
    // change nothing.
    std::int32_t& version = voice_versions_[parsed.voice_part];
    if (version >= 0 && static_cast<std::int8_t>(parsed.voice_version - version) <= 0) return false;
    version = parsed.voice_version;
    std::copy(parsed.voice.begin(), parsed.voice.end(),
              voice_.begin() + static_cast<std::ptrdiff_t>(parsed.voice_part * kVoicePartBytes));
    voice_renewed_ = true;
    return true;
}

PacketResult PacketReader::store_tokens(const Parsed& parsed) noexcept {
    const auto fresh = static_cast<std::int64_t>(parsed.fresh), repeated = static_cast<std::int64_t>(parsed.repeated);
    if (!started_) restart((std::int64_t{1} << 16) + parsed.sequence - repeated);
    // The place in the stream nearest to the newest token that has this sequence number.
    std::int64_t index = newest_ + static_cast<std::int16_t>(parsed.sequence - static_cast<std::uint16_t>(newest_));
    const std::int64_t window = kWindow;
    if (index + fresh > position_ + window || index + fresh < position_ - window / 2 || index < window) {
        const bool follows = stray_next_ == parsed.sequence;
        stray_next_ = static_cast<std::uint16_t>(parsed.sequence + fresh);
        if (!follows) return PacketResult::stray;
        index = (std::int64_t{1} << 16) + parsed.sequence;
        restart(index);
    } else if (playing_ && index + fresh <= position_) {
        if (++late_in_a_row_ < kLateLimit) return PacketResult::late;
        restart(index);
    }
    late_in_a_row_ = 0;
    stray_next_ = -1;
    const std::int64_t first = index - repeated;
    // Before anything was played, what came first need not be what is played first.
    if (!playing_ && first < position_ && index + fresh <= first + window && newest_ <= first + window) {
        position_ = first;
    }
    bool any = false;
    for (std::int64_t i = 0; i < repeated + fresh; ++i) {
        if (first + i < position_) continue;
        std::int32_t& place = slot(first + i);
        if (place >= 0) continue;
        place = parsed.tokens[static_cast<std::size_t>(i)];
        ++counts_.tokens;
        counts_.recovered += i < repeated ? 1 : 0;
        any = true;
    }
    newest_ = std::max(newest_, index + fresh);
    return any ? PacketResult::accepted : PacketResult::known;
}

PacketResult PacketReader::push(std::span<const std::byte> packet) noexcept {
    Parsed parsed;
    ++counts_.packets;
    if (!parse(packet, parsed)) {
        ++counts_.damaged;
        return PacketResult::damaged;
    }
    const PacketResult result = store_tokens(parsed);
    counts_.late += result == PacketResult::late ? 1 : 0;
    counts_.known += result == PacketResult::known ? 1 : 0;
    counts_.stray += result == PacketResult::stray ? 1 : 0;
    // A stray packet may be anybody's; one that is late for its tokens still has its part of the voice.
    return result != PacketResult::stray && store_voice(parsed) ? PacketResult::accepted : result;
}

PacketReader::Next PacketReader::pop(std::int32_t& token) noexcept {
    token = kNoToken;
    if (!started_) return Next::waiting;
    if (!playing_) {
        if (newest_ - position_ < depth_) return Next::waiting;
        playing_ = true;
    }
    if (position_ >= newest_ + static_cast<std::int64_t>(kWindow) / 4) {  // the other end fell silent
        started_ = playing_ = false;
        return Next::waiting;
    }
    std::int32_t& place = slot(position_++);
    token = place;
    place = kLostToken;
    counts_.lost += token < 0 ? 1 : 0;
    return token < 0 ? Next::lost : Next::token;
}

std::size_t PacketReader::buffered() const noexcept {
    return started_ && newest_ > position_ ? static_cast<std::size_t>(newest_ - position_) : 0;
}

bool PacketReader::take_voice(std::span<float> voice) noexcept {
    if (!voice_renewed_ || std::find(voice_versions_.begin(), voice_versions_.end(), -1) != voice_versions_.end()) {
        return false;
    }
    voice_renewed_ = false;
    return dequantise_voice(voice_, voice);
}

}  // namespace secousti::core

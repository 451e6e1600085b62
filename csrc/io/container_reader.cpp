#include <algorithm>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "base/tokens.h"
#include "io/bytes.h"
#include "io/container.h"
#include "io/container_format.h"
#include "io/crc32.h"
#include "io/voice_code.h"

namespace secousti::core {
namespace {

using namespace container;
using Bytes = std::span<const std::byte>;

constexpr std::size_t kMaxNotes = 64;
constexpr std::int64_t kMaxAnnouncedTokens = std::int64_t{1} << 24;  // 64 MiB

struct InfoRecord {
    ContainerInfo info;
    bool has_voice = false;
    std::vector<float> voice;  // empty if there is none or its code is invalid
    std::size_t size = 0;
};

struct GroupRecord {
    std::int64_t first = 0;
    std::vector<std::int32_t> tokens;
    std::size_t size = 0;
};

bool crc_agrees(Bytes record, std::uint32_t before) {
    return crc32c(record.first(record.size() - kCrcBytes), before) == load<std::uint32_t>(record.last(kCrcBytes));
}

/// Bytes of the header or trailer that starts here; 0 if it is none or does not fit.
std::size_t info_size(Bytes bytes) {
    if (bytes.size() < kFixedBytes + kCrcBytes) return 0;
    const auto flags = load<std::uint8_t>(bytes.subspan(5));
    const auto dimension = load<std::uint16_t>(bytes.subspan(6));
    if (flags > kHasParalinguistic || dimension > kMaxContainerDimension) return 0;
    const std::size_t size = kFixedBytes + (flags != 0 ? voice_bytes(dimension) : 0) + kCrcBytes;
    return size <= bytes.size() ? size : 0;
}

std::optional<InfoRecord> parse_info(Bytes bytes, const Magic& magic) {
    InfoRecord record;
    record.size = info_size(bytes);
    if (record.size == 0 || std::memcmp(bytes.data(), magic.data(), magic.size()) != 0) return std::nullopt;
    const auto version = load<std::uint8_t>(bytes.subspan(4));
    ContainerInfo& info = record.info;
    record.has_voice = load<std::uint8_t>(bytes.subspan(5)) != 0;
    info.dimension = load<std::uint16_t>(bytes.subspan(6));
    info.identity = load<std::uint64_t>(bytes.subspan(8));
    info.sample_rate = load<std::uint32_t>(bytes.subspan(16));
    info.samples_per_token = load<std::uint32_t>(bytes.subspan(20));
    info.cardinality = load<std::uint32_t>(bytes.subspan(24));
    const auto tokens = load<std::uint32_t>(bytes.subspan(28));
    info.tokens = tokens == kUnknownTokens ? -1 : std::int64_t{tokens};
    const auto samples = load<std::uint64_t>(bytes.subspan(32));
    info.samples = samples == kUnknownSamples ? -1 : static_cast<std::int64_t>(samples);
    // Cheap tests first: a crafted file must not buy a CRC with every byte.
    if (version != kVersion || info.sample_rate < 1 || info.sample_rate > kMaxSampleRate ||
        info.samples_per_token < 1 || info.samples_per_token > kMaxSamplesPerToken || info.cardinality < 2 ||
        info.cardinality > INT32_MAX || info.samples < -1 || !crc_agrees(bytes.first(record.size), 0)) {
        return std::nullopt;
    }
    if (record.has_voice) {
        record.voice.resize(info.dimension);
        if (!dequantise_voice(bytes.subspan(kFixedBytes), record.voice)) record.voice = {};
    }
    return record;
}

/// Bytes of the group that starts here; 0 if it does not fit.
std::size_t group_size(Bytes bytes, const TokenPacking& packing) {
    if (bytes.size() < kGroupBytes) return 0;
    const auto count = load<std::uint8_t>(bytes.subspan(2));
    const std::size_t size = kGroupBytes + packing.packed_size(count) + kCrcBytes;
    return count != 0 && size <= bytes.size() ? size : 0;
}

std::optional<GroupRecord> parse_group(Bytes bytes, const TokenPacking& packing) {
    GroupRecord group;
    if (bytes.size() < kGroupBytes || load<std::uint16_t>(bytes) != kGroupSync) return std::nullopt;
    group.size = group_size(bytes, packing);
    if (group.size == 0 || !crc_agrees(bytes.first(group.size), group_crc_start(packing.cardinality()))) {
        return std::nullopt;
    }
    group.tokens.resize(load<std::uint8_t>(bytes.subspan(2)));
    group.first = load<std::uint32_t>(bytes.subspan(3));
    if (!packing.unpack(bytes.data() + kGroupBytes, group.tokens)) return std::nullopt;
    return group;
}

std::size_t differing_bits(Bytes bytes, const void* expected, std::size_t size) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < size; ++i) {
        const auto difference = bytes[i] ^ static_cast<const std::byte*>(expected)[i];
        count += static_cast<std::size_t>(std::popcount(std::to_integer<unsigned>(difference)));
    }
    return count;
}

/// Looks for the one flipped bit without which `parse` succeeds on `bytes`. A flip in the bytes [first, last), which
/// give the record its length, is found by trying; any other by its effect on the CRC.
template <class Size, class Parse>
auto repair(Bytes bytes, std::uint32_t crc_before, std::size_t first, std::size_t last, Size size, Parse parse)
    -> decltype(parse(bytes)) {
    std::vector<std::byte> copy(bytes.begin(), bytes.end());
    const auto flip = [&copy](std::size_t bit) { copy[bit / 8] ^= std::byte{1} << (bit % 8); };
    if (const std::size_t length = size(Bytes(copy)); length != 0) {
        if (const auto bit = crc32c_locate_flip(Bytes(copy).first(length), crc_before)) {
            flip(*bit);
            if (auto record = parse(Bytes(copy))) return record;
            flip(*bit);
        }
    }
    for (std::size_t bit = 8 * first; bit < 8 * last; ++bit) {
        flip(bit);
        if (auto record = parse(Bytes(copy))) return record;
        flip(bit);
    }
    return std::nullopt;
}

constexpr std::size_t kLongestInfo = kFixedBytes + voice_bytes(kMaxContainerDimension) + kCrcBytes;

std::optional<InfoRecord> repair_info(Bytes bytes, const Magic& magic) {
    if (bytes.size() < kFixedBytes + kCrcBytes || differing_bits(bytes, magic.data(), magic.size()) > 1) {
        return std::nullopt;
    }
    return repair(bytes.first(std::min(bytes.size(), kLongestInfo)), 0, 5, 8, info_size,
                  [&](Bytes candidate) { return parse_info(candidate, magic); });
}

std::optional<GroupRecord> repair_group(Bytes bytes, const TokenPacking& packing) {
    if (bytes.size() < kGroupBytes || differing_bits(bytes, &kGroupSync, sizeof kGroupSync) > 1) return std::nullopt;
    const std::size_t longest = kGroupBytes + packing.packed_size(kMaxGroupTokens) + kCrcBytes;
    return repair(
        bytes.first(std::min(bytes.size(), longest)), group_crc_start(packing.cardinality()), 2, 3,
        [&](Bytes candidate) { return group_size(candidate, packing); },
        [&](Bytes candidate) { return parse_group(candidate, packing); });
}

bool same_stream(const ContainerInfo& a, const ContainerInfo& b) {
    return a.identity == b.identity && a.sample_rate == b.sample_rate && a.samples_per_token == b.samples_per_token &&
           a.cardinality == b.cardinality;
}

class Reader {
  public:
    explicit Reader(Bytes bytes) : bytes_(bytes), limit_(4096 + 8 * static_cast<std::int64_t>(bytes.size())) {}

    ContainerContents read() {
        read_header();
        // A writer that did not know the count gives it in the trailer only.
        const auto trailer = header_ && header_->info.tokens >= 0 ? std::nullopt : find_trailer();
        make_room(trailer ? trailer : header_);
        // Without the header, the trailer or the usual quantiser gives the cardinality.
        const auto& known = header_ ? header_ : trailer;
        const TokenPacking packing(known ? known->info.cardinality : kDefaultCardinality);
        read_records(packing);
        if (!header_ && !trailer_ && groups_ == 0) reject();
        merge_info();
        account_for_the_end();
        return std::move(out_);
    }

  private:
    void note(std::string text) {
        if (out_.notes.size() < kMaxNotes) {
            out_.notes.push_back(std::move(text));
        } else if (out_.notes.size() == kMaxNotes) {
            out_.notes.push_back("further notes are left out");
        }
    }

    void note_repair(const char* what) {
        ++out_.repaired_bits;
        note(std::string("a flipped bit in the ") + what + " at byte " + std::to_string(at_) + " was repaired");
    }

    [[noreturn]] void reject() const {
        if (bytes_.size() > kHeaderMagic.size() &&
            std::memcmp(bytes_.data(), kHeaderMagic.data(), kHeaderMagic.size()) == 0 &&
            load<std::uint8_t>(bytes_.subspan(4)) != kVersion) {
            throw Error(Status::incompatible, "container: version " +
                                                  std::to_string(load<std::uint8_t>(bytes_.subspan(4))) +
                                                  ", this build reads version " + std::to_string(kVersion));
        }
        throw Error(Status::invalid_file, "container: no header and no intact group of tokens in " +
                                              std::to_string(bytes_.size()) + " bytes");
    }

    void read_header() {
        header_ = parse_info(bytes_, kHeaderMagic);
        if (!header_ && (header_ = repair_info(bytes_, kHeaderMagic))) note_repair("header");
        if (header_) {
            count_info(*header_);
        } else {
            note("the header is damaged or missing");
        }
    }

    std::optional<InfoRecord> find_trailer() const {
        for (std::size_t at = 0; at + kFixedBytes < bytes_.size(); ++at) {
            if (auto record = parse_info(bytes_.subspan(at), kTrailerMagic)) return record;
        }
        return repair_trailer(bytes_.last(std::min(bytes_.size(), kFixedBytes + kCrcBytes)));
    }

    /// Lost tokens take no bytes: a count that a checksum confirms may be far more than the bytes could hold.
    void make_room(const std::optional<InfoRecord>& record) {
        if (!record) return;
        limit_ = std::max(limit_, std::min(record->info.tokens, kMaxAnnouncedTokens));
        // Growing by doubling would take up to three times as much.
        if (record->info.tokens >= 0) {
            out_.tokens.reserve(static_cast<std::size_t>(std::min(record->info.tokens, limit_)));
        }
    }

    void read_records(const TokenPacking& packing) {
        bool expected = header_.has_value();  // a record should start here
        std::size_t damaged = 0;
        while (at_ < bytes_.size() && !trailer_) {
            const Bytes rest = bytes_.subspan(at_);
            auto group = parse_group(rest, packing);
            if (!group) trailer_ = parse_info(rest, kTrailerMagic);
            if (!group && !trailer_ && expected) {
                if ((group = repair_group(rest, packing))) {
                    note_repair("group");
                } else if ((trailer_ = repair_trailer(rest))) {
                    note_repair("trailer");
                }
            }
            expected = group || trailer_;
            if (!expected) {
                ++at_;
                ++damaged;
                continue;
            }
            note_damage(damaged);
            damaged = 0;
            if (group) take(*group, packing);
            if (trailer_) count_info(*trailer_);
        }
        note_damage(damaged);
        if (at_ < bytes_.size()) {
            note(std::to_string(bytes_.size() - at_) + " bytes after the trailer are ignored");
            out_.bytes.damaged += bytes_.size() - at_;
        }
    }

    /// Only where it ends the file: elsewhere a crafted file could buy much work with few bytes.
    static std::optional<InfoRecord> repair_trailer(Bytes rest) {
        if (rest.size() > kLongestInfo) return std::nullopt;
        auto record = repair_info(rest, kTrailerMagic);
        return record && record->size == rest.size() ? record : std::nullopt;
    }

    void note_damage(std::size_t damaged) {
        if (damaged == 0) return;
        out_.bytes.damaged += damaged;
        note(std::to_string(damaged) + " bytes from byte " + std::to_string(at_ - damaged) + " on are damaged");
    }

    void take(const GroupRecord& group, const TokenPacking& packing) {
        const std::size_t start = at_;
        at_ += group.size;
        const auto next = static_cast<std::int64_t>(out_.tokens.size());
        const std::int64_t end = group.first + static_cast<std::int64_t>(group.tokens.size());
        if (group.first < next || end > limit_) {
            note("the group at byte " + std::to_string(start) + " has " +
                 (group.first < next ? "a repeated" : "an implausible") + " position, " + std::to_string(group.first) +
                 ", and is left out");
            out_.bytes.damaged += group.size;
            return;
        }
        if (group.first > next) lose(next, group.first - next);
        out_.tokens.insert(out_.tokens.end(), group.tokens.begin(), group.tokens.end());
        const std::size_t packed = packing.packed_size(group.tokens.size());
        out_.bytes.tokens += packed;
        out_.bytes.framing += group.size - packed;
        ++groups_;
    }

    void lose(std::int64_t first, std::int64_t count) {
        out_.lost.push_back({first, count});
        if (first + count <= limit_) out_.tokens.resize(static_cast<std::size_t>(first + count), kLostToken);
    }

    void count_info(const InfoRecord& record) {
        at_ += record.size;
        const std::size_t vector = record.has_voice ? voice_bytes(record.info.dimension) : 0;
        out_.bytes.voice += vector;
        out_.bytes.header += record.size - vector;
    }

    void merge_info() {
        out_.complete = trailer_.has_value();
        out_.info_lost = !header_ && !trailer_;
        if (!trailer_) note("there is no trailer: the stream was cut or never finished");
        if (header_ && trailer_ && !same_stream(header_->info, trailer_->info)) {
            note("header and trailer differ; the header is used");
        }
        if (header_ || trailer_) out_.info = (header_ ? header_ : trailer_)->info;
        if (trailer_) {
            // What a writer knows only at the end.
            out_.info.tokens = trailer_->info.tokens;
            out_.info.samples = trailer_->info.samples;
            out_.info.dimension = trailer_->info.dimension;
        }
        if (header_) out_.voice = std::move(header_->voice);
        if (trailer_ && !trailer_->voice.empty()) out_.voice = std::move(trailer_->voice);
        if (!out_.voice.empty()) out_.info.dimension = static_cast<std::uint32_t>(out_.voice.size());
        if (out_.info_lost) note("the stream's parameters are lost; eight-trit tokens are assumed");
        out_.voice_lost = out_.voice.empty() && (out_.info_lost || out_.info.dimension > 0);
        if (out_.voice_lost && !out_.info_lost) note("the paralinguistic vector is lost");
    }

    void account_for_the_end() {
        const auto end = static_cast<std::int64_t>(out_.tokens.size());
        if (out_.info.tokens > end) lose(end, out_.info.tokens - end);
        if (!out_.info_lost && out_.info.tokens >= 0 && out_.info.tokens < end) {
            note("there are " + std::to_string(end) + " tokens, more than the " + std::to_string(out_.info.tokens) +
                 " announced");
            out_.info.tokens = end;
        }
        for (const LostRange& range : out_.lost) {
            note("tokens " + std::to_string(range.first) + " to " + std::to_string(range.first + range.count - 1) +
                 " are lost");
        }
    }

    Bytes bytes_;
    // A file can claim any position: tokens are placed only up to here.
    std::int64_t limit_;
    std::size_t at_ = 0;
    std::size_t groups_ = 0;
    std::optional<InfoRecord> header_;
    std::optional<InfoRecord> trailer_;
    ContainerContents out_;
};

}  // namespace

ContainerContents read_container(std::span<const std::byte> bytes) { return Reader(bytes).read(); }

}  // namespace secousti::core

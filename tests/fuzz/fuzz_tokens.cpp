// Token streams: the container, its records with checksums put right, and the codes inside.
#include <cmath>

#include "allocations.h"
#include "base/error.h"
#include "io/bytes.h"
#include "io/container.h"
#include "io/container_format.h"
#include "io/crc32.h"
#include "io/voice_code.h"
#include "model_limits.h"
#include "target.h"

using namespace secousti::core;

namespace {

/// Of tokens that a file may announce without placing them: beyond that, more of the same takes all of a fuzzer's time.
constexpr std::size_t kAnnounced = 20'000;

void read_and_check(fuzz::Bytes bytes) {
    const std::size_t before = allocations::live_bytes();
    allocations::begin_peak();
    try {
        const ContainerContents contents = read_container(bytes);
        REQUIRE(allocations::peak_bytes() - before <= limits::container(bytes.size()));
        const std::int64_t cardinality =
            contents.info_lost ? container::kDefaultCardinality : contents.info.cardinality;
        for (const std::int32_t token : contents.tokens) REQUIRE(token >= -1 && token < cardinality);
        for (const float value : contents.voice) REQUIRE(std::isfinite(value));
        std::int64_t end = 0;
        for (const LostRange& range : contents.lost) {
            REQUIRE(range.first >= end && range.count > 0);
            end = range.first + range.count;
        }
        const auto& parts = contents.bytes;
        REQUIRE(parts.tokens + parts.framing + parts.header + parts.voice + parts.damaged == bytes.size());
        if (contents.info_lost || contents.info.cardinality < 2) return;
        if (contents.tokens.size() > kAnnounced) return;  // nothing new, and slow
        // What was read can be written and reads back the same, but for a G that no quantiser makes.
        ContainerInfo info = contents.info;
        info.samples = -1;
        const auto again = read_container(write_container(info, contents.tokens, contents.voice));
        REQUIRE(again.tokens == contents.tokens && again.voice.size() == contents.voice.size());
        REQUIRE(again.complete && again.notes.size() == again.lost.size());
    } catch (const Error& error) {
        REQUIRE(error.status() == Status::invalid_file || error.status() == Status::incompatible);
    }
}

void put_crc(std::vector<std::byte>& bytes, std::size_t begin, std::size_t size, std::uint32_t start) {
    const std::uint32_t crc = crc32c(std::span(bytes).subspan(begin, size), start);
    std::memcpy(bytes.data() + begin + size, &crc, sizeof crc);
}

/// A number of tokens or the index of one: beyond kAnnounced only now and then.
void place_nearer(std::vector<std::byte>& bytes, std::size_t at) {
    const auto value = load<std::uint32_t>(std::span(bytes).subspan(at));
    if (value <= kAnnounced || value == container::kUnknownTokens || value % 256 == 0) return;
    const auto nearer = static_cast<std::uint32_t>(value % kAnnounced);
    std::memcpy(bytes.data() + at, &nearer, sizeof nearer);
}

}  // namespace

FUZZ_TARGET(container) { read_and_check(bytes); }

/// As container, but with the checksum of each record put right after mutation, so that what is behind them is reached.
FUZZ_TARGET(container_records) {
    using namespace container;
    std::vector<std::byte> copy(bytes.begin(), bytes.end());
    std::uint32_t cardinality = kDefaultCardinality;
    for (std::size_t at = 0; at + kGroupBytes < copy.size();) {
        const fuzz::Bytes rest = std::span(copy).subspan(at);
        std::size_t size = 1;
        if (load<std::uint16_t>(rest) == kGroupSync) {
            const std::size_t body =
                kGroupBytes + TokenPacking(cardinality).packed_size(load<std::uint8_t>(rest.subspan(2)));
            if (body + kCrcBytes > rest.size()) break;
            place_nearer(copy, at + 3);
            put_crc(copy, at, body, group_crc_start(cardinality));
            size = body + kCrcBytes;
        } else if (rest.size() >= kFixedBytes + kCrcBytes && (std::memcmp(rest.data(), kHeaderMagic.data(), 4) == 0 ||
                                                              std::memcmp(rest.data(), kTrailerMagic.data(), 4) == 0)) {
            const bool vector = load<std::uint8_t>(rest.subspan(5)) == kHasParalinguistic;
            const std::size_t body = kFixedBytes + (vector ? voice_bytes(load<std::uint16_t>(rest.subspan(6))) : 0);
            if (body + kCrcBytes > rest.size()) break;
            const auto claimed = load<std::uint32_t>(rest.subspan(24));
            place_nearer(copy, at + 28);
            if (at == 0 && claimed >= 2 && claimed <= INT32_MAX) cardinality = claimed;
            put_crc(copy, at, body, 0);
            size = body + kCrcBytes;
        }
        at += size;
    }
    read_and_check(copy);
}

FUZZ_TARGET(packing) {
    fuzz::Input input(bytes);
    const TokenPacking packing(2 + input.take<std::uint32_t>() % (INT32_MAX - 2U));
    const std::size_t count = 1 + input.below(255);
    std::vector<std::byte> packed(packing.packed_size(count));
    std::copy_n(input.rest().begin(), std::min(packed.size(), input.rest().size()), packed.begin());
    std::vector<std::int32_t> tokens(count);
    if (!packing.unpack(packed.data(), tokens)) return;
    for (const std::int32_t token : tokens)
        REQUIRE(token >= 0 && static_cast<std::uint32_t>(token) < packing.cardinality());
    std::vector<std::byte> again(packed.size());
    packing.pack(tokens, again.data());
    REQUIRE(again == packed);
}

FUZZ_TARGET(voice_code) {
    std::vector<float> values(bytes.size() / sizeof(float));
    if (values.empty()) return;
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
    std::vector<std::byte> code;
    try {
        quantise_voice(values, code);
    } catch (const Error&) {
        REQUIRE(std::any_of(values.begin(), values.end(), [](float v) { return !std::isfinite(v); }));
        return;
    }
    std::vector<float> first(values.size()), second(values.size());
    REQUIRE(code.size() == voice_bytes(values.size()) && dequantise_voice(code, first));
    std::vector<std::byte> again;
    quantise_voice(first, again);
    REQUIRE(dequantise_voice(again, second) && first == second);
}

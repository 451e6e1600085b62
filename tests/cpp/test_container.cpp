#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "base/error.h"
#include "check.h"
#include "io/container.h"
#include "io/crc32.h"
#include "io/voice_code.h"

using namespace secousti::core;

namespace {

using Bytes = std::vector<std::byte>;
using Tokens = std::vector<std::int32_t>;

constexpr std::uint32_t kCardinality = 6561;
constexpr std::size_t kHeader = 44;  // bytes without G; the trailer's too

ContainerInfo stream_info(std::uint32_t cardinality = kCardinality) {
    return {.identity = 0x0123456789ABCDEF,
            .sample_rate = 22050,
            .samples_per_token = 256,
            .cardinality = cardinality,
            .samples = 12345};
}

Tokens random_tokens(std::size_t count, std::uint32_t cardinality = kCardinality) {
    Tokens tokens(count);
    for (auto& token : tokens) token = static_cast<std::int32_t>(check::random()() % cardinality);
    return tokens;
}

std::vector<float> as_read(std::span<const float> values) {
    Bytes code;
    quantise_voice(values, code);
    std::vector<float> out(values.size());
    CHECK(code.size() == voice_bytes(values.size()));
    CHECK(dequantise_voice(code, out));
    return out;
}

void flip(Bytes& bytes, std::size_t bit) { bytes[bit / 8] ^= std::byte{1} << (bit % 8); }

/// Whatever happened to the file: a token that is returned is the right one, and what is not is reported as lost.
void check_honest(const ContainerContents& contents, const Tokens& truth) {
    CHECK(contents.tokens.size() <= truth.size());
    std::vector<bool> lost(truth.size());
    for (const LostRange& range : contents.lost) {
        for (std::int64_t i = range.first; i < range.first + range.count; ++i)
            lost.at(static_cast<std::size_t>(i)) = true;
    }
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < contents.tokens.size(); ++i) {
        wrong += contents.tokens[i] != (lost[i] ? -1 : truth[i]);
    }
    CHECK(wrong == 0);
    CHECK(contents.complete || !contents.notes.empty());
    CHECK(contents.lost.empty() || !contents.notes.empty());
}

std::uint64_t sum(const ContainerContents::Bytes& bytes) {
    return bytes.tokens + bytes.framing + bytes.header + bytes.voice + bytes.damaged;
}

}  // namespace

TEST(crc32c_known_values) {
    const auto crc = [](std::string_view text) { return crc32c(std::as_bytes(std::span(text))); };
    CHECK(crc("") == 0);
    CHECK(crc("123456789") == 0xE3069283);  // the usual check value
    const std::array<std::byte, 32> zeros{};
    CHECK(crc32c(zeros) == 0x8A9136AA);  // RFC 3720, B.4
    CHECK(crc32c(std::as_bytes(std::span("6789", 4)), crc("12345")) == crc("123456789"));
}

TEST(crc32c_locates_one_flipped_bit_and_never_mistakes_two) {
    // The longest group. Five different bits cannot cancel if all sums of two bits differ and none equals a single bit;
    // sums of two cover what the repair relies on: two or three flips are never taken for one.
    Bytes frame(7 + 408);
    for (auto& byte : frame) byte = static_cast<std::byte>(check::random()());
    const std::uint32_t crc = crc32c(frame, 77);
    for (int i = 0; i < 4; ++i) frame.push_back(static_cast<std::byte>(crc >> (8 * i)));
    std::vector<std::uint32_t> change;
    for (std::size_t bit = 0; bit < 8 * frame.size(); ++bit) {
        flip(frame, bit);
        if (bit % 17 == 0 || bit > 8 * frame.size() - 40) CHECK(crc32c_locate_flip(frame, 77) == bit);
        const auto stored = std::span(frame).last(4);
        std::uint32_t value = 0;
        for (std::size_t i = 0; i < 4; ++i) value |= std::to_integer<std::uint32_t>(stored[i]) << (8 * i);
        change.push_back(crc32c(std::span(frame).first(frame.size() - 4), 77) ^ value);
        flip(frame, bit);
    }
    std::vector<std::uint32_t> sums = change;
    sums.push_back(0);
    for (std::size_t a = 0; a < change.size(); ++a) {
        for (std::size_t b = a + 1; b < change.size(); ++b) sums.push_back(change[a] ^ change[b]);
    }
    std::sort(sums.begin(), sums.end());
    CHECK(std::adjacent_find(sums.begin(), sums.end()) == sums.end());
}

TEST(token_packing_round_trips_any_cardinality) {
    CHECK(TokenPacking(kCardinality).block_tokens() == 5);
    const std::size_t sizes[] = {0, 2, 4, 5, 7, 8, 10, 12, 13, 15, 16};
    for (std::size_t i = 0; i < std::size(sizes); ++i) CHECK(TokenPacking(kCardinality).packed_size(i) == sizes[i]);
    CHECK(TokenPacking(2).packed_size(64) == 8 && TokenPacking(2).packed_size(65) == 9);
    for (const std::uint32_t cardinality : {2U, 3U, 256U, 257U, 729U, 6561U, 65536U, 64000U, 1U << 24, 2147483647U}) {
        const TokenPacking packing(cardinality);
        for (std::size_t count = 0; count < 70; ++count) {
            Tokens tokens = random_tokens(count, cardinality);
            if (count % 3 == 0) std::fill(tokens.begin(), tokens.end(), static_cast<std::int32_t>(cardinality - 1));
            Bytes bytes(packing.packed_size(count));
            packing.pack(tokens, bytes.data());
            Tokens back(count, -7);
            CHECK(packing.unpack(bytes.data(), back));
            CHECK(back == tokens);
            CHECK(static_cast<double>(8 * bytes.size()) >= std::log2(cardinality) * static_cast<double>(count) - 1e-9);
        }
    }
    const Bytes ones(8, std::byte{0xFF});
    Tokens tokens(5);
    CHECK(!TokenPacking(kCardinality).unpack(ones.data(), tokens));
}

TEST(voice_code_is_idempotent_and_close) {
    for (int i = 0; i < 300; ++i) {
        const std::size_t dimension = check::random()() % 600;
        const float scale = std::exp(check::uniform(-40, 40));
        std::vector<float> values = check::uniform_vector(dimension);
        for (float& v : values) v *= v * v * scale;  // peaked
        const auto once = as_read(values);
        CHECK(as_read(once) == once);
        for (std::size_t begin = 0; begin < dimension; begin += 64) {
            const std::size_t end = std::min(dimension, begin + 64);
            float largest = 0;
            for (std::size_t j = begin; j < end; ++j) largest = std::max(largest, std::abs(values[j]));
            for (std::size_t j = begin; j < end; ++j) {
                CHECK(std::abs(once[j] - values[j]) <= largest * (0.5 / 127 + 0x1p-8));
            }
        }
    }
    CHECK(as_read(std::vector<float>(100, 0.0F)) == std::vector<float>(100, 0.0F));
    CHECK(as_read(std::vector<float>(3, 1e-38F)) == std::vector<float>(3, 0.0F));
    const std::vector<float> extremes = {std::numeric_limits<float>::max(), -std::numeric_limits<float>::max(), 0};
    const auto once = as_read(extremes);
    CHECK(std::isfinite(once[0]) && once[0] == -once[1] && as_read(once) == once);
    Bytes out;
    CHECK_THROWS(quantise_voice(std::vector<float>{0, NAN}, out), Error, "value 1 is not finite");
    std::vector<float> one(1);
    CHECK(!dequantise_voice(Bytes{std::byte{0x80}, std::byte{0x7F}, std::byte{1}}, one));  // infinity
    CHECK(!dequantise_voice(Bytes{std::byte{0}, std::byte{0xBF}, std::byte{1}}, one));     // negative
    CHECK(!dequantise_voice(Bytes{std::byte{0}, std::byte{0x3F}, std::byte{0x80}}, one));  // -128
}

TEST(container_round_trips) {
    for (int i = 0; i < 400; ++i) {
        const std::size_t count = i < 24 ? static_cast<std::size_t>(i) : check::random()() % 700;
        const std::uint32_t cardinality =
            i % 4 == 3 ? 2 + static_cast<std::uint32_t>(check::random()() % 100000) : kCardinality;
        const Tokens tokens = random_tokens(count, cardinality);
        const auto voice = check::uniform_vector(i % 3 == 0 ? 0 : check::random()() % 600);
        const ContainerOptions options{.tokens_per_group = 1 + check::random()() % 255, .repeat_voice = i % 5 == 0};
        const Bytes bytes = write_container(stream_info(cardinality), tokens, voice, options);
        const ContainerContents contents = read_container(bytes);
        CHECK(contents.tokens == tokens);
        CHECK(contents.voice == as_read(voice));
        CHECK(contents.complete && contents.notes.empty() && contents.lost.empty() && contents.repaired_bits == 0);
        CHECK(!contents.info_lost && !contents.voice_lost);
        CHECK(contents.info.identity == 0x0123456789ABCDEF && contents.info.sample_rate == 22050);
        CHECK(contents.info.samples_per_token == 256 && contents.info.cardinality == cardinality);
        CHECK(contents.info.tokens == static_cast<std::int64_t>(count) && contents.info.samples == 12345);
        CHECK(contents.info.dimension == voice.size());
        CHECK(sum(contents.bytes) == bytes.size() && contents.bytes.damaged == 0);
        CHECK(8.0 * static_cast<double>(contents.bytes.tokens) >=
              std::log2(cardinality) * static_cast<double>(count) - 1e-6);
        // Writing what was read gives the same file.
        CHECK(write_container(contents.info, contents.tokens, contents.voice, options) == bytes);
    }
}

TEST(container_layout_is_fixed) {
    const Bytes bytes = write_container({.identity = 0x1122334455667788,
                                         .sample_rate = 22050,
                                         .samples_per_token = 256,
                                         .cardinality = kCardinality,
                                         .samples = 1500},
                                        Tokens{1, 0, 0, 0, 0, 6560}, {});
    const std::uint8_t expected[] = {
        0x89, 'S',  'E', 'C', 1, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,  //
        0x22, 0x56, 0,   0,   0, 1, 0, 0, 0xA1, 0x19, 0,    0,    6,    0,    0,    0,    0xDC, 5, 0, 0, 0, 0, 0, 0};
    const std::uint8_t group[] = {0xA9, 0x6B, 6, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xA0, 0x19};
    CHECK(bytes.size() == 2 * kHeader + sizeof group + 4);
    CHECK(std::memcmp(bytes.data(), expected, sizeof expected) == 0);
    CHECK(std::memcmp(bytes.data() + kHeader, group, sizeof group) == 0);
    CHECK(std::memcmp(bytes.data() + kHeader + sizeof group + 8, expected + 4, 36) == 0);
}

TEST(container_every_flipped_bit_is_repaired) {
    const Tokens tokens = random_tokens(47);
    const auto voice = check::uniform_vector(70);
    const ContainerOptions options{.tokens_per_group = 10};
    const Bytes good = write_container(stream_info(), tokens, voice, options);
    const ContainerContents whole = read_container(good);
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
        Bytes bytes = good;
        flip(bytes, bit);
        const ContainerContents contents = read_container(bytes);
        CHECK(contents.tokens == tokens);
        CHECK(contents.voice == whole.voice);
        CHECK(contents.repaired_bits == 1 && contents.notes.size() == 1);
        CHECK(contents.complete && contents.info.identity == whole.info.identity && contents.info.samples == 12345);
    }
}

TEST(container_two_flipped_bits_lose_at_most_the_records_they_hit) {
    const Tokens tokens = random_tokens(47);
    const auto voice = check::uniform_vector(70);
    const Bytes good = write_container(stream_info(), tokens, voice, {.tokens_per_group = 10});
    const std::size_t first = kHeader + voice_bytes(70);
    const std::size_t group = 7 + 16 + 4;
    const auto record_of = [&](std::size_t bit) {
        const std::size_t byte = bit / 8;
        return byte < first ? 0 : std::min<std::size_t>(6, 1 + (byte - first) / group);
    };
    for (int i = 0; i < 20000; ++i) {
        const std::size_t a = check::random()() % (8 * good.size());
        std::size_t b = check::random()() % (8 * good.size());
        if (i % 2 == 0) b = std::min(8 * good.size() - 1, a + 1 + check::random()() % 60);
        if (a == b) continue;
        Bytes bytes = good;
        flip(bytes, a);
        flip(bytes, b);
        const ContainerContents contents = read_container(bytes);
        check_honest(contents, tokens);
        // Flips in two records of which the first stays unrepaired can cost both: then the second's start is not known.
        std::size_t intact = 0;
        for (std::size_t g = 1; g <= 5; ++g) {
            if (record_of(a) == g || record_of(b) == g) continue;
            const std::size_t begin = 10 * (g - 1), end = std::min<std::size_t>(47, begin + 10);
            for (std::size_t t = begin; t < end; ++t)
                intact += t < contents.tokens.size() && contents.tokens[t] == tokens[t];
            intact += 10 - (end - begin);
        }
        std::size_t expected = 50;
        for (std::size_t g = 1; g <= 5; ++g) expected -= record_of(a) == g || record_of(b) == g ? 10 : 0;
        CHECK(intact == expected);
        if (record_of(a) != 0 && record_of(b) != 0) CHECK(!contents.voice.empty());
        CHECK(contents.voice.empty() ? contents.voice_lost : contents.voice == as_read(voice));
    }
}

TEST(container_cut_anywhere_yields_every_whole_group) {
    const Tokens tokens = random_tokens(47);
    const auto voice = check::uniform_vector(70);
    const Bytes good = write_container(stream_info(), tokens, voice, {.tokens_per_group = 10});
    const std::size_t first = kHeader + voice_bytes(70), group = 7 + 16 + 4;
    for (std::size_t size = 0; size <= good.size(); ++size) {
        const Bytes bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
        if (size < first) {
            CHECK_THROWS(read_container(bytes), Error, "no header and no intact group");
            continue;
        }
        const ContainerContents contents = read_container(bytes);
        const std::size_t groups = size >= good.size() - kHeader ? 5 : (size - first) / group;
        const std::size_t intact = std::min<std::size_t>(47, 10 * groups);
        check_honest(contents, tokens);
        CHECK(contents.tokens.size() == 47);  // the header knows
        CHECK(contents.lost.size() == (intact < 47));
        if (intact < 47) {
            CHECK(contents.lost[0].first == static_cast<std::int64_t>(intact));
            CHECK(contents.lost[0].count == static_cast<std::int64_t>(47 - intact));
        }
        CHECK(contents.complete == (size == good.size()));
        CHECK(contents.voice == as_read(voice));
    }
    // The start is missing: groups and trailer still give the tokens and what they are.
    for (std::size_t start = 1; start < good.size() - kHeader; ++start) {
        const Bytes bytes(good.begin() + static_cast<std::ptrdiff_t>(start), good.end());
        const ContainerContents contents = read_container(bytes);
        const std::size_t skipped = start <= first ? 0 : std::min<std::size_t>(5, (start - first + group - 1) / group);
        check_honest(contents, tokens);
        CHECK(contents.voice.empty() && contents.voice_lost);
        CHECK(contents.complete && contents.info.identity == 0x0123456789ABCDEF && contents.info.dimension == 70);
        for (std::size_t t = 10 * skipped; t < 47; ++t) CHECK(contents.tokens[t] == tokens[t]);
    }
}

TEST(container_without_header_and_trailer_still_yields_tokens) {
    const Tokens tokens = random_tokens(250);
    Bytes bytes = write_container(stream_info(), tokens, check::uniform_vector(70), {.tokens_per_group = 50});
    std::fill(bytes.begin(), bytes.begin() + 50, std::byte{0});
    bytes.resize(bytes.size() - 10);
    const ContainerContents contents = read_container(bytes);
    CHECK(contents.tokens == tokens);
    CHECK(contents.info_lost && contents.voice_lost && !contents.complete && contents.info.tokens == -1);
    // Groups of another cardinality are not taken for eight-trit ones: their checksums differ.
    Bytes other = write_container(stream_info(729), random_tokens(250, 729), {}, {.tokens_per_group = 50});
    std::fill(other.begin(), other.begin() + 44, std::byte{0});
    CHECK(read_container(other).tokens.size() == 250);  // the trailer says 729
    other.resize(other.size() - 10);
    CHECK_THROWS(read_container(other), Error, "no header and no intact group");
    // A second copy of G survives the loss of the first.
    bytes = write_container(stream_info(), tokens, check::uniform_vector(70), {.repeat_voice = true});
    const auto voice = read_container(bytes).voice;
    std::fill(bytes.begin(), bytes.begin() + 100, std::byte{0});
    CHECK(read_container(bytes).voice == voice && !read_container(bytes).voice_lost);
}

TEST(container_damage_is_reported_in_place) {
    const Tokens tokens = random_tokens(500);
    const Bytes good = write_container(stream_info(), tokens, check::uniform_vector(192), {.tokens_per_group = 20});
    for (int i = 0; i < 3000; ++i) {
        Bytes bytes = good;
        for (auto n = 1 + check::random()() % 3; n > 0; --n) {
            const std::size_t at = check::random()() % bytes.size();
            const std::size_t size = std::min<std::size_t>(bytes.size() - at, 1 + check::random()() % 60);
            const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(at);
            const auto to = from + static_cast<std::ptrdiff_t>(size);
            switch (check::random()() % 4) {
                case 0:
                    std::fill(from, to, std::byte{0});
                    break;
                case 1:
                    std::generate(from, to, [] { return static_cast<std::byte>(check::random()()); });
                    break;
                case 2:
                    bytes.erase(from, to);
                    break;
                default: {
                    const Bytes copy(from, to);
                    bytes.insert(from, copy.begin(), copy.end());
                }
            }
        }
        const ContainerContents contents = read_container(bytes);
        check_honest(contents, tokens);
        CHECK(sum(contents.bytes) == bytes.size());
        CHECK(bytes == good || !contents.notes.empty());
        std::size_t lost = 0;
        for (const std::int32_t token : contents.tokens) lost += token < 0;
        CHECK(lost + (tokens.size() - contents.tokens.size()) <= 3 * 20 * 5);  // 60 bytes touch at most 3 groups each
    }
}

TEST(container_random_bytes_are_refused_or_empty) {
    const Bytes good = write_container(stream_info(), random_tokens(60), check::uniform_vector(20));
    for (int i = 0; i < 10000; ++i) {
        Bytes bytes(check::random()() % 400);
        for (auto& byte : bytes) byte = static_cast<std::byte>(check::random()());
        if (i % 2 == 0)
            std::copy_n(good.begin(), std::min(bytes.size(), check::random()() % std::size_t{40}), bytes.begin());
        CHECK_THROWS(read_container(bytes), Error, "container: ");
    }
}

TEST(container_crafted_claims_are_bounded) {
    // Positions and counts that are valid by their checksums, but far beyond what the bytes can hold.
    std::vector<std::byte> bytes;
    ContainerInfo info = stream_info();
    ContainerWriter writer(info, {}, bytes);
    const Tokens tokens = random_tokens(3);
    writer.append(tokens, bytes);
    writer.flush(bytes);
    const Bytes prefix = bytes;
    Bytes sealed = bytes;
    const auto seal_group = [&](std::uint32_t first) {
        sealed = prefix;
        sealed.insert(sealed.end(), prefix.end() - 16, prefix.end());  // sync 2, count 1, first 4, tokens 5, CRC 4
        std::memcpy(sealed.data() + sealed.size() - 13, &first, 4);
        const std::uint32_t cardinality = kCardinality;
        const std::uint32_t crc =
            crc32c(std::span(sealed).last(16).first(12), crc32c(std::as_bytes(std::span(&cardinality, 1))));
        std::memcpy(sealed.data() + sealed.size() - 4, &crc, 4);
        return read_container(sealed);
    };
    CHECK(seal_group(3).tokens.size() == 6);
    CHECK(seal_group(1000).tokens.size() == 1003 && seal_group(1000).lost.size() == 1);
    for (const std::uint32_t first : {0xFFFFFFFFU, 0xFFFFFFFDU, 100000U, 0U, 2U}) {
        const ContainerContents contents = seal_group(first);
        CHECK(contents.tokens == tokens);
        CHECK(contents.bytes.damaged == 16 && !contents.notes.empty());
    }
    // A header that announces four billion tokens: reported as lost, not allocated.
    info.tokens = kMaxContainerTokens;
    bytes.clear();
    ContainerWriter huge(info, {}, bytes);
    huge.append(tokens, bytes);
    huge.flush(bytes);
    const ContainerContents contents = read_container(bytes);
    CHECK(contents.tokens == tokens && contents.info.tokens == kMaxContainerTokens);
    CHECK(contents.lost.size() == 1 && contents.lost[0].first == 3 &&
          contents.lost[0].count == kMaxContainerTokens - 3);
}

TEST(container_other_versions_and_streams) {
    Bytes bytes = write_container(stream_info(), {}, {});
    for (const int version : {0, 2, 4, 255}) {
        Bytes other(bytes.begin(), bytes.begin() + kHeader);
        other[4] = static_cast<std::byte>(version);
        other[20] ^= std::byte{0x30};  // not to be mistaken for one flipped bit
        CHECK_THROWS(read_container(other), Error,
                     "version " + std::to_string(version) + ", this build reads version 1");
    }
    Bytes twice = bytes;
    twice.insert(twice.end(), bytes.begin(), bytes.end());
    CHECK(read_container(twice).notes.at(0) == "88 bytes after the trailer are ignored");
    // The trailer of another stream.
    ContainerInfo info = stream_info();
    info.identity = 7;
    const Bytes other = write_container(info, {}, {});
    std::copy(other.end() - kHeader, other.end(), bytes.end() - kHeader);
    const ContainerContents contents = read_container(bytes);
    CHECK(contents.notes.at(0) == "header and trailer differ; the header is used");
    CHECK(contents.info.identity == 0x0123456789ABCDEF);
}

TEST(container_writer_streams) {
    const Tokens tokens = random_tokens(1003);
    const auto voice = check::uniform_vector(192), refined = check::uniform_vector(192);
    ContainerInfo info = stream_info();
    info.samples = -1;
    info.dimension = 192;
    for (const std::size_t chunk :
         {std::size_t{1}, std::size_t{7}, std::size_t{100}, std::size_t{333}, tokens.size()}) {
        Bytes bytes;
        ContainerWriter writer(info, chunk % 2 == 0 ? voice : std::vector<float>(), bytes);
        for (std::size_t at = 0; at < tokens.size(); at += chunk) {
            writer.append(std::span(tokens).subspan(at, std::min(chunk, tokens.size() - at)), bytes);
            const ContainerContents so_far = read_container(bytes);  // the process could die here
            const std::size_t written = std::min(at + chunk, tokens.size()) / 100 * 100;
            CHECK(so_far.tokens == Tokens(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(written)));
            CHECK(!so_far.complete && so_far.info.tokens == -1 && so_far.lost.empty());
            CHECK(so_far.voice_lost == (chunk % 2 != 0));
        }
        writer.finish(256000, chunk % 2 == 0 ? std::vector<float>() : refined, bytes);
        const ContainerContents contents = read_container(bytes);
        CHECK(contents.tokens == tokens && contents.complete && contents.notes.empty());
        CHECK(contents.info.tokens == 1003 && contents.info.samples == 256000);
        CHECK(contents.voice == as_read(chunk % 2 == 0 ? voice : refined));
        CHECK_THROWS(writer.append(tokens, bytes), Error, "after finish");
        CHECK_THROWS(writer.finish(0, {}, bytes), Error, "after finish");
    }
}

TEST(container_keeps_losses_when_written_again) {
    Tokens tokens = random_tokens(300);
    for (const std::size_t i : {0U, 1U, 57U, 58U, 59U, 100U, 199U, 298U, 299U}) tokens[i] = -1;
    const ContainerContents contents = read_container(write_container(stream_info(), tokens, {}));
    CHECK(contents.tokens == tokens);
    CHECK(contents.complete && contents.lost.size() == 5 && contents.lost[1].first == 57 &&
          contents.lost[1].count == 3);
}

TEST(container_writer_refuses_bad_arguments) {
    const Tokens ok = {1, 2, 3};
    const auto with = [&](auto change) {
        ContainerInfo info = stream_info();
        change(info);
        return write_container(info, ok, {});
    };
    CHECK_THROWS(with([](auto& i) { i.sample_rate = 0; }), Error, "sample rate 0 is outside [1, 1048576]");
    CHECK_THROWS(with([](auto& i) { i.samples_per_token = 1U << 25; }), Error, "samples per token 33554432");
    CHECK_THROWS(with([](auto& i) { i.cardinality = 1; }), Error, "cardinality 1");
    CHECK_THROWS(with([](auto& i) { i.cardinality = 3; }), Error, "token 3 at index 2 is outside [0, 3)");
    CHECK_THROWS(with([](auto& i) { i.samples = -2; }), Error, "number of samples -2");
    CHECK_THROWS(write_container(stream_info(), Tokens{0, -2}, {}), Error, "token -2 at index 1");
    CHECK_THROWS(write_container(stream_info(), ok, std::vector<float>(8193)), Error, "dimension of the voice");
    CHECK_THROWS(write_container(stream_info(), ok, std::vector<float>{INFINITY}), Error, "value 0 is not finite");
    CHECK_THROWS(write_container(stream_info(), ok, {}, {.tokens_per_group = 0}), Error, "tokens per group 0");
    CHECK_THROWS(write_container(stream_info(), ok, {}, {.tokens_per_group = 256}), Error, "tokens per group 256");
    Bytes bytes;
    ContainerInfo info = stream_info();
    info.dimension = 4;
    CHECK_THROWS(ContainerWriter(info, std::vector<float>(3), bytes), Error, "of 3 values, expected 4");
    info.tokens = 2;
    ContainerWriter writer(info, {}, bytes);
    CHECK_THROWS(writer.append(ok, bytes), Error, "more than the 2 tokens");
    CHECK_THROWS(writer.finish(-1, {}, bytes), Error, "finished after 0 of 2 tokens");
    CHECK_THROWS(writer.finish(-1, std::vector<float>(5), bytes), Error, "of 5 values, expected 4");
}

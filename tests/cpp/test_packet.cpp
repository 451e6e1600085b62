// Packets of a live call: what is written is read, whatever the network does, and whatever comes from it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "allocations.h"
#include "check.h"
#include "secousti_live.h"

namespace {

using Bytes = std::vector<std::uint8_t>;
using Tokens = std::vector<std::int32_t>;

constexpr std::int32_t kCardinality = 6561;

secousti_packet_options options(int tokens_per_packet = 4, int redundancy = 0, int dimension = 192) {
    secousti_packet_options result;
    secousti_packet_options_init(&result, nullptr);
    result.identity = 0x1234567890ABCDEFU;
    result.cardinality = kCardinality;
    result.dimension = dimension;
    result.tokens_per_packet = tokens_per_packet;
    result.redundancy = redundancy;
    return result;
}

struct Writer {
    secousti_packet_writer* handle = nullptr;
    explicit Writer(const secousti_packet_options& o) {
        CHECK(secousti_packet_writer_create(&o, &handle) == SECOUSTI_OK);
    }
    ~Writer() { secousti_packet_writer_destroy(handle); }
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    std::vector<Bytes> write(const Tokens& tokens, bool flush = true) {
        std::vector<Bytes> packets;
        Bytes bytes(secousti_packet_writer_max_bytes(handle));
        for (const std::int32_t token : tokens) {
            const auto size = secousti_packet_writer_push(handle, token, bytes.data(), bytes.size());
            CHECK(size >= 0 && size <= static_cast<std::int64_t>(bytes.size()));
            if (size > 0) packets.emplace_back(bytes.begin(), bytes.begin() + size);
        }
        if (flush) {
            const auto size = secousti_packet_writer_flush(handle, bytes.data(), bytes.size());
            if (size > 0) packets.emplace_back(bytes.begin(), bytes.begin() + size);
        }
        return packets;
    }
};

struct Reader {
    secousti_packet_reader* handle = nullptr;
    explicit Reader(secousti_packet_options o, int depth = 1) {
        o.depth = depth;
        CHECK(secousti_packet_reader_create(&o, &handle) == SECOUSTI_OK);
    }
    ~Reader() { secousti_packet_reader_destroy(handle); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    std::int64_t push(const Bytes& packet) { return secousti_packet_reader_push(handle, packet.data(), packet.size()); }
    /// The next `count` tokens, -1 for a lost one; fewer if it waits.
    Tokens pop(std::size_t count) {
        Tokens tokens;
        for (std::int32_t token = 0; tokens.size() < count; tokens.push_back(token)) {
            if (secousti_packet_reader_pop(handle, &token) == SECOUSTI_PACKET_WAITING) break;
        }
        return tokens;
    }
    secousti_packet_counts counts() const {
        secousti_packet_counts result{};
        result.struct_size = sizeof result;
        CHECK(secousti_packet_reader_get_counts(handle, &result) == SECOUSTI_OK);
        return result;
    }
};

Tokens random_tokens(std::size_t count) {
    Tokens tokens(count);
    for (auto& token : tokens)
        token = std::uniform_int_distribution<std::int32_t>(0, kCardinality - 1)(check::random());
    return tokens;
}

TEST(packets_carry_tokens_over_the_wrap_of_the_sequence_number) {
    for (const int per_packet : {1, 3, 4, 15}) {
        Writer writer(options(per_packet));
        Reader reader(options(per_packet), per_packet);
        const Tokens tokens = random_tokens(140'000);
        Tokens read;
        for (const Bytes& packet : writer.write(tokens)) {
            CHECK(reader.push(packet) == SECOUSTI_PACKET_ACCEPTED);
            const Tokens part = reader.pop(static_cast<std::size_t>(per_packet));
            read.insert(read.end(), part.begin(), part.end());
        }
        read.resize(tokens.size());  // the last packet may be short
        CHECK(read == tokens);
    }
}

TEST(packets_have_the_size_the_documentation_says) {
    Writer plain(options(4));
    CHECK(plain.write(random_tokens(4))[0].size() == 4 + 7 + 2);
    Writer twice(options(4, 4));
    const auto packets = twice.write(random_tokens(8));
    CHECK(packets[0].size() == 4 + 7 + 2);
    CHECK(packets[1].size() == 4 + 13 + 2);
}

TEST(packets_out_of_order_and_twice_are_put_right) {
    Writer writer(options());
    Reader reader(options(), 40);
    const Tokens tokens = random_tokens(400);
    const auto packets = writer.write(tokens);
    Tokens read;
    for (std::size_t i = 0; i < packets.size(); i += 5) {  // groups of five, backwards, the middle one twice
        for (const std::size_t j : {4U, 3U, 2U, 2U, 1U, 0U}) reader.push(packets[i + j]);
        const Tokens part = reader.pop(20);
        read.insert(read.end(), part.begin(), part.end());
    }
    const Tokens rest = reader.pop(tokens.size() - read.size());
    read.insert(read.end(), rest.begin(), rest.end());
    CHECK(read == tokens);
    CHECK(reader.counts().known == 20);
    CHECK(reader.counts().lost == 0);
}

TEST(packets_that_were_lost_leave_gaps_that_redundancy_fills) {
    for (const int redundancy : {0, 4, 8}) {
        Writer writer(options(4, redundancy));
        Reader reader(options(4, redundancy), 16);
        const Tokens tokens = random_tokens(400);
        const auto packets = writer.write(tokens);
        Tokens expected = tokens, read;
        const auto keep = [&](std::size_t packet) { return packet % 10 != 4 && packet % 10 != 5; };  // pairs are lost
        for (std::size_t p = 0; p < packets.size(); ++p) {
            if (keep(p)) {
                reader.push(packets[p]);
            } else if (redundancy < 8 && !(redundancy == 4 && p % 10 == 5)) {
                std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(4 * p), 4, -1);
            }
            if (p < 4) continue;
            const Tokens part = reader.pop(4);
            read.insert(read.end(), part.begin(), part.end());
        }
        const Tokens rest = reader.pop(tokens.size() - read.size());
        read.insert(read.end(), rest.begin(), rest.end());
        CHECK(read == expected);
        const auto lost = static_cast<std::uint64_t>(std::count(expected.begin(), expected.end(), -1));
        CHECK(reader.counts().lost == lost);
        CHECK(reader.counts().recovered == 80 - lost);
    }
}

TEST(packet_reader_moves_to_where_the_stream_goes_on) {
    Reader reader(options(), 4);
    Writer first(options()), second(options());
    second.write(random_tokens(20'000));
    for (const Bytes& packet : first.write(random_tokens(8))) CHECK(reader.push(packet) == SECOUSTI_PACKET_ACCEPTED);
    CHECK(reader.pop(8).size() == 8);
    const Tokens tokens = random_tokens(12);
    const auto packets = second.write(tokens);
    CHECK(reader.push(packets[0]) == SECOUSTI_PACKET_STRAY);
    CHECK(reader.push(packets[1]) == SECOUSTI_PACKET_ACCEPTED);
    CHECK(reader.push(packets[2]) == SECOUSTI_PACKET_ACCEPTED);
    CHECK((reader.pop(8) == Tokens(tokens.begin() + 4, tokens.end())));
    CHECK(reader.counts().restarts == 1);
}

TEST(packet_reader_waits_when_nothing_comes_for_long_and_starts_again) {
    Writer writer(options());
    Reader reader(options(), 8);
    std::int32_t token = 5;
    CHECK(secousti_packet_reader_pop(reader.handle, &token) == SECOUSTI_PACKET_WAITING);
    CHECK(token == SECOUSTI_TOKEN_NONE);
    for (const Bytes& packet : writer.write(random_tokens(8))) reader.push(packet);
    const Tokens all = reader.pop(10'000);
    CHECK(all.size() == 8 + 256);
    CHECK(std::all_of(all.begin() + 8, all.end(), [](std::int32_t t) { return t == -1; }));
    for (const Bytes& packet : writer.write(random_tokens(8))) CHECK(reader.push(packet) == SECOUSTI_PACKET_ACCEPTED);
    CHECK(reader.pop(8).size() == 8);
}

TEST(packet_voice_arrives_with_eight_bits_a_value) {
    for (const int dimension : {1, 192, 512, 4096}) {
        auto o = options(4, 0, dimension);
        o.voice_repeat = 400;
        Writer writer(o);
        Reader reader(o);
        const std::size_t size = static_cast<std::size_t>(dimension);
        std::vector<float> voice = check::uniform_vector(size), heard(size);
        CHECK(secousti_packet_reader_take_voice(reader.handle, heard.data(), size + 1) == SECOUSTI_INVALID_ARGUMENT);
        CHECK(secousti_packet_writer_set_voice(writer.handle, voice.data(), size) == SECOUSTI_OK);
        int taken = 0;
        const auto packets = writer.write(random_tokens(4 * 700));
        for (std::size_t p = 0; p < packets.size(); ++p) {
            if (p == 0) continue;  // its part comes again with the repetition
            reader.push(packets[p]);
            reader.pop(4);
            taken += static_cast<int>(secousti_packet_reader_take_voice(reader.handle, heard.data(), size));
        }
        CHECK(taken == 1);
        CHECK_VECTORS_CLOSE(heard, voice, 1.0 / 120.0, 0.0, "voice");
    }
}

TEST(packet_reader_survives_anything) {
    const auto o = options(4, 4);
    Writer writer(o);
    const std::vector<float> voice = check::uniform_vector(192);
    CHECK(secousti_packet_writer_set_voice(writer.handle, voice.data(), voice.size()) == SECOUSTI_OK);
    const auto packets = writer.write(random_tokens(4000));
    Reader reader(o, 12);
    std::vector<float> heard(192);
    const auto random = [](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n - 1)(check::random());
    };
    const std::uint64_t before = allocations::count();
    std::uint64_t allocated = 0;
    for (int i = 0; i < 200'000; ++i) {
        Bytes packet;
        switch (random(4)) {
            case 0:
                packet.resize(random(90));
                for (auto& byte : packet) byte = static_cast<std::uint8_t>(random(256));
                break;
            case 1:
                packet = packets[random(packets.size())];
                break;
            case 2:
                packet = packets[random(packets.size())];
                packet[random(packet.size())] ^= static_cast<std::uint8_t>(1U << random(8));
                CHECK(reader.push(packet) == SECOUSTI_PACKET_DAMAGED);  // a CRC sees every single flip
                continue;
            default:
                packet = packets[random(packets.size())];
                packet.resize(random(packet.size() + 1));
        }
        const std::uint64_t start = allocations::count();
        const auto result = reader.push(packet);
        CHECK(result >= SECOUSTI_PACKET_ACCEPTED && result <= SECOUSTI_PACKET_DAMAGED);
        for (const std::int32_t token : {0, 1, 2, 3, 4}) {
            std::int32_t popped = token;
            const auto next = secousti_packet_reader_pop(reader.handle, &popped);
            CHECK(next == SECOUSTI_PACKET_TOKEN  ? popped >= 0 && popped < kCardinality
                  : next == SECOUSTI_PACKET_LOST ? popped == SECOUSTI_TOKEN_LOST
                                                 : popped == SECOUSTI_TOKEN_NONE);
        }
        secousti_packet_reader_take_voice(reader.handle, heard.data(), heard.size());
        allocated += allocations::count() - start;
    }
    CHECK(allocated == 0);
    CHECK(allocations::count() >= before);
    CHECK(secousti_packet_reader_push(reader.handle, nullptr, 0) == SECOUSTI_PACKET_DAMAGED);
    CHECK(secousti_packet_reader_push(reader.handle, nullptr, 5) == SECOUSTI_INVALID_ARGUMENT);
}

TEST(packets_of_another_stream_do_not_pass) {
    Writer writer(options());
    const auto packet = writer.write(random_tokens(4))[0];
    for (const int field : {0, 1, 2}) {
        auto other = options();
        if (field == 0) other.identity ^= 1;
        if (field == 1) other.cardinality = 6560;
        if (field == 2) other.dimension = 512;
        Reader reader(other);
        CHECK(reader.push(packet) == SECOUSTI_PACKET_DAMAGED);
    }
}

TEST(packet_options_out_of_range_are_named) {
    const auto refused = [](auto change, const char* name) {
        auto o = options();
        change(o);
        secousti_packet_writer* writer = nullptr;
        secousti_packet_reader* reader = nullptr;
        const bool one = secousti_packet_writer_create(&o, &writer) == SECOUSTI_INVALID_ARGUMENT;
        const bool message = std::string(secousti_last_error()).find(name) != std::string::npos;
        const bool two = secousti_packet_reader_create(&o, &reader) == SECOUSTI_INVALID_ARGUMENT;
        const bool other = std::string(secousti_last_error()).find(name) != std::string::npos;
        secousti_packet_writer_destroy(writer);
        secousti_packet_reader_destroy(reader);
        return (one && message) || (two && other);
    };
    CHECK(refused([](auto& o) { o.struct_size = 8; }, "struct_size"));
    CHECK(refused([](auto& o) { o.cardinality = 1; }, "cardinality"));
    CHECK(refused([](auto& o) { o.cardinality = -5; }, "cardinality"));
    CHECK(refused([](auto& o) { o.dimension = 4097; }, "dimension"));
    CHECK(refused([](auto& o) { o.tokens_per_packet = 0; }, "tokens_per_packet"));
    CHECK(refused([](auto& o) { o.tokens_per_packet = 16; }, "tokens_per_packet"));
    CHECK(refused([](auto& o) { o.redundancy = 16; }, "redundancy"));
    CHECK(refused([](auto& o) { o.voice_repeat = -1; }, "voice_repeat"));
    CHECK(refused([](auto& o) { o.depth = 0; }, "depth"));
    CHECK(refused([](auto& o) { o.depth = 513; }, "depth"));
    Writer writer(options());
    Bytes bytes(100);
    CHECK(secousti_packet_writer_push(writer.handle, kCardinality, bytes.data(), 100) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(secousti_packet_writer_push(writer.handle, -1, bytes.data(), 100) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(secousti_packet_writer_push(writer.handle, 0, bytes.data(), 3) == SECOUSTI_INVALID_ARGUMENT);
    const std::vector<float> nan(192, std::nanf(""));
    CHECK(secousti_packet_writer_set_voice(writer.handle, nan.data(), nan.size()) == SECOUSTI_INVALID_ARGUMENT);
}

}  // namespace

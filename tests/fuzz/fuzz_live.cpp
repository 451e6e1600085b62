// What comes over a network, and hosts that step many streams: packets, groups.
#include <array>
#include <cmath>

#include "base/tokens.h"
#include "io/crc32.h"
#include "io/packet.h"
#include "secousti.h"
#include "small_models.h"
#include "target.h"

using namespace secousti::core;

namespace {

/// What a packet's check starts from (docs/design/packets.md): identity, cardinality and dimension.
std::uint32_t packet_check_start(const PacketStream& stream) {
    std::array<std::byte, 16> start{};
    std::memcpy(start.data(), &stream.identity, 8);
    std::memcpy(start.data() + 8, &stream.cardinality, 4);
    std::memcpy(start.data() + 12, &stream.dimension, 4);
    return crc32c(start);
}

}  // namespace

/// Packets of a writer, dropped, repeated, swapped and damaged as the input says, between packets that it makes up.
FUZZ_TARGET(packet) {
    constexpr std::array<std::uint32_t, 4> kCardinalities = {6561, 2, 81, 0x7FFFFFFF};
    fuzz::Input input(bytes);
    const PacketStream stream{7, kCardinalities[input.below(4)], static_cast<std::uint32_t>(input.below(200))};
    PacketWriter writer(stream, {1 + input.below(15), input.below(16), input.below(4)});
    PacketReader reader(stream, 1 + input.below(20));
    std::vector<std::byte> out(writer.max_bytes());
    std::vector<std::vector<std::byte>> sent;
    std::vector<float> voice(stream.dimension);
    std::uint64_t popped = 0;
    std::size_t work = 0;
    const auto receive = [&](std::span<const std::byte> packet) {
        const PacketResult result = reader.push(packet);
        REQUIRE(result >= PacketResult::accepted && result <= PacketResult::damaged);
    };
    while (!input.empty() && ++work < 400) {
        switch (input.below(8)) {
            case 0:
            case 1:
            case 2:
                for (std::size_t i = 0, count = 1 + input.below(30); i < count; ++i) {
                    const std::size_t size = writer.push(
                        static_cast<std::int32_t>(input.take<std::uint32_t>() % stream.cardinality), out.data());
                    REQUIRE(size <= out.size());
                    if (size == 0) continue;
                    sent.emplace_back(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(size));
                    if (input.below(8) != 0) receive(sent.back());
                }
                break;
            case 3:
                if (!sent.empty()) receive(sent[input.below(sent.size())]);  // again, or late
                break;
            case 4:
                if (!sent.empty()) {
                    std::vector<std::byte> damaged = sent[input.below(sent.size())];
                    if (!damaged.empty()) damaged[input.below(damaged.size())] ^= input.take<std::byte>();
                    damaged.resize(input.below(damaged.size() + 3));
                    if (input.below(2) == 0 && damaged.size() > 2) {  // as if the damage were meant
                        const auto check = static_cast<std::uint16_t>(
                            crc32c(std::span(damaged).first(damaged.size() - 2), packet_check_start(stream)));
                        std::memcpy(damaged.data() + damaged.size() - 2, &check, sizeof check);
                    }
                    receive(damaged);
                }
                break;
            case 5:
                receive(input.rest().first(std::min(input.rest().size(), input.below(64))));
                break;
            case 6:
                for (float& value : voice) value = static_cast<float>(input.take<std::int8_t>()) * 0.01F;
                writer.set_voice(voice);
                break;
            default:
                for (std::size_t i = 0, count = input.below(40); i < count; ++i) {
                    std::int32_t token = 0;
                    const PacketReader::Next next = reader.pop(token);
                    REQUIRE((next == PacketReader::Next::token) == (token >= 0));
                    REQUIRE((next == PacketReader::Next::lost) == (token == kLostToken));
                    REQUIRE(token < static_cast<std::int64_t>(stream.cardinality) && token >= kNoToken);
                    popped += next == PacketReader::Next::token;
                }
        }
        if (reader.take_voice(voice)) {
            for (const float value : voice) REQUIRE(std::isfinite(value));
        }
        REQUIRE(reader.buffered() < 4096);
        REQUIRE(reader.counts().tokens >= popped);
    }
}

namespace {

struct Groups {
    static constexpr int kCapacity = 3;
    secousti_model* model = nullptr;
    secousti_model_info info{};
    secousti_encoder_group* encoders = nullptr;
    secousti_decoder_group* decoders = nullptr;

    explicit Groups(const tiny::Shape& shape) {
        const auto file = tiny::model_bytes(shape);
        REQUIRE(secousti_model_open_memory(file.data(), file.size(), nullptr, &model) == SECOUSTI_OK);
        info.struct_size = sizeof info;
        REQUIRE(secousti_model_get_info(model, &info) == SECOUSTI_OK);
        secousti_encoder_group_options encoding;
        secousti_encoder_group_options_init(&encoding);
        secousti_decoder_group_options decoding;
        secousti_decoder_group_options_init(&decoding);
        encoding.capacity = decoding.capacity = kCapacity;
        REQUIRE(secousti_encoder_group_create(model, &encoding, &encoders) == SECOUSTI_OK);
        REQUIRE(secousti_decoder_group_create(model, &decoding, &decoders) == SECOUSTI_OK);
    }
};

}  // namespace

/// Slots that join, leave, end and come back in any order, with wrong slots, tokens and sound among them.
FUZZ_TARGET(group) {
    static const std::array<Groups, 2> kinds = {Groups(small_models::kHalved), Groups(small_models::kSpectral)};
    fuzz::Input input(bytes);
    const Groups& g = kinds[input.below(2)];
    constexpr std::size_t kSlots = Groups::kCapacity;
    const auto frame = static_cast<std::size_t>(g.info.frame_size);
    REQUIRE(secousti_encoder_group_reset(g.encoders, nullptr) == SECOUSTI_OK);
    REQUIRE(secousti_decoder_group_reset(g.decoders, nullptr) == SECOUSTI_OK);
    std::vector<float> pcm(kSlots * frame), out(kSlots * frame * 4);
    std::array<std::int32_t, kSlots> tokens{}, samples{};
    std::array<std::uint8_t, kSlots> mask{};
    std::vector<std::int32_t> rest(64);
    std::vector<std::byte> state;
    for (std::size_t work = 0; !input.empty() && work < 40; ++work) {
        const std::int32_t slot =
            static_cast<std::int32_t>(input.below(kSlots + 1)) - static_cast<int>(input.below(16) == 0);
        const bool exists = slot >= 0 && slot < Groups::kCapacity;
        for (std::uint8_t& m : mask) m = static_cast<std::uint8_t>(input.below(2));
        switch (input.below(10)) {
            case 0:
            case 1:
            case 2:
                for (float& value : pcm) value = static_cast<float>((work * 31 + 7) % 13) * 0.01F;
                if (input.below(8) == 0) pcm[input.below(pcm.size())] = input.take<float>();
                if (secousti_encoder_group_step(g.encoders, pcm.data(), mask.data(), tokens.data()) == SECOUSTI_OK) {
                    for (std::size_t i = 0; i < kSlots; ++i) {
                        const bool none = tokens[i] == SECOUSTI_TOKEN_NONE;
                        REQUIRE(none || (mask[i] != 0 && tokens[i] >= 0 && tokens[i] < g.info.cardinality));
                    }
                }
                break;
            case 3:
            case 4:
            case 5:
                for (std::int32_t& token : tokens) {
                    token =
                        static_cast<std::int32_t>(input.below(static_cast<std::size_t>(g.info.cardinality) + 2)) - 2;
                }
                if (input.below(8) == 0) tokens[input.below(kSlots)] = input.take<std::int32_t>();
                if (secousti_decoder_group_step(g.decoders, tokens.data(), out.data(), samples.data()) == SECOUSTI_OK) {
                    for (const std::int32_t count : samples) REQUIRE(count >= 0 && count <= g.info.frame_size);
                }
                break;
            case 6: {
                const std::int64_t count = secousti_encoder_group_flush(g.encoders, slot, rest.data(), rest.size());
                const std::int64_t last = secousti_decoder_group_flush(g.decoders, slot, out.data(), out.size());
                REQUIRE(exists || (count < 0 && last < 0));
                REQUIRE(count <= 64 && last <= static_cast<std::int64_t>(out.size()));
                break;
            }
            case 7:
                REQUIRE(secousti_encoder_group_reset(g.encoders, mask.data()) == SECOUSTI_OK);
                REQUIRE(secousti_decoder_group_reset(g.decoders, mask.data()) == SECOUSTI_OK);
                break;
            case 8:
                REQUIRE((secousti_decoder_group_start(g.decoders, slot, nullptr) == SECOUSTI_OK) == exists);
                break;
            default:
                state.resize(secousti_encoder_group_snapshot_size(g.encoders));
                if (secousti_encoder_group_snapshot(g.encoders, slot, state.data(), state.size()) != SECOUSTI_OK) {
                    REQUIRE(!exists);
                    break;
                }
                if (input.below(2) == 0) state[input.take<std::uint32_t>() % state.size()] ^= input.take<std::byte>();
                secousti_encoder_group_restore(g.encoders, static_cast<std::int32_t>(input.below(kSlots)), state.data(),
                                               state.size());
        }
    }
}

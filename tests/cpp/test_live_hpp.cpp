// A call through the C++ interface: voice, packets with a loss, concealment.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "secousti_live.hpp"
#include "streams.h"

namespace {

TEST(a_call_through_the_cpp_interface) {
    const auto model = streams::open(tiny::kPlain);
    const auto info = model.info();
    const streams::Pcm pcm = streams::random_pcm(80 * static_cast<std::size_t>(info.frame_size));
    secousti::Encoder encoder(model);
    secousti::Voice voice(model);
    secousti::PacketWriter writer(model, {.tokens_per_packet = 2, .redundancy = 2});
    secousti::PacketReader reader(model, {.depth = 4});
    secousti::Decoder decoder(model);

    streams::Tokens tokens, played;
    encoder.push(pcm, tokens);
    CHECK(voice.push(pcm));
    CHECK(voice.seconds() > 0.5);
    writer.set_voice(voice.voice());
    std::vector<std::byte> bytes(writer.max_bytes());
    int number = 0;
    bool voice_came = false;
    streams::Pcm heard;
    const auto receive = [&](std::span<const std::byte> packet) {
        // Packets 10 and 11 are lost: the redundancy of 12 brings back what was in 11.
        if (packet.empty()) return;
        if (const int n = number++; n != 10 && n != 11) CHECK(reader.push(packet) == SECOUSTI_PACKET_ACCEPTED);
        if (const auto g = reader.take_voice(); !g.empty()) {
            decoder.set_voice(g);
            voice_came = true;
        }
        for (int i = 0; i < 2; ++i) {
            std::int32_t token = 0;
            const auto next = reader.pop(token);
            if (next == SECOUSTI_PACKET_WAITING) break;
            played.push_back(token);
            if (next == SECOUSTI_PACKET_TOKEN) {
                decoder.push({&token, 1}, heard);
            } else {
                decoder.conceal(1, heard);
            }
        }
    };
    for (const std::int32_t token : tokens) receive(writer.push(token, bytes));
    receive(writer.flush(bytes));
    CHECK(voice_came);
    CHECK(reader.counts().lost == 2);
    CHECK(reader.counts().recovered == 2);
    CHECK(played.size() + reader.buffered() == tokens.size());
    for (std::size_t i = 0; i < played.size(); ++i) CHECK(played[i] == (i == 20 || i == 21 ? -1 : tokens[i]));
    CHECK(!heard.empty());
    bool threw = false;
    try {
        const std::vector<float> wrong(3);
        secousti::Voice bad(model, wrong);
    } catch (const secousti::Error& error) {
        threw = error.status() == SECOUSTI_INVALID_ARGUMENT;
    }
    CHECK(threw);
}

}  // namespace

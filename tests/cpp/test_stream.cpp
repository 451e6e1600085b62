// Streams through the public interface: any chunking gives the same bits, alone, beside others, copied and resumed.
#include <cstring>
#include <string>
#include <thread>

#include "allocations.h"
#include "streams.h"

using namespace streams;

namespace {

const std::vector<std::size_t> kSampleChunks =
    on_device() ? std::vector<std::size_t>{257, kRandomChunks}
                : std::vector<std::size_t>{1, 2, 3, 7, 160, 255, 256, 257, 1024, 4096, kRandomChunks};
const std::vector<std::size_t> kTokenChunks = on_device()
                                                  ? std::vector<std::size_t>{3, kRandomChunks}
                                                  : std::vector<std::size_t>{1, 2, 3, 7, 31, 64, 65, kRandomChunks};

/// Enough for rings to wrap and for steps to be split.
std::size_t samples_of(const secousti::Model& model) {
    return static_cast<std::size_t>(model.info().hop_length) * few(70, 11) + 123;
}
/// The same of tokens.
std::size_t tokens_of(std::size_t usual) { return few(usual, 9); }

std::string label(const tiny::Shape& shape, std::size_t chunk) {
    return std::string(shape.name) + ", chunks of " + (chunk == kRandomChunks ? "any size" : std::to_string(chunk));
}

/// Bit for bit; different in length or in any bit is a failure.
bool same(const Pcm& a, const Pcm& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

bool has_signal(const Pcm& pcm) {
    return std::all_of(pcm.begin(), pcm.end(), [](float v) { return std::abs(v) <= 1.0F; }) &&
           std::any_of(pcm.begin(), pcm.end(), [](float v) { return std::abs(v) > 1e-6F; });
}

}  // namespace

TEST(encoder_chunks_give_the_whole_bit_for_bit) {
    for (const tiny::Shape& shape : kShapes) {
        const auto model = open(shape);
        const Pcm pcm = random_pcm(samples_of(model));
        const Tokens whole = encode(model, pcm, pcm.size());
        const std::size_t frame = static_cast<std::size_t>(model.info().frame_size);
        const std::size_t hop = static_cast<std::size_t>(model.info().hop_length);
        CHECK(whole.size() == (pcm.size() / hop * hop + frame - 1) / frame);
        CHECK_MSG(std::any_of(whole.begin(), whole.end(), [&](auto t) { return t != whole[0]; }), shape.name);
        for (const std::size_t chunk : kSampleChunks)
            CHECK_MSG(encode(model, pcm, chunk) == whole, label(shape, chunk));
    }
}

TEST(decoder_chunks_give_the_whole_bit_for_bit) {
    for (const tiny::Shape& shape : kShapes) {
        const auto model = open(shape);
        const Tokens tokens = random_tokens(tokens_of(90), model.info().cardinality);
        const Pcm voice = random_voice(model);
        const secousti::DecoderOptions options{.seed = 7};
        const Pcm whole = decode(model, tokens, voice, tokens.size(), options);
        CHECK(whole.size() == tokens.size() * static_cast<std::size_t>(model.info().frame_size));
        CHECK_MSG(has_signal(whole), shape.name);
        for (const std::size_t chunk : kTokenChunks) {
            CHECK_MSG(same(decode(model, tokens, voice, chunk, options), whole), label(shape, chunk));
        }
    }
}

TEST(streams_equal_the_offline_stages) {
    for (const tiny::Shape& shape : kShapes) {
        const auto model = open(shape);
        const auto info = model.info();
        const Pcm pcm = random_pcm(samples_of(model));
        const Pcm mel = model.mel(pcm);
        const std::size_t frames = mel.size() / static_cast<std::size_t>(info.n_mels);
        Tokens tokens(frames);
        secousti_encode_outputs outputs{};
        outputs.struct_size = sizeof outputs;
        outputs.tokens = tokens.data();
        tokens.resize(static_cast<std::size_t>(secousti_encode_mel(model.get(), mel.data(), frames, 1, &outputs)));
        CHECK_MSG(encode(model, pcm, 500) == tokens, shape.name);

        const Pcm voice = model.voice(mel);
        const std::size_t decoded = tokens.size() * static_cast<std::size_t>(info.frame_size / info.hop_length);
        Pcm out(decoded * static_cast<std::size_t>(info.n_mels)),
            audio(decoded * static_cast<std::size_t>(info.hop_length));
        CHECK(secousti_decode_tokens(model.get(), tokens.data(), tokens.size(), voice.data(), 1, out.data(), decoded) ==
              static_cast<std::int64_t>(decoded));
        CHECK(secousti_vocode(model.get(), out.data(), decoded, nullptr, audio.data(), audio.size()) ==
              static_cast<std::int64_t>(audio.size()));
        CHECK_MSG(same(decode(model, tokens, voice, 5), audio), shape.name);
    }
}

TEST(decoders_stop_at_mel_or_start_from_it) {
    for (const tiny::Shape& shape : kShapes) {
        const auto model = open(shape);
        const auto info = model.info();
        const std::size_t count = tokens_of(30);
        const Tokens tokens = random_tokens(count, info.cardinality);
        const Pcm voice = random_voice(model);
        const std::size_t ratio = static_cast<std::size_t>(info.frame_size / info.hop_length);
        const std::size_t bands = static_cast<std::size_t>(info.n_mels);
        Pcm whole(count * ratio * bands);
        CHECK(secousti_decode_tokens(model.get(), tokens.data(), count, voice.data(), 1, whole.data(), count * ratio) ==
              static_cast<std::int64_t>(count * ratio));
        for (const std::size_t chunk : {std::size_t{1}, std::size_t{7}, count}) {
            secousti::Decoder to_mel(model, voice), from_mel(model);
            Pcm mel, pcm;
            for_each_chunk(count, chunk, [&](std::size_t begin, std::size_t size) {
                to_mel.push_to_mel(std::span(tokens).subspan(begin, size), mel);
            });
            CHECK_MSG(same(mel, whole), label(shape, chunk));
            for_each_chunk(count * ratio, chunk, [&](std::size_t begin, std::size_t size) {
                from_mel.push_from_mel(std::span(mel).subspan(begin * bands, size * bands), pcm);
            });
            from_mel.flush(pcm);
            CHECK_MSG(same(pcm, decode(model, tokens, voice, count)), label(shape, chunk));
            CHECK_THROWS(to_mel.push(tokens, pcm), secousti::Error, "reset");
            to_mel.reset();
            pcm.clear();
            to_mel.push(tokens, pcm);
            CHECK_THROWS(to_mel.push_from_mel(mel, pcm), secousti::Error, "reset");
        }
    }
}

TEST(short_inputs_stream) {
    for (const tiny::Shape& shape : kShapes) {
        const auto model = open(shape);
        const auto info = model.info();
        for (const std::size_t samples : {0, 1, 255, 256, 385, 640, 1023, 1024}) {
            const Pcm pcm = random_pcm(samples);
            const std::size_t frames = samples / static_cast<std::size_t>(info.hop_length);
            const std::size_t ratio = static_cast<std::size_t>(info.frame_size / info.hop_length);
            const Tokens whole = encode(model, pcm, std::max<std::size_t>(1, samples));
            CHECK_MSG(whole.size() == (frames + ratio - 1) / ratio, label(shape, samples));
            CHECK_MSG(encode(model, pcm, 1) == whole, label(shape, samples));
            CHECK(decode(model, whole, {}, 1).size() == whole.size() * static_cast<std::size_t>(info.frame_size));
        }
    }
}

TEST(tokens_come_when_the_stated_latency_allows) {
    for (const tiny::Shape& shape : kShapes) {
        const auto model = open(shape);
        const auto info = model.info();
        secousti::Encoder encoder(model);
        Tokens tokens;
        const Pcm pcm = random_pcm(samples_of(model));
        for (std::size_t i = 0; i < pcm.size(); ++i) {
            encoder.push({&pcm[i], 1}, tokens);
            // Token n starts at sample n*frame_size and is out once encoder_latency samples after that have come.
            const std::int64_t done = static_cast<std::int64_t>(i) + 1 - info.encoder_latency;
            const std::int64_t expected = done < 0 ? 0 : done / info.frame_size + 1;
            if (static_cast<std::int64_t>(tokens.size()) != expected) {
                CHECK_MSG(false, label(shape, i) + ": " + std::to_string(tokens.size()) + " tokens");
                break;
            }
        }
        secousti::Decoder decoder(model);
        CHECK(decoder.latency() == info.decoder_latency);
        Pcm out;
        std::int64_t pushed = 0;
        for (const std::int32_t token : random_tokens(tokens_of(40), info.cardinality)) {
            decoder.push({&token, 1}, out);
            pushed += info.frame_size;
            CHECK_MSG(static_cast<std::int64_t>(out.size()) >= pushed - decoder.latency(), shape.name);
        }
    }
}

TEST(the_look_ahead_can_be_chosen) {
    const auto model = open(tiny::kPlain);
    const Tokens tokens = random_tokens(tokens_of(20), model.info().cardinality);
    for (int look_ahead = 0; look_ahead <= 3; ++look_ahead) {
        secousti::Decoder decoder(model, {}, {.look_ahead = look_ahead});
        CHECK(decoder.latency() == look_ahead * model.info().hop_length);
        CHECK(same(decode(decoder, tokens, 3), decode(model, tokens, {}, 20, {.look_ahead = look_ahead})));
    }
}

TEST(interleaved_streams_do_not_mix) {
    for (const tiny::Shape& shape : kShapes) {
        const auto model = open(shape);
        const Pcm pcm[2] = {random_pcm(samples_of(model)), random_pcm(samples_of(model))};
        const std::size_t count = tokens_of(30);
        const Tokens tokens[2] = {random_tokens(count, model.info().cardinality),
                                  random_tokens(count, model.info().cardinality)};
        secousti::Encoder encoders[2] = {secousti::Encoder(model), secousti::Encoder(model)};
        secousti::Decoder decoders[2] = {secousti::Decoder(model), secousti::Decoder(model, {}, {.seed = 9})};
        Tokens coded[2];
        Pcm decoded[2];
        for_each_chunk(pcm[0].size(), 333, [&](std::size_t begin, std::size_t size) {
            for (int i : {0, 1}) encoders[i].push(std::span(pcm[i]).subspan(begin, size), coded[i]);
        });
        for_each_chunk(count, 4, [&](std::size_t begin, std::size_t size) {
            for (int i : {1, 0}) decoders[i].push(std::span(tokens[i]).subspan(begin, size), decoded[i]);
        });
        for (int i : {0, 1}) {
            encoders[i].flush(coded[i]);
            decoders[i].flush(decoded[i]);
            CHECK_MSG(coded[i] == encode(model, pcm[i], pcm[i].size()), shape.name);
            CHECK_MSG(same(decoded[i], decode(model, tokens[i], {}, count, {.seed = i == 0 ? 0U : 9U})), shape.name);
        }
    }
}

/// Where streams of `count` are cut in two.
static std::vector<std::size_t> cuts(std::size_t count, std::size_t few) {
    if (on_device()) return {few, count / 2};
    return {0, 1, few, count / 2, count};
}

TEST(reset_clone_and_restore_go_on_exactly) {
    for (const tiny::Shape& shape : kShapes) {
        const auto model = open(shape);
        const Pcm pcm = random_pcm(samples_of(model));
        const Tokens whole = encode(model, pcm, pcm.size());
        for (const std::size_t cut : cuts(pcm.size(), few(700, 211))) {
            secousti::Encoder first(model);
            Tokens head;
            first.push(std::span(pcm).first(cut), head);
            secousti::Encoder copy = first.clone();
            secousti::Encoder resumed = secousti::Encoder::restore(model, first.snapshot());
            first.push(random_pcm(500), head);  // must not reach the copies
            head.resize(whole.size() < head.size() ? whole.size() : head.size());
            for (secousti::Encoder* stream : {&copy, &resumed}) {
                Tokens tokens;
                secousti::Encoder(model).push(std::span(pcm).first(cut), tokens);
                stream->push(std::span(pcm).subspan(cut), tokens);
                stream->flush(tokens);
                CHECK_MSG(tokens == whole, label(shape, cut));
            }
            first.reset();
            CHECK_MSG(encode(first, pcm, 1000) == whole, label(shape, cut));
        }
    }
}

TEST(decoder_reset_clone_and_restore_go_on_exactly) {
    for (const tiny::Shape& shape : kShapes) {
        const auto model = open(shape);
        const Pcm voice = random_voice(model);
        const std::size_t count = tokens_of(40);
        const Tokens tokens = random_tokens(count, model.info().cardinality);
        const secousti::DecoderOptions options{.look_ahead = std::string(shape.vocoder) == "hift" ? -1 : 2, .seed = 3};
        const Pcm whole = decode(model, tokens, voice, count, options);
        for (const std::size_t cut : cuts(count, 2)) {
            secousti::Decoder first(model, voice, options);
            Pcm head, other;
            first.push(std::span(tokens).first(cut), head);
            secousti::Decoder copy = first.clone();
            secousti::Decoder resumed = secousti::Decoder::restore(model, first.snapshot());
            CHECK(resumed.latency() == first.latency());
            first.push(std::span(tokens).first(3), other);  // must not reach the copies
            for (secousti::Decoder* stream : {&copy, &resumed}) {
                Pcm pcm = head;
                stream->push(std::span(tokens).subspan(cut), pcm);
                stream->flush(pcm);
                CHECK_MSG(same(pcm, whole), label(shape, cut));
            }
            first.reset();
            CHECK_MSG(same(decode(first, tokens, 6), whole), label(shape, cut));
        }
    }
}

TEST(a_new_voice_takes_effect_at_the_next_token) {
    const auto model = open(tiny::kHalved);
    const std::size_t count = tokens_of(30);
    const Tokens tokens = random_tokens(count, model.info().cardinality);
    const Pcm voice = random_voice(model), other = random_voice(model);
    const Pcm unchanged = decode(model, tokens, voice, count);
    secousti::Decoder decoder(model, voice);
    Pcm pcm;
    decoder.push(std::span(tokens).first(count / 2), pcm);
    const std::size_t before = pcm.size();
    decoder.set_voice(other);
    decoder.push(std::span(tokens).subspan(count / 2), pcm);
    decoder.flush(pcm);
    CHECK(std::equal(pcm.begin(), pcm.begin() + static_cast<std::ptrdiff_t>(before), unchanged.begin()));
    CHECK(!same(pcm, unchanged));
    Pcm read(other.size());
    CHECK(secousti_decoder_get_voice(decoder.get(), read.data(), read.size()) == SECOUSTI_OK);
    CHECK(read == other);
    decoder.reset();  // keeps the voice in use
    CHECK(same(decode(decoder, tokens, count), decode(model, tokens, other, count)));
}

TEST(damaged_snapshots_are_refused) {
    const auto model = open(tiny::kOdd), other = open(tiny::kPlain);
    secousti::Encoder encoder(model);
    secousti::Decoder decoder(model);
    Tokens tokens;
    Pcm pcm;
    encoder.push(random_pcm(1000), tokens);
    decoder.push(tokens, pcm);
    const auto restores = [&](const secousti::Model& with, const std::vector<std::byte>& bytes) {
        secousti_encoder* handle = nullptr;
        const secousti_status status =
            secousti_encoder_restore(with.get(), bytes.data(), bytes.size(), nullptr, &handle);
        CHECK((status == SECOUSTI_OK) == (handle != nullptr));
        secousti_encoder_destroy(handle);
        return status;
    };
    const std::vector<std::byte> snapshot = encoder.snapshot();
    CHECK(restores(model, snapshot) == SECOUSTI_OK);
    for (int trial = 0; trial < static_cast<int>(few(300, 20)); ++trial) {
        std::vector<std::byte> bytes = snapshot;
        const std::size_t bit = std::uniform_int_distribution<std::size_t>(
            0, (trial % 3 == 0 ? 40 : bytes.size()) * 8 - 1)(check::random());
        bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        CHECK_MSG(restores(model, bytes) != SECOUSTI_OK, "bit " + std::to_string(bit));
    }
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{32}, snapshot.size() - 1}) {
        std::vector<std::byte> bytes(snapshot.begin(), snapshot.begin() + static_cast<std::ptrdiff_t>(size));
        bytes.reserve(1);  // so that data() is not null
        CHECK_MSG(restores(model, bytes) == SECOUSTI_INVALID_FILE, std::to_string(size) + " bytes");
    }
    std::vector<std::byte> longer = snapshot;
    longer.push_back({});
    CHECK(restores(model, longer) == SECOUSTI_INVALID_FILE);
    CHECK(restores(other, snapshot) == SECOUSTI_INCOMPATIBLE);
    CHECK(restores(model, decoder.snapshot()) == SECOUSTI_INCOMPATIBLE);
    CHECK_THROWS(secousti::Decoder::restore(model, snapshot), secousti::Error, "taken from an encoder");
}

TEST(threads_share_a_model) {
    for (const tiny::Shape& shape : {tiny::kOdd, tiny::kHift}) {
        const auto model = open(shape);
        const Pcm pcm = random_pcm(samples_of(model));
        const Tokens expected = encode(model, pcm, pcm.size());
        const Pcm voice = random_voice(model);
        const Pcm audio = decode(model, expected, voice, expected.size());
        std::vector<std::thread> threads;
        std::vector<int> wrong(few(8, 2), 0);
        for (std::size_t t = 0; t < wrong.size(); ++t) {
            threads.emplace_back([&, t] {
                for (int i = 0; i < static_cast<int>(few(2, 1)); ++i) {
                    if (encode(model, pcm, few(100, 400) + t) != expected) ++wrong[t];
                    if (!same(decode(model, expected, voice, 1 + t), audio)) ++wrong[t];
                }
            });
        }
        for (std::thread& thread : threads) thread.join();
        for (const int count : wrong) CHECK_MSG(count == 0, shape.name);
    }
}

TEST(more_threads_give_the_same_bits) {
    const auto model = open({.name = "wide", .n_filters = 32, .dimension = 192, .head_dim = 48, .feedforward = 500});
    const Pcm pcm = random_pcm(samples_of(model));
    const Tokens tokens = encode(model, pcm, 5000);
    CHECK(encode(model, pcm, 5000, 2) == tokens);
    CHECK(encode(model, pcm, 300, 3) == tokens);
    CHECK(same(decode(model, tokens, {}, 20, {.threads = 2}), decode(model, tokens, {}, 20)));
}

TEST(steps_do_not_allocate) {
    if (on_device()) return;  // a promise of the CPU
    const std::uint64_t start = allocations::count();
    const auto probe = std::make_unique<int>(1);
    CHECK(allocations::count() == start + 1);
    for (const tiny::Shape& shape : kShapes) {
        const auto model = open(shape);
        for (const int threads : {1, 2}) {
            secousti::Encoder encoder(model, threads);
            secousti::Decoder decoder(model, {}, {.threads = threads});
            const Pcm pcm = random_pcm(samples_of(model));
            Tokens tokens(encoder.max_tokens(pcm.size()));
            const Tokens coded = random_tokens(50, model.info().cardinality);
            Pcm out(decoder.max_samples(coded.size()));
            const std::uint64_t before = allocations::count();
            for (int round = 0; round < 2; ++round) {
                std::size_t count = 0, samples = 0;
                for (std::size_t at = 0; at < pcm.size(); at += 1000) {
                    const std::size_t size = std::min<std::size_t>(1000, pcm.size() - at);
                    count += encoder.push(std::span(pcm).subspan(at, size), std::span(tokens).subspan(count));
                }
                encoder.flush(std::span(tokens).subspan(count));
                for (const std::int32_t& token : coded) {
                    samples += decoder.push({&token, 1}, std::span(out).subspan(samples));
                }
                decoder.flush(std::span(out).subspan(samples));
                encoder.reset();
                decoder.reset();
            }
            CHECK_MSG(allocations::count() == before, std::string(shape.name) + ", threads " + std::to_string(threads));
        }
    }
}

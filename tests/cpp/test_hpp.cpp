// The header-only C++ interface: ownership, exceptions, both kinds of output.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <type_traits>
#include <utility>

#include "streams.h"

using namespace streams;

static_assert(std::is_copy_constructible_v<secousti::Model>);
static_assert(!std::is_copy_constructible_v<secousti::Encoder> &&
              std::is_nothrow_move_constructible_v<secousti::Encoder>);
static_assert(!std::is_copy_constructible_v<secousti::Decoder> && std::is_nothrow_move_assignable_v<secousti::Decoder>);

namespace {

secousti_status status_of(const auto& call) {
    try {
        call();
    } catch (const secousti::Error& error) {
        CHECK(std::string(error.what()) == secousti_last_error());
        return error.status();
    }
    return SECOUSTI_OK;
}

}  // namespace

TEST(hpp_streams_keep_their_model_alive) {
    const Pcm pcm = random_pcm(6000);
    std::vector<secousti::Encoder> encoders;
    Tokens expected;
    {
        const auto model = open(tiny::kPlain);
        expected = encode(model, pcm, 6000);
        encoders.emplace_back(model);
    }
    secousti::Encoder moved = std::move(encoders.front());
    encoders.clear();
    CHECK(encode(moved, pcm, 123) == expected);
}

TEST(hpp_opens_files) {
    const auto path =
        std::filesystem::temp_directory_path() / ("secousti-hpp-" + std::to_string(check::random()()) + ".safetensors");
    const std::vector<std::byte> bytes = tiny::model_bytes();
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    const auto model = secousti::Model::from_file(path.string());
    std::filesystem::remove(path);
    const auto info = model.info(), same = open(tiny::kPlain).info();
    CHECK(info.identity == same.identity && info.parameters == same.parameters);
    CHECK(std::string(info.name) == "tiny" && std::string(info.vocoder) == "spectral");
    CHECK(info.frame_size == 256 && info.sample_rate == 22050 && info.cardinality == 81 && info.fsq_dimensions == 4);
    CHECK_CLOSE(info.frame_rate, 22050.0 / 256.0, 1e-9);
    CHECK_THROWS(secousti::Model::from_file(path.string()), secousti::Error, path.filename().string());
    CHECK(status_of([&] { secousti::Model::from_file(path.string()); }) == SECOUSTI_IO_ERROR);
    CHECK(status_of([] { secousti::Model::from_memory({}); }) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(status_of([&] { secousti::Model::from_memory(std::span(bytes).first(bytes.size() - 4)); }) ==
          SECOUSTI_INVALID_FILE);
    CHECK_THROWS(secousti::Model::from_memory(bytes, "mmx"), secousti::Error, "mmx");
}

TEST(hpp_spans_and_vectors_agree) {
    const auto model = open(tiny::kHalved);
    const Pcm pcm = random_pcm(9000), voice = random_voice(model);
    const Tokens expected = encode(model, pcm, 777);

    secousti::Encoder encoder(model);
    Tokens tokens(encoder.max_tokens(pcm.size()), -1);
    std::size_t count = encoder.push(pcm, std::span(tokens));
    count += encoder.flush(std::span(tokens).subspan(count));
    CHECK(count == tokens.size() && tokens == expected);

    secousti::Decoder decoder(model, voice);
    Pcm out(decoder.max_samples(tokens.size()), NAN);
    std::size_t samples = decoder.push(tokens, std::span(out));
    CHECK(samples > 0);
    samples += decoder.flush(std::span(out).subspan(samples));
    CHECK(samples == out.size() && out == decode(model, tokens, voice, 2));

    Pcm appended = {1.0F, 2.0F};  // what is there stays
    secousti::Decoder(model, voice).push(std::span(tokens).first(3), appended);
    CHECK(appended.size() > 2 && appended[0] == 1.0F && appended[1] == 2.0F && appended[2] == out[0]);
}

TEST(hpp_failures_leave_the_vector_alone) {
    const auto model = open(tiny::kPlain);
    secousti::Encoder encoder(model);
    Tokens tokens = {5};
    Pcm bad = random_pcm(3000);
    bad[2000] = NAN;
    CHECK(status_of([&] { encoder.push(bad, tokens); }) == SECOUSTI_INVALID_ARGUMENT);
    CHECK_THROWS(encoder.push(bad, tokens), secousti::Error, "pcm[2000]");
    CHECK(tokens == Tokens{5});
    secousti::Decoder decoder(model);
    Pcm out;
    CHECK_THROWS(decoder.push(Tokens{0, 81}, out), secousti::Error, "tokens[1] is 81, expected 0 to 80");
    CHECK(out.empty());
    decoder.flush(out);
    CHECK(status_of([&] { decoder.push(Tokens{0}, out); }) == SECOUSTI_INVALID_STATE);
    CHECK_THROWS(secousti::Decoder(model, Pcm(5)), secousti::Error, "voice has 5 values, expected 24");
    CHECK_THROWS(decoder.set_voice(Pcm(25)), secousti::Error, "voice has 25 values, expected 24");
    CHECK_THROWS(model.voice(Pcm(21)), secousti::Error, "mel has 21 values, expected a multiple of 20");
    CHECK_THROWS(model.voice({}), secousti::Error, "no frames");
    CHECK_THROWS(secousti::Encoder(model, 0), secousti::Error, "threads is 0");
    CHECK_THROWS(secousti::Decoder(model, {}, {.look_ahead = 4}), secousti::Error, "4");
    secousti::Decoder silent(open(tiny::kSilent));
    CHECK(status_of([&] { silent.push(Tokens{0}, out); }) == SECOUSTI_UNSUPPORTED);
    CHECK_THROWS(silent.push_from_mel(Pcm(19), out), secousti::Error, "mel has 19 values, expected a multiple of 20");
}

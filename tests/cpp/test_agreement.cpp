// What every instruction set must agree on, and positions far into a stream.
#include <cmath>
#include <cstring>
#include <string>

#include "base/arena.h"
#include "kernels/backend.h"
#include "layers/transformer.h"
#include "streams.h"

using namespace streams;

namespace {

/// Largest difference over the range of `b`; infinite if the sizes differ or anything is NaN.
double difference(const Pcm& a, const Pcm& b) {
    if (a.size() != b.size() || a.empty()) return INFINITY;
    double worst = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        if (!(d <= worst)) worst = d == d ? d : INFINITY;
    }
    const auto [low, high] = std::minmax_element(b.begin(), b.end());
    return worst / (*high - *low);
}

struct Stages {
    Pcm mel, encoded, acoustic, mu, fsq, voice, decoded, from_acoustic;
    Tokens tokens;
};

Stages run(const tiny::Shape& shape, const char* isa, const Pcm& pcm) {
    const auto model = open(shape, isa);
    const auto info = model.info();
    CHECK_MSG(std::string(info.isa) == isa, info.isa);
    Stages s;
    s.mel = model.mel(pcm);
    const std::size_t bands = static_cast<std::size_t>(info.n_mels), frames = s.mel.size() / bands;
    const std::size_t ratio = static_cast<std::size_t>(info.frame_size / info.hop_length);
    const std::size_t count = (frames + ratio - 1) / ratio, dimension = static_cast<std::size_t>(info.dimension);
    s.tokens.resize(count);
    s.encoded.resize(count * dimension);
    s.mu.resize(count * dimension);
    s.acoustic.resize(info.has_acoustic_branch ? count * dimension : 0);
    s.fsq.resize(count * static_cast<std::size_t>(info.fsq_dimensions));
    secousti_encode_outputs outputs{sizeof outputs, s.encoded.data(), s.acoustic.empty() ? nullptr : s.acoustic.data(),
                                    s.mu.data(),    s.fsq.data(),     s.tokens.data()};
    CHECK(secousti_encode_mel(model.get(), s.mel.data(), frames, 1, &outputs) == static_cast<std::int64_t>(count));
    s.voice = model.voice(s.mel);

    // Fixed tokens and embedding, so that a code that rounds the other way does not spread.
    Tokens tokens(count);
    Pcm embedding(count * dimension);
    for (std::size_t i = 0; i < count; ++i)
        tokens[i] = static_cast<std::int32_t>(i * 37 % static_cast<std::size_t>(info.cardinality));
    for (std::size_t i = 0; i < embedding.size(); ++i) embedding[i] = std::sin(0.37F * static_cast<float>(i));
    s.decoded.resize(count * ratio * bands);
    s.from_acoustic.resize(s.decoded.size());
    CHECK(secousti_decode_tokens(model.get(), tokens.data(), count, embedding.data(), 1, s.decoded.data(),
                                 count * ratio) == static_cast<std::int64_t>(count * ratio));
    CHECK(secousti_decode_acoustic(model.get(), embedding.data(), count, 1, s.from_acoustic.data(), count * ratio) ==
          static_cast<std::int64_t>(count * ratio));
    return s;
}

}  // namespace

TEST(every_isa_agrees_on_every_stage) {
    for (const tiny::Shape& shape : {tiny::kPlain, tiny::kHalved, tiny::kOdd}) {
        const Pcm pcm = random_pcm(static_cast<std::size_t>(shape.hop_length) * 50);
        const Stages expected = run(shape, "scalar", pcm);
        for (const secousti::core::Backend* backend : secousti::core::available_backends()) {
            const Stages actual = run(shape, backend->name, pcm);
            const auto compare = [&](const Pcm Stages::* stage, const char* name) {
                if ((expected.*stage).empty()) return;
                const double error = difference(actual.*stage, expected.*stage);
                CHECK_MSG(error <= 2e-5, std::string(shape.name) + ", " + backend->name + ", " + name + ": " +
                                             std::to_string(error) + " of the range");
            };
            compare(&Stages::mel, "mel");
            compare(&Stages::encoded, "encoder");
            compare(&Stages::acoustic, "acoustic");
            compare(&Stages::mu, "semantic mu");
            compare(&Stages::fsq, "fsq input");
            compare(&Stages::voice, "voice");
            compare(&Stages::decoded, "decoded tokens");
            compare(&Stages::from_acoustic, "decoded embedding");
            CHECK(actual.tokens.size() == expected.tokens.size());
            std::size_t different = 0;
            for (std::size_t i = 0; i < actual.tokens.size(); ++i) different += actual.tokens[i] != expected.tokens[i];
            CHECK_MSG(different * 20 <= actual.tokens.size(), std::string(backend->name) + ": tokens differ");
        }
    }
}

TEST(hift_agrees_on_every_isa_with_and_without_noise) {
    const Tokens tokens = random_tokens(12, open(tiny::kHift).info().cardinality);
    for (const bool noise : {false, true}) {
        const secousti::DecoderOptions options{.noise = noise, .seed = 5};
        const Pcm expected = decode(open(tiny::kHift, "scalar"), tokens, {}, 12, options);
        for (const secousti::core::Backend* backend : secousti::core::available_backends()) {
            const Pcm actual = decode(open(tiny::kHift, backend->name), tokens, {}, 12, options);
            CHECK_MSG(difference(actual, expected) <= 1e-3,
                      std::string(backend->name) + ": " + std::to_string(difference(actual, expected)));
        }
    }
}

TEST(a_transformer_at_position_two_to_the_31_equals_position_zero) {
    using namespace secousti::core;
    const std::vector<std::byte> bytes = tiny::model_bytes(tiny::kOdd);
    const SafetensorsFile file = SafetensorsFile::from_memory(bytes);
    const WeightMap weights(file);
    const Config config = Config::parse(file.metadata("config"), "tiny");
    for (const Backend* backend : available_backends()) {
        const Exec exec{backend, nullptr};
        ArenaLayout state_layout, scratch_layout;
        constexpr int kRows = 4;
        const Transformer transformer(*backend, config.decoder_transformer(), weights, kRows, state_layout,
                                      scratch_layout);
        const Pcm input = check::uniform_vector(static_cast<std::size_t>(kRows * 6 * config.dimension));
        const auto run_from = [&](std::uint64_t position) {
            Arena state(state_layout.bytes()), scratch(scratch_layout.bytes());
            transformer.seek(state.data(), position);
            Pcm x = input;  // six pushes: the ring wraps several times
            for (int i = 0; i < 6; ++i) {
                transformer.push(exec, state.data(), scratch.data(), x.data() + i * kRows * config.dimension, kRows);
            }
            return x;
        };
        const Pcm expected = run_from(0);
        CHECK(difference(expected, input) > 0.01);
        for (const std::uint64_t position :
             {std::uint64_t{1} << 31, (std::uint64_t{1} << 32) - 3, std::uint64_t{1} << 45}) {
            const double error = difference(run_from(position), expected);
            CHECK_MSG(error <= 1e-6,
                      std::string(backend->name) + " at " + std::to_string(position) + ": " + std::to_string(error));
        }
    }
}

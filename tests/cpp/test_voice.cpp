// The voice vector of a live call.
#include <cmath>
#include <cstdint>
#include <vector>

#include "secousti_live.h"
#include "streams.h"

namespace {

using streams::Pcm;

struct Voice {
    secousti_voice_estimator* handle = nullptr;
    Voice(const secousti::Model& model, const secousti_voice_estimator_options* options) {
        CHECK(secousti_voice_estimator_create(model.get(), options, &handle) == SECOUSTI_OK);
    }
    ~Voice() { secousti_voice_estimator_destroy(handle); }
    Voice(const Voice&) = delete;
    Voice& operator=(const Voice&) = delete;

    std::int64_t push(const Pcm& pcm) { return secousti_voice_estimator_push(handle, pcm.data(), pcm.size()); }
    std::vector<float> get(std::size_t dimension) const {
        std::vector<float> g(dimension);
        CHECK(secousti_voice_estimator_get(handle, g.data(), g.size()) == SECOUSTI_OK);
        return g;
    }
};

TEST(voice_is_the_prompt_encoder_s_once_a_prompt_was_heard) {
    const auto model = streams::open(tiny::kPlain);  // prompts of 30 frames
    const auto info = model.info();
    const std::size_t dimension = static_cast<std::size_t>(info.dimension),
                      hop = static_cast<std::size_t>(info.hop_length);
    const Pcm pcm = streams::random_pcm(40 * hop);
    Voice voice(model, nullptr);
    CHECK((voice.get(dimension) == std::vector<float>(dimension)));
    std::vector<std::size_t> renewed;
    for (std::size_t t = 0; t < 40; ++t) {
        const auto result = secousti_voice_estimator_push(voice.handle, pcm.data() + t * hop, hop);
        CHECK(result >= 0);
        if (result > 0)
            renewed.push_back(static_cast<std::size_t>(
                std::lround(secousti_voice_estimator_seconds(voice.handle) * info.sample_rate / info.hop_length)));
    }
    CHECK((renewed == std::vector<std::size_t>{5, 10, 20, 30}));
    const std::vector<float> mel = model.mel(pcm);
    const std::size_t values = 30 * static_cast<std::size_t>(info.n_mels);
    CHECK_VECTORS_CLOSE(voice.get(dimension), model.voice(std::span(mel).first(values)), 1e-6, 1e-5, "G");
}

TEST(voice_does_not_depend_on_the_chunking) {
    const auto model = streams::open(tiny::kPlain);
    const std::size_t dimension = static_cast<std::size_t>(model.info().dimension);
    const Pcm pcm = streams::random_pcm(60'000);
    Voice whole(model, nullptr), parts(model, nullptr);
    CHECK(whole.push(pcm) == 1);
    streams::for_each_chunk(pcm.size(), streams::kRandomChunks, [&](std::size_t begin, std::size_t size) {
        CHECK(secousti_voice_estimator_push(parts.handle, pcm.data() + begin, size) >= 0);
    });
    CHECK(whole.get(dimension) == parts.get(dimension));
}

TEST(voice_learns_nothing_from_silence) {
    const auto model = streams::open(tiny::kPlain);
    Voice voice(model, nullptr);
    CHECK(voice.push(Pcm(50'000)) == 0);
    CHECK(secousti_voice_estimator_seconds(voice.handle) == 0.0);
    CHECK(voice.push(streams::random_pcm(20'000)) == 1);
    const double heard = secousti_voice_estimator_seconds(voice.handle);
    CHECK(heard > 0.8);
    voice.push(Pcm(50'000));
    CHECK(secousti_voice_estimator_seconds(voice.handle) < heard + 0.4);  // the hang-over
}

TEST(voice_weighs_a_stored_one_against_what_it_hears) {
    const auto model = streams::open(tiny::kPlain);
    const auto info = model.info();
    const std::size_t dimension = static_cast<std::size_t>(info.dimension);
    const std::vector<float> stored = check::uniform_vector(dimension);
    const Pcm pcm = streams::random_pcm(31 * static_cast<std::size_t>(info.hop_length) + 1024);
    Voice fresh(model, nullptr);
    fresh.push(pcm);
    const std::vector<float> heard = fresh.get(dimension);
    secousti_voice_estimator_options options;
    secousti_voice_estimator_options_init(&options);
    options.voice = stored.data();
    options.stored_seconds = static_cast<float>(30.0 * info.hop_length / info.sample_rate);  // as much as one prompt
    Voice known(model, &options);
    CHECK(known.get(dimension) == stored);
    known.push(pcm);
    std::vector<float> expected(dimension);
    for (std::size_t i = 0; i < dimension; ++i) expected[i] = 0.5F * (stored[i] + heard[i]);
    CHECK_VECTORS_CLOSE(known.get(dimension), expected, 1e-6, 1e-5, "the mean of both");
}

TEST(voice_refuses_what_makes_no_sense) {
    const auto model = streams::open(tiny::kPlain);
    secousti_voice_estimator_options options;
    secousti_voice_estimator_options_init(&options);
    secousti_voice_estimator* voice = nullptr;
    for (const float seconds : {-1.0F, std::nanf(""), 1e9F}) {
        options.stored_seconds = seconds;
        CHECK(secousti_voice_estimator_create(model.get(), &options, &voice) == SECOUSTI_INVALID_ARGUMENT);
        CHECK(voice == nullptr);
    }
    Voice good(model, nullptr);
    const float nan = std::nanf("");
    CHECK(secousti_voice_estimator_push(good.handle, &nan, 1) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(secousti_voice_estimator_push(good.handle, nullptr, 1) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(secousti_voice_estimator_get(good.handle, nullptr, 24) == SECOUSTI_INVALID_ARGUMENT);
    float g = 0.0F;
    CHECK(secousti_voice_estimator_get(good.handle, &g, 1) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(secousti_voice_estimator_push(nullptr, &g, 1) == SECOUSTI_INVALID_ARGUMENT);
}

}  // namespace

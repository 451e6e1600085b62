// Lost tokens: what the decoder does without them.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "allocations.h"
#include "streams.h"

namespace {

using streams::Pcm;
using streams::Tokens;

double level(const Pcm& pcm, std::size_t begin, std::size_t count) {
    double sum = 0.0;
    for (std::size_t i = begin; i < begin + count; ++i) sum += std::pow(static_cast<double>(pcm[i]), 2.0);
    return std::sqrt(sum / static_cast<double>(count));
}

TEST(concealment_gives_frame_size_samples_a_token_whatever_the_chunking) {
    for (const auto& shape : streams::kShapes) {
        const auto model = streams::open(shape);
        const auto info = model.info();
        const std::vector<float> voice = check::uniform_vector(static_cast<std::size_t>(info.dimension));
        const Tokens tokens = streams::random_tokens(30, info.cardinality);
        Pcm whole, single;
        secousti::Decoder a(model, voice), b(model, voice);
        a.push(std::span(tokens).first(10), whole);
        a.conceal(150, whole);
        a.push(std::span(tokens).subspan(10), whole);
        a.flush(whole);
        for (std::size_t i = 0; i < 10; ++i) b.push(std::span(tokens).subspan(i, 1), single);
        for (int i = 0; i < 150; ++i) b.conceal(1, single);
        for (std::size_t i = 10; i < 30; ++i) b.push(std::span(tokens).subspan(i, 1), single);
        b.flush(single);
        CHECK(whole.size() == 180 * static_cast<std::size_t>(info.frame_size));
        CHECK(whole == single);
    }
}

TEST(concealment_goes_on_with_the_mel_then_fades_to_the_noise_floor) {
    const auto model = streams::open(tiny::kPlain);
    const auto info = model.info();
    const std::size_t bands = static_cast<std::size_t>(info.n_mels);
    secousti::Decoder decoder(model);
    const Tokens tokens = streams::random_tokens(40, info.cardinality);
    std::vector<float> heard, lost(100 * bands);
    decoder.push_to_mel(tokens, heard);
    CHECK(secousti_decoder_push_to_mel(decoder.get(), nullptr, 100, lost.data(), 100) == 100);
    // The floor is nowhere above what was heard, and the end of the fade nowhere above the prediction.
    for (std::size_t m = 0; m < bands; ++m) {
        float loudest = heard[m];
        for (std::size_t t = 0; t < 40; ++t) loudest = std::max(loudest, heard[t * bands + m]);
        CHECK(lost[99 * bands + m] <= loudest);
        for (std::size_t t = 60; t < 100; ++t) CHECK(lost[t * bands + m] <= lost[20 * bands + m] + 10.0F);
    }
    bool finite = true;
    for (const float value : lost) finite = finite && std::isfinite(value);
    CHECK(finite);
}

TEST(concealment_before_the_first_token_is_silence) {
    const auto model = streams::open(tiny::kPlain);
    secousti::Decoder decoder(model);
    Pcm pcm;
    decoder.conceal(30, pcm);
    decoder.flush(pcm);
    CHECK(pcm.size() == 30 * static_cast<std::size_t>(model.info().frame_size));
    CHECK(level(pcm, 0, pcm.size()) < 1e-3);
}

TEST(concealment_allocates_nothing_and_is_part_of_snapshots) {
    const auto model = streams::open(tiny::kHalved);
    const auto info = model.info();
    secousti::Decoder decoder(model);
    const Tokens tokens = streams::random_tokens(20, info.cardinality);
    Pcm pcm;
    decoder.push(tokens, pcm);
    decoder.conceal(3, pcm);
    secousti::Decoder copy = secousti::Decoder::restore(model, decoder.snapshot());
    Pcm out(decoder.max_samples(40)), other(out.size());
    const std::uint64_t before = allocations::count();
    const std::size_t written = decoder.conceal(20, std::span<float>(out));
    CHECK(allocations::count() == before);
    CHECK(copy.conceal(20, std::span<float>(other)) == written);
    CHECK(out == other);
}

TEST(concealment_recovers) {
    // Past the transformers' context and the convolutions' memory, a stream with a loss is the stream without it.
    const auto model = streams::open(tiny::kPlain);
    const auto info = model.info();
    const std::size_t bands = static_cast<std::size_t>(info.n_mels);
    const Tokens tokens = streams::random_tokens(120, info.cardinality);
    secousti::Decoder clean(model), hurt(model);
    std::vector<float> a, b;
    clean.push_to_mel(tokens, a);
    hurt.push_to_mel(std::span(tokens).first(20), b);
    std::vector<float> lost(4 * bands);
    CHECK(secousti_decoder_push_to_mel(hurt.get(), nullptr, 4, lost.data(), 4) == 4);
    b.insert(b.end(), lost.begin(), lost.end());
    hurt.push_to_mel(std::span(tokens).subspan(24), b);
    CHECK(a.size() == b.size());
    double during = 0.0, after = 0.0;
    for (std::size_t i = 20 * bands; i < 24 * bands; ++i) during += std::abs(static_cast<double>(a[i] - b[i]));
    for (std::size_t i = 100 * bands; i < 104 * bands; ++i) after += std::abs(static_cast<double>(a[i] - b[i]));
    CHECK(during > 0.0);
    CHECK(after < 0.01 * during);
}

}  // namespace

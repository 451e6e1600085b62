// HiFT: the stream against its offline definition in double precision, in every chunking; its look-ahead; its source.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <numbers>
#include <string>
#include <vector>

#include "allocations.h"
#include "base/error.h"
#include "check.h"
#include "hift_models.h"
#include "models/hift/hift.h"
#include "models/hift/source.h"
#include "models/limits.h"
#include "models/vocoder.h"
#include "tiny_model.h"

namespace {

using namespace secousti::core;
using hift_models::other_config;
using hift_models::published_config;
using hift_models::small_config;
using hift_naive::Naive;

Config at(Precision precision, Config config) {
    config.precision = precision;
    return config;
}

struct Fixture : hift_models::RandomModel {
    explicit Fixture(Config c) : RandomModel(std::move(c)), vocoder(make_hift(backend, config, WeightMap(*file))) {}

    const Backend& backend = default_backend();
    std::unique_ptr<Vocoder> vocoder;
};

struct Stream {
    explicit Stream(const Fixture& f, const VocoderOptions& options = {})
        : fixture(&f), state(f.vocoder->state_bytes()), scratch(f.vocoder->scratch_bytes()) {
        f.vocoder->start(state.data(), options);
        std::memset(scratch.data(), 0x7F, scratch.bytes());  // whatever it holds must not matter
    }

    int push(const float* mel, int frames) {
        const std::size_t before = pcm.size();
        pcm.resize(before + fixture->vocoder->max_samples(frames));
        const int count = fixture->vocoder->push({&fixture->backend, nullptr}, state.data(), scratch.data(), mel,
                                                 frames, pcm.data() + before);
        pcm.resize(before + static_cast<std::size_t>(count));
        return count;
    }
    int finish() {
        const std::size_t before = pcm.size();
        pcm.resize(before + fixture->vocoder->max_samples(0));
        const int count =
            fixture->vocoder->finish({&fixture->backend, nullptr}, state.data(), scratch.data(), pcm.data() + before);
        pcm.resize(before + static_cast<std::size_t>(count));
        return count;
    }

    const Fixture* fixture;
    Arena state, scratch;
    std::vector<float> pcm;
};

constexpr int kRandomChunk = 0;

std::vector<float> vocode(const Fixture& f, const std::vector<float>& mel, int chunk,
                          const VocoderOptions& options = {}) {
    Stream stream(f, options);
    const int frames = static_cast<int>(mel.size()) / f.config.n_mels;
    for (int begin = 0; begin < frames;) {
        const int wish = chunk != kRandomChunk ? chunk : std::uniform_int_distribution<int>(0, 20)(check::random());
        const int count = std::min({wish, frames - begin, kMaxFrames});
        stream.push(mel.data() + begin * f.config.n_mels, count);
        begin += count;
    }
    stream.finish();
    return stream.pcm;
}

void check_against_definition(const Fixture& f, int frames, const VocoderOptions& options) {
    const std::vector<float> mel = f.random_mel(frames);
    const Naive naive(f.config, f.weights);
    const std::vector<double> f0 = naive.f0(f.signal(mel));
    // The limit of 10 Hz is a jump that rounding may cross.
    if (std::any_of(f0.begin(), f0.end(), [](double hz) { return std::abs(hz - 10.0) < 1e-3; })) return;
    const std::vector<double> expected = naive.wave(f.signal(mel), naive.source(f0, options.noise, options.seed));
    const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
    const double range = *high - *low;
    CHECK(range > 0.01);
    CHECK_VECTORS_CLOSE(vocode(f, mel, kRandomChunk, options), expected, 1e-4 * range, 0.0,
                        std::to_string(frames) + " frames");
}

}  // namespace

TEST(hift_equals_its_definition) {
    for (const Config& config : {small_config(), other_config()}) {
        const Fixture f(config);
        for (const int frames : {1, 2, 3, 40}) {
            check_against_definition(f, frames, {.noise = false});
            check_against_definition(f, frames, {.noise = true, .seed = 0x123456789ABCDEFU});
        }
    }
    const Fixture f(published_config(4));
    for (const int frames : {1, 25}) check_against_definition(f, frames, {.noise = true, .seed = 7});
}

TEST(hift_is_the_same_in_any_chunking) {
    for (const Config& config : {small_config(), other_config(), published_config(4),
                                 at(Precision::bf16, small_config()), at(Precision::int8, published_config(4))}) {
        const Fixture f(config);
        for (const int frames : {1, 2, 3, 9, 70}) {
            const std::vector<float> mel = f.random_mel(frames);
            const std::vector<float> whole = vocode(f, mel, kMaxFrames);
            CHECK(whole.size() == static_cast<std::size_t>(frames * f.config.hop_length));
            for (const int chunk : {1, 2, 3, 7, 16, kRandomChunk}) CHECK(vocode(f, mel, chunk) == whole);
        }
    }
}

TEST(hift_look_ahead_is_the_smallest) {
    for (const Config& config : {small_config(), other_config(), published_config(4)}) {
        const Fixture f(config);
        const int hop = f.config.hop_length, latency = f.vocoder->latency(-1);
        const int ahead = f.vocoder->default_look_ahead();
        CHECK(ahead == (hop - 1 + latency) / hop);
        CHECK(f.vocoder->accepts_look_ahead(ahead));
        CHECK(!f.vocoder->accepts_look_ahead(ahead - 1) && !f.vocoder->accepts_look_ahead(ahead + 1));

        // By definition: the first sample that frame j changes is the first that frame j could still change in the
        // stream, which has by then given out every sample before.
        const int frames = ahead + 6;
        std::vector<float> mel = f.random_mel(frames);
        const Naive naive(f.config, f.weights);
        for (const int j : {ahead + 1, ahead + 3}) {
            hift_naive::Signal marked = f.signal(mel);
            marked(j, 0) = std::numeric_limits<double>::quiet_NaN();
            const std::vector<double> wave = naive.wave(marked, naive.source(naive.f0(marked), false, 0));
            const auto first = std::find_if(wave.begin(), wave.end(), [](double v) { return std::isnan(v); });
            CHECK(first - wave.begin() == hop * j - latency);
        }
        Stream stream(f);
        for (int t = 1; t <= frames; ++t) {
            stream.push(mel.data() + (t - 1) * f.config.n_mels, 1);
            CHECK(static_cast<int>(stream.pcm.size()) == std::max(0, hop * t - latency));
        }
        stream.finish();
        CHECK(static_cast<int>(stream.pcm.size()) == hop * frames);
    }
    const Fixture f(published_config(4));
    CHECK(f.vocoder->latency(-1) == 4655);
    CHECK(f.vocoder->default_look_ahead() == 19);
}

TEST(hift_state_is_its_bytes) {
    const Fixture f(small_config());
    const int n = f.config.n_mels;
    const std::vector<float> mel = f.random_mel(60), other = f.random_mel(60);
    const std::vector<float> whole = vocode(f, mel, 5);
    Stream stream(f), neighbour(f, {.seed = 9});
    for (int t = 0; t < 33; t += 3) {
        stream.push(mel.data() + t * n, 3);
        neighbour.push(other.data() + t * n, 3);
    }
    Stream restored(f);
    std::memcpy(restored.state.data(), stream.state.data(), stream.state.bytes());
    restored.pcm = stream.pcm;
    for (Stream* s : {&stream, &restored}) {
        for (int t = 33; t < 60; ++t) s->push(mel.data() + t * n, 1);
        s->finish();
        CHECK(s->pcm == whole);
    }
    for (int t = 33; t < 60; ++t) neighbour.push(other.data() + t * n, 1);
    neighbour.finish();
    CHECK(neighbour.pcm == vocode(f, other, 60, {.seed = 9}));
}

TEST(hift_seed_fixes_the_noise) {
    const Fixture f(small_config());
    const std::vector<float> mel = f.random_mel(20);
    CHECK(vocode(f, mel, 3, {.seed = 1}) == vocode(f, mel, 8, {.seed = 1}));
    CHECK(vocode(f, mel, 3, {.seed = 1}) != vocode(f, mel, 3, {.seed = 2}));
    CHECK(vocode(f, mel, 3, {.noise = false, .seed = 1}) == vocode(f, mel, 3, {.noise = false, .seed = 2}));
}

TEST(hift_agrees_on_every_isa) {
    Fixture f(small_config());
    const std::vector<float> mel = f.random_mel(30);
    const std::vector<float> expected = vocode(f, mel, 4, {.noise = false});
    for (const Backend* backend : available_backends()) {
        const std::unique_ptr<Vocoder> vocoder = make_hift(*backend, f.config, WeightMap(*f.file));
        Arena state(vocoder->state_bytes()), scratch(vocoder->scratch_bytes());
        vocoder->start(state.data(), {.noise = false});
        std::vector<float> pcm(vocoder->max_samples(30) + vocoder->max_samples(0));
        const Exec exec{backend, nullptr};
        int count = vocoder->push(exec, state.data(), scratch.data(), mel.data(), 30, pcm.data());
        count += vocoder->finish(exec, state.data(), scratch.data(), pcm.data() + count);
        pcm.resize(static_cast<std::size_t>(count));
        CHECK_VECTORS_CLOSE(pcm, expected, 2e-4, 0.0, backend->name);
    }
}

TEST(hift_at_reduced_precision_stays_near_fp32_on_every_isa) {
    const Fixture f(small_config());
    const std::vector<float> mel = f.random_mel(30), expected = vocode(f, mel, 4, {.noise = false});
    double power = 0.0;
    for (const float v : expected) power += double{v} * double{v};
    for (const Backend* backend : available_backends()) {
        for (const Precision precision : {Precision::bf16, Precision::int8}) {
            const auto vocoder = make_hift(*backend, at(precision, f.config), WeightMap(*f.file));
            CHECK(vocoder->state_bytes() < f.vocoder->state_bytes());  // what waits between steps is narrow too
            Arena state(vocoder->state_bytes()), scratch(vocoder->scratch_bytes());
            vocoder->start(state.data(), {.noise = false});
            std::vector<float> pcm(vocoder->max_samples(30) + vocoder->max_samples(0));
            const Exec exec{backend, nullptr};
            int count = vocoder->push(exec, state.data(), scratch.data(), mel.data(), 30, pcm.data());
            count += vocoder->finish(exec, state.data(), scratch.data(), pcm.data() + count);
            CHECK(static_cast<std::size_t>(count) == expected.size());
            double error = 0.0;
            for (std::size_t i = 0; i < expected.size(); ++i)
                error += std::pow(double{pcm[i]} - double{expected[i]}, 2);
            const double decibels = 10.0 * std::log10(power / error);
            const std::string text = std::string(backend->name) + ": " + std::to_string(decibels) + " dB";
            CHECK_MSG(decibels > (precision == Precision::bf16 ? 35.0 : 25.0), text);
            CHECK_MSG(decibels < 90.0, text);  // it is another precision
        }
    }
}

TEST(hift_survives_nonsense) {
    for (const Precision precision : {Precision::fp32, Precision::bf16, Precision::int8}) {
        const Fixture f(at(precision, small_config()));
        for (const float extreme : {1e3F, -1e3F, 1e30F, -3e38F, std::numeric_limits<float>::quiet_NaN(),
                                    std::numeric_limits<float>::infinity()}) {
            std::vector<float> mel = f.random_mel(90);
            for (int t = 3; t < 6; ++t) {
                for (int c = 0; c < f.config.n_mels; ++c)
                    mel[static_cast<std::size_t>(t * f.config.n_mels + c)] = extreme;
            }
            const std::vector<float> pcm = vocode(f, mel, 7);
            CHECK(pcm.size() == static_cast<std::size_t>(90 * f.config.hop_length));
            CHECK(std::all_of(pcm.begin(), pcm.end(), [](float v) { return std::abs(v) <= 0.99F; }));
            // Nothing lasts: the end sounds again.
            CHECK(std::any_of(pcm.end() - 500, pcm.end(), [](float v) { return v != 0.0F; }));
        }
        Stream empty(f);
        CHECK(empty.finish() == 0);
    }
}

TEST(hift_allocates_nothing_in_a_stream) {
    const Fixture f(small_config());
    const std::vector<float> mel = f.random_mel(40);
    Stream stream(f);
    std::vector<float> pcm(f.vocoder->max_samples(40));
    const Exec exec{&f.backend, nullptr};
    const std::uint64_t before = allocations::count();
    f.vocoder->push(exec, stream.state.data(), stream.scratch.data(), mel.data(), 40, pcm.data());
    f.vocoder->finish(exec, stream.state.data(), stream.scratch.data(), pcm.data());
    CHECK(allocations::count() == before);
}

TEST(hift_names_what_does_not_fit) {
    Config config = small_config();
    config.hop_length = 47;
    const Fixture f(small_config());
    CHECK_THROWS(make_hift(f.backend, config, WeightMap(*f.file)), Error, "hop_length is 47");
    config.hift.upsample_kernels = {12, 9};
    CHECK_THROWS(hift_tensors(config.hift, 5), Error, "vocoder.upsample_kernels");
    config = small_config();
    config.hift.channels = 14;
    CHECK_THROWS(hift_tensors(config.hift, 5), Error, "vocoder.channels");
}

TEST(hift_source_phase_is_exact_after_hours) {
    constexpr int kSamples = 256, kRate = 22050;
    const std::vector<float> mix = {1.0F, -0.5F, 0.25F};
    const hift::HarmonicSource source(kRate, kSamples, mix, 0.0F);
    const std::vector<float> f0(4, 123.456F);

    // The phase that many frames leave behind is that of one multiplication.
    std::uint64_t turns = 0;
    std::vector<float> wave(kSamples * f0.size());
    for (int i = 0; i < 1000; i += 4) source.fill(f0.data(), i, 4, {}, turns, wave.data());
    CHECK(turns == 1000U * kSamples * source.increment(f0[0]));

    for (const std::uint64_t start : {std::uint64_t{0}, std::uint64_t{1} << 31, std::uint64_t{1} << 40}) {
        turns = start * source.increment(f0[0]);
        source.fill(f0.data(), static_cast<std::int64_t>(start / kSamples), 4, {}, turns, wave.data());
        for (std::size_t n = 0; n < wave.size(); ++n) {
            const long double cycles =
                static_cast<long double>(f0[0]) / kRate * static_cast<long double>(start + n + 1);
            long double sum = 0.0L;
            for (std::size_t h = 0; h < mix.size(); ++h) {
                const long double k = static_cast<long double>(h + 1) * (cycles - std::floor(cycles));
                sum += static_cast<long double>(mix[h]) * 0.1L * std::sin(2.0L * std::numbers::pi_v<long double> * k);
            }
            // 2^40 samples are 1.6 years; an increment in double precision is off by 2^-60 turns.
            CHECK_CLOSE(wave[n], std::tanh(sum), start < (std::uint64_t{1} << 40) ? 1e-6 : 1e-5);
        }
    }

    // A whole number of samples a period: the same wave after any number of periods.
    const std::vector<float> even(2, kRate / 64.0F);
    std::vector<float> first(2 * kSamples), later(2 * kSamples);
    turns = 0;
    source.fill(even.data(), 0, 2, {}, turns, first.data());
    turns = (std::uint64_t{1} << 31) * source.increment(even[0]);
    source.fill(even.data(), 1 << 23, 2, {}, turns, later.data());
    CHECK(first == later);
}

TEST(hift_source_noise_depends_on_the_whole_sample_index) {
    const std::vector<float> mix(9, 0.1F);
    const hift::HarmonicSource source(22050, 4, mix, 0.0F);
    const std::vector<float> f0(8, 0.0F);
    std::uint64_t turns = 0;
    std::vector<float> wave(32), part(16), far(32);
    source.fill(f0.data(), 0, 8, {true, 5}, turns, wave.data());
    source.fill(f0.data(), 4, 4, {true, 5}, turns, part.data());
    CHECK(std::equal(part.begin(), part.end(), wave.begin() + 16));
    source.fill(f0.data(), std::int64_t{1} << 30, 8, {true, 5}, turns, far.data());
    for (std::size_t i = 0; i < wave.size(); ++i) CHECK(wave[i] != far[i]);
}

TEST(philox_known_answers) {
    // Vectors published with the generator.
    CHECK(philox(0, {0, 0, 0, 0}) == PhiloxBlock{0x6627E8D5U, 0xE169C58DU, 0xBC57AC4CU, 0x9B00DBD8U});
    CHECK(philox(~std::uint64_t{0}, {~0U, ~0U, ~0U, ~0U}) ==
          PhiloxBlock{0x408F276DU, 0x41C83B0EU, 0xA20BC7C6U, 0x6D5451FDU});
    CHECK(philox(0x299F31D0A4093822U, {0x243F6A88U, 0x85A308D3U, 0x13198A2EU, 0x03707344U}) ==
          PhiloxBlock{0xD16CFE09U, 0x94FDCCEBU, 0x5001E420U, 0x24126EA1U});
}

TEST(philox_normals_are_normal) {
    double sum = 0.0, squares = 0.0, fourth = 0.0;
    constexpr int kBlocks = 50000;
    for (std::uint32_t i = 0; i < kBlocks; ++i) {
        for (const float v : normals(philox(3, {i, 0, 0, 0}))) {
            sum += v;
            squares += static_cast<double>(v) * v;
            fourth += std::pow(static_cast<double>(v), 4.0);
        }
    }
    CHECK_CLOSE(sum / (4 * kBlocks), 0.0, 0.01);
    CHECK_CLOSE(squares / (4 * kBlocks), 1.0, 0.02);
    CHECK_CLOSE(fourth / (4 * kBlocks), 3.0, 0.1);
}

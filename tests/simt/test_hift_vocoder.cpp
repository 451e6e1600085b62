// HiFT on the device: against its offline definition in double precision, in any chunking and mix of streams.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "cuda/hift.h"
#include "hift_models.h"
#include "models/hift/hift.h"
#include "vocoder_slots.h"

namespace {

using namespace secousti::core;
using hift_models::other_config;
using hift_models::published_config;
using hift_models::small_config;
using hift_naive::Naive;
using simt_test::queue;

struct Fixture : hift_models::RandomModel {
    using RandomModel::RandomModel;

    /// The whole wave; empty when a frame is too close to the limit of voiced frames, a jump that rounding may cross.
    std::vector<double> definition(const std::vector<float>& mel, const VocoderOptions& options) const {
        const hift_naive::Signal x = signal(mel);
        const Naive naive(config, weights);
        const std::vector<double> f0 = naive.f0(x);
        if (std::any_of(f0.begin(), f0.end(), [](double hz) { return std::abs(hz - 10.0) < 1e-3; })) return {};
        return naive.wave(x, naive.source(f0, options.noise, options.seed));
    }
};

struct Group : simt_test::VocoderSlots<cuda::DeviceHift> {
    Group(const Fixture& f, int slots_, int max_frames, Precision precision)
        : VocoderSlots(f.config, slots_, max_frames, f.config, WeightMap(*f.file), precision) {
        most_at_end = vocoder.max_finish_samples();
    }
};

std::vector<float> vocode(const Fixture& f, const std::vector<float>& mel, int chunk, const VocoderOptions& options,
                          Precision precision = Precision::fp32) {
    Group group(f, 1, chunk, precision);
    group.vocoder.start(queue(), group.state, 0, options);
    return simt_test::vocode_whole(group, mel, chunk);
}

double difference(const std::vector<float>& a, const std::vector<double>& b) {
    if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
    double error = 0.0, power = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        error += std::pow(static_cast<double>(a[i]) - b[i], 2.0);
        power += b[i] * b[i];
    }
    return std::sqrt(error / power);
}

}  // namespace

TEST(simt_hift_equals_its_definition) {
    for (const Config& config : {small_config(), other_config(), published_config(8)}) {
        const Fixture f(config);
        for (const int frames : config.hop_length == 256 ? std::vector<int>{3} : std::vector<int>{1, 2, 23}) {
            for (const VocoderOptions& options :
                 {VocoderOptions{.noise = false}, VocoderOptions{.noise = true, .seed = 0x123456789ABCDEFU}}) {
                const std::vector<float> mel = f.random_mel(frames);
                const std::vector<double> expected = f.definition(mel, options);
                if (expected.empty()) continue;
                const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
                CHECK(*high - *low > 0.01);
                const std::string what = "hop " + std::to_string(config.hop_length) + ", " + std::to_string(frames) +
                                         " frames, noise " + std::to_string(options.noise);
                CHECK_VECTORS_CLOSE(vocode(f, mel, 5, options), expected, 1e-4 * (*high - *low), 0.0, what);
                const double rounded = difference(vocode(f, mel, 5, options, Precision::bf16), expected);
                CHECK_MSG(rounded < 0.05, what + ", bf16: " + std::to_string(rounded));
            }
        }
    }
}

TEST(simt_hift_latency_is_that_of_the_cpu) {
    for (const Config& config : {small_config(), other_config(), published_config(8)}) {
        const Fixture f(config);
        const std::unique_ptr<Vocoder> cpu = make_hift(default_backend(), config, WeightMap(*f.file));
        const Group group(f, 1, 1, Precision::fp32);
        CHECK(group.vocoder.latency() == cpu->latency(-1));
        CHECK(group.vocoder.look_ahead() == cpu->default_look_ahead());
    }
}

TEST(simt_hift_group_equals_the_stream_alone_in_any_chunking) {
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
        const Fixture f(precision == Precision::fp32 ? small_config() : other_config());
        constexpr int kSlots = 5, kFrames = 13;
        std::vector<std::vector<float>> mel, alone;
        for (int s = 0; s < kSlots; ++s) {
            mel.push_back(f.random_mel(kFrames));
            alone.push_back(vocode(f, mel.back(), kFrames, {.seed = static_cast<std::uint64_t>(s)}, precision));
            CHECK(alone.back().size() == static_cast<std::size_t>(kFrames * f.config.hop_length));
        }
        CHECK(vocode(f, mel[2], 1, {.seed = 2}, precision) == alone[2]);
        CHECK(vocode(f, mel[2], 3, {.seed = 3}, precision) != alone[2]);
        Group group(f, kSlots, 4, precision);
        for (int s = 0; s < kSlots; ++s) {
            group.vocoder.start(queue(), group.state, s, {.seed = static_cast<std::uint64_t>(s)});
        }
        std::vector<int> at(kSlots, 0);
        while (std::any_of(at.begin(), at.end(), [](int t) { return t < kFrames; })) {
            std::vector<const float*> rows;
            const int frames = 1 + static_cast<int>(check::random()() % 4);
            for (std::size_t s = 0; s < kSlots; ++s) {
                const bool active = at[s] + frames <= kFrames && check::random()() % 4 != 0;
                rows.push_back(active ? mel[s].data() + at[s] * f.config.n_mels : nullptr);
                if (active) at[s] += frames;
            }
            group.step(rows, frames);
        }
        const float end = 0.0F;
        group.step({&end, nullptr, &end, nullptr, &end}, 0);
        group.step({nullptr, &end, nullptr, &end, nullptr}, 0);
        for (std::size_t s = 0; s < kSlots; ++s) CHECK(group.out[s] == alone[s]);
        // A slot starts anew: nothing of the old stream is left.
        group.out[1].clear();
        group.vocoder.start(queue(), group.state, 1, {.seed = 4});
        for (int t = 0; t < kFrames; ++t) {
            group.step({nullptr, mel[4].data() + t * f.config.n_mels, nullptr, nullptr, nullptr}, 1);
        }
        group.step({nullptr, &end, nullptr, nullptr, nullptr}, 0);
        CHECK(group.out[1] == alone[4]);
    }
}

TEST(simt_hift_survives_nonsense) {
    const Fixture f(small_config());
    for (const float extreme : {-3e38F, std::numeric_limits<float>::quiet_NaN()}) {
        std::vector<float> mel = f.random_mel(40);
        for (int i = 3 * f.config.n_mels; i < 6 * f.config.n_mels; ++i) mel[static_cast<std::size_t>(i)] = extreme;
        const std::vector<float> pcm = vocode(f, mel, 4, {});
        CHECK(pcm.size() == static_cast<std::size_t>(40 * f.config.hop_length));
        CHECK(std::all_of(pcm.begin(), pcm.end(), [](float v) { return std::abs(v) <= 0.99F; }));
        CHECK(std::any_of(pcm.end() - 200, pcm.end(), [](float v) { return v != 0.0F; }));
    }
    CHECK_THROWS(Group(f, 1, 4, Precision::fp32).step({f.random_mel(5).data()}, 5), Error, "5 mel frames; at most 4");
}

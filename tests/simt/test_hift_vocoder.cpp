// HiFT on the device: against its offline definition in double precision, in any chunking and mix of streams.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "codec/cuda_hift.h"
#include "device_array.h"
#include "hift_naive.h"
#include "models/hift.h"
#include "tiny_model.h"

namespace {

using namespace secousti::core;
using hift_naive::Naive;
using simt_test::Array;
using simt_test::stream;

/// Odd widths, so that rows are padded.
Config small_config() {
    Config config;
    config.sample_rate = 8000;
    config.hop_length = 48;
    config.n_mels = 5;
    config.vocoder = VocoderKind::hift;
    config.hift = {.channels = 12,
                   .upsample_rates = {6, 4},
                   .upsample_kernels = {12, 8},
                   .istft_n_fft = 8,
                   .istft_hop = 2,
                   .resblock_kernels = {3, 7, 5},
                   .resblock_dilations = {1, 2},
                   .source_resblock_kernels = {3, 5},
                   .harmonics = 6,
                   .f0_channels = 7,
                   .f0_layers = 2,
                   .f0_kernel = 3};
    return config;
}

/// One stage more, six frames over a sample, and a trunk that is never behind the source.
Config other_config() {
    Config config = small_config();
    config.hop_length = 64;
    config.hift.channels = 16;
    config.hift.upsample_rates = {2, 2, 4};
    config.hift.upsample_kernels = {4, 4, 8};
    config.hift.istft_n_fft = 24;
    config.hift.istft_hop = 4;
    config.hift.resblock_kernels = {1, 3, 3};
    config.hift.resblock_dilations = {2};
    config.hift.source_resblock_kernels = {1, 5, 3};
    config.hift.f0_layers = 1;
    config.hift.f0_kernel = 1;
    return config;
}

/// The published proportions; few channels.
Config published_config() {
    Config config;
    config.sample_rate = 22050;
    config.hop_length = 256;
    config.n_mels = 3;
    config.vocoder = VocoderKind::hift;
    config.hift.channels = 8;
    config.hift.f0_channels = 2;
    return config;
}

struct Fixture {
    explicit Fixture(Config c) : config(std::move(c)) {
        std::vector<tiny::NamedTensor> tensors;
        for (const TensorSpec& spec : hift_tensors(config.hift, config.n_mels)) {
            std::size_t count = 1;
            for (const std::int64_t size : spec.shape) count *= static_cast<std::size_t>(size);
            float bound = 0.1F;
            if (spec.shape.size() > 1)
                bound = std::sqrt(2.0F * static_cast<float>(spec.shape[0]) / static_cast<float>(count));
            if (spec.name.ends_with("conv_post.weight")) bound *= 0.3F;  // an exponential follows
            std::vector<float> values = check::uniform_vector(count, -bound, bound);
            if (spec.name.ends_with(".alpha")) values = check::uniform_vector(count, 0.5F, 1.5F);
            // Around the limit of voiced frames, and far from the ends of the sample range.
            if (spec.name.ends_with("classifier.weight")) values = check::uniform_vector(count, -60.0F, 60.0F);
            if (spec.name.ends_with("l_linear.weight")) values = check::uniform_vector(count, -3.0F, 3.0F);
            if (spec.name.ends_with("conv_post.bias")) values = check::uniform_vector(count, -1.5F, -1.0F);
            weights[spec.name] = values;
            tensors.push_back({spec.name, spec.shape, values});
        }
        bytes = tiny::safetensors("{}", tensors);
        file = std::make_unique<SafetensorsFile>(SafetensorsFile::from_memory(bytes));
    }

    std::vector<float> random_mel(int frames) const {
        return check::uniform_vector(static_cast<std::size_t>(frames * config.n_mels), -2.0F, 2.0F);
    }
    /// The whole wave; empty when a frame is too close to the limit of voiced frames, a jump that rounding may cross.
    std::vector<double> definition(const std::vector<float>& mel, const VocoderOptions& options) const {
        hift_naive::Signal x(static_cast<int>(mel.size()) / config.n_mels, config.n_mels);
        std::copy(mel.begin(), mel.end(), x.values.begin());
        const Naive naive(config, weights);
        const std::vector<double> f0 = naive.f0(x);
        if (std::any_of(f0.begin(), f0.end(), [](double hz) { return std::abs(hz - 10.0) < 1e-3; })) return {};
        return naive.wave(x, naive.source(f0, options.noise, options.seed));
    }

    Config config;
    hift_naive::Weights weights;
    std::vector<std::byte> bytes;
    std::unique_ptr<SafetensorsFile> file;
};

struct Group {
    Group(const Fixture& f, int slots_, int max_frames, Precision precision)
        : config(f.config),
          slots(slots_),
          vocoder(stream(), config, WeightMap(*f.file), precision),
          state(vocoder.make_state(stream(), slots, max_frames)),
          out(static_cast<std::size_t>(slots)) {}

    /// rows: the next `frames` rows of mel for each slot, null: not active; frames 0: the end.
    void step(const std::vector<const float*>& rows, int frames) {
        const int width = frames * config.n_mels;
        const int most = frames > 0 ? frames * config.hop_length : vocoder.max_finish_samples();
        std::vector<float> mel(static_cast<std::size_t>(slots * width + 1), std::nanf(""));
        std::vector<std::uint8_t> active;
        for (int s = 0; s < slots; ++s) {
            const float* row = rows[static_cast<std::size_t>(s)];
            active.push_back(row != nullptr);
            if (row != nullptr) std::copy_n(row, width, mel.begin() + s * width);
        }
        const Array<float> device_mel(mel);
        const Array<std::uint8_t> mask(active);
        const Array<float> pcm(std::vector<float>(static_cast<std::size_t>(slots * most)));
        const Array<std::int32_t> samples(static_cast<std::size_t>(slots));
        if (frames > 0) {
            vocoder.push(stream(), state, mask.data(), device_mel.data(), frames, pcm.data(), most, samples.data());
        } else {
            vocoder.finish(stream(), state, mask.data(), pcm.data(), most, samples.data());
        }
        const std::vector<float> host = pcm.host();
        const std::vector<std::int32_t> counts = samples.host();
        for (int s = 0; s < slots; ++s) {
            const std::size_t slot = static_cast<std::size_t>(s);
            CHECK(counts[slot] >= 0 && counts[slot] <= most);
            CHECK(active[slot] != 0 || counts[slot] == 0);
            out[slot].insert(out[slot].end(), host.begin() + s * most, host.begin() + s * most + counts[slot]);
        }
    }

    Config config;
    int slots;
    cuda::DeviceHift vocoder;
    cuda::DeviceHift::State state;
    std::vector<std::vector<float>> out;
};

std::vector<float> vocode(const Fixture& f, const std::vector<float>& mel, int chunk, const VocoderOptions& options,
                          Precision precision = Precision::fp32) {
    Group group(f, 1, chunk, precision);
    group.vocoder.start(stream(), group.state, 0, options);
    const int frames = static_cast<int>(mel.size()) / f.config.n_mels;
    for (int t = 0; t < frames; t += chunk) {
        group.step({mel.data() + t * f.config.n_mels}, std::min(chunk, frames - t));
    }
    group.step({mel.data()}, 0);
    return group.out[0];
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
    for (const Config& config : {small_config(), other_config(), published_config()}) {
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
    for (const Config& config : {small_config(), other_config(), published_config()}) {
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
            group.vocoder.start(stream(), group.state, s, {.seed = static_cast<std::uint64_t>(s)});
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
        group.vocoder.start(stream(), group.state, 1, {.seed = 4});
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

// The spectral vocoder on the device: against the CPU's, in any chunking and mix of streams, and its state.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <vector>

#include "check.h"
#include "cuda/spectral.h"
#include "models/vocoder.h"
#include "spectral_signals.h"
#include "vocoder_slots.h"

namespace {

using namespace secousti::core;
using namespace spectral_signals;
using simt_test::queue;

std::vector<float> test_mel(const Config& config, int frames) { return mel_of(config, test_signal(config, frames)); }

struct Group : simt_test::VocoderSlots<cuda::DeviceSpectral> {
    Group(const Config& config_, const std::vector<int>& look_ahead)
        : VocoderSlots(config_, static_cast<int>(look_ahead.size()),
                       *std::max_element(look_ahead.begin(), look_ahead.end()), config_) {
        most_at_end = 3 * config_.hop_length;  // of the greatest look-ahead
        for (int s = 0; s < slots; ++s) vocoder.start(queue(), state, s, look_ahead[static_cast<std::size_t>(s)]);
    }
};

std::vector<float> on_device(const Config& config, const std::vector<float>& mel, int look_ahead, int chunk) {
    Group group(config, {look_ahead});
    return simt_test::vocode_whole(group, mel, chunk);
}

struct Cpu {
    Cpu(const Config& config_, int look_ahead)
        : config(config_),
          vocoder(make_spectral(default_backend(), config)),
          state(vocoder->state_bytes()),
          scratch(vocoder->scratch_bytes()) {
        vocoder->start(state.data(), vocoder->resolve({.look_ahead = look_ahead}));
    }
    void push(const float* mel, int frames) {
        std::vector<float> pcm(vocoder->max_samples(frames));
        append(pcm,
               vocoder->push({&default_backend(), nullptr}, state.data(), scratch.data(), mel, frames, pcm.data()));
    }
    void finish() {
        std::vector<float> pcm(vocoder->max_samples(0));
        append(pcm, vocoder->finish({&default_backend(), nullptr}, state.data(), scratch.data(), pcm.data()));
    }
    void append(const std::vector<float>& pcm, int count) { out.insert(out.end(), pcm.begin(), pcm.begin() + count); }

    Config config;
    std::unique_ptr<Vocoder> vocoder;
    Arena state, scratch;
    std::vector<float> out;
};

std::vector<float> on_cpu(const Config& config, const std::vector<float>& mel, int look_ahead) {
    Cpu cpu(config, look_ahead);
    cpu.push(mel.data(), static_cast<int>(mel.size()) / config.n_mels);
    cpu.finish();
    return cpu.out;
}

constexpr double kFewIterations = 1e-2;  ///< relative difference of the samples

double difference(const std::vector<float>& a, const std::vector<float>& b) {
    if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
    double error = 0.0, power = 1e-12;
    for (std::size_t i = 0; i < a.size(); ++i) {
        error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2.0);
        power += static_cast<double>(b[i]) * static_cast<double>(b[i]);
    }
    return std::sqrt(error / power);
}

}  // namespace

TEST(simt_spectral_equals_the_cpu_for_few_iterations) {
    // Iterations and frames amplify the last bits in which the two differ, as between the CPU's instruction sets, so
    // only few can be compared as samples.
    for (const int iterations : {1, 3}) {
        for (int look_ahead = 0; look_ahead <= 3; ++look_ahead) {
            for (const Config& config : {speech_config(iterations), small_config(iterations)}) {
                const std::vector<float> mel = test_mel(config, config.n_fft == 1024 ? 6 : 4);
                const double error = difference(on_device(config, mel, look_ahead, 1), on_cpu(config, mel, look_ahead));
                CHECK_MSG(error < kFewIterations, "n_fft " + std::to_string(config.n_fft) + ", look-ahead " +
                                                      std::to_string(look_ahead) + ": " + std::to_string(error));
            }
        }
    }
}

TEST(simt_spectral_matches_the_mel) {
    const Config config = small_config();
    const std::vector<float> mel = test_mel(config, 40);
    for (int look_ahead = 0; look_ahead <= 3; ++look_ahead) {
        const std::vector<float> again = mel_of(config, on_device(config, mel, look_ahead, 2));
        CHECK(again.size() == mel.size());
        const double error = mel_error(mel, again, 5.0F);
        CHECK_MSG(error < 0.1, std::to_string(error));
    }
}

TEST(simt_spectral_group_equals_the_stream_alone_in_any_chunking) {
    const Config config = small_config(2);
    const std::vector<int> look_ahead{1, 0, 3, 2};
    constexpr int kFrames = 11;
    std::vector<std::vector<float>> mel;
    std::vector<std::vector<float>> alone;
    for (const int ahead : look_ahead) {
        mel.push_back(test_mel(config, kFrames));
        alone.push_back(on_device(config, mel.back(), ahead, kFrames));
        CHECK(alone.back().size() == static_cast<std::size_t>(kFrames * config.hop_length));
        CHECK(on_device(config, mel.back(), ahead, 3) == alone.back());
    }
    Group group(config, look_ahead);
    std::vector<int> at(look_ahead.size(), 0);
    while (std::any_of(at.begin(), at.end(), [](int t) { return t < kFrames; })) {
        std::vector<const float*> rows;
        const int frames = 1 + static_cast<int>(check::random()() % 2);
        for (std::size_t s = 0; s < at.size(); ++s) {
            const bool active = at[s] + frames <= kFrames && check::random()() % 4 != 0;
            rows.push_back(active ? mel[s].data() + at[s] * config.n_mels : nullptr);
            if (active) at[s] += frames;
        }
        group.step(rows, frames);
    }
    const float end = 0.0F;
    group.step({&end, nullptr, &end, nullptr}, 0);
    group.step({nullptr, &end, nullptr, &end}, 0);
    for (std::size_t s = 0; s < at.size(); ++s) CHECK(group.out[s] == alone[s]);
    // A slot starts anew with another look-ahead.
    group.vocoder.start(queue(), group.state, 2, 1);
    group.out[2].clear();
    for (int t = 0; t < kFrames; ++t) {
        group.step({nullptr, nullptr, mel[0].data() + t * config.n_mels, nullptr}, 1);
    }
    group.step({nullptr, nullptr, &end, nullptr}, 0);
    CHECK(group.out[2] == alone[0]);
}

TEST(simt_spectral_short_streams_give_a_hop_per_frame) {
    const Config config = small_config(1);
    const std::vector<float> mel = test_mel(config, 5);
    for (int look_ahead = 0; look_ahead <= 3; ++look_ahead) {
        for (int frames = 1; frames <= 4; ++frames) {
            const std::vector<float> part(mel.begin(), mel.begin() + frames * config.n_mels);
            const std::vector<float> pcm = on_device(config, part, look_ahead, 1);
            CHECK(pcm.size() == static_cast<std::size_t>(frames * config.hop_length));
            CHECK(difference(pcm, on_cpu(config, part, look_ahead)) < kFewIterations);
        }
    }
}

TEST(simt_spectral_state_moves_to_the_cpu_and_back) {
    const Config config = speech_config(1);
    const int bands = config.n_mels;
    const std::vector<float> mel = test_mel(config, 8);
    for (const int look_ahead : {0, 2}) {
        for (const int before : {0, 1, 3}) {
            Group group(config, {1, look_ahead});
            Cpu cpu(config, look_ahead);
            for (int t = 0; t < before; ++t) group.step({nullptr, mel.data() + t * bands}, 1);
            group.vocoder.save(queue(), group.state, 1, cpu.state.data());
            cpu.out = group.out[1];
            cpu.push(mel.data() + before * bands, 2);
            Group other(config, {look_ahead});
            other.vocoder.load(queue(), other.state, 0, cpu.state.data());
            other.out[0] = cpu.out;
            for (int t = before + 2; t < 8; ++t) other.step({mel.data() + t * bands}, 1);
            other.step({mel.data()}, 0);
            CHECK(difference(other.out[0], on_cpu(config, mel, look_ahead)) < kFewIterations);
        }
    }
}

TEST(simt_spectral_stays_finite_and_recovers) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    const Config config = small_config(3);
    std::vector<float> mel;
    for (const float value : {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity, 1e30F, 88.0F, -11.5F}) {
        mel.insert(mel.end(), 2 * static_cast<std::size_t>(config.n_mels), value);
    }
    mel.insert(mel.end(), 12 * static_cast<std::size_t>(config.n_mels), -11.6F);
    const std::vector<float> pcm = on_device(config, mel, 1, 1);
    CHECK(std::all_of(pcm.begin(), pcm.end(), [](float v) { return std::abs(v) <= 1.0F; }));
    CHECK(std::all_of(pcm.end() - config.hop_length, pcm.end(), [](float v) { return std::abs(v) < 3e-3F; }));
}

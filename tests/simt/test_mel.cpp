// The front end on the device: against its definition in double precision and against the CPU's state.
#include <cmath>
#include <numbers>
#include <vector>

#include "check.h"
#include "cuda/mel.h"
#include "device_array.h"
#include "models/limits.h"

namespace {

using namespace secousti::core;
using simt_test::Array;
using simt_test::queue;

Config mel_config(int n_fft, int hop, int n_mels) {
    Config config;
    config.sample_rate = 22050;
    config.n_fft = n_fft;
    config.hop_length = hop;
    config.n_mels = n_mels;
    config.mel_fmin = 0.0;
    config.mel_fmax = 8000.0;
    return config;
}

int reflect(int i, int length) {
    while (i < 0 || i >= length) i = i < 0 ? -i : 2 * (length - 1) - i;
    return length == 1 ? 0 : i;
}

/// Log-mel of a whole signal, formula by formula.
std::vector<double> naive_mel(const Config& config, const std::vector<float>& pcm) {
    const MelBands bands(config);
    const int n = config.n_fft, pad = (n - config.hop_length) / 2, length = static_cast<int>(pcm.size());
    std::vector<double> mel;
    for (int t = 0; t < length / config.hop_length; ++t) {
        std::vector<double> magnitude;
        for (int k = 0; k <= n / 2; ++k) {
            double re = 0.0, im = 0.0;
            for (int i = 0; i < n; ++i) {
                const double x = static_cast<double>(
                                     pcm[static_cast<std::size_t>(reflect(t * config.hop_length - pad + i, length))]) *
                                 (0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * i / n));
                const double angle = 2.0 * std::numbers::pi * static_cast<double>(k * i % n) / n;
                re += x * std::cos(angle);
                im -= x * std::sin(angle);
            }
            magnitude.push_back(std::sqrt(re * re + im * im + 1e-9));
        }
        for (std::size_t m = 0; m < bands.start.size(); ++m) {
            double sum = 0.0;
            for (int i = 0; i < bands.length[m]; ++i) {
                sum += static_cast<double>(bands.weights[static_cast<std::size_t>(bands.offset[m] + i)]) *
                       magnitude[static_cast<std::size_t>(bands.start[m] + i)];
            }
            mel.push_back(std::log(std::max(sum, 1e-5)));
        }
    }
    return mel;
}

/// A group of front ends and what has come out of each.
struct Group {
    Group(const Config& config_, int slots_, int multiple)
        : config(config_),
          slots(slots_),
          mel(queue(), config),
          state(mel.make_state(queue(), slots, multiple)),
          out(static_cast<std::size_t>(slots)) {}

    /// rows: a pointer to `samples` floats for each slot, null: not active.
    void push(const std::vector<const float*>& rows, int samples, bool end = false) {
        std::vector<float> pcm(static_cast<std::size_t>(slots * samples), std::nanf(""));
        std::vector<std::uint8_t> active;
        for (int s = 0; s < slots; ++s) {
            const float* row = rows[static_cast<std::size_t>(s)];
            active.push_back(row != nullptr);
            if (row != nullptr) std::copy_n(row, samples, pcm.begin() + s * samples);
        }
        pcm.push_back(0.0F);
        const Array<float> device_pcm(pcm);
        const Array<std::uint8_t> mask(active);
        const int most = mel.max_frames(state, samples, end);
        const Array<float> device_mel(std::vector<float>(static_cast<std::size_t>(slots * most * config.n_mels + 1)));
        const Array<std::int32_t> frames(static_cast<std::size_t>(slots));
        mel.push(queue(), state, mask.data(), end ? nullptr : device_pcm.data(), samples, end, device_mel.data(), most,
                 frames.data());
        const std::vector<float> host = device_mel.host();
        counts = frames.host();
        for (int s = 0; s < slots; ++s) {
            const int count = counts[static_cast<std::size_t>(s)];
            CHECK(count >= 0 && count <= most);
            CHECK(end || count % state.multiple == 0);
            const auto row = host.begin() + s * most * config.n_mels;
            std::vector<float>& target = out[static_cast<std::size_t>(s)];
            target.insert(target.end(), row, row + count * config.n_mels);
        }
    }

    Config config;
    int slots;
    cuda::DeviceMel mel;
    cuda::DeviceMel::State state;
    std::vector<std::vector<float>> out;
    std::vector<std::int32_t> counts;
};

std::vector<float> noise(int samples) { return check::uniform_vector(static_cast<std::size_t>(samples), -0.8F, 0.8F); }

constexpr double kTolerance = 2e-5;

}  // namespace

TEST(simt_mel_equals_its_definition_in_any_mix_of_streams) {
    struct Case {
        Config config;
        int chunk, multiple, chunks;
    };
    for (const Case& c : {Case{mel_config(1024, 256, 80), 256, 1, 6}, Case{mel_config(1024, 256, 20), 1024, 4, 2},
                          Case{mel_config(64, 20, 7), 60, 3, 7}, Case{mel_config(128, 64, 40), 37, 1, 9},
                          Case{mel_config(16, 8, 3), 5, 1, 20}, Case{mel_config(2048, 512, 10), 3000, 1, 1}}) {
        constexpr int kSlots = 3;
        Group group(c.config, kSlots, c.multiple);
        std::vector<std::vector<float>> pcm;
        for (int s = 0; s < kSlots; ++s) pcm.push_back(noise(c.chunk * (c.chunks - (s == 1 ? 1 : 0))));
        std::vector<int> at(kSlots, 0);
        for (int left = 3 * c.chunks - 1; left > 0;) {
            std::vector<const float*> rows;
            for (int s = 0; s < kSlots; ++s) {
                const std::size_t slot = static_cast<std::size_t>(s);
                const bool more = at[slot] < static_cast<int>(pcm[slot].size());
                const bool active = more && check::random()() % 3 != 0;
                rows.push_back(active ? pcm[slot].data() + at[slot] : nullptr);
                if (active) {
                    at[slot] += c.chunk;
                    --left;
                }
            }
            group.push(rows, c.chunk);
        }
        const float none = 0.0F;
        group.push({&none, nullptr, &none}, 0, true);
        CHECK(group.counts[1] == 0);
        group.push({nullptr, &none, nullptr}, 0, true);
        for (std::size_t s = 0; s < kSlots; ++s) {
            CHECK_VECTORS_CLOSE(group.out[s], naive_mel(c.config, pcm[s]), kTolerance, kTolerance,
                                "slot " + std::to_string(s) + ", n_fft " + std::to_string(c.config.n_fft));
        }
        // A slot starts anew.
        group.mel.reset(queue(), group.state, 1);
        group.out[1].clear();
        const std::vector<float> other = noise(c.chunk);
        group.push({nullptr, other.data(), nullptr}, c.chunk);
        group.push({nullptr, &none, nullptr}, 0, true);
        CHECK_VECTORS_CLOSE(group.out[1], naive_mel(c.config, other), kTolerance, kTolerance, "after a reset");
    }
}

TEST(simt_mel_state_moves_to_the_cpu_and_back) {
    const Config config = mel_config(128, 32, 12);
    const int chunk = 64;
    ArenaLayout state_layout, scratch_layout;
    const MelFrontEnd cpu(config, state_layout, scratch_layout);
    for (const int before : {0, 1, 2, 5}) {
        Arena arena(state_layout.bytes()), scratch(scratch_layout.bytes());
        const std::vector<float> pcm = noise(11 * chunk);
        Group group(config, 2, 1);
        for (int i = 0; i < before; ++i) group.push({nullptr, pcm.data() + i * chunk}, chunk);
        group.mel.save(queue(), group.state, 1, cpu, arena.data());
        std::vector<float> rows(static_cast<std::size_t>(kMaxFrames * config.n_mels));
        const int frames = cpu.push({&default_backend(), nullptr}, arena.data(), scratch.data(),
                                    pcm.data() + before * chunk, 3 * chunk, false, rows.data());
        group.out[1].insert(group.out[1].end(), rows.begin(), rows.begin() + frames * config.n_mels);
        group.mel.load(queue(), group.state, 0, cpu, arena.data());
        group.out[0] = group.out[1];
        for (int i = before + 3; i < 11; ++i) group.push({pcm.data() + i * chunk, nullptr}, chunk);
        group.push({pcm.data(), nullptr}, 0, true);
        CHECK_VECTORS_CLOSE(group.out[0], naive_mel(config, pcm), kTolerance, kTolerance, "after moving");
    }
}

// The spectral vocoder: streaming, determinism, look-ahead and what it makes of silence, tones and nonsense.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <vector>

#include "base/error.h"
#include "check.h"
#include "models/limits.h"
#include "models/vocoder.h"
#include "spectral_signals.h"

namespace {

using namespace secousti::core;
using namespace spectral_signals;

struct Stream {
    Stream(const Vocoder& vocoder_, const Backend& backend_, int look_ahead)
        : vocoder(&vocoder_), backend(&backend_), state(vocoder_.state_bytes()), scratch(vocoder_.scratch_bytes()) {
        VocoderOptions options;
        options.look_ahead = look_ahead;
        vocoder->start(state.data(), vocoder->resolve(options));
    }

    /// Feeds frames [begin, end) of `mel` and appends the samples.
    void push(const std::vector<float>& mel, int bands, int begin, int end, std::vector<float>& pcm) {
        std::vector<float> out(vocoder->max_samples(end - begin));
        const int count = vocoder->push({backend, nullptr}, state.data(), scratch.data(), mel.data() + begin * bands,
                                        end - begin, out.data());
        pcm.insert(pcm.end(), out.begin(), out.begin() + count);
    }
    void finish(std::vector<float>& pcm) {
        std::vector<float> out(vocoder->max_samples(0));
        const int count = vocoder->finish({backend, nullptr}, state.data(), scratch.data(), out.data());
        pcm.insert(pcm.end(), out.begin(), out.begin() + count);
    }

    const Vocoder* vocoder;
    const Backend* backend;
    Arena state, scratch;
};

std::vector<float> vocode(const Vocoder& vocoder, const Backend& backend, const std::vector<float>& mel, int bands,
                          int look_ahead, int chunk = 1) {
    Stream stream(vocoder, backend, look_ahead);
    std::vector<float> pcm;
    const int frames = static_cast<int>(mel.size()) / bands;
    for (int t = 0; t < frames; t += chunk) stream.push(mel, bands, t, std::min(frames, t + chunk), pcm);
    stream.finish(pcm);
    return pcm;
}

float peak(const std::vector<float>& pcm, std::size_t from = 0) {
    float high = 0.0F;
    for (std::size_t i = from; i < pcm.size(); ++i) {
        if (!(std::abs(pcm[i]) <= high)) high = std::abs(pcm[i]);  // NaN stays
    }
    return high;
}

TEST(spectral_chunks_give_the_whole_bit_for_bit) {
    for (const Config& config : {speech_config(), small_config()}) {
        const auto vocoder = make_spectral(default_backend(), config);
        const std::vector<float> mel = mel_of(config, test_signal(config, 61));
        for (int look_ahead = 0; look_ahead <= 3; ++look_ahead) {
            const std::vector<float> whole = vocode(*vocoder, default_backend(), mel, config.n_mels, look_ahead, 61);
            CHECK(whole.size() == 61 * static_cast<std::size_t>(config.hop_length));
            CHECK(peak(whole) > 0.1F);
            for (const int chunk : {1, 2, 3, 7, 1 + static_cast<int>(check::random()() % 60)}) {
                CHECK_MSG(vocode(*vocoder, default_backend(), mel, config.n_mels, look_ahead, chunk) == whole,
                          "look-ahead " + std::to_string(look_ahead) + ", chunk " + std::to_string(chunk));
            }
        }
    }
}

TEST(spectral_short_streams_give_a_hop_per_frame) {
    const Config config = speech_config();
    const auto vocoder = make_spectral(default_backend(), config);
    const std::vector<float> mel = mel_of(config, test_signal(config, 8));
    for (int look_ahead = 0; look_ahead <= 3; ++look_ahead) {
        for (int frames = 0; frames <= 5; ++frames) {
            const std::vector<float> part(mel.begin(), mel.begin() + frames * config.n_mels);
            const std::vector<float> pcm = vocode(*vocoder, default_backend(), part, config.n_mels, look_ahead);
            CHECK(pcm.size() == static_cast<std::size_t>(frames * config.hop_length));
        }
    }
}

TEST(spectral_looks_no_further_than_it_says) {
    const Config config = speech_config();
    const auto vocoder = make_spectral(default_backend(), config);
    CHECK(vocoder->max_look_ahead() == 3);
    CHECK(vocoder->default_look_ahead() >= 0 && vocoder->default_look_ahead() <= 3);
    const std::vector<float> mel = mel_of(config, test_signal(config, 24));
    constexpr int kChanged = 15;
    std::vector<float> other = mel;
    for (std::size_t i = kChanged * static_cast<std::size_t>(config.n_mels); i < other.size(); ++i) other[i] -= 2.0F;
    for (int look_ahead = 0; look_ahead <= 3; ++look_ahead) {
        const int latency = vocoder->latency(look_ahead);
        CHECK(latency == look_ahead * config.hop_length);
        Stream stream(*vocoder, default_backend(), look_ahead);
        std::vector<float> pcm;
        for (int t = 0; t < 24; ++t) {
            stream.push(mel, config.n_mels, t, t + 1, pcm);
            CHECK(static_cast<int>(pcm.size()) == std::max(0, (t + 1) * config.hop_length - latency));
        }
        const std::vector<float> changed = vocode(*vocoder, default_backend(), other, config.n_mels, look_ahead);
        const int same = kChanged * config.hop_length - latency;
        CHECK(std::equal(pcm.begin(), pcm.begin() + same, changed.begin()));
        CHECK(!std::equal(pcm.begin(), pcm.begin() + same + config.hop_length, changed.begin()));
    }
}

TEST(spectral_options_come_from_the_config) {
    Config config = speech_config();
    config.spectral.look_ahead = 2;
    config.spectral.iterations = 1;
    const auto vocoder = make_spectral(default_backend(), config);
    CHECK(vocoder->default_look_ahead() == 2);
    const std::vector<float> mel = mel_of(config, test_signal(config, 20));
    const std::vector<float> pcm = vocode(*vocoder, default_backend(), mel, config.n_mels, -1);
    CHECK(pcm == vocode(*vocoder, default_backend(), mel, config.n_mels, 2));
    CHECK(pcm != vocode(*make_spectral(default_backend(), speech_config()), default_backend(), mel, config.n_mels, 2));
    for (const int look_ahead : {-2, 4, std::numeric_limits<int>::max()}) {
        CHECK(!vocoder->accepts_look_ahead(look_ahead));
        CHECK_THROWS(Stream(*vocoder, default_backend(), look_ahead), Error, "look_ahead");
    }
}

TEST(spectral_snapshots_resume_and_streams_do_not_mix) {
    const Config config = speech_config();
    const auto vocoder = make_spectral(default_backend(), config);
    const std::vector<float> mel = mel_of(config, test_signal(config, 40));
    for (int look_ahead = 0; look_ahead <= 3; ++look_ahead) {
        const std::vector<float> whole = vocode(*vocoder, default_backend(), mel, config.n_mels, look_ahead, 40);
        Stream first(*vocoder, default_backend(), look_ahead), second(*vocoder, default_backend(), look_ahead);
        std::vector<float> a, b;
        for (int t = 0; t < 17; ++t) {  // the second stream runs two frames behind, on the first one's scratch memory
            first.push(mel, config.n_mels, t, t + 1, a);
            if (t >= 2) second.push(mel, config.n_mels, t - 2, t - 1, b);
        }
        const Arena snapshot(first.state);
        std::vector<float> c = a;
        first.push(mel, config.n_mels, 17, 40, a);
        first.finish(a);
        CHECK(a == whole);
        std::memcpy(first.state.data(), snapshot.data(), snapshot.bytes());
        std::fill_n(first.scratch.data(), first.scratch.bytes(), std::byte{0xFF});  // scratch holds nothing that lasts
        first.push(mel, config.n_mels, 17, 40, c);
        first.finish(c);
        CHECK(c == whole);
        second.push(mel, config.n_mels, 15, 40, b);
        second.finish(b);
        CHECK(b == whole);
    }
}

TEST(spectral_matches_the_mel_on_every_backend) {
    for (const Config& config : {speech_config(), small_config()}) {
        const std::vector<float> mel = mel_of(config, test_signal(config, 80));
        for (const Backend* backend : available_backends()) {
            const auto vocoder = make_spectral(*backend, config);
            for (int look_ahead = 0; look_ahead <= 3; ++look_ahead) {
                const std::vector<float> again =
                    mel_of(config, vocode(*vocoder, *backend, mel, config.n_mels, look_ahead));
                const double error = mel_error(mel, again, 5.0F);
                CHECK_MSG(error < 0.1, std::string(backend->name) + ", n_fft " + std::to_string(config.n_fft) +
                                           ", look-ahead " + std::to_string(look_ahead) + ": " + std::to_string(error));
            }
        }
    }
}

TEST(spectral_keeps_a_tone) {
    const Config config = speech_config();
    const auto vocoder = make_spectral(default_backend(), config);
    constexpr double kHz = 441.0;
    std::vector<float> tone;
    for (int i = 0; i < 60 * config.hop_length; ++i) {
        tone.push_back(0.3F * static_cast<float>(std::sin(2.0 * std::numbers::pi * kHz * i / config.sample_rate)));
    }
    const std::vector<float> mel = mel_of(config, tone);
    for (int look_ahead = 0; look_ahead <= 3; ++look_ahead) {
        const std::vector<float> pcm = vocode(*vocoder, default_backend(), mel, config.n_mels, look_ahead);
        // The part of the power that a sinusoid of this frequency explains, over the middle of the tone.
        double re = 0.0, im = 0.0, power = 0.0;
        const std::size_t from = pcm.size() / 4, to = 3 * pcm.size() / 4;
        for (std::size_t i = from; i < to; ++i) {
            const double angle = 2.0 * std::numbers::pi * kHz * static_cast<double>(i) / config.sample_rate;
            re += static_cast<double>(pcm[i]) * std::cos(angle);
            im += static_cast<double>(pcm[i]) * std::sin(angle);
            power += static_cast<double>(pcm[i]) * static_cast<double>(pcm[i]);
        }
        const double count = static_cast<double>(to - from);
        CHECK_CLOSE(std::sqrt(2.0 * power / count), 0.3, 0.03);
        CHECK_MSG(2.0 * (re * re + im * im) / count > 0.95 * power,
                  "look-ahead " + std::to_string(look_ahead) + ": " +
                      std::to_string(2.0 * (re * re + im * im) / count / power));
    }
}

TEST(spectral_silence_is_silent) {
    const Config config = speech_config();
    const auto vocoder = make_spectral(default_backend(), config);
    const std::vector<float> floor(50 * 80, std::log(kMelFloor)), below(50 * 80, -80.0F);
    for (int look_ahead = 0; look_ahead <= 3; ++look_ahead) {
        const std::vector<float> pcm = vocode(*vocoder, default_backend(), floor, config.n_mels, look_ahead);
        CHECK_MSG(peak(pcm) < 1e-6F, std::to_string(peak(pcm)));
        CHECK(pcm == vocode(*vocoder, default_backend(), below, config.n_mels, look_ahead));
    }
}

TEST(spectral_stays_finite_and_recovers) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    const float extremes[] = {
        std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity, 1e30F, -1e30F, 88.0F, 6.0F, 0.0F, -11.5F};
    for (const Config& config : {speech_config(), small_config()}) {
        const auto bands = static_cast<std::size_t>(config.n_mels);
        for (const Backend* backend : available_backends()) {
            const auto vocoder = make_spectral(*backend, config);
            for (int look_ahead = 0; look_ahead <= 3; ++look_ahead) {
                std::vector<float> mel;
                for (const float value : extremes) mel.insert(mel.end(), 4 * bands, value);
                for (std::size_t i = 0; i < 40 * bands; ++i) mel.push_back(extremes[check::random()() % 9]);
                const std::size_t noise_end = mel.size() / bands * static_cast<std::size_t>(config.hop_length);
                mel.insert(mel.end(), 20 * bands, -11.6F);
                const std::vector<float> pcm = vocode(*vocoder, *backend, mel, config.n_mels, look_ahead);
                CHECK(peak(pcm) <= 1.0F);
                const std::size_t settled = noise_end + 10 * static_cast<std::size_t>(config.hop_length);
                CHECK_MSG(peak(pcm, settled) < 3e-3F,
                          std::string(backend->name) + ": " + std::to_string(peak(pcm, settled)));
            }
        }
    }
}

}  // namespace

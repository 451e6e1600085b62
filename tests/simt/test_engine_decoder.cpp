// The device engine's decoder groups against the CPU's streams, at fp32, on small models.
#include <algorithm>
#include <string>
#include <vector>

#include "check.h"
#include "engine_models.h"

namespace {

using namespace engine_test;

constexpr double kTolerance = 2e-4;  // absolute, of log-mel and samples of order one

Tokens random_tokens(const Model& model, int count) {
    Tokens tokens(static_cast<std::size_t>(count));
    for (std::int32_t& token : tokens)
        token = std::uniform_int_distribution<std::int32_t>(0, model.config.cardinality() - 1)(check::random());
    return tokens;
}

std::vector<float> random_voice(const Model& model) {
    return check::uniform_vector(static_cast<std::size_t>(model.config.dimension));
}

std::vector<float> cpu_mel(const ModelPtr& model, const Tokens& tokens, const std::vector<float>& voice) {
    CpuDecoderStream stream(model, {}, voice, 1);
    std::vector<float> mel(tokens.size() *
                           static_cast<std::size_t>(model->config.frames_per_token() * model->config.n_mels));
    stream.push_to_mel(tokens.data(), tokens.size(), mel.data());
    return mel;
}

}  // namespace

TEST(engine_decoder_gives_the_mel_of_the_cpu) {
    for (const tiny::Shape& shape : kShapes) {
        const ModelPtr model = load(shape, Precision::fp32);
        const int steps = 9, slots = 2;
        const std::size_t width = static_cast<std::size_t>(model->config.frames_per_token() * model->config.n_mels);
        const auto group = make_decoder_group(model, {.capacity = slots}, {}, {});
        std::vector<Tokens> clips;
        std::vector<std::vector<float>> voices, heard(slots);
        for (int s = 0; s < slots; ++s) {
            clips.push_back(random_tokens(*model, steps));
            voices.push_back(random_voice(*model));
            group->set_voice(s, voices.back());
        }
        std::vector<float> mel(width * slots);
        for (std::size_t i = 0; i < steps; ++i) {
            const Tokens now{clips[0][i], clips[1][i]};
            group->step_to_mel(now.data(), mel.data());
            for (std::size_t s = 0; s < slots; ++s)
                heard[s].insert(heard[s].end(), mel.begin() + static_cast<std::ptrdiff_t>(s * width),
                                mel.begin() + static_cast<std::ptrdiff_t>((s + 1) * width));
        }
        for (std::size_t s = 0; s < slots; ++s)
            CHECK_VECTORS_CLOSE(heard[s], cpu_mel(model, clips[s], voices[s]), kTolerance, kTolerance, shape.name);
    }
}

TEST(engine_decoder_conceals_lost_tokens_as_the_cpu_does) {
    // Losses before the first token, short and long ones, within a call and across calls; slots lose other tokens.
    for (const tiny::Shape& shape : kShapes) {
        const ModelPtr model = load(shape, Precision::fp32);
        const std::size_t slots = 2, steps = 24;
        const std::size_t width = static_cast<std::size_t>(model->config.frames_per_token() * model->config.n_mels);
        std::vector<Tokens> clips;
        for (std::size_t s = 0; s < slots; ++s) clips.push_back(random_tokens(*model, steps));
        for (const std::size_t at : {0, 1, 4, 7, 8, 9}) clips[0][at] = kLostToken;
        for (std::size_t at = 6; at < 20; ++at) clips[1][at] = kLostToken;  // until it has faded, if tokens are long
        const auto group = make_decoder_group(model, {.capacity = slots, .max_steps = 3}, {}, {});
        std::vector<std::vector<float>> heard(slots);
        std::size_t at = 0, call = 0;
        std::vector<std::byte> snapshot(group->snapshot_bytes());
        while (at < steps) {
            const std::size_t count = std::min<std::size_t>(steps - at, 1 + call++ % 3);
            Tokens tokens;
            for (std::size_t s = 0; s < slots; ++s) {
                tokens.insert(tokens.end(), clips[s].begin() + static_cast<std::ptrdiff_t>(at),
                              clips[s].begin() + static_cast<std::ptrdiff_t>(at + count));
            }
            std::vector<float> mel(slots * count * width);
            group->steps_to_mel(tokens.data(), static_cast<int>(count), mel.data());
            for (std::size_t s = 0; s < slots; ++s) {
                const auto row = mel.begin() + static_cast<std::ptrdiff_t>(s * count * width);
                heard[s].insert(heard[s].end(), row, row + static_cast<std::ptrdiff_t>(count * width));
            }
            at += count;
            // In the middle of its loss a stream moves out and back in: what it remembers goes with it.
            if (call == 5) {
                group->snapshot(1, snapshot.data());
                const std::uint8_t second[] = {0, 1};
                group->reset(second);
                group->restore(1, snapshot);
            }
        }
        for (std::size_t s = 0; s < slots; ++s) {
            CpuDecoderStream stream(model, {}, {}, 1);
            std::vector<float> expected(steps * width);
            for (std::size_t i = 0; i < steps; ++i) {
                const std::int32_t* token = clips[s][i] == kLostToken ? nullptr : &clips[s][i];
                stream.push_to_mel(token, 1, expected.data() + i * width);
            }
            CHECK_VECTORS_CLOSE(heard[s], expected, kTolerance, kTolerance, shape.name + std::string(", lost"));
        }
    }
}

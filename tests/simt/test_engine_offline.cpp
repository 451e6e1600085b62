// Single streams and offline calls of a model on the device against the same model on the CPU, at fp32.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "codec/offline.h"
#include "engine_models.h"

namespace {

using namespace engine_test;

constexpr double kTolerance = 2e-4;  // absolute, of rows and log-mel of order one

ModelPtr on_cpu(const tiny::Shape& shape) {
    const std::vector<std::byte> bytes = tiny::model_bytes(shape);
    return Model::load(SafetensorsFile::from_memory(bytes), nullptr, Precision::fp32);
}

/// Both: the stages have to agree, whichever vocoder the model has.
struct Pair {
    explicit Pair(const tiny::Shape& shape)
        : device_model(load(shape, Precision::fp32)),
          cpu_model(on_cpu(shape)),
          device(make_offline(*device_model, 1)),
          cpu(make_offline(*cpu_model, 1)) {}

    ModelPtr device_model, cpu_model;
    std::unique_ptr<Offline> device, cpu;
};

std::size_t size(int n) { return static_cast<std::size_t>(n); }

Tokens random_tokens(const Model& model, std::size_t count) {
    Tokens tokens(count);
    for (std::int32_t& token : tokens)
        token = std::uniform_int_distribution<std::int32_t>(0, model.config.cardinality() - 1)(check::random());
    return tokens;
}

}  // namespace

TEST(engine_offline_stages_are_those_of_the_cpu) {
    for (const tiny::Shape& shape : kShapes) {
        const Pair both(shape);
        const Config& config = both.cpu_model->config;
        const std::size_t bands = size(config.n_mels), dimension = size(config.dimension);
        const Pcm pcm = random_pcm(*both.cpu_model, 40, 77);
        const std::size_t frames = both.cpu->mel_frames(pcm.size()), count = both.cpu->tokens_of(frames);
        std::vector<float> mel(frames * bands), expected(frames * bands);
        both.device->mel(pcm.data(), pcm.size(), mel.data());
        both.cpu->mel(pcm.data(), pcm.size(), expected.data());
        CHECK_VECTORS_CLOSE(mel, expected, kTolerance, kTolerance, shape.name);

        struct Outputs {
            std::vector<float> z, mu, fsq, acoustic, g;
            Tokens tokens;
        } out[2];
        const Offline* runs[2] = {both.device.get(), both.cpu.get()};
        for (std::size_t i = 0; i < 2; ++i) {
            Outputs& o = out[i];
            o.z.resize(count * dimension);
            o.mu.resize(count * dimension);
            o.fsq.resize(count * config.fsq_levels.size());
            o.acoustic.resize(config.acoustic_layers == 0 ? 0 : count * dimension);
            o.tokens.resize(count);
            o.g.resize(dimension);
            runs[i]->encode_mel(expected.data(), frames,
                                {{o.z.data(), o.mu.data(), o.fsq.data(), o.tokens.data()},
                                 o.acoustic.empty() ? nullptr : o.acoustic.data()});
            runs[i]->voice(expected.data(), frames, o.g.data());
        }
        CHECK_VECTORS_CLOSE(out[0].z, out[1].z, kTolerance, kTolerance, shape.name);
        CHECK_VECTORS_CLOSE(out[0].mu, out[1].mu, kTolerance, kTolerance, shape.name);
        CHECK_VECTORS_CLOSE(out[0].fsq, out[1].fsq, kTolerance, kTolerance, shape.name);
        CHECK_VECTORS_CLOSE(out[0].acoustic, out[1].acoustic, kTolerance, kTolerance, shape.name);
        CHECK_VECTORS_CLOSE(out[0].g, out[1].g, 2e-6, 1e-5, shape.name);
        CHECK_MSG(out[0].tokens == out[1].tokens, shape.name);

        const Tokens tokens = random_tokens(*both.cpu_model, 35);
        const std::size_t decoded = tokens.size() * size(config.frames_per_token());
        mel.resize(decoded * bands);
        expected.resize(decoded * bands);
        both.device->decode_tokens(tokens.data(), tokens.size(), out[1].g.data(), mel.data());
        both.cpu->decode_tokens(tokens.data(), tokens.size(), out[1].g.data(), expected.data());
        CHECK_VECTORS_CLOSE(mel, expected, kTolerance, kTolerance, shape.name);
        const std::vector<float> acoustic = check::uniform_vector(tokens.size() * dimension);
        both.device->decode_acoustic(acoustic.data(), tokens.size(), mel.data());
        both.cpu->decode_acoustic(acoustic.data(), tokens.size(), expected.data());
        CHECK_VECTORS_CLOSE(mel, expected, kTolerance, kTolerance, shape.name);
    }
}

TEST(engine_clips_side_by_side_are_clips_alone) {
    for (const tiny::Shape& shape : kShapes) {
        const Pair both(shape);
        const Config& config = both.cpu_model->config;
        const std::size_t dimension = size(config.dimension), hop = size(config.hop_length);
        std::vector<Pcm> clips;
        for (const int steps : {7, 0, 23, 1, 12}) {
            clips.push_back(random_pcm(*both.cpu_model, steps, steps == 0 ? config.hop_length - 1 : 3 * steps));
        }
        std::vector<Tokens> tokens[2];
        std::vector<std::vector<float>> voices[2];
        for (const std::size_t i : {0, 1}) {
            std::vector<ClipToEncode> list;
            for (const Pcm& clip : clips) {
                tokens[i].emplace_back(both.cpu->tokens_of(clip.size() / hop), -7);
                voices[i].emplace_back(dimension);
            }
            for (std::size_t c = 0; c < clips.size(); ++c) {
                list.push_back(
                    {clips[c].data(), clips[c].size(), tokens[i][c].data(), c == 2 ? nullptr : voices[i][c].data()});
            }
            (i == 0 ? *both.device : *both.cpu).encode_clips(list);
        }
        for (std::size_t c = 0; c < clips.size(); ++c) {
            const std::string what = std::string(shape.name) + ", clip " + std::to_string(c);
            CHECK_MSG(tokens[0][c] == tokens[1][c], what);
            CHECK_VECTORS_CLOSE(voices[0][c], voices[1][c], 2e-6, 1e-4, what);
            CHECK_MSG((voices[0][c] == std::vector<float>(dimension)) == (c == 2 || tokens[0][c].empty()), what);
        }

        std::vector<Tokens> codes;
        for (const std::size_t count : {5, 2, 0, 5, 3}) codes.push_back(random_tokens(*both.cpu_model, count));
        std::vector<ClipToDecode> list;
        std::vector<Pcm> audio;
        const std::vector<float> g = check::uniform_vector(dimension);
        for (const Tokens& code : codes) audio.emplace_back(code.size() * size(config.frame_size()));
        for (std::size_t c = 0; c < codes.size(); ++c)
            list.push_back({codes[c].data(), codes[c].size(), g.data(), audio[c].data()});
        both.device->decode_clips(list, {.look_ahead = 1});
        for (std::size_t c = 0; c < codes.size(); ++c) {
            const auto alone = both.device_model->engine->make_decoder(both.device_model, {.look_ahead = 1}, g, 1);
            Pcm expected(audio[c].size());
            const std::size_t count = alone->push(codes[c].data(), codes[c].size(), expected.data());
            CHECK(count + alone->flush(expected.data() + count) == expected.size());
            CHECK_MSG(audio[c] == expected, std::string(shape.name) + ", clip " + std::to_string(c));
        }
    }
}

TEST(engine_single_encoders_are_those_of_the_cpu) {
    for (const tiny::Shape& shape : kShapes) {
        const ModelPtr model = load(shape, Precision::fp32);
        const Pcm clip = random_pcm(*model, 9, 31);
        const Tokens expected = cpu_tokens(model, clip);
        const auto device = model->engine->make_encoder(model, 1);
        CpuEncoderStream cpu(model, 1);
        Tokens tokens;
        for (std::size_t begin = 0; begin < clip.size();) {
            const std::size_t chunk = std::min(clip.size() - begin, std::size_t{1} + check::random()() % 600);
            CHECK(device->tokens_after_push(chunk) == cpu.tokens_after_push(chunk));
            CHECK(device->tokens_after_flush(chunk) == cpu.tokens_after_flush(chunk));
            Tokens now(cpu.tokens_after_push(chunk));
            cpu.push(clip.data() + begin, chunk, now.data());
            CHECK(device->push(clip.data() + begin, chunk, now.data()) == now.size());
            tokens.insert(tokens.end(), now.begin(), now.end());
            begin += chunk;
        }
        Tokens rest(device->tokens_after_flush(0));
        CHECK(device->flush(rest.data()) == rest.size());
        CHECK(device->ended());
        tokens.insert(tokens.end(), rest.begin(), rest.end());
        CHECK_MSG(tokens == expected, shape.name);
    }
}

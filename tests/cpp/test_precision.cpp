// Streams of models opened at bf16 and int8: the promises of test_stream.cpp hold at every precision.
#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "allocations.h"
#include "codec/model.h"
#include "codec/offline.h"
#include "kernels/backend.h"
#include "streams.h"

using namespace streams;

namespace {

constexpr secousti_precision kReduced[] = {SECOUSTI_PRECISION_BF16, SECOUSTI_PRECISION_INT8};

std::string label(const tiny::Shape& shape, secousti_precision precision, std::size_t chunk = 0) {
    return std::string(shape.name) + ", precision " + std::to_string(precision) + ", " + std::to_string(chunk);
}

std::size_t samples_of(const secousti::Model& model) {
    return static_cast<std::size_t>(model.info().hop_length) * 70 + 123;
}

bool same(const Pcm& a, const Pcm& b) {
    return a.size() == b.size() && !a.empty() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Largest difference over the range of `b`; infinite if the sizes differ or anything is NaN.
double difference(const Pcm& a, const Pcm& b) {
    if (a.size() != b.size() || a.empty()) return INFINITY;
    double worst = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        if (!(d <= worst)) worst = d == d ? d : INFINITY;
    }
    const auto [low, high] = std::minmax_element(b.begin(), b.end());
    return worst / static_cast<double>(*high - *low);
}

/// Decoded log-mel of fixed tokens.
Pcm mel_of(const secousti::Model& model, const Tokens& tokens, const Pcm& voice) {
    const auto info = model.info();
    const std::size_t frames = tokens.size() * static_cast<std::size_t>(info.frame_size / info.hop_length);
    Pcm mel(frames * static_cast<std::size_t>(info.n_mels));
    CHECK(secousti_decode_tokens(model.get(), tokens.data(), tokens.size(), voice.data(), 1, mel.data(), frames) ==
          static_cast<std::int64_t>(frames));
    return mel;
}

}  // namespace

TEST(reduced_precision_chunks_and_threads_give_the_whole_bit_for_bit) {
    for (const secousti_precision precision : kReduced) {
        for (const tiny::Shape& shape : kShapes) {
            const auto model = open(shape, nullptr, precision);
            const Pcm pcm = random_pcm(samples_of(model)), voice = random_voice(model);
            const Tokens whole = encode(model, pcm, pcm.size());
            CHECK(std::any_of(whole.begin(), whole.end(), [&](auto t) { return t != whole[0]; }));
            for (const std::size_t chunk : {std::size_t{1}, std::size_t{255}, std::size_t{1024}, kRandomChunks})
                CHECK_MSG(encode(model, pcm, chunk) == whole, label(shape, precision, chunk));
            CHECK_MSG(encode(model, pcm, 5000, 2) == whole, label(shape, precision));
            const Tokens tokens = random_tokens(90, model.info().cardinality);
            const Pcm audio = decode(model, tokens, voice, tokens.size());
            for (const std::size_t chunk : {std::size_t{1}, std::size_t{7}, std::size_t{65}, kRandomChunks})
                CHECK_MSG(same(decode(model, tokens, voice, chunk), audio), label(shape, precision, chunk));
            CHECK_MSG(same(decode(model, tokens, voice, 31, {.threads = 2}), audio), label(shape, precision));
        }
    }
}

TEST(reduced_precision_snapshots_and_copies_go_on_exactly) {
    for (const secousti_precision precision : kReduced) {
        for (const tiny::Shape& shape : kShapes) {
            const auto model = open(shape, nullptr, precision), full = open(shape);
            const Pcm pcm = random_pcm(samples_of(model)), voice = random_voice(model);
            const Tokens tokens = encode(model, pcm, pcm.size());
            const Pcm audio = decode(model, tokens, voice, tokens.size());
            secousti::Encoder encoder(model);
            secousti::Decoder decoder(model, voice);
            Tokens coded;
            Pcm decoded;
            encoder.push(std::span(pcm).first(pcm.size() / 2), coded);
            decoder.push(std::span(tokens).first(tokens.size() / 2), decoded);
            secousti::Encoder encoders[] = {encoder.clone(), secousti::Encoder::restore(model, encoder.snapshot())};
            secousti::Decoder decoders[] = {decoder.clone(), secousti::Decoder::restore(model, decoder.snapshot())};
            for (int i : {0, 1}) {
                Tokens rest = coded;
                encoders[i].push(std::span(pcm).subspan(pcm.size() / 2), rest);
                encoders[i].flush(rest);
                CHECK_MSG(rest == tokens, label(shape, precision));
                Pcm tail = decoded;
                decoders[i].push(std::span(tokens).subspan(tokens.size() / 2), tail);
                decoders[i].flush(tail);
                CHECK_MSG(same(tail, audio), label(shape, precision));
            }
            // A model at another precision is another model to a stream's state.
            CHECK_THROWS(secousti::Encoder::restore(full, encoder.snapshot()), secousti::Error, "another model");
            CHECK_THROWS(secousti::Decoder::restore(model, secousti::Decoder(full).snapshot()), secousti::Error,
                         "another model");
        }
    }
}

TEST(reduced_precision_stays_near_fp32_on_every_isa) {
    for (const tiny::Shape& shape : {tiny::kPlain, tiny::kHalved, tiny::kOdd}) {
        const auto reference = open(shape, "scalar");
        const Tokens tokens = random_tokens(60, reference.info().cardinality);
        const Pcm voice = random_voice(reference), expected = mel_of(reference, tokens, voice);
        for (const secousti_precision precision : kReduced) {
            const double limit = precision == SECOUSTI_PRECISION_BF16 ? 0.01 : 0.03;
            const Pcm scalar = mel_of(open(shape, "scalar", precision), tokens, voice);
            for (const secousti::core::Backend* backend : secousti::core::available_backends()) {
                const Pcm mel = mel_of(open(shape, backend->name, precision), tokens, voice);
                const std::string text = label(shape, precision) + " " + backend->name;
                const double error = difference(mel, expected);
                CHECK_MSG(error <= limit, text + ": " + std::to_string(error) + " of the range");
                CHECK_MSG(error > 1e-6, text);  // it is another precision
                // A rounding that falls the other way moves one activation by a step of its quantisation.
                const double between = difference(mel, scalar);
                CHECK_MSG(between <= limit / 2, text + ": " + std::to_string(between) + " between instruction sets");
            }
        }
    }
}

TEST(models_state_their_precision_and_memory) {
    const auto fp32 = open(tiny::kPlain).info();
    CHECK(fp32.precision == SECOUSTI_PRECISION_FP32);
    CHECK(fp32.memory_bytes == fp32.parameters * 4);
    std::uint64_t last = fp32.memory_bytes;
    for (const secousti_precision precision : kReduced) {
        const auto info = open(tiny::kPlain, nullptr, precision).info();
        CHECK(info.precision == precision);
        CHECK(info.identity == fp32.identity);  // tokens mean the same
        CHECK(info.parameters == fp32.parameters);
        CHECK(info.memory_bytes < last);
        last = info.memory_bytes;
    }
}

TEST(unknown_precisions_are_refused) {
    const auto bytes = tiny::model_bytes();
    for (const std::int32_t value : {-2, 3, 1000}) {
        secousti_model_options options;
        secousti_model_options_init(&options);
        options.precision = value;
        secousti_model* model = nullptr;
        CHECK(secousti_model_open_memory(bytes.data(), bytes.size(), &options, &model) == SECOUSTI_UNSUPPORTED);
        CHECK(model == nullptr);
        const std::string text = secousti_last_error();
        CHECK_MSG(text.find("precision is " + std::to_string(value)) != std::string::npos, text);
    }
}

TEST(a_model_opens_at_the_precision_that_its_file_says) {
    const std::string json = tiny::config_json(tiny::kPlain);
    const auto tensors = tiny::random_tensors(json, 1);
    const auto saying = [&](const std::string& value) {
        std::string config = json;
        if (!value.empty()) config.insert(config.rfind('}'), R"(, "default_precision": )" + value);
        return tiny::safetensors(config, tensors);
    };
    const auto opened = [](const std::vector<std::byte>& bytes, const secousti_model_options* options) {
        secousti_model* model = nullptr;
        CHECK(secousti_model_open_memory(bytes.data(), bytes.size(), options, &model) == SECOUSTI_OK);
        secousti_model_info info{};
        info.struct_size = sizeof info;
        CHECK(secousti_model_get_info(model, &info) == SECOUSTI_OK);
        secousti_model_release(model);
        return info;
    };
    secousti_model_options options;
    secousti_model_options_init(&options);
    CHECK(options.precision == SECOUSTI_PRECISION_DEFAULT);
    const auto plain = opened(saying(""), nullptr);
    CHECK(plain.precision == SECOUSTI_PRECISION_FP32);
    CHECK(opened(saying(""), &options).precision == SECOUSTI_PRECISION_FP32);
    const std::pair<const char*, secousti_precision> cases[] = {{"\"fp32\"", SECOUSTI_PRECISION_FP32},
                                                                {"\"bf16\"", SECOUSTI_PRECISION_BF16},
                                                                {"\"int8\"", SECOUSTI_PRECISION_INT8}};
    for (const auto& [value, precision] : cases) {
        const auto bytes = saying(value);
        secousti_model_options_init(&options);
        CHECK(opened(bytes, nullptr).precision == precision);
        CHECK(opened(bytes, &options).precision == precision);
        CHECK(opened(bytes, &options).identity == plain.identity);
        CHECK(secousti::Model::from_memory(bytes).info().precision == precision);
        for (const secousti_precision asked :
             {SECOUSTI_PRECISION_FP32, SECOUSTI_PRECISION_BF16, SECOUSTI_PRECISION_INT8}) {
            options.precision = asked;
            CHECK(opened(bytes, &options).precision == asked);
        }
        // A struct that was cleared instead of initialised asks for fp32, as it always did.
        secousti_model_options cleared{};
        cleared.struct_size = sizeof cleared;
        CHECK(opened(bytes, &cleared).precision == SECOUSTI_PRECISION_FP32);
    }
    for (const char* value : {"\"fp16\"", "\"\"", "\"INT8\""}) {
        CHECK_THROWS(secousti::Model::from_memory(saying(value)), secousti::Error,
                     "default_precision: is '" + std::string(value + 1, std::string(value).size() - 2) +
                         "', expected 'fp32', 'bf16' or 'int8'");
    }
    CHECK_THROWS(secousti::Model::from_memory(saying("2")), secousti::Error, "default_precision");
}

TEST(reduced_precision_steps_do_not_allocate) {
    for (const secousti_precision precision : kReduced) {
        const auto model = open(tiny::kOdd, nullptr, precision);
        secousti::Encoder encoder(model);
        secousti::Decoder decoder(model);
        const Pcm pcm = random_pcm(samples_of(model));
        Tokens tokens(encoder.max_tokens(pcm.size()));
        const Tokens coded = random_tokens(50, model.info().cardinality);
        Pcm out(decoder.max_samples(coded.size()));
        const std::uint64_t before = allocations::count();
        CHECK(encoder.push(pcm, std::span<std::int32_t>(tokens)) > 0);
        CHECK(decoder.push(coded, std::span<float>(out)) > 0);
        CHECK(allocations::count() == before);
    }
}

TEST(what_leads_to_tokens_stays_as_precise_as_the_file_demands) {
    using namespace secousti::core;
    std::string json = tiny::config_json(tiny::kPlain);
    const auto tensors = tiny::random_tensors(json, 1);
    const auto tokens_of = [&](const std::string& config, Precision precision) {
        const auto bytes = tiny::safetensors(config, tensors);
        const auto model = Model::load(SafetensorsFile::from_memory(bytes, "model"), nullptr, precision);
        const std::size_t frames = 200;
        std::mt19937 generator(7);
        std::normal_distribution<float> normal(0.0F, 2.0F);
        std::vector<float> mel(frames * static_cast<std::size_t>(model->config.n_mels));
        for (float& value : mel) value = normal(generator);
        std::vector<std::int32_t> tokens(frames);
        make_offline(*model, 1)->encode_mel(mel.data(), frames, {.rows = {.tokens = tokens.data()}});
        return tokens;
    };
    std::string demanding = json;
    demanding.insert(demanding.rfind('}'), R"(, "token_precision": "fp32")");
    const auto expected = tokens_of(json, Precision::fp32);
    CHECK(std::any_of(expected.begin(), expected.end(), [&](auto t) { return t != expected[0]; }));
    CHECK(tokens_of(json, Precision::int8) != expected);
    for (const Precision precision : {Precision::fp32, Precision::bf16, Precision::int8})
        CHECK(tokens_of(demanding, precision) == expected);
    std::string wrong = json;
    wrong.insert(wrong.rfind('}'), R"(, "token_precision": "fp64")");
    CHECK_THROWS(tokens_of(wrong, Precision::fp32), secousti::core::Error, "token_precision: is 'fp64'");
}

// The registry of engines, and what streams say of themselves.
#include <string>

#include "base/error.h"
#include "codec/engine.h"
#include "codec/group.h"
#include "codec/stream.h"
#include "streams.h"

namespace {

using namespace secousti::core;

ModelPtr load(std::string_view device = "cpu") {
    const std::vector<std::byte> bytes = tiny::model_bytes(tiny::kPlain);
    return Model::load(SafetensorsFile::from_memory(bytes), nullptr, Precision::fp32, device);
}

Status status_of(const auto& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.status();
    }
    return Status::ok;
}

}  // namespace

TEST(engines_are_found_by_name) {
    CHECK(registered_engines().front().name == "cpu");
    CHECK(engine_for("cpu").name == "cpu");
    for (const char* name : {"", "CPU", "tpu", "cuda:x"}) {
        CHECK_THROWS(engine_for(name), Error, "device is '" + std::string(name) + "', expected 'cpu' or 'cuda'");
        CHECK(status_of([&] { engine_for(name); }) == Status::invalid_argument);
        CHECK(status_of([&] { load(name); }) == Status::invalid_argument);
    }
    if (registered_engines().size() == 1) {
        CHECK_THROWS(load("cuda"), Error, "device 'cuda': this build has no CUDA");
        CHECK(status_of([] { load("cuda"); }) == Status::unsupported);
    }
}

TEST(a_model_works_where_it_was_opened_and_on_the_cpu) {
    const ModelPtr model = load();
    CHECK(std::string(model->engine->device()) == "cpu" && model->engine->weight_bytes() == 0);
    CHECK(&engine_of(*model, "") == model->engine.get() && &engine_of(*model, "cpu") == model->engine.get());
    CHECK(status_of([&] { engine_of(*model, "tpu"); }) == Status::invalid_argument);
    CHECK(status_of([&] { engine_of(*model, "cuda"); }) == Status::unsupported);
    CHECK_THROWS(make_encoder_group(model, {.device = "cuda"}), Error, "device 'cuda'");
    CHECK_THROWS(model->engine->make_memory(*model, 8), Error, "was opened for the CPU");
    CHECK(make_encoder_group(model, {.capacity = 2})->capacity() == 2);
}

TEST(streams_say_whether_they_have_ended) {
    const auto model = streams::open(tiny::kPlain);
    secousti::Encoder encoder(model);
    secousti::Decoder decoder(model);
    streams::Tokens tokens;
    streams::Pcm pcm;
    CHECK(secousti_encoder_ended(nullptr) == 0 && secousti_decoder_ended(nullptr) == 0);
    for (int round = 0; round < 2; ++round) {
        CHECK(!encoder.ended() && !decoder.ended());
        encoder.push(streams::random_pcm(3000), tokens);
        decoder.push(tokens, pcm);
        CHECK(!encoder.ended() && !decoder.ended());
        encoder.flush(tokens);
        decoder.flush(pcm);
        CHECK(encoder.ended() && decoder.ended());
        CHECK(encoder.clone().ended() && secousti::Encoder::restore(model, encoder.snapshot()).ended());
        encoder.reset();
        decoder.reset();
    }
}

TEST(a_push_gives_at_most_a_token_more_than_it_has_whole_ones) {
    for (const tiny::Shape& shape : streams::kShapes) {
        const auto model = streams::open(shape);
        const std::size_t frame = static_cast<std::size_t>(model.info().frame_size);
        secousti::Encoder encoder(model);
        const streams::Pcm pcm = streams::random_pcm(40 * frame + check::random()() % frame);
        std::size_t most = 0;
        for (const std::size_t chunk : {streams::kRandomChunks, frame - 1}) {
            encoder.reset();
            streams::for_each_chunk(pcm.size(), chunk, [&](std::size_t begin, std::size_t size) {
                streams::Tokens room(size / frame + 1);
                const std::size_t count = encoder.push(std::span(pcm).subspan(begin, size), std::span(room));
                if (size < frame) most = std::max(most, count);
            });
        }
        CHECK_MSG(most == 1, shape.name);  // the bound is reached
    }
}

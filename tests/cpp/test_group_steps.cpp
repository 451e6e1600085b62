// Several steps of a group with one call, and its vocoder alone; test_groups.cpp compares such steps with single
// streams.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "group_checks.h"

namespace {

using namespace streams;

}  // namespace

TEST(the_vocoder_of_a_group_takes_mel) {
    for (const tiny::Shape& shape : {tiny::kHalved, tiny::kHift}) {
        const auto model = open(shape);
        const std::size_t bands = static_cast<std::size_t>(model.info().n_mels), slots = 3;
        const std::size_t hop = static_cast<std::size_t>(model.info().hop_length);
        secousti::DecoderGroup group(model, {.capacity = static_cast<int>(slots), .threads = 2, .max_steps = 4});
        const int most = 4 * model.info().frame_size / model.info().hop_length;
        std::vector<secousti::Decoder> single;
        for (std::size_t i = 0; i < slots; ++i) single.emplace_back(model);
        for (int call = 0; call < 12; ++call) {
            const std::size_t frames = static_cast<std::size_t>(any(1, most));
            Pcm mel = random_pcm(slots * frames * bands), out(slots * frames * hop, 7.0F);
            std::vector<std::uint8_t> active(slots);
            for (auto& flag : active) flag = chance(0.8);
            for (std::size_t i = 0; i < slots; ++i) {
                if (!active[i]) std::fill_n(&mel[i * frames * bands], frames * bands, std::nanf(""));
            }
            std::vector<std::int32_t> samples(slots, -5);
            group.step_from_mel(mel.data(), active.data(), static_cast<int>(frames), out.data(), samples.data());
            for (std::size_t i = 0; i < slots; ++i) {
                Pcm expected;
                if (active[i])
                    single[i].push_from_mel(std::span(mel).subspan(i * frames * bands, frames * bands), expected);
                CHECK(samples[i] == static_cast<std::int32_t>(expected.size()));
                CHECK_MSG(same_bits(&out[i * frames * hop], expected.data(), expected.size()), shape.name);
            }
        }
        for (std::size_t i = 0; i < slots; ++i) {
            Pcm expected, actual;
            single[i].flush(expected);
            group.flush(static_cast<int>(i), actual);
            CHECK_MSG(actual == expected, shape.name);
        }
        const std::vector<float> mel(slots * bands * static_cast<std::size_t>(most + 1));
        Pcm out(slots * hop * static_cast<std::size_t>(most + 1));
        std::vector<std::int32_t> samples(slots);
        group.reset();
        expect_error(SECOUSTI_INVALID_ARGUMENT, "frames is " + std::to_string(most + 1),
                     [&] { group.step_from_mel(mel.data(), nullptr, most + 1, out.data(), samples.data()); });
    }
}

TEST(several_steps_are_checked_as_a_whole) {
    const auto model = open(tiny::kHalved);
    const std::size_t frame = static_cast<std::size_t>(model.info().frame_size);
    expect_error(SECOUSTI_INVALID_ARGUMENT, "max_steps is 0",
                 [&] { secousti::EncoderGroup(model, {.capacity = 1, .max_steps = 0}); });
    expect_error(SECOUSTI_INVALID_ARGUMENT, "max_steps is 65",
                 [&] { secousti::DecoderGroup(model, {.capacity = 1, .max_steps = 65}); });
    secousti::EncoderGroup encoders(model, {.capacity = 2, .max_steps = 2});
    secousti::DecoderGroup decoders(model, {.capacity = 2, .max_steps = 2});
    Pcm pcm(2 * 3 * frame);
    Tokens tokens(6);
    std::vector<std::int32_t> samples(2);
    expect_error(SECOUSTI_INVALID_ARGUMENT, "count is 3, expected 1 to 2",
                 [&] { encoders.steps(pcm.data(), nullptr, 3, tokens.data()); });
    expect_error(SECOUSTI_INVALID_ARGUMENT, "count is 0",
                 [&] { decoders.steps(tokens.data(), 0, pcm.data(), samples.data()); });
    tokens = {1, 1, 0, SECOUSTI_TOKEN_NONE};
    expect_error(SECOUSTI_INVALID_ARGUMENT, "tokens[1][1] is -2: a slot is active in all steps",
                 [&] { decoders.steps(tokens.data(), 2, pcm.data(), samples.data()); });
    tokens = {1, model.info().cardinality, SECOUSTI_TOKEN_NONE, SECOUSTI_TOKEN_NONE};
    expect_error(SECOUSTI_INVALID_ARGUMENT, "tokens[0][1] is",
                 [&] { decoders.steps(tokens.data(), 2, pcm.data(), samples.data()); });
    // Callers from before max_steps.
    secousti_encoder_group_options old;
    secousti_encoder_group_options_init(&old);
    old.struct_size = offsetof(secousti_encoder_group_options, max_steps);
    old.max_steps = 12345;
    secousti_encoder_group* group = nullptr;
    CHECK(secousti_encoder_group_create(model.get(), &old, &group) == SECOUSTI_OK);
    secousti_encoder_group_destroy(group);
}

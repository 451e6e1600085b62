// The device engine's encoder groups against the CPU's streams, at fp32, on small models.
#include <algorithm>
#include <string>
#include <vector>

#include "check.h"
#include "engine_models.h"

namespace {

using namespace engine_test;

/// Tokens that the slots of a group give one by one, kNoToken for none.
std::vector<Tokens> run_group(EncoderGroup& group, const std::vector<Pcm>& clips, int steps) {
    const std::size_t slots = clips.size(), frame = static_cast<std::size_t>(group.model().config.frame_size());
    std::vector<Tokens> tokens(slots);
    std::vector<float> pcm(slots * frame);
    std::vector<std::int32_t> out(slots);
    for (int i = 0; i < steps; ++i) {
        for (std::size_t s = 0; s < slots; ++s)
            std::copy_n(clips[s].begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(i) * frame), frame,
                        pcm.begin() + static_cast<std::ptrdiff_t>(s * frame));
        group.step(pcm.data(), nullptr, out.data());
        for (std::size_t s = 0; s < slots; ++s)
            if (out[s] >= 0) tokens[s].push_back(out[s]);
    }
    return tokens;
}

Tokens flushed(EncoderGroup& group, int slot) {
    Tokens tokens(group.tokens_after_flush(slot));
    CHECK(group.flush(slot, tokens.data()) == tokens.size());
    CHECK(group.ended(slot));
    return tokens;
}

}  // namespace

TEST(engine_encoder_gives_what_the_cpu_gives) {
    for (const tiny::Shape& shape : kShapes) {
        const ModelPtr model = load(shape, Precision::fp32);
        const int steps = 14, slots = 3;
        std::vector<Pcm> clips;
        for (int s = 0; s < slots; ++s) clips.push_back(random_pcm(*model, steps));
        const auto group = make_encoder_group(model, {.capacity = slots});
        std::vector<Tokens> tokens = run_group(*group, clips, steps);
        for (int s = 0; s < slots; ++s) {
            Tokens& mine = tokens[static_cast<std::size_t>(s)];
            const Tokens rest = flushed(*group, s);
            mine.insert(mine.end(), rest.begin(), rest.end());
            CHECK_MSG(mine == cpu_tokens(model, clips[static_cast<std::size_t>(s)]), shape.name);
        }
    }
}

TEST(engine_encoder_makes_several_steps_at_once) {
    // Two streams of different age: while the younger one starts, steps are made one by one.
    for (const tiny::Shape& shape : kShapes) {
        const ModelPtr model = load(shape, Precision::fp32);
        const int steps = 12, slots = 2, most = 3;
        const std::size_t frame = static_cast<std::size_t>(model->config.frame_size());
        const std::vector<Pcm> clips{random_pcm(*model, steps), random_pcm(*model, steps)};
        const auto single = make_encoder_group(model, {.capacity = slots});
        const auto several = make_encoder_group(model, {.capacity = slots, .max_steps = most});
        std::size_t given = 0;
        std::vector<int> at(slots);
        for (const int count : {2, 3, 1, 3, 2, 1}) {
            const std::vector<std::uint8_t> active{1, static_cast<std::uint8_t>(at[0] > 2)};
            const std::size_t n = static_cast<std::size_t>(count);
            std::vector<float> pcm(slots * n * frame);
            Tokens together(slots * n, 7), expected(slots * n, kNoToken);
            for (int i = 0; i < count; ++i) {
                std::vector<float> one(slots * frame);
                Tokens tokens(slots);
                for (std::size_t s = 0; s < slots; ++s) {
                    if (active[s] == 0) continue;
                    const auto from =
                        clips[s].begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(at[s]++) * frame);
                    std::copy_n(from, frame, one.begin() + static_cast<std::ptrdiff_t>(s * frame));
                    std::copy_n(
                        from, frame,
                        pcm.begin() + static_cast<std::ptrdiff_t>((s * n + static_cast<std::size_t>(i)) * frame));
                }
                single->step(one.data(), active.data(), tokens.data());
                for (std::size_t s = 0; s < slots; ++s) expected[s * n + static_cast<std::size_t>(i)] = tokens[s];
            }
            several->steps(pcm.data(), active.data(), count, together.data());
            CHECK_MSG(together == expected, std::string(shape.name) + ", " + std::to_string(count) + " steps");
            given +=
                static_cast<std::size_t>(std::count_if(expected.begin(), expected.end(), [](int t) { return t >= 0; }));
        }
        CHECK(given > 8);
        for (int s = 0; s < slots; ++s) CHECK_MSG(flushed(*several, s) == flushed(*single, s), shape.name);
    }
}

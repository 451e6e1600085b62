// The device engine's encoder groups against the CPU's streams, at fp32, on small models.
#include <algorithm>
#include <string>
#include <vector>

#include "check.h"
#include "engine_models.h"

namespace {

using namespace engine_test;

/// Tokens that the slots of a group give one by one, -1 for none.
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
        const auto group = make_device_encoder_group(model, {.capacity = slots});
        std::vector<Tokens> tokens = run_group(*group, clips, steps);
        for (int s = 0; s < slots; ++s) {
            Tokens& mine = tokens[static_cast<std::size_t>(s)];
            const Tokens rest = flushed(*group, s);
            mine.insert(mine.end(), rest.begin(), rest.end());
            CHECK_MSG(mine == cpu_tokens(model, clips[static_cast<std::size_t>(s)]), shape.name);
        }
    }
}

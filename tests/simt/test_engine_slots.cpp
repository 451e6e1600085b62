// Slots of the device engine's groups: a stream in a group is the stream alone, whatever the others do; snapshots go
// between the CPU and the device in either direction.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "check.h"
#include "engine_models.h"

namespace {

using namespace engine_test;

std::size_t size(int n) { return static_cast<std::size_t>(n); }

/// One step of a single slot with the `step`-th frame of its clip; appends the token, if any.
void feed(EncoderGroup& group, int slot, const Pcm& clip, int step, Tokens& tokens) {
    const std::size_t frame = size(group.model().config.frame_size());
    std::vector<float> pcm(size(group.capacity()) * frame);
    std::vector<std::uint8_t> active(size(group.capacity()));
    std::vector<std::int32_t> out(size(group.capacity()), 7);
    std::copy_n(clip.begin() + static_cast<std::ptrdiff_t>(size(step) * frame), frame,
                pcm.begin() + static_cast<std::ptrdiff_t>(size(slot) * frame));
    active[size(slot)] = 1;
    group.step(pcm.data(), active.data(), out.data());
    for (int other = 0; other < group.capacity(); ++other) CHECK(other == slot || out[size(other)] == kNoToken);
    if (out[size(slot)] >= 0) tokens.push_back(out[size(slot)]);
}

void append_flush(EncoderGroup& group, int slot, Tokens& tokens) {
    Tokens rest(group.tokens_after_flush(slot));
    rest.resize(group.flush(slot, rest.data()));
    tokens.insert(tokens.end(), rest.begin(), rest.end());
}

std::vector<float> mel_of(DecoderGroup& group, int slot, const Tokens& tokens) {
    const std::size_t width = size(group.model().config.frames_per_token() * group.model().config.n_mels);
    std::vector<float> mel(size(group.capacity()) * width, 0.25F), heard;
    for (const std::int32_t token : tokens) {
        Tokens now(size(group.capacity()), kNoToken);
        now[size(slot)] = token;
        group.step_to_mel(now.data(), mel.data());
        const auto row = mel.begin() + static_cast<std::ptrdiff_t>(size(slot) * width);
        heard.insert(heard.end(), row, row + static_cast<std::ptrdiff_t>(width));
    }
    return heard;
}

Tokens random_tokens(const Model& model, int count) {
    Tokens tokens(size(count));
    for (std::int32_t& token : tokens)
        token = std::uniform_int_distribution<std::int32_t>(0, model.config.cardinality() - 1)(check::random());
    return tokens;
}

/// What differs by a last bit between the CPU and the device is now and then rounded to another of 127 steps, be it an
/// activation, a key or a value, and then moves the rest of its clip. So several clips are compared: most agree
/// to rounding, and one must, as none would if anything but such a step differed; and no clip may be further
/// from the other backend's than two independent roundings of the same model can be.
class Int8Comparison {
  public:
    void add(const std::vector<float>& mel, const std::vector<float>& on_cpu, const std::vector<float>& wide) {
        const double difference = rms_difference(mel, on_cpu), rounding = rms_difference(wide, on_cpu);
        // Written so that NaN fails.
        if (!(difference <= 2.0 * rounding)) ++strays_;
        if (difference <= 1e-4) ++equal_;
        ++clips_;
        worst_ = std::max(worst_, difference / rounding);
    }
    void check(const std::string& what) const {
        const std::string counts = what + ": " + std::to_string(equal_) + " of " + std::to_string(clips_) +
                                   " clips equal, at worst " + std::to_string(worst_) + " of int8's own error";
        CHECK_MSG(strays_ == 0 && equal_ > 0, counts);
    }

  private:
    static double rms_difference(const std::vector<float>& a, const std::vector<float>& b) {
        CHECK(a.size() == b.size() && !a.empty());
        double sum = 0;
        for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
        return std::sqrt(sum / static_cast<double>(a.size()));
    }

    int clips_ = 0, equal_ = 0, strays_ = 0;
    double worst_ = 0;
};

constexpr int kInt8Clips = 5;

}  // namespace

TEST(engine_slots_do_not_see_each_other) {
    for (const tiny::Shape& shape : kShapes) {
        const ModelPtr model = load(shape, Precision::fp32);
        const int steps = 8;
        const auto group = make_encoder_group(model, {.capacity = 3});
        const auto alone = make_encoder_group(model, {.capacity = 1});
        const Pcm first = random_pcm(*model, steps), second = random_pcm(*model, steps);
        Tokens a, b, again, single;
        // Slot 2 joins late and goes on in bursts; slot 0 is reset and starts again.
        for (int i = 0; i < steps; ++i) {
            feed(*group, 0, first, i, a);
            if (i % 3 != 0) feed(*group, 2, second, i - 1 - i / 3, b);
            feed(*alone, 0, first, i, single);
        }
        const std::uint8_t only_first[] = {1, 0, 0};
        group->reset(only_first);
        for (int i = 0; i < steps; ++i) feed(*group, 0, first, i, again);
        CHECK_MSG(a == single, shape.name);
        CHECK_MSG(again == a, shape.name);
        append_flush(*group, 0, again);
        CHECK_MSG(again == cpu_tokens(model, first), shape.name);
        const Tokens expected = cpu_tokens(model, second);
        CHECK_MSG(!b.empty() && std::equal(b.begin(), b.end(), expected.begin()), shape.name);
    }
}

TEST(engine_decoder_slots_restart) {
    const ModelPtr model = load(kShapes[0], Precision::fp32);
    const auto group = make_decoder_group(model, {.capacity = 2}, {}, {});
    const Tokens tokens = random_tokens(*model, 6), others = random_tokens(*model, 4);
    const std::vector<float> first = mel_of(*group, 1, tokens);
    mel_of(*group, 0, others);
    const std::uint8_t only_second[] = {0, 1};
    group->reset(only_second);
    CHECK(mel_of(*group, 1, tokens) == first);
    group->start(0, {}, {});
    CHECK(mel_of(*group, 0, tokens) == first);
}

TEST(engine_snapshots_go_between_cpu_and_device) {
    for (const tiny::Shape& shape : kShapes) {
        const ModelPtr model = load(shape, Precision::fp32);
        const int steps = 12, half = 7;
        const std::size_t frame = size(model->config.frame_size());
        const Pcm clip = random_pcm(*model, steps);
        const Tokens expected = cpu_tokens(model, clip);
        const auto group = make_encoder_group(model, {.capacity = 2});

        // Device, then CPU.
        Tokens tokens;
        for (int i = 0; i < half; ++i) feed(*group, 1, clip, i, tokens);
        std::vector<std::byte> snapshot(group->snapshot_bytes());
        group->snapshot(1, snapshot.data());
        CpuEncoderStream cpu(model, 1);
        cpu.restore(snapshot);
        Tokens rest(cpu.tokens_after_flush(clip.size() - size(half) * frame));
        std::size_t count = cpu.push(clip.data() + size(half) * frame, clip.size() - size(half) * frame, rest.data());
        count += cpu.flush(rest.data() + count);
        rest.resize(count);
        tokens.insert(tokens.end(), rest.begin(), rest.end());
        CHECK_MSG(tokens == expected, shape.name);

        // CPU, then device.
        cpu.reset();
        tokens.assign(cpu.tokens_after_push(size(half) * frame), 0);
        cpu.push(clip.data(), size(half) * frame, tokens.data());
        cpu.snapshot(snapshot.data());
        group->restore(0, snapshot);
        for (int i = half; i < steps; ++i) feed(*group, 0, clip, i, tokens);
        append_flush(*group, 0, tokens);
        CHECK_MSG(tokens == expected, shape.name);
    }
}

TEST(engine_flush_leaves_other_slots_alone) {
    // Slots of all ages; the one in the middle ends, the others go on.
    for (const tiny::Shape& shape : kShapes) {
        const ModelPtr model = load(shape, Precision::fp32);
        const int steps = 9;
        const auto group = make_encoder_group(model, {.capacity = 3, .max_steps = 2});
        std::vector<Pcm> clips;
        std::vector<Tokens> tokens(3);
        for (int slot = 0; slot < 3; ++slot) clips.push_back(random_pcm(*model, steps - 2 * slot));
        for (int slot = 0; slot < 3; ++slot) {
            for (int i = 0; i < 5 - 2 * slot; ++i) feed(*group, slot, clips[size(slot)], i, tokens[size(slot)]);
        }
        for (const int slot : {1, 0, 2}) {
            for (int i = 5 - 2 * slot; i < steps - 2 * slot; ++i) {
                feed(*group, slot, clips[size(slot)], i, tokens[size(slot)]);
            }
            append_flush(*group, slot, tokens[size(slot)]);
            CHECK(group->ended(slot));
            CHECK_MSG(tokens[size(slot)] == cpu_tokens(model, clips[size(slot)]), shape.name);
        }
    }
}

TEST(engine_groups_at_int8_give_what_the_cpu_gives) {
    std::size_t compared = 0, same = 0;
    for (const tiny::Shape& shape : kShapes) {
        const ModelPtr model = load(shape, Precision::int8), wide_model = load(shape, Precision::fp32);
        const int steps = 8;
        const std::uint8_t second[] = {0, 1};
        const auto encoders = make_encoder_group(model, {.capacity = 2, .max_steps = 3});
        const auto decoders = make_decoder_group(model, {.capacity = 2}, {}, {});
        Int8Comparison comparison;
        for (int clip_number = 0; clip_number < kInt8Clips; ++clip_number) {
            encoders->reset(second);
            decoders->start(1, {}, {});
            const Pcm clip = random_pcm(*model, steps);
            Tokens tokens;
            for (int i = 0; i < steps; ++i) feed(*encoders, 1, clip, i, tokens);
            append_flush(*encoders, 1, tokens);
            const Tokens expected = cpu_tokens(model, clip);
            CHECK(tokens.size() == expected.size());
            for (std::size_t i = 0; i < tokens.size(); ++i) same += tokens[i] == expected[i] ? 1 : 0;
            compared += tokens.size();

            const std::vector<float> mel = mel_of(*decoders, 1, expected);
            std::vector<float> on_cpu(mel.size()), wide(mel.size());
            CpuDecoderStream(model, {}, {}, 1).push_to_mel(expected.data(), expected.size(), on_cpu.data());
            CpuDecoderStream(wide_model, {}, {}, 1).push_to_mel(expected.data(), expected.size(), wide.data());
            comparison.add(mel, on_cpu, wide);
        }
        comparison.check(shape.name);
    }
    CHECK_MSG(same * 10 >= compared * 9, std::to_string(same) + " of " + std::to_string(compared) + " tokens");
}

TEST(engine_snapshots_at_int8_keep_every_bit) {
    for (const tiny::Shape& shape : kShapes) {
        const ModelPtr model = load(shape, Precision::int8), wide_model = load(shape, Precision::fp32);
        const auto group = make_decoder_group(model, {.capacity = 3}, {}, {});
        Int8Comparison comparison;
        for (int clip = 0; clip < kInt8Clips; ++clip) {
            for (const int slot : {1, 2}) group->start(slot, {}, {});
            // More tokens than the window holds, so that its ring has wrapped.
            const Tokens tokens = random_tokens(*model, model->config.context + 3), later = random_tokens(*model, 4);
            const std::vector<float> before = mel_of(*group, 1, tokens);
            std::vector<std::byte> snapshot(group->snapshot_bytes());
            group->snapshot(1, snapshot.data());
            const std::vector<float> expected = mel_of(*group, 1, later);

            CpuDecoderStream cpu(model, {}, {}, 1);
            cpu.restore(snapshot);
            std::vector<std::byte> again(snapshot.size());
            cpu.snapshot(again.data());
            group->restore(2, again);
            CHECK_MSG(mel_of(*group, 2, later) == expected, shape.name);

            std::vector<float> on_cpu(expected.size()), wide(expected.size());
            cpu.push_to_mel(later.data(), later.size(), on_cpu.data());
            CpuDecoderStream alone(wide_model, {}, {}, 1);
            std::vector<float> ignored(before.size());
            alone.push_to_mel(tokens.data(), tokens.size(), ignored.data());
            alone.push_to_mel(later.data(), later.size(), wide.data());
            comparison.add(expected, on_cpu, wide);
        }
        comparison.check(shape.name);
    }
}

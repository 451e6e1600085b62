// Decoder groups on the device down to samples, with either vocoder.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "check.h"
#include "engine_models.h"
#include "models/hift/past.h"

namespace {

using namespace engine_test;

constexpr tiny::Shape kHift{.name = "hift",
                            .ratio1 = 2,
                            .ratio2 = 1,
                            .acoustic_layers = 0,
                            .vocoder = "hift",
                            .n_filters = 8,
                            .dimension = 32,
                            .head_dim = 16,
                            .feedforward = 48,
                            .context = 5,
                            .seed = 24};

Tokens random_tokens(const Model& model, int count) {
    Tokens tokens(static_cast<std::size_t>(count));
    for (std::int32_t& token : tokens)
        token = std::uniform_int_distribution<std::int32_t>(0, model.config.cardinality() - 1)(check::random());
    return tokens;
}

/// Steps the clips side by side, each slot resting now and then, and flushes every slot.
std::vector<Pcm> on_device(const ModelPtr& model, const std::vector<Tokens>& clips, const VocoderOptions& options) {
    const std::size_t slots = clips.size(), frame = static_cast<std::size_t>(model->config.frame_size());
    const auto group = make_decoder_group(model, {.capacity = static_cast<int>(slots)}, options, {});
    std::vector<Pcm> heard(slots);
    std::vector<std::size_t> at(slots, 0);
    while (true) {
        Tokens now(slots, kNoToken);
        bool any = false;
        for (std::size_t s = 0; s < slots; ++s) {
            if (at[s] == clips[s].size()) continue;
            any = true;
            if (slots == 1 || check::random()() % 3 != 0) now[s] = clips[s][at[s]++];
        }
        if (!any) break;
        Pcm pcm(slots * frame);
        std::vector<std::int32_t> samples(slots);
        group->step(now.data(), pcm.data(), samples.data());
        for (std::size_t s = 0; s < slots; ++s) {
            CHECK(now[s] >= 0 || samples[s] == 0);
            const auto row = pcm.begin() + static_cast<std::ptrdiff_t>(s * frame);
            heard[s].insert(heard[s].end(), row, row + samples[s]);
        }
    }
    for (std::size_t s = 0; s < slots; ++s) {
        Pcm pcm(group->samples_owed(static_cast<int>(s)));
        CHECK(group->flush(static_cast<int>(s), pcm.data()) == pcm.size());
        heard[s].insert(heard[s].end(), pcm.begin(), pcm.end());
        CHECK(heard[s].size() == clips[s].size() * frame);
    }
    return heard;
}

}  // namespace

TEST(engine_decoder_with_hift_gives_the_samples_of_the_cpu) {
    const ModelPtr model = load(kHift, Precision::fp32);
    const VocoderOptions options{.noise = true, .seed = 5};
    const std::vector<Tokens> clips{random_tokens(*model, 4), random_tokens(*model, 6)};
    const std::vector<Pcm> heard = on_device(model, clips, options);
    for (std::size_t s = 0; s < clips.size(); ++s) {
        CpuDecoderStream stream(model, model->vocoder->resolve(options), {}, 1);
        Pcm expected(stream.samples_owed(clips[s].size() * static_cast<std::size_t>(model->config.frames_per_token())));
        const std::size_t count = stream.push(clips[s].data(), clips[s].size(), expected.data());
        stream.flush(expected.data() + count);
        const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
        CHECK(*high - *low > 0.0F);
        CHECK_VECTORS_CLOSE(heard[s], expected, 2e-3 * static_cast<double>(*high - *low), 0.0,
                            "slot " + std::to_string(s));
    }
}

TEST(engine_decoder_with_the_spectral_vocoder_gives_a_slot_what_it_gives_alone) {
    const ModelPtr model = load(kShapes[1], Precision::fp32);
    const std::vector<Tokens> clips{random_tokens(*model, 2), random_tokens(*model, 3)};
    const std::vector<Pcm> heard = on_device(model, clips, {.look_ahead = 2});
    for (std::size_t s = 0; s < clips.size(); ++s) {
        CHECK(on_device(model, {clips[s]}, {.look_ahead = 2})[0] == heard[s]);
        CHECK(std::all_of(heard[s].begin(), heard[s].end(), [](float v) { return std::abs(v) <= 1.0F; }));
    }
}

TEST(engine_decoder_makes_several_steps_at_once) {
    // Whatever the calls, a slot gets the bits of single steps; slots rest for whole calls.
    const tiny::Shape& spectral = kShapes[1];
    for (const tiny::Shape& shape : {kHift, spectral}) {
        const ModelPtr model = load(shape, Precision::fp32);
        const std::size_t slots = 2, frame = static_cast<std::size_t>(model->config.frame_size());
        const VocoderOptions options{.noise = true, .seed = 5};
        const std::vector<Tokens> clips{random_tokens(*model, 6), random_tokens(*model, 6)};
        const auto group = make_decoder_group(model, {.capacity = slots, .max_steps = 3}, options, {});
        const auto to_mel = make_decoder_group(model, {.capacity = slots, .max_steps = 3}, options, {});
        const auto from_mel = make_decoder_group(model, {.capacity = slots, .max_steps = 3}, options, {});
        std::vector<Pcm> heard(slots), vocoded(slots);
        std::vector<std::size_t> at(slots);
        for (const std::size_t count : {2, 1, 3}) {
            for (const std::vector<std::uint8_t>& active : {std::vector<std::uint8_t>{1, 0}, {0, 1}}) {
                Tokens tokens(slots * count, kNoToken);
                for (std::size_t s = 0; s < slots; ++s) {
                    if (active[s] == 0) continue;
                    std::copy_n(clips[s].begin() + static_cast<std::ptrdiff_t>(at[s]), count,
                                tokens.begin() + static_cast<std::ptrdiff_t>(s * count));
                    at[s] += count;
                }
                const int steps = static_cast<int>(count), frames = steps * model->config.frames_per_token();
                const std::size_t row = count * frame;
                Pcm pcm(slots * row), again(slots * row);
                std::vector<float> mel(slots * static_cast<std::size_t>(frames * model->config.n_mels));
                std::vector<std::int32_t> samples(slots), others(slots);
                group->steps(tokens.data(), steps, pcm.data(), samples.data());
                to_mel->steps_to_mel(tokens.data(), steps, mel.data());
                from_mel->step_from_mel(mel.data(), active.data(), frames, again.data(), others.data());
                CHECK(samples == others);
                for (std::size_t s = 0; s < slots; ++s) {
                    const auto append = [&](Pcm& to, const Pcm& from) {
                        const auto begin = from.begin() + static_cast<std::ptrdiff_t>(s * row);
                        to.insert(to.end(), begin, begin + samples[s]);
                    };
                    append(heard[s], pcm);
                    append(vocoded[s], again);
                }
            }
        }
        for (std::size_t s = 0; s < slots; ++s) {
            for (const auto& [made, which] : {std::pair{&heard[s], group.get()}, {&vocoded[s], from_mel.get()}}) {
                Pcm rest(which->samples_owed(static_cast<int>(s)));
                CHECK(which->flush(static_cast<int>(s), rest.data()) == rest.size());
                made->insert(made->end(), rest.begin(), rest.end());
            }
            CHECK_MSG(vocoded[s] == heard[s], shape.name);
            CHECK_MSG(heard[s] == on_device(model, {clips[s]}, options)[0], shape.name);
        }
    }
}

TEST(engine_streams_with_hift_move_between_cpu_and_device) {
    // A stream begins on one side, moves after `half` tokens and ends on the other: before its first frames are
    // forgotten and after.
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
        const ModelPtr model = load(kHift, precision);
        const VocoderOptions options = model->vocoder->resolve({.noise = true, .seed = 5});
        const std::size_t frame = static_cast<std::size_t>(model->config.frame_size());
        const int forgotten = hift::past_frames(model->config) / model->config.frames_per_token();
        for (const int half : {3, forgotten + 4}) {
            const Tokens clip = random_tokens(*model, half + 8);
            const std::size_t first = static_cast<std::size_t>(half), rest = clip.size() - first;
            const auto group = make_decoder_group(model, {.capacity = 2, .max_steps = 3}, options, {});
            const auto other = make_decoder_group(model, {.capacity = 3}, options, {});
            std::vector<std::byte> snapshot(group->snapshot_bytes());

            const auto cpu_push = [&](DecoderStream& stream, std::size_t from, std::size_t count, Pcm& heard) {
                Pcm pcm(stream.samples_owed(count * static_cast<std::size_t>(model->config.frames_per_token())));
                pcm.resize(stream.push(clip.data() + from, count, pcm.data()));
                heard.insert(heard.end(), pcm.begin(), pcm.end());
            };
            const auto cpu_flush = [&](DecoderStream& stream, Pcm& heard) {
                Pcm pcm(stream.samples_owed(0));
                pcm.resize(stream.flush(pcm.data()));
                heard.insert(heard.end(), pcm.begin(), pcm.end());
            };
            const auto push = [&](DecoderGroup& to, int slot, std::size_t from, std::size_t count, Pcm& heard) {
                const std::size_t slots = static_cast<std::size_t>(to.capacity());
                for (std::size_t i = from; i < from + count; ++i) {
                    Tokens now(slots, kNoToken);
                    now[static_cast<std::size_t>(slot)] = clip[i];
                    Pcm pcm(slots * frame);
                    std::vector<std::int32_t> samples(slots);
                    to.step(now.data(), pcm.data(), samples.data());
                    const auto row = pcm.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(slot) * frame);
                    heard.insert(heard.end(), row, row + samples[static_cast<std::size_t>(slot)]);
                }
            };
            const auto flush = [&](DecoderGroup& to, int slot, Pcm& heard) {
                Pcm pcm(to.samples_owed(slot));
                CHECK(to.flush(slot, pcm.data()) == pcm.size());
                heard.insert(heard.end(), pcm.begin(), pcm.end());
            };

            Pcm whole, on_device, moved, to_cpu, to_device;
            CpuDecoderStream stream(model, options, {}, 1);
            cpu_push(stream, 0, first, whole);
            to_device = whole;
            stream.snapshot(snapshot.data());
            group->restore(0, snapshot);
            cpu_push(stream, first, rest, whole);
            cpu_flush(stream, whole);
            push(*group, 0, first, rest, to_device);
            flush(*group, 0, to_device);

            push(*group, 1, 0, first, on_device);
            moved = to_cpu = on_device;
            group->snapshot(1, snapshot.data());
            other->restore(2, snapshot);
            stream.restore(snapshot);
            // One that has not gone on since it came moves on as it is.
            stream.snapshot(snapshot.data());
            stream.restore(snapshot);
            push(*group, 1, first, rest, on_device);
            flush(*group, 1, on_device);
            push(*other, 2, first, rest, moved);
            flush(*other, 2, moved);
            cpu_push(stream, first, rest, to_cpu);
            cpu_flush(stream, to_cpu);

            const std::string what =
                std::to_string(half) + " tokens, precision " + std::to_string(static_cast<int>(precision));
            const auto [low, high] = std::minmax_element(whole.begin(), whole.end());
            CHECK(*high - *low > 0.0F);
            const double tolerance = (precision == Precision::fp32 ? 2e-3 : 5e-2) * static_cast<double>(*high - *low);
            CHECK(whole.size() == clip.size() * frame);
            CHECK_MSG(moved == on_device, what + ": from a group to another");
            CHECK_VECTORS_CLOSE(on_device, whole, tolerance, 0.0, what + ": device");
            CHECK_VECTORS_CLOSE(to_device, whole, tolerance, 0.0, what + ": CPU to device");
            CHECK_VECTORS_CLOSE(to_cpu, whole, tolerance, 0.0, what + ": device to CPU");
        }
    }
}

// Groups: every slot gives, bit for bit, what a single stream gives, whoever else is in the group.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "allocations.h"
#include "group_checks.h"

namespace {

using namespace streams;

constexpr secousti_precision kPrecisions[] = {SECOUSTI_PRECISION_FP32, SECOUSTI_PRECISION_BF16,
                                              SECOUSTI_PRECISION_INT8};

std::string label(const tiny::Shape& shape, secousti_precision precision, int threads) {
    return std::string(shape.name) + ", precision " + std::to_string(precision) + ", threads " +
           std::to_string(threads);
}

/// Some calls make several steps.
constexpr int kMaxSteps = 3;
int random_count() { return chance(0.6) ? 1 : any(2, kMaxSteps); }

/// A group of encoders beside one single encoder for each slot, fed the same.
struct Encoders {
    Encoders(const secousti::Model& m, int slots, int threads)
        : model(m),
          frame(static_cast<std::size_t>(m.info().frame_size)),
          group(m, {.capacity = slots, .threads = threads, .max_steps = kMaxSteps}) {
        for (int i = 0; i < slots; ++i) single.emplace_back(m);
    }

    bool step() {
        const std::size_t slots = single.size(), count = static_cast<std::size_t>(random_count()), row = count * frame;
        Pcm pcm = random_pcm(slots * row);
        std::vector<std::uint8_t> active(slots);
        for (auto& flag : active) flag = chance(0.8);
        Tokens tokens(slots * count, 12345);
        for (std::size_t i = 0; i < slots; ++i) {  // what is not active must not be read
            if (!active[i]) std::fill_n(&pcm[i * row], row, std::nanf(""));
        }
        if (count == 1) {
            group.step(pcm.data(), active.data(), tokens.data());
        } else {
            group.steps(pcm.data(), active.data(), static_cast<int>(count), tokens.data());
        }
        bool same = true;
        for (std::size_t at = 0; at < slots * count; ++at) {
            Tokens expected;
            if (active[at / count]) single[at / count].push(std::span(pcm).subspan(at * frame, frame), expected);
            same &= expected.size() <= 1 && tokens[at] == (expected.empty() ? SECOUSTI_TOKEN_NONE : expected.front());
        }
        return same;
    }
    /// Something that happens to one slot between two steps.
    bool event() {
        const int slot = any(0, static_cast<int>(single.size()) - 1);
        secousti::Encoder& alone = single[static_cast<std::size_t>(slot)];
        std::vector<std::uint8_t> mask(single.size());
        mask[static_cast<std::size_t>(slot)] = 1;
        switch (any(0, 4)) {
            case 0: {  // leaves; another joins
                Tokens expected, actual;
                alone.flush(expected);
                group.flush(slot, actual);
                alone.reset();
                group.reset(mask.data());
                return actual == expected;
            }
            case 1:
                alone.reset();
                group.reset(mask.data());
                return true;
            case 2:  // moves out of the group and back in
                alone = secousti::Encoder::restore(model, group.snapshot(slot));
                return true;
            case 3:
                group.restore(slot, alone.snapshot());
                return true;
            default: {  // comes from a stream that was pushed in odd pieces
                alone.reset();
                Tokens ignored;
                alone.push(random_pcm(static_cast<std::size_t>(any(0, 5000))), ignored);
                group.restore(slot, alone.snapshot());
                return true;
            }
        }
    }

    secousti::Model model;
    std::size_t frame;
    secousti::EncoderGroup group;
    std::vector<secousti::Encoder> single;
};

/// The same of decoders, to PCM or to mel.
struct Decoders {
    Decoders(const secousti::Model& m, int slots, int threads, bool mel)
        : model(m),
          frame(static_cast<std::size_t>(m.info().frame_size)),
          to_mel(mel),
          width(frame / static_cast<std::size_t>(m.info().hop_length) * static_cast<std::size_t>(m.info().n_mels)),
          group(m, {.capacity = slots, .threads = threads, .spins = 50, .max_steps = kMaxSteps}, {}, {.seed = 3}) {
        for (int i = 0; i < slots; ++i) single.emplace_back(m, Pcm{}, secousti::DecoderOptions{.seed = 3});
    }

    bool step() {
        const std::size_t slots = single.size(), count = static_cast<std::size_t>(random_count());
        Tokens tokens = random_tokens(slots * count, model.info().cardinality);
        for (auto& token : tokens) {
            if (chance(0.1)) token = SECOUSTI_TOKEN_LOST;
        }
        std::vector<bool> active(slots);
        for (std::size_t i = 0; i < slots; ++i) {
            active[i] = chance(0.8);
            if (!active[i]) std::fill_n(&tokens[i * count], count, SECOUSTI_TOKEN_NONE);
        }
        const std::size_t mel_row = count * width, pcm_row = count * frame;
        Pcm out(slots * std::max(mel_row, pcm_row), 7.0F);
        std::vector<std::int32_t> samples(slots, -5);
        const int steps = static_cast<int>(count);
        if (to_mel) {
            count == 1 ? group.step_to_mel(tokens.data(), out.data())
                       : group.steps_to_mel(tokens.data(), steps, out.data());
        } else {
            count == 1 ? group.step(tokens.data(), out.data(), samples.data())
                       : group.steps(tokens.data(), steps, out.data(), samples.data());
        }
        bool same = true;
        for (std::size_t i = 0; i < slots; ++i) {
            Pcm expected;
            secousti_decoder* alone = single[i].get();
            if (to_mel) expected.resize(mel_row, 7.0F);  // a row that is not active stays
            for (std::size_t at = 0; active[i] && at < count; ++at) {
                const std::int32_t* token = &tokens[i * count + at];
                const bool lost = *token == SECOUSTI_TOKEN_LOST;
                if (to_mel) {
                    secousti_decoder_push_to_mel(alone, lost ? nullptr : token, 1, &expected[at * width], width);
                } else if (lost) {
                    single[i].conceal(1, expected);
                } else {
                    single[i].push({token, 1}, expected);
                }
            }
            if (to_mel) {
                same &= same_bits(&out[i * mel_row], expected.data(), mel_row);
            } else {
                same &= samples[i] == static_cast<std::int32_t>(expected.size()) && expected.size() <= pcm_row &&
                        same_bits(&out[i * pcm_row], expected.data(), expected.size());
                same &= std::all_of(&out[i * pcm_row] + expected.size(), &out[i * pcm_row] + pcm_row,
                                    [](float x) { return x == 7.0F; });
            }
        }
        return same;
    }
    bool event() {
        const int slot = any(0, static_cast<int>(single.size()) - 1);
        secousti::Decoder& alone = single[static_cast<std::size_t>(slot)];
        std::vector<std::uint8_t> mask(single.size());
        mask[static_cast<std::size_t>(slot)] = 1;
        switch (any(0, 5)) {
            case 0: {  // leaves; another joins, with a voice and settings of its own
                Pcm expected, actual;
                if (!to_mel) {
                    alone.flush(expected);
                    group.flush(slot, actual);
                }
                const Pcm voice = random_voice(model);
                const secousti::DecoderOptions options{.seed = static_cast<std::uint64_t>(any(0, 99))};
                alone = secousti::Decoder(model, voice, options);
                group.start(slot, voice, options);
                return actual.size() == expected.size() && same_bits(actual.data(), expected.data(), actual.size());
            }
            case 1:
                alone.reset();
                group.reset(mask.data());
                return true;
            case 2: {
                const Pcm voice = random_voice(model);
                alone.set_voice(voice);
                group.set_voice(slot, voice);
                Pcm kept(voice.size());
                return secousti_decoder_group_get_voice(group.get(), slot, kept.data(), kept.size()) == SECOUSTI_OK &&
                       kept == voice;
            }
            case 3:
                alone = secousti::Decoder::restore(model, group.snapshot(slot));
                return true;
            case 4:
                group.restore(slot, alone.snapshot());
                return true;
            default: {  // comes from a stream that took many tokens at once
                alone.reset();
                Pcm ignored;
                const Tokens tokens = random_tokens(static_cast<std::size_t>(any(1, 70)), model.info().cardinality);
                to_mel ? alone.push_to_mel(tokens, ignored) : alone.push(tokens, ignored);
                group.restore(slot, alone.snapshot());
                return true;
            }
        }
    }

    secousti::Model model;
    std::size_t frame;
    bool to_mel;
    std::size_t width;
    secousti::DecoderGroup group;
    std::vector<secousti::Decoder> single;
};

/// Steps with events between; names the first step that differs.
template <class Both>
void compare(Both both, int steps, const std::string& what) {
    for (int step = 0; step < steps; ++step) {
        const bool event = !chance(0.5) || both.event(), same = both.step();
        if (event && same) continue;
        CHECK_MSG(same, what + ": step " + std::to_string(step));
        CHECK_MSG(event, what + ": before step " + std::to_string(step));
        return;
    }
}

}  // namespace

TEST(a_slot_encodes_as_a_single_stream) {
    for (const tiny::Shape& shape : kShapes) {
        for (const secousti_precision precision : kPrecisions) {
            for (const int threads : {1, 3}) {
                compare(Encoders(open(shape, nullptr, precision), any(1, 7), threads), 40,
                        label(shape, precision, threads));
            }
        }
    }
}

TEST(a_slot_decodes_as_a_single_stream) {
    for (const tiny::Shape& shape : kShapes) {
        for (const secousti_precision precision : kPrecisions) {
            for (const int threads : {1, 3}) {
                const auto model = open(shape, nullptr, precision);
                const std::string what = label(shape, precision, threads);
                compare(Decoders(model, any(1, 7), threads, false), 30, what + ", to PCM");
                compare(Decoders(model, any(1, 7), threads, true), 30, what + ", to mel");
            }
        }
    }
}

TEST(groups_of_every_isa) {
    const std::string isas = std::string(secousti_available_isas()) + ",";
    for (std::size_t at = 0; at < isas.size(); at = isas.find(',', at) + 1) {
        const std::string isa = isas.substr(at, isas.find(',', at) - at);
        for (const secousti_precision precision : kPrecisions) {
            const auto model = open(tiny::kHalved, isa.c_str(), precision);
            compare(Encoders(model, 6, 1), 20, isa);
            compare(Decoders(model, 6, 1, false), 20, isa);
        }
    }
}

TEST(groups_larger_than_a_pass_over_the_weights) {
    for (const tiny::Shape& shape : {tiny::kHalved, tiny::kOdd}) {
        compare(Encoders(open(shape), 150, 2), 10, shape.name);
        compare(Decoders(open(shape), 150, 2, false), 10, shape.name);
    }
}

TEST(streams_join_and_leave_a_group) {
    // Whole streams of random length, each against the same input in one call.
#if defined(SECOUSTI_SANITIZED)
    constexpr std::size_t kSlots = 12, kStreams = 60;
#else
    constexpr std::size_t kSlots = 24, kStreams = 200;
#endif
    const auto model = open(tiny::kHalved, nullptr, SECOUSTI_PRECISION_INT8);
    const std::size_t frame = static_cast<std::size_t>(model.info().frame_size);
    secousti::EncoderGroup encoders(model, {.capacity = kSlots});
    secousti::DecoderGroup decoders(model, {.capacity = kSlots});
    struct Stream {
        Pcm pcm, voice, out;
        Tokens tokens;
        std::size_t at = 0;
    };
    std::vector<std::optional<Stream>> slots(kSlots);
    std::size_t begun = 0, ended = 0;
    while (ended < kStreams) {
        for (std::size_t i = 0; i < kSlots; ++i) {
            if (slots[i] || begun == kStreams || chance(0.7)) continue;
            std::vector<std::uint8_t> mask(kSlots);
            mask[i] = 1;
            slots[i] = Stream{random_pcm(frame * static_cast<std::size_t>(any(1, 25))), random_voice(model), {}, {}};
            encoders.reset(mask.data());
            decoders.start(static_cast<int>(i), slots[i]->voice);
            ++begun;
        }
        Pcm pcm(kSlots * frame), out(kSlots * frame);
        std::vector<std::uint8_t> active(kSlots);
        Tokens tokens(kSlots);
        std::vector<std::int32_t> samples(kSlots);
        for (std::size_t i = 0; i < kSlots; ++i) {
            active[i] = slots[i] && chance(0.9);
            if (active[i])
                std::copy_n(slots[i]->pcm.begin() + static_cast<std::ptrdiff_t>(slots[i]->at), frame, &pcm[i * frame]);
        }
        encoders.step(pcm.data(), active.data(), tokens.data());
        decoders.step(tokens.data(), out.data(), samples.data());
        for (std::size_t i = 0; i < kSlots; ++i) {
            if (!active[i]) continue;
            Stream& stream = *slots[i];
            if (tokens[i] >= 0) stream.tokens.push_back(tokens[i]);
            stream.out.insert(stream.out.end(), &out[i * frame], &out[i * frame] + samples[i]);
            stream.at += frame;
            if (stream.at < stream.pcm.size()) continue;
            const std::size_t heard = stream.tokens.size();
            encoders.flush(static_cast<int>(i), stream.tokens);
            const Tokens expected = encode(model, stream.pcm, stream.pcm.size());
            CHECK(stream.tokens == expected);
            decoders.flush(static_cast<int>(i), stream.out);
            const Tokens decoded(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(heard));
            CHECK(stream.out == decode(model, decoded, stream.voice, 7));
            slots[i].reset();
            ++ended;
        }
    }
}

TEST(steps_of_groups_do_not_allocate) {
    for (const tiny::Shape& shape : {tiny::kHalved, tiny::kHift}) {
        for (const int threads : {1, 2}) {
            const auto model = open(shape, nullptr, SECOUSTI_PRECISION_INT8);
            const std::size_t frame = static_cast<std::size_t>(model.info().frame_size);
            secousti::EncoderGroup encoders(model, {.capacity = 9, .threads = threads});
            secousti::DecoderGroup decoders(model, {.capacity = 9, .threads = threads});
            const Pcm pcm = random_pcm(9 * frame), voice = random_voice(model);
            Pcm out(9 * frame);
            Tokens tokens(9);
            std::vector<std::int32_t> samples(9);
            const std::uint64_t before = allocations::count();
            for (int step = 0; step < 12; ++step) {
                encoders.step(pcm.data(), nullptr, tokens.data());
                decoders.step(tokens.data(), out.data(), samples.data());
            }
            encoders.reset();
            decoders.reset();
            decoders.start(4, voice);
            CHECK_MSG(allocations::count() == before, std::string(shape.name) + ", threads " + std::to_string(threads));
        }
    }
}

TEST(groups_refuse_what_does_not_fit) {
    const auto model = open(tiny::kPlain);
    const auto invalid = SECOUSTI_INVALID_ARGUMENT;
    const auto make = [&](const secousti::GroupOptions& options) {
        return [&model, options] { secousti::EncoderGroup(model, options); };
    };
    expect_error(invalid, "capacity is 0", make({.capacity = 0}));
    expect_error(invalid, "capacity is 4097", make({.capacity = 4097}));
    expect_error(invalid, "threads is 0", make({.threads = 0}));
    expect_error(invalid, "spins is -2", make({.spins = -2}));
    expect_error(invalid, "device is 'tpu'", make({.device = "tpu"}));
    expect_error(SECOUSTI_UNSUPPORTED, "look_ahead", [&] { secousti::DecoderGroup(model, {}, {}, {.look_ahead = 7}); });

    secousti::EncoderGroup encoders(model, {.capacity = 3});
    const std::size_t frame = static_cast<std::size_t>(model.info().frame_size);
    Pcm pcm(3 * frame), ignored;
    Tokens tokens(3), flushed;
    pcm[2 * frame + 5] = std::nanf("");
    expect_error(invalid, "pcm[2][5] is nan", [&] { encoders.step(pcm.data(), nullptr, tokens.data()); });
    const std::uint8_t first_two[] = {1, 1, 0};
    encoders.step(pcm.data(), first_two, tokens.data());
    CHECK(tokens[2] == SECOUSTI_TOKEN_NONE);
    encoders.flush(1, flushed);
    expect_error(SECOUSTI_INVALID_STATE, "slot 1 was flushed",
                 [&] { encoders.step(pcm.data(), first_two, tokens.data()); });
    expect_error(SECOUSTI_INVALID_STATE, "slot 1 was flushed", [&] { encoders.flush(1, flushed); });
    expect_error(invalid, "slot is 3, expected 0 to 2", [&] { encoders.flush(3, flushed); });
    expect_error(invalid, "slot is -1", [&] { encoders.snapshot(-1); });

    secousti::DecoderGroup decoders(model, {.capacity = 2});
    expect_error(SECOUSTI_INCOMPATIBLE, "taken from an encoder", [&] { decoders.restore(0, encoders.snapshot(0)); });
    Pcm out(2 * frame), mel(2 * static_cast<std::size_t>(model.info().n_mels));
    std::vector<std::int32_t> samples(2);
    const std::int32_t bad[] = {SECOUSTI_TOKEN_NONE, model.info().cardinality}, good[] = {SECOUSTI_TOKEN_NONE, 0},
                       strange[] = {-3, 0};
    expect_error(invalid, "tokens[1] is 81", [&] { decoders.step(bad, out.data(), samples.data()); });
    expect_error(invalid, "tokens[0] is -3", [&] { decoders.step(strange, out.data(), samples.data()); });
    decoders.step(good, out.data(), samples.data());
    expect_error(SECOUSTI_INVALID_STATE, "slot 1 is already used for tokens to PCM; reset it first",
                 [&] { decoders.step_to_mel(good, mel.data()); });
    expect_error(invalid, "voice has 3 values", [&] { decoders.set_voice(0, Pcm(3)); });
    expect_error(invalid, "voice[1] is nan", [&] {
        Pcm voice(static_cast<std::size_t>(model.info().dimension));
        voice[1] = std::nanf("");
        decoders.set_voice(0, voice);
    });
    const auto silent = open(tiny::kSilent);
    secousti::DecoderGroup without(silent, {.capacity = 2});
    expect_error(SECOUSTI_UNSUPPORTED, "has no vocoder", [&] { without.step(good, out.data(), samples.data()); });
    without.step_to_mel(good, mel.data());

    CHECK(secousti_encoder_group_step(nullptr, pcm.data(), nullptr, tokens.data()) == invalid);
    CHECK(secousti_encoder_group_step(encoders.get(), nullptr, nullptr, tokens.data()) == invalid);
    CHECK(secousti_decoder_group_step(decoders.get(), nullptr, out.data(), samples.data()) == invalid);
    CHECK(secousti_encoder_group_max_tokens(nullptr, 0) == 0);
    CHECK(secousti_decoder_group_max_samples(decoders.get(), 2) == 0);
    CHECK(secousti_encoder_group_memory(encoders.get()) > 3 * secousti_encoder_group_snapshot_size(encoders.get()) / 2);
    secousti_encoder_group_destroy(nullptr);
    secousti_decoder_group_destroy(nullptr);
}

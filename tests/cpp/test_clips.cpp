// Many clips at once: each gives what it gives alone.
#include <string>
#include <vector>

#include "streams.h"

namespace {

using namespace streams;

/// Of several lengths, one of them shorter than a mel frame.
std::vector<Pcm> some_clips(const secousti::Model& model) {
    const std::size_t hop = static_cast<std::size_t>(model.info().hop_length);
    std::vector<Pcm> clips;
    for (const std::size_t frames : {few(40, 5), std::size_t{3}, std::size_t{0}, few(90, 11), few(40, 5)})
        clips.push_back(random_pcm(frames * hop + hop / 3));
    return clips;
}

std::size_t tokens_of(const secousti::Model& model, const Pcm& clip) {
    const std::size_t hop = static_cast<std::size_t>(model.info().hop_length);
    const std::size_t ratio = static_cast<std::size_t>(model.info().frame_size) / hop;
    return (clip.size() / hop + ratio - 1) / ratio;
}

/// The pointers of arrays that the C interface takes.
template <class T>
auto pointers(std::vector<std::vector<T>>& arrays) {
    std::vector<T*> result;
    for (auto& array : arrays) result.push_back(array.data());
    return result;
}

std::string failure(secousti_status status, secousti_status expected) {
    CHECK_MSG(status == expected, secousti_last_error());
    return secousti_last_error();
}

}  // namespace

TEST(clips_encode_as_they_do_alone) {
    for (const tiny::Shape& shape : kShapes) {
        const auto model = open(shape);
        const std::size_t dimension = static_cast<std::size_t>(model.info().dimension);
        std::vector<Pcm> clips = some_clips(model), voices;
        std::vector<Tokens> tokens;
        std::vector<std::size_t> lengths;
        for (const Pcm& clip : clips) {
            tokens.emplace_back(tokens_of(model, clip), -1);
            voices.emplace_back(dimension);
            lengths.push_back(clip.size());
        }
        for (const int threads : {1, 3}) {
            if (on_device() && threads > 1) continue;  // threads are of the CPU
            std::vector<float*> g = pointers(voices);
            g[1] = nullptr;
            CHECK(secousti_encode_clips(model.get(), pointers(clips).data(), lengths.data(), clips.size(), threads,
                                        pointers(tokens).data(), g.data()) == SECOUSTI_OK);
            for (std::size_t i = 0; i < clips.size(); ++i) {
                const std::string what = std::string(shape.name) + ", clip " + std::to_string(i);
                CHECK_MSG(tokens[i] == encode(model, clips[i], 700), what);
                const bool has_voice = i != 1 && !tokens[i].empty();
                CHECK_MSG(voices[i] == (has_voice ? model.voice(model.mel(clips[i])) : Pcm(dimension)), what);
            }
        }
        CHECK(secousti_encode_clips(model.get(), pointers(clips).data(), lengths.data(), 1, 1, pointers(tokens).data(),
                                    nullptr) == SECOUSTI_OK);
    }
}

TEST(clips_decode_as_they_do_alone) {
    for (const tiny::Shape& shape : kShapes) {
        const auto model = open(shape);
        std::vector<Tokens> tokens;
        std::vector<Pcm> voices, pcm;
        std::vector<std::size_t> counts;
        for (const std::size_t count : {few(30, 2), std::size_t{0}, std::size_t{1}, few(70, 5), few(30, 2)}) {
            counts.push_back(count);
            tokens.push_back(random_tokens(count, model.info().cardinality));
            voices.push_back(random_voice(model));
            pcm.emplace_back(count * static_cast<std::size_t>(model.info().frame_size));
        }
        secousti_decoder_options options;
        secousti_decoder_options_init(&options);
        options.seed = 5;
        options.threads = 2;
        const std::vector<std::int32_t*> in = pointers(tokens);
        const std::vector<float*> g = pointers(voices);
        CHECK(secousti_decode_clips(model.get(), in.data(), counts.data(), g.data(), counts.size(), &options,
                                    pointers(pcm).data()) == SECOUSTI_OK);
        for (std::size_t i = 0; i < counts.size(); ++i) {
            CHECK_MSG(pcm[i] == decode(model, tokens[i], voices[i], 3, {.seed = 5}),
                      std::string(shape.name) + ", clip " + std::to_string(i));
        }
    }
}

TEST(clips_are_checked_before_any_is_worked_on) {
    const auto model = open(tiny::kPlain);
    std::vector<Pcm> clips = {random_pcm(2000), random_pcm(2000)};
    std::vector<Tokens> tokens = {Tokens(7, -1), Tokens(7, -1)};
    const std::size_t lengths[] = {2000, 2000};
    clips[1][12] = NAN;
    const auto encode_them = [&](std::int32_t* const* to) {
        return secousti_encode_clips(model.get(), pointers(clips).data(), lengths, 2, 1, to, nullptr);
    };
    const auto invalid = SECOUSTI_INVALID_ARGUMENT;
    CHECK(failure(encode_them(pointers(tokens).data()), invalid).find("clip 1: pcm[12] is nan") == 0);
    CHECK(tokens[0] == Tokens(7, -1));
    std::int32_t* const nowhere[] = {tokens[0].data(), nullptr};
    CHECK(failure(encode_them(nowhere), invalid).find("clip 1: tokens is NULL") == 0);
    CHECK(secousti_encode_clips(model.get(), nullptr, nullptr, 0, 1, nullptr, nullptr) == SECOUSTI_OK);
    CHECK(secousti_encode_clips(nullptr, nullptr, nullptr, 0, 1, nullptr, nullptr) == invalid);

    std::vector<Pcm> voices = {random_voice(model), random_voice(model)}, pcm = {Pcm(512), Pcm(512)};
    std::vector<Tokens> codes = {{1, 2}, {3, 81}};
    const std::size_t counts[] = {2, 2};
    const auto decode_them = [&](const secousti::Model& with) {
        const std::vector<std::int32_t*> in = pointers(codes);
        const std::vector<float*> g = pointers(voices);
        return secousti_decode_clips(with.get(), in.data(), counts, g.data(), 2, nullptr, pointers(pcm).data());
    };
    CHECK(failure(decode_them(model), invalid).find("clip 1: tokens[1] is 81") == 0);
    codes[1][1] = 80;
    voices[0][3] = INFINITY;
    CHECK(failure(decode_them(model), invalid).find("clip 0: voice[3] is inf") == 0);
    voices[0][3] = 0.0F;
    CHECK(failure(decode_them(open(tiny::kSilent)), SECOUSTI_UNSUPPORTED).find("no vocoder") != std::string::npos);
    CHECK(decode_them(model) == SECOUSTI_OK);
}

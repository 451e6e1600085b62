// Live streams: any order of calls, any chunking, any numbers.
#include <array>
#include <cmath>

#include "secousti.h"
#include "small_models.h"
#include "target.h"

namespace {

constexpr float kLargestSample = 1e6F;

/// Opened once: each target has one model of each kind at one precision.
struct Host {
    secousti_model* model = nullptr;
    secousti_model_info info{};

    Host(const tiny::Shape& shape, secousti_precision precision) {
        secousti_model_options options;
        secousti_model_options_init(&options);
        options.precision = precision;
        const auto bytes = tiny::model_bytes(shape);
        REQUIRE(secousti_model_open_memory(bytes.data(), bytes.size(), &options, &model) == SECOUSTI_OK);
        info.struct_size = sizeof info;
        REQUIRE(secousti_model_get_info(model, &info) == SECOUSTI_OK);
    }
};

const Host& host(std::size_t which) {
    static const std::array<Host, 5> hosts = {
        Host(small_models::kSpectral, SECOUSTI_PRECISION_FP32), Host(small_models::kHalved, SECOUSTI_PRECISION_INT8),
        Host(small_models::kOdd, SECOUSTI_PRECISION_BF16), Host(small_models::kHift, SECOUSTI_PRECISION_FP32),
        Host(small_models::kSilent, SECOUSTI_PRECISION_FP32)};
    return hosts[which % hosts.size()];
}

/// Sound of the input's numbers: mostly plausible samples, some of them any float there is.
std::vector<float> samples(fuzz::Input& input, std::size_t count) {
    const bool raw = input.below(8) == 0;
    std::vector<float> pcm(count);
    std::uint32_t state = input.take<std::uint32_t>() | 1U;
    for (float& value : pcm) {
        state = state * 1664525U + 1013904223U;
        value = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-32F;
    }
    if (raw && count != 0) pcm[input.below(count)] = input.take<float>();
    return pcm;
}

bool plausible(const std::vector<float>& pcm) {
    return std::all_of(pcm.begin(), pcm.end(), [](float v) { return std::fabs(v) <= kLargestSample; });
}

bool finite(const float* values, std::size_t count) {
    return std::all_of(values, values + count, [](float v) { return std::isfinite(v); });
}

struct EncoderHandle {
    secousti_encoder* get = nullptr;
    ~EncoderHandle() { secousti_encoder_destroy(get); }
};

struct DecoderHandle {
    secousti_decoder* get = nullptr;
    ~DecoderHandle() { secousti_decoder_destroy(get); }
};

/// What a call may answer; anything below 0 says why.
void expect(std::int64_t result, bool valid) {
    REQUIRE(valid ? result >= 0 : result < 0);
    if (result < 0) REQUIRE(std::strlen(secousti_last_error()) > 0);
}

}  // namespace

/// PCM chunking: any split, with reset, clone, snapshot and failed calls between, gives the tokens of one push.
FUZZ_TARGET(encode) {
    fuzz::Input input(bytes);
    const Host& h = host(input.below(5));
    EncoderHandle encoder;
    REQUIRE(secousti_encoder_create(h.model, nullptr, &encoder.get) == SECOUSTI_OK);
    std::vector<float> heard;
    std::vector<std::int32_t> tokens;
    const auto take = [&](std::int64_t count, std::size_t before) {
        tokens.resize(before + static_cast<std::size_t>(std::max<std::int64_t>(count, 0)));
        return count;
    };
    const std::size_t frame = static_cast<std::size_t>(h.info.frame_size);
    while (!input.empty() && heard.size() < 40 * frame) {
        const std::size_t operation = input.below(16);
        const std::size_t before = tokens.size();
        if (operation < 10) {
            const std::vector<float> pcm = samples(input, input.below((operation == 0 ? 12 : 2) * frame));
            const std::size_t room = secousti_encoder_max_tokens(encoder.get, pcm.size());
            const std::size_t given = operation == 1 && room > 0 ? input.below(room + 1) : room;
            tokens.resize(before + given);
            const std::int64_t count =
                take(secousti_encoder_push(encoder.get, pcm.data(), pcm.size(), tokens.data() + before, given), before);
            if (given == room) expect(count, plausible(pcm));
            if (count >= 0) heard.insert(heard.end(), pcm.begin(), pcm.end());
        } else if (operation == 10) {
            REQUIRE(secousti_encoder_reset(encoder.get) == SECOUSTI_OK);
            heard.clear();
            tokens.clear();
        } else if (operation == 11) {
            EncoderHandle copy;
            REQUIRE(secousti_encoder_clone(encoder.get, &copy.get) == SECOUSTI_OK);
            std::swap(copy.get, encoder.get);
        } else if (operation == 12) {
            std::vector<std::byte> state(secousti_encoder_snapshot_size(encoder.get));
            REQUIRE(secousti_encoder_snapshot(encoder.get, state.data(), state.size()) == SECOUSTI_OK);
            EncoderHandle copy;
            REQUIRE(secousti_encoder_restore(h.model, state.data(), state.size(), nullptr, &copy.get) == SECOUSTI_OK);
            std::swap(copy.get, encoder.get);
        } else {
            expect(secousti_encoder_push(encoder.get, nullptr, 1 + input.below(9), tokens.data(), 0), false);
        }
    }
    const std::size_t before = tokens.size(), room = secousti_encoder_max_tokens(encoder.get, 0);
    tokens.resize(before + room);
    expect(take(secousti_encoder_flush(encoder.get, tokens.data() + before, room), before), true);
    expect(secousti_encoder_push(encoder.get, heard.data(), heard.size(), nullptr, 0), false);

    EncoderHandle whole;
    REQUIRE(secousti_encoder_create(h.model, nullptr, &whole.get) == SECOUSTI_OK);
    std::vector<std::int32_t> expected(secousti_encoder_max_tokens(whole.get, heard.size()));
    const std::int64_t first =
        heard.empty() ? 0
                      : secousti_encoder_push(whole.get, heard.data(), heard.size(), expected.data(), expected.size());
    REQUIRE(first >= 0);
    const std::int64_t rest =
        secousti_encoder_flush(whole.get, expected.data() + first, expected.size() - static_cast<std::size_t>(first));
    REQUIRE(rest >= 0);
    expected.resize(static_cast<std::size_t>(first + rest));
    REQUIRE(tokens == expected);
    for (const std::int32_t token : tokens) REQUIRE(token >= 0 && token < h.info.cardinality);
}

/// Token decode: any order of calls with valid and invalid tokens, voices and spectra.
FUZZ_TARGET(decode) {
    fuzz::Input input(bytes);
    const Host& h = host(input.below(5));
    secousti_decoder_options options;
    secousti_decoder_options_init(&options);
    options.look_ahead = static_cast<std::int32_t>(input.below(6)) - 1;
    options.noise = static_cast<std::int32_t>(input.below(2));
    options.seed = input.take<std::uint64_t>();
    DecoderHandle decoder;
    const secousti_status status = secousti_decoder_create(h.model, &options, &decoder.get);
    REQUIRE((status == SECOUSTI_OK) == (decoder.get != nullptr));
    if (decoder.get == nullptr) return;
    const auto dimension = static_cast<std::size_t>(h.info.dimension), bands = static_cast<std::size_t>(h.info.n_mels);
    std::vector<float> out;
    std::size_t work = 0;
    while (!input.empty() && work < 60) {
        const std::size_t operation = input.below(16), count = input.below(12);
        work += 1 + count;
        if (operation < 6) {
            std::vector<std::int32_t> tokens(count);
            for (std::int32_t& token : tokens)
                token = static_cast<std::int32_t>(input.below(static_cast<std::size_t>(h.info.cardinality)));
            if (operation == 0 && count != 0) tokens[input.below(count)] = input.take<std::int32_t>();
            if (operation < 4) {
                out.resize(secousti_decoder_max_samples(decoder.get, count));
                const std::int64_t written =
                    secousti_decoder_push(decoder.get, tokens.data(), count, out.data(), out.size());
                REQUIRE(written <= static_cast<std::int64_t>(out.size()));
                if (written > 0) REQUIRE(finite(out.data(), static_cast<std::size_t>(written)));
            } else {
                const std::size_t rows = count * static_cast<std::size_t>(h.info.frame_size / h.info.hop_length);
                out.resize(rows * bands);
                const std::int64_t written =
                    secousti_decoder_push_to_mel(decoder.get, tokens.data(), count, out.data(), rows);
                REQUIRE(written <= static_cast<std::int64_t>(rows));
                if (written > 0) REQUIRE(finite(out.data(), out.size()));
            }
        } else if (operation < 9) {
            std::vector<float> mel = samples(input, count * bands);
            for (float& value : mel) value *= operation == 8 ? 200.0F : 8.0F;  // far outside any spectrum, too
            out.resize(secousti_decoder_max_samples(decoder.get, count));
            const std::int64_t written =
                secousti_decoder_push_from_mel(decoder.get, mel.data(), count, out.data(), out.size());
            REQUIRE(written <= static_cast<std::int64_t>(out.size()));
        } else if (operation == 9) {
            std::vector<float> voice = samples(input, dimension);
            const secousti_status set = secousti_decoder_set_voice(decoder.get, voice.data(), voice.size());
            REQUIRE((set == SECOUSTI_OK) == finite(voice.data(), voice.size()));
            if (set == SECOUSTI_OK && !plausible(voice)) {  // loud beyond use: what follows may overflow
                REQUIRE(secousti_decoder_set_voice(decoder.get, std::vector<float>(dimension).data(), dimension) ==
                        SECOUSTI_OK);
            }
        } else if (operation == 10) {
            out.resize(secousti_decoder_max_samples(decoder.get, 0));
            REQUIRE(secousti_decoder_flush(decoder.get, out.data(), out.size()) <=
                    static_cast<std::int64_t>(out.size()));
        } else if (operation < 13) {
            REQUIRE(secousti_decoder_reset(decoder.get) == SECOUSTI_OK);
        } else if (operation == 13) {
            DecoderHandle copy;
            REQUIRE(secousti_decoder_clone(decoder.get, &copy.get) == SECOUSTI_OK);
            std::swap(copy.get, decoder.get);
        } else {
            std::vector<std::byte> state(secousti_decoder_snapshot_size(decoder.get));
            REQUIRE(secousti_decoder_snapshot(decoder.get, state.data(), state.size()) == SECOUSTI_OK);
            DecoderHandle copy;
            REQUIRE(secousti_decoder_restore(h.model, state.data(), state.size(), nullptr, &copy.get) == SECOUSTI_OK);
            std::swap(copy.get, decoder.get);
        }
    }
}

/// Snapshots as they come: the input instead of one, and a true one damaged where the input says.
FUZZ_TARGET(snapshot) {
    fuzz::Input input(bytes);
    const Host& h = host(input.below(5));
    const bool coding = input.below(2) == 0;
    const auto restores = [&](const std::byte* data, std::size_t size) {
        if (coding) {
            EncoderHandle handle;
            const secousti_status status = secousti_encoder_restore(h.model, data, size, nullptr, &handle.get);
            REQUIRE((status == SECOUSTI_OK) == (handle.get != nullptr));
            return status;
        }
        DecoderHandle handle;
        const secousti_status status = secousti_decoder_restore(h.model, data, size, nullptr, &handle.get);
        REQUIRE((status == SECOUSTI_OK) == (handle.get != nullptr));
        return status;
    };
    const fuzz::Bytes rest = input.rest();
    if (!rest.empty()) REQUIRE(restores(rest.data(), rest.size()) != SECOUSTI_OK);

    std::vector<std::byte> state;
    if (coding) {
        EncoderHandle encoder;
        REQUIRE(secousti_encoder_create(h.model, nullptr, &encoder.get) == SECOUSTI_OK);
        state.resize(secousti_encoder_snapshot_size(encoder.get));
        REQUIRE(secousti_encoder_snapshot(encoder.get, state.data(), state.size()) == SECOUSTI_OK);
    } else {
        DecoderHandle decoder;
        REQUIRE(secousti_decoder_create(h.model, nullptr, &decoder.get) == SECOUSTI_OK);
        state.resize(secousti_decoder_snapshot_size(decoder.get));
        REQUIRE(secousti_decoder_snapshot(decoder.get, state.data(), state.size()) == SECOUSTI_OK);
    }
    std::vector<std::byte> damaged = state;
    for (int i = 0; i < 4 && !input.empty(); ++i) {
        const std::size_t at = input.below(2) == 0 ? input.below(32) : input.take<std::uint32_t>() % state.size();
        damaged[at] ^= input.take<std::byte>();
    }
    // A CRC misses one pattern of damage in 2^32; up to 32 bits in a row and any three it never does.
    if (damaged == state)
        REQUIRE(restores(damaged.data(), damaged.size()) == SECOUSTI_OK);
    else
        restores(damaged.data(), damaged.size());
    damaged.resize(input.below(damaged.size()));
    damaged.reserve(1);
    REQUIRE(restores(damaged.data(), damaged.size()) != SECOUSTI_OK);
}

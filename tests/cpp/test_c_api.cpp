// The C interface's refusals: each documented misuse gives its code, a message that names the argument, and leaves the
// stream as it was.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "streams.h"

using namespace streams;

namespace {

/// `call` fails with `status` and a message that contains `part`.
#define CHECK_REFUSED(call, status, part)                                                      \
    do {                                                                                       \
        const auto refused = static_cast<std::int64_t>(call);                                  \
        CHECK_MSG(refused == (status), std::to_string(refused) + " " + secousti_last_error()); \
        CHECK_MSG(std::strstr(secousti_last_error(), part) != nullptr,                         \
                  std::string("message: ") + secousti_last_error());                           \
    } while (false)

struct Fixture {
    secousti::Model model = open(tiny::kPlain);
    secousti::Encoder encoder{model};
    secousti::Decoder decoder{model};
    secousti_model* m = model.get();
    secousti_encoder* e = encoder.get();
    secousti_decoder* d = decoder.get();
    Pcm pcm = random_pcm(4000);
    Tokens tokens = Tokens(64);
    Pcm audio = Pcm(64 * 256);
};

}  // namespace

TEST(c_api_library) {
    CHECK(secousti_abi_version() == SECOUSTI_ABI_VERSION);
    CHECK(std::string(secousti_version()).find('.') != std::string::npos);
    CHECK(std::string(secousti_available_isas()).find("scalar") != std::string::npos);
    CHECK(std::string(secousti_status_name(SECOUSTI_IO_ERROR)) == "input/output error");
    CHECK(std::string(secousti_status_name(static_cast<secousti_status>(-99))) == "unknown status");
}

TEST(c_api_null_is_refused_or_harmless) {
    Fixture f;
    secousti_model* model = f.m;
    secousti_encoder* encoder = f.e;
    secousti_decoder* decoder = f.d;
    secousti_model_info info{};
    info.struct_size = sizeof info;
    secousti_encode_outputs outputs{};
    outputs.struct_size = sizeof outputs;
    constexpr auto invalid = SECOUSTI_INVALID_ARGUMENT;
    const std::vector<std::byte> bytes = tiny::model_bytes();

    secousti_model_options_init(nullptr);
    secousti_encoder_options_init(nullptr);
    secousti_decoder_options_init(nullptr);
    secousti_model_release(nullptr);
    secousti_encoder_destroy(nullptr);
    secousti_decoder_destroy(nullptr);
    CHECK(secousti_encoder_max_tokens(nullptr, 5) == 0 && secousti_decoder_max_samples(nullptr, 5) == 0);
    CHECK(secousti_encoder_snapshot_size(nullptr) == 0 && secousti_decoder_snapshot_size(nullptr) == 0);
    CHECK(secousti_decoder_latency(nullptr) == 0);

    CHECK_REFUSED(secousti_model_open(nullptr, nullptr, &model), invalid, "path is NULL");
    CHECK_REFUSED(secousti_model_open("x", nullptr, nullptr), invalid, "model is NULL");
    CHECK_REFUSED(secousti_model_open_memory(nullptr, 8, nullptr, &model), invalid, "data is NULL");
    CHECK_REFUSED(secousti_model_open_memory(bytes.data(), bytes.size(), nullptr, nullptr), invalid, "model is NULL");
    CHECK_REFUSED(secousti_model_get_info(nullptr, &info), invalid, "model is NULL");
    CHECK_REFUSED(secousti_model_get_info(f.m, nullptr), invalid, "info is NULL");

    CHECK_REFUSED(secousti_encoder_create(nullptr, nullptr, &encoder), invalid, "model is NULL");
    CHECK_REFUSED(secousti_encoder_create(f.m, nullptr, nullptr), invalid, "encoder is NULL");
    CHECK_REFUSED(secousti_encoder_clone(nullptr, &encoder), invalid, "encoder is NULL");
    CHECK_REFUSED(secousti_encoder_clone(f.e, nullptr), invalid, "copy is NULL");
    CHECK_REFUSED(secousti_encoder_reset(nullptr), invalid, "encoder is NULL");
    CHECK_REFUSED(secousti_encoder_push(nullptr, f.pcm.data(), 10, f.tokens.data(), 9), invalid, "encoder is NULL");
    CHECK_REFUSED(secousti_encoder_push(f.e, nullptr, 10, f.tokens.data(), 9), invalid, "pcm is NULL");
    CHECK_REFUSED(secousti_encoder_push(f.e, f.pcm.data(), 4000, nullptr, 20), invalid, "tokens is NULL");
    CHECK_REFUSED(secousti_encoder_flush(nullptr, f.tokens.data(), 9), invalid, "encoder is NULL");
    CHECK_REFUSED(secousti_encoder_snapshot(nullptr, f.audio.data(), 9), invalid, "encoder is NULL");
    CHECK_REFUSED(secousti_encoder_snapshot(f.e, nullptr, 1 << 30), invalid, "bytes is NULL");
    CHECK_REFUSED(secousti_encoder_restore(nullptr, bytes.data(), 9, nullptr, &encoder), invalid, "model is NULL");
    CHECK_REFUSED(secousti_encoder_restore(f.m, nullptr, 9, nullptr, &encoder), invalid, "bytes is NULL");
    CHECK_REFUSED(secousti_encoder_restore(f.m, bytes.data(), 9, nullptr, nullptr), invalid, "encoder is NULL");

    CHECK_REFUSED(secousti_decoder_create(nullptr, nullptr, &decoder), invalid, "model is NULL");
    CHECK_REFUSED(secousti_decoder_create(f.m, nullptr, nullptr), invalid, "decoder is NULL");
    CHECK_REFUSED(secousti_decoder_clone(nullptr, &decoder), invalid, "decoder is NULL");
    CHECK_REFUSED(secousti_decoder_clone(f.d, nullptr), invalid, "copy is NULL");
    CHECK_REFUSED(secousti_decoder_reset(nullptr), invalid, "decoder is NULL");
    CHECK_REFUSED(secousti_decoder_push(nullptr, f.tokens.data(), 1, f.audio.data(), 900), invalid, "decoder is NULL");
    CHECK(secousti_decoder_push(f.d, nullptr, 1, f.audio.data(), 900) >= 0);  // a lost token
    CHECK_REFUSED(secousti_decoder_push(f.d, f.tokens.data(), 1, nullptr, 900), invalid, "pcm is NULL");
    CHECK_REFUSED(secousti_decoder_flush(nullptr, f.audio.data(), 900), invalid, "decoder is NULL");
    CHECK_REFUSED(secousti_decoder_set_voice(nullptr, f.pcm.data(), 24), invalid, "decoder is NULL");
    CHECK_REFUSED(secousti_decoder_set_voice(f.d, nullptr, 24), invalid, "voice is NULL");
    CHECK_REFUSED(secousti_decoder_get_voice(f.d, nullptr, 24), invalid, "voice is NULL");
    CHECK_REFUSED(secousti_decoder_restore(f.m, nullptr, 9, nullptr, &decoder), invalid, "bytes is NULL");

    CHECK_REFUSED(secousti_mel(nullptr, f.pcm.data(), 4000, f.audio.data(), 99), invalid, "model is NULL");
    CHECK_REFUSED(secousti_mel(f.m, nullptr, 4000, f.audio.data(), 99), invalid, "pcm is NULL");
    CHECK_REFUSED(secousti_mel(f.m, f.pcm.data(), 4000, nullptr, 99), invalid, "mel is NULL");
    CHECK_REFUSED(secousti_encode_mel(f.m, nullptr, 5, 1, &outputs), invalid, "mel is NULL");
    CHECK_REFUSED(secousti_encode_mel(f.m, f.pcm.data(), 5, 1, nullptr), invalid, "outputs is NULL");
    CHECK_REFUSED(secousti_voice_of_mel(f.m, nullptr, 5, f.audio.data()), invalid, "mel is NULL");
    CHECK_REFUSED(secousti_voice_of_mel(f.m, f.pcm.data(), 5, nullptr), invalid, "voice is NULL");
    CHECK_REFUSED(secousti_decode_tokens(f.m, nullptr, 5, f.pcm.data(), 1, f.audio.data(), 99), invalid, "tokens is");
    CHECK_REFUSED(secousti_decode_tokens(f.m, f.tokens.data(), 5, nullptr, 1, f.audio.data(), 99), invalid, "voice");
    CHECK_REFUSED(secousti_decode_acoustic(f.m, nullptr, 5, 1, f.audio.data(), 99), invalid, "acoustic is NULL");
    CHECK_REFUSED(secousti_vocode(f.m, nullptr, 5, nullptr, f.audio.data(), f.audio.size()), invalid, "mel is NULL");
}

TEST(c_api_structs_must_be_initialised) {
    Fixture f;
    secousti_model* model = nullptr;
    secousti_encoder* encoder = nullptr;
    secousti_decoder* decoder = nullptr;
    const std::vector<std::byte> bytes = tiny::model_bytes();
    const secousti_model_options model_options{};
    const secousti_encoder_options encoder_options{sizeof encoder_options - 1, 1};
    secousti_decoder_options decoder_options{};
    secousti_model_info info{};
    const secousti_encode_outputs outputs{};
    constexpr auto invalid = SECOUSTI_INVALID_ARGUMENT;
    CHECK_REFUSED(secousti_model_open_memory(bytes.data(), bytes.size(), &model_options, &model), invalid,
                  "secousti_model_options.struct_size is 0");
    CHECK_REFUSED(secousti_encoder_create(f.m, &encoder_options, &encoder), invalid, "encoder_options.struct_size");
    CHECK_REFUSED(secousti_decoder_create(f.m, &decoder_options, &decoder), invalid, "decoder_options.struct_size");
    CHECK_REFUSED(secousti_model_get_info(f.m, &info), invalid, "secousti_model_info.struct_size");
    CHECK_REFUSED(secousti_encode_mel(f.m, f.pcm.data(), 1, 1, &outputs), invalid, "encode_outputs.struct_size");
    CHECK(model == nullptr && encoder == nullptr && decoder == nullptr);

    secousti_decoder_options_init(&decoder_options);
    CHECK(decoder_options.threads == 1 && decoder_options.look_ahead == -1 && decoder_options.noise == 1);
    for (const int threads : {0, -1, 257, std::numeric_limits<int>::max()}) {
        decoder_options.threads = threads;
        CHECK_REFUSED(secousti_decoder_create(f.m, &decoder_options, &decoder), invalid, "threads is");
    }
    decoder_options.threads = 1;
    for (const int look_ahead : {4, 1000, -2}) {
        decoder_options.look_ahead = look_ahead;
        CHECK_REFUSED(secousti_decoder_create(f.m, &decoder_options, &decoder), SECOUSTI_UNSUPPORTED, "look_ahead");
    }
    decoder_options.look_ahead = -1;
    Pcm voice(24, 0.0F);
    voice[7] = INFINITY;
    decoder_options.voice = voice.data();
    CHECK_REFUSED(secousti_decoder_create(f.m, &decoder_options, &decoder), invalid, "voice[7] is inf");
    CHECK(decoder == nullptr);
}

TEST(c_api_failed_steps_consume_nothing) {
    Fixture f;
    const Tokens whole = encode(f.model, f.pcm, f.pcm.size());
    constexpr auto invalid = SECOUSTI_INVALID_ARGUMENT;
    Pcm bad = f.pcm;
    for (const float value : {NAN, -NAN, INFINITY, -INFINITY}) {
        bad[3999] = value;
        CHECK_REFUSED(secousti_encoder_push(f.e, bad.data(), 4000, f.tokens.data(), 64), invalid, "pcm[3999]");
    }
    CHECK_REFUSED(secousti_encoder_push(f.e, f.pcm.data(), 4000, f.tokens.data(), 2), invalid, "capacity is 2 tokens");
    CHECK(secousti_encoder_push(f.e, nullptr, 0, nullptr, 0) == 0);
    CHECK(secousti_encoder_push(f.e, f.pcm.data(), 3, nullptr, 0) == 0);  // too few for a token
    f.encoder.reset();
    const std::int64_t count = secousti_encoder_push(f.e, f.pcm.data(), 4000, f.tokens.data(), 64);
    CHECK_REFUSED(secousti_encoder_flush(f.e, f.tokens.data(), 0), invalid, "capacity is 0 tokens");
    const std::int64_t rest =
        secousti_encoder_flush(f.e, f.tokens.data() + count, 64 - static_cast<std::size_t>(count));
    CHECK(rest > 0 && Tokens(f.tokens.begin(), f.tokens.begin() + count + rest) == whole);
    CHECK_REFUSED(secousti_encoder_push(f.e, f.pcm.data(), 1, f.tokens.data(), 64), SECOUSTI_INVALID_STATE, "reset");
    CHECK_REFUSED(secousti_encoder_flush(f.e, f.tokens.data(), 64), SECOUSTI_INVALID_STATE, "flushed");
    CHECK(secousti_encoder_max_tokens(f.e, 10000) == 0);

    const Tokens good = {0, 80, 40};
    const Pcm expected = decode(f.model, good, {}, 3);
    for (const std::int32_t token : {-1, 81, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()}) {
        const Tokens wrong = {0, token, 40};
        CHECK_REFUSED(secousti_decoder_push(f.d, wrong.data(), 3, f.audio.data(), f.audio.size()), invalid,
                      ("tokens[1] is " + std::to_string(token) + ", expected 0 to 80").c_str());
    }
    CHECK_REFUSED(secousti_decoder_push(f.d, good.data(), 3, f.audio.data(), 3 * 256 - 1), invalid, "767 samples");
    CHECK_REFUSED(secousti_decoder_set_voice(f.d, f.pcm.data(), 23), invalid, "has 23 values, expected 24");
    Pcm voice(24, NAN);
    CHECK_REFUSED(secousti_decoder_set_voice(f.d, voice.data(), 24), invalid, "voice[0] is nan");
    CHECK_REFUSED(secousti_decoder_get_voice(f.d, voice.data(), 23), invalid, "capacity");
    const std::int64_t samples = secousti_decoder_push(f.d, good.data(), 3, f.audio.data(), f.audio.size());
    CHECK(samples > 0);
    CHECK_REFUSED(secousti_decoder_flush(f.d, f.audio.data(), 1), invalid, "capacity is 1 samples");
    const std::int64_t tail = secousti_decoder_flush(f.d, f.audio.data() + samples, 1000);
    CHECK(samples + tail == 3 * 256 && Pcm(f.audio.begin(), f.audio.begin() + 3 * 256) == expected);
    CHECK_REFUSED(secousti_decoder_push(f.d, good.data(), 1, f.audio.data(), 1000), SECOUSTI_INVALID_STATE, "reset");
    CHECK_REFUSED(secousti_decoder_flush(f.d, f.audio.data(), 1000), SECOUSTI_INVALID_STATE, "flushed");
}

TEST(c_api_stages_check_their_arguments) {
    Fixture f;
    constexpr auto invalid = SECOUSTI_INVALID_ARGUMENT;
    Pcm mel(20 * 15, 0.1F), out(20 * 64);
    secousti_encode_outputs outputs{};
    outputs.struct_size = sizeof outputs;
    CHECK_REFUSED(secousti_mel(f.m, f.pcm.data(), 4000, out.data(), 14), invalid, "capacity is 14 frames");
    CHECK(secousti_mel(f.m, nullptr, 0, nullptr, 0) == 0 && secousti_encode_mel(f.m, nullptr, 0, 1, &outputs) == 0);
    CHECK_REFUSED(secousti_voice_of_mel(f.m, mel.data(), 0, out.data()), invalid, "no frames");
    CHECK_REFUSED(secousti_encode_mel(f.m, mel.data(), 15, 0, &outputs), invalid, "threads is 0");
    CHECK_REFUSED(secousti_decode_tokens(f.m, f.tokens.data(), 9, mel.data(), 1, out.data(), 8), invalid, "8 frames");
    CHECK_REFUSED(secousti_vocode(f.m, mel.data(), 15, nullptr, out.data(), 15 * 256 - 1), invalid, "3839 samples");
    mel[33] = NAN;
    CHECK_REFUSED(secousti_encode_mel(f.m, mel.data(), 15, 1, &outputs), invalid, "mel[33] is nan");
    CHECK_REFUSED(secousti_voice_of_mel(f.m, mel.data(), 15, out.data()), invalid, "mel[33] is nan");
    CHECK_REFUSED(secousti_vocode(f.m, mel.data(), 15, nullptr, f.audio.data(), f.audio.size()), invalid, "mel[33]");
    CHECK_REFUSED(secousti_decode_acoustic(f.m, mel.data(), 12, 1, out.data(), 64), invalid, "acoustic[33] is nan");

    const auto halved = open(tiny::kHalved), silent = open(tiny::kSilent);  // no acoustic branch; no vocoder
    outputs.acoustic_embed = out.data();
    CHECK_REFUSED(secousti_encode_mel(halved.get(), f.pcm.data(), 4, 1, &outputs), SECOUSTI_UNSUPPORTED, "acoustic");
    CHECK_REFUSED(secousti_vocode(silent.get(), f.pcm.data(), 4, nullptr, f.audio.data(), 9999), SECOUSTI_UNSUPPORTED,
                  "no vocoder");
    CHECK(silent.info().has_vocoder == 0 && halved.info().has_acoustic_branch == 0);
}

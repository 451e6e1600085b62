// secousti: the C++20 interface, header-only over the C interface (secousti.h): the binary boundary stays C.
//
// Handles are owned, failures are exceptions of type secousti::Error. Contract, threads and real-time rules are those
// of secousti.h: the overloads of push and flush that write into a caller's span neither allocate nor lock unless they
// throw; those that append to a vector may allocate. A moved-from object may only be destroyed or assigned to.
#ifndef SECOUSTI_HPP
#define SECOUSTI_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "secousti.h"

namespace secousti {

/// What a failed call throws: the status, and the description of secousti_last_error().
class Error : public std::runtime_error {
  public:
    /// With the status and the description of a call that failed.
    Error(secousti_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
    /// What kind of failure it was.
    secousti_status status() const noexcept { return status_; }

  private:
    secousti_status status_;
};

namespace detail {

inline void check(secousti_status status) {
    if (status != SECOUSTI_OK) throw Error(status, secousti_last_error());
}

/// The count of a step call.
inline std::size_t checked(std::int64_t count) {
    if (count < 0) throw Error(static_cast<secousti_status>(count), secousti_last_error());
    return static_cast<std::size_t>(count);
}

/// Lets `write` fill at most `room` new elements at the end of `values`; keeps as many as it returns, none if it fails.
template <class T, class Write>
void append(std::vector<T>& values, std::size_t room, Write write) {
    const std::size_t before = values.size();
    values.resize(before + room);
    const std::int64_t count = write(values.data() + before, room);
    values.resize(before + (count < 0 ? 0 : static_cast<std::size_t>(count)));
    checked(count);
}

/// Rows of a log-mel spectrogram of `bands` columns.
inline std::size_t rows(std::span<const float> mel, std::size_t bands) {
    if (mel.size() % bands != 0) {
        throw Error(SECOUSTI_INVALID_ARGUMENT, "mel has " + std::to_string(mel.size()) +
                                                   " values, expected a multiple of " + std::to_string(bands));
    }
    return mel.size() / bands;
}

template <auto Destroy>
struct Deleter {
    void operator()(auto* handle) const noexcept { Destroy(handle); }
};

}  // namespace detail

/// An immutable model. Copies share it; any number of threads and streams may use it at once.
class Model {
  public:
    /// Opens a safetensors model file. `isa` names a kernel table ("avx2", ...); null: the fastest, or SECOUSTI_ISA.
    /// `precision`: the model's default if not given. `device`: see secousti_model_options.
    static Model from_file(const std::string& path, const char* isa = nullptr,
                           secousti_precision precision = SECOUSTI_PRECISION_DEFAULT, const char* device = nullptr) {
        const secousti_model_options options = make_options(isa, precision, device);
        secousti_model* handle = nullptr;
        detail::check(secousti_model_open(path.c_str(), &options, &handle));
        return Model(handle);
    }
    /// Opens a model from memory, which may be freed afterwards.
    static Model from_memory(std::span<const std::byte> bytes, const char* isa = nullptr,
                             secousti_precision precision = SECOUSTI_PRECISION_DEFAULT, const char* device = nullptr) {
        const secousti_model_options options = make_options(isa, precision, device);
        secousti_model* handle = nullptr;
        detail::check(secousti_model_open_memory(bytes.data(), bytes.size(), &options, &handle));
        return Model(handle);
    }

    /// Rates, sizes and latencies. Its strings live as long as the model.
    secousti_model_info info() const {
        secousti_model_info result{};
        result.struct_size = sizeof result;
        detail::check(secousti_model_get_info(get(), &result));
        return result;
    }

    /// Log-mel [floor(samples / hop_length), n_mels] of PCM.
    std::vector<float> mel(std::span<const float> pcm) const {
        const secousti_model_info sizes = info();
        const std::size_t frames = pcm.size() / static_cast<std::size_t>(sizes.hop_length);
        std::vector<float> result(frames * static_cast<std::size_t>(sizes.n_mels));
        detail::checked(secousti_mel(get(), pcm.data(), pcm.size(), result.data(), frames));
        return result;
    }
    /// Voice vector G [dimension] of a log-mel prompt [frames, n_mels]; needs at least one frame.
    std::vector<float> voice(std::span<const float> mel) const {
        const secousti_model_info sizes = info();
        const std::size_t frames = detail::rows(mel, static_cast<std::size_t>(sizes.n_mels));
        std::vector<float> result(static_cast<std::size_t>(sizes.dimension));
        detail::check(secousti_voice_of_mel(get(), mel.data(), frames, result.data()));
        return result;
    }

    /// For calls of the C interface that have no counterpart here.
    secousti_model* get() const noexcept { return handle_.get(); }

  private:
    explicit Model(secousti_model* handle) : handle_(handle, secousti_model_release) {}
    static secousti_model_options make_options(const char* isa, secousti_precision precision, const char* device) {
        secousti_model_options options;
        secousti_model_options_init(&options);
        options.isa = isa;
        options.precision = precision;
        options.device = device;
        return options;
    }

    std::shared_ptr<secousti_model> handle_;
};

/// PCM in chunks of any length -> tokens. Keeps its model alive. One thread at a time.
class Encoder {
  public:
    /// A new stream.
    explicit Encoder(const Model& model, int threads = 1) {
        const secousti_encoder_options options = make_options(threads);
        secousti_encoder* handle = nullptr;
        detail::check(secousti_encoder_create(model.get(), &options, &handle));
        handle_.reset(handle);
    }

    /// Most tokens that pushing `samples` more, or flushing after them, can return.
    std::size_t max_tokens(std::size_t samples) const noexcept {
        return secousti_encoder_max_tokens(handle_.get(), samples);
    }
    /// Whether it was flushed: then it takes nothing until reset.
    bool ended() const noexcept { return secousti_encoder_ended(handle_.get()) != 0; }
    /// Writes the tokens that are ready to the front of `tokens` and returns how many.
    std::size_t push(std::span<const float> pcm, std::span<std::int32_t> tokens) {
        return detail::checked(
            secousti_encoder_push(handle_.get(), pcm.data(), pcm.size(), tokens.data(), tokens.size()));
    }
    /// Appends the tokens that are ready.
    void push(std::span<const float> pcm, std::vector<std::int32_t>& tokens) {
        detail::append(tokens, max_tokens(pcm.size()), [&](std::int32_t* out, std::size_t room) {
            return secousti_encoder_push(handle_.get(), pcm.data(), pcm.size(), out, room);
        });
    }
    /// Ends the stream; only reset may follow.
    std::size_t flush(std::span<std::int32_t> tokens) {
        return detail::checked(secousti_encoder_flush(handle_.get(), tokens.data(), tokens.size()));
    }
    /// Appends.
    void flush(std::vector<std::int32_t>& tokens) {
        detail::append(tokens, max_tokens(0), [&](std::int32_t* out, std::size_t room) {
            return secousti_encoder_flush(handle_.get(), out, room);
        });
    }
    /// Back to the start.
    void reset() { detail::check(secousti_encoder_reset(handle_.get())); }
    /// An independent stream in the same state.
    Encoder clone() const {
        secousti_encoder* copy = nullptr;
        detail::check(secousti_encoder_clone(handle_.get(), &copy));
        return Encoder(copy);
    }
    /// The state, for restore.
    std::vector<std::byte> snapshot() const {
        std::vector<std::byte> bytes(secousti_encoder_snapshot_size(handle_.get()));
        detail::check(secousti_encoder_snapshot(handle_.get(), bytes.data(), bytes.size()));
        return bytes;
    }
    /// A stream that goes on where the snapshot was taken, with the same model file at the same precision.
    static Encoder restore(const Model& model, std::span<const std::byte> snapshot, int threads = 1) {
        const secousti_encoder_options options = make_options(threads);
        secousti_encoder* handle = nullptr;
        detail::check(secousti_encoder_restore(model.get(), snapshot.data(), snapshot.size(), &options, &handle));
        return Encoder(handle);
    }

    /// For calls of the C interface that have no counterpart here.
    secousti_encoder* get() const noexcept { return handle_.get(); }

  private:
    explicit Encoder(secousti_encoder* handle) : handle_(handle) {}
    static secousti_encoder_options make_options(int threads) {
        secousti_encoder_options options;
        secousti_encoder_options_init(&options);
        options.threads = threads;
        return options;
    }

    std::unique_ptr<secousti_encoder, detail::Deleter<secousti_encoder_destroy>> handle_;
};

/// How a decoder works.
struct DecoderOptions {
    int threads = 1;         ///< that work on a step, the caller's included
    int look_ahead = -1;     ///< of the spectral vocoder in mel frames, 0..3; -1: the model's default
    bool noise = true;       ///< HiFT's seeded noise and phases; false: all zero
    std::uint64_t seed = 0;  ///< of that noise
};

/// Tokens -> PCM. Keeps its model alive. One thread at a time.
class Decoder {
  public:
    /// `voice` is G [dimension]; empty: zeros.
    explicit Decoder(const Model& model, std::span<const float> voice = {}, const DecoderOptions& settings = {})
        : Decoder(model, nullptr) {
        const std::size_t dimension = static_cast<std::size_t>(model.info().dimension);
        if (!voice.empty() && voice.size() != dimension) {
            throw Error(SECOUSTI_INVALID_ARGUMENT,
                        "voice has " + std::to_string(voice.size()) + " values, expected " + std::to_string(dimension));
        }
        secousti_decoder_options options = make_options(settings);
        options.voice = voice.empty() ? nullptr : voice.data();
        secousti_decoder* handle = nullptr;
        detail::check(secousti_decoder_create(model.get(), &options, &handle));
        handle_.reset(handle);
    }

    /// Samples by which output lags behind the tokens pushed.
    int latency() const noexcept { return secousti_decoder_latency(handle_.get()); }
    /// Replaces G from the next token on.
    void set_voice(std::span<const float> voice) {
        detail::check(secousti_decoder_set_voice(handle_.get(), voice.data(), voice.size()));
    }
    /// Most samples that pushing `tokens` more, or flushing after them, can return.
    std::size_t max_samples(std::size_t tokens) const noexcept {
        return secousti_decoder_max_samples(handle_.get(), tokens);
    }
    /// Whether it was flushed: then it takes nothing until reset.
    bool ended() const noexcept { return secousti_decoder_ended(handle_.get()) != 0; }
    /// Writes the samples that are ready to the front of `pcm` and returns how many.
    std::size_t push(std::span<const std::int32_t> tokens, std::span<float> pcm) {
        return detail::checked(
            secousti_decoder_push(handle_.get(), tokens.data(), tokens.size(), pcm.data(), pcm.size()));
    }
    /// Appends the samples that are ready.
    void push(std::span<const std::int32_t> tokens, std::vector<float>& pcm) {
        detail::append(pcm, max_samples(tokens.size()), [&](float* out, std::size_t room) {
            return secousti_decoder_push(handle_.get(), tokens.data(), tokens.size(), out, room);
        });
    }
    /// As push, for `count` tokens that were lost.
    std::size_t conceal(std::size_t count, std::span<float> pcm) {
        return detail::checked(secousti_decoder_push(handle_.get(), nullptr, count, pcm.data(), pcm.size()));
    }
    /// Appends.
    void conceal(std::size_t count, std::vector<float>& pcm) {
        detail::append(pcm, max_samples(count), [&](float* out, std::size_t room) {
            return secousti_decoder_push(handle_.get(), nullptr, count, out, room);
        });
    }
    /// Tokens to log-mel, appended: frame_size / hop_length rows of n_mels a token, at once.
    void push_to_mel(std::span<const std::int32_t> tokens, std::vector<float>& mel) {
        const std::size_t width = bands();
        detail::append(mel, tokens.size() * frames_per_token() * width, [&](float* out, std::size_t room) {
            const std::int64_t rows =
                secousti_decoder_push_to_mel(handle_.get(), tokens.data(), tokens.size(), out, room / width);
            return rows < 0 ? rows : rows * static_cast<std::int64_t>(width);
        });
    }
    /// Log-mel [frames, n_mels] to PCM, appended: the vocoder alone.
    void push_from_mel(std::span<const float> mel, std::vector<float>& pcm) {
        const std::size_t frames = detail::rows(mel, bands()), ratio = frames_per_token();
        detail::append(pcm, max_samples((frames + ratio - 1) / ratio), [&](float* out, std::size_t room) {
            return secousti_decoder_push_from_mel(handle_.get(), mel.data(), frames, out, room);
        });
    }
    /// Ends the stream: in all, N tokens give N * frame_size samples. Only reset may follow.
    std::size_t flush(std::span<float> pcm) {
        return detail::checked(secousti_decoder_flush(handle_.get(), pcm.data(), pcm.size()));
    }
    /// Appends.
    void flush(std::vector<float>& pcm) {
        detail::append(pcm, max_samples(0),
                       [&](float* out, std::size_t room) { return secousti_decoder_flush(handle_.get(), out, room); });
    }
    /// Back to the start: same G, same seed.
    void reset() { detail::check(secousti_decoder_reset(handle_.get())); }
    /// An independent stream in the same state.
    Decoder clone() const {
        secousti_decoder* copy = nullptr;
        detail::check(secousti_decoder_clone(handle_.get(), &copy));
        return Decoder(model_, copy);
    }
    /// The state, for restore.
    std::vector<std::byte> snapshot() const {
        std::vector<std::byte> bytes(secousti_decoder_snapshot_size(handle_.get()));
        detail::check(secousti_decoder_snapshot(handle_.get(), bytes.data(), bytes.size()));
        return bytes;
    }
    /// A stream that goes on where the snapshot was taken: G, seed, noise and look-ahead come from it.
    static Decoder restore(const Model& model, std::span<const std::byte> snapshot, int threads = 1) {
        const secousti_decoder_options options = make_options({.threads = threads});
        secousti_decoder* handle = nullptr;
        detail::check(secousti_decoder_restore(model.get(), snapshot.data(), snapshot.size(), &options, &handle));
        return Decoder(model, handle);
    }

    /// For calls of the C interface that have no counterpart here.
    secousti_decoder* get() const noexcept { return handle_.get(); }

  private:
    Decoder(Model model, secousti_decoder* handle) : model_(std::move(model)), handle_(handle) {}
    static secousti_decoder_options make_options(const DecoderOptions& settings) {
        secousti_decoder_options options;
        secousti_decoder_options_init(&options);
        options.threads = settings.threads;
        options.look_ahead = settings.look_ahead;
        options.noise = settings.noise ? 1 : 0;
        options.seed = settings.seed;
        return options;
    }
    std::size_t bands() const { return static_cast<std::size_t>(model_.info().n_mels); }
    std::size_t frames_per_token() const {
        const secousti_model_info info = model_.info();
        return static_cast<std::size_t>(info.frame_size / info.hop_length);
    }

    Model model_;
    std::unique_ptr<secousti_decoder, detail::Deleter<secousti_decoder_destroy>> handle_;
};

/// How a group works.
struct GroupOptions {
    int capacity = 1;              ///< slots
    int threads = 1;               ///< that work on a step
    int spins = -1;                ///< how often an idle worker polls before it sleeps; -1: the default
    const char* device = nullptr;  ///< "cpu" or "cuda"; null: the model's
    int max_steps = 1;             ///< most steps that one call makes
};

/// Many streams of PCM -> tokens that step together. Keeps its model alive. One thread at a time.
class EncoderGroup {
  public:
    /// A new group.
    EncoderGroup(const Model& model, const GroupOptions& settings) {
        secousti_encoder_group_options options;
        secousti_encoder_group_options_init(&options);
        options.capacity = settings.capacity;
        options.threads = settings.threads;
        options.spins = settings.spins;
        options.device = settings.device;
        options.max_steps = settings.max_steps;
        secousti_encoder_group* handle = nullptr;
        detail::check(secousti_encoder_group_create(model.get(), &options, &handle));
        handle_.reset(handle);
    }

    /// `pcm` [capacity, frame_size], `active` [capacity] or null, `tokens` [capacity]: see secousti_encoder_group_step.
    void step(const float* pcm, const std::uint8_t* active, std::int32_t* tokens) {
        detail::check(secousti_encoder_group_step(handle_.get(), pcm, active, tokens));
    }
    /// `count` steps at once: `pcm` [capacity, count * frame_size], `tokens` [capacity, count].
    void steps(const float* pcm, const std::uint8_t* active, int count, std::int32_t* tokens) {
        detail::check(secousti_encoder_group_steps(handle_.get(), pcm, active, count, tokens));
    }
    /// `mask` [capacity] names the slots; null: all.
    void reset(const std::uint8_t* mask = nullptr) { detail::check(secousti_encoder_group_reset(handle_.get(), mask)); }
    /// Ends one slot's stream; appends its remaining tokens.
    void flush(int slot, std::vector<std::int32_t>& tokens) {
        detail::append(tokens, secousti_encoder_group_max_tokens(handle_.get(), slot),
                       [&](std::int32_t* out, std::size_t room) {
                           return secousti_encoder_group_flush(handle_.get(), slot, out, room);
                       });
    }
    /// Of one slot, as of a single Encoder.
    std::vector<std::byte> snapshot(int slot) const {
        std::vector<std::byte> bytes(secousti_encoder_group_snapshot_size(handle_.get()));
        detail::check(secousti_encoder_group_snapshot(handle_.get(), slot, bytes.data(), bytes.size()));
        return bytes;
    }
    /// Puts the stream of a snapshot into the slot.
    void restore(int slot, std::span<const std::byte> snapshot) {
        detail::check(secousti_encoder_group_restore(handle_.get(), slot, snapshot.data(), snapshot.size()));
    }

    /// For calls of the C interface that have no counterpart here.
    secousti_encoder_group* get() const noexcept { return handle_.get(); }

  private:
    std::unique_ptr<secousti_encoder_group, detail::Deleter<secousti_encoder_group_destroy>> handle_;
};

/// Many streams of tokens -> PCM, or to log-mel, that step together. Keeps its model alive. One thread at a time.
class DecoderGroup {
  public:
    /// Every slot starts with this voice (empty: zeros) and these settings, whose threads do not count.
    DecoderGroup(const Model& model, const GroupOptions& settings, std::span<const float> voice = {},
                 const DecoderOptions& slots = {})
        : dimension_(static_cast<std::size_t>(model.info().dimension)) {
        secousti_decoder_group_options options;
        secousti_decoder_group_options_init(&options);
        options.capacity = settings.capacity;
        options.threads = settings.threads;
        options.spins = settings.spins;
        options.device = settings.device;
        options.max_steps = settings.max_steps;
        options.look_ahead = slots.look_ahead;
        options.noise = slots.noise ? 1 : 0;
        options.seed = slots.seed;
        options.voice = checked(voice);
        secousti_decoder_group* handle = nullptr;
        detail::check(secousti_decoder_group_create(model.get(), &options, &handle));
        handle_.reset(handle);
    }

    /// Begins a new stream in the slot.
    void start(int slot, std::span<const float> voice = {}, const DecoderOptions& settings = {}) {
        secousti_decoder_options options;
        secousti_decoder_options_init(&options);
        options.look_ahead = settings.look_ahead;
        options.noise = settings.noise ? 1 : 0;
        options.seed = settings.seed;
        options.voice = checked(voice);
        detail::check(secousti_decoder_group_start(handle_.get(), slot, &options));
    }
    /// Replaces the slot's G from its next token on.
    void set_voice(int slot, std::span<const float> voice) {
        detail::check(secousti_decoder_group_set_voice(handle_.get(), slot, voice.data(), voice.size()));
    }
    /// `tokens` [capacity], `pcm` [capacity, frame_size], `samples` [capacity]: see secousti_decoder_group_step.
    void step(const std::int32_t* tokens, float* pcm, std::int32_t* samples) {
        detail::check(secousti_decoder_group_step(handle_.get(), tokens, pcm, samples));
    }
    /// `mel` [capacity, frame_size / hop_length, n_mels].
    void step_to_mel(const std::int32_t* tokens, float* mel) {
        detail::check(secousti_decoder_group_step_to_mel(handle_.get(), tokens, mel));
    }
    /// `count` steps at once: `tokens` [capacity, count], `pcm` [capacity, count * frame_size].
    void steps(const std::int32_t* tokens, int count, float* pcm, std::int32_t* samples) {
        detail::check(secousti_decoder_group_steps(handle_.get(), tokens, count, pcm, samples));
    }
    /// `mel` [capacity, count * frame_size / hop_length, n_mels].
    void steps_to_mel(const std::int32_t* tokens, int count, float* mel) {
        detail::check(secousti_decoder_group_steps_to_mel(handle_.get(), tokens, count, mel));
    }
    /// The vocoder alone: see secousti_decoder_group_step_from_mel.
    void step_from_mel(const float* mel, const std::uint8_t* active, int frames, float* pcm, std::int32_t* samples) {
        detail::check(secousti_decoder_group_step_from_mel(handle_.get(), mel, active, frames, pcm, samples));
    }
    /// `mask` [capacity] names the slots; null: all. They keep G and seed.
    void reset(const std::uint8_t* mask = nullptr) { detail::check(secousti_decoder_group_reset(handle_.get(), mask)); }
    /// Ends one slot's stream; appends its remaining samples.
    void flush(int slot, std::vector<float>& pcm) {
        detail::append(pcm, secousti_decoder_group_max_samples(handle_.get(), slot), [&](float* out, std::size_t room) {
            return secousti_decoder_group_flush(handle_.get(), slot, out, room);
        });
    }
    /// Of one slot, as of a single Decoder.
    std::vector<std::byte> snapshot(int slot) const {
        std::vector<std::byte> bytes(secousti_decoder_group_snapshot_size(handle_.get()));
        detail::check(secousti_decoder_group_snapshot(handle_.get(), slot, bytes.data(), bytes.size()));
        return bytes;
    }
    /// Puts the stream of a snapshot into the slot.
    void restore(int slot, std::span<const std::byte> snapshot) {
        detail::check(secousti_decoder_group_restore(handle_.get(), slot, snapshot.data(), snapshot.size()));
    }

    /// For calls of the C interface that have no counterpart here.
    secousti_decoder_group* get() const noexcept { return handle_.get(); }

  private:
    const float* checked(std::span<const float> voice) const {
        if (!voice.empty() && voice.size() != dimension_) {
            throw Error(SECOUSTI_INVALID_ARGUMENT, "voice has " + std::to_string(voice.size()) + " values, expected " +
                                                       std::to_string(dimension_));
        }
        return voice.empty() ? nullptr : voice.data();
    }

    std::size_t dimension_;
    std::unique_ptr<secousti_decoder_group, detail::Deleter<secousti_decoder_group_destroy>> handle_;
};

}  // namespace secousti

#endif  // SECOUSTI_HPP

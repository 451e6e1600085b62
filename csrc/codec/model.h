// A loaded model: immutable, shared by every stream and thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/exec.h"
#include "models/config.h"
#include "models/decoder.h"
#include "models/encoder.h"
#include "models/mel.h"
#include "models/paralinguistic.h"
#include "models/vocoder.h"

namespace secousti::core {

class Engine;
class Model;
class SafetensorsFile;
class WeightMap;

using ModelPtr = std::shared_ptr<const Model>;

/// What a decoder stream is used for; the first push decides, until reset.
enum class DecoderUse : std::int32_t { undecided, tokens_to_pcm, tokens_to_mel, mel_to_pcm };

/// What a stream keeps of its decoder beside the stages' own state.
struct DecoderStreamHeader {
    std::uint64_t frames;   ///< of mel that went into the vocoder since the start
    std::uint64_t samples;  ///< emitted since the start
    std::uint64_t seed;
    std::int32_t look_ahead;
    std::int32_t noise;
    std::int32_t ended;
    DecoderUse use;
};

struct EncoderStreamHeader {
    std::uint64_t samples;  ///< pushed since the start
    std::uint64_t tokens;   ///< emitted since the start
    std::int32_t ended;
};

class Model {
  public:
    /// Loads from an opened file. `isa` null: the default kernel table. Without `precision`: the engine's default.
    /// `device` names the engine (codec/engine.h) that works with the model. Throws Error.
    static std::shared_ptr<const Model> load(const SafetensorsFile& file, const char* isa,
                                             std::optional<Precision> precision = std::nullopt,
                                             std::string_view device = "cpu");

    Model(const Backend& backend, Config config, const WeightMap& weights, std::shared_ptr<const Engine> engine);

    const Config config;
    const Backend& backend;
    const std::uint64_t identity;  ///< of what tokens and G mean: the same after training the decoder further
    const std::uint64_t parameters;
    const std::uint64_t weight_bytes;  ///< of the weights as they are kept for the kernels
    const bool half_weights;           ///< whether the file holds all matrices as float16

    ArenaLayout encoder_state, encoder_scratch;
    ArenaLayout decoder_state, decoder_scratch;
    ArenaLayout acoustic_state, acoustic_scratch;

    const Slice<EncoderStreamHeader> encoder_header;
    const MelFrontEnd mel;
    const Encoder encoder;
    const std::optional<AcousticBranch> acoustic;
    const ParalinguisticEncoder voice_encoder;
    const Slice<DecoderStreamHeader> decoder_header;
    const Slice<float> decoder_voice;
    const Slice<float> decoder_mel;  ///< what the vocoder, which works where the decoder did, takes over
    const Decoder decoder;
    const std::unique_ptr<const Vocoder> vocoder;  ///< null when the model has none
    const Slice<std::byte> vocoder_state, vocoder_scratch;
    const Slice<float> encoder_mel;
    const std::uint64_t fingerprint;  ///< of all weights at this precision: what a stream's state belongs to

    /// Makes streams, groups and offline calls on the device that the model was loaded for.
    const std::shared_ptr<const Engine> engine;

    int encoder_latency() const noexcept { return mel.latency() + (config.frames_per_token() - 1) * config.hop_length; }
};

}  // namespace secousti::core

#include "codec/model.h"

#include <utility>
#include <vector>

#include "base/error.h"
#include "codec/engine.h"
#include "models/limits.h"

namespace secousti::core {

namespace {

constexpr std::string_view kFormat = "secousti";
constexpr std::string_view kFormatVersion = "1";

/// FNV-1a over what tokens and G mean: rates, levels and the tensors next to both bottlenecks. A model whose decoder
/// alone was trained further keeps its identity, and its tokens stay playable.
std::uint64_t compute_identity(const Config& config, const WeightMap& weights) {
    std::uint64_t hash = 0xcbf29ce484222325U;
    const auto mix = [&hash](const void* data, std::size_t size) {
        const auto* bytes = static_cast<const unsigned char*>(data);
        for (std::size_t i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * 0x100000001b3U;
    };
    for (const std::int32_t value :
         {config.sample_rate, config.hop_length, config.ratios[0], config.ratios[1], config.dimension}) {
        mix(&value, sizeof value);
    }
    for (const std::int32_t levels : config.fsq_levels) mix(&levels, sizeof levels);
    for (const char* name :
         {"fsq.project_in.weight", "fsq.project_in.bias", "fsq.project_out.weight", "fsq.project_out.bias",
          "paralinguistic_encoder.dense_mu.weight", "paralinguistic_encoder.dense_mu.bias"}) {
        const AlignedVector<float> values = weights.get(name);
        mix(values.data(), values.size() * sizeof(float));
    }
    return hash;
}

std::uint64_t elements(const TensorSpec& spec) {
    std::uint64_t product = 1;
    for (const std::int64_t size : spec.shape) product *= static_cast<std::uint64_t>(size);
    return product;
}

std::uint64_t count_parameters(const Config& config) {
    std::uint64_t total = 0;
    for (const TensorSpec& spec : required_tensors(config)) total += elements(spec);
    return total;
}

/// Without the few bytes that fill up panels.
std::uint64_t count_bytes(const Config& config, const WeightMap& weights) {
    std::uint64_t total = 0;
    for (const TensorSpec& spec : required_tensors(config)) {
        switch (spec.halves ? weights.kept_at(spec.name, spec.precision) : spec.precision) {
            case Precision::fp32:
                total += elements(spec) * sizeof(float);
                break;
            case Precision::fp16:
            case Precision::bf16:
                total += elements(spec) * sizeof(std::uint16_t);
                break;
            case Precision::int8: {  // an output, of a convolution at each tap, has a scale and a first sum as well
                const auto first = static_cast<std::uint64_t>(spec.shape[0]);
                total += elements(spec) + (spec.shape.size() == 2 ? first : elements(spec) / first) * 8;
                break;
            }
        }
    }
    return total;
}

bool all_halves(const Config& config, const WeightMap& weights) {
    const std::vector<TensorSpec> specs = required_tensors(config);
    return std::all_of(specs.begin(), specs.end(), [&](const TensorSpec& spec) {
        return !spec.halves || weights.kept_at(spec.name, Precision::fp32) == Precision::fp16;
    });
}

std::unique_ptr<const Vocoder> make_vocoder(const Backend& backend, const Config& config, const WeightMap& weights) {
    switch (config.vocoder) {
        case VocoderKind::hift:
            return make_hift(backend, config, weights);
        case VocoderKind::spectral:
            return make_spectral(backend, config);
        case VocoderKind::none:
            break;
    }
    return nullptr;
}

/// Bytes that lie where a layout is used after its first part `kept`, for what runs when that is over.
Slice<std::byte> share_after(const Slice<float>& kept, ArenaLayout& layout, std::size_t bytes) {
    ArenaLayout part;
    part.reserve<float>(kept.count);
    const Slice<std::byte> shared = part.reserve<std::byte>(bytes);
    layout.include(part);
    return shared;
}

/// Sizes such as the context cost a file nothing: what streams take has to be in proportion to its weights.
void check_stream_memory(const Model& model, const std::string& path) {
    const std::uint64_t limit = (std::uint64_t{64} << 20U) + 64 * model.weight_bytes;
    const auto check = [&](const char* what, const ArenaLayout& state, const ArenaLayout& scratch) {
        const std::uint64_t bytes = std::uint64_t{state.bytes()} + scratch.bytes();
        if (bytes <= limit) return;
        throw Error(Status::incompatible, path + ": each " + what + " of this configuration would take " +
                                              std::to_string(bytes) + " bytes, for " +
                                              std::to_string(model.weight_bytes) + " bytes of weights");
    };
    check("encoder", model.encoder_state, model.encoder_scratch);
    check("decoder", model.decoder_state, model.decoder_scratch);
    check("acoustic encoder", model.acoustic_state, model.acoustic_scratch);
}

}  // namespace

std::shared_ptr<const Model> Model::load(const SafetensorsFile& file, const char* isa,
                                         std::optional<Precision> precision, std::string_view device) {
    const EngineEntry& entry = engine_for(device);
    const std::string_view format = file.metadata("format"), version = file.metadata("format_version");
    if (format != kFormat) {
        throw Error(Status::incompatible, file.path() + ": not a secousti model (metadata 'format' is " +
                                              quoted(format) + "); convert published checkpoints first");
    }
    if (version != kFormatVersion) {
        throw Error(Status::incompatible, file.path() + ": format version " + quoted(version) + ", this build reads " +
                                              quoted(kFormatVersion));
    }
    const Backend& backend = isa == nullptr ? default_backend() : backend_by_name(isa);
    Config config = Config::parse(file.metadata("config"), file.path());
    config.precision = precision ? *precision : entry.default_precision(config);
    const WeightMap weights(file);
    weights.require(required_tensors(config));
    std::shared_ptr<const Engine> engine = entry.open(device, config, weights);
    auto model = std::make_shared<const Model>(backend, std::move(config), weights, std::move(engine));
    check_stream_memory(*model, file.path());
    return model;
}

Model::Model(const Backend& table, Config parsed, const WeightMap& weights, std::shared_ptr<const Engine> works)
    : config(std::move(parsed)),
      backend(table),
      identity(compute_identity(config, weights)),
      parameters(count_parameters(config)),
      weight_bytes(count_bytes(config, weights)),
      half_weights(all_halves(config, weights)),
      encoder_header(encoder_state.reserve<EncoderStreamHeader>(1)),
      mel(config, encoder_state, encoder_scratch),
      encoder(backend, config, weights, encoder_state, encoder_scratch),
      acoustic(config.acoustic_layers == 0 ? std::nullopt
                                           : std::optional<AcousticBranch>(std::in_place, backend, config, weights,
                                                                           acoustic_state, acoustic_scratch)),
      voice_encoder(backend, config, weights),
      decoder_header(decoder_state.reserve<DecoderStreamHeader>(1)),
      decoder_voice(decoder_state.reserve<float>(static_cast<std::size_t>(config.dimension))),
      decoder_mel(
          decoder_scratch.reserve<float>(area(max_tokens_per_step(config) * config.frames_per_token(), config.n_mels))),
      decoder(backend, config, weights, decoder_state, decoder_scratch),
      vocoder(make_vocoder(backend, config, weights)),
      vocoder_state(decoder_state.reserve<std::byte>(vocoder ? vocoder->state_bytes() : 0)),
      vocoder_scratch(share_after(decoder_mel, decoder_scratch, vocoder ? vocoder->scratch_bytes() : 0)),
      encoder_mel(encoder_scratch.reserve<float>(area(kMaxFrames, config.n_mels))),
      fingerprint(weights.fingerprint() + static_cast<std::uint64_t>(config.precision)),
      engine(std::move(works)) {}

}  // namespace secousti::core

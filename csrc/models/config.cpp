#include "models/config.h"

#include <limits>

#include "base/error.h"
#include "io/json.h"
#include "kernels/backend.h"
#include "models/hift/hift.h"
#include "models/paralinguistic.h"
#include "models/quantiser.h"
#include "models/seanet_layers.h"

namespace secousti::core {

namespace {

int integer(const JsonValue& object, const char* key, std::int64_t low, std::int64_t high) {
    return static_cast<int>(object.at(key).as_int(low, high));
}

std::vector<int> integers(const JsonValue& object, const char* key, std::size_t min_count, std::size_t max_count,
                          std::int64_t low, std::int64_t high) {
    const JsonValue array = object.at(key);
    std::vector<int> values;
    for (const JsonValue& element : array) values.push_back(static_cast<int>(element.as_int(low, high)));
    if (values.size() < min_count || values.size() > max_count) {
        array.fail("has " + std::to_string(values.size()) + " elements, expected " + std::to_string(min_count) +
                   (min_count == max_count ? "" : " to " + std::to_string(max_count)));
    }
    return values;
}

void require_true(bool condition, const JsonValue& value, const char* message) {
    if (!condition) value.fail(message);
}

Precision parse_precision(const JsonValue& object, const char* key, Precision without) {
    const auto value = object.find(key);
    if (!value) return without;
    const std::string_view name = value->as_string();
    if (name == "fp32") return Precision::fp32;
    if (name == "bf16") return Precision::bf16;
    if (name != "int8") value->fail("is " + quoted(name) + ", expected 'fp32', 'bf16' or 'int8'");
    return Precision::int8;
}

HiftConfig parse_hift(const JsonValue& object) {
    HiftConfig hift;
    hift.channels = integer(object, "channels", 2, 4096);
    hift.upsample_rates = integers(object, "upsample_rates", 1, 6, 2, 64);
    hift.upsample_kernels =
        integers(object, "upsample_kernels", hift.upsample_rates.size(), hift.upsample_rates.size(), 2, 128);
    hift.istft_n_fft = integer(object, "istft_n_fft", 4, 256);
    hift.istft_hop = integer(object, "istft_hop", 1, 128);
    hift.resblock_kernels = integers(object, "resblock_kernels", 3, 3, 1, 31);
    hift.resblock_dilations = integers(object, "resblock_dilations", 1, 8, 1, 64);
    hift.source_resblock_kernels =
        integers(object, "source_resblock_kernels", hift.upsample_rates.size(), hift.upsample_rates.size(), 1, 31);
    hift.harmonics = integer(object, "harmonics", 1, 64);
    hift.f0_channels = integer(object, "f0_channels", 1, 4096);
    hift.f0_layers = integer(object, "f0_layers", 1, 16);
    hift.f0_kernel = integer(object, "f0_kernel", 1, 15);
    return hift;
}

}  // namespace

int Config::cardinality() const noexcept {
    int product = 1;
    for (const int levels : fsq_levels) product *= levels;
    return product;
}

Config Config::parse(std::string_view json, const std::string& file) {
    const JsonDocument document = JsonDocument::parse(json, file + ": config");
    const JsonValue root = document.root();
    Config config;
    config.json = std::string(json);
    config.name = std::string(root.at("name").as_string());
    config.sample_rate = integer(root, "sample_rate", 1000, 384000);
    config.n_fft = integer(root, "n_fft", 16, 8192);
    require_true((config.n_fft & (config.n_fft - 1)) == 0, root.at("n_fft"), "is not a power of two");
    config.hop_length = integer(root, "hop_length", 1, config.n_fft);
    require_true((config.n_fft - config.hop_length) % 2 == 0, root.at("hop_length"), "n_fft - hop_length is odd");
    require_true(config.n_fft <= 8 * config.hop_length, root.at("hop_length"), "is less than an eighth of n_fft");
    config.n_mels = integer(root, "n_mels", 1, 512);
    config.mel_fmin = root.at("mel_fmin").as_double();
    config.mel_fmax = root.at("mel_fmax").as_double();
    require_true(
        config.mel_fmin >= 0.0 && config.mel_fmin < config.mel_fmax && config.mel_fmax <= config.sample_rate / 2.0,
        root.at("mel_fmax"), "0 <= mel_fmin < mel_fmax <= sample_rate / 2 does not hold");
    const std::vector<int> ratios = integers(root, "ratios", 2, 2, 1, 8);
    config.ratios = {ratios[0], ratios[1]};
    config.n_filters = integer(root, "n_filters", 2, 2048);
    require_true(config.n_filters % 2 == 0, root.at("n_filters"), "is odd");
    config.dimension = integer(root, "dimension", 2, 8192);
    config.head_dim = integer(root, "head_dim", 2, kMaxHeadDim);
    require_true(config.head_dim % 2 == 0, root.at("head_dim"), "is odd");
    require_true(config.dimension % config.head_dim == 0, root.at("dimension"), "is not a multiple of head_dim");
    config.feedforward = integer(root, "feedforward", 1, 32768);
    config.context = integer(root, "context", 1, 16384);
    config.rope_base = root.at("rope_base").as_double();
    require_true(config.rope_base > 1.0 && config.rope_base <= 1e12, root.at("rope_base"), "is not in (1, 1e12]");
    const JsonValue layers = root.at("layers");
    config.acoustic_layers = integer(layers, "acoustic", 0, 128);
    config.semantic_layers = integer(layers, "semantic", 1, 128);
    config.connector_layers = integer(layers, "connector", 1, 128);
    config.decoder_layers = integer(layers, "decoder", 1, 128);
    config.fsq_levels = integers(root, "fsq_levels", 1, 16, 3, 255);
    std::int64_t cardinality = 1;
    for (const int levels : config.fsq_levels) {
        require_true(levels % 2 == 1, root.at("fsq_levels"), "only odd level counts have a code at zero");
        cardinality *= levels;
        require_true(cardinality <= std::numeric_limits<std::int32_t>::max(), root.at("fsq_levels"),
                     "their product does not fit 31 bits");
    }
    config.prompt_frames = integer(root, "prompt_frames", 1, 100000);
    config.token_precision = parse_precision(root, "token_precision", config.token_precision);
    config.default_precision = parse_precision(root, "default_precision", config.default_precision);

    const JsonValue vocoder = root.at("vocoder");
    const std::string_view kind = vocoder.at("kind").as_string();
    if (kind == "spectral") {
        config.vocoder = VocoderKind::spectral;
        if (vocoder.find("look_ahead")) config.spectral.look_ahead = integer(vocoder, "look_ahead", 0, 3);
        if (vocoder.find("iterations")) config.spectral.iterations = integer(vocoder, "iterations", 1, 1000);
    } else if (kind == "hift") {
        config.vocoder = VocoderKind::hift;
        config.hift = parse_hift(vocoder);
    } else if (kind != "none") {
        vocoder.at("kind").fail("is " + quoted(kind) + ", expected 'spectral', 'hift' or 'none'");
    }
    return config;
}

std::vector<TensorSpec> required_tensors(const Config& config) {
    std::vector<TensorSpec> tensors;
    append_seanet_tensors(seanet_encoder_layers(config), tensors);
    append_seanet_tensors(seanet_decoder_layers(config), tensors);
    append_transformer_tensors(config.acoustic_transformer(), tensors);
    append_transformer_tensors(config.semantic_transformer(), tensors);
    append_transformer_tensors(config.connector_transformer(), tensors);
    append_transformer_tensors(config.decoder_transformer(), tensors);
    append_quantiser_tensors(config, tensors);
    append_paralinguistic_tensors(config, tensors);
    if (config.vocoder == VocoderKind::hift) {
        for (TensorSpec& spec : hift_tensors(config.hift, config.n_mels, config.precision))
            tensors.push_back(std::move(spec));
    }
    return tensors;
}

}  // namespace secousti::core

// Model files that are wrong: every key of the configuration out of range, tensors missing, misshapen or not finite.
#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "check.h"
#include "codec/model.h"
#include "tiny_model.h"

using namespace secousti::core;

namespace {

struct Bad {
    const char* key;    ///< the message must name it
    const char* good;   ///< text of the configuration
    const char* wrong;  ///< what takes its place
};

std::string replaced(std::string text, const std::string& part, const std::string& with) {
    const std::size_t at = text.find(part);
    CHECK_MSG(at != std::string::npos, part);
    return at == std::string::npos ? text : text.replace(at, part.size(), with);
}

Error load_error(const std::vector<std::byte>& bytes) {
    try {
        static_cast<void>(Model::load(SafetensorsFile::from_memory(bytes, "model"), nullptr));
    } catch (const Error& error) {
        return error;
    }
    return {Status::ok, ""};
}

bool names(const Error& error, const std::string& part) {
    return std::string(error.what()).find(part) != std::string::npos;
}

/// Loading a model of this configuration, whose tensors fit what it was made from, fails and names `key`.
void expect_refused(const std::string& json, const std::vector<tiny::NamedTensor>& tensors, const char* key,
                    const std::string& what) {
    const Error error = load_error(tiny::safetensors(json, tensors));
    CHECK_MSG(error.status() == Status::invalid_file || error.status() == Status::incompatible, what + " was accepted");
    CHECK_MSG(names(error, "config") && names(error, key), what + " gives: " + error.what());
}

}  // namespace

TEST(config_values_out_of_range_are_named) {
    const std::string json = tiny::config_json(tiny::kPlain);
    const auto tensors = tiny::random_tensors(json, 1);
    const char* const integers[] = {"sample_rate", "n_fft",    "hop_length",  "n_mels",  "n_filters",
                                    "dimension",   "head_dim", "feedforward", "context", "prompt_frames"};
    for (const char* key : integers) {
        const std::string start = std::string("\"") + key + "\": ";
        const std::size_t at = json.find(start) + start.size();
        const std::string value = json.substr(at, json.find_first_of(",}", at) - at);
        for (const char* wrong : {"0", "-1", "2147483648", "99999999999999999999", "1e300", "1.5", "\"8\"", "null",
                                  "true", "[8]", "{}", "NaN"}) {
            expect_refused(replaced(json, start + value, start + wrong), tensors,
                           std::string(wrong) == "NaN" ? "" : key, start + wrong);
        }
        expect_refused(replaced(json, start + value + ",", ""), tensors, key, std::string(key) + " missing");
    }
    const Bad cases[] = {
        {"name", "\"tiny\"", "5"},
        {"n_fft", "\"n_fft\": 1024", "\"n_fft\": 1000"},
        {"n_fft", "\"n_fft\": 1024", "\"n_fft\": 16384"},
        {"hop_length", "\"hop_length\": 256", "\"hop_length\": 255"},
        {"hop_length", "\"hop_length\": 256", "\"hop_length\": 1026"},
        {"hop_length", "\"hop_length\": 256", "\"hop_length\": 2"},
        {"mel_fm", "\"mel_fmin\": 0.0", "\"mel_fmin\": -1"},
        {"mel_fm", "\"mel_fmin\": 0.0", "\"mel_fmin\": 9000"},
        {"mel_fmax", "\"mel_fmax\": 8820", "\"mel_fmax\": 11026"},
        {"mel_fmax", "\"mel_fmax\": 8820", "\"mel_fmax\": -8820"},
        {"mel_fmin", "\"mel_fmin\": 0.0", "\"mel_fmin\": \"low\""},
        {"ratios", "[1, 1]", "[1]"},
        {"ratios", "[1, 1]", "[1, 1, 1]"},
        {"ratios", "[1, 1]", "[0, 1]"},
        {"ratios", "[1, 1]", "[1, 9]"},
        {"ratios", "[1, 1]", "2"},
        {"n_filters", "\"n_filters\": 6", "\"n_filters\": 7"},
        {"dimension", "\"dimension\": 24", "\"dimension\": 25"},
        {"dimension", "\"dimension\": 24", "\"dimension\": 8204"},
        {"head_dim", "\"head_dim\": 12", "\"head_dim\": 3"},
        {"head_dim", "\"head_dim\": 12", "\"head_dim\": 514"},  // more than kernels have room for
        {"feedforward", "\"feedforward\": 40", "\"feedforward\": 100000"},
        {"context", "\"context\": 9", "\"context\": 20000"},
        {"rope_base", "10000.0", "1.0"},
        {"rope_base", "10000.0", "1e13"},
        {"rope_base", "10000.0", "\"x\""},
        {"acoustic", "\"acoustic\": 1", "\"acoustic\": -1"},
        {"semantic", "\"semantic\": 2", "\"semantic\": 0"},
        {"connector", "\"connector\": 1", "\"connector\": 129"},
        {"decoder", "\"decoder\": 2", "\"decoder\": 0.5"},
        {"layers", "{\"acoustic\": 1, \"semantic\": 2, \"connector\": 1, \"decoder\": 2}", "8"},
        {"fsq_levels", "[3, 3, 3, 3]", "[]"},
        {"fsq_levels", "[3, 3, 3, 3]", "[3, 4]"},
        {"fsq_levels", "[3, 3, 3, 3]", "[1]"},
        {"fsq_levels", "[3, 3, 3, 3]", "[255, 255, 255, 255]"},
        {"fsq_levels", "[3, 3, 3, 3]", "[3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3,3]"},
        {"vocoder", "{\"kind\": \"spectral\"}", "null"},
        {"kind", "\"spectral\"", "\"griffin\""},
        {"kind", "\"spectral\"", "3"},
        {"look_ahead", "\"spectral\"", "\"spectral\", \"look_ahead\": 4"},
        {"iterations", "\"spectral\"", "\"spectral\", \"iterations\": 0"},
    };
    for (const Bad& bad : cases) expect_refused(replaced(json, bad.good, bad.wrong), tensors, bad.key, bad.wrong);
}

TEST(config_of_hift_is_checked) {
    const std::string json = tiny::config_json(tiny::kHift);
    const auto tensors = tiny::random_tensors(json, 1);
    const Bad cases[] = {
        {"channels", "\"channels\": 16", "\"channels\": 18"},
        {"channels", "\"channels\": 16", "\"channels\": 0"},
        {"upsample_rates", "\"upsample_rates\": [8, 8]", "\"upsample_rates\": [8, 7]"},
        {"upsample_rates", "\"upsample_rates\": [8, 8]", "\"upsample_rates\": []"},
        {"upsample", "\"upsample_rates\": [8, 8]", "\"upsample_rates\": [8]"},
        {"upsample_kernels", "[16, 16]", "[16, 15]"},
        {"istft", "\"istft_n_fft\": 16", "\"istft_n_fft\": 15"},
        {"istft_hop", "\"istft_hop\": 4", "\"istft_hop\": 0"},
        {"hop", "\"istft_hop\": 4", "\"istft_hop\": 2"},
        {"resblock_kernels", "\"resblock_kernels\": [3, 7, 11]", "\"resblock_kernels\": [3, 7, 10]"},
        {"resblock_kernels", "\"resblock_kernels\": [3, 7, 11]", "\"resblock_kernels\": [3]"},
        {"resblock_dilations", "[1, 3]", "[0]"},
        {"source_resblock_kernels", "\"source_resblock_kernels\": [7, 11]", "\"source_resblock_kernels\": [7]"},
        {"harmonics", "\"harmonics\": 3", "\"harmonics\": 65"},
        {"f0_channels", "\"f0_channels\": 10", "\"f0_channels\": -3"},
        {"f0_layers", "\"f0_layers\": 2", "\"f0_layers\": 0"},
        {"f0_kernel", "\"f0_kernel\": 3", "\"f0_kernel\": 4"},
    };
    for (const Bad& bad : cases) expect_refused(replaced(json, bad.good, bad.wrong), tensors, bad.key, bad.wrong);
}

TEST(models_of_another_format_are_refused) {
    const std::string json = tiny::config_json(tiny::kPlain);
    const auto tensors = tiny::random_tensors(json, 1);
    const Error format = load_error(tiny::safetensors(json, tensors, "pt"));
    CHECK(format.status() == Status::incompatible && names(format, "'pt'"));
    const Error version = load_error(tiny::safetensors(json, tensors, "secousti", "2"));
    CHECK(version.status() == Status::incompatible && names(version, "'2'"));
    CHECK(load_error(tiny::safetensors("{", tensors)).status() == Status::invalid_file);
    CHECK(load_error(tiny::safetensors(json, tensors)).status() == Status::ok);
}

TEST(missing_and_misshapen_tensors_are_all_named) {
    const std::string json = tiny::config_json(tiny::kPlain);
    auto tensors = tiny::random_tensors(json, 1);
    const std::string missing[] = {tensors.front().name, tensors[tensors.size() / 2].name, tensors.back().name};
    const std::string misshapen = tensors[3].name;
    tensors[3].shape = {static_cast<std::int64_t>(tensors[3].values.size()), 1, 1, 1};
    std::erase_if(tensors, [&](const auto& t) { return std::find(missing, missing + 3, t.name) != missing + 3; });
    tensors.push_back({"left over from training", {2}, {NAN, NAN}});  // extra tensors do no harm
    const Error error = load_error(tiny::safetensors(json, tensors));
    CHECK(error.status() == Status::incompatible);
    for (const std::string& name : missing) CHECK_MSG(names(error, name), error.what());
    CHECK_MSG(names(error, misshapen), error.what());
    CHECK(!names(error, "left over"));
}

TEST(weights_must_be_finite) {
    for (const tiny::Shape& shape : {tiny::kPlain, tiny::kHift}) {
        const std::string json = tiny::config_json(shape);
        const auto tensors = tiny::random_tensors(json, 1);
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            auto damaged = tensors;
            damaged[i].values.back() = i % 2 == 0 ? NAN : -INFINITY;
            const Error error = load_error(tiny::safetensors(json, damaged));
            CHECK_MSG(error.status() == Status::invalid_file && names(error, tensors[i].name),
                      tensors[i].name + ": " + error.what());
        }
    }
}

TEST(a_config_alone_cannot_claim_memory) {
    const std::string json = tiny::config_json({.feedforward = 32768, .context = 16384, .prompt_frames = 100000});
    const Error error = load_error(tiny::safetensors(json, {}));
    CHECK(error.status() == Status::incompatible);
}

// C interface: library and models.
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "api/checks.h"
#include "api/handles.h"
#include "codec/engine.h"
#include "io/safetensors.h"
#include "kernels/backend.h"

namespace secousti::core {

static_assert(static_cast<int>(Status::ok) == SECOUSTI_OK);
static_assert(static_cast<int>(Status::invalid_argument) == SECOUSTI_INVALID_ARGUMENT);
static_assert(static_cast<int>(Status::invalid_file) == SECOUSTI_INVALID_FILE);
static_assert(static_cast<int>(Status::incompatible) == SECOUSTI_INCOMPATIBLE);
static_assert(static_cast<int>(Status::io_error) == SECOUSTI_IO_ERROR);
static_assert(static_cast<int>(Status::out_of_memory) == SECOUSTI_OUT_OF_MEMORY);
static_assert(static_cast<int>(Status::unsupported) == SECOUSTI_UNSUPPORTED);
static_assert(static_cast<int>(Status::invalid_state) == SECOUSTI_INVALID_STATE);
static_assert(static_cast<int>(Status::internal_error) == SECOUSTI_INTERNAL_ERROR);
static_assert(static_cast<int>(Precision::fp32) == SECOUSTI_PRECISION_FP32);
static_assert(static_cast<int>(Precision::bf16) == SECOUSTI_PRECISION_BF16);
static_assert(static_cast<int>(Precision::int8) == SECOUSTI_PRECISION_INT8);

namespace {

/// None for SECOUSTI_PRECISION_DEFAULT.
std::optional<Precision> checked_precision(std::int32_t value) {
    if (value == SECOUSTI_PRECISION_DEFAULT) return std::nullopt;
    if (value < SECOUSTI_PRECISION_FP32 || value > SECOUSTI_PRECISION_INT8) {
        throw Error(Status::unsupported, "secousti_model_options.precision is " + std::to_string(value) +
                                             ", expected -1 (default), 0 (fp32), 1 (bf16) or 2 (int8)");
    }
    return static_cast<Precision>(value);
}

secousti_status open_model(const SafetensorsFile& file, const secousti_model_options* options, secousti_model** model) {
    const char* isa = nullptr;
    std::optional<Precision> precision;
    const char* device = "cpu";
    if (options != nullptr) {
        require_size(options->struct_size, sizeof *options, "secousti_model_options");
        isa = options->isa;
        precision = checked_precision(options->precision);
        if (options->device != nullptr) device = options->device;
    }
    *model = std::make_unique<secousti_model>(secousti_model{Model::load(file, isa, precision, device)}).release();
    return SECOUSTI_OK;
}

const char* vocoder_name(const Model& model) { return model.vocoder ? model.vocoder->name() : "none"; }

}  // namespace
}  // namespace secousti::core

using namespace secousti::core;

extern "C" {

uint32_t secousti_abi_version(void) SECOUSTI_NOEXCEPT { return SECOUSTI_ABI_VERSION; }

const char* secousti_version(void) SECOUSTI_NOEXCEPT { return SECOUSTI_VERSION_STRING; }

const char* secousti_status_name(secousti_status status) SECOUSTI_NOEXCEPT {
    switch (status) {
        case SECOUSTI_OK:
            return "ok";
        case SECOUSTI_INVALID_ARGUMENT:
            return "invalid argument";
        case SECOUSTI_INVALID_FILE:
            return "invalid file";
        case SECOUSTI_INCOMPATIBLE:
            return "incompatible";
        case SECOUSTI_IO_ERROR:
            return "input/output error";
        case SECOUSTI_OUT_OF_MEMORY:
            return "out of memory";
        case SECOUSTI_UNSUPPORTED:
            return "unsupported";
        case SECOUSTI_INVALID_STATE:
            return "invalid state";
        case SECOUSTI_INTERNAL_ERROR:
            return "internal error";
    }
    return "unknown status";
}

const char* secousti_available_isas(void) SECOUSTI_NOEXCEPT {
    static const std::string names = [] {
        std::string list;
        for (const Backend* backend : available_backends())
            list += (list.empty() ? "" : ",") + std::string(backend->name);
        return list;
    }();
    return names.c_str();
}

void secousti_model_options_init(secousti_model_options* options) SECOUSTI_NOEXCEPT {
    if (options != nullptr) *options = {sizeof *options, nullptr, SECOUSTI_PRECISION_DEFAULT, nullptr};
}

secousti_status secousti_model_open(const char* path, const secousti_model_options* options,
                                    secousti_model** model) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(path, "path");
        require_pointer(model, "model");
        *model = nullptr;
        return open_model(SafetensorsFile::open(path), options, model);
    });
}

secousti_status secousti_model_open_memory(const void* data, size_t size, const secousti_model_options* options,
                                           secousti_model** model) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(data, "data");
        require_pointer(model, "model");
        *model = nullptr;
        return open_model(SafetensorsFile::from_memory({static_cast<const std::byte*>(data), size}), options, model);
    });
}

void secousti_model_release(secousti_model* model) SECOUSTI_NOEXCEPT { delete model; }

secousti_status secousti_model_get_info(const secousti_model* model, secousti_model_info* info) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(model, "model");
        require_pointer(info, "info");
        require_size(info->struct_size, sizeof *info, "secousti_model_info");
        const Model& m = *model->model;
        const Config& c = m.config;
        secousti_model_info out{};
        out.struct_size = sizeof out;
        out.sample_rate = c.sample_rate;
        out.hop_length = c.hop_length;
        out.frame_size = c.frame_size();
        out.frame_rate = static_cast<double>(c.sample_rate) / c.frame_size();
        out.cardinality = c.cardinality();
        out.n_mels = c.n_mels;
        out.dimension = c.dimension;
        out.fsq_dimensions = static_cast<int32_t>(c.fsq_levels.size());
        out.prompt_frames = c.prompt_frames;
        out.has_acoustic_branch = m.acoustic ? 1 : 0;
        out.has_vocoder = m.vocoder ? 1 : 0;
        if (m.vocoder) {
            out.vocoder_look_ahead = m.vocoder->default_look_ahead();
            out.decoder_latency = m.vocoder->latency(out.vocoder_look_ahead);
        }
        out.encoder_latency = m.encoder_latency();
        out.identity = m.identity;
        out.parameters = m.parameters;
        out.memory_bytes = m.weight_bytes;
        out.name = c.name.c_str();
        out.config_json = c.json.c_str();
        out.isa = m.backend.name;
        out.vocoder = vocoder_name(m);
        out.precision = static_cast<std::int32_t>(m.config.precision);
        out.device = m.engine->device();
        out.half_weights = m.half_weights ? 1 : 0;
        out.device_bytes = m.engine->weight_bytes();
        *info = out;
        return SECOUSTI_OK;
    });
}

}  // extern "C"

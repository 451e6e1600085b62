// Files: the safetensors loader, JSON, configurations, whole models.
#include <cmath>
#include <string_view>

#include "allocations.h"
#include "base/error.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "model_limits.h"
#include "models/config.h"
#include "secousti.h"
#include "target.h"
#include "tiny_model.h"

using namespace secousti::core;

namespace {

std::string_view text_of(fuzz::Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

void expect_file_error(const Error& error) {
    REQUIRE(error.status() == Status::invalid_file || error.status() == Status::incompatible);
    REQUIRE(std::strlen(error.what()) > 0);
}

void visit(const JsonValue& value, int depth) {
    REQUIRE(depth <= 32);
    REQUIRE(value.path().size() < (std::size_t{1} << 24U));
    switch (value.kind()) {
        case JsonKind::number:
            try {
                REQUIRE(std::isfinite(value.as_double()));
                REQUIRE(value.as_int(-5, 1 << 20) >= -5);
            } catch (const Error& error) {
                expect_file_error(error);
            }
            break;
        case JsonKind::string:
            REQUIRE(value.as_string().data() != nullptr);
            break;
        case JsonKind::array:
        case JsonKind::object: {
            std::size_t count = 0;
            for (const JsonValue child : value) {
                visit(child, depth + 1);
                if (value.kind() == JsonKind::object && count < 16) REQUIRE(value.find(child.key()).has_value());
                ++count;
            }
            REQUIRE(count == value.size());
            break;
        }
        default:
            break;
    }
}

std::uint64_t elements(const std::vector<TensorSpec>& specs) {
    std::uint64_t total = 0;
    for (const TensorSpec& spec : specs) {
        std::uint64_t product = 1;
        for (const std::int64_t size : spec.shape) {
            REQUIRE(size > 0);
            product *= static_cast<std::uint64_t>(size);
        }
        total += product;
    }
    return total;
}

/// Opens the file and, if it is a model, runs a moment of audio through it.
void open_and_run(fuzz::Bytes file) {
    const std::size_t before = allocations::live_bytes();
    allocations::begin_peak();
    secousti_model_options options;
    secousti_model_options_init(&options);
    options.precision = static_cast<std::int32_t>(file.size() % 3);
    secousti_model* model = nullptr;
    const secousti_status status = secousti_model_open_memory(file.data(), file.size(), &options, &model);
    const std::size_t taken = allocations::peak_bytes() - before;
    REQUIRE(taken <= limits::opening(file.size()));
    REQUIRE((status == SECOUSTI_OK) == (model != nullptr));
    if (model == nullptr) {
        REQUIRE(status == SECOUSTI_INVALID_FILE || status == SECOUSTI_INCOMPATIBLE);
        return;
    }
    secousti_model_info info{};
    info.struct_size = sizeof info;
    REQUIRE(secousti_model_get_info(model, &info) == SECOUSTI_OK);
    REQUIRE(info.frame_size > 0 && info.cardinality > 1);

    const std::size_t with_model = allocations::live_bytes();
    allocations::begin_peak();
    secousti_encoder* encoder = nullptr;
    REQUIRE(secousti_encoder_create(model, nullptr, &encoder) == SECOUSTI_OK);
    secousti_decoder* decoder = nullptr;
    REQUIRE(secousti_decoder_create(model, nullptr, &decoder) == SECOUSTI_OK);
    REQUIRE(allocations::peak_bytes() - with_model <= limits::streams(file.size()));

    std::vector<float> pcm(static_cast<std::size_t>(info.frame_size) + 7);
    for (std::size_t i = 0; i < pcm.size(); ++i)
        pcm[i] = static_cast<float>(static_cast<int>(i * 37 % 201) - 100) * 0.01F;
    std::vector<std::int32_t> tokens(secousti_encoder_max_tokens(encoder, pcm.size()));
    const std::int64_t pushed = secousti_encoder_push(encoder, pcm.data(), pcm.size(), tokens.data(), tokens.size());
    REQUIRE(pushed >= 0);
    const std::int64_t flushed =
        secousti_encoder_flush(encoder, tokens.data() + pushed, tokens.size() - static_cast<std::size_t>(pushed));
    REQUIRE(flushed >= 0 && static_cast<std::size_t>(pushed + flushed) <= tokens.size());
    tokens.resize(static_cast<std::size_t>(pushed + flushed));
    // Whatever the weights are, what they make of audio is tokens.
    for (const std::int32_t token : tokens) REQUIRE(token >= 0 && token < info.cardinality);
    if (info.has_vocoder != 0 && !tokens.empty()) {
        std::vector<float> out(secousti_decoder_max_samples(decoder, tokens.size()));
        const std::int64_t count = secousti_decoder_push(decoder, tokens.data(), tokens.size(), out.data(), out.size());
        REQUIRE(count >= 0);
        const std::int64_t last =
            secousti_decoder_flush(decoder, out.data() + count, out.size() - static_cast<std::size_t>(count));
        REQUIRE(count + last == static_cast<std::int64_t>(tokens.size()) * info.frame_size);
    }
    secousti_decoder_destroy(decoder);
    secousti_encoder_destroy(encoder);
    secousti_model_release(model);
}

}  // namespace

FUZZ_TARGET(safetensors) {
    const std::size_t before = allocations::live_bytes();
    allocations::begin_peak();
    try {
        const SafetensorsFile file = SafetensorsFile::from_memory(bytes, "fuzz");
        std::uint64_t total = 0;
        for (const TensorView& tensor : file.tensors()) {
            REQUIRE(tensor.offset + tensor.bytes <= bytes.size());
            REQUIRE(file.find(tensor.name) == &tensor);
            total += tensor.bytes;
            if (tensor.dtype != DType::f32 && tensor.dtype != DType::f16 && tensor.dtype != DType::bf16) continue;
            std::vector<float> values(tensor.elements());
            widen_to_float(tensor, values.data());
            try {
                check_finite(tensor, values);
            } catch (const Error& error) {
                expect_file_error(error);
            }
        }
        REQUIRE(total < bytes.size());
        REQUIRE(file.metadata("config").size() <= bytes.size());
    } catch (const Error& error) {
        expect_file_error(error);
    }
    REQUIRE(allocations::peak_bytes() - before <= limits::header(bytes.size()));
}

FUZZ_TARGET(json) {
    const std::size_t before = allocations::live_bytes();
    allocations::begin_peak();
    try {
        const JsonDocument document = JsonDocument::parse(text_of(bytes), "fuzz");
        REQUIRE(allocations::peak_bytes() - before <= limits::json(bytes.size()));
        visit(document.root(), 0);
    } catch (const Error& error) {
        expect_file_error(error);
    }
}

/// A configuration; if it is one and asks for little, a model that fits it.
FUZZ_TARGET(config) {
    const std::string json(text_of(bytes));
    try {
        const Config config = Config::parse(json, "fuzz");
        REQUIRE(config.cardinality() > 1);
        const std::uint64_t count = elements(required_tensors(config));
        REQUIRE(count < (std::uint64_t{1} << 48U));
        // What the kernels take is not worth the time here.
        if (count > 200'000 || config.n_fft > 2048 || config.context > 4096) return;
        open_and_run(tiny::safetensors(json, tiny::random_tensors(json, 1)));
    } catch (const Error& error) {
        expect_file_error(error);
    }
}

/// A model file by its header, which is where mutation matters: 4 bytes of the header's length, the header, then places
/// and values of weights, 4 bytes each. All other weights are made up.
FUZZ_TARGET(model) {
    constexpr std::uint64_t kLargest = 2U << 20U;
    fuzz::Input input(bytes);
    const std::size_t claimed = input.take<std::uint32_t>();
    const std::size_t length = std::min(claimed, input.rest().size());
    const std::string header(text_of(input.rest().first(length)));
    std::uint64_t data = 0;
    try {
        const JsonDocument document = JsonDocument::parse(header, "fuzz");
        for (const JsonValue entry : document.root()) {
            if (entry.kind() != JsonKind::object || !entry.find("data_offsets")) continue;
            data = std::max(data, static_cast<std::uint64_t>(entry.at("data_offsets").at(1).as_int(0, kLargest)));
        }
    } catch (const Error& error) {
        expect_file_error(error);
    }
    const std::uint64_t size = header.size();
    std::vector<std::byte> file(sizeof size + header.size() + data);
    std::memcpy(file.data(), &size, sizeof size);
    std::memcpy(file.data() + sizeof size, header.data(), header.size());
    std::byte* weights = file.data() + sizeof size + header.size();
    std::uint32_t state = 1;
    for (std::uint64_t at = 0; at + sizeof(float) <= data; at += sizeof(float)) {
        state = state * 1664525U + 1013904223U;
        const float weight = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-33F;
        std::memcpy(weights + at, &weight, sizeof weight);
    }
    fuzz::Input patches(input.rest().subspan(length));
    while (!patches.empty() && data >= sizeof(std::uint32_t)) {
        const std::uint64_t at = patches.take<std::uint32_t>() % (data - 3);
        const auto value = patches.take<std::uint32_t>();
        std::memcpy(weights + at, &value, sizeof value);
    }
    open_and_run(file);
}

#include "io/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "io/bytes.h"

namespace secousti::core {
namespace {

constexpr std::size_t kMaxDimensions = 8;
constexpr std::string_view kMetadataKey = "__metadata__";

struct DTypeEntry {
    const char* name;
    std::size_t size;
};
// In the order of DType.
constexpr std::array<DTypeEntry, 15> kDTypes = {{{"BOOL", 1},
                                                 {"U8", 1},
                                                 {"I8", 1},
                                                 {"F8_E4M3", 1},
                                                 {"F8_E5M2", 1},
                                                 {"U16", 2},
                                                 {"I16", 2},
                                                 {"F16", 2},
                                                 {"BF16", 2},
                                                 {"U32", 4},
                                                 {"I32", 4},
                                                 {"F32", 4},
                                                 {"U64", 8},
                                                 {"I64", 8},
                                                 {"F64", 8}}};
static_assert(static_cast<std::size_t>(DType::f64) + 1 == kDTypes.size());

[[noreturn]] void fail_file(std::string_view file, const std::string& message) {
    throw Error(Status::invalid_file, std::string(file) + ": " + message);
}

/// `data`: offset of the first tensor, after which `size` bytes follow.
TensorView read_entry(const JsonValue& entry, const ByteSource& source, std::uint64_t data, std::uint64_t size) {
    TensorView tensor;
    tensor.name = entry.key();
    tensor.source = &source;

    const std::string_view dtype = entry.at("dtype").as_string();
    const auto known = std::find_if(kDTypes.begin(), kDTypes.end(), [&](const auto& d) { return d.name == dtype; });
    if (known == kDTypes.end()) tensor.fail(Status::invalid_file, "unknown dtype " + quoted(dtype));
    tensor.dtype = static_cast<DType>(known - kDTypes.begin());

    const JsonValue shape = entry.at("shape");
    if (shape.kind() != JsonKind::array) tensor.fail(Status::invalid_file, "its shape is not an array");
    if (shape.size() > kMaxDimensions) {
        tensor.fail(Status::invalid_file,
                    "has " + std::to_string(shape.size()) + " dimensions, more than " + std::to_string(kMaxDimensions));
    }
    std::uint64_t bytes = known->size;
    tensor.shape.reserve(shape.size());
    for (const JsonValue dimension : shape) {
        tensor.shape.push_back(dimension.as_int(0));
        const auto length = static_cast<std::uint64_t>(tensor.shape.back());
        if (length != 0 && bytes > UINT64_MAX / length) {
            tensor.fail(Status::invalid_file, "the size of its shape overflows");
        }
        bytes *= length;
    }

    const JsonValue offsets = entry.at("data_offsets");
    if (offsets.kind() != JsonKind::array || offsets.size() != 2) {
        tensor.fail(Status::invalid_file, "data_offsets is not a pair");
    }
    const auto begin = static_cast<std::uint64_t>(offsets.at(std::size_t{0}).as_int(0));
    const auto end = static_cast<std::uint64_t>(offsets.at(std::size_t{1}).as_int(0));
    const std::string range = "data_offsets [" + std::to_string(begin) + ", " + std::to_string(end) + "]";
    if (begin > end) tensor.fail(Status::invalid_file, range + " run backwards");
    if (end > size) {
        tensor.fail(Status::invalid_file,
                    range + " reach past the " + std::to_string(size) + " bytes of tensors in the file (truncated?)");
    }
    if (end - begin != bytes) {
        tensor.fail(Status::invalid_file, range + " do not hold " + std::string(dtype) + " " +
                                              shape_text(tensor.shape) + " of " + std::to_string(bytes) + " bytes");
    }
    if constexpr (sizeof(std::size_t) < sizeof bytes) {
        if (bytes > SIZE_MAX) tensor.fail(Status::out_of_memory, "too large for this system");
    }
    tensor.offset = data + begin;
    tensor.bytes = static_cast<std::size_t>(bytes);
    return tensor;
}

// The format demands that tensors, in order of their offsets, cover the data exactly.
void check_coverage(const std::vector<TensorView>& tensors, std::uint64_t data, const ByteSource& source) {
    std::vector<const TensorView*> order;
    order.reserve(tensors.size());
    for (const TensorView& tensor : tensors) order.push_back(&tensor);
    std::sort(order.begin(), order.end(), [](const TensorView* a, const TensorView* b) {
        return a->offset != b->offset ? a->offset < b->offset : a->bytes < b->bytes;
    });
    std::uint64_t expected = data;
    for (const TensorView* tensor : order) {
        if (tensor->offset < expected) tensor->fail(Status::invalid_file, "overlaps the tensor before it");
        if (tensor->offset > expected) {
            tensor->fail(Status::invalid_file,
                         "follows a hole of " + std::to_string(tensor->offset - expected) + " bytes");
        }
        expected = tensor->offset + tensor->bytes;
    }
    if (const std::uint64_t rest = source.size() - expected; rest != 0) {
        fail_file(source.name(), std::to_string(rest) + " bytes after the last tensor belong to none");
    }
}

float half_to_float(std::uint16_t half) {
    const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
    const std::uint32_t magnitude = half & 0x7FFFU;
    if (magnitude >= 0x7C00U) return std::bit_cast<float>(sign | 0x7F800000U | (magnitude & 0x3FFU) << 13);
    if (magnitude >= 0x0400U) return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000U));
    // Zero and subnormals are multiples of 2^-24; the product is exact.
    const float value = static_cast<float>(magnitude) * 0x1p-24F;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
}

float bfloat16_to_float(std::uint16_t value) { return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16); }

template <class Convert>
void widen_16(const TensorView& tensor, float* out, Convert convert) {
    std::array<std::byte, 1U << 14U> buffer;
    for (std::size_t begin = 0; begin < tensor.bytes; begin += buffer.size()) {
        const auto part = std::span(buffer).first(std::min(buffer.size(), tensor.bytes - begin));
        tensor.read(begin, part);
        for (std::size_t i = 0; i < part.size(); i += 2) *out++ = convert(load<std::uint16_t>(part.subspan(i)));
    }
}

}  // namespace

const char* dtype_name(DType dtype) noexcept { return kDTypes[static_cast<std::size_t>(dtype)].name; }
std::size_t dtype_size(DType dtype) noexcept { return kDTypes[static_cast<std::size_t>(dtype)].size; }

std::string shape_text(std::span<const std::int64_t> shape) {
    std::string text = "[";
    for (const std::int64_t length : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(length);
    return text + "]";
}

void TensorView::fail(Status status, const std::string& message) const {
    throw Error(status, source->name() + ": tensor " + quoted(name) + ": " + message);
}

struct SafetensorsFile::Contents {
    ByteSource source;
    std::unique_ptr<JsonDocument> json;  // holds names and metadata
    std::vector<TensorView> tensors;

    explicit Contents(ByteSource opened) : source(std::move(opened)) { parse(); }

    void parse() {
        const std::string& path = source.name();
        const std::uint64_t size = source.size();
        if (size < 8) {
            fail_file(path, "not a safetensors file: " + std::to_string(size) + " bytes, too short for a header");
        }
        std::array<std::byte, 8> length;
        source.read(0, length);
        const auto header = load<std::uint64_t>(length);
        if (header > kMaxSafetensorsHeader) {
            fail_file(path, "not a safetensors file: the header would take " + std::to_string(header) +
                                " bytes, more than the " + std::to_string(kMaxSafetensorsHeader) + " allowed");
        }
        if (header > size - 8) {
            fail_file(path, "the header should take " + std::to_string(header) + " bytes, but only " +
                                std::to_string(size - 8) + " follow (truncated?)");
        }
        std::string text(static_cast<std::size_t>(header), '\0');
        source.read(8, std::as_writable_bytes(std::span(text)));
        const std::uint64_t data = 8 + header;
        json = std::make_unique<JsonDocument>(
            JsonDocument::parse(text, path + ": header", {.max_bytes = kMaxSafetensorsHeader, .max_depth = 4}));
        const JsonValue root = json->root();
        if (root.kind() != JsonKind::object) root.fail("expected an object");
        tensors.reserve(root.size());
        for (const JsonValue entry : root) {
            if (entry.key() == kMetadataKey) {
                for (const JsonValue value : entry) value.as_string();
            } else {
                tensors.push_back(read_entry(entry, source, data, size - data));
            }
        }
        check_coverage(tensors, data, source);
        std::sort(tensors.begin(), tensors.end(),
                  [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
    }
};

SafetensorsFile::SafetensorsFile(std::unique_ptr<Contents> contents) : contents_(std::move(contents)) {}
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;
SafetensorsFile::~SafetensorsFile() = default;

SafetensorsFile SafetensorsFile::open(const std::string& path) {
    return SafetensorsFile(std::make_unique<Contents>(ByteSource::open(path)));
}

SafetensorsFile SafetensorsFile::from_memory(std::span<const std::byte> bytes, std::string name) {
    return SafetensorsFile(std::make_unique<Contents>(ByteSource::memory(bytes, std::move(name))));
}

const std::string& SafetensorsFile::path() const noexcept { return contents_->source.name(); }
const std::vector<TensorView>& SafetensorsFile::tensors() const noexcept { return contents_->tensors; }

const TensorView* SafetensorsFile::find(std::string_view name) const noexcept {
    const auto& all = contents_->tensors;
    const auto it = std::lower_bound(all.begin(), all.end(), name,
                                     [](const TensorView& tensor, std::string_view key) { return tensor.name < key; });
    return it != all.end() && it->name == name ? &*it : nullptr;
}

std::string_view SafetensorsFile::metadata(std::string_view key) const {
    const auto all = contents_->json->root().find(kMetadataKey);
    const auto value = all ? all->find(key) : std::nullopt;
    return value ? value->as_string() : std::string_view();
}

void widen_to_float(const TensorView& tensor, float* out) {
    switch (tensor.dtype) {
        case DType::f32:
            return tensor.read(0, std::as_writable_bytes(std::span(out, tensor.elements())));
        case DType::f16:
            return widen_16(tensor, out, half_to_float);
        case DType::bf16:
            return widen_16(tensor, out, bfloat16_to_float);
        default:
            tensor.fail(Status::incompatible, std::string("dtype ") + dtype_name(tensor.dtype) +
                                                  "; weights are F32, F16 or BF16, matrices also I8");
    }
}

void check_finite(const TensorView& tensor, std::span<const float> values) {
    // 0 * x is zero, or NaN if x is not finite. Sixteen sums, so that compilers have vectors for them.
    std::array<float, 16> sums{};
    std::size_t i = 0;
    for (; i + sums.size() <= values.size(); i += sums.size())
        for (std::size_t lane = 0; lane < sums.size(); ++lane) sums[lane] += 0.0F * values[i + lane];
    for (; i < values.size(); ++i) sums[0] += 0.0F * values[i];
    if (std::accumulate(sums.begin(), sums.end(), 0.0F) == 0.0F) return;
    const auto bad = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
    if (bad == values.end()) return;
    auto flat = static_cast<std::size_t>(bad - values.begin());
    std::vector<std::int64_t> index(tensor.shape.size());
    for (std::size_t axis = index.size(); axis-- > 0;) {
        const auto length = static_cast<std::size_t>(tensor.shape[axis]);
        if (length == 0) break;
        index[axis] = static_cast<std::int64_t>(flat % length);
        flat /= length;
    }
    tensor.fail(Status::invalid_file,
                std::string(std::isnan(*bad) ? "NaN" : "infinity") + " at index " + shape_text(index));
}

}  // namespace secousti::core

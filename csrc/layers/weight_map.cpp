#include "layers/weight_map.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <utility>

#include "base/error.h"

namespace secousti::core {

namespace {

constexpr const char* kScale = ".scale";

/// FNV-1a over words in four independent lanes: at memory speed, where a hash byte by byte would take a second. Pieces
/// but the last are whole blocks.
class Hash {
  public:
    void add(std::span<const std::byte> bytes) noexcept {
        size_ += bytes.size();
        std::array<std::uint64_t, kLanes> words{};
        for (; bytes.size() >= kBlock; bytes = bytes.subspan(kBlock)) {
            std::memcpy(words.data(), bytes.data(), kBlock);
            mix(words);
        }
        if (bytes.empty()) return;
        words = {};
        std::memcpy(words.data(), bytes.data(), bytes.size());
        mix(words);
    }
    std::uint64_t value() const noexcept {
        std::uint64_t hash = size_;
        for (const std::uint64_t lane : lanes_) hash = std::rotl((hash ^ lane) * kPrime, 31);
        return hash;
    }

  private:
    static constexpr std::uint64_t kPrime = 0x100000001b3U;
    static constexpr std::size_t kLanes = 4, kBlock = kLanes * sizeof(std::uint64_t);

    void mix(const std::array<std::uint64_t, kLanes>& words) noexcept {
        for (std::size_t lane = 0; lane < kLanes; ++lane)
            lanes_[lane] = std::rotl((lanes_[lane] ^ words[lane]) * kPrime, 29);
    }

    std::array<std::uint64_t, kLanes> lanes_{1, 2, 3, 4};
    std::uint64_t size_ = 0;
};

}  // namespace

void WeightMap::require(const std::vector<TensorSpec>& specs) const {
    std::string problems;
    const auto check = [&](const std::string& name, std::span<const std::int64_t> shape) {
        const TensorView* tensor = file_.find(name);
        const std::string expected = shape_text(shape);
        if (tensor == nullptr) {
            problems += "\n  missing: " + name + " " + expected;
        } else if (const std::string found = shape_text(tensor->shape); found != expected) {
            problems += "\n  misshapen: " + name + " is " + found + ", expected " + expected;
        } else {
            return tensor->dtype;
        }
        return DType::f32;
    };
    for (const TensorSpec& spec : specs) {
        if (check(spec.name, spec.shape) == DType::i8) check(spec.name + kScale, std::span(spec.shape).first(1));
    }
    if (!problems.empty()) {
        throw Error(Status::incompatible, file_.path() + ": tensors do not fit the configuration:" + problems);
    }
}

const TensorView& WeightMap::find(std::string_view name) const {
    const TensorView* tensor = file_.find(name);
    if (tensor == nullptr) {
        throw Error(Status::internal_error, file_.path() + ": tensor " + std::string(name) + " was never required");
    }
    return *tensor;
}

Precision WeightMap::kept_at(std::string_view name, Precision precision) const {
    return precision == Precision::fp32 && find(name).dtype == DType::f16 ? Precision::fp16 : precision;
}

AlignedVector<float> StoredWeights::widened() && {
    if (count != 0) {
        const std::size_t inputs = count / scales.size();
        values.resize(count);
        for (std::size_t o = 0; o < scales.size(); ++o) {
            for (std::size_t i = o * inputs; i < (o + 1) * inputs; ++i)
                values[i] = scales[o] * static_cast<float>(integers[i]);
        }
    }
    return std::move(values);
}

AlignedVector<float> WeightMap::get(std::string_view name) const { return stored(name).widened(); }

StoredWeights WeightMap::stored(std::string_view name) const {
    const auto remember = [this](const TensorView& tensor, std::span<const std::byte> bytes) {
        Hash hash;
        hash.add(bytes);
        hashes_[static_cast<std::size_t>(&tensor - file_.tensors().data())] = hash.value();
    };
    const auto floats = [&](const TensorView& tensor) {
        AlignedVector<float> values(tensor.elements());
        widen_to_float(tensor, values.data());
        check_finite(tensor, values);
        if (tensor.dtype == DType::f32) remember(tensor, std::as_bytes(std::span(values)));
        return values;
    };
    const TensorView& tensor = find(name);
    StoredWeights weights;
    if (tensor.dtype != DType::i8) {
        weights.values = floats(tensor);
        return weights;
    }
    weights.scales = floats(find(std::string(name) + kScale));
    weights.count = tensor.elements();
    weights.integers = std::make_unique_for_overwrite<std::int8_t[]>(weights.count);
    const std::span integers(weights.integers.get(), weights.count);
    tensor.read(0, std::as_writable_bytes(integers));
    remember(tensor, std::as_bytes(integers));
    // The least of unsigned numbers, and no search: both are what every processor has vectors for.
    std::uint8_t lowest = 255;
    for (const std::int8_t q : integers) lowest = std::min(lowest, static_cast<std::uint8_t>(q + 128));
    if (lowest == 0) tensor.fail(Status::invalid_file, "holds -128, which no quantised weight is");
    return weights;
}

std::uint64_t WeightMap::fingerprint() const {
    Hash hash;
    std::vector<std::byte> buffer(std::size_t{1} << 16U);
    for (const TensorView& tensor : file_.tensors()) {
        auto& bytes_hash = hashes_[static_cast<std::size_t>(&tensor - file_.tensors().data())];
        if (!bytes_hash) {
            Hash bytes;
            for (std::size_t begin = 0; begin < tensor.bytes; begin += buffer.size()) {
                const auto part = std::span(buffer).first(std::min(buffer.size(), tensor.bytes - begin));
                tensor.read(begin, part);
                bytes.add(part);
            }
            bytes_hash = bytes.value();
        }
        hash.add(std::as_bytes(std::span(tensor.name)));
        hash.add(std::as_bytes(std::span(&*bytes_hash, 1)));
    }
    return hash.value();
}

}  // namespace secousti::core

#include "layers/weight_map.h"

#include <array>
#include <bit>
#include <cstring>

#include "base/error.h"

namespace secousti::core {

void WeightMap::require(const std::vector<TensorSpec>& specs) const {
    std::string problems;
    for (const TensorSpec& spec : specs) {
        const TensorView* tensor = file_.find(spec.name);
        const std::string expected = shape_text(spec.shape);
        if (tensor == nullptr) {
            problems += "\n  missing: " + spec.name + " " + expected;
        } else if (const std::string found = shape_text(tensor->shape); found != expected) {
            problems += "\n  misshapen: " + spec.name + " is " + found + ", expected " + expected;
        }
    }
    if (!problems.empty()) {
        throw Error(Status::incompatible, file_.path() + ": tensors do not fit the configuration:" + problems);
    }
}

AlignedVector<float> WeightMap::get(std::string_view name) const {
    const TensorView* tensor = file_.find(name);
    if (tensor == nullptr) {
        throw Error(Status::internal_error, file_.path() + ": tensor " + std::string(name) + " was never required");
    }
    AlignedVector<float> values(tensor->elements());
    widen_to_float(*tensor, values.data());
    check_finite(*tensor, values);
    return values;
}

std::uint64_t WeightMap::fingerprint() const noexcept {
    // FNV-1a over words in four independent lanes: at memory speed, where a hash byte by byte would take a second.
    constexpr std::uint64_t kPrime = 0x100000001b3U;
    constexpr std::size_t kLanes = 4;
    std::array<std::uint64_t, kLanes> lanes{1, 2, 3, 4};
    const auto mix = [&lanes](std::size_t lane, std::uint64_t word) {
        lanes[lane] = std::rotl((lanes[lane] ^ word) * kPrime, 29);
    };
    const auto mix_bytes = [&mix](const void* data, std::size_t size) {
        const auto* bytes = static_cast<const unsigned char*>(data);
        std::size_t at = 0;
        std::array<std::uint64_t, kLanes> words{};
        for (; at + sizeof words <= size; at += sizeof words) {
            std::memcpy(words.data(), bytes + at, sizeof words);
            for (std::size_t lane = 0; lane < kLanes; ++lane) mix(lane, words[lane]);
        }
        words = {};
        if (at < size) std::memcpy(words.data(), bytes + at, size - at);
        for (std::size_t lane = 0; lane < kLanes; ++lane) mix(lane, words[lane] + size);
    };
    for (const TensorView& tensor : file_.tensors()) {
        mix_bytes(tensor.name.data(), tensor.name.size());
        mix_bytes(tensor.data.data(), tensor.data.size());
    }
    std::uint64_t hash = 0;
    for (const std::uint64_t lane : lanes) hash = std::rotl((hash ^ lane) * kPrime, 31);
    return hash;
}

}  // namespace secousti::core

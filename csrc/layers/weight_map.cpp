#include "layers/weight_map.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>

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

std::uint64_t WeightMap::fingerprint() const {
    // FNV-1a over words in four independent lanes: at memory speed, where a hash byte by byte would take a second.
    constexpr std::uint64_t kPrime = 0x100000001b3U;
    constexpr std::size_t kLanes = 4, kBlock = kLanes * sizeof(std::uint64_t);
    std::array<std::uint64_t, kLanes> lanes{1, 2, 3, 4};
    const auto mix = [&lanes](std::size_t lane, std::uint64_t word) {
        lanes[lane] = std::rotl((lanes[lane] ^ word) * kPrime, 29);
    };
    // Whole blocks; what remains comes with the end, together with the size of everything.
    const auto mix_blocks = [&mix](std::span<const std::byte> bytes) {
        std::array<std::uint64_t, kLanes> words{};
        for (; bytes.size() >= kBlock; bytes = bytes.subspan(kBlock)) {
            std::memcpy(words.data(), bytes.data(), kBlock);
            for (std::size_t lane = 0; lane < kLanes; ++lane) mix(lane, words[lane]);
        }
        return bytes;
    };
    const auto mix_end = [&mix](std::span<const std::byte> rest, std::size_t size) {
        std::array<std::uint64_t, kLanes> words{};
        if (!rest.empty()) std::memcpy(words.data(), rest.data(), rest.size());
        for (std::size_t lane = 0; lane < kLanes; ++lane) mix(lane, words[lane] + size);
    };
    std::vector<std::byte> buffer(std::size_t{1} << 16U);
    for (const TensorView& tensor : file_.tensors()) {
        mix_end(mix_blocks(std::as_bytes(std::span(tensor.name))), tensor.name.size());
        std::span<const std::byte> rest;
        for (std::size_t begin = 0; begin < tensor.bytes; begin += buffer.size()) {
            const auto part = std::span(buffer).first(std::min(buffer.size(), tensor.bytes - begin));
            tensor.read(begin, part);
            rest = mix_blocks(part);
        }
        mix_end(rest, tensor.bytes);
    }
    std::uint64_t hash = 0;
    for (const std::uint64_t lane : lanes) hash = std::rotl((hash ^ lane) * kPrime, 31);
    return hash;
}

}  // namespace secousti::core

// Named weights of an opened model file, widened to float32 on the way into layers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/aligned_vector.h"
#include "io/safetensors.h"
#include "kernels/backend.h"

namespace secousti::core {

/// A tensor that a model of some configuration must have.
struct TensorSpec {
    std::string name;
    std::vector<std::int64_t> shape;
    Precision precision = Precision::fp32;  ///< that its values are kept at for the kernels
    bool halves = false;                    ///< whether float16 is kept as it is where fp32 is asked for
};

/// A weight as its file holds it: floats, or integers -127..127 whose number o along the first axis is to be multiplied
/// by scales[o], a tensor `<name>.scale`.
struct StoredWeights {
    AlignedVector<float> values;
    std::unique_ptr<std::int8_t[]> integers;
    std::size_t count = 0;  ///< of integers
    AlignedVector<float> scales;

    /// As floats.
    AlignedVector<float> widened() &&;
};

class WeightMap {
  public:
    explicit WeightMap(const SafetensorsFile& file) : file_(file), hashes_(file.tensors().size()) {}

    /// Throws Error(incompatible) that names every missing and misshapen tensor, scales of int8 tensors included. Extra
    /// tensors are allowed.
    void require(const std::vector<TensorSpec>& specs) const;
    /// What the weights of a product are to be kept at: the precision asked for, but fp16 for fp32 if the file holds
    /// them as float16, which loses nothing.
    Precision kept_at(std::string_view name, Precision precision) const;
    /// All values of a tensor that `require` has accepted; throws Error(invalid_file) on NaN or infinity, or when the
    /// file became shorter meanwhile.
    AlignedVector<float> get(std::string_view name) const;
    /// The same without widening integers; those out of range are errors too.
    StoredWeights stored(std::string_view name) const;
    /// 64 bits of every tensor's name and bytes: another file has another value. Reads what has not been read yet, so
    /// it costs least when all else is loaded.
    std::uint64_t fingerprint() const;

  private:
    const TensorView& find(std::string_view name) const;

    const SafetensorsFile& file_;
    mutable std::vector<std::optional<std::uint64_t>> hashes_;  ///< of the bytes of each tensor, once read
};

}  // namespace secousti::core

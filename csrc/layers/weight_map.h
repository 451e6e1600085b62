// Named weights of an opened model file, widened to float32 on the way into layers.
#pragma once

#include <cstdint>
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
};

class WeightMap {
  public:
    explicit WeightMap(const SafetensorsFile& file) : file_(file) {}

    /// Throws Error(incompatible) that names every missing and misshapen tensor. Extra tensors are allowed.
    void require(const std::vector<TensorSpec>& specs) const;
    /// All values of a tensor that `require` has accepted; throws Error(invalid_file) on NaN or infinity, or when the
    /// file became shorter meanwhile.
    AlignedVector<float> get(std::string_view name) const;
    /// 64 bits of every tensor's name and bytes: another file has another value.
    std::uint64_t fingerprint() const;

  private:
    const SafetensorsFile& file_;
};

}  // namespace secousti::core

#include "layers/weight_map.h"

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

}  // namespace secousti::core

// What the kernel tests share: the instruction sets, the awkward sizes and the tolerance of each kernel.
#pragma once

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "kernels/backend.h"

namespace kernel_cases {

using secousti::core::Backend;

/// Against double precision, for inputs of about 1.
struct Tolerance {
    double absolute;
    double relative;
};
inline constexpr Tolerance kLinear{6e-8, 1e-6};  ///< absolute: times the number of inputs
inline constexpr Tolerance kAttention{8e-6, 4e-6};
inline constexpr Tolerance kLayerNorm{2e-6, 2e-6};
inline constexpr Tolerance kExact{0.0, 0.0};
inline constexpr Tolerance kElementwise{1e-7, 3e-7};  ///< a handful of roundings
inline constexpr Tolerance kActivation{1e-12, 6e-7};  ///< tanh, ELU: relative everywhere
inline constexpr Tolerance kGelu{1e-12, 4e-6};        ///< the square inside exp costs a few units in the far tail
inline constexpr Tolerance kExp{1e-44, 4e-7};
inline constexpr Tolerance kLog{1e-7, 3e-7};
inline constexpr Tolerance kSnake{5e-7, 5e-7};
inline constexpr Tolerance kPolar{1e-6, 1e-6};  ///< of the magnitude
inline constexpr Tolerance kFft{6e-7, 4e-7};    ///< absolute: times sqrt(length) for unit inputs

inline constexpr int kAwkwardSizes[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 80, 127, 130, 257};

/// Runs `body(backend)` for every table of this machine; the test fails if a table is not the one it is named as.
template <class Body>
void for_each_backend(Body body) {
    const auto available = secousti::core::available_backends();
    CHECK(!available.empty());
    for (const Backend* backend : available) {
        const Backend& named = secousti::core::backend_by_name(backend->name);
        CHECK(&named == backend);
        body(*backend);
    }
}

inline std::string label(const Backend& backend, const std::string& what) {
    return std::string(backend.name) + " " + what;
}

}  // namespace kernel_cases

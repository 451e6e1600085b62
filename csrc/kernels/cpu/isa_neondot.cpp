#include "kernels/backend.h"
#include "kernels/cpu/backends.h"
// clang-format off: the vector type comes before the bodies written on it
#include "kernels/cpu/simd_neon.h"
#include "kernels/cpu/table.h"
// clang-format on

namespace secousti::core {

constinit const Backend neondot_backend = make_table("neondot");

}  // namespace secousti::core

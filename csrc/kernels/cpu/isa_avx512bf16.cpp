#include "kernels/backend.h"
#include "kernels/cpu/backends.h"
// clang-format off: the vector type comes before the bodies written on it
#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/table.h"
// clang-format on

namespace secousti::core {

constinit const Backend avx512bf16_backend = make_table("avx512bf16");

}  // namespace secousti::core

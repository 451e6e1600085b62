// The tables that isa_<isa>.cpp define; which of them are built is decided by cmake/isa.cmake.
#pragma once

#include "kernels/backend.h"

namespace secousti::core {

extern const Backend scalar_backend;
extern const Backend avx2_backend;
extern const Backend avx512_backend;
extern const Backend avx512vnni_backend;
extern const Backend avx512bf16_backend;
extern const Backend neon_backend;
extern const Backend neondot_backend;

}  // namespace secousti::core

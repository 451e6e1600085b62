// IEEE half precision in memory: vectors of it that are loaded and stored as if it were float. Included after a
// simd_<isa>.h.
#pragma once

namespace secousti::core {
namespace {

/// A type of its own: 16-bit integers are bfloat16.
struct Half {
    std::uint16_t bits;
};

SIMD_INLINE V load(const Half* p) { return load_half(&p->bits); }
SIMD_INLINE void store(Half* p, V v) { store_half(&p->bits, v); }

}  // namespace
}  // namespace secousti::core

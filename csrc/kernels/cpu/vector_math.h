// Elementary functions on vectors, a few units in the last place each. Included after a simd_<isa>.h.
//
// min(limit, x) and max(limit, x) keep the limit on the left: the operations return the right operand when they
// cannot compare, so that a NaN passes through every clamp below.
#pragma once

namespace secousti::core {
namespace {

/// exp(x) = 2^k * (1 + tail), with k integral and |tail| small; x within [-104, 89].
struct ExpParts {
    V k;
    V tail;
};

SIMD_INLINE ExpParts exp_parts(V x) {
    const V k = round(mul(x, set1(1.44269504F)));
    V r = fnma(k, set1(0.693359375F), x);  // ln 2 in two parts; the first has few bits, so the product is exact
    r = fnma(k, set1(-2.12194440e-4F), r);
    V p = set1(1.0F / 5040.0F);  // Taylor series: |r| <= ln(2)/2 leaves 5e-9
    p = fma(p, r, set1(1.0F / 720.0F));
    p = fma(p, r, set1(1.0F / 120.0F));
    p = fma(p, r, set1(1.0F / 24.0F));
    p = fma(p, r, set1(1.0F / 6.0F));
    p = fma(p, r, set1(0.5F));
    return {k, fma(mul(r, r), p, r)};
}

SIMD_INLINE V vexp(V x) {
    const ExpParts e = exp_parts(min(set1(89.0F), max(set1(-104.0F), x)));
    return scale_by_pow2(add(e.tail, set1(1.0F)), e.k);
}

/// exp(x) - 1 without cancellation near 0.
SIMD_INLINE V vexpm1(V x) {
    const ExpParts e = exp_parts(min(set1(89.0F), max(set1(-104.0F), x)));
    // 2^128 alone would overflow: half of it, twice.
    const V half = scale_by_pow2(set1(0.5F), e.k);
    const V low = fma(half, e.tail, sub(half, set1(0.5F)));
    return add(low, low);
}

SIMD_INLINE V vtanh(V x) {
    const V e = vexpm1(min(set1(20.0F), mul(set1(2.0F), abs(x))));
    return copysign(div(e, add(e, set1(2.0F))), x);
}

/// x * Phi(x), Phi the normal distribution: the exact GELU. Phi(-|x|) = erfc(z)/2, z = |x|/sqrt(2), by a Chebyshev
/// fit of exp(z^2)*erfc(z)/2 in t = 2/(2+z), relative error 1.2e-8: the negative tail keeps its relative accuracy.
SIMD_INLINE V vgelu(V x) {
    const V z = mul(abs(x), set1(0.707106781F));
    const V t = div(set1(2.0F), add(set1(2.0F), z));
    V p = set1(0.021586533F);
    p = fma(p, t, set1(-0.117302753F));
    p = fma(p, t, set1(0.246692871F));
    p = fma(p, t, set1(-0.227281859F));
    p = fma(p, t, set1(0.0659250202F));
    p = fma(p, t, set1(-0.0295254550F));
    p = fma(p, t, set1(0.0467073643F));
    p = fma(p, t, set1(0.0876620377F));
    p = fma(p, t, set1(0.123441940F));
    p = fma(p, t, set1(0.141046888F));
    p = fma(p, t, set1(0.141047398F));
    const V low = mul(mul(p, t), vexp(mul(set1(-0.5F), mul(x, x))));
    const V phi = select(less(x, set1(0.0F)), low, sub(set1(1.0F), low));
    return mul(x, phi);
}

/// Natural logarithm of x >= FLT_MIN; infinity and NaN pass through.
SIMD_INLINE V vlog(V x) {
    V e = exponent(x);
    V m = mantissa(x);
    const Mask high = less(set1(1.41421356F), m);
    m = select(high, mul(m, set1(0.5F)), m);
    e = select(high, add(e, set1(1.0F)), e);
    const V f = sub(m, set1(1.0F));
    const V s = div(f, add(f, set1(2.0F)));  // log((1+s)/(1-s)) = 2*(s + s^3/3 + ...), |s| < 0.172
    const V s2 = mul(s, s);
    V p = set1(2.0F / 9.0F);
    p = fma(p, s2, set1(2.0F / 7.0F));
    p = fma(p, s2, set1(2.0F / 5.0F));
    p = fma(p, s2, set1(2.0F / 3.0F));
    V y = fma(mul(s, s2), p, mul(e, set1(-2.12194440e-4F)));
    y = add(y, add(s, s));
    y = fma(e, set1(0.693359375F), y);
    return select(less(x, set1(__builtin_inff())), y, x);
}

/// sin(r) for |r| <= pi/2 (Taylor series, 7e-10).
SIMD_INLINE V sin_poly(V r) {
    const V r2 = mul(r, r);
    V p = set1(1.0F / 6227020800.0F);
    p = fma(p, r2, set1(-1.0F / 39916800.0F));
    p = fma(p, r2, set1(1.0F / 362880.0F));
    p = fma(p, r2, set1(-1.0F / 5040.0F));
    p = fma(p, r2, set1(1.0F / 120.0F));
    p = fma(p, r2, set1(-1.0F / 6.0F));
    return fma(mul(r, r2), p, r);
}

/// x - k*pi. The leading parts of pi have 8 and 11 bits, so that their products are exact without fused operations.
SIMD_INLINE V minus_k_pi(V x, V k) {
    V r = fnma(k, set1(3.140625F), x);
    r = fnma(k, set1(9.67502593994140625e-4F), r);
    r = fnma(k, set1(1.50995799e-7F), r);
    return r;
}

/// -1 for odd k, 1 for even k.
SIMD_INLINE V parity_sign(V k) {
    const V odd = fnma(set1(2.0F), round(mul(k, set1(0.5F))), k);
    return fnma(set1(2.0F), abs(odd), set1(1.0F));
}

/// Absolute error below 3e-7 for |x| <= 1e4, growing with |x| beyond; infinity gives NaN.
SIMD_INLINE V vsin(V x) {
    const V k = round(mul(x, set1(0.318309886F)));
    return mul(sin_poly(minus_k_pi(x, k)), parity_sign(k));
}

SIMD_INLINE V vcos(V x) {
    const V k = round(sub(mul(x, set1(0.318309886F)), set1(0.5F)));
    // cos((k + 1/2)*pi + r) = -(-1)^k * sin(r)
    return mul(sin_poly(minus_k_pi(x, add(k, set1(0.5F)))), sub(set1(0.0F), parity_sign(k)));
}

}  // namespace
}  // namespace secousti::core

// Loops of phase reconstruction. Included after body_elementwise.h.
#pragma once

namespace secousti::core {
namespace {

void multiply(const float* x0, const float* x1, std::size_t count, float* y) {
    each(x0, count, y, [=](V v, std::size_t i, int n) { return mul(v, load_n(x1 + i, n)); });
}

void interpolate(const float* values, const std::int32_t* index, const float* fraction, int count, float* y) {
    for (int i = 0; i < count; ++i) {
        const float* v = values + index[i];
        y[i] = (1.0F - fraction[i]) * v[0] + fraction[i] * v[1];
    }
}

void griffin_lim(const float* magnitude, const float* gain, float momentum, int count, float* re, float* im,
                 float* previous_re, float* previous_im) {
    const V m = set1(momentum);
    const V tiny = set1(1e-30F);  // the square of a vector that counts as 0: keeps the quotient finite
    for (int i = 0; i < count; i += kWidth) {
        const int n = count - i < kWidth ? count - i : kWidth;
        const V xr = load_n(re + i, n);
        const V xi = load_n(im + i, n);
        const V cr = fma(m, sub(xr, load_n(previous_re + i, n)), xr);
        const V ci = fma(m, sub(xi, load_n(previous_im + i, n)), xi);
        store_n(previous_re + i, xr, n);
        store_n(previous_im + i, xi, n);
        const V size = sqrt(fma(cr, cr, fma(ci, ci, tiny)));
        const V scale = div(mul(load_n(magnitude + i, n), load_n(gain + i, n)), size);
        store_n(re + i, mul(scale, cr), n);
        store_n(im + i, mul(scale, ci), n);
    }
}

}  // namespace
}  // namespace secousti::core

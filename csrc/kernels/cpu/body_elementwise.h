// Elementwise maps, norms and the quantiser. Included after body_linear.h (activations).
#pragma once

namespace secousti::core {
namespace {

/// y[i] = map(x[i], i); `map` gets a vector, the index of its first element and the number of live elements.
template <class Map>
SIMD_INLINE void each(const float* x, std::size_t count, float* y, Map map) {
    std::size_t i = 0;
    for (; i + kWidth <= count; i += kWidth) store(y + i, map(load(x + i), i, kWidth));
    const int left = static_cast<int>(count - i);
    if (left > 0) store_n(y + i, map(load_n(x + i, left), i, left), left);
}

template <Activation kActivation>
void activate_as(float slope, const float* x, std::size_t count, float* y) {
    const V s = set1(slope);
    each(x, count, y, [s](V v, std::size_t, int) { return activated(kActivation, s, v); });
}

void activate(Activation activation, float slope, const float* x, std::size_t count, float* y) {
    switch (activation) {
        case Activation::none:
            return activate_as<Activation::none>(slope, x, count, y);
        case Activation::elu:
            return activate_as<Activation::elu>(slope, x, count, y);
        case Activation::gelu:
            return activate_as<Activation::gelu>(slope, x, count, y);
        case Activation::relu:
            return activate_as<Activation::relu>(slope, x, count, y);
        case Activation::leaky_relu:
            return activate_as<Activation::leaky_relu>(slope, x, count, y);
        case Activation::tanh:
            return activate_as<Activation::tanh>(slope, x, count, y);
    }
}

SIMD_INLINE V snake_of(V x, V alpha, V inverse_alpha) {
    const V a = mul(alpha, x);
    const V s = sin_poly(minus_k_pi(a, round(mul(a, set1(0.318309886F)))));  // the square needs no sign
    return fma(mul(s, s), inverse_alpha, x);
}

void snake(const float* x, const float* alpha, const float* inverse_alpha, int rows, int channels, float* y) {
    for (int r = 0; r < rows; ++r, x += channels, y += channels)
        each(x, static_cast<std::size_t>(channels), y, [=](V v, std::size_t i, int n) {
            return snake_of(v, load_n(alpha + i, n), load_n(inverse_alpha + i, n));
        });
}

void sum3(const float* x0, const float* x1, const float* x2, float scale, std::size_t count, float* y) {
    const V s = set1(scale);
    each(x0, count, y,
         [=](V v, std::size_t i, int n) { return mul(s, add(add(v, load_n(x1 + i, n)), load_n(x2 + i, n))); });
}

void add_vectors(const float* x0, const float* x1, std::size_t count, float* y) {
    each(x0, count, y, [=](V v, std::size_t i, int n) { return add(v, load_n(x1 + i, n)); });
}

void add_row(const float* x, const float* v, int rows, int channels, float* y) {
    for (int r = 0; r < rows; ++r, x += channels, y += channels)
        add_vectors(x, v, static_cast<std::size_t>(channels), y);
}

void layer_norm(const float* x, const float* gamma, const float* beta, float eps, int rows, int dim, float* y) {
    const float size = static_cast<float>(dim);
    for (int r = 0; r < rows; ++r, x += dim, y += dim) {
        V sum = set1(0.0F);
        for (int i = 0; i < dim; i += kWidth) sum = add(sum, load_n(x + i, dim - i < kWidth ? dim - i : kWidth));
        const V mean = set1(hsum(sum) / size);
        V squares = set1(0.0F);
        for (int i = 0; i < dim; i += kWidth) {
            const int n = dim - i < kWidth ? dim - i : kWidth;
            const V d = keep_n(sub(load_n(x + i, n), mean), n);
            squares = fma(d, d, squares);
        }
        const V deviation = sqrt(set1(hsum(squares) / size + eps));
        each(x, static_cast<std::size_t>(dim), y, [=](V v, std::size_t i, int n) {
            return fma(div(sub(v, mean), deviation), load_n(gamma + i, n), load_n(beta + i, n));
        });
    }
}

void fsq_quantise(const float* y, const float* half, const std::int32_t* basis, int rows, int dims,
                  std::int32_t* tokens) {
    for (int r = 0; r < rows; ++r, y += dims) {
        std::int32_t token = 0;
        for (int d = 0; d < dims; d += kWidth) {
            const int n = dims - d < kWidth ? dims - d : kWidth;
            const V h = load_n(half + d, n);
            float code[kWidth];
            store(code, round(mul(mul(h, set1(0.999F)), vtanh(load_n(y + d, n)))));
            for (int i = 0; i < n; ++i) {
                const float c = code[i] == code[i] ? code[i] : 0.0F;
                token += static_cast<std::int32_t>(c + half[d + i]) * basis[d + i];
            }
        }
        tokens[r] = token;
    }
}

void log_floor(const float* x, float floor, int count, float* y) {
    const V f = set1(floor);
    each(x, static_cast<std::size_t>(count), y, [f](V v, std::size_t, int) { return vlog(max(f, v)); });
}

void exp_vectors(const float* x, int count, float* y) {
    each(x, static_cast<std::size_t>(count), y, [](V v, std::size_t, int) { return vexp(v); });
}

void magnitude(const float* re, const float* im, float eps, int count, float* y) {
    const V e = set1(eps);
    each(re, static_cast<std::size_t>(count), y, [=](V v, std::size_t i, int n) {
        const V w = load_n(im + i, n);
        return sqrt(fma(v, v, fma(w, w, e)));
    });
}

void band_sum(const float* x, const std::int32_t* start, const std::int32_t* length, const std::int32_t* offset,
              const float* weights, int bands, float* y) {
    for (int b = 0; b < bands; ++b) {
        const float* in = x + start[b];
        const float* w = weights + offset[b];
        V sum = set1(0.0F);
        for (int i = 0; i < length[b]; i += kWidth) {
            const int n = length[b] - i < kWidth ? length[b] - i : kWidth;
            sum = fma(load_n(w + i, n), load_n(in + i, n), sum);
        }
        y[b] = hsum(sum);
    }
}

void polar_head(const float* x, int rows, int bins, float* y) {
    for (int r = 0; r < rows; ++r, x += 2 * bins, y += 2 * bins) {
        for (int b = 0; b < bins; b += kWidth) {
            const int n = bins - b < kWidth ? bins - b : kWidth;
            const V m = min(set1(100.0F), vexp(load_n(x + b, n)));
            const V p = vsin(load_n(x + bins + b, n));
            store_n(y + b, mul(m, vcos(p)), n);
            store_n(y + bins + b, mul(m, vsin(p)), n);
        }
    }
}

}  // namespace
}  // namespace secousti::core

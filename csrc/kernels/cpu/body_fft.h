// Real FFT of a power of two: a complex FFT of half the length by the four-step method, each step a batch of short
// Stockham FFTs that run across vectors, so that no pass shuffles lanes. Included after vector_math.h.
#pragma once

namespace secousti::core {
namespace {

/// Split complex numbers.
struct Split {
    float* re;
    float* im;
};

/// `length`-point FFTs of `batch` interleaved signals (element j of signal b at [j*batch + b]), radix 4 and one radix 2
/// pass. Returns whichever of the two buffers holds the result; both are overwritten.
Split batched_fft(const FftTables& tables, int length, int batch, Split in, Split out) {
    int stride = batch;
    while (length > 1) {
        const int radix = length % 4 == 0 ? 4 : 2;
        const int part = length / radix;
        const int turn = tables.length / length;  // index step of a root of unity of this length
        const std::ptrdiff_t gap = static_cast<std::ptrdiff_t>(part) * stride;
        for (int p = 0; p < part; ++p) {
            const float* re = in.re + static_cast<std::ptrdiff_t>(p) * stride;
            const float* im = in.im + static_cast<std::ptrdiff_t>(p) * stride;
            float* yr = out.re + static_cast<std::ptrdiff_t>(p) * radix * stride;
            float* yi = out.im + static_cast<std::ptrdiff_t>(p) * radix * stride;
            const V c1 = set1(tables.root_cos[p * turn]);
            const V s1 = set1(tables.root_sin[p * turn]);
            const V c2 = set1(tables.root_cos[radix == 4 ? 2 * p * turn : 0]);
            const V s2 = set1(tables.root_sin[radix == 4 ? 2 * p * turn : 0]);
            const V c3 = set1(tables.root_cos[radix == 4 ? 3 * p * turn : 0]);
            const V s3 = set1(tables.root_sin[radix == 4 ? 3 * p * turn : 0]);
            for (int q = 0; q < stride; q += kWidth) {
                const int n = stride - q < kWidth ? stride - q : kWidth;
                // y = x * exp(-i*angle), by the table's cosine and sine of the angle
                const auto put = [&](int at, V xr, V xi, V c, V s) {
                    store_n(yr + static_cast<std::ptrdiff_t>(at) * stride + q, fma(xr, c, mul(xi, s)), n);
                    store_n(yi + static_cast<std::ptrdiff_t>(at) * stride + q, fnma(xr, s, mul(xi, c)), n);
                };
                const V ar = load_n(re + q, n);
                const V ai = load_n(im + q, n);
                const V br = load_n(re + gap + q, n);
                const V bi = load_n(im + gap + q, n);
                if (radix == 2) {
                    put(0, add(ar, br), add(ai, bi), set1(1.0F), set1(0.0F));
                    put(1, sub(ar, br), sub(ai, bi), c1, s1);
                    continue;
                }
                const V cr = load_n(re + 2 * gap + q, n);
                const V ci = load_n(im + 2 * gap + q, n);
                const V dr = load_n(re + 3 * gap + q, n);
                const V di = load_n(im + 3 * gap + q, n);
                const V even_r = add(ar, cr), even_i = add(ai, ci), skew_r = sub(ar, cr), skew_i = sub(ai, ci);
                const V odd_r = add(br, dr), odd_i = add(bi, di), turn_r = sub(br, dr), turn_i = sub(bi, di);
                put(0, add(even_r, odd_r), add(even_i, odd_i), set1(1.0F), set1(0.0F));
                put(1, add(skew_r, turn_i), sub(skew_i, turn_r), c1, s1);
                put(2, sub(even_r, odd_r), sub(even_i, odd_i), c2, s2);
                put(3, sub(skew_r, turn_i), add(skew_i, turn_r), c3, s3);
            }
        }
        const Split swap = in;
        in = out;
        out = swap;
        length = part;
        stride *= radix;
    }
    return in;
}

/// Complex FFT of rows*columns points, natural order in and out. Returns the buffer of the result; both are
/// overwritten.
Split complex_fft(const FftTables& tables, Split in, Split out) {
    const int rows = tables.rows;
    const int columns = tables.length / 2 / rows;
    const Split a = batched_fft(tables, rows, columns, in, out);
    const Split b = a.re == in.re ? out : in;
    for (int i = 0; i < rows; ++i) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(i) * columns;
        for (int j = 0; j < columns; j += kWidth) {
            const int n = columns - j < kWidth ? columns - j : kWidth;
            const V c = load_n(tables.step_cos + at + j, n);
            const V s = load_n(tables.step_sin + at + j, n);
            const V re = load_n(a.re + at + j, n);
            const V im = load_n(a.im + at + j, n);
            store_n(a.re + at + j, fma(re, c, mul(im, s)), n);
            store_n(a.im + at + j, fnma(re, s, mul(im, c)), n);
        }
    }
    for (int j = 0; j < columns; ++j) {
        for (int i = 0; i < rows; ++i) {
            b.re[j * rows + i] = a.re[i * columns + j];
            b.im[j * rows + i] = a.im[i * columns + j];
        }
    }
    return batched_fft(tables, columns, rows, b, a);
}

void rfft(const FftTables& tables, const float* x, float* work, float* re, float* im) {
    const int half = tables.length / 2;
    Split a{re, im};
    Split b{work, work + half};
    for (int i = 0; i < half; ++i) {
        a.re[i] = x[2 * i];
        a.im[i] = x[2 * i + 1];
    }
    Split z = complex_fft(tables, a, b);
    if (z.re == re) {
        for (int i = 0; i < half; ++i) {
            b.re[i] = z.re[i];
            b.im[i] = z.im[i];
        }
        z = b;
    }
    re[0] = z.re[0] + z.im[0];
    im[0] = 0.0F;
    re[half] = z.re[0] - z.im[0];
    im[half] = 0.0F;
    // X[k] = E[k] + W^k O[k]: E and O, the spectra of even and odd samples, from Z[k] and conj(Z[half - k])
    const float* cos = tables.root_cos;
    const float* sin = tables.root_sin;
    for (int k = 1; k < half; ++k) {
        const float er = 0.5F * (z.re[k] + z.re[half - k]);
        const float ei = 0.5F * (z.im[k] - z.im[half - k]);
        const float odd_r = 0.5F * (z.im[k] + z.im[half - k]);
        const float odd_i = 0.5F * (z.re[half - k] - z.re[k]);
        re[k] = er + (odd_r * cos[k] + odd_i * sin[k]);
        im[k] = ei + (odd_i * cos[k] - odd_r * sin[k]);
    }
}

void irfft(const FftTables& tables, const float* re, const float* im, float* work, float* x) {
    const int half = tables.length / 2;
    const float* cos = tables.root_cos;
    const float* sin = tables.root_sin;
    const float scale = 1.0F / static_cast<float>(tables.length);
    // The inverse is the forward transform with real and imaginary parts exchanged on both sides.
    Split a{work + half, work};
    Split b{work + 2 * half, work + 3 * half};
    work[0] = (re[0] + re[half]) * scale;
    work[half] = (re[0] - re[half]) * scale;
    for (int k = 1; k < half; ++k) {
        const float er = re[k] + re[half - k];
        const float ei = im[k] - im[half - k];
        const float dr = re[k] - re[half - k];
        const float di = im[k] + im[half - k];
        const float odd_r = dr * cos[k] - di * sin[k];
        const float odd_i = dr * sin[k] + di * cos[k];
        work[k] = (er - odd_i) * scale;
        work[half + k] = (ei + odd_r) * scale;
    }
    const Split z = complex_fft(tables, a, b);
    for (int i = 0; i < half; ++i) {
        x[2 * i] = z.im[i];
        x[2 * i + 1] = z.re[i];
    }
}

}  // namespace
}  // namespace secousti::core

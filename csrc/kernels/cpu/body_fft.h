// Real FFT of a power of two: a complex FFT of half the length by the four-step method, each step a batch of short
// Stockham FFTs that run across vectors. Lanes are shuffled only where samples are parted and joined, between the two
// steps, and where a spectrum meets its mirror. Included after vector_math.h.
#pragma once

namespace secousti::core {
namespace {

/// Split complex numbers.
struct Split {
    float* re;
    float* im;
};

/// One pass of a batched FFT: what remains of `length`-point FFTs, `stride` of them side by side, by `kRadix`.
/// `kWhole`: the stride is a number of whole vectors.
template <int kRadix, bool kWhole>
void fft_pass(const FftTables& tables, int length, int stride, Split in, Split out) {
    const int part = length / kRadix;
    const int turn = tables.length / length;  // index step of a root of unity of this length
    const std::ptrdiff_t gap = static_cast<std::ptrdiff_t>(part) * stride;
    for (int p = 0; p < part; ++p) {
        const float* re = in.re + static_cast<std::ptrdiff_t>(p) * stride;
        const float* im = in.im + static_cast<std::ptrdiff_t>(p) * stride;
        float* yr = out.re + static_cast<std::ptrdiff_t>(p) * kRadix * stride;
        float* yi = out.im + static_cast<std::ptrdiff_t>(p) * kRadix * stride;
        const V c1 = set1(tables.root_cos[p * turn]);
        const V s1 = set1(tables.root_sin[p * turn]);
        const V c2 = set1(tables.root_cos[kRadix == 4 ? 2 * p * turn : 0]);
        const V s2 = set1(tables.root_sin[kRadix == 4 ? 2 * p * turn : 0]);
        const V c3 = set1(tables.root_cos[kRadix == 4 ? 3 * p * turn : 0]);
        const V s3 = set1(tables.root_sin[kRadix == 4 ? 3 * p * turn : 0]);
        for (int q = 0; q < stride; q += kWidth) {
            const int n = stride - q < kWidth ? stride - q : kWidth;
            const auto get = [&](const float* x) { return kWhole ? load(x + q) : load_n(x + q, n); };
            const auto put = [&](int at, V xr, V xi) {
                const std::ptrdiff_t place = static_cast<std::ptrdiff_t>(at) * stride + q;
                if constexpr (kWhole) {
                    store(yr + place, xr);
                    store(yi + place, xi);
                } else {
                    store_n(yr + place, xr, n);
                    store_n(yi + place, xi, n);
                }
            };
            // y = x * exp(-i*angle), by the table's cosine and sine of the angle
            const auto turned = [&](int at, V xr, V xi, V c, V s) {
                put(at, fma(xr, c, mul(xi, s)), fnma(xr, s, mul(xi, c)));
            };
            const V ar = get(re), ai = get(im), br = get(re + gap), bi = get(im + gap);
            if constexpr (kRadix == 2) {
                put(0, add(ar, br), add(ai, bi));
                turned(1, sub(ar, br), sub(ai, bi), c1, s1);
            } else {
                const V cr = get(re + 2 * gap), ci = get(im + 2 * gap), dr = get(re + 3 * gap), di = get(im + 3 * gap);
                const V even_r = add(ar, cr), even_i = add(ai, ci), skew_r = sub(ar, cr), skew_i = sub(ai, ci);
                const V odd_r = add(br, dr), odd_i = add(bi, di), turn_r = sub(br, dr), turn_i = sub(bi, di);
                put(0, add(even_r, odd_r), add(even_i, odd_i));
                turned(1, add(skew_r, turn_i), sub(skew_i, turn_r), c1, s1);
                turned(2, sub(even_r, odd_r), sub(even_i, odd_i), c2, s2);
                turned(3, sub(skew_r, turn_i), add(skew_i, turn_r), c3, s3);
            }
        }
    }
}

/// `length`-point FFTs of `batch` interleaved signals (element j of signal b at [j*batch + b]), radix 4 and one radix 2
/// pass. Returns whichever of the two buffers holds the result; both are overwritten.
Split batched_fft(const FftTables& tables, int length, int batch, Split in, Split out) {
    for (int stride = batch; length > 1;) {
        const int radix = length % 4 == 0 ? 4 : 2;
        const auto pass = stride % kWidth == 0 ? (radix == 4 ? fft_pass<4, true> : fft_pass<2, true>)
                                               : (radix == 4 ? fft_pass<4, false> : fft_pass<2, false>);
        pass(tables, length, stride, in, out);
        const Split swap = in;
        in = out;
        out = swap;
        length /= radix;
        stride *= radix;
    }
    return in;
}

/// `to` [columns, rows] is the transpose of `from` [rows, columns], each value times its root of unity. `from` is
/// overwritten.
void turn_and_transpose(const FftTables& tables, int rows, int columns, Split from, Split to) {
    if (rows % kWidth == 0 && columns % kWidth == 0) {
        for (int i = 0; i < rows; i += kWidth) {
            for (int j = 0; j < columns; j += kWidth) {
                V block[kWidth];
#pragma GCC unroll 16
                for (int r = 0; r < kWidth; ++r) {
                    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(i + r) * columns + j;
                    const V c = load(tables.step_cos + at), s = load(tables.step_sin + at);
                    const V re = load(from.re + at), im = load(from.im + at);
                    block[r] = fma(re, c, mul(im, s));
                    store(from.im + at, fnma(re, s, mul(im, c)));  // two blocks would not fit the registers
                }
                transpose(block);
#pragma GCC unroll 16
                for (int r = 0; r < kWidth; ++r) store(to.re + static_cast<std::ptrdiff_t>(j + r) * rows + i, block[r]);
#pragma GCC unroll 16
                for (int r = 0; r < kWidth; ++r)
                    block[r] = load(from.im + static_cast<std::ptrdiff_t>(i + r) * columns + j);
                transpose(block);
#pragma GCC unroll 16
                for (int r = 0; r < kWidth; ++r) store(to.im + static_cast<std::ptrdiff_t>(j + r) * rows + i, block[r]);
            }
        }
        return;
    }
    for (int i = 0; i < rows; ++i) {
        for (int j = 0; j < columns; ++j) {
            const int at = i * columns + j;
            const float c = tables.step_cos[at], s = tables.step_sin[at];
            to.re[j * rows + i] = from.re[at] * c + from.im[at] * s;
            to.im[j * rows + i] = from.im[at] * c - from.re[at] * s;
        }
    }
}

/// Complex FFT of rows*columns points, natural order in and out. Returns the buffer of the result; both are
/// overwritten.
Split complex_fft(const FftTables& tables, Split in, Split out) {
    const int rows = tables.rows;
    const int columns = tables.length / 2 / rows;
    const Split a = batched_fft(tables, rows, columns, in, out);
    const Split b = a.re == in.re ? out : in;
    turn_and_transpose(tables, rows, columns, a, b);
    return batched_fft(tables, columns, rows, b, a);
}

/// Values k, k+1, ... of an array and values half-k, half-k-1, ... of it: a vector of them, or (`kOne`) one alone.
template <bool kOne>
struct Mirrored {
    static V get(const float* p) { return kOne ? load_n(p, 1) : load(p); }
    static V get_back(const float* p) { return kOne ? load_n(p, 1) : reverse(load(p - (kWidth - 1))); }
    static void put(float* p, V v) {
        if constexpr (kOne) {
            store_n(p, v, 1);
        } else {
            store(p, v);
        }
    }
    static void put_back(float* p, V v) {
        if constexpr (kOne) {
            store_n(p, v, 1);
        } else {
            store(p - (kWidth - 1), reverse(v));
        }
    }
};

/// Calls body(k, Mirrored) so that every k of 1..half/2 and its mirror half-k are reached.
template <class Body>
SIMD_INLINE void each_mirrored(int half, Body body) {
    int k = 1;
    for (; k + kWidth - 1 <= half / 2; k += kWidth) body(k, Mirrored<false>());
    for (; k <= half / 2; ++k) body(k, Mirrored<true>());
}

void rfft(const FftTables& tables, const float* x, float* work, float* re, float* im) {
    const int half = tables.length / 2;
    Split a{re, im};
    Split b{work, work + half};
    int i = 0;
    for (; i + kWidth <= half; i += kWidth) {
        V even, odd;
        load_interleaved(x + 2 * i, even, odd);
        store(a.re + i, even);
        store(a.im + i, odd);
    }
    for (; i < half; ++i) {
        a.re[i] = x[2 * i];
        a.im[i] = x[2 * i + 1];
    }
    const Split z = complex_fft(tables, a, b);
    const float first_re = z.re[0], first_im = z.im[0];
    // X[k] = E[k] + W^k O[k]: E and O, the spectra of even and odd samples, from Z[k] and conj(Z[half - k]). Z may lie
    // in re, im: bins k and half - k are read before they are written, and nothing else reads them.
    const V halves = set1(0.5F);
    each_mirrored(half, [&](int k, auto at) {
        const V zr = at.get(z.re + k), zi = at.get(z.im + k);
        const V mr = at.get_back(z.re + half - k), mi = at.get_back(z.im + half - k);
        const V c = at.get(tables.root_cos + k), s = at.get(tables.root_sin + k);
        const V er = mul(halves, add(zr, mr)), ei = mul(halves, sub(zi, mi));
        const V odd_r = mul(halves, add(zi, mi)), odd_i = mul(halves, sub(mr, zr));
        const V tr = fma(odd_r, c, mul(odd_i, s)), ti = fnma(odd_r, s, mul(odd_i, c));
        at.put(re + k, add(er, tr));
        at.put(im + k, add(ei, ti));
        at.put_back(re + half - k, sub(er, tr));
        at.put_back(im + half - k, sub(ti, ei));
    });
    re[0] = first_re + first_im;
    im[0] = 0.0F;
    re[half] = first_re - first_im;
    im[half] = 0.0F;
}

void irfft(const FftTables& tables, const float* re, const float* im, float* work, float* x) {
    const int half = tables.length / 2;
    const float scale = 1.0F / static_cast<float>(tables.length);
    // The inverse is the forward transform with real and imaginary parts exchanged on both sides.
    Split a{work + half, work};
    Split b{work + 2 * half, work + 3 * half};
    a.im[0] = (re[0] + re[half]) * scale;
    a.re[0] = (re[0] - re[half]) * scale;
    each_mirrored(half, [&](int k, auto at) {
        const V xr = at.get(re + k), xi = at.get(im + k);
        const V mr = at.get_back(re + half - k), mi = at.get_back(im + half - k);
        const V c = at.get(tables.root_cos + k), s = at.get(tables.root_sin + k);
        const V er = add(xr, mr), ei = sub(xi, mi), dr = sub(xr, mr), di = add(xi, mi);
        const V odd_r = fnma(di, s, mul(dr, c)), odd_i = fma(dr, s, mul(di, c));
        at.put(a.im + k, mul(sub(er, odd_i), set1(scale)));
        at.put(a.re + k, mul(add(ei, odd_r), set1(scale)));
        at.put_back(a.im + half - k, mul(add(er, odd_i), set1(scale)));
        at.put_back(a.re + half - k, mul(sub(odd_r, ei), set1(scale)));
    });
    const Split z = complex_fft(tables, a, b);
    int i = 0;
    for (; i + kWidth <= half; i += kWidth) store_interleaved(x + 2 * i, load(z.im + i), load(z.re + i));
    for (; i < half; ++i) {
        x[2 * i] = z.im[i];
        x[2 * i + 1] = z.re[i];
    }
}

}  // namespace
}  // namespace secousti::core

// Real FFTs of a power of two in shared memory, by all threads of a block: a complex FFT of half the length in Stockham
// passes of radix 8 (the last may be 4 or 2), each butterfly in registers. 1024 real samples are three passes of 64
// butterflies.
#pragma once

#include "kernels/cuda/simt.cuh"

namespace secousti::core::cuda {

struct Complex {
    float re, im;
};
SIMT_DEVICE Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
SIMT_DEVICE Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
/// a * exp(-i*angle), by the angle's cosine and sine.
SIMT_DEVICE Complex turned(Complex a, float cosine, float sine) {
    return {a.re * cosine + a.im * sine, a.im * cosine - a.re * sine};
}

SIMT_DEVICE void butterfly(Complex (&x)[2]) {
    const Complex a = x[0], b = x[1];
    x[0] = a + b;
    x[1] = a - b;
}
SIMT_DEVICE void butterfly(Complex (&x)[4]) {
    const Complex even = x[0] + x[2], skew = x[0] - x[2], odd = x[1] + x[3], turn = x[1] - x[3];
    x[0] = even + odd;
    x[1] = {skew.re + turn.im, skew.im - turn.re};
    x[2] = even - odd;
    x[3] = {skew.re - turn.im, skew.im + turn.re};
}
SIMT_DEVICE void butterfly(Complex (&x)[8]) {
    constexpr float kHalfRoot = 0.707106781F;
    Complex a[4] = {x[0], x[2], x[4], x[6]}, b[4] = {x[1], x[3], x[5], x[7]};
    butterfly(a);
    butterfly(b);
    const Complex b1{(b[1].re + b[1].im) * kHalfRoot, (b[1].im - b[1].re) * kHalfRoot};
    const Complex b2{b[2].im, -b[2].re};
    const Complex b3{(b[3].im - b[3].re) * kHalfRoot, (-b[3].re - b[3].im) * kHalfRoot};
    x[0] = a[0] + b[0];
    x[1] = a[1] + b1;
    x[2] = a[2] + b2;
    x[3] = a[3] + b3;
    x[4] = a[0] - b[0];
    x[5] = a[1] - b1;
    x[6] = a[2] - b2;
    x[7] = a[3] - b3;
}

/// Complex numbers in shared memory, spread so that the strided accesses of a pass meet different banks.
struct ComplexBuffer {
    simt::Shared<float> at;

    SIMT_DEVICE static int place(int i) { return 2 * (i + (i >> 4)); }
    SIMT_DEVICE Complex get(int i) const {
        const simt::Vector<float, 2> v = simt::load<2>(at + place(i));
        return {v[0], v[1]};
    }
    SIMT_DEVICE void put(int i, Complex c) const { simt::store(at + place(i), simt::Vector<float, 2>{{c.re, c.im}}); }
};
/// Floats of a buffer for points 0 ... half (one more than the transform's).
constexpr int complex_buffer_floats(int half) { return (2 * (half + half / 16 + 1) + 3) / 4 * 4; }

/// Cosine and sine of 2 pi k/length.
struct Roots {
    simt::Global<const float> at;
    SIMT_DEVICE Complex get(int k) const {
        const simt::Vector<float, 2> v = simt::load_constant<2>(at + 2 * k);
        return {v[0], v[1]};
    }
};

template <int kThreads>
struct BlockFft {
    int log_half;  ///< of complex points
    Roots roots;   ///< of 2*half

    SIMT_DEVICE BlockFft(int length, simt::Global<const float> table) : log_half(0), roots{table} {
        while (4 << log_half <= length) ++log_half;
    }
    SIMT_DEVICE int half() const { return 1 << log_half; }
    SIMT_DEVICE int passes() const { return (log_half + 2) / 3; }

    /// Forward FFTs of `count` signals: first(signal, i) gives point i, last(signal, k, value) takes point k. Between
    /// the passes the points lie in work0(signal), work1(signal), work0 ... : the first pass must not read work0, the
    /// last not write what it reads (work0 if the number of passes is even, else work1). Barriers before the first and
    /// after the last pass are the caller's.
    template <class First, class Last, class Work0, class Work1>
    SIMT_DEVICE void transform(int count, First first, Last last, Work0 work0, Work1 work1) const {
        const int final_pass = passes() - 1;
        if (final_pass == 0) return pass<8>(count, 0, first, last);
        const auto in0 = [&](int s, int i) { return work0(s).get(i); };
        const auto in1 = [&](int s, int i) { return work1(s).get(i); };
        const auto out0 = [&](int s, int i, Complex c) { work0(s).put(i, c); };
        const auto out1 = [&](int s, int i, Complex c) { work1(s).put(i, c); };
        pass<8>(count, 0, first, out0);
        simt::barrier();
        for (int j = 1; j < final_pass; ++j) {
            if (j % 2 == 1) {
                pass<8>(count, 3 * j, in0, out1);
            } else {
                pass<8>(count, 3 * j, in1, out0);
            }
            simt::barrier();
        }
        const auto in = [&](int s, int i) { return final_pass % 2 == 1 ? in0(s, i) : in1(s, i); };
        const int left = log_half - 3 * final_pass;
        if (left == 3) {
            pass<8>(count, 3 * final_pass, in, last);
        } else if (left == 2) {
            pass<4>(count, 3 * final_pass, in, last);
        } else {
            pass<2>(count, 3 * final_pass, in, last);
        }
    }

  private:
    template <int kRadix, class In, class Out>
    SIMT_DEVICE void pass(int count, int log_stride, In in, Out out) const {
        constexpr int kLog = kRadix == 8 ? 3 : kRadix == 4 ? 2 : 1;
        const int log_items = log_half - kLog;
        const int log_part = log_items - log_stride;
        for (int item = simt::thread(); item < count << log_items; item += kThreads) {
            const int signal = item >> log_items, b = item & ((1 << log_items) - 1);
            const int q = b & ((1 << log_stride) - 1), p = b >> log_stride;
            Complex x[kRadix];
            SIMT_UNROLL
            for (int r = 0; r < kRadix; ++r) x[r] = in(signal, q + ((p + (r << log_part)) << log_stride));
            butterfly(x);
            SIMT_UNROLL
            for (int r = 0; r < kRadix; ++r) {
                if (r > 0 && log_part > 0) {
                    const Complex root = roots.get((p * r) << (log_stride + 1));
                    x[r] = turned(x[r], root.re, root.im);
                }
                out(signal, q + ((kRadix * p + r) << log_stride), x[r]);
            }
        }
    }
};

/// Bins k and half - k of a real signal's spectrum.
struct BinPair {
    Complex low, high;
};
/// From points k and half - k (0 < k < half) of the complex FFT of its even and odd samples as real and imaginary
/// parts.
SIMT_DEVICE BinPair unpack_bins(Complex z, Complex mirror, Complex root) {
    const float even_r = 0.5F * (z.re + mirror.re), even_i = 0.5F * (z.im - mirror.im);
    const float odd_r = 0.5F * (z.im + mirror.im), odd_i = 0.5F * (mirror.re - z.re);
    const float u = odd_r * root.re + odd_i * root.im, v = odd_i * root.re - odd_r * root.im;
    return {{even_r + u, even_i + v}, {even_r - u, v - even_i}};
}
/// The other way, times 2*half*scale; the inverse transform is the forward one with real and imaginary parts exchanged.
SIMT_DEVICE BinPair pack_bins(BinPair x, Complex root, float scale) {
    const float even_r = x.low.re + x.high.re, even_i = x.low.im - x.high.im;
    const float dr = x.low.re - x.high.re, di = x.low.im + x.high.im;
    const float odd_r = dr * root.re - di * root.im, odd_i = dr * root.im + di * root.re;
    return {{(even_r - odd_i) * scale, (even_i + odd_r) * scale}, {(even_r + odd_i) * scale, (odd_r - even_i) * scale}};
}

}  // namespace secousti::core::cuda

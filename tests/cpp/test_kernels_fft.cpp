// Real FFT and its inverse on every instruction set.
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "kernel_cases.h"
#include "layers/fft.h"

using namespace kernel_cases;
using secousti::core::Error;
using secousti::core::Fft;

namespace {

struct Spectrum {
    std::vector<double> re, im;
};

/// By definition, in double precision.
Spectrum naive_dft(const std::vector<float>& x) {
    const std::size_t n = x.size();
    std::vector<double> cos(n), sin(n);
    for (std::size_t k = 0; k < n; ++k) {
        const double angle = 2.0 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n);
        cos[k] = std::cos(angle);
        sin[k] = std::sin(angle);
    }
    Spectrum s;
    for (std::size_t k = 0; k <= n / 2; ++k) {
        double re = 0, im = 0;
        for (std::size_t i = 0; i < n; ++i) {
            re += double{x[i]} * cos[k * i % n];
            im -= double{x[i]} * sin[k * i % n];
        }
        s.re.push_back(re);
        s.im.push_back(im);
    }
    return s;
}

}  // namespace

TEST(rfft_and_irfft_match_the_definition) {
    for (int length = 16; length <= 8192; length *= 2) {
        const Fft fft(length);
        const auto size = static_cast<std::size_t>(length), bins = size / 2 + 1;
        const std::vector<float> x = check::uniform_vector(size);
        const Spectrum expected = naive_dft(x);
        const double tolerance = kFft.absolute * std::sqrt(length);
        for_each_backend([&](const Backend& backend) {
            std::vector<float> re(bins), im(bins), work(size), twice(2 * size), back(size);
            backend.rfft(fft.tables(), x.data(), work.data(), re.data(), im.data());
            const std::string what = label(backend, "rfft " + std::to_string(length));
            CHECK_VECTORS_CLOSE(re, expected.re, tolerance, kFft.relative, what + " re");
            CHECK_VECTORS_CLOSE(im, expected.im, tolerance, kFft.relative, what + " im");
            CHECK(im.front() == 0.0F && im.back() == 0.0F);
            im.front() = im.back() = 7.0F;  // a real signal has none: ignored
            backend.irfft(fft.tables(), re.data(), im.data(), twice.data(), back.data());
            CHECK_VECTORS_CLOSE(back, x, 1e-6, 0.0, what + " inverse");
        });
    }
}

TEST(fft_refuses_other_lengths) {
    for (int length : {-1024, 0, 1, 8, 15, 17, 1000, 1023}) CHECK_THROWS(Fft(length), Error, std::to_string(length));
}

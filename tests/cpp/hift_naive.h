// HiFT from its definition: offline, in double precision, one loop nest per formula. NaN spreads to all that depends on
// it, so it also shows which samples depend on which mel frame.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "base/philox.h"
#include "models/config.h"

namespace hift_naive {

using Weights = std::map<std::string, std::vector<float>>;

struct Signal {
    int rows;
    int width;
    std::vector<double> values;

    Signal(int r, int w) : rows(r), width(w), values(static_cast<std::size_t>(r * w)) {}
    double& operator()(int r, int c) { return values[static_cast<std::size_t>(r * width + c)]; }
    double operator()(int r, int c) const { return values[static_cast<std::size_t>(r * width + c)]; }
};

template <class Map>
Signal map(Signal x, Map f) {
    for (double& v : x.values) v = f(v);
    return x;
}

class Naive {
  public:
    Naive(const secousti::core::Config& config, const Weights& weights)
        : config_(config), hift_(config.hift), weights_(weights) {}

    std::vector<double> f0(const Signal& mel) const {
        Signal x = mel;
        for (int i = 0; i < hift_.f0_layers; ++i) {
            x = map(same("f0_predictor.condnet." + std::to_string(2 * i), x, hift_.f0_kernel, 1),
                    [](double v) { return v > 0.0 ? v : std::expm1(v); });
        }
        std::vector<double> hz;
        for (int t = 0; t < x.rows; ++t) {
            double sum = at("f0_predictor.classifier.bias", 0);
            for (int c = 0; c < x.width; ++c) sum += x(t, c) * at("f0_predictor.classifier.weight", c);
            hz.push_back(std::abs(sum));
        }
        return hz;
    }

    std::vector<double> source(const std::vector<double>& f0, bool noise, std::uint64_t seed) const {
        constexpr double kPi = std::numbers::pi;
        std::vector<double> samples;
        double cycles = 0.0;
        for (std::size_t n = 0; n < f0.size() * static_cast<std::size_t>(config_.hop_length); ++n) {
            const double hz = f0[n / static_cast<std::size_t>(config_.hop_length)];
            cycles += hz / config_.sample_rate;
            const bool voiced = !(hz <= 10.0);
            double sum = at("m_source.l_linear.bias", 0);
            for (int h = 0; h < hift_.harmonics; ++h) {
                const auto group = static_cast<std::uint32_t>(h / 4);
                double start = 0.0, normal = 0.0;
                if (noise) {
                    normal = secousti::core::normals(secousti::core::philox(
                        seed, {static_cast<std::uint32_t>(n), 0, group, 0}))[static_cast<std::size_t>(h % 4)];
                    if (h > 0) start = secousti::core::philox(seed, {0, 0, group, 1})[static_cast<std::size_t>(h % 4)];
                }
                const double wave = 0.1 * std::sin(2.0 * kPi * ((h + 1) * cycles + start * 0x1p-32));
                const double sigma = voiced ? 0.003 : 0.1 / 3.0;
                sum += at("m_source.l_linear.weight", h) * ((voiced ? wave : 0.0) + sigma * normal);
            }
            samples.push_back(std::tanh(sum));
        }
        return samples;
    }

    std::vector<double> wave(const Signal& mel, const std::vector<double>& source) const {
        const Signal spectrum = stft(source);
        Signal x = same("conv_pre", mel, 7, 1);
        int down = 1;
        for (const int rate : hift_.upsample_rates) down *= rate;
        for (std::size_t i = 0; i < hift_.upsample_rates.size(); ++i) {
            const int rate = hift_.upsample_rates[i];
            down /= rate;
            x = transposed("ups." + std::to_string(i), map(x, [](double v) { return v > 0.0 ? v : 0.1 * v; }), rate);
            if (i + 1 == hift_.upsample_rates.size()) x = reflect(x);
            const std::string name = "source_downs." + std::to_string(i);
            const Signal s = down == 1 ? conv(name, spectrum, x.width, 1, 1, 1, 0)
                                       : conv(name, spectrum, x.width, 2 * down, down, 1, down / 2);
            x = add(x, block("source_resblocks." + std::to_string(i), s, hift_.source_resblock_kernels[i]));
            Signal mean(x.rows, x.width);
            for (std::size_t b = 0; b < 3; ++b) {
                mean = add(mean, block("resblocks." + std::to_string(3 * i + b), x, hift_.resblock_kernels[b]));
            }
            x = map(mean, [](double v) { return v / 3.0; });
        }
        return istft(same("conv_post", map(x, [](double v) { return v > 0.0 ? v : 0.01 * v; }), 7, 1));
    }

  private:
    double at(const std::string& name, int index) const {
        return static_cast<double>(weights_.at("vocoder." + name)[static_cast<std::size_t>(index)]);
    }
    double window(int i) const { return 0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * i / hift_.istft_n_fft); }

    static Signal add(Signal x, const Signal& y) {
        for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] += y.values.at(i);
        return x;
    }

    Signal conv(const std::string& name, const Signal& x, int outputs, int kernel, int stride, int dilation,
                int pad) const {
        Signal y((x.rows + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1, outputs);
        for (int t = 0; t < y.rows; ++t) {
            for (int o = 0; o < outputs; ++o) {
                double sum = at(name + ".bias", o);
                for (int k = 0; k < kernel; ++k) {
                    const int row = t * stride + k * dilation - pad;
                    if (row < 0 || row >= x.rows) continue;
                    for (int c = 0; c < x.width; ++c) {
                        sum += at(name + ".weight", (o * x.width + c) * kernel + k) * x(row, c);
                    }
                }
                y(t, o) = sum;
            }
        }
        return y;
    }
    Signal same(const std::string& name, const Signal& x, int kernel, int dilation) const {
        const int outputs = static_cast<int>(weights_.at("vocoder." + name + ".bias").size());
        return conv(name, x, outputs, kernel, 1, dilation, dilation * (kernel - 1) / 2);
    }
    Signal transposed(const std::string& name, const Signal& x, int rate) const {
        Signal y(x.rows * rate, x.width / 2);
        for (int t = 0; t < y.rows; ++t) {
            for (int o = 0; o < y.width; ++o) y(t, o) = at(name + ".bias", o);
        }
        for (int t = 0; t < x.rows; ++t) {
            for (int k = 0; k < 2 * rate; ++k) {
                const int row = t * rate + k - rate / 2;
                if (row < 0 || row >= y.rows) continue;
                for (int o = 0; o < y.width; ++o) {
                    for (int c = 0; c < x.width; ++c) {
                        y(row, o) += at(name + ".weight", (c * y.width + o) * 2 * rate + k) * x(t, c);
                    }
                }
            }
        }
        return y;
    }
    static Signal reflect(const Signal& x) {
        Signal y(x.rows + 1, x.width);
        for (int c = 0; c < x.width; ++c) y(0, c) = x(1, c);
        std::copy(x.values.begin(), x.values.end(), y.values.begin() + x.width);
        return y;
    }
    Signal snake(const std::string& name, Signal x) const {
        for (int t = 0; t < x.rows; ++t) {
            for (int c = 0; c < x.width; ++c) {
                const double a = at(name + ".alpha", c), s = std::sin(a * x(t, c));
                x(t, c) += s * s / (a + 1e-9);
            }
        }
        return x;
    }
    Signal block(const std::string& name, Signal x, int kernel) const {
        for (std::size_t i = 0; i < hift_.resblock_dilations.size(); ++i) {
            const std::string index = "." + std::to_string(i);
            const Signal h = same(name + ".convs1" + index, snake(name + ".activations1" + index, x), kernel,
                                  hift_.resblock_dilations[i]);
            x = add(x, same(name + ".convs2" + index, snake(name + ".activations2" + index, h), kernel, 1));
        }
        return x;
    }

    Signal stft(const std::vector<double>& x) const {
        const int n = hift_.istft_n_fft, hop = hift_.istft_hop, samples = static_cast<int>(x.size());
        Signal y(samples / hop + 1, n + 2);
        for (int t = 0; t < y.rows; ++t) {
            for (int i = 1; i < n; ++i) {  // the window is 0 at i = 0
                int s = std::abs(t * hop + i - n / 2);
                if (s >= samples) s = 2 * (samples - 1) - s;
                for (int k = 0; k <= n / 2; ++k) {
                    const double angle = 2.0 * std::numbers::pi * k * i / n;
                    y(t, k) += window(i) * std::cos(angle) * x.at(static_cast<std::size_t>(s));
                    y(t, n / 2 + 1 + k) -= window(i) * std::sin(angle) * x.at(static_cast<std::size_t>(s));
                }
            }
        }
        return y;
    }
    std::vector<double> istft(const Signal& x) const {
        const int n = hift_.istft_n_fft, hop = hift_.istft_hop, samples = (x.rows - 1) * hop;
        std::vector<double> sum(static_cast<std::size_t>(samples)), weight(sum.size());
        for (int t = 0; t < x.rows; ++t) {
            for (int i = 1; i < n; ++i) {
                const int s = t * hop + i - n / 2;
                if (s < 0 || s >= samples) continue;
                double v = 0.0;
                for (int k = 0; k <= n / 2; ++k) {
                    const double magnitude = std::min(std::exp(x(t, k)), 100.0), phase = std::sin(x(t, n / 2 + 1 + k));
                    const double angle = 2.0 * std::numbers::pi * k * i / n;
                    const bool real = k == 0 || k == n / 2;
                    v += (real ? 1.0 : 2.0) * magnitude *
                         (std::cos(phase) * std::cos(angle) - (real ? 0.0 : std::sin(phase) * std::sin(angle)));
                }
                sum[static_cast<std::size_t>(s)] += v / n * window(i);
                weight[static_cast<std::size_t>(s)] += window(i) * window(i);
            }
        }
        for (std::size_t s = 0; s < sum.size(); ++s) sum[s] = std::clamp(sum[s] / weight[s], -0.99, 0.99);
        return sum;
    }

    const secousti::core::Config& config_;
    const secousti::core::HiftConfig& hift_;
    const Weights& weights_;
};

}  // namespace hift_naive

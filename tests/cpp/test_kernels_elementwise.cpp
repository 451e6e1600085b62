// Elementwise maps, norms and the quantiser on every instruction set.
#include <cfloat>
#include <cmath>
#include <limits>

#include "kernel_cases.h"

using namespace kernel_cases;
using secousti::core::Activation;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <class Map>
std::vector<double> mapped(const std::vector<float>& x, Map map) {
    std::vector<double> y;
    for (float v : x) y.push_back(map(static_cast<double>(v)));
    return y;
}

double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }

}  // namespace

TEST(activations_are_accurate_over_their_range) {
    for_each_backend([](const Backend& backend) {
        for (int size : kAwkwardSizes) {
            for (float range : {1e-4F, 0.5F, 3.0F, 12.0F, 80.0F}) {
                const std::vector<float> x = check::uniform_vector(static_cast<std::size_t>(size), -range, range);
                std::vector<float> y(x.size());
                const auto run = [&](Activation activation, float slope) -> const std::vector<float>& {
                    backend.activate(activation, slope, x.data(), x.size(), y.data());
                    return y;
                };
                CHECK_VECTORS_CLOSE(run(Activation::tanh, 0), mapped(x, [](double v) { return std::tanh(v); }),
                                    kActivation.absolute, kActivation.relative, label(backend, "tanh"));
                CHECK_VECTORS_CLOSE(run(Activation::elu, 0),
                                    mapped(x, [](double v) { return v > 0 ? v : std::expm1(v); }), kActivation.absolute,
                                    kActivation.relative, label(backend, "elu"));
                CHECK_VECTORS_CLOSE(run(Activation::gelu, 0), mapped(x, gelu), kGelu.absolute, kGelu.relative,
                                    label(backend, "gelu"));
                CHECK_VECTORS_CLOSE(run(Activation::relu, 0), mapped(x, [](double v) { return v > 0 ? v : 0; }), 0, 0,
                                    label(backend, "relu"));
                const double slope = double{0.1F};
                CHECK_VECTORS_CLOSE(run(Activation::leaky_relu, 0.1F),
                                    mapped(x, [=](double v) { return v > 0 ? v : slope * v; }), kActivation.absolute,
                                    kActivation.relative, label(backend, "leaky_relu"));
                std::vector<float> in_place = x;
                backend.activate(Activation::tanh, 0, in_place.data(), in_place.size(), in_place.data());
                CHECK(in_place == run(Activation::tanh, 0));
            }
        }
    });
}

TEST(activations_at_their_limits) {
    for_each_backend([](const Backend& backend) {
        const auto at = [&](Activation activation, float x) {
            float y = 0;
            backend.activate(activation, 0.1F, &x, 1, &y);
            return y;
        };
        for (Activation activation : {Activation::none, Activation::elu, Activation::gelu, Activation::relu,
                                      Activation::leaky_relu, Activation::tanh}) {
            CHECK(std::isnan(at(activation, kNan)));
            CHECK(at(activation, 0.0F) == 0.0F);
        }
        CHECK(at(Activation::tanh, kInfinity) == 1.0F);
        CHECK(at(Activation::tanh, -kInfinity) == -1.0F);
        CHECK(at(Activation::elu, -kInfinity) == -1.0F);
        CHECK(at(Activation::elu, kInfinity) == kInfinity);
        CHECK(at(Activation::gelu, kInfinity) == kInfinity);
        CHECK(at(Activation::relu, -kInfinity) == 0.0F);
        CHECK_CLOSE(at(Activation::gelu, -100.0F), 0.0, 1e-30);
    });
}

TEST(exp_and_log_are_accurate) {
    for_each_backend([](const Backend& backend) {
        for (int size : kAwkwardSizes) {
            for (float range : {0.01F, 1.0F, 20.0F, 87.0F}) {
                std::vector<float> x = check::uniform_vector(static_cast<std::size_t>(size), -range, range);
                std::vector<float> y(x.size());
                backend.exp(x.data(), size, y.data());
                CHECK_VECTORS_CLOSE(y, mapped(x, [](double v) { return std::exp(v); }), kExp.absolute, kExp.relative,
                                    label(backend, "exp"));
                std::vector<float> in_place = x;
                backend.exp(in_place.data(), size, in_place.data());
                CHECK(in_place == y);
                for (float& v : x) v = std::exp(v);  // log of values over many magnitudes
                const auto logarithm = [](double v) { return std::log(std::max(v, double{1e-5F})); };
                backend.log_floor(x.data(), 1e-5F, size, y.data());
                CHECK_VECTORS_CLOSE(y, mapped(x, logarithm), kLog.absolute, kLog.relative, label(backend, "log"));
            }
        }
        const std::vector<float> x{kNan, kInfinity, -kInfinity, 0.0F, 1.0F, 1000.0F, -1000.0F};
        std::vector<float> y(x.size());
        const int size = static_cast<int>(x.size());
        backend.exp(x.data(), size, y.data());
        CHECK(std::isnan(y[0]) && y[1] == kInfinity && y[2] == 0.0F && y[3] == 1.0F && y[5] == kInfinity &&
              y[6] == 0.0F);
        backend.log_floor(x.data(), FLT_MIN, size, y.data());
        CHECK(std::isnan(y[0]) && y[1] == kInfinity && y[4] == 0.0F);
        CHECK_CLOSE(y[2], std::log(double{FLT_MIN}), 1e-5);
        CHECK_CLOSE(y[3], std::log(double{FLT_MIN}), 1e-5);
    });
}

TEST(snake_matches_double_loops) {
    for_each_backend([](const Backend& backend) {
        for (int channels : kAwkwardSizes) {
            for (float range : {1.0F, 300.0F}) {
                const int rows = 3;
                const auto size = static_cast<std::size_t>(channels);
                const std::vector<float> x = check::uniform_vector(size * rows, -range, range);
                const std::vector<float> alpha = check::uniform_vector(size, 0.1F, 3.0F);
                const std::vector<float> inverse = check::uniform_vector(size, 0.3F, 2.0F);
                std::vector<double> expected;
                for (std::size_t i = 0; i < x.size(); ++i) {
                    const double s = std::sin(double{alpha[i % size] * x[i]});
                    expected.push_back(double{x[i]} + s * s * double{inverse[i % size]});
                }
                std::vector<float> y(x.size());
                backend.snake(x.data(), alpha.data(), inverse.data(), rows, channels, y.data());
                CHECK_VECTORS_CLOSE(y, expected, kSnake.absolute * 2.0, kSnake.relative, label(backend, "snake"));
                std::vector<float> in_place = x;
                backend.snake(in_place.data(), alpha.data(), inverse.data(), rows, channels, in_place.data());
                CHECK(in_place == y);
            }
        }
    });
}

TEST(sums_match_and_may_run_in_place) {
    for_each_backend([](const Backend& backend) {
        for (int size : kAwkwardSizes) {
            const auto count = static_cast<std::size_t>(size);
            const std::vector<float> a = check::uniform_vector(count), b = check::uniform_vector(count),
                                     c = check::uniform_vector(count);
            std::vector<float> y(count);
            std::vector<double> two, three;
            for (std::size_t i = 0; i < count; ++i) {
                two.push_back(double{a[i]} + double{b[i]});
                three.push_back(double{0.25F} * (double{a[i]} + double{b[i]} + double{c[i]}));
            }
            backend.sum3(a.data(), b.data(), c.data(), 0.25F, count, y.data());
            CHECK_VECTORS_CLOSE(y, three, kElementwise.absolute, kElementwise.relative, label(backend, "sum3"));
            for (int which = 0; which < 3; ++which) {
                std::vector<float> in[3] = {a, b, c};
                backend.sum3(in[0].data(), in[1].data(), in[2].data(), 0.25F, count, in[which].data());
                CHECK(in[which] == y);
            }
            backend.add(a.data(), b.data(), count, y.data());
            CHECK_VECTORS_CLOSE(y, two, kElementwise.absolute, kElementwise.relative, label(backend, "add"));
            std::vector<float> left = a, right = b;
            backend.add(left.data(), b.data(), count, left.data());
            backend.add(a.data(), right.data(), count, right.data());
            CHECK(left == y && right == y);

            const std::vector<float> rows = check::uniform_vector(3 * count);
            std::vector<float> moved(rows.size());
            std::vector<double> expected;
            for (std::size_t i = 0; i < rows.size(); ++i) expected.push_back(double{rows[i]} + double{a[i % count]});
            backend.add_row(rows.data(), a.data(), 3, size, moved.data());
            CHECK_VECTORS_CLOSE(moved, expected, kElementwise.absolute, kElementwise.relative,
                                label(backend, "add_row"));
            std::vector<float> in_place = rows;
            backend.add_row(in_place.data(), a.data(), 3, size, in_place.data());
            CHECK(in_place == moved);
        }
    });
}

TEST(layer_norm_matches_double_loops) {
    for_each_backend([](const Backend& backend) {
        for (int dim : kAwkwardSizes) {
            const int rows = 4;
            const auto size = static_cast<std::size_t>(dim);
            std::vector<float> x = check::uniform_vector(size * rows);
            for (float& v : x) v = 3.0F * v + 0.5F;
            const std::vector<float> gamma = check::uniform_vector(size), beta = check::uniform_vector(size);
            std::vector<double> expected;
            for (std::size_t r = 0; r < rows; ++r) {
                double mean = 0, variance = 0;
                for (std::size_t i = 0; i < size; ++i) mean += double{x[r * size + i]} / dim;
                for (std::size_t i = 0; i < size; ++i) variance += std::pow(double{x[r * size + i]} - mean, 2) / dim;
                for (std::size_t i = 0; i < size; ++i)
                    expected.push_back((double{x[r * size + i]} - mean) / std::sqrt(variance + double{1e-5F}) *
                                           double{gamma[i]} +
                                       double{beta[i]});
            }
            std::vector<float> y(x.size());
            backend.layer_norm(x.data(), gamma.data(), beta.data(), 1e-5F, rows, dim, y.data());
            // one row of nearly equal values amplifies its roundings by 1/deviation
            CHECK_VECTORS_CLOSE(y, expected, dim < 8 ? 1e-3 : kLayerNorm.absolute, kLayerNorm.relative,
                                label(backend, "layer_norm " + std::to_string(dim)));
        }
    });
}

TEST(fsq_matches_its_definition) {
    for_each_backend([](const Backend& backend) {
        for (int dims : {1, 4, 7, 8, 9}) {
            std::vector<float> half;
            std::vector<std::int32_t> basis;
            std::int32_t product = 1;
            for (int d = 0; d < dims; ++d) {
                const int levels = d % 3 == 2 ? 5 : 3;
                half.push_back(static_cast<float>(levels - 1) / 2.0F);
                basis.push_back(product);
                product *= levels;
            }
            const int rows = 200;
            std::vector<float> y = check::uniform_vector(static_cast<std::size_t>(rows * dims), -2.5F, 2.5F);
            y[0] = kNan;
            std::vector<std::int32_t> tokens(rows, -1);
            backend.fsq_quantise(y.data(), half.data(), basis.data(), rows, dims, tokens.data());
            int unclear = 0;
            for (int r = 0; r < rows; ++r) {
                std::int32_t expected = 0;
                bool clear = true;
                for (int d = 0; d < dims; ++d) {
                    const auto column = static_cast<std::size_t>(d);
                    const double v = double{y[static_cast<std::size_t>(r * dims + d)]};
                    const double bound = double{half[column]} * 0.999 * std::tanh(v);
                    const double code = std::isnan(v) ? 0.0 : std::nearbyint(bound);
                    clear = clear && !(std::abs(std::abs(bound - std::trunc(bound)) - 0.5) < 1e-6);
                    expected += static_cast<std::int32_t>(code + double{half[column]}) * basis[column];
                }
                unclear += clear ? 0 : 1;
                const std::int32_t token = tokens[static_cast<std::size_t>(r)];
                if (clear) CHECK_MSG(token == expected, label(backend, std::to_string(token)));
                CHECK(token >= 0 && token < product);
            }
            CHECK(unclear < 5);
        }
    });
}

TEST(magnitude_and_bands_match_double_loops) {
    for_each_backend([](const Backend& backend) {
        for (int size : kAwkwardSizes) {
            const auto count = static_cast<std::size_t>(size);
            const std::vector<float> re = check::uniform_vector(count), im = check::uniform_vector(count);
            std::vector<float> y(count);
            std::vector<double> expected;
            for (std::size_t i = 0; i < count; ++i)
                expected.push_back(
                    std::sqrt(double{re[i]} * double{re[i]} + double{im[i]} * double{im[i]} + double{1e-9F}));
            backend.magnitude(re.data(), im.data(), 1e-9F, size, y.data());
            CHECK_VECTORS_CLOSE(y, expected, kElementwise.absolute, kElementwise.relative, label(backend, "magnitude"));

            const std::vector<std::int32_t> start{0, size / 2, size - 1, 0}, length{size, size - size / 2, 1, 0},
                offset{0, 3, 1, 2};
            const std::vector<float> weights = check::uniform_vector(count + 3);
            std::vector<double> bands;
            for (std::size_t b = 0; b < 4; ++b) {
                double sum = 0;
                for (std::int32_t i = 0; i < length[b]; ++i)
                    sum += double{weights[static_cast<std::size_t>(offset[b] + i)]} *
                           double{re[static_cast<std::size_t>(start[b] + i)]};
                bands.push_back(sum);
            }
            std::vector<float> sums(4, kNan);
            backend.band_sum(re.data(), start.data(), length.data(), offset.data(), weights.data(), 4, sums.data());
            CHECK_VECTORS_CLOSE(sums, bands, kLinear.absolute * (size + 8), kLinear.relative,
                                label(backend, "band_sum"));
        }
    });
}

TEST(polar_head_matches_double_loops) {
    for_each_backend([](const Backend& backend) {
        for (int bins : {1, 7, 9, 16, 17, 33}) {
            const int rows = 5;
            std::vector<float> x = check::uniform_vector(static_cast<std::size_t>(rows * 2 * bins), -7.0F, 7.0F);
            std::vector<double> expected(x.size());
            for (int r = 0; r < rows; ++r) {
                for (int b = 0; b < bins; ++b) {
                    const auto at = static_cast<std::size_t>(r * 2 * bins + b),
                               pair = at + static_cast<std::size_t>(bins);
                    const double m = std::min(std::exp(double{x[at]}), 100.0), p = std::sin(double{x[pair]});
                    expected[at] = m * std::cos(p);
                    expected[pair] = m * std::sin(p);
                }
            }
            std::vector<float> y(x.size());
            backend.polar_head(x.data(), rows, bins, y.data());
            CHECK_VECTORS_CLOSE(y, expected, 100.0 * kPolar.absolute, kPolar.relative, label(backend, "polar_head"));
            std::vector<float> in_place = x;
            backend.polar_head(in_place.data(), rows, bins, in_place.data());
            CHECK(in_place == y);
            x[0] = kNan;
            backend.polar_head(x.data(), rows, bins, y.data());
            CHECK(std::isnan(y[0]) && std::isnan(y[static_cast<std::size_t>(bins)]));
        }
    });
}

// bfloat16, float16 and int8 products on every instruction set. Integer sums are exact, so
// that int8 products are compared bit for bit with loops over the same quantised numbers.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/aligned_vector.h"
#include "base/thread_pool.h"
#include "kernel_cases.h"
#include "kernels/exec.h"
#include "narrow_numbers.h"

using namespace kernel_cases;
using secousti::core::Activation;
using secousti::core::AlignedVector;
using secousti::core::Exec;
using secousti::core::int8_stride;
using secousti::core::LinearArgs;
using secousti::core::Precision;
using secousti::core::ThreadPool;

namespace {

std::size_t u(int n) { return static_cast<std::size_t>(n); }

int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(check::random()); }

AlignedVector<std::byte> pack(const Backend& backend, Precision precision, const std::vector<float>& weights,
                              int outputs, int inputs) {
    AlignedVector<std::byte> packed(backend.packed_bytes(precision, outputs, inputs));
    backend.pack_linear(precision, weights.data(), outputs, inputs, packed.data());
    return packed;
}

int panels(const Backend& backend, int outputs) { return (outputs + backend.panel - 1) / backend.panel; }

struct Int8Case {
    int rows, outputs, inputs;
    std::vector<float> x, weights, bias, scale, residual, y, x_scales;
    AlignedVector<std::int8_t> x_int8;
    AlignedVector<std::byte> packed;
    LinearArgs args;

    Int8Case(const Backend& backend, int rows_, int outputs_, int inputs_, float x_range = 3.0F)
        : rows(rows_), outputs(outputs_), inputs(inputs_) {
        x = check::uniform_vector(u(rows * inputs), -x_range, x_range);
        weights = check::uniform_vector(u(outputs * inputs));
        bias = check::uniform_vector(u(outputs));
        scale = check::uniform_vector(u(outputs));
        residual = check::uniform_vector(u(rows * outputs));
        prepare(backend);
    }
    void prepare(const Backend& backend) {
        packed = pack(backend, Precision::int8, weights, outputs, inputs);
        x_int8.assign(u(rows * int8_stride(inputs)), 77);
        x_scales.assign(u(rows), -1.0F);
        backend.quantise_rows(x.data(), rows, inputs, 1, x_int8.data(), x_scales.data());
        y.assign(u(rows * outputs), std::numeric_limits<float>::quiet_NaN());
        args = {};
        args.depth = inputs;
        args.rows = rows;
        args.outputs = outputs;
        args.precision = Precision::int8;
        args.weights = packed.data();
        args.x_int8 = x_int8.data();
        args.x_scales = x_scales.data();
        args.y = y.data();
        args.y_stride = outputs;
    }
    void run(const Backend& backend) const { backend.linear(args, 0, panels(backend, outputs)); }
    std::vector<float> expected() const {
        std::vector<Quantised> columns;
        for (int n = 0; n < outputs; ++n) columns.emplace_back(&weights[u(n * inputs)], inputs);
        std::vector<float> result;
        for (int m = 0; m < rows; ++m) {
            const Quantised row(&x[u(m * inputs)], inputs);
            for (const Quantised& column : columns) {
                std::int64_t sum = 0;
                for (int k = 0; k < inputs; ++k) sum += row.values[u(k)] * column.values[u(k)];
                result.push_back(static_cast<float>(sum) * (row.scale * column.scale));
            }
        }
        return result;
    }
    std::string describe(const Backend& backend) const {
        return label(backend,
                     "int8 " + std::to_string(rows) + " " + std::to_string(outputs) + " " + std::to_string(inputs));
    }
};

}  // namespace

TEST(bf16_and_fp16_products_are_those_of_rounded_weights_bit_for_bit) {
    for_each_backend([](const Backend& backend) {
        for (int size : kAwkwardSizes) {
            for (int which : {0, 1, 2, 3, 4, 5}) {
                const Precision precision = which < 3 ? Precision::bf16 : Precision::fp16;
                const int rows = which % 3 == 0 ? size : pick(1, 14), outputs = which % 3 == 1 ? size : pick(1, 150);
                const int depth = which % 3 == 2 ? size : pick(1, 90), taps = pick(1, 4), dilation = pick(1, 3);
                const int inputs = taps * depth;
                const auto x = check::uniform_vector(u((rows - 1 + (taps - 1) * dilation + 1) * depth));
                const auto weights = check::uniform_vector(u(outputs * inputs));
                std::vector<float> rounded;
                for (const float w : weights)
                    rounded.push_back(precision == Precision::bf16 ? rounded_to_bf16(w) : rounded_to_fp16(w));
                CHECK(rounded != weights);
                const auto bias = check::uniform_vector(u(outputs));
                const auto narrow = pack(backend, precision, weights, outputs, inputs);
                const auto fp32 = pack(backend, Precision::fp32, rounded, outputs, inputs);
                CHECK(narrow.size() * 2 == fp32.size());
                std::vector<float> y(u(rows * outputs), NAN), expected(u(rows * outputs), NAN);
                LinearArgs args;
                args.x = x.data();
                args.row_stride = depth;
                args.taps = taps;
                args.tap_stride = dilation * depth;
                args.depth = depth;
                args.rows = rows;
                args.outputs = outputs;
                args.bias = bias.data();
                args.activation = Activation::gelu;
                args.y_stride = outputs;
                args.precision = precision;
                args.weights = narrow.data();
                args.y = y.data();
                backend.linear(args, 0, panels(backend, outputs));
                args.precision = Precision::fp32;
                args.weights = fp32.data();
                args.y = expected.data();
                backend.linear(args, 0, panels(backend, outputs));
                const std::string name = precision == Precision::bf16 ? "bf16 " : "fp16 ";
                CHECK_MSG(y == expected, label(backend, name + std::to_string(rows) + " " + std::to_string(outputs) +
                                                            " " + std::to_string(taps) + " " + std::to_string(depth)));
            }
        }
    });
}

TEST(every_float16_is_kept_and_widened_exactly) {
    std::vector<float> weights;
    for (int sign : {1, -1}) {
        for (int exponent = 0; exponent < 31; ++exponent) {
            for (int fraction = 0; fraction < 1024; ++fraction) {
                const int mantissa = exponent == 0 ? fraction : 1024 + fraction;
                weights.push_back(static_cast<float>(sign * std::ldexp(mantissa, std::max(exponent, 1) - 25)));
            }
        }
    }
    const int outputs = static_cast<int>(weights.size());
    const std::vector<float> one{1.0F};
    for_each_backend([&](const Backend& backend) {
        std::vector<float> kept(weights.size(), NAN);
        // What is added is less than half a step: rounding takes it off again.
        std::vector<float> near = weights;
        for (float& w : near) w += std::copysign(std::max(std::abs(w) * 0x1p-12F, 0x1p-26F) * 0.9F, w);
        for (const std::vector<float>& given : {weights, near}) {
            const auto packed = pack(backend, Precision::fp16, given, outputs, 1);
            LinearArgs args;
            args.x = one.data();
            args.row_stride = args.tap_stride = args.depth = args.taps = args.rows = 1;
            args.outputs = args.y_stride = outputs;
            args.precision = Precision::fp16;
            args.weights = packed.data();
            args.y = kept.data();
            backend.linear(args, 0, panels(backend, outputs));
            for (std::size_t i = 0; i < given.size(); ++i) {
                CHECK_MSG(kept[i] == rounded_to_fp16(given[i]), label(backend, std::to_string(given[i])));
            }
        }
        CHECK(kept == weights);
    });
}

TEST(bf16_bits_do_not_depend_on_rows_or_panels) {
    for_each_backend([](const Backend& backend) {
        const int outputs = 2 * backend.panel + 5, inputs = 2500, rows = 13;  // beyond one depth block
        const auto x = check::uniform_vector(u(rows * inputs));
        const auto packed = pack(backend, Precision::bf16, check::uniform_vector(u(outputs * inputs)), outputs, inputs);
        LinearArgs args;
        args.x = x.data();
        args.row_stride = inputs;
        args.depth = inputs;
        args.rows = rows;
        args.outputs = outputs;
        args.precision = Precision::bf16;
        args.weights = packed.data();
        std::vector<float> whole(u(rows * outputs), NAN), parts(u(rows * outputs), NAN);
        args.y_stride = outputs;
        args.y = whole.data();
        backend.linear(args, 0, panels(backend, outputs));
        args.rows = 1;
        for (int m = 0; m < rows; ++m) {
            args.x = x.data() + m * inputs;
            args.y = parts.data() + m * outputs;
            for (int p = panels(backend, outputs) - 1; p >= 0; --p) backend.linear(args, p, p + 1);
        }
        CHECK_MSG(parts == whole, backend.name);
    });
}

TEST(int8_products_are_exact) {
    for_each_backend([](const Backend& backend) {
        for (int size : kAwkwardSizes) {
            for (const Int8Case& c : {Int8Case(backend, pick(1, 14), size, pick(1, 300)),
                                      Int8Case(backend, pick(1, 14), pick(1, 150), size),
                                      Int8Case(backend, size, pick(1, 150), pick(1, 90))}) {
                c.run(backend);
                CHECK_MSG(c.y == c.expected(), c.describe(backend));
            }
        }
        const Int8Case wide(backend, 2, 70, 2048);
        wide.run(backend);
        CHECK_MSG(wide.y == wide.expected(), wide.describe(backend));
    });
}

TEST(stored_integers_pack_to_the_same_bytes) {
    for_each_backend([](const Backend& backend) {
        for (const int size : kAwkwardSizes) {
            for (const bool wide : {false, true}) {
                const Int8Case c(backend, 1, wide ? pick(1, 150) : size, wide ? size : pick(1, 150));
                std::vector<std::int8_t> integers;
                std::vector<float> scales;
                for (int n = 0; n < c.outputs; ++n) {
                    const Quantised row(&c.weights[u(n * c.inputs)], c.inputs);
                    integers.insert(integers.end(), row.values.begin(), row.values.end());
                    scales.push_back(row.scale);
                }
                AlignedVector<std::byte> packed(c.packed.size(), std::byte{0x55});
                backend.pack_integers(integers.data(), scales.data(), c.outputs, c.inputs, packed.data());
                CHECK_MSG(packed == c.packed, c.describe(backend));
            }
        }
    });
}

TEST(int8_sums_do_not_saturate) {
    for_each_backend([](const Backend& backend) {
        for (const float sign : {-1.0F, 1.0F}) {
            Int8Case c(backend, 3, 65, 32768);
            for (std::size_t i = 0; i < c.x.size(); ++i) c.x[i] = i % 3 == 0 ? sign : 1.0F;
            for (float& w : c.weights) w = sign;
            c.prepare(backend);
            c.run(backend);
            CHECK_MSG(c.y == c.expected(), c.describe(backend));
        }
    });
}

TEST(int8_products_are_near_those_of_the_numbers_themselves) {
    for_each_backend([](const Backend& backend) {
        Int8Case c(backend, 5, 90, 512, 1.0F);
        c.run(backend);
        for (int m = 0; m < c.rows; ++m) {
            for (int n = 0; n < c.outputs; ++n) {
                double sum = 0;
                for (int k = 0; k < c.inputs; ++k)
                    sum += double{c.x[u(m * c.inputs + k)]} * double{c.weights[u(n * c.inputs + k)]};
                // Both sides off by at most half a step of 1/127: about 0.05 over 512 independent errors.
                CHECK_MSG(std::abs(double{c.y[u(m * c.outputs + n)]} - sum) < 0.4, c.describe(backend));
            }
        }
    });
}

TEST(int8_epilogue_and_padding) {
    for_each_backend([](const Backend& backend) {
        Int8Case c(backend, 7, backend.panel + 3, 67);
        c.args.bias = c.bias.data();
        c.args.activation = Activation::relu;
        c.args.scale = c.scale.data();
        c.args.residual = c.residual.data();
        c.args.residual_stride = c.outputs;
        c.run(backend);
        const std::vector<float> sums = c.expected();
        for (std::size_t i = 0; i < c.y.size(); ++i) {
            const std::size_t n = i % u(c.outputs);
            // In double precision: what a compiler fuses in this file must not matter.
            const double active = std::max(0.0, double{sums[i]} + double{c.bias[n]});
            const double wanted = active * double{c.scale[n]} + double{c.residual[i]};
            CHECK_MSG(std::abs(double{c.y[i]} - wanted) <= 1e-6 * (active + 1.0), c.describe(backend));
        }
        const int stride = int8_stride(c.inputs);
        CHECK(stride == 128);
        for (int m = 0; m < c.rows; ++m)
            for (int k = c.inputs; k < stride; ++k) CHECK(c.x_int8[u(m * stride + k)] == 0);
    });
}

TEST(int8_bits_do_not_depend_on_rows_panels_or_threads) {
    ThreadPool pool(3);
    for_each_backend([&](const Backend& backend) {
        for (int rows = 1; rows <= 13; ++rows) {
            Int8Case c(backend, rows, 2 * backend.panel + 5, 300);
            c.args.activation = Activation::gelu;
            c.run(backend);
            const std::vector<float> whole = c.y;
            std::fill(c.y.begin(), c.y.end(), NAN);
            for (int m = 0; m < rows; ++m) {
                LinearArgs one = c.args;
                one.rows = 1;
                one.x_int8 += m * int8_stride(c.inputs);
                one.x_scales += m;
                one.y += m * c.outputs;
                for (int p = panels(backend, c.outputs) - 1; p >= 0; --p) backend.linear(one, p, p + 1);
            }
            CHECK_MSG(c.y == whole, c.describe(backend));
            std::fill(c.y.begin(), c.y.end(), NAN);
            Exec{&backend, &pool}.linear(c.args);
            CHECK_MSG(c.y == whole, c.describe(backend) + " threads");
        }
    });
}

TEST(int8_products_of_two_terms_are_the_sums_of_both) {
    for_each_backend([](const Backend& backend) {
        for (const int rows : {1, 2, 3, 5, 6, 7, 13}) {
            Int8Case c(backend, rows, backend.panel + 5, 300);
            const int stride = int8_stride(c.inputs);
            std::fill_n(c.x.begin(), 300, 0.0F);
            AlignedVector<std::int8_t> terms(u(2 * rows * stride), 77);
            std::vector<float> scales(u(2 * rows), NAN);
            backend.quantise_rows(c.x.data(), rows, c.inputs, 2, terms.data(), scales.data());
            for (int m = 0; m < rows; ++m) {
                float top = 0.0F;
                for (int k = 0; k < c.inputs; ++k) top = std::max(top, std::abs(c.x[u(m * c.inputs + k)]));
                for (int k = 0; k < stride; ++k) {
                    double sum = 0.0;
                    for (const int t : {0, 1}) sum += double{scales[u(2 * m + t)]} * terms[u((2 * m + t) * stride + k)];
                    const double x = k < c.inputs ? double{c.x[u(m * c.inputs + k)]} : 0.0;
                    CHECK_MSG(std::abs(sum - x) <= double{top} / (127.0 * 254.0), c.describe(backend));
                }
            }
            // One product after the other, then one with both.
            std::vector<float> expected(c.y.size());
            LinearArgs one = c.args;
            one.rows = 1;
            for (int m = 0; m < rows; ++m) {
                one.y = c.y.data() + m * c.outputs;
                for (const int t : {0, 1}) {
                    one.x_int8 = terms.data() + (2 * m + t) * stride;
                    one.x_scales = scales.data() + 2 * m + t;
                    backend.linear(one, 0, panels(backend, c.outputs));
                    for (int n = 0; n < c.outputs; ++n) expected[u(m * c.outputs + n)] += c.y[u(m * c.outputs + n)];
                }
            }
            c.args.x_int8 = terms.data();
            c.args.x_scales = scales.data();
            c.args.terms = 2;
            c.run(backend);
            CHECK_MSG(c.y == expected, c.describe(backend));
        }
        const float bad[] = {1.0F, NAN};
        std::int8_t q[128];
        float scales[2];
        backend.quantise_rows(bad, 1, 2, 2, q, scales);
        CHECK(std::isnan(scales[0]) && std::isnan(scales[1]));
    });
}

TEST(int8_shows_nan_and_infinity_and_bears_zeros) {
    for_each_backend([](const Backend& backend) {
        for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                                -std::numeric_limits<float>::infinity()}) {
            Int8Case c(backend, 5, 35, 19);
            c.x[u(3 * 19 + 5)] = bad;
            std::fill_n(c.x.begin(), 19, 0.0F);
            std::fill_n(c.x.begin() + 19, 19, 1e-39F);
            std::fill_n(c.weights.begin() + 19, 19, 0.0F);  // an output without weights
            c.prepare(backend);
            c.run(backend);
            for (int m = 0; m < c.rows; ++m) {
                for (int n = 0; n < c.outputs; ++n) {
                    const float y = c.y[u(m * c.outputs + n)];
                    CHECK_MSG(std::isnan(y) == (m == 3), c.describe(backend));
                    if (m < 2 || (n == 1 && m != 3)) CHECK_MSG(y == 0.0F, c.describe(backend));
                }
            }
        }
    });
}

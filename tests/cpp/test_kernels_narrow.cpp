// Narrow rows and their convolutions on every instruction set.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/aligned_vector.h"
#include "base/thread_pool.h"
#include "kernel_cases.h"
#include "kernels/exec.h"
#include "narrow_numbers.h"

using namespace kernel_cases;
using namespace secousti::core;

namespace {

std::size_t u(std::ptrdiff_t n) { return static_cast<std::size_t>(n); }

int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(check::random()); }

AlignedVector<std::byte> narrowed(const Backend& backend, NarrowArgs args) {
    AlignedVector<std::byte> rows(u(args.rows * narrow_row_bytes(args.precision, args.width)), std::byte{0x55});
    args.y = rows.data();
    backend.narrow_rows(args);
    return rows;
}

/// What a narrow row says, with what fills it up.
std::vector<double> widened(Precision precision, const std::byte* row, int width) {
    std::vector<double> values;
    const int bytes = narrow_row_bytes(precision, width);
    if (precision == Precision::bf16) {
        for (int i = 0; i < bytes / 2; ++i) {
            std::uint16_t bits = 0;
            std::memcpy(&bits, row + 2 * i, sizeof bits);
            values.push_back(double{std::bit_cast<float>(std::uint32_t{bits} << 16U)});
        }
    } else {
        float scale = 0.0F;
        std::memcpy(&scale, row + bytes - 4, sizeof scale);
        for (int i = 0; i < bytes - 4; ++i)
            values.push_back(double{scale} * static_cast<double>(static_cast<std::int8_t>(row[i])));
    }
    return values;
}

struct ConvCase {
    Precision precision;
    int rows, outputs, taps, depth, dilation;
    std::vector<float> x, weights, bias, residual, y;
    AlignedVector<std::byte> window, packed;
    LinearArgs args;

    ConvCase(const Backend& backend, Precision p, int rows_, int outputs_, int taps_, int depth_, int dilation_)
        : precision(p), rows(rows_), outputs(outputs_), taps(taps_), depth(depth_), dilation(dilation_) {
        x = check::uniform_vector(u((rows + (taps - 1) * dilation) * depth));
        weights = check::uniform_vector(u(outputs * taps * depth));
        bias = check::uniform_vector(u(outputs));
        residual = check::uniform_vector(u(rows * outputs));
        y.assign(u(rows * outputs), NAN);
        prepare(backend);
    }
    void prepare(const Backend& backend) {
        window = narrowed(backend, {.x = x.data(),
                                    .rows = rows + (taps - 1) * dilation,
                                    .width = depth,
                                    .precision = precision,
                                    .y = nullptr});
        packed.resize(backend.packed_narrow_bytes(precision, outputs, taps, depth));
        backend.pack_narrow(precision, weights.data(), outputs, taps, depth, packed.data());
        args.window = window.data();
        args.row_stride = narrow_row_bytes(precision, depth);
        args.taps = taps;
        args.tap_stride = dilation * args.row_stride;
        args.depth = depth;
        args.rows = rows;
        args.outputs = outputs;
        args.precision = precision;
        args.weights = packed.data();
        args.bias = bias.data();
        args.residual = residual.data();
        args.residual_stride = outputs;
        args.y = y.data();
        args.y_stride = outputs;
    }
    int panels(const Backend& backend) const { return (outputs + backend.panel - 1) / backend.panel; }
    const std::vector<float>& run(const Backend& backend) {
        std::fill(y.begin(), y.end(), NAN);
        backend.linear(args, 0, panels(backend));
        return y;
    }
    std::string describe(const Backend& backend) const {
        return label(backend, std::to_string(static_cast<int>(precision)) + ": " + std::to_string(rows) + " " +
                                  std::to_string(outputs) + " " + std::to_string(taps) + " " + std::to_string(depth) +
                                  " " + std::to_string(dilation));
    }
    /// A convolution in double precision of what the narrow rows say and of weights rounded as each precision says.
    std::vector<double> expected() const {
        std::vector<std::vector<double>> in;
        for (int m = 0; m < rows + (taps - 1) * dilation; ++m)
            in.push_back(widened(precision, window.data() + m * args.row_stride, depth));
        std::vector<double> result(u(rows * outputs));
        for (int n = 0; n < outputs; ++n) {
            for (int m = 0; m < rows; ++m)
                result[u(m * outputs + n)] = double{bias[u(n)]} + double{residual[u(m * outputs + n)]};
            for (int t = 0; t < taps; ++t) {
                const std::vector<double> w = rounded(&weights[u((n * taps + t) * depth)]);
                for (int m = 0; m < rows; ++m)
                    for (int k = 0; k < depth; ++k)
                        result[u(m * outputs + n)] += w[u(k)] * in[u(m + t * dilation)][u(k)];
            }
        }
        return result;
    }
    /// The weights of one output at one tap, as the precision holds them.
    std::vector<double> rounded(const float* w) const {
        const Quantised quantised(w, depth);
        std::vector<double> values;
        for (int k = 0; k < depth; ++k)
            values.push_back(precision == Precision::bf16 ? double{rounded_to_bf16(w[k])}
                                                          : double{quantised.scale} * quantised.values[u(k)]);
        return values;
    }
};

constexpr Precision kNarrow[] = {Precision::bf16, Precision::int8};

}  // namespace

TEST(narrow_rows_are_those_of_the_wide_maps) {
    for_each_backend([](const Backend& backend) {
        for (const int width : kAwkwardSizes) {
            const int rows = 3;
            const auto x = check::uniform_vector(u(rows * width), -4.0F, 4.0F);
            const auto alpha = check::uniform_vector(u(width), 0.5F, 1.5F);
            const auto inverse = check::uniform_vector(u(width), 0.5F, 1.5F);
            for (const bool snake : {false, true}) {
                std::vector<float> wide(x.size());
                if (snake) {
                    backend.snake(x.data(), alpha.data(), inverse.data(), rows, width, wide.data());
                } else {
                    backend.activate(Activation::leaky_relu, 0.1F, x.data(), x.size(), wide.data());
                }
                for (const Precision precision : kNarrow) {
                    const auto narrow = narrowed(backend, {.x = x.data(),
                                                           .rows = rows,
                                                           .width = width,
                                                           .activation = Activation::leaky_relu,
                                                           .slope = 0.1F,
                                                           .alpha = snake ? alpha.data() : nullptr,
                                                           .inverse_alpha = inverse.data(),
                                                           .precision = precision});
                    const int bytes = narrow_row_bytes(precision, width);
                    CHECK(bytes % 4 == 0);
                    for (int r = 0; r < rows; ++r) {
                        const auto row = widened(precision, narrow.data() + r * bytes, width);
                        float top = 0.0F;
                        for (int i = 0; i < width; ++i) top = std::max(top, std::abs(wide[u(r * width + i)]));
                        for (int i = 0; i < static_cast<int>(row.size()); ++i) {
                            const double value = i < width ? double{wide[u(r * width + i)]} : 0.0;
                            const double step = precision == Precision::bf16 ? std::abs(value) / 256 : top / 254.0;
                            CHECK_MSG(std::abs(row[u(i)] - value) <= step * 1.0001,
                                      label(backend, std::to_string(width)));
                        }
                    }
                }
            }
        }
    });
}

TEST(narrow_convolutions_are_those_of_their_numbers) {
    for_each_backend([](const Backend& backend) {
        for (const Precision precision : kNarrow) {
            for (const int size : kAwkwardSizes) {
                for (const int which : {0, 1, 2}) {
                    ConvCase c(backend, precision, which == 0 ? size : pick(1, 60), which == 1 ? size : pick(1, 150),
                               pick(1, 5), which == 2 ? size : pick(1, 70), pick(1, 3));
                    CHECK_VECTORS_CLOSE(c.run(backend), c.expected(), 2e-7 * c.taps * c.depth + 1e-6, 1e-6,
                                        c.describe(backend));
                }
            }
            ConvCase deep(backend, precision, 50, 70, 11, 130, 2);  // beyond one block of rows and of depth
            CHECK_VECTORS_CLOSE(deep.run(backend), deep.expected(), 2e-4, 1e-6, deep.describe(backend));
        }
    });
}

TEST(narrow_bf16_convolutions_have_the_same_bits_on_every_isa) {
    const Backend& reference = backend_by_name("scalar");
    ConvCase expected(reference, Precision::bf16, 20, 70, 7, 33, 2);
    expected.run(reference);
    for_each_backend([&](const Backend& backend) {
        ConvCase c = expected;
        c.prepare(backend);
        CHECK_MSG(c.window == expected.window, backend.name);
        CHECK_MSG(c.run(backend) == expected.y, backend.name);
    });
}

TEST(narrow_int8_convolutions_have_the_same_bits_on_every_isa) {
    for (const int depth : {1, 2, 3, 33, 70}) {  // whole groups of inputs and others
        for (const int taps : {1, 7}) {
            // Sums of one tap are exact on all; taps are added by fused operations, which scalar has not.
            const Backend& reference = taps == 1 ? backend_by_name("scalar") : *available_backends().front();
            ConvCase expected(reference, Precision::int8, 20, 70, taps, depth, 2);
            expected.run(reference);
            for_each_backend([&](const Backend& backend) {
                if (taps > 1 && std::strcmp(backend.name, "scalar") == 0) return;
                ConvCase c = expected;
                c.prepare(backend);
                CHECK_MSG(c.window == expected.window, c.describe(backend));
                CHECK_MSG(c.run(backend) == expected.y, c.describe(backend));
            });
        }
    }
}

TEST(narrow_bits_do_not_depend_on_rows_panels_or_threads) {
    ThreadPool pool(3);
    for_each_backend([&](const Backend& backend) {
        for (const Precision precision : kNarrow) {
            for (const int rows : {1, 2, 5, 6, 7, 13, 50}) {
                ConvCase c(backend, precision, rows, 2 * backend.panel + 5, 5, 260, 1);
                const std::vector<float> whole = c.run(backend);
                std::fill(c.y.begin(), c.y.end(), NAN);
                for (int m = 0; m < rows; ++m) {
                    LinearArgs one = c.args;
                    one.rows = 1;
                    one.window += m * one.row_stride;
                    one.residual += m * c.outputs;
                    one.y += m * c.outputs;
                    for (int p = c.panels(backend) - 1; p >= 0; --p) backend.linear(one, p, p + 1);
                }
                CHECK_MSG(c.y == whole, c.describe(backend));
                std::fill(c.y.begin(), c.y.end(), NAN);
                Exec{&backend, &pool}.linear(c.args);
                CHECK_MSG(c.y == whole, c.describe(backend) + " threads");
            }
        }
    });
}

TEST(narrow_convolutions_show_nan_and_bear_zeros) {
    for_each_backend([](const Backend& backend) {
        for (const Precision precision : kNarrow) {
            for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
                ConvCase c(backend, precision, 9, 35, 3, 19, 1);
                c.x[u(5 * 19 + 5)] = bad;
                std::fill_n(c.x.begin(), 3 * 19, 0.0F);
                c.prepare(backend);
                c.run(backend);
                for (int m = 0; m < c.rows; ++m) {
                    for (int n = 0; n < c.outputs; ++n) {
                        const float y = c.y[u(m * c.outputs + n)];
                        CHECK_MSG(std::isfinite(y) == (m < 3 || m > 5), c.describe(backend));
                        if (m == 0) CHECK(y == c.bias[u(n)] + c.residual[u(n)]);
                    }
                }
            }
        }
    });
}

// Matrix products: every precision, rows from one to wide tiles, layer norm, epilogues, windows.
#include <cstring>
#include <string>

#include "base/error.h"
#include "check.h"
#include "device_array.h"
#include "kernels/cuda/launchers.h"
#include "naive.h"

namespace {

using namespace secousti::core;
using simt_test::Array;
using simt_test::queue;

const char* name_of(Precision precision) {
    return precision == Precision::fp32 ? "fp32" : precision == Precision::bf16 ? "bf16" : "int8";
}

Array<char> packed(Precision precision, const std::vector<float>& weights, int outputs, int depth) {
    std::vector<char> bytes(cuda::packed_bytes(precision, outputs, depth));
    cuda::pack_matrix(precision, weights.data(), outputs, depth, bytes.data());
    return Array<char>(bytes, "packed matrix");
}

struct Shape {
    int rows, outputs, depth;
};

struct Options {
    bool norm = false, bias = false, scale = false, residual = false;
    Activation activation = Activation::none;
};

std::vector<float> layer_norm(const std::vector<float>& x, const std::vector<float>& gamma,
                              const std::vector<float>& beta, int depth) {
    std::vector<float> y;
    for (std::size_t at = 0; at < x.size(); at += static_cast<std::size_t>(depth)) {
        double mean = 0.0, squares = 0.0;
        for (int k = 0; k < depth; ++k) mean += static_cast<double>(x[at + static_cast<std::size_t>(k)]) / depth;
        for (int k = 0; k < depth; ++k) {
            const double d = static_cast<double>(x[at + static_cast<std::size_t>(k)]) - mean;
            squares += d * d / depth;
        }
        for (int k = 0; k < depth; ++k) {
            const double d = static_cast<double>(x[at + static_cast<std::size_t>(k)]) - mean;
            const std::size_t i = static_cast<std::size_t>(k);
            y.push_back(static_cast<float>(d / std::sqrt(squares + 1e-5) * static_cast<double>(gamma[i]) +
                                           static_cast<double>(beta[i])));
        }
    }
    return y;
}

std::vector<float> run(Precision precision, const Shape& shape, const std::vector<float>& weights,
                       const std::vector<float>& x, const std::vector<float>& gamma, const std::vector<float>& beta,
                       const std::vector<float>& bias, const std::vector<float>& scale,
                       const std::vector<float>& residual, Activation activation) {
    const auto [rows, outputs, depth] = shape;
    const Array<char> matrix = packed(precision, weights, outputs, depth);
    const Array<float> in(x), g(gamma), b(beta), bi(bias), s(scale), res(residual),
        y(static_cast<std::size_t>(rows * outputs));
    const std::size_t scratch = cuda::operand_bytes(precision, rows, depth);
    const Array<char> operand(scratch, "operand");
    cuda::LinearArgs args;
    args.x = in.data();
    args.row_stride = depth;
    args.rows_per_slot = rows;
    if (!gamma.empty()) args.gamma = g.data(), args.beta = b.data();
    args.matrix = {precision, matrix.data(), bias.empty() ? nullptr : bi.data(), outputs, depth};
    args.epilogue = {activation, 0.1F, scale.empty() ? nullptr : s.data(), residual.empty() ? nullptr : res.data()};
    args.operand = scratch == 0 ? nullptr : operand.data();
    args.y = y.data();
    cuda::linear(queue(), args);
    return y.host();
}

void check_linear(Precision precision, const Shape& shape, const Options& options) {
    const auto [rows, outputs, depth] = shape;
    const auto count = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
    const auto maybe = [](bool wanted, std::size_t n) {
        return wanted ? check::uniform_vector(n) : std::vector<float>();
    };
    const std::vector<float> x = check::uniform_vector(count(rows, depth)),
                             weights = check::uniform_vector(count(outputs, depth)),
                             gamma = maybe(options.norm, count(depth, 1)), beta = maybe(options.norm, count(depth, 1)),
                             bias = maybe(options.bias, count(outputs, 1)),
                             scale = maybe(options.scale, count(outputs, 1)),
                             residual = maybe(options.residual, count(rows, outputs));
    const std::vector<float> actual =
        run(precision, shape, weights, x, gamma, beta, bias, scale, residual, options.activation);

    const std::vector<float> normed = options.norm ? layer_norm(x, gamma, beta, depth) : x;
    std::vector<double> in(normed.begin(), normed.end());
    if (precision == Precision::int8) {
        in.clear();
        for (int r = 0; r < rows; ++r) {
            const std::vector<double> row = simt_test::rounded_to_int8(&normed[count(r, depth)], depth);
            in.insert(in.end(), row.begin(), row.end());
        }
    }
    simt_test::Sums expected =
        simt_test::product(in, simt_test::kept_weights(precision, weights, depth), rows, outputs, depth);
    for (std::size_t i = 0; i < expected.y.size(); ++i) {
        const std::size_t n = i % static_cast<std::size_t>(outputs);
        double v = expected.y[i] + (options.bias ? static_cast<double>(bias[n]) : 0.0);
        v = simt_test::activated(options.activation, 0.1, v) * (options.scale ? static_cast<double>(scale[n]) : 1.0);
        expected.y[i] = v + (options.residual ? static_cast<double>(residual[i]) : 0.0);
    }
    const double tolerance =
        options.norm && precision == Precision::int8 ? simt_test::kInt8Normed : simt_test::tolerance(precision);
    simt_test::expect_close(__FILE__, __LINE__, actual, expected.y, expected.size, tolerance,
                            std::string(name_of(precision)) + " rows " + std::to_string(rows) + " outputs " +
                                std::to_string(outputs) + " depth " + std::to_string(depth));
}

constexpr Precision kPrecisions[] = {Precision::fp32, Precision::bf16, Precision::int8};

}  // namespace

TEST(simt_linear_awkward_shapes) {
    for (const Precision precision : kPrecisions) {
        for (const Shape& shape : {Shape{1, 1, 1}, Shape{1, 40, 64}, Shape{2, 33, 70}, Shape{3, 16, 130},
                                   Shape{5, 24, 257}, Shape{8, 48, 96}, Shape{9, 17, 63}, Shape{31, 50, 33},
                                   Shape{33, 31, 300}, Shape{2, 8, 1100}, Shape{300, 70, 65}}) {
            check_linear(precision, shape, {});
        }
    }
}

TEST(simt_linear_norm_and_epilogues) {
    for (const Precision precision : kPrecisions) {
        for (const int rows : {1, 7, 20}) {
            check_linear(precision, {rows, 40, 96}, {.norm = true});
            check_linear(precision, {rows, 21, 31}, {.norm = true, .bias = true, .activation = Activation::gelu});
            check_linear(precision, {rows, 64, 128}, {.scale = true, .residual = true});
            check_linear(precision, {rows, 36, 40},
                         {.bias = true, .scale = true, .residual = true, .activation = Activation::elu});
        }
    }
}

/// Batch-invariant: a row gives the same bits whatever stands beside it.
TEST(simt_linear_rows_do_not_depend_on_their_number) {
    constexpr int kOutputs = 40, kDepth = 200, kRows = 300;
    const std::vector<float> weights = check::uniform_vector(kOutputs * kDepth), gamma = check::uniform_vector(kDepth),
                             beta = check::uniform_vector(kDepth), x = check::uniform_vector(kRows * kDepth),
                             bias = check::uniform_vector(kOutputs);
    for (const Precision precision : kPrecisions) {
        const std::vector<float> all =
            run(precision, {kRows, kOutputs, kDepth}, weights, x, gamma, beta, bias, {}, {}, Activation::gelu);
        for (const auto& [first, count] : {std::pair{0, 1}, std::pair{7, 1}, std::pair{290, 8}, std::pair{100, 60}}) {
            const std::vector<float> some(x.begin() + first * kDepth, x.begin() + (first + count) * kDepth);
            const std::vector<float> alone =
                run(precision, {count, kOutputs, kDepth}, weights, some, gamma, beta, bias, {}, {}, Activation::gelu);
            CHECK(std::memcmp(alone.data(), &all[static_cast<std::size_t>(first * kOutputs)],
                              alone.size() * sizeof(float)) == 0);
        }
    }
}

/// Rows of several slots whose windows overlap: a convolution over a buffer.
TEST(simt_linear_windows) {
    constexpr int kSlots = 3, kRows = 5, kTaps = 3, kWidth = 7, kDilation = 2, kOutputs = 20, kLength = 12;
    constexpr int kDepth = kTaps * kWidth;
    const std::vector<float> x = check::uniform_vector(kSlots * kLength * kWidth),
                             weights = check::uniform_vector(kOutputs * kDepth);
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
        const Array<float> in(x), y(kSlots * kRows * kOutputs);
        const Array<char> matrix = packed(precision, weights, kOutputs, kDepth),
                          operand(cuda::operand_bytes(precision, kSlots * kRows, kDepth));
        cuda::LinearArgs args;
        args.x = in.data();
        args.slot_stride = kLength * kWidth;
        args.row_stride = kWidth;
        args.tap_stride = kDilation * kWidth;
        args.taps = kTaps;
        args.slots = kSlots;
        args.rows_per_slot = kRows;
        args.matrix = {precision, matrix.data(), nullptr, kOutputs, kDepth};
        args.operand = operand.data();
        args.y = y.data();
        cuda::linear(queue(), args);
        std::vector<double> windows;
        for (int slot = 0; slot < kSlots; ++slot) {
            for (int r = 0; r < kRows; ++r) {
                for (int tap = 0; tap < kTaps; ++tap) {
                    for (int k = 0; k < kWidth; ++k) {
                        const int at = (slot * kLength + r + tap * kDilation) * kWidth + k;
                        windows.push_back(static_cast<double>(x[static_cast<std::size_t>(at)]));
                    }
                }
            }
        }
        const simt_test::Sums expected = simt_test::product(
            windows, simt_test::kept_weights(precision, weights, kDepth), kSlots * kRows, kOutputs, kDepth);
        simt_test::expect_close(__FILE__, __LINE__, y.host(), expected.y, expected.size,
                                simt_test::tolerance(precision), "windows");
    }
}

TEST(simt_linear_carries_nan) {
    std::vector<float> x(64, 0.5F);
    x[5] = std::nanf("");
    for (const Precision precision : kPrecisions) {
        for (const float v :
             run(precision, {1, 8, 64}, std::vector<float>(8 * 64, 0.25F), x, {}, {}, {}, {}, {}, Activation::gelu)) {
            CHECK(v != v);
        }
    }
}

TEST(simt_linear_refuses_wrong_shapes) {
    cuda::LinearArgs args;
    args.rows_per_slot = 1;
    CHECK_THROWS(cuda::linear(queue(), args), Error, "no matrix");
}

// The windowed matrix product on every instruction set.
#include <cmath>
#include <limits>

#include "base/aligned_vector.h"
#include "kernel_cases.h"
#include "kernels/exec.h"

using namespace kernel_cases;
using secousti::core::Activation;
using secousti::core::AlignedVector;
using secousti::core::Exec;
using secousti::core::LinearArgs;
using secousti::core::Precision;
using secousti::core::ThreadPool;

namespace {

double act(Activation activation, double slope, double x) {
    switch (activation) {
        case Activation::none:
            return x;
        case Activation::elu:
            return x > 0 ? x : std::expm1(x);
        case Activation::gelu:
            return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
        case Activation::relu:
            return x < 0 ? 0.0 : x;
        case Activation::leaky_relu:
            return x > 0 ? x : slope * x;
        case Activation::tanh:
            return std::tanh(x);
    }
    return x;
}

/// A random product: its arguments and the storage they point to.
struct Case {
    int rows, outputs, taps, depth, dilation, stride;
    std::vector<float> x, weights, bias, scale, residual, y;
    AlignedVector<float> packed;
    LinearArgs args;

    Case(const Backend& backend, int rows_, int outputs_, int taps_, int depth_, int dilation_, int stride_)
        : rows(rows_), outputs(outputs_), taps(taps_), depth(depth_), dilation(dilation_), stride(stride_) {
        const auto u = [](int n) { return static_cast<std::size_t>(n); };
        x = check::uniform_vector(u(((rows - 1) * stride + (taps - 1) * dilation + 1) * depth));
        weights = check::uniform_vector(u(outputs * taps * depth));
        bias = check::uniform_vector(u(outputs));
        scale = check::uniform_vector(u(outputs));
        residual = check::uniform_vector(u(rows * outputs));
        y.assign(u(rows * outputs), std::numeric_limits<float>::quiet_NaN());
        packed.resize(u((outputs + backend.panel - 1) / backend.panel * backend.panel * taps * depth));
        backend.pack_linear(Precision::fp32, weights.data(), outputs, taps * depth, packed.data());
        args.x = x.data();
        args.row_stride = stride * depth;
        args.taps = taps;
        args.tap_stride = dilation * depth;
        args.depth = depth;
        args.rows = rows;
        args.outputs = outputs;
        args.weights = packed.data();
        args.y = y.data();
        args.y_stride = outputs;
    }
    int panels(const Backend& backend) const { return (outputs + backend.panel - 1) / backend.panel; }
    void run(const Backend& backend) const { backend.linear(args, 0, panels(backend)); }

    std::vector<double> expected() const {
        std::vector<double> result;
        for (int m = 0; m < rows; ++m) {
            for (int n = 0; n < outputs; ++n) {
                double sum = 0;
                for (int t = 0; t < taps; ++t)
                    for (int k = 0; k < depth; ++k)
                        sum += double{x[static_cast<std::size_t>((m * stride + t * dilation) * depth + k)]} *
                               double{weights[static_cast<std::size_t>((n * taps + t) * depth + k)]};
                const auto column = static_cast<std::size_t>(n);
                if (args.bias) sum += double{bias[column]};
                double value = act(args.activation, double{args.slope}, sum);
                if (args.scale) value *= double{scale[column]};
                if (args.residual) value += double{residual[static_cast<std::size_t>(m * outputs + n)]};
                result.push_back(value);
            }
        }
        return result;
    }
    double tolerance() const { return kLinear.absolute * (taps * depth + 8); }
    std::string describe(const Backend& backend) const {
        std::string text = "linear";
        for (int v : {rows, outputs, taps, depth, dilation, stride}) text += " " + std::to_string(v);
        return label(backend, text);
    }
};

int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(check::random()); }

}  // namespace

TEST(linear_matches_double_loops_at_awkward_sizes) {
    for_each_backend([](const Backend& backend) {
        for (int size : kAwkwardSizes) {
            Case by_outputs(backend, pick(1, 14), size, pick(1, 3), pick(1, 70), pick(1, 3), pick(1, 2));
            by_outputs.run(backend);
            CHECK_VECTORS_CLOSE(by_outputs.y, by_outputs.expected(), by_outputs.tolerance(), kLinear.relative,
                                by_outputs.describe(backend));
            Case by_depth(backend, pick(1, 14), pick(1, 150), pick(1, 16), size, pick(1, 5), 1);
            by_depth.run(backend);
            CHECK_VECTORS_CLOSE(by_depth.y, by_depth.expected(), by_depth.tolerance(), kLinear.relative,
                                by_depth.describe(backend));
            Case by_rows(backend, size, pick(1, 150), pick(1, 3), pick(1, 40), 1, 1);
            by_rows.run(backend);
            CHECK_VECTORS_CLOSE(by_rows.y, by_rows.expected(), by_rows.tolerance(), kLinear.relative,
                                by_rows.describe(backend));
        }
    });
}

TEST(linear_crosses_depth_blocks) {
    for_each_backend([](const Backend& backend) {
        Case adjacent(backend, 9, 70, 7, 700, 1, 1);
        adjacent.run(backend);
        CHECK_VECTORS_CLOSE(adjacent.y, adjacent.expected(), adjacent.tolerance(), kLinear.relative,
                            adjacent.describe(backend));
        Case dilated(backend, 9, 70, 7, 700, 3, 1);
        dilated.run(backend);
        CHECK_VECTORS_CLOSE(dilated.y, dilated.expected(), dilated.tolerance(), kLinear.relative,
                            dilated.describe(backend));
    });
}

TEST(linear_epilogue) {
    for_each_backend([](const Backend& backend) {
        for (Activation activation : {Activation::none, Activation::elu, Activation::gelu, Activation::relu,
                                      Activation::leaky_relu, Activation::tanh}) {
            for (int parts = 0; parts < 8; ++parts) {
                Case c(backend, pick(1, 9), pick(1, 140), 1, pick(1, 20), 1, 1);
                c.args.activation = activation;
                c.args.slope = 0.1F;
                if (parts & 1) c.args.bias = c.bias.data();
                if (parts & 2) c.args.scale = c.scale.data();
                if (parts & 4) c.args.residual = c.residual.data();
                c.args.residual_stride = c.outputs;
                const std::vector<double> expected = c.expected();
                c.run(backend);
                CHECK_VECTORS_CLOSE(
                    c.y, expected, c.tolerance(), kLinear.relative,
                    c.describe(backend) + " activation " + std::to_string(static_cast<int>(activation)));
                if ((parts & 4) == 0) continue;
                const std::vector<float> apart = c.y;
                c.args.y = c.residual.data();  // y may alias residual
                c.run(backend);
                CHECK(c.residual == apart);
            }
        }
    });
}

TEST(linear_bits_do_not_depend_on_rows_or_panels) {
    for_each_backend([](const Backend& backend) {
        for (int dilation : {1, 2}) {
            for (int rows = 1; rows <= 13; ++rows) {
                Case c(backend, rows, 2 * backend.panel + 5, 3, rows % 2 ? 40 : 900, dilation, 1);
                c.args.bias = c.bias.data();
                c.args.activation = Activation::gelu;
                c.run(backend);
                const std::vector<float> whole = c.y;
                std::fill(c.y.begin(), c.y.end(), 0.0F);
                for (int panel = c.panels(backend) - 1; panel >= 0; --panel) backend.linear(c.args, panel, panel + 1);
                CHECK_MSG(c.y == whole, c.describe(backend) + ", panel by panel");
                for (int m = 0; m < rows; ++m) {
                    std::vector<float> alone(static_cast<std::size_t>(c.outputs), 0.0F);
                    LinearArgs one = c.args;
                    one.x += m * one.row_stride;
                    one.rows = 1;
                    one.y = alone.data();
                    backend.linear(one, 0, c.panels(backend));
                    CHECK_MSG(std::equal(alone.begin(), alone.end(), whole.begin() + m * c.outputs),
                              c.describe(backend) + ", row " + std::to_string(m) + " alone");
                }
            }
        }
    });
}

TEST(linear_writes_its_outputs_only) {
    for_each_backend([](const Backend& backend) {
        for (int outputs : {1, 18, 63, 80}) {
            Case c(backend, 8, outputs, 1, 24, 1, 1);
            const int stride = outputs + 7;
            std::vector<float> wide(static_cast<std::size_t>(c.rows * stride), 42.0F);
            c.args.y = wide.data();
            c.args.y_stride = stride;
            c.run(backend);
            for (int m = 0; m < c.rows; ++m)
                for (int n = outputs; n < stride; ++n) CHECK(wide[static_cast<std::size_t>(m * stride + n)] == 42.0F);
        }
    });
}

TEST(linear_shows_nan_and_infinity) {
    for_each_backend([](const Backend& backend) {
        for (Activation activation : {Activation::none, Activation::elu, Activation::gelu, Activation::relu,
                                      Activation::leaky_relu, Activation::tanh}) {
            Case c(backend, 7, 35, 1, 19, 1, 1);
            c.args.activation = activation;
            c.x[static_cast<std::size_t>(3 * 19 + 5)] = std::numeric_limits<float>::quiet_NaN();
            c.run(backend);
            for (int m = 0; m < c.rows; ++m)
                for (int n = 0; n < c.outputs; ++n)
                    CHECK_MSG(std::isnan(c.y[static_cast<std::size_t>(m * c.outputs + n)]) == (m == 3),
                              c.describe(backend) + " activation " + std::to_string(static_cast<int>(activation)));
        }
        Case c(backend, 2, 5, 1, 3, 1, 1);
        c.x[4] = std::numeric_limits<float>::infinity();
        c.run(backend);
        for (std::size_t n = 5; n < 10; ++n) CHECK(std::isinf(c.y[n]));
    });
}

TEST(exec_splits_panels_with_the_same_bits) {
    for (int threads : {1, 2, 3, 5}) {
        ThreadPool pool(threads);
        CHECK(pool.threads() == threads);
        for_each_backend([&](const Backend& backend) {
            for (int outputs : {1, 65, 700}) {
                Case c(backend, 5, outputs, 2, 130, 1, 1);
                c.run(backend);
                const std::vector<float> whole = c.y;
                std::fill(c.y.begin(), c.y.end(), 0.0F);
                Exec{&backend, &pool}.linear(c.args);
                CHECK(c.y == whole);
                std::fill(c.y.begin(), c.y.end(), 0.0F);
                Exec{&backend, nullptr}.linear(c.args);
                CHECK(c.y == whole);
            }
        });
    }
}

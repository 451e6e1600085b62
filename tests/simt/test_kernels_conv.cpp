// Streaming convolutions over slots against the padded convolution of whole streams, in double precision.
#include <cstring>
#include <string>

#include "base/error.h"
#include "check.h"
#include "device_array.h"
#include "kernels/cuda/launchers.h"
#include "layers/conv_matrix.h"
#include "naive.h"

namespace {

using namespace secousti::core;
using simt_test::Array;
using simt_test::queue;
using Rows = std::vector<std::vector<float>>;  // of each slot

struct Shape {
    int slots, inputs, outputs, kernel, stride, dilation, rows_per_token;
    Precision precision;
    Activation pre, activation;
    int history() const { return (kernel - 1) * dilation + 1 - stride; }
};

std::size_t size(int a, int b, int c = 1) {
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c);
}

/// A layer with the state of its slots, and all rows that each stream has been given.
class Layer {
  public:
    Layer(const Shape& shape, int max_tokens, std::vector<std::uint64_t> positions)
        : shape_(shape),
          weight_(check::uniform_vector(size(shape.outputs, shape.inputs, shape.kernel))),
          bias_(check::uniform_vector(size(shape.outputs, 1))),
          position_(positions, "position"),
          start_(positions, "start"),
          active_(std::vector<std::uint8_t>(positions.size(), 1), "active"),
          valid_(positions.size(), "valid"),
          ring_rows_(
              cuda::conv_ring_rows(shape.kernel, shape.stride, shape.dilation, max_tokens * shape.rows_per_token)),
          ring_(size(shape.slots, ring_rows_, shape.inputs), "ring"),
          given_(positions.size()) {
        const int depth = shape.kernel * shape.inputs;
        const std::vector<float> matrix = conv_matrix(weight_, shape.outputs, shape.inputs, shape.kernel);
        std::vector<char> packed(cuda::packed_bytes(shape.precision, shape.outputs, depth));
        cuda::pack_matrix(shape.precision, matrix.data(), shape.outputs, depth, packed.data());
        matrix_ = std::make_unique<Array<char>>(packed, "matrix");
        device_bias_ = std::make_unique<Array<float>>(bias_, "bias");
        kept_ = simt_test::kept_weights(shape.precision, matrix, depth);
    }

    cuda::Clock clock() const { return {position_.data(), start_.data(), active_.data(), shape_.slots}; }
    int rows_in(int tokens) const { return tokens * shape_.rows_per_token; }
    int rows_out(int tokens) const { return rows_in(tokens) / shape_.stride; }

    /// x [slots, rows_in, inputs]; residual [slots, rows_out, outputs]. valid: rows of each slot that exist.
    std::vector<float> step(const std::vector<float>& x, int tokens, const std::vector<std::uint8_t>& active,
                            const std::vector<float>& residual, const std::vector<std::int32_t>& valid = {}) {
        const Shape& s = shape_;
        queue().copy_to_device(active_.data(), active.data(), active.size());
        if (!valid.empty()) queue().copy_to_device(valid_.data(), valid.data(), valid.size() * sizeof(valid[0]));
        const int rows = s.slots * rows_out(tokens), depth = s.kernel * s.inputs;
        const Array<float> in(x, "x"), add(residual, "residual"), y(size(rows, s.outputs), "y");
        const Array<char> operand(cuda::operand_bytes(s.precision, rows, depth), "operand");
        cuda::ConvArgs args;
        args.clock = clock();
        args.tokens = tokens;
        args.rows_per_token = s.rows_per_token;
        args.x = in.data();
        args.pre = s.pre;
        args.ring = ring_.data();
        args.ring_rows = ring_rows_;
        args.inputs = s.inputs;
        args.kernel = s.kernel;
        args.stride = s.stride;
        args.dilation = s.dilation;
        if (!valid.empty()) args.valid = valid_.data();
        args.matrix = {s.precision, matrix_->data(), device_bias_->data(), s.outputs, depth};
        args.epilogue.activation = s.activation;
        args.epilogue.residual = residual.empty() ? nullptr : add.data();
        args.operand = operand.data();
        args.y = y.data();
        cuda::conv(queue(), args);
        cuda::advance(queue(), clock(), tokens);
        const std::size_t step_values = size(rows_in(tokens), s.inputs);
        for (std::size_t slot = 0; slot < given_.size(); ++slot) {
            if (active[slot] == 0) continue;
            const std::size_t real = valid.empty() ? step_values : size(valid[slot], s.inputs);
            for (std::size_t i = 0; i < step_values; ++i) {
                const float v = x[slot * step_values + i];
                const double a = simt_test::activated(s.pre, 0.0, static_cast<double>(v));
                given_[slot].push_back(i < real ? a : 0.0);
            }
        }
        return y.host();
    }

    void reset(int slot) {
        std::vector<std::uint8_t> mask(given_.size());
        mask[static_cast<std::size_t>(slot)] = 1;
        const Array<std::uint8_t> on_device(mask);
        cuda::seek(queue(), clock(), on_device.data(), nullptr);
        given_[static_cast<std::size_t>(slot)].clear();
    }

    /// What the last step should have given slot `slot`.
    void expect(const std::string& what, int slot, int tokens, const std::vector<float>& y,
                const std::vector<float>& residual) const {
        const Shape& s = shape_;
        const int depth = s.kernel * s.inputs, rows = rows_out(tokens);
        const auto& given = given_[static_cast<std::size_t>(slot)];
        const int total = static_cast<int>(given.size()) / s.inputs / s.stride;
        std::vector<double> windows;
        for (int o = total - rows; o < total; ++o) {
            for (int tap = 0; tap < s.kernel; ++tap) {
                const int t = o * s.stride - s.history() + tap * s.dilation;
                for (int i = 0; i < s.inputs; ++i)
                    windows.push_back(t < 0 ? 0.0 : given[size(t, s.inputs) + static_cast<std::size_t>(i)]);
            }
        }
        simt_test::Sums sums = simt_test::product(windows, kept_, rows, s.outputs, depth);
        std::vector<float> actual;
        for (std::size_t i = 0; i < sums.y.size(); ++i) {
            const std::size_t at = static_cast<std::size_t>(slot) * sums.y.size() + i;
            const double v = sums.y[i] + static_cast<double>(bias_[i % static_cast<std::size_t>(s.outputs)]);
            sums.y[i] = simt_test::activated(s.activation, 0.0, v) +
                        (residual.empty() ? 0.0 : static_cast<double>(residual[at]));
            actual.push_back(y[at]);
        }
        simt_test::expect_close(__FILE__, __LINE__, actual, sums.y, sums.size, simt_test::tolerance(s.precision),
                                what + " slot " + std::to_string(slot));
    }

  private:
    Shape shape_;
    std::vector<float> weight_, bias_;
    std::vector<double> kept_;
    Array<std::uint64_t> position_, start_;
    Array<std::uint8_t> active_;
    Array<std::int32_t> valid_;
    int ring_rows_;
    Array<float> ring_;
    std::unique_ptr<Array<char>> matrix_;
    std::unique_ptr<Array<float>> device_bias_;
    std::vector<std::vector<double>> given_;
};

void run_streams(const Shape& shape, const std::vector<int>& steps) {
    std::vector<std::uint64_t> positions;
    for (int slot = 0; slot < shape.slots; ++slot) positions.push_back(static_cast<std::uint64_t>(slot) * 1000003ULL);
    Layer layer(shape, *std::max_element(steps.begin(), steps.end()), positions);
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const int tokens = steps[i];
        std::vector<std::uint8_t> active(static_cast<std::size_t>(shape.slots), 1);
        for (std::size_t slot = 1; slot < active.size(); ++slot) active[slot] = check::uniform() > -0.5F ? 1 : 0;
        if (i == 2) layer.reset(shape.slots - 1);
        const std::vector<float> x = check::uniform_vector(size(shape.slots, layer.rows_in(tokens), shape.inputs));
        const std::vector<float> residual =
            i % 2 == 0 ? std::vector<float>()
                       : check::uniform_vector(size(shape.slots, layer.rows_out(tokens), shape.outputs));
        const std::vector<float> y = layer.step(x, tokens, active, residual);
        for (int slot = 0; slot < shape.slots; ++slot) {
            if (active[static_cast<std::size_t>(slot)] != 0)
                layer.expect("step " + std::to_string(i), slot, tokens, y, residual);
        }
    }
}

}  // namespace

TEST(simt_conv_steps) {
    constexpr Activation kNone = Activation::none, kElu = Activation::elu;
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
        run_streams({3, 5, 9, 7, 1, 1, 1, precision, kNone, kNone}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
        run_streams({2, 6, 33, 3, 1, 3, 2, precision, kElu, kNone}, {1, 2, 1, 3, 1, 2});
        run_streams({2, 8, 16, 4, 2, 1, 4, precision, kElu, kElu}, {1, 3, 1, 1, 2});
        run_streams({1, 3, 7, 2, 1, 1, 1, precision, kElu, kNone}, {1, 5, 9, 1});
        run_streams({2, 4, 12, 1, 1, 1, 2, precision, kElu, kNone}, {1, 2, 1, 4});
        run_streams({20, 4, 40, 3, 1, 1, 2, precision, kElu, kNone}, {1, 2, 1});
        run_streams({1, 2, 6, 4, 4, 1, 8, precision, kNone, kNone}, {1, 1, 2});
    }
}

/// The end of a stream: rows that do not exist count as zeros.
TEST(simt_conv_ends_with_zeros) {
    const Shape shape{3, 4, 10, 4, 2, 1, 4, Precision::fp32, Activation::elu, Activation::none};
    Layer layer(shape, 2, {0, 0, 7});
    for (const std::vector<std::int32_t>& valid :
         {std::vector<std::int32_t>{8, 8, 8}, std::vector<std::int32_t>{1, 7, 4}}) {
        const std::vector<float> x = check::uniform_vector(size(3, 8, 4));
        const std::vector<float> y = layer.step(x, 2, {1, 1, 1}, {}, valid);
        for (int slot = 0; slot < 3; ++slot) layer.expect("valid rows", slot, 2, y, {});
    }
}

TEST(simt_conv_is_batch_invariant) {
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
        const Shape whole{4, 6, 20, 3, 1, 2, 1, precision, Activation::elu, Activation::none};
        Shape one = whole;
        one.slots = 1;
        const std::mt19937 generator = check::random();
        Layer together(whole, 12, {0, 3, 9, 1});
        check::random() = generator;  // the same weights again
        Layer alone(one, 1, {3});
        const std::vector<float> x = check::uniform_vector(size(4, 12, 6));
        const std::vector<float> all = together.step(x, 12, {1, 1, 1, 1}, {});
        for (std::size_t t = 0; t < 12; ++t) {
            const auto row = x.begin() + static_cast<std::ptrdiff_t>((12 + t) * 6);
            const std::vector<float> y = alone.step({row, row + 6}, 1, {1}, {});
            CHECK(std::memcmp(y.data(), &all[(12 + t) * y.size()], y.size() * sizeof(float)) == 0);
        }
    }
}

/// Two taps whose outputs are the phases, as ConvTranspose1d without its last `stride` outputs.
TEST(simt_transposed_matrix) {
    constexpr int kInputs = 3, kOutputs = 4, kStride = 3, kLength = 5;
    const std::vector<float> weight = check::uniform_vector(kInputs * kOutputs * 2 * kStride),
                             x = check::uniform_vector(kLength * kInputs);
    const std::vector<float> matrix = transposed_matrix(weight, kInputs, kOutputs, kStride);
    std::vector<double> expected((kLength + 1) * kStride * kOutputs), actual;
    for (int t = 0; t < kLength; ++t) {
        for (int i = 0; i < kInputs; ++i) {
            for (int o = 0; o < kOutputs; ++o) {
                for (int k = 0; k < 2 * kStride; ++k) {
                    expected[size(t * kStride + k, kOutputs) + static_cast<std::size_t>(o)] +=
                        static_cast<double>(x[size(t, kInputs) + static_cast<std::size_t>(i)]) *
                        static_cast<double>(weight[size(i, kOutputs, 2 * kStride) + size(o, 2 * kStride) +
                                                   static_cast<std::size_t>(k)]);
                }
            }
        }
    }
    for (int t = 0; t < kLength; ++t) {
        for (int n = 0; n < kStride * kOutputs; ++n) {
            double sum = 0.0;
            for (int k = 0; k < 2 * kInputs; ++k) {
                const int from = t - 1 + k / kInputs;
                if (from < 0) continue;
                sum += static_cast<double>(matrix[size(n, 2 * kInputs) + static_cast<std::size_t>(k)]) *
                       static_cast<double>(x[size(from, kInputs) + static_cast<std::size_t>(k % kInputs)]);
            }
            actual.push_back(sum);
        }
    }
    expected.resize(actual.size());
    CHECK_VECTORS_CLOSE(actual, expected, 1e-12, 0.0, "transposed");
}

TEST(simt_conv_refuses_wrong_shapes) {
    const Shape shape{1, 2, 3, 4, 2, 1, 3, Precision::fp32, Activation::none, Activation::none};
    Layer layer(shape, 1, {0});
    CHECK_THROWS(layer.step(check::uniform_vector(6), 1, {1}, {}), Error, "whole number of strides");
    const Shape other{1, 2, 3, 4, 2, 1, 2, Precision::fp32, Activation::none, Activation::none};
    Layer short_ring(other, 1, {0});
    CHECK_THROWS(short_ring.step(check::uniform_vector(16), 4, {1}, {}), Error, "ring is too short");
}

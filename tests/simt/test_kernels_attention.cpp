// Attention steps of many streams against a naive attention over the whole history, in double precision.
#include <cstring>
#include <string>

#include "check.h"
#include "device_array.h"
#include "kernels/cuda/launchers.h"
#include "naive.h"

namespace {

using namespace secousti::core;
using simt_test::Array;
using simt_test::queue;

struct Shape {
    int slots, heads, head_dim, context, max_tokens;
    Precision ring;
    int model() const { return heads * head_dim; }
    int half() const { return head_dim / 2; }
    int ring_rows() const { return context + max_tokens - 1; }
};

std::size_t count(int a, int b, int c = 1) {
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c);
}

std::vector<std::uint64_t> frequencies(int half) {
    std::vector<std::uint64_t> turns;
    for (int i = 0; i < half; ++i) {
        const double radians = std::pow(10000.0, -static_cast<double>(i) / half);
        turns.push_back(static_cast<std::uint64_t>(std::ldexp(radians / (2.0 * M_PI), 64)));
    }
    return turns;
}

/// A layer's state on the device and what went into it.
class Layer {
  public:
    Layer(const Shape& shape, const std::vector<std::uint64_t>& positions)
        : shape_(shape),
          position_(positions, "position"),
          start_(positions, "start"),
          active_(std::vector<std::uint8_t>(positions.size(), 1), "active"),
          turns_(frequencies(shape.half()), "turns"),
          keys_(ring_rows() * count(shape.head_dim, 1) * bytes_of(shape.ring), "keys"),
          values_(ring_rows() * count(shape.head_dim, 1) * bytes_of(shape.ring), "values"),
          key_scales_(ring_rows(), "key scales"),
          value_scales_(ring_rows(), "value scales"),
          history_(positions.size()),
          first_(positions) {}

    /// One step over qkv [slots, tokens, 3*model]; returns y.
    std::vector<float> step(const std::vector<float>& qkv, int tokens, const std::vector<std::uint8_t>& active) {
        const Shape& s = shape_;
        queue().copy_to_device(active_.data(), active.data(), active.size());
        const Array<float> in(qkv, "qkv"), cos(count(s.slots, tokens, s.half()), "cos"),
            sin(count(s.slots, tokens, s.half()), "sin"), y(count(s.slots, tokens, s.model()), "y");
        const cuda::Clock clock{position_.data(), start_.data(), active_.data(), s.slots};
        cuda::rope_angles(queue(), clock, turns_.data(), tokens, s.half(), cos.data(), sin.data());
        cuda::AttentionArgs args;
        args.clock = clock;
        args.tokens = tokens;
        args.heads = s.heads;
        args.head_dim = s.head_dim;
        args.context = s.context;
        args.ring_rows = s.ring_rows();
        args.ring = s.ring;
        args.keys = keys_.data();
        args.values = values_.data();
        args.key_scales = key_scales_.data();
        args.value_scales = value_scales_.data();
        args.qkv = in.data();
        args.cos = cos.data();
        args.sin = sin.data();
        args.y = y.data();
        cuda::attention(queue(), args);
        cuda::advance(queue(), clock, tokens);
        const std::size_t width = count(3, s.model());
        for (int slot = 0; slot < s.slots; ++slot) {
            if (active[static_cast<std::size_t>(slot)] == 0) continue;
            for (int t = 0; t < tokens; ++t) {
                const auto begin = qkv.begin() + static_cast<std::ptrdiff_t>(
                                                     (count(slot, tokens) + static_cast<std::size_t>(t)) * width);
                history_[static_cast<std::size_t>(slot)].emplace_back(begin,
                                                                      begin + static_cast<std::ptrdiff_t>(width));
            }
        }
        return y.host();
    }

    /// Attention of the last `tokens` rows of a slot.
    std::vector<double> expected(int slot, int tokens) const {
        const Shape& s = shape_;
        const auto& rows = history_[static_cast<std::size_t>(slot)];
        std::vector<double> y;
        for (int r = static_cast<int>(rows.size()) - tokens; r < static_cast<int>(rows.size()); ++r) {
            for (int h = 0; h < s.heads; ++h) {
                const std::vector<double> q = rotated(slot, r, h, 0);
                std::vector<double> weights, mix(static_cast<std::size_t>(s.head_dim));
                double total = 0.0;
                for (int p = std::max(0, r - s.context + 1); p <= r; ++p) {
                    const std::vector<double> k = kept(rotated(slot, p, h, 1)), v = kept(value(slot, p, h));
                    double score = 0.0;
                    for (std::size_t i = 0; i < k.size(); ++i) score += q[i] * k[i];
                    const double weight = std::exp(score / std::sqrt(static_cast<double>(s.head_dim)));
                    total += weight;
                    for (std::size_t i = 0; i < mix.size(); ++i) mix[i] += weight * v[i];
                }
                for (const double m : mix) y.push_back(m / total);
            }
        }
        return y;
    }

  private:
    std::size_t ring_rows() const { return count(shape_.slots, shape_.heads, shape_.ring_rows()); }
    float element(int slot, int r, int head, int part, int i) const {
        return history_[static_cast<std::size_t>(slot)][static_cast<std::size_t>(r)]
                       [static_cast<std::size_t>((part * shape_.heads + head) * shape_.head_dim + i)];
    }
    /// As the ring keeps a row.
    std::vector<double> kept(const std::vector<double>& row) const {
        const std::vector<float> x(row.begin(), row.end());
        if (shape_.ring == Precision::int8) return simt_test::rounded_to_int8(x.data(), shape_.head_dim);
        std::vector<double> y;
        for (float v : x)
            y.push_back(static_cast<double>(shape_.ring == Precision::bf16 ? simt_test::rounded_to_bf16(v) : v));
        return y;
    }
    std::vector<double> value(int slot, int r, int head) const {
        std::vector<double> y;
        for (int i = 0; i < shape_.head_dim; ++i) y.push_back(static_cast<double>(element(slot, r, head, 2, i)));
        return y;
    }
    /// part 0: q, 1: k
    std::vector<double> rotated(int slot, int r, int head, int part) const {
        std::vector<double> y;
        for (int i = 0; i < shape_.half(); ++i) {
            const auto position =
                static_cast<long double>(first_[static_cast<std::size_t>(slot)] + static_cast<std::uint64_t>(r));
            const long double angle = position * std::pow(10000.0L, -static_cast<long double>(i) / shape_.half());
            const double c = static_cast<double>(std::cos(angle)), s = static_cast<double>(std::sin(angle));
            const double a = static_cast<double>(element(slot, r, head, part, 2 * i)),
                         b = static_cast<double>(element(slot, r, head, part, 2 * i + 1));
            y.push_back(a * c - b * s);
            y.push_back(a * s + b * c);
        }
        return y;
    }

    Shape shape_;
    Array<std::uint64_t> position_, start_;
    Array<std::uint8_t> active_;
    Array<std::uint64_t> turns_;
    Array<char> keys_, values_;
    Array<float> key_scales_, value_scales_;
    std::vector<std::vector<std::vector<float>>> history_;
    std::vector<std::uint64_t> first_;
};

/// A key that falls on the other side of a tie between two bfloat16 moves a score by 2^-9 of its element, one between
/// two integers by 1/127 of the row's largest.
double tolerance(Precision ring) { return ring == Precision::fp32 ? 5e-6 : ring == Precision::bf16 ? 3e-3 : 1e-2; }

void run_stream(const Shape& shape, const std::vector<std::uint64_t>& positions, const std::vector<int>& steps) {
    Layer layer(shape, positions);
    for (const int tokens : steps) {
        std::vector<std::uint8_t> active(static_cast<std::size_t>(shape.slots), 1);
        for (std::size_t slot = 1; slot < active.size(); ++slot) active[slot] = check::uniform() > -0.6F ? 1 : 0;
        const std::vector<float> y = layer.step(
            check::uniform_vector(count(shape.slots, tokens, 3 * shape.model()), -2.0F, 2.0F), tokens, active);
        const std::size_t per_slot = count(tokens, shape.model());
        for (int slot = 0; slot < shape.slots; ++slot) {
            const auto begin = y.begin() + static_cast<std::ptrdiff_t>(count(slot, static_cast<int>(per_slot)));
            const std::vector<float> actual(begin, begin + static_cast<std::ptrdiff_t>(per_slot));
            const bool on = active[static_cast<std::size_t>(slot)] != 0;
            const std::vector<double> expected = on ? layer.expected(slot, tokens) : std::vector<double>(per_slot);
            check::vectors_close(__FILE__, __LINE__, actual, expected, tolerance(shape.ring), 0.0,
                                 "slot " + std::to_string(slot));
        }
    }
}

}  // namespace

TEST(simt_attention_one_row_a_step) {
    for (const Precision ring : {Precision::fp32, Precision::bf16, Precision::int8}) {
        run_stream({3, 2, 16, 5, 1, ring}, {0, 7, 1000003}, std::vector<int>(13, 1));
        run_stream({1, 1, 64, 40, 1, ring}, {0}, std::vector<int>(90, 1));
        run_stream({2, 3, 32, 1, 1, ring}, {0, 5}, std::vector<int>(3, 1));
        run_stream({1, 2, 128, 9, 1, ring}, {3}, std::vector<int>(11, 1));
    }
}

TEST(simt_attention_several_rows_a_step) {
    for (const Precision ring : {Precision::fp32, Precision::bf16, Precision::int8}) {
        run_stream({2, 2, 16, 7, 6, ring}, {0, 11}, {3, 6, 1, 5, 2, 6, 6, 1});
        run_stream({1, 1, 64, 250, 70, ring}, {1}, {70, 70, 70, 70, 3});
    }
}

/// Angles stay exact after years: a position of 2^40 frames.
TEST(simt_attention_far_positions) {
    run_stream({2, 1, 64, 6, 1, Precision::fp32}, {0, (1ULL << 36U) + 12345}, std::vector<int>(9, 1));
}

TEST(simt_attention_is_batch_invariant) {
    for (const Precision ring : {Precision::fp32, Precision::bf16, Precision::int8}) {
        const Shape whole{3, 2, 32, 20, 30, ring}, one{1, 2, 32, 20, 1, ring};
        const std::size_t width = count(3, whole.model());
        const std::vector<float> qkv = check::uniform_vector(3 * 30 * width);
        Layer together(whole, {5, 9, 17}), alone(one, {9});
        const std::vector<float> all = together.step(qkv, 30, {1, 1, 1});
        for (std::size_t t = 0; t < 30; ++t) {
            const auto row = qkv.begin() + static_cast<std::ptrdiff_t>((30 + t) * width);
            const std::vector<float> y = alone.step({row, row + static_cast<std::ptrdiff_t>(width)}, 1, {1});
            CHECK(std::memcmp(y.data(), &all[(30 + t) * y.size()], y.size() * sizeof(float)) == 0);
        }
    }
}

// Attention over rings of bfloat16 and int8 keys and values, on every instruction set.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernel_cases.h"
#include "narrow_numbers.h"

using namespace kernel_cases;
using secousti::core::AttentionArgs;
using secousti::core::bytes_of;
using secousti::core::Precision;

namespace {

constexpr int kHeads = 2;

std::size_t u(int n) { return static_cast<std::size_t>(n); }

/// Keys or values of all heads, [heads, context, head_dim]. What was never written would show.
struct Ring {
    Precision precision;
    int head_dim;
    std::vector<std::byte> rows;
    std::vector<float> scales;  ///< [heads, context]

    Ring(Precision precision_, int context, int head_dim_)
        : precision(precision_), head_dim(head_dim_), scales(u(kHeads * context), NAN) {
        clear();
    }
    void clear() {
        rows.assign(scales.size() * u(head_dim) * bytes_of(precision), std::byte{0x7F});
        std::fill(scales.begin(), scales.end(), NAN);
    }
    template <class T>
    T stored(std::size_t i) const {
        T value;
        std::memcpy(&value, rows.data() + i * sizeof(T), sizeof(T));
        return value;
    }
    double value(std::size_t i) const {
        switch (precision) {
            case Precision::fp32:
                return double{stored<float>(i)};
            case Precision::bf16:
                return double{std::bit_cast<float>(std::uint32_t{stored<std::uint16_t>(i)} << 16U)};
            case Precision::int8:
                return double{scales[i / u(head_dim)]} * stored<std::int8_t>(i);
            case Precision::fp16:  // no ring has it
                break;
        }
        return NAN;
    }
};

/// A stream that begins at a random place of its ring.
struct Stream {
    int head_dim, context, rows;
    std::uint64_t start = std::uniform_int_distribution<std::uint64_t>(0, 1000)(check::random());
    std::vector<float> qkv, cos, sin;

    Stream(int head_dim_, int context_, int rows_)
        : head_dim(head_dim_),
          context(context_),
          rows(rows_),
          qkv(check::uniform_vector(u(rows_ * 3 * kHeads * head_dim_), -2.0F, 2.0F)) {
        for (int i = 0; i < rows * head_dim / 2; ++i) {
            const double angle = double{check::uniform(-3.0F, 3.0F)};
            cos.push_back(static_cast<float>(std::cos(angle)));
            sin.push_back(static_cast<float>(std::sin(angle)));
        }
    }
    int model() const { return kHeads * head_dim; }

    /// Rows [first, first + count) into `y`, the whole stream's.
    void run(const Backend& backend, Ring& keys, Ring& values, int first, int count, std::vector<float>& y) const {
        std::vector<float> scores(u((context + 63) / 64 * 64), NAN);
        const AttentionArgs args{.qkv = qkv.data() + first * 3 * model(),
                                 .rope_cos = cos.data() + first * (head_dim / 2),
                                 .rope_sin = sin.data() + first * (head_dim / 2),
                                 .ring = keys.precision,
                                 .keys = keys.rows.data(),
                                 .values = values.rows.data(),
                                 .key_scales = keys.scales.data(),
                                 .value_scales = values.scales.data(),
                                 .scores = scores.data(),
                                 .y = y.data() + first * model(),
                                 .rows = count,
                                 .heads = kHeads,
                                 .head_dim = head_dim,
                                 .context = context,
                                 .position = start + static_cast<std::uint64_t>(first),
                                 .start = start};
        const int apart = std::uniform_int_distribution<int>(0, kHeads)(check::random());
        backend.attention(args, 0, apart);
        backend.attention(args, apart, kHeads);
    }
    /// The query that meets keys of int8 has two terms of int8 itself.
    std::vector<double> query_of_last_row(int head, Precision ring) const {
        const float* q = qkv.data() + (rows - 1) * 3 * model() + head * head_dim;
        std::vector<double> result;
        for (int i = 0; i < head_dim; ++i) {
            const auto angle = u((rows - 1) * (head_dim / 2) + i / 2);
            const double c = double{cos[angle]}, s = double{sin[angle]}, pair = double{q[i ^ 1]};
            result.push_back((double{q[i]} * c + (i % 2 ? pair : -pair) * s) / std::sqrt(head_dim));
        }
        if (ring != Precision::int8) return result;
        double top = 0;
        for (double x : result) top = std::max(top, std::abs(x));
        for (double& x : result) x = std::nearbyint(x / top * 127 * 254) / (127 * 254) * top;
        return result;
    }
    /// The last row, in double precision, from what the rings hold.
    std::vector<double> last_row(const Ring& keys, const Ring& values) const {
        std::vector<double> result;
        for (int h = 0; h < kHeads; ++h) {
            const std::size_t head = u(h * context * head_dim);
            const std::vector<double> query = query_of_last_row(h, keys.precision);
            std::vector<double> weights;
            double total = 0;
            for (int j = 0; j < context; ++j) {
                double score = 0;
                for (int i = 0; i < head_dim; ++i) score += query[u(i)] * keys.value(head + u(j * head_dim + i));
                weights.push_back(std::exp(score));
                total += weights.back();
            }
            for (int i = 0; i < head_dim; ++i) {
                double sum = 0;
                for (int j = 0; j < context; ++j) sum += weights[u(j)] * values.value(head + u(j * head_dim + i));
                result.push_back(sum / total);
            }
        }
        return result;
    }
};

/// What `narrow` holds is what `wide` holds, rounded.
void expect_rounded(const Ring& narrow, const Ring& wide, const std::string& text) {
    const int dim = narrow.head_dim;
    for (std::size_t row = 0; row < narrow.scales.size(); ++row) {
        std::vector<float> exact;
        for (int i = 0; i < dim; ++i) exact.push_back(wide.stored<float>(row * u(dim) + u(i)));
        const Quantised quantised(exact.data(), dim);
        if (narrow.precision == Precision::int8) CHECK_MSG(narrow.scales[row] == quantised.scale, text);
        for (int i = 0; i < dim; ++i) {
            const std::size_t at = row * u(dim) + u(i);
            if (narrow.precision == Precision::int8)
                CHECK_MSG(narrow.stored<std::int8_t>(at) == quantised.values[u(i)], text);
            else
                CHECK_MSG(narrow.value(at) == double{rounded_to_bf16(exact[u(i)])}, text);
        }
    }
}

}  // namespace

TEST(attention_over_a_narrow_ring_attends_to_what_the_ring_holds) {
    for_each_backend([](const Backend& backend) {
        for (Precision precision : {Precision::bf16, Precision::int8}) {
            for (int head_dim : {2, 6, 16, 34, 64, 66, 130}) {
                for (int context : {1, 3, 17, 50}) {
                    const Stream stream(head_dim, context, 60);
                    const std::string text = label(backend, std::to_string(head_dim) + " " + std::to_string(context) +
                                                                (precision == Precision::bf16 ? " bf16" : " int8"));
                    std::vector<float> y(u(stream.rows * stream.model()), NAN), one_by_one = y, wide = y;
                    Ring wide_keys(Precision::fp32, context, head_dim), wide_values = wide_keys;
                    stream.run(backend, wide_keys, wide_values, 0, stream.rows, wide);

                    Ring keys(precision, context, head_dim), values = keys;
                    for (int r = 0; r < stream.rows; ++r) stream.run(backend, keys, values, r, 1, one_by_one);
                    keys.clear();
                    values.clear();
                    stream.run(backend, keys, values, 0, stream.rows, y);
                    CHECK_MSG(y == one_by_one, text);
                    expect_rounded(keys, wide_keys, text);
                    expect_rounded(values, wide_values, text);
                    const std::vector<float> last(y.end() - stream.model(), y.end());
                    // A query's second term that falls on the other side of a tie, 1/32258 of its largest element (at
                    // most 2), moves a score by that times a key's (at most 2.83), and y by no more: values span 4,
                    // of which a softmax passes on a quarter. Two ties may fall so.
                    const double ties = precision == Precision::int8 ? 2 * 2.0 / 32258 * 2.83 : 0.0;
                    CHECK_VECTORS_CLOSE(last, stream.last_row(keys, values), kAttention.absolute + ties,
                                        kAttention.relative, text);
                    for (std::size_t i = 0; i < y.size(); ++i) CHECK_MSG(std::abs(y[i] - wide[i]) < 0.1F, text);
                }
            }
        }
    });
}

TEST(attention_over_an_int8_ring_shows_nan) {
    for_each_backend([](const Backend& backend) {
        for (int part : {0, 1, 2}) {  // a query, a key, a value
            for (float poison : {NAN, INFINITY}) {
                constexpr int kDim = 16, kContext = 8;
                Stream stream(kDim, kContext, 14);
                stream.qkv[u((3 * 3 + part) * stream.model() + 4)] = poison;  // of position 3, head 0
                Ring keys(Precision::int8, kContext, kDim), values = keys;
                std::vector<float> y(u(stream.rows * stream.model()), 0.0F);
                stream.run(backend, keys, values, 0, stream.rows, y);
                for (int r = 0; r < stream.rows; ++r) {
                    for (int i = 0; i < stream.model(); ++i) {
                        const bool reached = i < kDim && r >= 3 && r < 3 + (part == 0 ? 1 : kContext);
                        CHECK_MSG(std::isnan(y[u(r * stream.model() + i)]) == reached, label(backend, "int8"));
                    }
                }
            }
        }
    });
}

TEST(int8_scores_of_the_widest_heads_do_not_overflow) {
    for_each_backend([](const Backend& backend) {
        constexpr int kDim = secousti::core::kMaxHeadDim, kRows = 20;
        Stream stream(kDim, kRows, kRows);
        std::fill(stream.cos.begin(), stream.cos.end(), 1.0F);
        std::fill(stream.sin.begin(), stream.sin.end(), 0.0F);
        // Every key opposes every query, but the fifth is alike: all weight is its value's.
        for (int r = 0; r < kRows; ++r) {
            float* row = stream.qkv.data() + r * 3 * stream.model();
            std::fill_n(row, stream.model(), 2.0F);
            std::fill_n(row + stream.model(), stream.model(), r == 5 ? 2.0F : -2.0F);
            std::fill_n(row + 2 * stream.model(), stream.model(), static_cast<float>(r));
        }
        Ring keys(Precision::int8, kRows, kDim), values = keys;
        std::vector<float> y(u(kRows * stream.model()), NAN);
        stream.run(backend, keys, values, 0, kRows, y);
        for (int i = 0; i < stream.model(); ++i)
            CHECK_MSG(std::abs(y[u((kRows - 1) * stream.model() + i)] - 5.0F) < 1e-4F, label(backend, "int8"));
    });
}

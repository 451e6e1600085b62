// Streaming attention on every instruction set.
#include <cmath>
#include <cstdint>

#include "kernel_cases.h"

using namespace kernel_cases;
using secousti::core::AttentionArgs;

namespace {

/// A stream of random positions, and the state that attention keeps.
struct Stream {
    int heads, head_dim, context, rows;
    std::uint64_t position;
    std::vector<float> qkv, cos, sin, keys, values, scores, y;

    Stream(int heads_, int head_dim_, int context_, int rows_, std::uint64_t position_ = 0)
        : heads(heads_), head_dim(head_dim_), context(context_), rows(rows_), position(position_) {
        const auto u = [](int n) { return static_cast<std::size_t>(n); };
        qkv = check::uniform_vector(u(rows * 3 * heads * head_dim), -2.0F, 2.0F);
        for (int i = 0; i < rows * head_dim / 2; ++i) {
            const double angle = double{check::uniform(-3.0F, 3.0F)};
            cos.push_back(static_cast<float>(std::cos(angle)));
            sin.push_back(static_cast<float>(std::sin(angle)));
        }
        clear();
    }
    void clear() {
        const auto ring = static_cast<std::size_t>(heads * context * head_dim);
        keys.assign(ring, NAN);  // an unwritten slot must not be read
        values.assign(ring, NAN);
        scores.assign(static_cast<std::size_t>((context + 63) / 64 * 64), NAN);
        y.assign(static_cast<std::size_t>(rows * heads * head_dim), NAN);
    }
    void run(const Backend& backend, int first, int count) {
        const int model = heads * head_dim;
        const AttentionArgs args{.qkv = qkv.data() + first * 3 * model,
                                 .rope_cos = cos.data() + first * (head_dim / 2),
                                 .rope_sin = sin.data() + first * (head_dim / 2),
                                 .keys = keys.data(),
                                 .values = values.data(),
                                 .scores = scores.data(),
                                 .y = y.data() + first * model,
                                 .rows = count,
                                 .heads = heads,
                                 .head_dim = head_dim,
                                 .context = context,
                                 .position = position + static_cast<std::uint64_t>(first),
                                 .start = position};
        const int split = std::uniform_int_distribution(0, heads)(check::random());  // heads go in any order
        backend.attention(args, split, heads);
        backend.attention(args, 0, split);
    }
    double at(int row, int part, int head, int i) const {
        return double{qkv[static_cast<std::size_t>(((row * 3 + part) * heads + head) * head_dim + i)]};
    }
    double rotated(int row, int part, int head, int i) const {
        const auto angle = static_cast<std::size_t>(row * (head_dim / 2) + i / 2);
        const double c = double{cos[angle]}, s = double{sin[angle]}, pair = at(row, part, head, i ^ 1);
        return at(row, part, head, i) * c + (i % 2 ? pair : -pair) * s;
    }
    std::vector<double> expected() const {
        std::vector<double> result;
        for (int q = 0; q < rows; ++q) {
            const int oldest = q - context + 1 > 0 ? q - context + 1 : 0;
            for (int h = 0; h < heads; ++h) {
                std::vector<double> weights;
                double total = 0;
                for (int p = oldest; p <= q; ++p) {
                    double score = 0;
                    for (int i = 0; i < head_dim; ++i) score += rotated(q, 0, h, i) * rotated(p, 1, h, i);
                    weights.push_back(std::exp(score / std::sqrt(head_dim)));
                    total += weights.back();
                }
                for (int i = 0; i < head_dim; ++i) {
                    double sum = 0;
                    for (int p = oldest; p <= q; ++p)
                        sum += weights[static_cast<std::size_t>(p - oldest)] * at(p, 2, h, i);
                    result.push_back(sum / total);
                }
            }
        }
        return result;
    }
};

}  // namespace

TEST(attention_matches_double_loops) {
    for_each_backend([](const Backend& backend) {
        for (int head_dim : {2, 6, 8, 14, 16, 18, 34, 64, 66, 96, 130, 512}) {
            for (int context : {1, 3, 17, 50}) {
                if (head_dim > 100 && context > 17) continue;
                Stream stream(head_dim > 60 ? 1 : 3, head_dim, context, 2 * context + 5);
                stream.run(backend, 0, stream.rows);
                CHECK_VECTORS_CLOSE(
                    stream.y, stream.expected(), kAttention.absolute, kAttention.relative,
                    label(backend, "attention " + std::to_string(head_dim) + ", context " + std::to_string(context)));
            }
        }
    });
}

TEST(attention_bits_do_not_depend_on_chunks_or_ring_start) {
    for_each_backend([](const Backend& backend) {
        for (int head_dim : {10, 64}) {
            const int context = 37;
            Stream stream(2, head_dim, context, 4 * context);
            stream.run(backend, 0, stream.rows);
            const std::vector<float> whole = stream.y;
            for (int chunk : {1, 2, 3, 7, 36, 37, 38, 100}) {
                stream.clear();
                for (int first = 0; first < stream.rows; first += chunk)
                    stream.run(backend, first, std::min(chunk, stream.rows - first));
                CHECK_MSG(stream.y == whole, label(backend, "chunk " + std::to_string(chunk)));
            }
        }
    });
}

TEST(attention_far_into_a_stream_equals_its_start) {
    for_each_backend([](const Backend& backend) {
        const int context = 23;
        Stream stream(2, 16, context, 5 * context);
        stream.run(backend, 0, stream.rows);
        const std::vector<float> near = stream.y;
        for (std::uint64_t position : {std::uint64_t{1} << 31U, (std::uint64_t{1} << 40U) + 5U, std::uint64_t{22}}) {
            stream.clear();
            stream.position = position;
            stream.run(backend, 0, stream.rows);
            CHECK_MSG(stream.y == near, label(backend, "from position " + std::to_string(position)));
        }
    });
}

TEST(attention_shows_nan) {
    for_each_backend([](const Backend& backend) {
        Stream stream(2, 16, 8, 12);
        stream.qkv[static_cast<std::size_t>((3 * 3 + 1) * 2 * 16 + 4)] = NAN;  // the key of position 3, head 0
        stream.run(backend, 0, stream.rows);
        for (int r = 0; r < stream.rows; ++r)
            for (int i = 0; i < 32; ++i)
                CHECK(std::isnan(stream.y[static_cast<std::size_t>(r * 32 + i)]) == (i < 16 && r >= 3 && r < 3 + 8));
    });
}

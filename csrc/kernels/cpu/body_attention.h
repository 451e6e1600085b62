// Streaming attention with a ring of keys and values. Included after body_int8.h.
#pragma once

namespace secousti::core {
namespace {

/// Rotates the interleaved pairs (2i, 2i+1) of `x` by the angles of one position.
void rotate(const float* x, const float* cos, const float* sin, int head_dim, float scale, float* y) {
    for (int i = 0; i < head_dim / 2; ++i) {
        const float a = x[2 * i];
        const float b = x[2 * i + 1];
        y[2 * i] = (a * cos[i] - b * sin[i]) * scale;
        y[2 * i + 1] = (a * sin[i] + b * cos[i]) * scale;
    }
}

/// Into the ring; returns the scale that int8 rows have.
float keep(const float* x, int count, float* y) {
    __builtin_memcpy(y, x, static_cast<std::size_t>(count) * sizeof(float));
    return 1.0F;
}
float keep(const float* x, int count, std::uint16_t* y) {
    for (int i = 0; i < count; ++i) y[i] = to_bf16(x[i]);
    return 1.0F;
}
float keep(const float* x, int count, std::int8_t* y) {
    const Int8Range range = int8_range(x, count);
    to_int8(x, count, range.inverse, y);
    return range.scale;
}

template <class Ring>
inline constexpr bool kScaled = sizeof(Ring) == 1;

/// scores[0, count) -> exp(score - max); returns their sum. The scores lie oldest first, wherever the ring starts.
float softmax_weights(float* scores, int count) {
    V high = set1(-__builtin_inff());
    int i = 0;
    for (; i + kWidth <= count; i += kWidth) high = max(high, load(scores + i));
    float top = hmax(high);
    for (int j = i; j < count; ++j) top = scores[j] > top ? scores[j] : top;
    const V shift = set1(top);
    V sum = set1(0.0F);
    for (i = 0; i < count; i += kWidth) {
        const int n = count - i < kWidth ? count - i : kWidth;
        const V e = keep_n(vexp(sub(load_n(scores + i, n), shift)), n);
        store_n(scores + i, e, n);
        sum = add(sum, e);
    }
    return hsum(sum);
}

/// The lines of `count` elements at `p`: one pass over a head's ring brings the next pass's part in.
template <class Ring>
SIMD_INLINE void prefetch_row(const Ring* p, int count) {
    const char* at = reinterpret_cast<const char*>(p);
    const int bytes = count * static_cast<int>(sizeof(Ring));
    for (int line = 0; line < bytes; line += 64) __builtin_prefetch(at + line);
}

template <class Ring>
SIMD_INLINE float dot(const float* a, const Ring* b, int count) {
    V sum = set1(0.0F);
    int i = 0;
    for (; i + kWidth <= count; i += kWidth) sum = fma(load(a + i), load(b + i), sum);
    if (i < count) sum = fma(load_n(a + i, count - i), load_n(b + i, count - i), sum);
    return hsum(sum);
}

/// A rotated query, as a ring of such elements wants it.
template <class Ring>
struct Query {
    const float* x;
    int dim;

    Query(const float* values, int count) : x(values), dim(count) {}
    /// scores[j] = query * keys[j]; `values` are fetched on the way.
    void score(const Ring* keys, const float*, const Ring* values, int count, float* scores) const {
        for (int j = 0; j < count; ++j, keys += dim, values += dim) {
            prefetch_row(values, dim);
            scores[j] = dot(x, keys, dim);
        }
    }
};

/// Two terms of int8, 15 bits in all, so that sums are exact integers: 254 * first + second of 512 values fit int32. As
/// many keys at once as a vector has elements.
template <>
struct Query<std::int8_t> {
    static constexpr int kBytes = kWidth * kGroup;  // of a key at once
    static constexpr int kRatio = 254;              // of the terms' scales
    alignas(64) std::int8_t terms[2 * int8_stride(kMaxHeadDim)];
    int stride, dim;
    float scale;         ///< of the second term
    std::int32_t start;  ///< takes back what kInt8Offset adds, modulo 2^32

    Query(const float* x, int count) : stride(int8_stride(count)), dim(count) {
        float scales[2];
        quantise_rows(x, 1, count, 2, terms, scales);
        scale = scales[1];
        std::int32_t first = 0, second = 0;
        for (int i = 0; i < count; ++i) first += terms[i], second += terms[stride + i];
        start = static_cast<std::int32_t>(-static_cast<std::uint32_t>(kInt8Offset) *
                                          static_cast<std::uint32_t>(kRatio * first + second));
    }

    void score(const std::int8_t* keys, const float* scales, const std::int8_t* values, int count,
               float* scores) const {
        for (int j = 0; j < count; j += kWidth) {
            const int n = count - j < kWidth ? count - j : kWidth;
            const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(j) * dim;
            prefetch_row(values + at, n * dim);
            const V exact = to_floats(n == kWidth ? sums<true>(keys + at, n) : sums<false>(keys + at, n));
            store_n(scores + j, mul(exact, mul(set1(scale), load_n(scales + j, n))), n);
        }
    }

  private:
    /// Scores of `count` keys (All: kWidth).
    template <bool All>
    SIMD_INLINE Ints sums(const std::int8_t* keys, int count) const {
        Ints each[kWidth];
#pragma GCC unroll 16
        for (int k = 0; k < kWidth; ++k) each[k] = All || k < count ? sum(keys + k * dim) : ints(0);
        return scale_add(ints(start), 1, sum_each(each));
    }
    SIMD_INLINE Ints sum(const std::int8_t* key) const {
        Ints first = ints(0), second = ints(0);
        int i = 0;
        for (; i + kBytes <= dim; i += kBytes) add(key + i, i, first, second);
        if (i < dim) {
            std::int8_t rest[kBytes] = {};
            __builtin_memcpy(rest, key + i, static_cast<std::size_t>(dim - i));
            add(rest, i, first, second);
        }
        return scale_add(first, kRatio, second);
    }
    SIMD_INLINE void add(const std::int8_t* key, int i, Ints& first, Ints& second) const {
        const Bytes bytes = add_offset(load_group(key));
        first = dot(first, load_group(terms + i), bytes);
        second = dot(second, load_group(terms + stride + i), bytes);
    }
};

/// weights[j] *= scales[j]
void scale_weights(const float* scales, int count, float* weights) {
    for (int j = 0; j < count; j += kWidth) {
        const int n = count - j < kWidth ? count - j : kWidth;
        store_n(weights + j, mul(load_n(weights + j, n), load_n(scales + j, n)), n);
    }
}

/// acc += sum_j weights[j] * values[j], for Vectors vectors of each value, the last with `left` live elements. What
/// lies `next` elements on is fetched on the way.
template <int Vectors, class Ring>
SIMD_INLINE void weighted_sum(const float* weights, const Ring* values, int count, int stride, int left,
                              std::ptrdiff_t next, V* acc) {
    for (int j = 0; j < count; ++j, values += stride) {
        prefetch_row(values + next, Vectors * kWidth);
        const V w = set1(weights[j]);
#pragma GCC unroll 4
        for (int v = 0; v + 1 < Vectors; ++v) acc[v] = fma(w, load(values + v * kWidth), acc[v]);
        const Ring* last = values + (Vectors - 1) * kWidth;
        acc[Vectors - 1] = fma(w, left == kWidth ? load(last) : load_n(last, left), acc[Vectors - 1]);
    }
}

/// y = (1/total) * sum_j weights[j] * values[j] over the ring's two segments, oldest first.
template <int Vectors, class Ring>
void mix(const float* weights, const Ring* old_values, int old_count, const Ring* new_values, int new_count,
         int head_dim, int left, std::ptrdiff_t next, float total, float* y) {
    V acc[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) acc[v] = set1(0.0F);
    weighted_sum<Vectors>(weights, old_values, old_count, head_dim, left, next, acc);
    weighted_sum<Vectors>(weights + old_count, new_values, new_count, head_dim, left, next, acc);
    const V inverse = set1(1.0F / total);
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store_n(y + v * kWidth, mul(acc[v], inverse), v + 1 < Vectors ? kWidth : left);
}

template <class Ring>
void attend(const AttentionArgs& args, int head_begin, int head_end) {
    const int dim = args.head_dim;
    const int model = args.heads * dim;
    const std::ptrdiff_t ring = static_cast<std::ptrdiff_t>(args.context) * dim;  // of one head
    const float scale = 1.0F / __builtin_sqrtf(static_cast<float>(dim));
    for (int r = 0; r < args.rows; ++r) {
        const std::uint64_t position = args.position + static_cast<std::uint64_t>(r);
        const std::uint64_t context = static_cast<std::uint64_t>(args.context);
        const int slot = static_cast<int>(position % context);
        // The history, oldest first: the end of the ring, then what lies up to `slot`.
        const std::uint64_t held = position - args.start + 1;
        const int count = held < context ? static_cast<int>(held) : args.context;
        const int new_count = slot + 1 < count ? slot + 1 : count;
        const int old_count = count - new_count;
        const float* cos = args.rope_cos + static_cast<std::ptrdiff_t>(r) * (dim / 2);
        const float* sin = args.rope_sin + static_cast<std::ptrdiff_t>(r) * (dim / 2);
        const float* qkv = args.qkv + static_cast<std::ptrdiff_t>(r) * 3 * model;
        float* out = args.y + static_cast<std::ptrdiff_t>(r) * model;
        for (int h = head_begin; h < head_end; ++h) {
            Ring* keys = static_cast<Ring*>(args.keys) + h * ring;
            Ring* values = static_cast<Ring*>(args.values) + h * ring;
            const auto scale_of = [&](float* scales, int row) {
                return kScaled<Ring> ? scales + std::ptrdiff_t{h} * args.context + row : nullptr;
            };
            float rotated[kMaxHeadDim], key[kMaxHeadDim];
            rotate(qkv + h * dim, cos, sin, dim, scale, rotated);
            const Query<Ring> query(rotated, dim);
            rotate(qkv + model + h * dim, cos, sin, dim, 1.0F, key);
            const float key_scale = keep(key, dim, keys + static_cast<std::ptrdiff_t>(slot) * dim);
            const float value_scale =
                keep(qkv + 2 * model + h * dim, dim, values + static_cast<std::ptrdiff_t>(slot) * dim);
            if constexpr (kScaled<Ring>) {
                *scale_of(args.key_scales, slot) = key_scale;
                *scale_of(args.value_scales, slot) = value_scale;
            }

            const int old_row = args.context - old_count, new_row = slot + 1 - new_count;
            const Ring* old_values = values + static_cast<std::ptrdiff_t>(old_row) * dim;
            const Ring* new_values = values + static_cast<std::ptrdiff_t>(new_row) * dim;
            query.score(keys + (old_values - values), scale_of(args.key_scales, old_row), old_values, old_count,
                        args.scores);
            query.score(keys + (new_values - values), scale_of(args.key_scales, new_row), new_values, new_count,
                        args.scores + old_count);
            const float total = softmax_weights(args.scores, count);
            if constexpr (kScaled<Ring>) {
                scale_weights(scale_of(args.value_scales, old_row), old_count, args.scores);
                scale_weights(scale_of(args.value_scales, new_row), new_count, args.scores + old_count);
            }
            const std::ptrdiff_t next = h + 1 < head_end ? keys + ring - values : 0;
            for (int d = 0; d < dim;) {
                const int live = dim - d;
                const int vectors = live >= 4 * kWidth ? 4 : (live + kWidth - 1) / kWidth;
                const int left = live >= 4 * kWidth ? kWidth : live - (vectors - 1) * kWidth;
                const auto run = vectors == 4   ? mix<4, Ring>
                                 : vectors == 3 ? mix<3, Ring>
                                 : vectors == 2 ? mix<2, Ring>
                                                : mix<1, Ring>;
                run(args.scores, old_values + d, old_count, new_values + d, new_count, dim, left, next, total,
                    out + h * dim + d);
                d += vectors * kWidth;
            }
        }
    }
}

void attention(const AttentionArgs& args, int head_begin, int head_end) {
    switch (args.ring) {
        case Precision::fp32:
            return attend<float>(args, head_begin, head_end);
        case Precision::bf16:
            return attend<std::uint16_t>(args, head_begin, head_end);
        case Precision::int8:
            return attend<std::int8_t>(args, head_begin, head_end);
        case Precision::fp16:
            break;  // of weights alone
    }
}

}  // namespace
}  // namespace secousti::core

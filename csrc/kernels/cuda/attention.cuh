// Streaming attention over rings of keys and values: a block for each slot, head and new row. Its eight warps split the
// window: each takes every eighth group of keys, keeps its own softmax, and the block combines the eight in order. So
// one stream has as many loads in flight as a thousand, and the bits do not depend on how many there are.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/int8.cuh"
#include "kernels/cuda/simt.cuh"

namespace secousti::core::cuda {

/// Elements of the ring, 16 bytes at a time; kGroup loads of a lane are in flight together.
struct Fp32Ring {
    using Element = float;
    static constexpr int kLoad = 4, kGroup = 8;
    static constexpr bool kScaled = false;
    SIMT_DEVICE static void widen(const simt::Vector<float, 4>& v, float (&x)[4]) {
        SIMT_UNROLL
        for (int i = 0; i < 4; ++i) x[i] = v[i];
    }
    SIMT_DEVICE static simt::Vector<float, 4> narrow(const float (&x)[4], float) { return {{x[0], x[1], x[2], x[3]}}; }
};

/// Words of two bfloat16.
struct Bf16Ring {
    using Element = std::uint32_t;
    static constexpr int kLoad = 8, kGroup = 8;
    static constexpr bool kScaled = false;
    SIMT_DEVICE static void widen(const simt::Vector<std::uint32_t, 4>& v, float (&x)[8]) {
        SIMT_UNROLL
        for (int i = 0; i < 4; ++i) x[2 * i] = simt::bf16_low(v[i]), x[2 * i + 1] = simt::bf16_high(v[i]);
    }
    SIMT_DEVICE static simt::Vector<std::uint32_t, 4> narrow(const float (&x)[8], float) {
        simt::Vector<std::uint32_t, 4> v;
        SIMT_UNROLL
        for (int i = 0; i < 4; ++i) v[i] = simt::pack_bf16(x[2 * i], x[2 * i + 1]);
        return v;
    }
};

/// Words of four int8; each row has a scale.
struct Int8Ring {
    using Element = std::uint32_t;
    static constexpr int kLoad = 16, kGroup = 4;
    static constexpr bool kScaled = true;
    SIMT_DEVICE static void widen(const simt::Vector<std::uint32_t, 4>& v, float (&x)[16]) {
        SIMT_UNROLL
        for (int i = 0; i < 16; ++i) x[i] = int8_value(v[i / 4], i % 4);
    }
    SIMT_DEVICE static simt::Vector<std::uint32_t, 4> narrow(const float (&x)[16], float inverse) {
        simt::Vector<std::uint32_t, 4> v;
        SIMT_UNROLL
        for (int i = 0; i < 4; ++i) {
            v[i] = int8_byte(x[4 * i], inverse, 0) | int8_byte(x[4 * i + 1], inverse, 1) |
                   int8_byte(x[4 * i + 2], inverse, 2) | int8_byte(x[4 * i + 3], inverse, 3);
        }
        return v;
    }
};

struct AttentionShape {
    const std::uint64_t* position;
    const std::uint64_t* start;
    const std::uint8_t* active;
    void* keys;
    void* values;
    float* key_scales;
    float* value_scales;
    const float* qkv;
    const float* cos;
    const float* sin;
    float* y;
    int tokens, heads, context, ring_rows;
};

inline constexpr int kAttentionWarps = 8;

/// What one lane holds of a row of a head: Load consecutive elements of Dim. Dim/Load lanes make a row; a warp handles
/// several rows at a time.
template <class Ring, int Dim>
struct HeadLayout {
    static constexpr int kLoad = Ring::kLoad;
    static constexpr int kLanes = Dim / kLoad;                // of a row
    static constexpr int kRowsAtOnce = simt::kWarp / kLanes;  // of a warp
    static_assert(Dim % kLoad == 0 && kLanes <= simt::kWarp && simt::kWarp % kLanes == 0);

    /// kLoad elements of q or k of the new row, rotated.
    SIMT_DEVICE static void rotated(const simt::Global<const float>& x, const simt::Global<const float>& cos,
                                    const simt::Global<const float>& sin, int part, float scale, float (&y)[kLoad]) {
        SIMT_UNROLL
        for (int i = 0; i < kLoad; i += 4) {
            const simt::Vector<float, 4> v = simt::load<4>(x + (part * kLoad + i));
            const simt::Vector<float, 2> c = simt::load<2>(cos + (part * kLoad + i) / 2),
                                         s = simt::load<2>(sin + (part * kLoad + i) / 2);
            SIMT_UNROLL
            for (int j = 0; j < 2; ++j) {
                y[i + 2 * j] = (v[2 * j] * c[j] - v[2 * j + 1] * s[j]) * scale;
                y[i + 2 * j + 1] = (v[2 * j] * s[j] + v[2 * j + 1] * c[j]) * scale;
            }
        }
    }
    SIMT_DEVICE static void plain(const simt::Global<const float>& x, int part, float (&y)[kLoad]) {
        SIMT_UNROLL
        for (int i = 0; i < kLoad; i += 4) {
            const simt::Vector<float, 4> v = simt::load<4>(x + (part * kLoad + i));
            SIMT_UNROLL
            for (int j = 0; j < 4; ++j) y[i + j] = v[j];
        }
    }
    SIMT_DEVICE static std::ptrdiff_t ring_row(const AttentionShape& args, int slot, int head, int row) {
        return (static_cast<std::ptrdiff_t>(slot) * args.heads + head) * args.ring_rows + row;
    }
    SIMT_DEVICE static std::ptrdiff_t ring_place(std::ptrdiff_t ring_row, int part) {
        constexpr int kPerLoad = 4;  // elements of the ring's storage in 16 bytes
        return (ring_row * kLanes + part) * kPerLoad;
    }
    /// A lane's share of a row as the ring has it, and the row's scale.
    struct Stored {
        simt::Vector<typename Ring::Element, 4> elements;
        float scale;
    };
    /// Narrows a row that kLanes lanes hold. All lanes of the warp take part.
    SIMT_DEVICE static Stored narrow(const float (&x)[kLoad]) {
        Stored row;
        float inverse = 1.0F;
        row.scale = 1.0F;
        if constexpr (Ring::kScaled) {
            float top = 0.0F, poison = 0.0F;
            SIMT_UNROLL
            for (int i = 0; i < kLoad; ++i) {
                top = fmaxf(top, fabsf(x[i]));
                poison = fmaf(x[i], 0.0F, poison);
            }
            SIMT_UNROLL
            for (int mask = kLanes / 2; mask > 0; mask /= 2) {
                top = fmaxf(top, simt::shuffle_xor(top, mask));
                poison += simt::shuffle_xor(poison, mask);
            }
            int8_range(top, poison, row.scale, inverse);
        }
        row.elements = Ring::narrow(x, inverse);
        return row;
    }
    SIMT_DEVICE static void keep(const Stored& row, std::ptrdiff_t at, int part, void* ring, float* scales) {
        simt::store(simt::global(static_cast<typename Ring::Element*>(ring)) + ring_place(at, part), row.elements);
        if (Ring::kScaled && part == 0) simt::global(scales)[at] = row.scale;
    }
};

SIMT_DEVICE int row_at(std::uint64_t position, int ring_rows) {
    return static_cast<int>(position % static_cast<std::uint64_t>(ring_rows));
}

/// Several new rows: their keys and values go into the ring before any row attends. A thread for each 16 bytes.
template <class Ring, int Dim>
struct AppendKeys {
    using Args = AttentionShape;
    using Layout = HeadLayout<Ring, Dim>;
    static constexpr int kThreads = 128;

    /// Grid: x over heads*kLanes, y over slots*tokens.
    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        simt::let_next_start();
        const int row = simt::block_y(), slot = row / args.tokens, token = row - slot * args.tokens;
        const int i = simt::block_x() * kThreads + simt::thread();
        const int head = i / Layout::kLanes, part = i % Layout::kLanes;
        const auto active = simt::global(args.active);
        if (active && active[slot] == 0) return;
        const bool there = head < args.heads;
        const int model = args.heads * Dim;
        const auto qkv = simt::global(args.qkv) + static_cast<std::ptrdiff_t>(row) * 3 * model;
        const auto cos = simt::global(args.cos) + static_cast<std::ptrdiff_t>(row) * (Dim / 2);
        const auto sin = simt::global(args.sin) + static_cast<std::ptrdiff_t>(row) * (Dim / 2);
        const std::uint64_t position = simt::global(args.position)[slot] + static_cast<std::uint64_t>(token);
        const std::ptrdiff_t at = Layout::ring_row(args, slot, head, row_at(position, args.ring_rows));
        float x[Layout::kLoad] = {};
        if (there) Layout::rotated(qkv + (model + head * Dim), cos, sin, part, 1.0F, x);
        const typename Layout::Stored key = Layout::narrow(x);
        if (there) Layout::plain(qkv + (2 * model + head * Dim), part, x);
        const typename Layout::Stored value = Layout::narrow(x);
        if (!there) return;
        Layout::keep(key, at, part, args.keys, args.key_scales);
        Layout::keep(value, at, part, args.values, args.value_scales);
    }
};

/// A softmax under way: weights are exp(score - top), `mix` their sum over values, for the lane's elements.
template <int Load>
struct Softmax {
    float top = -INFINITY;
    float total = 0.0F;
    float mix[Load] = {};
};

/// Grid: x over heads, y over slots*tokens. Single: one new row a slot, which the block itself appends. The rows of the
/// ring are loaded while the kernel before this one (the product that makes qkv) still runs.
template <class Ring, int Dim, bool Single>
struct Attend {
    using Args = AttentionShape;
    using Layout = HeadLayout<Ring, Dim>;
    using Element = typename Ring::Element;
    static constexpr int kThreads = kAttentionWarps * simt::kWarp;
    static constexpr int kBlocks = 2;  // one computes while the other loads
    static constexpr int kLoad = Layout::kLoad;
    // Of a row that one lane holds alone, half as many: registers would spill.
    static constexpr int kGroup = Layout::kLanes == 1 ? Ring::kGroup / 2 : Ring::kGroup;
    static constexpr std::size_t kSharedBytes = simt::shared_bytes<float>(kAttentionWarps * (Dim + 4));

    SIMT_DEVICE static void run(const Args& args) {
        const int head = simt::block_x(), row = simt::block_y(), slot = row / args.tokens,
                  token = row - slot * args.tokens;
        const std::uint64_t position =
            simt::load_settled(simt::global(args.position) + slot) + static_cast<std::uint64_t>(token);
        const std::uint64_t held = position - simt::load_settled(simt::global(args.start) + slot) + 1;
        const int count = held < static_cast<std::uint64_t>(args.context) ? static_cast<int>(held) : args.context;
        // Of the window, oldest first: row j lies at ring row first + j (modulo). The newest is no part of it: warp 0
        // takes that from qkv.
        Window window{slot, head, row_at(position, args.ring_rows) + 1 - count, count - 1};
        const auto active = simt::global(args.active);
        const bool on = !active || simt::load_settled(active + slot) != 0;
        Rows rows;
        if (Single && on) load_rows(args, window, 0, rows);

        simt::wait_for_previous();
        simt::let_next_start();
        const int model = args.heads * Dim;
        const auto y = simt::global(args.y) + (static_cast<std::ptrdiff_t>(row) * model + head * Dim);
        if (!on) {
            if (simt::thread() < Dim) y[simt::thread()] = 0.0F;
            return;
        }
        const auto qkv = simt::global(args.qkv) + (static_cast<std::ptrdiff_t>(row) * 3 * model + head * Dim);
        const auto cos = simt::global(args.cos) + static_cast<std::ptrdiff_t>(row) * (Dim / 2);
        const auto sin = simt::global(args.sin) + static_cast<std::ptrdiff_t>(row) * (Dim / 2);
        if (!Single) load_rows(args, window, 0, rows);
        const int part = simt::lane() % Layout::kLanes;

        float query[kLoad];
        Layout::rotated(qkv, cos, sin, part, 1.0F / sqrtf(static_cast<float>(Dim)), query);
        Softmax<kLoad> softmax;
        for (int base = 0; base < window.rows; base += kStep * kGroup) {
            if (base > 0) load_rows(args, window, base, rows);
            attend(window, base, rows, query, softmax);
        }
        if (simt::warp() == 0) {
            Fresh fresh;
            Layout::rotated(qkv + model, cos, sin, part, 1.0F, fresh.key);
            Layout::plain(qkv + 2 * model, part, fresh.value);
            attend_fresh(args, window, fresh, query, softmax);
        }
        merge_lanes(softmax);
        combine(softmax, part, y);
    }

  private:
    static constexpr int kStep = kAttentionWarps * Layout::kRowsAtOnce;

    struct Window {
        int slot, head, first, rows;
    };
    struct Rows {
        simt::Vector<Element, 4> keys[kGroup], values[kGroup];
        float key_scales[Ring::kScaled ? kGroup : 1], value_scales[Ring::kScaled ? kGroup : 1];
    };
    struct Fresh {
        float key[kLoad], value[kLoad];
    };

    SIMT_DEVICE static float dot(const float (&a)[kLoad], const float (&b)[kLoad]) {
        float sum = 0.0F;
        SIMT_UNROLL
        for (int i = 0; i < kLoad; ++i) sum = fmaf(a[i], b[i], sum);
        SIMT_UNROLL
        for (int mask = Layout::kLanes / 2; mask > 0; mask /= 2) sum += simt::shuffle_xor(sum, mask);
        return sum;
    }
    SIMT_DEVICE static void add(float score, const float (&value)[kLoad], float value_scale, Softmax<kLoad>& s) {
        const float top = fmaxf(s.top, score);
        const float keep = expf(s.top - top);
        float weight = expf(score - top);
        s.top = top;
        s.total = fmaf(s.total, keep, weight);
        if (Ring::kScaled) weight *= value_scale;
        SIMT_UNROLL
        for (int i = 0; i < kLoad; ++i) s.mix[i] = fmaf(s.mix[i], keep, weight * value[i]);
    }

    /// Row j of the window.
    SIMT_DEVICE static std::ptrdiff_t ring_row(const Args& args, const Window& window, int j) {
        int at = window.first + j;
        if (at < 0) at += args.ring_rows;
        return Layout::ring_row(args, window.slot, window.head, at);
    }
    /// Row of the window that the lane has as the i-th of a group.
    SIMT_DEVICE static int row_of(int base, int i) {
        return base + i * kStep + simt::warp() * Layout::kRowsAtOnce + simt::lane() / Layout::kLanes;
    }
    SIMT_DEVICE static void load_rows(const Args& args, const Window& window, int base, Rows& rows) {
        const auto keys = simt::global(static_cast<const Element*>(args.keys));
        const auto values = simt::global(static_cast<const Element*>(args.values));
        SIMT_UNROLL
        for (int i = 0; i < kGroup; ++i) {
            const int j = row_of(base, i);
            if (j >= window.rows) continue;
            const std::ptrdiff_t at = ring_row(args, window, j);
            const std::ptrdiff_t place = Layout::ring_place(at, simt::lane() % Layout::kLanes);
            rows.keys[i] = simt::load_settled<4>(keys + place);
            rows.values[i] = simt::load_settled<4>(values + place);
            if constexpr (Ring::kScaled) {
                rows.key_scales[i] = simt::load_settled(simt::global(static_cast<const float*>(args.key_scales)) + at);
                rows.value_scales[i] =
                    simt::load_settled(simt::global(static_cast<const float*>(args.value_scales)) + at);
            }
        }
    }
    SIMT_DEVICE static void attend(const Window& window, int base, const Rows& rows, const float (&query)[kLoad],
                                   Softmax<kLoad>& softmax) {
        SIMT_UNROLL
        for (int i = 0; i < kGroup; ++i) {
            if (base + i * kStep + simt::warp() * Layout::kRowsAtOnce >= window.rows) continue;  // the whole warp
            const bool there = row_of(base, i) < window.rows;
            float key[kLoad] = {}, value[kLoad] = {};
            if (there) Ring::widen(rows.keys[i], key), Ring::widen(rows.values[i], value);
            float score = dot(query, key);
            if (!there) continue;
            if constexpr (Ring::kScaled) score *= rows.key_scales[i];
            add(score, value, Ring::kScaled ? rows.value_scales[i] : 1.0F, softmax);
        }
    }

    /// Attends to the new row as the ring has it, and appends it. One warp; its first lanes hold the row.
    SIMT_DEVICE static void attend_fresh(const Args& args, const Window& window, Fresh& fresh,
                                         const float (&query)[kLoad], Softmax<kLoad>& softmax) {
        const typename Layout::Stored key = Layout::narrow(fresh.key), value = Layout::narrow(fresh.value);
        if (Single && simt::lane() < Layout::kLanes) {
            const std::ptrdiff_t at = ring_row(args, window, window.rows);
            Layout::keep(key, at, simt::lane(), args.keys, args.key_scales);
            Layout::keep(value, at, simt::lane(), args.values, args.value_scales);
        }
        Ring::widen(key.elements, fresh.key);
        Ring::widen(value.elements, fresh.value);
        float score = dot(query, fresh.key);
        if (Ring::kScaled) score *= key.scale;
        if (simt::lane() < Layout::kLanes) add(score, fresh.value, value.scale, softmax);
    }

    SIMT_DEVICE static void merge(float top, float total, const float (&mix)[kLoad], Softmax<kLoad>& s) {
        const float highest = fmaxf(s.top, top);
        // Two empty sums: exp(-inf - -inf) would be NaN.
        const float mine = s.top == highest ? 1.0F : expf(s.top - highest);
        const float other = top == highest ? 1.0F : expf(top - highest);
        s.top = highest;
        s.total = s.total * mine + total * other;
        SIMT_UNROLL
        for (int i = 0; i < kLoad; ++i) s.mix[i] = s.mix[i] * mine + mix[i] * other;
    }
    /// Lanes that hold the same elements of different rows.
    SIMT_DEVICE static void merge_lanes(Softmax<kLoad>& s) {
        SIMT_UNROLL
        for (int mask = Layout::kLanes; mask < simt::kWarp; mask *= 2) {
            float mix[kLoad];
            const float top = simt::shuffle_xor(s.top, mask), total = simt::shuffle_xor(s.total, mask);
            SIMT_UNROLL
            for (int i = 0; i < kLoad; ++i) mix[i] = simt::shuffle_xor(s.mix[i], mask);
            merge(top, total, mix, s);
        }
    }
    /// Through shared memory: a thread for each element adds the warps in order.
    SIMT_DEVICE static void combine(const Softmax<kLoad>& s, int part, const simt::Global<float>& y) {
        constexpr int kStride = Dim + 4;
        simt::SharedArena arena;
        const auto sums = arena.take<float>(kAttentionWarps * kStride);
        const auto own = sums + simt::warp() * kStride;
        if (simt::lane() < Layout::kLanes) {
            SIMT_UNROLL
            for (int i = 0; i < kLoad; ++i) own[part * kLoad + i] = s.mix[i];
        }
        if (simt::lane() == 0) own[Dim] = s.top, own[Dim + 1] = s.total;
        simt::barrier();
        if (simt::thread() >= Dim) return;
        float top = -INFINITY;
        for (int w = 0; w < kAttentionWarps; ++w) top = fmaxf(top, sums[w * kStride + Dim]);
        float total = 0.0F, mix = 0.0F;
        for (int w = 0; w < kAttentionWarps; ++w) {
            const float highest = sums[w * kStride + Dim];
            const float weight = highest == top ? 1.0F : expf(highest - top);
            total = fmaf(weight, sums[w * kStride + Dim + 1], total);
            mix = fmaf(weight, sums[w * kStride + simt::thread()], mix);
        }
        y[simt::thread()] = mix / total;
    }
};

/// cos and sin of the slots' new positions; a thread for each angle.
struct RopeAngles {
    struct Args {
        const std::uint64_t* position;
        const std::uint64_t* turns_per_frame;
        int rows, tokens, half;
        float* cos;
        float* sin;
    };
    static constexpr int kThreads = 128;

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        simt::let_next_start();
        const int i = simt::block_x() * kThreads + simt::thread();
        if (i >= args.rows * args.half) return;
        const int row = i / args.half, slot = row / args.tokens;
        const std::uint64_t position =
            simt::global(args.position)[slot] + static_cast<std::uint64_t>(row - slot * args.tokens);
        // Integer arithmetic wraps at one turn; a signed fraction keeps small angles precise.
        const std::uint64_t turns = position * simt::global(args.turns_per_frame)[i - row * args.half];
        constexpr double kTurn = 1.0 / 18446744073709551616.0;
        float cosine, sine;
        simt::cos_sin_of_turns(static_cast<double>(static_cast<std::int64_t>(turns)) * kTurn, cosine, sine);
        simt::global(args.cos)[i] = cosine;
        simt::global(args.sin)[i] = sine;
    }
};

}  // namespace secousti::core::cuda

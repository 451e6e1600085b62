// Multiply-adds that touch no memory: what benchmarks hold products against. Included after body_int8.h.
#pragma once

namespace secousti::core {
namespace {

/// Enough sums to hide the latency, on every instruction set, and few enough for the registers.
inline constexpr int kChains = kTileRows * kPanelVectors;

/// `start` [kChains, kWidth]: different values, or the compiler would see that all chains are one.
template <class Load, class Step>
std::uint64_t run_chains(int rounds, const std::int32_t* start, Load load, Step step, decltype(load(start))* last) {
    decltype(load(start)) sums[kChains];
#pragma GCC unroll 32
    for (int c = 0; c < kChains; ++c) sums[c] = load(start + c * kWidth);
    for (int r = 0; r < rounds; ++r) {
#pragma GCC unroll 32
        for (int c = 0; c < kChains; ++c) sums[c] = step(sums[c]);
    }
    *last = sums[0];
#pragma GCC unroll 32
    for (int c = 1; c < kChains; ++c) *last = *last + sums[c];
    return static_cast<std::uint64_t>(rounds) * kChains * kWidth;
}

std::uint64_t multiply_add(Precision precision, int rounds, float* sink) {
    alignas(64) std::int32_t start[kChains * kWidth];
    for (int i = 0; i < kChains * kWidth; ++i) start[i] = rounds % 97 + i;  // as floats tiny, but not zero
    const auto floats = [](const std::int32_t* p) { return load(reinterpret_cast<const float*>(p)); };
    const auto* bytes = reinterpret_cast<const std::byte*>(start);
    V last = set1(0.0F);
    std::uint64_t count = 0;
    if (precision == Precision::fp32) {
        const V a = floats(start), b = set1(0.5F);
        count = run_chains(rounds, start, floats, [a, b](V sum) { return fma(a, b, sum); }, &last);
    } else if (precision == Precision::bf16) {
        const Pairs a = load_pairs(reinterpret_cast<const std::uint16_t*>(start)), b = broadcast_pair(bytes);
        count = 2 * run_chains(rounds, start, floats, [a, b](V sum) { return dot(sum, a, b); }, &last);
    } else {
        const Bytes a = load_group(reinterpret_cast<const std::int8_t*>(start));
        const Bytes b = broadcast_group(reinterpret_cast<const std::int8_t*>(start));
        Ints sum = load_ints(start);
        // Not load_ints itself: without optimisation a function that is always inlined cannot be called by its address.
        const auto integers = [](const std::int32_t* p) { return load_ints(p); };
        count = kGroup * run_chains(rounds, start, integers, [a, b](Ints acc) { return dot(acc, a, b); }, &sum);
        last = to_floats(sum);
    }
    *sink = hsum(last);
    return 2 * count;
}

}  // namespace
}  // namespace secousti::core

// Kernels on every instruction set of this machine, beside what the machine can do: read bandwidth and peak of fused
// multiply-adds of one core. `secousti_bench_kernels --benchmark_filter=linear`.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/aligned_vector.h"
#include "kernels/backend.h"
#include "layers/fft.h"

namespace {

using namespace secousti::core;
using Floats = AlignedVector<float>;

constexpr double kGiga = 1e9;

Floats random_floats(std::size_t count) {
    static std::minstd_rand random;
    Floats values(count);
    for (float& v : values) v = static_cast<float>(random()) / 2147483648.0F - 0.5F;
    return values;
}

void rate(benchmark::State& state, const char* name, double per_iteration) {
    state.counters[name] = benchmark::Counter(per_iteration / kGiga, benchmark::Counter::kIsIterationInvariantRate);
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define EVERY_WIDTH __attribute__((target_clones("avx512f", "arch=haswell", "default")))
#else
#define EVERY_WIDTH
#endif

typedef float Wide __attribute__((vector_size(64), aligned(64)));

EVERY_WIDTH float read_all(const float* data, std::size_t count) {
    Wide sums[8] = {};
    for (const float* end = data + count; data != end; data += 128)
        for (std::size_t i = 0; i < 8; ++i) sums[i] += *reinterpret_cast<const Wide*>(data + 16 * i);
    float total = 0.0F;
    for (const Wide& s : sums) total += s[0];
    return total;
}

EVERY_WIDTH float multiply_add(float x, int rounds) {
    Wide a[12];
    for (int i = 0; i < 12; ++i) a[i] = Wide{} + x + static_cast<float>(i);
    const Wide b = Wide{} + 0.999F, c = Wide{} + x;
    for (int r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; ++i) a[i] = a[i] * b + c;
    }
    float total = 0.0F;
    for (const Wide& v : a) total += v[0];
    return total;
}

void machine_read(benchmark::State& state) {
    const Floats data = random_floats(std::size_t{64} << 20U);
    for (auto _ : state) benchmark::DoNotOptimize(read_all(data.data(), data.size()));
    rate(state, "GB/s", static_cast<double>(data.size() * sizeof(float)));
}

void machine_fma(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(multiply_add(0.5F, 100000));
    rate(state, "GFLOP/s", 100000.0 * 12 * 16 * 2);
}

struct Shape {
    const char* what;
    int rows, outputs, taps, depth, dilation;
};

/// `copies` weight matrices are used in turn: with enough of them each comes from memory.
void linear(benchmark::State& state, const Backend& backend, const Shape& shape, int copies) {
    const int inputs = shape.taps * shape.depth;
    const int panels = (shape.outputs + backend.panel - 1) / backend.panel;
    const std::size_t packed = static_cast<std::size_t>(panels) * static_cast<std::size_t>(backend.panel * inputs);
    const Floats x =
        random_floats(static_cast<std::size_t>((shape.rows + (shape.taps - 1) * shape.dilation) * shape.depth));
    const Floats dense = random_floats(static_cast<std::size_t>(shape.outputs) * static_cast<std::size_t>(inputs));
    Floats weights(packed * static_cast<std::size_t>(copies));
    for (int c = 0; c < copies; ++c)
        backend.pack_linear(Precision::fp32, dense.data(), shape.outputs, inputs,
                            weights.data() + packed * static_cast<std::size_t>(c));
    Floats y(static_cast<std::size_t>(shape.rows * shape.outputs));
    LinearArgs args;
    args.x = x.data();
    args.row_stride = shape.depth;
    args.taps = shape.taps;
    args.tap_stride = shape.dilation * shape.depth;
    args.depth = shape.depth;
    args.rows = shape.rows;
    args.outputs = shape.outputs;
    args.y = y.data();
    args.y_stride = shape.outputs;
    std::size_t copy = 0;
    for (auto _ : state) {
        args.weights = weights.data() + packed * copy;
        copy = (copy + 1) % static_cast<std::size_t>(copies);
        backend.linear(args, 0, panels);
        benchmark::ClobberMemory();
    }
    const double macs = static_cast<double>(shape.rows) * shape.outputs * inputs;
    rate(state, "GFLOP/s", 2.0 * macs);
    rate(state, "GB/s", static_cast<double>(packed * sizeof(float)));
}

/// One layer's step, windows full. `layers` rings are used in turn: with eight they come from the last-level cache or
/// memory as they do in a model, with one from the second-level cache where it holds them.
void attention(benchmark::State& state, const Backend& backend, Precision ring, int layers) {
    constexpr int kHeads = 8, kDim = 64, kContext = 250;
    constexpr std::size_t kRing = std::size_t{kHeads} * kDim * kContext, kScales = std::size_t{kHeads} * kContext;
    const std::size_t ring_bytes = kRing * bytes_of(ring), all = static_cast<std::size_t>(layers);
    const Floats qkv = random_floats(3 * kHeads * kDim), cos = random_floats(kDim / 2), sin = random_floats(kDim / 2);
    AlignedVector<std::byte> keys(all * ring_bytes), values(all * ring_bytes);
    Floats key_scales(all * kScales), value_scales(all * kScales), scores(256), y(kHeads * kDim);
    AttentionArgs args;
    args.qkv = qkv.data();
    args.rope_cos = cos.data();
    args.rope_sin = sin.data();
    args.ring = ring;
    args.scores = scores.data();
    args.y = y.data();
    args.rows = 1;
    args.heads = kHeads;
    args.head_dim = kDim;
    args.context = kContext;
    const auto step = [&](std::uint64_t position) {
        const std::size_t layer = position % all;
        args.position = position / all;
        args.keys = keys.data() + layer * ring_bytes;
        args.values = values.data() + layer * ring_bytes;
        args.key_scales = key_scales.data() + layer * kScales;
        args.value_scales = value_scales.data() + layer * kScales;
        backend.attention(args, 0, args.heads);
    };
    std::uint64_t position = 0;
    while (position < kContext * all) step(position++);  // fills the rings
    for (auto _ : state) {
        step(position++);
        benchmark::ClobberMemory();
    }
    const std::size_t scale_bytes = ring == Precision::int8 ? kScales * sizeof(float) : 0;
    rate(state, "GB/s", 2.0 * static_cast<double>(ring_bytes + scale_bytes));
}

/// A kernel that reads and writes `bytes` per call.
void plain(benchmark::State& state, const std::function<void()>& call, double bytes) {
    for (auto _ : state) {
        call();
        benchmark::ClobberMemory();
    }
    rate(state, "GB/s", bytes);
}

void register_backend(const Backend& backend) {
    const std::string isa = std::string("/") + backend.name;
    const auto add_linear = [&](const Shape& shape, int copies) {
        const std::string name = std::string("linear/") + shape.what + isa;
        benchmark::RegisterBenchmark(name.c_str(), linear, std::cref(backend), shape, copies);
    };
    // One row from memory: the four products of a transformer layer of width 512, 64 MiB and more of them in turn.
    add_linear({"row_512x512", 1, 512, 1, 512, 1}, 128);
    add_linear({"row_1536x512", 1, 1536, 1, 512, 1}, 64);
    add_linear({"row_2048x512", 1, 2048, 1, 512, 1}, 48);
    add_linear({"row_512x2048", 1, 512, 1, 2048, 1}, 48);
    add_linear({"rows4_2048x512", 4, 2048, 1, 512, 1}, 48);
    add_linear({"rows64_2048x512", 64, 2048, 1, 512, 1}, 1);
    // Convolutions of the HiFT vocoder, on some mel frames' worth of rows.
    add_linear({"hift_pre_k7", 48, 512, 7, 80, 1}, 1);
    add_linear({"hift_up0", 64, 2048, 2, 512, 1}, 1);
    add_linear({"hift_res256_k11_frame", 8, 256, 11, 256, 1}, 6);  // one mel frame, weights from the last-level cache
    add_linear({"hift_res128_k11_frame", 64, 128, 11, 128, 1}, 20);
    add_linear({"hift_res256_k3", 64, 256, 3, 256, 1}, 1);
    add_linear({"hift_res256_k7_d3", 64, 256, 7, 256, 3}, 1);
    add_linear({"hift_res256_k11_d5", 64, 256, 11, 256, 5}, 1);
    add_linear({"hift_res128_k3", 512, 128, 3, 128, 1}, 1);
    add_linear({"hift_res128_k11_d5", 512, 128, 11, 128, 5}, 1);
    add_linear({"hift_post_k7", 512, 18, 7, 128, 1}, 1);
    add_linear({"source_18_k1", 512, 128, 1, 18, 1}, 1);
    for (const auto& [name, ring] :
         {std::pair{"fp32", Precision::fp32}, std::pair{"bf16", Precision::bf16}, std::pair{"int8", Precision::int8}}) {
        for (const int layers : {1, 8}) {
            const std::string title = "attention/8x64x250_" + std::string(name) + "/" + std::to_string(layers);
            benchmark::RegisterBenchmark((title + isa).c_str(), attention, std::cref(backend), ring, layers);
        }
    }

    const auto add_plain = [&](const char* name, double floats, std::function<void()> call) {
        benchmark::RegisterBenchmark((name + isa).c_str(), [=](benchmark::State& state) {
            plain(state, call, floats * static_cast<double>(sizeof(float)));
        });
    };
    constexpr int kRows = 64, kChannels = 256, kCount = kRows * kChannels;
    static const Floats a = random_floats(kCount), b = random_floats(kCount);
    static Floats y(kCount), work(kCount);
    const Backend* k = &backend;
    add_plain("layer_norm", 2.0 * kCount,
              [k] { k->layer_norm(a.data(), b.data(), b.data(), 1e-5F, kRows, kChannels, y.data()); });
    add_plain("elu", 2.0 * kCount, [k] { k->activate(Activation::elu, 0, a.data(), kCount, y.data()); });
    add_plain("gelu", 2.0 * kCount, [k] { k->activate(Activation::gelu, 0, a.data(), kCount, y.data()); });
    add_plain("tanh", 2.0 * kCount, [k] { k->activate(Activation::tanh, 0, a.data(), kCount, y.data()); });
    add_plain("snake", 2.0 * kCount, [k] { k->snake(a.data(), b.data(), b.data(), kRows, kChannels, y.data()); });
    add_plain("add", 3.0 * kCount, [k] { k->add(a.data(), b.data(), kCount, y.data()); });
    add_plain("polar_head", 2.0 * kCount, [k] { k->polar_head(a.data(), kCount / 18, 9, y.data()); });
    for (int length : {16, 256, 1024, 4096}) {
        auto* fft = new Fft(length);  // lives as long as the process, like the benchmarks that refer to it
        const std::string size = std::to_string(length);
        add_plain((std::string("rfft/") + size).c_str(), 2.0 * length,
                  [=] { k->rfft(fft->tables(), a.data(), work.data(), y.data(), y.data() + length); });
        add_plain((std::string("irfft/") + size).c_str(), 2.0 * length,
                  [=] { k->irfft(fft->tables(), a.data(), b.data(), work.data(), y.data()); });
    }
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::RegisterBenchmark("machine/read", machine_read);
    benchmark::RegisterBenchmark("machine/fma", machine_fma);
    for (const Backend* backend : available_backends()) register_backend(*backend);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}

// Times of single kernels at the published sizes, and of one transformer step, beside their roofline bounds by bytes.
// `secousti_gpu_kernels [TB/s]`: memory bandwidth of the device, 3.0 unless given. Needs a GPU.
//
// Each time is the median of replays of a graph that walks through eight layers' weights and rings, so that no layer
// finds its weights in the cache of the last replay by chance alone; data are random.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <vector>

#include "kernels/cuda/launchers.h"

namespace {

using namespace secousti::core;
using cuda::Buffer;

constexpr int kLayers = 8, kDimension = 512, kHeads = 8, kHeadDim = 64, kFeedforward = 2048, kContext = 250;
constexpr int kReplays = 30;

std::vector<float> random_floats(std::size_t count) {
    static std::mt19937 generator(1);
    std::vector<float> values(count);
    for (float& v : values) v = std::uniform_real_distribution<float>(-0.05F, 0.05F)(generator);
    return values;
}

Buffer on_device(const cuda::CudaQueue& queue, const void* data, std::size_t bytes, const char* what) {
    Buffer buffer(bytes, what);
    queue.copy_to_device(buffer.data(), data, bytes);
    queue.synchronize();
    return buffer;
}

struct Layer {
    Buffer weights;
    int outputs, depth;
    cuda::Matrix matrix() const { return {Precision::bf16, weights.data(), nullptr, outputs, depth}; }
};

Layer make_layer(const cuda::CudaQueue& queue, int outputs, int depth) {
    const std::vector<float> values =
        random_floats(static_cast<std::size_t>(outputs) * static_cast<std::size_t>(depth));
    std::vector<char> packed(cuda::packed_bytes(Precision::bf16, outputs, depth));
    cuda::pack_matrix(Precision::bf16, values.data(), outputs, depth, packed.data());
    return {on_device(queue, packed.data(), packed.size(), "weights"), outputs, depth};
}

/// Median microseconds of one replay.
double time_of(const cuda::CudaQueue& queue, const std::function<void()>& record) {
    const cuda::Graph graph(queue, record);
    std::vector<float> times;
    for (int i = 0; i < kReplays + 3; ++i) {
        cuda::Event begin, end;
        begin.record(queue);
        graph.replay(queue);
        end.record(queue);
        end.synchronize();
        if (i >= 3) times.push_back(end.milliseconds_since(begin));
    }
    std::nth_element(times.begin(), times.begin() + kReplays / 2, times.end());
    return static_cast<double>(times[kReplays / 2]) * 1e3;
}

/// Random bfloat16 everywhere, by copies of one block.
void fill_random(const cuda::CudaQueue& queue, const Buffer& buffer) {
    constexpr std::size_t kBlock = std::size_t{1} << 20U;
    std::vector<std::uint16_t> words(kBlock / 2);
    std::mt19937 generator(2);
    for (std::uint16_t& word : words) word = static_cast<std::uint16_t>(0x3C00U + generator() % 0x300U);
    const Buffer block = on_device(queue, words.data(), kBlock, "random block");
    for (std::size_t at = 0; at < buffer.bytes(); at += kBlock) {
        queue.copy_on_device(buffer.as<char>() + at, block.data(), std::min(kBlock, buffer.bytes() - at));
    }
    queue.synchronize();
}

void measure(const cuda::CudaQueue& queue, int streams, double bandwidth) {
    const auto rows = static_cast<std::size_t>(streams);
    std::vector<Layer> qkv, out, expand, contract;
    std::vector<Buffer> keys, values;
    for (int i = 0; i < kLayers; ++i) {
        qkv.push_back(make_layer(queue, 3 * kDimension, kDimension));
        out.push_back(make_layer(queue, kDimension, kDimension));
        expand.push_back(make_layer(queue, kFeedforward, kDimension));
        contract.push_back(make_layer(queue, kDimension, kFeedforward));
        for (std::vector<Buffer>* rings : {&keys, &values}) {
            rings->emplace_back(rows * kContext * kDimension * 2, "ring");
            fill_random(queue, rings->back());
        }
    }
    const auto floats = [&](std::size_t width) {
        const std::vector<float> data = random_floats(rows * width);
        return on_device(queue, data.data(), data.size() * sizeof(float), "rows");
    };
    const Buffer x = floats(kDimension), heads = floats(3 * kDimension), attended = floats(kDimension),
                 hidden = floats(kFeedforward), gamma = floats(kDimension), beta = floats(kDimension),
                 scale = floats(kDimension), cosine = floats(kHeadDim / 2), sine = floats(kHeadDim / 2);
    const Buffer operand(std::max<std::size_t>(cuda::operand_bytes(Precision::bf16, streams, kFeedforward), 16),
                         "operand");
    const Buffer position(rows * 8, "clock"), start(rows * 8, "clock");
    const cuda::Clock clock{position.as<std::uint64_t>(), start.as<std::uint64_t>(), nullptr, streams};
    cuda::seek(queue, clock, nullptr, nullptr);
    cuda::advance(queue, clock, 4 * kContext);

    const auto product = [&](const Layer& layer, const Buffer& in, const Buffer& to, bool norm,
                             const cuda::Epilogue& epilogue) {
        cuda::LinearArgs args;
        args.x = in.as<float>();
        args.row_stride = layer.depth;
        args.rows_per_slot = streams;
        if (norm) args.gamma = gamma.as<float>(), args.beta = beta.as<float>();
        args.matrix = layer.matrix();
        args.epilogue = epilogue;
        args.operand = operand.data();
        args.y = to.as<float>();
        cuda::linear(queue, args);
    };
    const cuda::Epilogue add{.scale = scale.as<float>(), .residual = x.as<float>()};
    // Of int8 rings the same buffers hold twice the rows that a step needs. Scales of each layer: keys, then values.
    constexpr std::size_t kRingScales = kContext * (kDimension / kHeadDim);
    const Buffer ring_scales = floats(2 * kLayers * kRingScales);
    const auto attend = [&](std::size_t i, Precision ring) {
        cuda::AttentionArgs args;
        args.ring = ring;
        args.key_scales = ring_scales.as<float>() + 2 * i * rows * kRingScales;
        args.value_scales = args.key_scales + rows * kRingScales;
        args.clock = clock;
        args.heads = kHeads;
        args.head_dim = kHeadDim;
        args.context = args.ring_rows = kContext;
        args.keys = keys[i].data();
        args.values = values[i].data();
        args.qkv = heads.as<float>();
        args.cos = cosine.as<float>();
        args.sin = sine.as<float>();
        args.y = attended.as<float>();
        cuda::attention(queue, args);
    };
    struct Part {
        const char* name;
        double bytes;  // of all layers
        std::function<void(std::size_t)> run;
    };
    const auto moved = [&](int outputs, int depth) {
        return kLayers * (2.0 * outputs * depth + 4.0 * streams * (outputs + depth));
    };
    const auto ring_bytes = [&](Precision ring) {
        const double values = 2.0 * kContext * kDimension * static_cast<double>(bytes_of(ring));
        const double scales = ring == Precision::int8 ? 8.0 * static_cast<double>(kRingScales) : 0.0;
        return kLayers * (values + scales + 16.0 * kDimension) * streams;
    };
    const std::vector<Part> parts{
        {"norm + q, k, v", moved(3 * kDimension, kDimension),
         [&](std::size_t i) { product(qkv[i], x, heads, true, {}); }},
        {"attention step", ring_bytes(Precision::bf16), [&](std::size_t i) { attend(i, Precision::bf16); }},
        {"output projection", moved(kDimension, kDimension),
         [&](std::size_t i) { product(out[i], attended, x, false, add); }},
        {"norm + expand + GELU", moved(kFeedforward, kDimension),
         [&](std::size_t i) { product(expand[i], x, hidden, true, {.activation = Activation::gelu}); }},
        {"contract", moved(kDimension, kFeedforward),
         [&](std::size_t i) { product(contract[i], hidden, x, false, add); }}};
    const auto print = [&](const char* name, double microseconds, double bytes) {
        const double bound = bytes / bandwidth * 1e6;
        std::printf("%7d  %-24s %10.2f %10.2f %7.0f%%\n", streams, name, microseconds, bound,
                    100.0 * bound / microseconds);
    };
    const auto print_part = [&](const Part& part) {
        const auto all_layers = [&] {
            for (std::size_t i = 0; i < kLayers; ++i) part.run(i);
        };
        print(part.name, time_of(queue, all_layers), part.bytes);
    };
    double total = 0.0;
    for (const Part& part : parts) {
        total += part.bytes;
        print_part(part);
    }
    print_part(
        {"attention step, int8", ring_bytes(Precision::int8), [&](std::size_t i) { attend(i, Precision::int8); }});
    print("transformer, 8 layers",
          time_of(queue,
                  [&] {
                      for (std::size_t i = 0; i < kLayers; ++i) {
                          for (const Part& part : parts) part.run(i);
                      }
                  }),
          total);
}

}  // namespace

int main(int argc, char** argv) {
    if (!cuda::available()) {
        std::printf("no GPU: %s\n", cuda::why_unavailable());
        return 77;
    }
    const double bandwidth = (argc > 1 ? std::strtod(argv[1], nullptr) : 3.0) * 1e12;
    const cuda::CudaQueue queue;
    std::printf("%s, roofline bounds at %.2f TB/s; eight launches of each kernel\n", cuda::properties(0).name.c_str(),
                bandwidth / 1e12);
    std::printf("%7s  %-24s %10s %10s %8s\n", "streams", "kernel", "us", "bound us", "of bound");
    for (const int streams : {1, 4, 16, 64, 256, 1024}) measure(queue, streams, bandwidth);
    return 0;
}

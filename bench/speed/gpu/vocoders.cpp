// Front end and vocoders alone on the device, as CUDA graphs, weights of the published sizes at random: one JSON object
// a line. `secousti_bench_vocoders [replays]`; built and run by bench/speed/gpu/verify.sh.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "cuda/mel.h"
#include "cuda/vocoder.h"
#include "models/hift/hift.h"
#include "published_config.h"
#include "tiny_model.h"

namespace {

using namespace secousti::core;
using cuda::DeviceArray;

Config published_with(VocoderKind vocoder, Precision precision) {
    Config config = published::front_end();
    config.vocoder = vocoder;
    config.precision = precision;
    return config;
}

std::vector<float> random_values(std::size_t count, float low, float high) {
    static std::mt19937 generator(1);
    std::uniform_real_distribution<float> uniform(low, high);
    std::vector<float> values(count);
    for (float& v : values) v = uniform(generator);
    return values;
}

std::vector<std::byte> random_weights(const Config& config) {
    std::vector<tiny::NamedTensor> tensors;
    for (const TensorSpec& spec : hift_tensors(config.hift, config.n_mels)) {
        std::size_t count = 1;
        for (const std::int64_t size : spec.shape) count *= static_cast<std::size_t>(size);
        float bound = 0.1F;
        if (spec.shape.size() > 1) {
            bound = std::sqrt(static_cast<float>(spec.shape[0]) / static_cast<float>(count));
        }
        const bool alpha = spec.name.ends_with(".alpha");
        tensors.push_back({spec.name, spec.shape, random_values(count, alpha ? 0.5F : -bound, alpha ? 1.5F : bound)});
    }
    return tiny::safetensors("{}", tensors);
}

/// Times replays of what `record` gives to the queue, one by one, and prints a row.
void measure(const cuda::CudaQueue& queue, const char* stage, const char* precision, int streams, int frames,
             int replays, const std::function<void()>& record) {
    for (int i = 0; i < 3; ++i) record();
    queue.synchronize();
    const cuda::Graph graph(queue, record);
    cuda::Event before, after;
    std::vector<double> milliseconds;
    for (int i = -3; i < replays; ++i) {
        before.record(queue);
        graph.replay(queue);
        after.record(queue);
        after.synchronize();
        if (i >= 0) milliseconds.push_back(static_cast<double>(after.milliseconds_since(before)));
    }
    std::sort(milliseconds.begin(), milliseconds.end());
    const double p50 = milliseconds[milliseconds.size() / 2], p99 = milliseconds[milliseconds.size() * 99 / 100];
    const double audio = static_cast<double>(streams) * frames * 256.0 / 22050.0;
    std::printf(
        "{\"stage\": \"%s\", \"precision\": \"%s\", \"streams\": %d, \"mel_frames\": %d, \"p50_ms\": %.4f, "
        "\"p99_ms\": %.4f, \"times_real_time\": %.1f}\n",
        stage, precision, streams, frames, p50, p99, audio / (p50 / 1e3));
    std::fflush(stdout);
}

void mel(const cuda::CudaQueue& queue, int streams, int replays) {
    const Config config = published_with(VocoderKind::none, Precision::fp32);
    const cuda::DeviceMel front_end(queue, config);
    const auto state = front_end.make_state(queue, streams, 1);
    const std::size_t slots = static_cast<std::size_t>(streams);
    const DeviceArray<float> pcm(queue, random_values(slots * 256, -0.5F, 0.5F), "samples");
    const DeviceArray<float> mel(queue, slots * 80, "mel");
    const DeviceArray<std::int32_t> frames(queue, slots, "counts");
    measure(queue, "mel", "fp32", streams, 1, replays,
            [&] { front_end.push(queue, state, nullptr, pcm.data(), 256, false, mel.data(), 1, frames.data()); });
}

void vocoder(const cuda::CudaQueue& queue, const char* stage, const cuda::DeviceVocoder& vocoder, const char* precision,
             int streams, int frames, int look_ahead, int replays) {
    const auto slots = vocoder.make_slots(queue, streams, frames, look_ahead);
    for (int s = 0; s < streams; ++s) {
        vocoder.start(queue, *slots, s, {look_ahead, true, static_cast<std::uint64_t>(s)});
    }
    const std::size_t rows = static_cast<std::size_t>(streams) * static_cast<std::size_t>(frames);
    const DeviceArray<float> mel(queue, random_values(rows * 80, -8.0F, 0.0F), "mel");
    const DeviceArray<float> pcm(queue, rows * 256, "samples");
    const DeviceArray<std::int32_t> samples(queue, static_cast<std::size_t>(streams), "counts");
    measure(queue, stage, precision, streams, frames, replays, [&] {
        vocoder.push(queue, *slots, nullptr, mel.data(), frames, pcm.data(), frames * 256, samples.data());
    });
}

}  // namespace

int main(int argc, char** argv) {
    const int replays = argc > 1 ? std::max(1, std::atoi(argv[1])) : 100;
    if (!cuda::available()) {
        std::fprintf(stderr, "%s\n", cuda::why_unavailable());
        return 1;
    }
    const cuda::CudaQueue queue;
    for (const int streams : {1, 1536, 4096}) mel(queue, streams, replays);
    const Config spectral = published_with(VocoderKind::spectral, Precision::fp32);
    const SafetensorsFile none = SafetensorsFile::from_memory(tiny::safetensors("{}", {}));
    const auto phases = cuda::make_device_vocoder(queue, spectral, WeightMap(none));
    for (const int streams : {1, 256, 1536, 4096}) {
        vocoder(queue, "spectral, look-ahead 1", *phases, "fp32", streams, 1, 1, replays);
    }
    for (const Precision precision : {Precision::bf16, Precision::fp32}) {
        const Config config = published_with(VocoderKind::hift, precision);
        const std::vector<std::byte> bytes = random_weights(config);
        const SafetensorsFile file = SafetensorsFile::from_memory(bytes);
        const auto hift = cuda::make_device_vocoder(queue, config, WeightMap(file));
        const char* name = precision == Precision::bf16 ? "bf16" : "fp32";
        for (const auto& [streams, frames] : {std::pair{1, 1}, {1, 4}, {1, 32}, {16, 4}, {64, 4}, {64, 16}, {256, 1}}) {
            vocoder(queue, "HiFT", *hift, name, streams, frames, 19,
                    precision == Precision::bf16 ? replays : replays / 4 + 1);
        }
    }
    return 0;
}

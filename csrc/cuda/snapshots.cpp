#include "cuda/snapshots.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/error.h"

namespace secousti::core::cuda {

namespace {

std::size_t size(std::uint64_t n) { return static_cast<std::size_t>(n); }

/// A slot's part of an array [slots, …].
template <class T>
struct Part {
    T* data;
    std::size_t count;

    Part(const DeviceArray<T>& array, std::size_t slots, int slot)
        : data(array.data() + array.count() / slots * static_cast<std::size_t>(slot)), count(array.count() / slots) {}
    std::vector<T> fetch(const CudaQueue& stream) const {
        std::vector<T> values(count);
        stream.copy_to_host(values.data(), data, count * sizeof(T));
        stream.synchronize();
        return values;
    }
    void put(const CudaQueue& stream, const std::vector<T>& values) const {
        stream.copy_to_device(data, values.data(), count * sizeof(T));
        stream.synchronize();
    }
};

/// Calls body(row of the device's ring, row of the CPU's window) for the rows of a convolution's history that exist.
template <class Body>
void for_history(const DeviceConv& conv, const Transformer::Clock& clock, std::size_t ring_rows, const Body& body) {
    const std::uint64_t per_token = static_cast<std::uint64_t>(conv.shape().rows_per_token);
    const std::uint64_t end = clock.position * per_token, first = clock.start * per_token;
    const int history = conv.history();
    for (int i = 0; i < history; ++i) {
        const std::uint64_t before = static_cast<std::uint64_t>(history - i);
        if (end < first + before) continue;  // before the stream's start
        body(size((end - before) % ring_rows), static_cast<std::size_t>(i));
    }
}

/// Calls body(row of the device's ring, row of the CPU's ring) for the positions that the next token still sees.
template <class Body>
void for_window(int context, const Transformer::Clock& clock, std::size_t ring_rows, const Body& body) {
    const std::uint64_t length = static_cast<std::uint64_t>(context);
    const std::uint64_t seen = std::min(length, clock.position - clock.start);
    for (std::uint64_t p = clock.position - seen; p < clock.position; ++p) body(size(p % ring_rows), size(p % length));
}

/// Copies rows of `row` values between a slot's ring on the device, [heads, ring_rows], and the CPU's, [heads,
/// context].
template <class Copy>
void for_ring(const TransformerSpec& spec, int ring_rows, const Transformer::Clock& clock, std::size_t row,
              const Copy& copy) {
    const std::size_t there_rows = size(static_cast<std::uint64_t>(ring_rows));
    const std::size_t here_rows = size(static_cast<std::uint64_t>(spec.context));
    for (std::size_t head = 0; head < static_cast<std::size_t>(spec.dimension / spec.head_dim); ++head) {
        for_window(spec.context, clock, there_rows, [&](std::size_t there, std::size_t here) {
            copy((head * there_rows + there) * row, (head * here_rows + here) * row, row);
        });
    }
}

/// Calls body(device's array, CPU's array, values of a row) for what every layer keeps of its past.
template <class Body>
void for_rings(const Transformer& cpu, const DeviceTransformer::State& state, const Body& body) {
    const TransformerSpec& spec = cpu.spec();
    const std::size_t width = static_cast<std::size_t>(spec.head_dim) * bytes_of(spec.precision);
    for (std::size_t layer = 0; layer < state.keys.size(); ++layer) {
        body(state.keys[layer], cpu.keys(layer), width);
        body(state.values[layer], cpu.values(layer), width);
        if (spec.precision != Precision::int8) continue;
        body(state.key_scales[layer], cpu.key_scales(layer), std::size_t{1});
        body(state.value_scales[layer], cpu.value_scales(layer), std::size_t{1});
    }
}

}  // namespace

void save_slot(const CudaQueue& stream, const SnapshotLayers& layers, const SlotsState& state, int slot,
               std::byte* arena) {
    const std::size_t slots = state.position.count();
    const Transformer::Clock clock{Part(state.position, slots, slot).fetch(stream).front(),
                                   Part(state.start, slots, slot).fetch(stream).front()};
    for (std::size_t i = 0; i < layers.convolutions.size(); ++i) {
        const DeviceConv& conv = layers.convolutions[i];
        const Conv& cpu = *layers.cpu_convolutions[i];
        float* window = cpu.window().in(arena);
        std::fill_n(window, cpu.window().count, 0.0F);
        *cpu.appended().in(arena) = 0;
        if (conv.history() == 0) continue;
        const std::size_t width = static_cast<std::size_t>(conv.shape().inputs);
        const std::vector<float> ring = Part(state.rings[i], slots, slot).fetch(stream);
        for_history(conv, clock, ring.size() / width, [&](std::size_t there, std::size_t here) {
            std::copy_n(ring.begin() + static_cast<std::ptrdiff_t>(there * width), width, window + here * width);
        });
    }
    for (std::size_t t = 0; t < layers.transformers.size(); ++t) {
        const Transformer& cpu = *layers.cpu_transformers[t];
        *cpu.clock().in(arena) = clock;
        const DeviceTransformer::State& rings = state.transformers[t];
        for_rings(cpu, rings, [&]<class T>(const DeviceArray<T>& from, const Slice<T>& to, std::size_t width) {
            const std::vector<T> ring = Part(from, slots, slot).fetch(stream);
            std::fill_n(to.in(arena), to.count, T{});
            for_ring(cpu.spec(), rings.ring_rows, clock, width, [&](auto there, auto here, auto count) {
                std::memcpy(to.in(arena) + here, ring.data() + there, count * sizeof(T));
            });
        });
    }
}

void load_slot(const CudaQueue& stream, const SnapshotLayers& layers, const SlotsState& state, int slot,
               const std::byte* arena) {
    const std::size_t slots = state.position.count();
    const Transformer::Clock clock = *layers.cpu_transformers.front()->clock().in(arena);
    for (const Conv* conv : layers.cpu_convolutions) {
        if (*conv->appended().in(arena) != 0) {
            throw Error(Status::incompatible,
                        "snapshot: taken within a token; a device takes streams that stand between two");
        }
    }
    Part(state.position, slots, slot).put(stream, {clock.position});
    Part(state.start, slots, slot).put(stream, {clock.start});
    for (std::size_t i = 0; i < layers.convolutions.size(); ++i) {
        const DeviceConv& conv = layers.convolutions[i];
        const float* window = layers.cpu_convolutions[i]->window().in(arena);
        const Part part(state.rings[i], slots, slot);
        const std::size_t width = static_cast<std::size_t>(conv.shape().inputs);
        std::vector<float> ring(part.count);
        for_history(conv, clock, ring.size() / width, [&](std::size_t there, std::size_t here) {
            std::copy_n(window + here * width, width, ring.begin() + static_cast<std::ptrdiff_t>(there * width));
        });
        part.put(stream, ring);
    }
    for (std::size_t t = 0; t < layers.transformers.size(); ++t) {
        const Transformer& cpu = *layers.cpu_transformers[t];
        const DeviceTransformer::State& rings = state.transformers[t];
        for_rings(cpu, rings, [&]<class T>(const DeviceArray<T>& to, const Slice<T>& from, std::size_t width) {
            const Part part(to, slots, slot);
            std::vector<T> ring(part.count);
            for_ring(cpu.spec(), rings.ring_rows, clock, width, [&](auto there, auto here, auto count) {
                std::memcpy(ring.data() + there, from.in(arena) + here, count * sizeof(T));
            });
            part.put(stream, ring);
        });
    }
}

void save_tokens(const CudaQueue& stream, const SlotsState& state, int slot, const Concealment& cpu, std::byte* arena) {
    const std::size_t slots = state.position.count();
    const ConcealMemory memory = Part(state.memory, slots, slot).fetch(stream).front();
    *cpu.memory().in(arena) = {memory.heard, memory.last, memory.missing};
    const std::vector<float> floor = Part(state.floor, slots, slot).fetch(stream);
    std::copy(floor.begin(), floor.end(), cpu.floor().in(arena));
}

void load_tokens(const CudaQueue& stream, const SlotsState& state, int slot, const Concealment& cpu,
                 const std::byte* arena) {
    const std::size_t slots = state.position.count();
    const Concealment::Memory& memory = *cpu.memory().in(arena);
    Part(state.memory, slots, slot).put(stream, {{memory.heard, memory.last, memory.missing}});
    const float* floor = cpu.floor().in(arena);
    Part(state.floor, slots, slot).put(stream, std::vector<float>(floor, floor + cpu.floor().count));
}

void forget_tokens(const CudaQueue& stream, const SlotsState& state, int slot) {
    const std::size_t slots = state.position.count();
    const Part memory(state.memory, slots, slot);
    const Part floor(state.floor, slots, slot);
    stream.fill(memory.data, 0, memory.count * sizeof(ConcealMemory));
    stream.fill(floor.data, 0, floor.count * sizeof(float));
}

SnapshotLayers encoder_layers(const DeviceEncoder& device, const Encoder& cpu) {
    return {device.convolutions(), cpu.seanet().convolutions(), {&device.transformer()}, {&cpu.transformer()}};
}

SnapshotLayers decoder_layers(const DeviceDecoder& device, const Decoder& cpu) {
    return {device.convolutions(),
            cpu.seanet().convolutions(),
            {&device.connector(), &device.transformer()},
            {&cpu.connector(), &cpu.transformer()}};
}

}  // namespace secousti::core::cuda

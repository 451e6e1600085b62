#include "cuda/mel.h"

#include <algorithm>

namespace secousti::core::cuda {

DeviceMel::DeviceMel(const CudaQueue& queue, const Config& config)
    : length_(config.n_fft),
      hop_(config.hop_length),
      pad_((config.n_fft - config.hop_length) / 2),
      spectrum_(queue, config.n_fft, hann_window(config.n_fft), MelBands(config)) {}

DeviceMel::State DeviceMel::make_state(const CudaQueue& queue, int slots, int multiple) const {
    State state;
    state.slots = slots;
    state.multiple = multiple;
    state.capacity = length_ + (multiple - 1) * hop_;
    state.samples = {queue, area(slots, state.capacity), "the samples of a front end"};
    state.progress = {queue, static_cast<std::size_t>(slots), "the progress of a front end"};
    queue.fill(state.samples.data(), 0, state.samples.bytes());
    queue.fill(state.progress.data(), 0, state.progress.bytes());
    return state;
}

int DeviceMel::max_frames(const State& state, int samples, bool end) const noexcept {
    const int held = state.capacity - 1 + samples;
    return end ? std::max(0, held - pad_) / hop_ : held < length_ ? 0 : (held - length_) / hop_ + 1;
}

void DeviceMel::push(const CudaQueue& queue, const State& state, const std::uint8_t* active, const float* pcm,
                     int samples, const std::int32_t* counts, bool end, float* mel, int max_frames, int blocks,
                     std::int32_t* frames) const {
    MelArgs args;
    args.spectrum = spectrum_.view();
    args.hop = hop_;
    args.pad = pad_;
    args.epsilon = kMagnitudeEpsilon;
    args.floor = kMelFloor;
    args.slots = state.slots;
    args.active = active;
    args.buffer = state.samples.data();
    args.capacity = state.capacity;
    args.progress = state.progress.data();
    args.pcm = pcm;
    args.samples = samples;
    args.counts = counts;
    args.blocks = blocks;
    args.end = end;
    args.multiple = state.multiple;
    args.mel = mel;
    args.max_frames = max_frames;
    args.frames = frames;
    mel_step(queue, args);
}

void DeviceMel::reset(const CudaQueue& queue, const State& state, int slot) const {
    queue.fill(state.progress.data() + slot, 0, sizeof(MelProgress));
}

void DeviceMel::save(const CudaQueue& queue, const State& state, int slot, const MelFrontEnd& cpu,
                     std::byte* arena) const {
    MelProgress progress{};
    queue.copy_to_host(&progress, state.progress.data() + slot, sizeof progress);
    queue.synchronize();
    *cpu.progress().in(arena) = {progress.samples, progress.frames, progress.appended};
    float* buffer = cpu.buffer().in(arena);
    std::fill_n(buffer, cpu.buffer().count, 0.0F);
    const std::int64_t held = std::min<std::int64_t>(pad_ + progress.appended, state.capacity);
    if (held > 0) {
        queue.copy_to_host(buffer, state.samples.data() + area(slot, state.capacity),
                           static_cast<std::size_t>(held) * sizeof(float));
        queue.synchronize();
    }
}

void DeviceMel::load(const CudaQueue& queue, const State& state, int slot, const MelFrontEnd& cpu,
                     const std::byte* arena) const {
    const MelFrontEnd::Progress& from = *cpu.progress().in(arena);
    const MelProgress progress{from.samples, from.frames, from.appended};
    queue.copy_to_device(state.samples.data() + area(slot, state.capacity), cpu.buffer().in(arena),
                         std::min(static_cast<std::size_t>(state.capacity), cpu.buffer().count) * sizeof(float));
    queue.copy_to_device(state.progress.data() + slot, &progress, sizeof progress);
    queue.synchronize();
}

}  // namespace secousti::core::cuda

#include "cuda/spectral.h"

#include <algorithm>

namespace secousti::core::cuda {

namespace {

namespace cpu = core::spectral;

template <class T>
int floats(const Slice<T>& slice) {
    return static_cast<int>(slice.offset / sizeof(float));
}

}  // namespace

DeviceSpectral::DeviceSpectral(const CudaQueue& queue, const Config& config)
    : config_(config.spectral),
      hop_(config.hop_length),
      span_(cpu::span(config)),
      layout_(config),
      tables_(config),
      spectrum_(queue, config.n_fft, tables_.window, tables_.filters),
      inverse_weight_(queue, tables_.inverse_weight, "the windows of the vocoder"),
      fraction_(queue, tables_.fraction, "the bands of the vocoder"),
      band_(queue, tables_.band, "the bands of the vocoder") {}

DeviceSpectral::State DeviceSpectral::make_state(const CudaQueue& queue, int slots, int max_look_ahead) const {
    State state;
    state.slots = slots;
    state.max_look_ahead = max_look_ahead;
    const std::size_t count = static_cast<std::size_t>(slots);
    state.data = {queue, count * (layout_.bytes / sizeof(float)), "the state of the vocoder"};
    state.progress = {queue, count, "the progress of the vocoder"};
    queue.fill(state.data.data(), 0, state.data.bytes());
    queue.fill(state.progress.data(), 0, state.progress.bytes());
    return state;
}

void DeviceSpectral::start(const CudaQueue& queue, const State& state, int slot, int look_ahead) const {
    const SpectralProgress progress{0, look_ahead};
    queue.copy_to_device(state.progress.data() + slot, &progress, sizeof progress);
    queue.synchronize();
}

SpectralArgs DeviceSpectral::args(const State& state, const std::uint8_t* active, float* pcm, std::ptrdiff_t pcm_stride,
                                  std::int32_t* samples) const {
    SpectralArgs args;
    args.spectrum = spectrum_.view();
    args.hop = hop_;
    args.span = span_;
    args.inverse_weight = inverse_weight_.data();
    args.band = band_.data();
    args.fraction = fraction_.data();
    args.log_low = cpu::kLogLow;
    args.log_high = cpu::kLogHigh;
    args.floor = kMelFloor;
    args.tiny = cpu::kTiny;
    args.epsilon = kMagnitudeEpsilon;
    args.impulse = cpu::kImpulse;
    args.momentum = cpu::kMomentum;
    for (int ahead = 0; ahead < kMaxOpenFrames; ++ahead) args.iterations[ahead] = cpu::iterations(config_, ahead);
    args.slots = state.slots;
    args.max_look_ahead = state.max_look_ahead;
    args.active = active;
    args.progress = state.progress.data();
    args.state = state.data.data();
    args.state_floats = layout_.bytes / sizeof(float);
    args.signal = floats(layout_.signal);
    args.closed = floats(layout_.closed);
    for (std::size_t i = 0; i < kMaxOpenFrames; ++i) {
        const cpu::State::Frame& frame = layout_.frames[i];
        args.frame[i] = {floats(frame.target), floats(frame.segment), floats(frame.previous_re),
                         floats(frame.previous_im)};
    }
    args.pcm = pcm;
    args.pcm_stride = pcm_stride;
    args.samples = samples;
    return args;
}

void DeviceSpectral::push(const CudaQueue& queue, const State& state, const std::uint8_t* active, const float* mel,
                          int frames, float* pcm, std::ptrdiff_t pcm_stride, std::int32_t* samples) const {
    SpectralArgs step = args(state, active, pcm, pcm_stride, samples);
    step.mel = mel;
    step.frames = frames;
    spectral_step(queue, step);
}

void DeviceSpectral::finish(const CudaQueue& queue, const State& state, const std::uint8_t* active, float* pcm,
                            std::ptrdiff_t pcm_stride, std::int32_t* samples) const {
    spectral_finish(queue, args(state, active, pcm, pcm_stride, samples));
}

void DeviceSpectral::finish(const CudaQueue& queue, const State& state, int slot, float* pcm,
                            std::int32_t* samples) const {
    SpectralArgs end = args(state, nullptr, pcm, 0, samples);
    end.slots = 1;
    end.progress += slot;
    end.state += static_cast<std::size_t>(slot) * end.state_floats;
    spectral_finish(queue, end);
}

void DeviceSpectral::save(const CudaQueue& queue, const State& state, int slot, std::byte* vocoder_state) const {
    SpectralProgress progress{};
    queue.copy_to_host(&progress, state.progress.data() + slot, sizeof progress);
    queue.copy_to_host(vocoder_state,
                       state.data.data() + static_cast<std::size_t>(slot) * (layout_.bytes / sizeof(float)),
                       layout_.bytes);
    queue.synchronize();
    if (progress.frames == 0) std::fill_n(vocoder_state, layout_.bytes, std::byte{0});
    *layout_.progress.in(vocoder_state) = {static_cast<std::uint64_t>(progress.frames),
                                           static_cast<std::int32_t>(progress.look_ahead)};
}

void DeviceSpectral::load(const CudaQueue& queue, const State& state, int slot, const std::byte* vocoder_state) const {
    const cpu::Progress& from = *layout_.progress.in(vocoder_state);
    const SpectralProgress progress{static_cast<std::int64_t>(from.frames), from.look_ahead};
    queue.copy_to_device(state.data.data() + static_cast<std::size_t>(slot) * (layout_.bytes / sizeof(float)),
                         vocoder_state, layout_.bytes);
    queue.copy_to_device(state.progress.data() + slot, &progress, sizeof progress);
    queue.synchronize();
}

}  // namespace secousti::core::cuda

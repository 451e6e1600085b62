// Single slots of HiFT on the device, and their way to and from the CPU: by what they were fed (models/hift/past.h).
#include <algorithm>

#include "cuda/hift.h"

namespace secousti::core::cuda {

DeviceHift::State DeviceHift::slot_of(const State& state, int slot) {
    State one;
    one.slots = 1;
    one.max_frames = state.max_frames;
    one.signals = state.signals;
    for (HiftSignal& signal : one.signals) signal.data += static_cast<std::size_t>(slot) * signal.slot_bytes;
    const std::size_t index = static_cast<std::size_t>(slot), slots = static_cast<std::size_t>(state.slots);
    one.rings = state.rings.part(index, slots);
    one.clocks = state.clocks.part(index, slots);
    return one;
}

void DeviceHift::save(const CudaQueue& queue, const State& state, int slot, std::byte* vocoder_state) const {
    HiftClock clock{};
    queue.copy_to_host(&clock, state.clocks.data() + slot, sizeof clock);
    const HiftSignal& mel = state.signals[static_cast<std::size_t>(mel_)];
    std::vector<float> ring(area(mel.rows, mel.stride));
    queue.copy_to_host(ring.data(), mel.data + static_cast<std::size_t>(slot) * mel.slot_bytes,
                       ring.size() * sizeof(float));
    queue.synchronize();
    *past_.clock.in(vocoder_state) = {clock.frames, clock.turns, {clock.noise != 0, clock.seed}, 1};
    for (std::int64_t t = past_.first(clock.frames); t < clock.frames; ++t) {
        std::copy_n(ring.begin() + static_cast<std::ptrdiff_t>(t % mel.rows) * mel.stride, bands_,
                    past_.frame(vocoder_state, t));
    }
}

void DeviceHift::load(const CudaQueue& queue, const State& state, int slot, const std::byte* vocoder_state) const {
    const hift::Past::Clock& from = *past_.clock.in(vocoder_state);
    const std::int64_t begin = past_.first(from.frames);
    const State one = slot_of(state, slot);
    std::vector<float> rows(area(static_cast<int>(from.frames - begin), bands_));
    for (std::int64_t t = begin; t < from.frames; ++t) {
        std::copy_n(past_.frame(vocoder_state, t), bands_,
                    rows.begin() + static_cast<std::ptrdiff_t>(t - begin) * bands_);
    }
    const DeviceArray<float> mel(queue, rows, "mel of a snapshot");
    const DeviceArray<float> dropped(queue, area(state.max_frames, hop_length_), "samples of a snapshot");
    const DeviceArray<std::int32_t> samples(queue, 1, "samples of a snapshot");
    // As Hift::rebuild does it on the CPU: the first time shows how far these frames turn the phase.
    std::uint64_t turned = begin == 0 ? from.turns : 0;
    for (const bool whole : {false, true}) {
        if (!whole && begin == 0) continue;
        queue.fill(one.rings.data(), 0, one.rings.bytes());
        HiftClock clock{.frames = begin,
                        .turns = whole ? from.turns - turned : 0,
                        .seed = from.noise.seed,
                        .noise = from.noise.enabled ? 1 : 0};
        queue.copy_to_device(one.clocks.data(), &clock, sizeof clock);
        queue.synchronize();
        for (std::int64_t at = begin; at < from.frames;) {
            const int count = static_cast<int>(std::min<std::int64_t>(from.frames - at, state.max_frames));
            const HiftStep step{one.clocks.data(), nullptr, 1, count};
            feed(queue, one, step, mel.data() + (at - begin) * bands_);
            if (whole) {
                run(queue, one, step, head(one, dropped.data(), 0, samples.data()));
            } else {
                source(queue, one, step);
                hift_advance(queue, step);
            }
            at += count;
        }
        queue.copy_to_host(&clock, one.clocks.data(), sizeof clock);
        queue.synchronize();
        turned = clock.turns;
    }
}

}  // namespace secousti::core::cuda

// Slots of a device vocoder, fed from the host and read back.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "check.h"
#include "device_array.h"
#include "models/config.h"

namespace simt_test {

template <class DeviceVocoder>
struct VocoderSlots {
    /// `extent` is what make_state asks for beside the slots, `arguments` what the vocoder does beside the queue.
    template <class... Arguments>
    VocoderSlots(const secousti::core::Config& config_, int slots_, int extent, Arguments&&... arguments)
        : config(config_),
          slots(slots_),
          vocoder(queue(), std::forward<Arguments>(arguments)...),
          state(vocoder.make_state(queue(), slots, extent)),
          out(static_cast<std::size_t>(slots)) {}

    /// rows: the next `frames` rows of mel for each slot, null: not active; frames 0: the end.
    void step(const std::vector<const float*>& rows, int frames) {
        const int width = frames * config.n_mels;
        const int most = frames > 0 ? frames * config.hop_length : most_at_end;
        std::vector<float> mel(static_cast<std::size_t>(slots * width + 1), std::nanf(""));
        std::vector<std::uint8_t> active;
        for (int s = 0; s < slots; ++s) {
            const float* row = rows[static_cast<std::size_t>(s)];
            active.push_back(row != nullptr);
            if (row != nullptr) std::copy_n(row, width, mel.begin() + s * width);
        }
        const Array<float> device_mel(mel);
        const Array<std::uint8_t> mask(active);
        const Array<float> pcm(std::vector<float>(static_cast<std::size_t>(slots * most)));
        const Array<std::int32_t> samples(static_cast<std::size_t>(slots));
        if (frames > 0) {
            vocoder.push(queue(), state, mask.data(), device_mel.data(), frames, pcm.data(), most, samples.data());
        } else {
            vocoder.finish(queue(), state, mask.data(), pcm.data(), most, samples.data());
        }
        const std::vector<float> host = pcm.host();
        const std::vector<std::int32_t> counts = samples.host();
        for (int s = 0; s < slots; ++s) {
            const std::size_t slot = static_cast<std::size_t>(s);
            CHECK(counts[slot] >= 0 && counts[slot] <= most);
            CHECK(active[slot] != 0 || counts[slot] == 0);
            out[slot].insert(out[slot].end(), host.begin() + s * most, host.begin() + s * most + counts[slot]);
        }
    }

    secousti::core::Config config;
    int slots;
    int most_at_end = 0;  ///< samples that the end of a stream can give
    DeviceVocoder vocoder;
    typename DeviceVocoder::State state;
    std::vector<std::vector<float>> out;
};

/// All of a mel through the only slot, `chunk` frames at a time, and the end.
template <class DeviceVocoder>
std::vector<float> vocode_whole(VocoderSlots<DeviceVocoder>& group, const std::vector<float>& mel, int chunk) {
    const int bands = group.config.n_mels, frames = static_cast<int>(mel.size()) / bands;
    for (int t = 0; t < frames; t += chunk) group.step({mel.data() + t * bands}, std::min(chunk, frames - t));
    group.step({mel.data()}, 0);
    return group.out[0];
}

}  // namespace simt_test

#include "models/hift/past.h"

#include <algorithm>

#include "models/hift/config.h"

namespace secousti::core::hift {

namespace {
int divided_up(int a, int b) { return (a + b - 1) / b; }
}  // namespace

int past_frames(const Config& config) {
    const int taps = config.hift.istft_n_fft / config.hift.istft_hop, rows = config.hop_length / config.hift.istft_hop;
    const Layers all = layers(config.hift, config.n_mels);
    // How many rows of each signal after the start of the mel still lack a part of what they see, and, in frames, how
    // far the last signal lags.
    int f0 = 0;
    for (const ConvLayer& layer : all.pitch) f0 += layer.spec.pad_right;
    const int spectra = f0 * rows + taps / 2;
    int trunk = all.pre.spec.pad_right;
    for (const StageLayers& stage : all.stages) {
        trunk = (trunk + 1) * stage.rate + 1;
        const ConvSpec& down = stage.down.spec;
        const int source = divided_up(spectra + down.pad_left, down.stride) + stage.source.lag();
        int longest = 0;
        for (const BlockLayers& block : stage.blocks) longest = std::max(longest, block.lag());
        trunk = std::max(trunk, source) + longest;
    }
    trunk += all.post.spec.pad_right + taps / 2;
    // Every layer looks as far ahead as it looks back, but for rounding.
    return 2 * divided_up(trunk, rows) + 2;
}

Past::Past(const Config& config, ArenaLayout& state)
    : frames(past_frames(config)),
      bands(config.n_mels),
      clock(state.reserve<Clock>(1)),
      mel(state.reserve<float>(area(frames, bands))) {}

}  // namespace secousti::core::hift

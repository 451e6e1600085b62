#include "models/hift/past.h"

#include <algorithm>

#include "models/hift/config.h"
#include "models/hift/stream.h"

namespace secousti::core::hift {

namespace {
int divided_up(int a, int b) { return (a + b - 1) / b; }
}  // namespace

int past_frames(const Config& config) {
    const HiftConfig& h = config.hift;
    const int taps = h.istft_n_fft / h.istft_hop, rows = config.hop_length / h.istft_hop;
    // How many rows of each signal after the start of the mel still lack a part of what they see, and, in frames, how
    // far the last signal lags.
    const int f0 = h.f0_layers * (h.f0_kernel - 1) / 2;
    const int spectra = f0 * rows + taps / 2;
    int trunk = (kOuterKernel - 1) / 2;
    for (std::size_t i = 0; i < h.upsample_rates.size(); ++i) {
        trunk = (trunk + 1) * h.upsample_rates[i] + 1;
        const ConvSpec down = down_spec(config.hift, i);
        const int source = divided_up(spectra + down.pad_left, down.stride) +
                           ResBlock::lag(h.source_resblock_kernels[i], h.resblock_dilations);
        int longest = 0;
        for (const int kernel : h.resblock_kernels)
            longest = std::max(longest, ResBlock::lag(kernel, h.resblock_dilations));
        trunk = std::max(trunk, source) + longest;
    }
    trunk += (kOuterKernel - 1) / 2 + taps / 2;
    // Every layer looks as far ahead as it looks back, but for rounding.
    return 2 * divided_up(trunk, rows) + 2;
}

Past::Past(const Config& config, ArenaLayout& state)
    : frames(past_frames(config)),
      bands(config.n_mels),
      clock(state.reserve<Clock>(1)),
      mel(state.reserve<float>(area(frames, bands))) {}

}  // namespace secousti::core::hift

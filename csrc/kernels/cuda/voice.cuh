// The end of the voice encoder: excitation of the channels and a recurrent layer's last state.
#pragma once

#include "kernels/cuda/simt.cuh"
#include "kernels/cuda/voice.h"

namespace secousti::core::cuda {

SIMT_DEVICE float logistic(float x) { return 1.0F / (1.0F + expf(-x)); }

struct ExciteKernel {
    using Args = ExciteArgs;
    static constexpr int kThreads = 128;

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        const int i = simt::block_x() * kThreads + simt::thread();
        if (i >= args.rows * args.channels) return;
        const auto x = simt::global(args.x);
        const float gate = simt::global(args.gate)[i % args.channels];
        x[i] *= 1.0F + logistic(gate);
    }
};

/// One block: a thread keeps the row of the hidden weights that makes its gate in registers.
struct GruKernel {
    using Args = GruArgs;
    static constexpr int kThreads = 3 * kGruHidden;
    static constexpr std::size_t shared() {
        return simt::shared_bytes<float>(kGruHidden) + simt::shared_bytes<float>(kThreads);
    }

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        simt::SharedArena arena;
        const auto h = arena.take<float>(kGruHidden), gates = arena.take<float>(kThreads);
        const int thread = simt::thread();
        const auto weights = simt::global(args.hidden_weights);
        float row[kGruHidden];
        SIMT_UNROLL
        for (int i = 0; i < kGruHidden; ++i) row[i] = simt::load_constant(weights + i * kThreads + thread);
        const float bias = simt::load_constant(simt::global(args.hidden_bias) + thread);
        if (thread < kGruHidden) h[thread] = 0.0F;
        simt::barrier();
        const auto input = simt::global(args.input);
        for (int t = 0; t < args.rows; ++t) {
            float sum = bias;
            SIMT_UNROLL
            for (int i = 0; i < kGruHidden; i += 4) {
                const simt::Vector<float, 4> v = simt::load<4>(h + i);
                SIMT_UNROLL
                for (int e = 0; e < 4; ++e) sum = fmaf(row[i + e], v[e], sum);
            }
            gates[thread] = sum;
            simt::barrier();
            if (thread < kGruHidden) {
                const auto in = input + static_cast<std::ptrdiff_t>(t) * kThreads + thread;
                const float r = in[0], z = in[kGruHidden], n = in[2 * kGruHidden];
                const float hidden_r = gates[thread], hidden_z = gates[kGruHidden + thread];
                const float hidden_n = gates[2 * kGruHidden + thread];
                const float reset = logistic(r + hidden_r), update = logistic(z + hidden_z);
                const float candidate = tanhf(n + reset * hidden_n), before = h[thread];
                h[thread] = (1.0F - update) * candidate + update * before;
            }
            simt::barrier();
        }
        if (thread < kGruHidden) simt::global(args.last)[thread] = static_cast<float>(h[thread]);
    }
};

}  // namespace secousti::core::cuda

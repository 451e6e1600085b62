// Finite scalar quantisation: projection to a few dimensions, rounding and packing to a token; and back.
#pragma once

#include "base/tokens.h"
#include "kernels/cuda/conceal.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/simt.h"

namespace secousti::core::simt {

/// A block for each row, a warp for each dimension in turn.
struct FsqEncode {
    struct Args {
        const std::uint8_t* active;
        const float* mu;
        const float* project_in;
        const float* bias;
        float* fsq_in;
        std::int32_t* tokens;
        int tokens_per_slot, dimension;
        cuda::Fsq fsq;
    };
    static constexpr int kThreads = 256;
    static constexpr std::size_t kSharedBytes = shared_bytes<float>(cuda::kMaxFsqDims);

    SIMT_DEVICE static void run(const Args& args) {
        wait_for_previous();
        let_next_start();
        SharedArena arena;
        const auto projected = arena.take<float>(cuda::kMaxFsqDims);
        const int row = block_x();
        const auto mu = global(args.mu) + static_cast<std::ptrdiff_t>(row) * args.dimension;
        for (int d = warp(); d < args.fsq.dims; d += kThreads / kWarp) {
            const auto weights = global(args.project_in) + static_cast<std::ptrdiff_t>(d) * args.dimension;
            float sum = 0.0F;
            for (int k = lane(); k < args.dimension; k += kWarp) sum = fmaf(mu[k], load_constant(weights + k), sum);
            sum = warp_sum(sum);
            if (lane() == 0) projected[d] = sum + load_constant(global(args.bias) + d);
        }
        barrier();
        const auto fsq_in = global(args.fsq_in);
        if (fsq_in && thread() < args.fsq.dims) fsq_in[row * args.fsq.dims + thread()] = projected[thread()];
        if (thread() != 0) return;
        std::int32_t token = 0, basis = 1;
        for (int d = 0; d < args.fsq.dims; ++d) {
            const std::int32_t half = (args.fsq.levels[d] - 1) / 2;
            const float code = rintf(static_cast<float>(half) * 0.999F * tanhf(projected[d]));
            token += ((code == code ? static_cast<std::int32_t>(code) : 0) + half) * basis;
            basis *= args.fsq.levels[d];
        }
        const auto active = global(args.active);
        if (active && active[row / args.tokens_per_slot] == 0) token = kNoToken;
        global(args.tokens)[row] = token;
    }
};

/// A block for each row.
struct FsqDecode {
    struct Args {
        cuda::Concealing concealing;
        const std::int32_t* tokens;
        const float* project_out;
        const float* bias;
        const float* g;
        float* y;
        int tokens_per_slot, dimension;
        cuda::Fsq fsq;
    };
    static constexpr int kThreads = 256;

    SIMT_DEVICE static void run(const Args& args) {
        wait_for_previous();
        let_next_start();
        const int row = block_x();
        const auto g = global(args.g);
        const int slot = row / args.tokens_per_slot, first = slot * args.tokens_per_slot;
        const Prediction prediction(args.concealing, global(args.tokens) + first, slot, row - first);
        float codes[cuda::kMaxFsqDims];
        std::int32_t rest = prediction.token;
        SIMT_UNROLL
        for (int d = 0; d < cuda::kMaxFsqDims; ++d) {
            codes[d] = 0.0F;
            if (d >= args.fsq.dims) continue;
            const std::int32_t levels = args.fsq.levels[d];
            const float half = static_cast<float>((levels - 1) / 2);
            codes[d] = (static_cast<float>(rest % levels) - half) / half * prediction.weight;
            rest /= levels;
        }
        for (int n = thread(); n < args.dimension; n += kThreads) {
            const auto weights = global(args.project_out) + static_cast<std::ptrdiff_t>(n) * args.fsq.dims;
            float sum = 0.0F;
            SIMT_UNROLL
            for (int d = 0; d < cuda::kMaxFsqDims; ++d) {
                if (d < args.fsq.dims) sum = fmaf(codes[d], load_constant(weights + d), sum);
            }
            sum += load_constant(global(args.bias) + n);
            if (g) sum += g[static_cast<std::ptrdiff_t>(slot) * args.dimension + n];
            global(args.y)[static_cast<std::ptrdiff_t>(row) * args.dimension + n] = sum;
        }
    }
};

}  // namespace secousti::core::simt

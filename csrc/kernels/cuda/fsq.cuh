// Finite scalar quantisation: projection to a few dimensions, rounding and packing to a token; and back.
#pragma once

#include "base/tokens.h"
#include "kernels/cuda/conceal.cuh"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/simt.cuh"

namespace secousti::core::cuda {

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
        Fsq fsq;
    };
    static constexpr int kThreads = 256;
    static constexpr std::size_t kSharedBytes = simt::shared_bytes<float>(kMaxFsqDims);

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        simt::let_next_start();
        simt::SharedArena arena;
        const auto projected = arena.take<float>(kMaxFsqDims);
        const int row = simt::block_x();
        const auto mu = simt::global(args.mu) + static_cast<std::ptrdiff_t>(row) * args.dimension;
        for (int d = simt::warp(); d < args.fsq.dims; d += kThreads / simt::kWarp) {
            const auto weights = simt::global(args.project_in) + static_cast<std::ptrdiff_t>(d) * args.dimension;
            float sum = 0.0F;
            for (int k = simt::lane(); k < args.dimension; k += simt::kWarp)
                sum = fmaf(mu[k], simt::load_constant(weights + k), sum);
            sum = simt::warp_sum(sum);
            if (simt::lane() == 0) projected[d] = sum + simt::load_constant(simt::global(args.bias) + d);
        }
        simt::barrier();
        const auto fsq_in = simt::global(args.fsq_in);
        if (fsq_in && simt::thread() < args.fsq.dims)
            fsq_in[row * args.fsq.dims + simt::thread()] = projected[simt::thread()];
        if (simt::thread() != 0) return;
        std::int32_t token = 0, basis = 1;
        for (int d = 0; d < args.fsq.dims; ++d) {
            const std::int32_t half = (args.fsq.levels[d] - 1) / 2;
            const float code = rintf(static_cast<float>(half) * 0.999F * tanhf(projected[d]));
            token += ((code == code ? static_cast<std::int32_t>(code) : 0) + half) * basis;
            basis *= args.fsq.levels[d];
        }
        const auto active = simt::global(args.active);
        if (active && active[row / args.tokens_per_slot] == 0) token = kNoToken;
        simt::global(args.tokens)[row] = token;
    }
};

/// A block for each row.
struct FsqDecode {
    struct Args {
        Concealing concealing;
        const std::int32_t* tokens;
        const float* project_out;
        const float* bias;
        const float* g;
        float* y;
        int tokens_per_slot, dimension;
        Fsq fsq;
    };
    static constexpr int kThreads = 256;

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        simt::let_next_start();
        const int row = simt::block_x();
        const auto g = simt::global(args.g);
        const int slot = row / args.tokens_per_slot, first = slot * args.tokens_per_slot;
        const Prediction prediction(args.concealing, simt::global(args.tokens) + first, slot, row - first);
        float codes[kMaxFsqDims];
        std::int32_t rest = prediction.token;
        SIMT_UNROLL
        for (int d = 0; d < kMaxFsqDims; ++d) {
            codes[d] = 0.0F;
            if (d >= args.fsq.dims) continue;
            const std::int32_t levels = args.fsq.levels[d];
            const float half = static_cast<float>((levels - 1) / 2);
            codes[d] = (static_cast<float>(rest % levels) - half) / half * prediction.weight;
            rest /= levels;
        }
        for (int n = simt::thread(); n < args.dimension; n += kThreads) {
            const auto weights = simt::global(args.project_out) + static_cast<std::ptrdiff_t>(n) * args.fsq.dims;
            float sum = 0.0F;
            SIMT_UNROLL
            for (int d = 0; d < kMaxFsqDims; ++d) {
                if (d < args.fsq.dims) sum = fmaf(codes[d], simt::load_constant(weights + d), sum);
            }
            sum += simt::load_constant(simt::global(args.bias) + n);
            if (g) sum += g[static_cast<std::ptrdiff_t>(slot) * args.dimension + n];
            simt::global(args.y)[static_cast<std::ptrdiff_t>(row) * args.dimension + n] = sum;
        }
    }
};

}  // namespace secousti::core::cuda

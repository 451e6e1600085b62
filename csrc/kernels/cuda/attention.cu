#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/launch_shapes.h"
#include "kernels/cuda/launchers.h"

namespace secousti::core::cuda {

namespace {

using simt::launch;

constexpr int kMaxGridY = 65535;

template <class Ring, int Dim>
void attend(const CudaQueue& queue, const AttentionShape& shape, int slots) {
    const int rows = slots * shape.tokens;
    const simt::Grid grid{static_cast<unsigned>(shape.heads), static_cast<unsigned>(rows)};
    if (shape.tokens == 1) {
        using Kernel = Attend<Ring, Dim, true>;
        launch<Kernel>(queue, grid, Kernel::kSharedBytes, shape);
        return;
    }
    using Append = AppendKeys<Ring, Dim>;
    launch<Append>(queue, {blocks_for(shape.heads * Append::Layout::kLanes, Append::kThreads), grid.y}, 0, shape);
    using Kernel = Attend<Ring, Dim, false>;
    launch<Kernel>(queue, grid, Kernel::kSharedBytes, shape);
}

template <class Ring>
void attend(const CudaQueue& queue, const AttentionShape& shape, int slots, int head_dim) {
    switch (head_dim) {
        case 16:
            return attend<Ring, 16>(queue, shape, slots);
        case 32:
            return attend<Ring, 32>(queue, shape, slots);
        case 64:
            return attend<Ring, 64>(queue, shape, slots);
        case 128:
            return attend<Ring, 128>(queue, shape, slots);
        default:
            require(false, "attention: head_dim must be 16, 32, 64 or 128");
    }
}

}  // namespace

void rope_angles(const CudaQueue& queue, const Clock& clock, const std::uint64_t* turns_per_frame, int tokens, int half,
                 float* cos, float* sin) {
    const int rows = clock.slots * tokens;
    if (rows == 0) return;
    launch<RopeAngles>(queue, {blocks_for(rows * half, RopeAngles::kThreads)}, 0,
                       {clock.position, turns_per_frame, rows, tokens, half, cos, sin});
}

void attention(const CudaQueue& queue, const AttentionArgs& args) {
    if (args.tokens == 0 || args.clock.slots == 0) return;
    require(args.context > 0 && args.ring_rows >= args.context + args.tokens - 1,
            "attention: the ring is shorter than context + tokens - 1");
    require(args.clock.slots * args.tokens <= kMaxGridY, "attention: more than 65535 rows in a step");
    require(args.ring != Precision::int8 || (args.key_scales != nullptr && args.value_scales != nullptr),
            "attention: int8 keys and values need scales");
    const AttentionShape shape{.position = args.clock.position,
                               .start = args.clock.start,
                               .active = args.clock.active,
                               .keys = args.keys,
                               .values = args.values,
                               .key_scales = args.key_scales,
                               .value_scales = args.value_scales,
                               .qkv = args.qkv,
                               .cos = args.cos,
                               .sin = args.sin,
                               .y = args.y,
                               .tokens = args.tokens,
                               .heads = args.heads,
                               .context = args.context,
                               .ring_rows = args.ring_rows};
    switch (args.ring) {
        case Precision::fp32:
            return attend<Fp32Ring>(queue, shape, args.clock.slots, args.head_dim);
        case Precision::bf16:
            return attend<Bf16Ring>(queue, shape, args.clock.slots, args.head_dim);
        case Precision::int8:
            return attend<Int8Ring>(queue, shape, args.clock.slots, args.head_dim);
        case Precision::fp16:
            require(false, "attention: keys and values are fp32, bf16 or int8");
    }
}

}  // namespace secousti::core::cuda

#include "kernels/cuda/fsq.cuh"
#include "kernels/cuda/launch_shapes.h"

namespace secousti::core::cuda {

using simt::launch;

namespace {
void check_shape(const Fsq& fsq, int dimension) {
    require(fsq.dims > 0 && fsq.dims <= kMaxFsqDims, "fsq: 1 to 16 dimensions");
    require(dimension > 0, "fsq: the dimension must be positive");
    for (int d = 0; d < fsq.dims; ++d) require(fsq.levels[d] > 1, "fsq: a dimension needs two levels or more");
}
}  // namespace

void fsq_encode(const CudaQueue& queue, const FsqEncodeArgs& args) {
    const int rows = args.clock.slots * args.tokens_per_slot;
    if (rows == 0) return;
    check_shape(args.fsq, args.dimension);
    launch<FsqEncode>(queue, {static_cast<unsigned>(rows)}, FsqEncode::kSharedBytes,
                      {.active = args.clock.active,
                       .mu = args.mu,
                       .project_in = args.project_in,
                       .bias = args.bias,
                       .fsq_in = args.fsq_in,
                       .tokens = args.tokens,
                       .tokens_per_slot = args.tokens_per_slot,
                       .dimension = args.dimension,
                       .fsq = args.fsq});
}

void fsq_decode(const CudaQueue& queue, const FsqDecodeArgs& args) {
    const int rows = args.clock.slots * args.tokens_per_slot;
    if (rows == 0) return;
    check_shape(args.fsq, args.dimension);
    launch<FsqDecode>(queue, {static_cast<unsigned>(rows)}, 0,
                      {.concealing = args.concealing,
                       .tokens = args.tokens,
                       .project_out = args.project_out,
                       .bias = args.bias,
                       .g = args.g,
                       .y = args.y,
                       .tokens_per_slot = args.tokens_per_slot,
                       .dimension = args.dimension,
                       .fsq = args.fsq});
}

void conceal(const CudaQueue& queue, const ConcealArgs& args) {
    require(args.concealing.memory != nullptr && args.floor != nullptr, "conceal: no memory");
    require(args.bands > 0 && args.tokens_per_slot > 0, "conceal: bands and tokens must be positive");
    if (args.clock.slots == 0) return;
    launch<Conceal>(queue, {static_cast<unsigned>(args.clock.slots)}, 0,
                    {.position = args.clock.position,
                     .active = args.clock.active,
                     .concealing = args.concealing,
                     .tokens = args.tokens,
                     .floor = args.floor,
                     .mel = args.mel,
                     .tokens_per_slot = args.tokens_per_slot,
                     .bands = args.bands});
}

}  // namespace secousti::core::cuda

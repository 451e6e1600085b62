#include "kernels/cuda/fsq.h"
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

void fsq_encode(const Stream& stream, const FsqEncodeArgs& args) {
    const int rows = args.clock.slots * args.tokens_per_slot;
    if (rows == 0) return;
    check_shape(args.fsq, args.dimension);
    launch<simt::FsqEncode>(stream, {static_cast<unsigned>(rows)}, simt::FsqEncode::kSharedBytes,
                            {args.clock.active, args.mu, args.project_in, args.bias, args.fsq_in, args.tokens,
                             args.tokens_per_slot, args.dimension, args.fsq});
}

void fsq_decode(const Stream& stream, const FsqDecodeArgs& args) {
    const int rows = args.clock.slots * args.tokens_per_slot;
    if (rows == 0) return;
    check_shape(args.fsq, args.dimension);
    launch<simt::FsqDecode>(
        stream, {static_cast<unsigned>(rows)}, 0,
        {args.tokens, args.project_out, args.bias, args.g, args.y, args.tokens_per_slot, args.dimension, args.fsq});
}

}  // namespace secousti::core::cuda

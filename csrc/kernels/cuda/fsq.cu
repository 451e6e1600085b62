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
    launch<simt::FsqDecode>(stream, {static_cast<unsigned>(rows)}, 0,
                            {args.concealing, args.tokens, args.project_out, args.bias, args.g, args.y,
                             args.tokens_per_slot, args.dimension, args.fsq});
}

void conceal(const Stream& stream, const ConcealArgs& args) {
    require(args.concealing.memory != nullptr && args.floor != nullptr, "conceal: no memory");
    require(args.bands > 0 && args.tokens_per_slot > 0, "conceal: bands and tokens must be positive");
    if (args.clock.slots == 0) return;
    launch<simt::Conceal>(stream, {static_cast<unsigned>(args.clock.slots)}, 0,
                          {args.clock.position, args.clock.active, args.concealing, args.tokens, args.floor, args.mel,
                           args.tokens_per_slot, args.bands});
}

}  // namespace secousti::core::cuda

#include "kernels/cuda/launch_shapes.h"
#include "kernels/cuda/voice.cuh"

namespace secousti::core::cuda {

void excite(const Stream& stream, const ExciteArgs& args) {
    require(args.rows > 0 && args.channels > 0, "excite: rows and channels must be positive");
    simt::launch<ExciteKernel>(stream, {blocks_for(args.rows * args.channels, ExciteKernel::kThreads)}, 0, args);
}

void gru(const Stream& stream, const GruArgs& args) {
    require(args.rows > 0, "gru: rows must be positive");
    simt::launch<GruKernel>(stream, {1}, GruKernel::shared(), args);
}

}  // namespace secousti::core::cuda

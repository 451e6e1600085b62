#include "kernels/cuda/launch_shapes.h"
#include "kernels/cuda/voice.cuh"

namespace secousti::core::cuda {

void excite(const CudaQueue& queue, const ExciteArgs& args) {
    require(args.rows > 0 && args.channels > 0, "excite: rows and channels must be positive");
    simt::launch<ExciteKernel>(queue, {blocks_for(args.rows * args.channels, ExciteKernel::kThreads)}, 0, args);
}

void gru(const CudaQueue& queue, const GruArgs& args) {
    require(args.rows > 0, "gru: rows must be positive");
    simt::launch<GruKernel>(queue, {1}, GruKernel::shared(), args);
}

}  // namespace secousti::core::cuda

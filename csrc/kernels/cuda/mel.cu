#include "kernels/cuda/launch_shapes.h"
#include "kernels/cuda/mel.cuh"
#include "kernels/cuda/spectrum_checks.h"

namespace secousti::core::cuda {

void mel_step(const CudaQueue& queue, const MelArgs& args) {
    check_spectrum(args.spectrum);
    require(args.slots > 0 && args.hop > 0 && args.samples >= 0 && args.multiple > 0,
            "mel_step: slots, hop and multiple must be positive");
    require(args.blocks == 0 || args.max_frames > 0, "mel_step: blocks need rows");
    require(args.capacity >= args.spectrum.length + (args.multiple - 1) * args.hop,
            "mel_step: the buffer is too small");
    simt::launch<MelKernel>(queue, {static_cast<unsigned>(args.slots)}, MelKernel::shared(args), args);
}

}  // namespace secousti::core::cuda

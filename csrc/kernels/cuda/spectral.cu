#include "kernels/cuda/launch_shapes.h"
#include "kernels/cuda/spectral.cuh"
#include "kernels/cuda/spectrum_checks.h"

namespace secousti::core::cuda {

namespace {

void check(const SpectralArgs& args) {
    check_spectrum(args.spectrum);
    require(args.slots > 0 && args.hop > 0, "spectral: slots and hop must be positive");
    require(args.max_look_ahead >= 0 && args.max_look_ahead < kMaxOpenFrames, "spectral: look-ahead out of range");
    require(args.span >= args.spectrum.length + args.max_look_ahead * args.hop, "spectral: the span is too short");
}

}  // namespace

void spectral_step(const CudaQueue& queue, const SpectralArgs& args) {
    check(args);
    require(args.frames > 0, "spectral_step: frames must be positive");
    simt::launch<SpectralKernel>(queue, {static_cast<unsigned>(args.slots)}, SpectralBlock::shared(args), args);
}

void spectral_finish(const CudaQueue& queue, const SpectralArgs& args) {
    check(args);
    simt::launch<SpectralFinishKernel>(queue, {static_cast<unsigned>(args.slots)}, 0, args);
}

}  // namespace secousti::core::cuda

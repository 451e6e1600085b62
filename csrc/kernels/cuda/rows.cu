#include "kernels/cuda/launch_shapes.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rows.cuh"

namespace secousti::core::cuda {

using simt::launch;

void activate(const CudaQueue& queue, Activation activation, float slope, const float* x, std::size_t count, float* y) {
    if (count == 0) return;
    launch<Activate>(queue, {blocks_for(count, Activate::kThreads)}, 0, {activation, slope, x, count, y});
}

void copy_rows(const CudaQueue& queue, const void* from, std::ptrdiff_t from_stride, void* to, std::ptrdiff_t to_stride,
               int rows, int width) {
    require(rows >= 0 && width > 0, "copy_rows: the width must be positive");
    const std::size_t count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(width);
    require(count < 0x7FFFFFFF, "copy_rows: too many values");
    if (count == 0) return;
    launch<CopyRows>(queue, {blocks_for(count, CopyRows::kThreads)}, 0,
                     {static_cast<const std::uint32_t*>(from), from_stride, static_cast<std::uint32_t*>(to), to_stride,
                      rows, width});
}

void advance(const CudaQueue& queue, const Clock& clock, int tokens) {
    launch<Advance>(queue, {blocks_for(clock.slots, Advance::kThreads)}, 0,
                    {clock.position, clock.active, clock.slots, tokens});
}

void seek(const CudaQueue& queue, const Clock& clock, const std::uint8_t* mask, const std::uint64_t* positions) {
    launch<Seek>(queue, {blocks_for(clock.slots, Seek::kThreads)}, 0,
                 {clock.position, clock.start, mask, positions, clock.slots});
}

void mask_of_tokens(const CudaQueue& queue, const std::int32_t* tokens, int slots, int stride, std::uint8_t* active) {
    launch<MaskOfTokens>(queue, {blocks_for(slots, MaskOfTokens::kThreads)}, 0, {tokens, slots, stride, active});
}

void mean_rows(const CudaQueue& queue, const float* x, int slots, int rows, int channels, const std::int32_t* valid,
               float* mean) {
    require(slots > 0 && rows > 0 && channels > 0, "mean_rows: slots, rows and channels must be positive");
    launch<MeanRows>(queue, {blocks_for(channels, MeanRows::kThreads), static_cast<unsigned>(slots)}, 0,
                     {x, slots, rows, channels, valid, mean});
}

}  // namespace secousti::core::cuda

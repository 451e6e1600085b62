#include <cstring>

#include "kernels/cuda/bf16.h"
#include "kernels/cuda/hift_conv.cuh"
#include "kernels/cuda/hift_rows.cuh"
#include "kernels/cuda/hift_source.cuh"
#include "kernels/cuda/hift_transforms.cuh"
#include "kernels/cuda/launch_shapes.h"

namespace secousti::core::cuda {

namespace {

void check(const HiftStep& step) {
    require(step.slots > 0 && step.frames > 0 && step.frames <= kHiftMaxFrames, "HiFT: slots or frames out of range");
}

/// Blocks for `rows` rows of pairs of channels, by slots.
simt::Grid row_grid(const HiftStep& step, int rows, int width, int threads) {
    check(step);
    const std::size_t pairs = static_cast<std::size_t>((width + 1) / 2);
    return {blocks_for(static_cast<std::size_t>(rows) * pairs, threads), static_cast<unsigned>(step.slots)};
}

template <template <bool> class Kernel, class Args>
void launch_rows(const CudaQueue& queue, const Args& args, Precision precision, int rows, int width) {
    const simt::Grid grid = row_grid(args.step, rows, width, Kernel<true>::kThreads);
    if (precision == Precision::bf16) {
        simt::launch<Kernel<true>>(queue, grid, 0, args);
    } else {
        simt::launch<Kernel<false>>(queue, grid, 0, args);
    }
}

/// The same for kernels over HiftRings.
template <template <bool> class Kernel, class Args>
void launch_items(const CudaQueue& queue, const Args& args, Precision precision, int rows, int width) {
    using Rings = typename Kernel<true>::Rings;
    const simt::Grid grid = row_grid(args.step, rows, width, Rings::kItems);
    if (precision == Precision::bf16) {
        simt::launch<Kernel<true>>(queue, grid, Rings::shared(), args);
    } else {
        simt::launch<Kernel<false>>(queue, grid, Rings::shared(), args);
    }
}

template <class Tile>
simt::Grid tiles(const HiftConvArgs& args) {
    const int rows = args.step.slots * args.step.frames * args.job[0].rate;
    return {blocks_for(rows, Tile::kRows), blocks_for(args.job[0].outputs, Tile::kCols),
            static_cast<unsigned>(args.jobs)};
}

template <class Tile>
void launch_tiles(const CudaQueue& queue, const HiftConvArgs& args) {
    using Kernel = HiftConvKernel<Tile>;
    simt::launch<Kernel>(queue, tiles<Tile>(args), Kernel::shared(), args);
}

/// The wide tile where it still fills half of the multiprocessors.
template <class Wide, class Narrow>
void launch_fitting(const CudaQueue& queue, const HiftConvArgs& args) {
    constexpr unsigned kBusy = 64;
    const simt::Grid grid = tiles<Wide>(args);
    if (args.tiles == HiftTiles::wide || (args.tiles == HiftTiles::fitting && grid.x * grid.y * grid.z >= kBusy)) {
        launch_tiles<Wide>(queue, args);
    } else {
        launch_tiles<Narrow>(queue, args);
    }
}

int per_word(Precision precision) { return precision == Precision::bf16 ? 2 : 1; }

}  // namespace

int hift_depth(Precision precision, int taps, int input_stride) {
    const int chunk = kHiftChunk * per_word(precision);
    return divided_up(taps * input_stride, chunk) * chunk;
}

std::size_t hift_packed_bytes(Precision precision, int outputs, int taps, int input_stride) {
    return static_cast<std::size_t>(outputs) * static_cast<std::size_t>(hift_depth(precision, taps, input_stride)) * 4 /
           static_cast<std::size_t>(per_word(precision));
}

void hift_pack(Precision precision, const float* weights, int outputs, int taps, int inputs, int input_stride,
               void* packed) {
    std::memset(packed, 0, hift_packed_bytes(precision, outputs, taps, input_stride));
    const std::size_t depth = static_cast<std::size_t>(hift_depth(precision, taps, input_stride));
    for (int row = 0; row < outputs * taps; ++row) {
        for (int i = 0; i < inputs; ++i) {
            const float value =
                weights[static_cast<std::size_t>(row) * static_cast<std::size_t>(inputs) + static_cast<std::size_t>(i)];
            const std::size_t at =
                static_cast<std::size_t>(row / taps) * depth + static_cast<std::size_t>(row % taps * input_stride + i);
            if (precision == Precision::bf16) {
                static_cast<std::uint16_t*>(packed)[at] = to_bf16(value);
            } else {
                static_cast<float*>(packed)[at] = value;
            }
        }
    }
}

void hift_feed(const CudaQueue& queue, const HiftFeedArgs& args) {
    simt::launch<HiftFeed>(queue, row_grid(args.step, args.step.frames, args.bands, HiftFeed::kThreads), 0, args);
}

void hift_conv(const CudaQueue& queue, const HiftConvArgs& args) {
    check(args.step);
    require(args.jobs >= 1 && args.jobs <= kHiftJobs, "hift_conv: 1 to 3 jobs");
    require(args.precision != Precision::int8, "hift_conv: bf16 or fp32");
    for (int j = 0; j < args.jobs; ++j) {
        const HiftConv& job = args.job[j];
        require(job.rate == args.job[0].rate && job.outputs == args.job[0].outputs,
                "hift_conv: jobs of different sizes");
        require(job.in.stride % 8 == 0 && (job.taps - 1) * job.dilation < job.in.rows,
                "hift_conv: the ring is too short");
        require(
            job.phases == 1 || (job.next.data == nullptr && job.residual.data == nullptr && job.phases <= job.raw.rows),
            "hift_conv: a transposed convolution gives raw rows alone");
    }
    if (args.precision == Precision::bf16) {
        launch_fitting<HiftWideTile, HiftNarrowTile>(queue, args);
    } else {
        launch_fitting<HiftWideExactTile, HiftNarrowExactTile>(queue, args);
    }
}

void hift_source(const CudaQueue& queue, const HiftSourceArgs& args) {
    check(args.step);
    simt::launch<HiftSource>(queue, {static_cast<unsigned>(args.step.frames), static_cast<unsigned>(args.step.slots)},
                             HiftSource::shared(), args);
}

void hift_analysis(const CudaQueue& queue, const HiftAnalysisArgs& args) {
    launch_rows<HiftAnalysis>(queue, args, args.precision, args.spectra.rate * args.step.frames, args.n_fft + 2);
}

void hift_sum(const CudaQueue& queue, const HiftSumArgs& args) {
    launch_items<HiftSum>(queue, args, args.precision, args.signals[0].rate * args.step.frames, args.width);
}

void hift_mean(const CudaQueue& queue, const HiftMeanArgs& args) {
    launch_items<HiftMean>(queue, args, args.precision, args.signals[0].rate * args.step.frames, args.width);
}

void hift_emit(const CudaQueue& queue, const HiftEmitArgs& args) {
    check(args.step);
    simt::launch<HiftEmit>(queue,
                           {blocks_for(args.rate * args.step.frames * args.hop, HiftEmit::kSamples),
                            static_cast<unsigned>(args.step.slots)},
                           HiftEmit::shared(args), args);
}

void hift_advance(const CudaQueue& queue, const HiftStep& step) {
    check(step);
    simt::launch<HiftAdvance>(queue, {blocks_for(step.slots, HiftAdvance::kThreads)}, 0, step);
}

void hift_end(const CudaQueue& queue, const HiftStep& step) {
    simt::launch<HiftEnd>(queue, {blocks_for(step.slots, HiftEnd::kThreads)}, 0, step);
}

}  // namespace secousti::core::cuda

#include <algorithm>

#include "kernels/cuda/launch_shapes.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/product.cuh"

namespace secousti::core::cuda {

namespace {

using simt::launch;

constexpr std::size_t kMaxFusedBytes = 200U * 1024U;  // of shared memory
constexpr unsigned kEnoughBlocks = 120;               // larger tiles once they still fill a large chip
constexpr unsigned kPrepareBlocks = 512;              // blocks of few rows wait for memory: many at once

template <Precision P>
struct Kernels;
template <>
struct Kernels<Precision::fp32> {
    using Few = Fp32Math<8, 8>;
    using Small = Fp32Math<8, 4>;
    using Medium = Fp32Math<16, 4>;
    using Large = Fp32Math<32, 2>;
};
template <>
struct Kernels<Precision::bf16> {
    using Few = TensorMath<Bf16Traits, 1, 1, 16, 4>;
    using Small = TensorMath<Bf16Traits, 1, 4, 4, 4>;
    using Medium = TensorMath<Bf16Traits, 2, 4, 2, 2>;
    using Large = TensorMath<Bf16Traits, 4, 4, 1, 1>;
};
template <>
struct Kernels<Precision::int8> {
    using Few = TensorMath<Int8Traits, 1, 1, 8, 4>;
    using Small = TensorMath<Int8Traits, 1, 4, 4, 4>;
    using Medium = TensorMath<Int8Traits, 2, 4, 2, 2>;
    using Large = TensorMath<Int8Traits, 4, 4, 1, 1>;
};

bool fused(Precision precision, int rows, int depth) {
    const std::size_t filled = precision == Precision::fp32 ? static_cast<std::size_t>(rows) : kRowTile;
    return rows <= kFusedRows && filled * operand_row_bytes(precision, depth) <= kMaxFusedBytes - 32U * 1024U;
}

template <class Math>
bool fills(const ProductArgs& product) {
    return blocks_for(product.outputs, Math::kOutputs) * blocks_for(product.rows, Math::kRows) >= kEnoughBlocks;
}

template <class Math>
void launch_product(const CudaQueue& queue, const void* operand, const ProductArgs& product) {
    launch<Product<Math>>(queue, {blocks_for(product.outputs, Math::kOutputs), blocks_for(product.rows, Math::kRows)},
                          sums_bytes<Math>(), {operand, product});
}

template <Precision P, class Source>
void multiply(const CudaQueue& queue, const typename Source::Args& source, const Norm& norm, const ProductArgs& product,
              void* operand) {
    using Few = typename Kernels<P>::Few;
    if (fused(P, product.rows, product.depth)) {
        using Kernel = FusedProduct<Few, Source>;
        launch<Kernel>(queue, {blocks_for(product.outputs, Few::kOutputs)}, Kernel::bytes(product.rows, product.depth),
                       {source, norm, product});
        return;
    }
    require(operand != nullptr, "matrix product: scratch for the operand is missing");
    using Make = Prepare<typename Few::Operand, Source>;
    const unsigned tiles = blocks_for(product.rows, kRowTile);
    const bool whole_rows = P == Precision::int8 || norm.gamma != nullptr;
    const unsigned parts = whole_rows ? 1U
                                      : std::clamp(kPrepareBlocks / tiles, 1U,
                                                   blocks_for(padded_depth(product.depth), Few::Operand::kItem));
    launch<Make>(queue, {tiles, Make::kGridRows, parts}, Make::kSharedBytes,
                 {source, norm, product.rows, product.depth, static_cast<int>(parts), operand});
    using Large = typename Kernels<P>::Large;
    using Medium = typename Kernels<P>::Medium;
    if (fills<Large>(product)) {
        launch_product<Large>(queue, operand, product);
    } else if (fills<Medium>(product)) {
        launch_product<Medium>(queue, operand, product);
    } else {
        launch_product<typename Kernels<P>::Small>(queue, operand, product);
    }
}

ProductArgs product_args(const Matrix& matrix, const Epilogue& epilogue, int rows, float* y) {
    require(matrix.weights != nullptr && matrix.outputs > 0 && matrix.depth > 0, "matrix product: no matrix");
    require(matrix.depth <= kMaxDividend, "matrix product: the depth exceeds 65535");
    return {.weights = matrix.weights,
            .bias = matrix.bias,
            .scale = epilogue.scale,
            .residual = epilogue.residual,
            .y = y,
            .activation = epilogue.activation,
            .slope = epilogue.slope,
            .rows = rows,
            .outputs = matrix.outputs,
            .depth = matrix.depth};
}

template <class Source>
void multiply_as(const CudaQueue& queue, Precision precision, const typename Source::Args& source, const Norm& norm,
                 const ProductArgs& product, void* operand) {
    switch (precision) {
        case Precision::fp32:
            return multiply<Precision::fp32, Source>(queue, source, norm, product, operand);
        case Precision::bf16:
            return multiply<Precision::bf16, Source>(queue, source, norm, product, operand);
        case Precision::int8:
            require(!Source::kAppends, "convolutions take fp32 or bf16 weights");
            if constexpr (!Source::kAppends) {
                return multiply<Precision::int8, Source>(queue, source, norm, product, operand);
            }
            break;
        case Precision::fp16:
            require(false, "a device keeps weights as fp32, bf16 or int8");
    }
}

}  // namespace

std::size_t operand_bytes(Precision precision, int rows, int depth) {
    if (rows <= 0 || fused(precision, rows, depth)) return 0;
    const auto all = static_cast<std::size_t>(rounded_up(rows, kRowTile));
    return all * (operand_row_bytes(precision, depth) + (precision == Precision::int8 ? sizeof(float) : 0U));
}

void linear(const CudaQueue& queue, const LinearArgs& args) {
    const int rows = args.slots * args.rows_per_slot;
    if (rows == 0) return;
    require(args.taps > 0 && args.matrix.depth % args.taps == 0, "linear: the taps do not divide the depth");
    require(args.gamma == nullptr || args.taps == 1, "linear: a layer norm takes rows of one tap");
    require(args.taps == 1 || args.matrix.precision != Precision::int8, "linear: int8 takes rows of one tap");
    const Norm norm{args.gamma, args.beta, args.epsilon};
    const ProductArgs product = product_args(args.matrix, args.epilogue, rows, args.y);
    const bool even = (args.slot_stride | args.row_stride | args.matrix.depth) % 2 == 0 &&
                      reinterpret_cast<std::uintptr_t>(args.x) % (2 * sizeof(float)) == 0;
    if (args.taps == 1 && even) {
        const DenseSource::Args source{.x = args.x,
                                       .slot_stride = args.slot_stride,
                                       .row_stride = args.row_stride,
                                       .rows_per_slot = args.rows_per_slot,
                                       .depth = args.matrix.depth};
        return multiply_as<DenseSource>(queue, args.matrix.precision, source, norm, product, args.operand);
    }
    const WindowSource::Args source{.x = args.x,
                                    .slot_stride = args.slot_stride,
                                    .row_stride = args.row_stride,
                                    .tap_stride = args.tap_stride,
                                    .rows_per_slot = args.rows_per_slot,
                                    .depth = args.matrix.depth,
                                    .width = Divisor::of(args.matrix.depth / args.taps)};
    multiply_as<WindowSource>(queue, args.matrix.precision, source, norm, product, args.operand);
}

void conv(const CudaQueue& queue, const ConvArgs& args) {
    const int rows_in = args.tokens * args.rows_per_token;
    if (rows_in == 0 || args.clock.slots == 0) return;
    const int span = (args.kernel - 1) * args.dilation + 1;
    const int history = span - args.stride;
    require(history >= 0, "conv: the stride exceeds the kernel's span");
    require(rows_in % args.stride == 0, "conv: a step is not a whole number of strides");
    require(history == 0 || args.ring_rows >= conv_ring_rows(args.kernel, args.stride, args.dilation, rows_in),
            "conv: the ring is too short for the step");
    require(history == 0 || args.ring != nullptr, "conv: the ring is missing");
    require(args.matrix.depth == args.kernel * args.inputs, "conv: the matrix has another depth than kernel*inputs");
    const int rows_out = rows_in / args.stride;
    const ProductArgs product = product_args(args.matrix, args.epilogue, args.clock.slots * rows_out, args.y);
    const RingSource::Args source{.position = args.clock.position,
                                  .start = args.clock.start,
                                  .active = args.clock.active,
                                  .valid = args.valid,
                                  .x = args.x,
                                  .ring = args.ring,
                                  .pre = args.pre,
                                  .pre_slope = args.pre_slope,
                                  .slots = args.clock.slots,
                                  .rows_in = rows_in,
                                  .rows_out = rows_out,
                                  .rows_per_token = args.rows_per_token,
                                  .valid_ratio = args.valid_ratio,
                                  .ring_rows = args.ring_rows,
                                  .stride = args.stride,
                                  .dilation = args.dilation,
                                  .history = history,
                                  .depth = args.matrix.depth,
                                  .inputs = Divisor::of(args.inputs)};
    multiply_as<RingSource>(queue, args.matrix.precision, source, {nullptr, nullptr, 0.0F}, product, args.operand);
}

}  // namespace secousti::core::cuda

// Matrix products over packed weights (matrix_layout.h): eight warps of a block take a chunk of the depth each for one
// tile of outputs and rows, and add their sums in order through shared memory. Few rows build their operand in the
// same kernel, while the first weights are on their way; many rows find it in memory, made by Prepare.
#pragma once

#include "kernels/cuda/operand.cuh"

namespace secousti::core::cuda {

inline constexpr int kProductWarps = kMaxChunks;
inline constexpr int kSumPadding = 4;  // floats after each row of sums: lanes of a warp hit different banks

struct ProductArgs {
    const void* weights;
    const float* bias;
    const float* scale;
    const float* residual;
    float* y;
    Activation activation;
    float slope;
    int rows, outputs, depth;
};

/// The part of the depth that a warp takes, in tiles.
struct TileRange {
    int begin, end;
};
SIMT_DEVICE TileRange chunk_tiles(int depth, int chunk, int tile) {
    const int size = chunk_depth(depth), padded = padded_depth(depth);
    const int begin = chunk * size < padded ? chunk * size : padded;
    const int end = begin + size < padded ? begin + size : padded;
    return {begin / tile, end / tile};
}

/// 32 outputs, one a lane; float32 fused multiply-adds.
template <int Rows, int Ahead>
struct Fp32Math {
    using Operand = Fp32Operand;
    using Sum = float;
    static constexpr int kOutputs = simt::kWarp, kRows = Rows, kTile = 4;
    static constexpr int kBlocks = 1;

    simt::Global<const float> weights;  ///< of the lane
    int depth_tiles, first, end;
    simt::Vector<float, 4> ahead[Ahead];
    float sums[Rows];

    SIMT_DEVICE Fp32Math(const ProductArgs& args, int out_tile, int chunk) {
        depth_tiles = padded_depth(args.depth) / kTile;
        const TileRange range = chunk_tiles(args.depth, chunk, kTile);
        first = range.begin, end = range.end;
        weights = simt::global(static_cast<const float*>(args.weights)) +
                  (static_cast<std::ptrdiff_t>(out_tile) * depth_tiles * simt::kWarp + simt::lane()) * 4;
        SIMT_UNROLL
        for (int r = 0; r < Rows; ++r) sums[r] = 0.0F;
    }
    SIMT_DEVICE simt::Vector<float, 4> weights_at(int k) const {
        return simt::load_constant<4>(weights + static_cast<std::ptrdiff_t>(k) * (4 * simt::kWarp));
    }
    SIMT_DEVICE void prefetch() {
        SIMT_UNROLL
        for (int i = 0; i < Ahead; ++i) {
            if (first + i < end) ahead[i] = weights_at(first + i);
        }
    }
    template <class In>
    SIMT_DEVICE void step(const simt::Vector<float, 4>& w, const In& operand, int row, int rows, int k) {
        SIMT_UNROLL
        for (int r = 0; r < Rows; ++r) {
            if (r >= rows) continue;
            const simt::Vector<float, 4> x =
                simt::load<4>(operand + (static_cast<std::ptrdiff_t>(row + r) * depth_tiles + k) * kTile);
            SIMT_UNROLL
            for (int i = 0; i < 4; ++i) sums[r] = fmaf(x[i], w[i], sums[r]);
        }
    }
    /// Rows [row, row + rows) of the operand, rows <= kRows.
    template <class In>
    SIMT_DEVICE void accumulate(const In& operand, int row, int rows) {
        SIMT_UNROLL
        for (int i = 0; i < Ahead; ++i) {
            if (first + i < end) step(ahead[i], operand, row, rows, first + i);
        }
        for (int k = first + Ahead; k < end; ++k) step(weights_at(k), operand, row, rows, k);
    }
    SIMT_DEVICE void put(const simt::Shared<float>& out) const {
        SIMT_UNROLL
        for (int r = 0; r < Rows; ++r) out[r * (kOutputs + kSumPadding) + simt::lane()] = sums[r];
    }
    template <class Scales>
    SIMT_DEVICE static float finished(const ProductArgs&, const Scales&, float sum, int, int) {
        return sum;
    }
};

/// Products of 16-output tiles and 8-row tiles on the tensor cores. Traits: bfloat16 or int8.
/// The loads of Group tiles of the depth are in flight together; the weights of Ahead tiles before the operand exists.
template <class Traits, int OutTiles, int RowTiles, int Ahead, int Group>
struct TensorMath {
    static_assert(Ahead % Group == 0);
    using Operand = typename Traits::Operand;
    using Sum = typename Traits::Sum;
    static constexpr int kOutputs = 16 * OutTiles, kRows = 8 * RowTiles;
    static constexpr int kBlocks = OutTiles < 4 ? 1 : 2;  // of large tiles, one computes while the other loads
    static constexpr int kWords = Traits::kWords;         // of a lane's part of an operand tile

    simt::Global<const std::uint32_t> weights;  ///< of the lane, at the first output tile
    int depth_tiles, first, end;
    simt::Vector<std::uint32_t, 4> ahead[Ahead][OutTiles];
    Sum sums[OutTiles][RowTiles][4];

    SIMT_DEVICE TensorMath(const ProductArgs& args, int out_tile, int chunk) {
        depth_tiles = padded_depth(args.depth) / Operand::kTile;
        const TileRange range = chunk_tiles(args.depth, chunk, Operand::kTile);
        first = range.begin, end = range.end;
        const auto* words = reinterpret_cast<const std::uint32_t*>(static_cast<const char*>(args.weights) +
                                                                   Traits::weight_offset(args.outputs));
        weights = simt::global(words) +
                  (static_cast<std::ptrdiff_t>(out_tile) * OutTiles * depth_tiles * simt::kWarp + simt::lane()) * 4;
        SIMT_UNROLL
        for (int o = 0; o < OutTiles; ++o) {
            SIMT_UNROLL
            for (int r = 0; r < RowTiles; ++r) {
                SIMT_UNROLL
                for (int i = 0; i < 4; ++i) sums[o][r][i] = 0;
            }
        }
    }
    SIMT_DEVICE simt::Vector<std::uint32_t, 4> weights_at(int o, int k) const {
        return simt::load_constant<4>(weights + (static_cast<std::ptrdiff_t>(o) * depth_tiles + k) * (4 * simt::kWarp));
    }
    SIMT_DEVICE void prefetch() {
        SIMT_UNROLL
        for (int i = 0; i < Ahead; ++i) {
            SIMT_UNROLL
            for (int o = 0; o < OutTiles; ++o) {
                if (first + i < end) ahead[i][o] = weights_at(o, first + i);
            }
        }
    }
    /// Tiles k ... k + Group - 1 of the depth, as far as they belong to the chunk.
    template <class In>
    SIMT_DEVICE void step(const simt::Vector<std::uint32_t, 4> (*a)[OutTiles], const In& operand, int row, int rows,
                          int k) {
        simt::Vector<std::uint32_t, kWords> b[Group][RowTiles];
        SIMT_UNROLL
        for (int i = 0; i < Group; ++i) {
            SIMT_UNROLL
            for (int r = 0; r < RowTiles; ++r) {
                b[i][r] = {};
                if (k + i >= end || r * kRowTile + simt::lane() / 4 >= rows) continue;
                const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row / kRowTile + r) * depth_tiles + k + i;
                b[i][r] = simt::load<kWords>(operand + (at * simt::kWarp + simt::lane()) * kWords);
            }
        }
        SIMT_UNROLL
        for (int i = 0; i < Group; ++i) {
            if (k + i >= end) continue;
            SIMT_UNROLL
            for (int r = 0; r < RowTiles; ++r) {
                SIMT_UNROLL
                for (int o = 0; o < OutTiles; ++o) Traits::multiply(sums[o][r], a[i][o], b[i][r]);
            }
        }
    }
    template <class In>
    SIMT_DEVICE void accumulate(const In& operand, int row, int rows) {
        SIMT_UNROLL
        for (int i = 0; i < Ahead; i += Group) {
            if (first + i < end) step(ahead + i, operand, row, rows, first + i);
        }
        SIMT_UNROLL_BY(1)
        for (int k = first + Ahead; k < end; k += Group) {
            simt::Vector<std::uint32_t, 4> a[Group][OutTiles];
            SIMT_UNROLL
            for (int i = 0; i < Group; ++i) {
                SIMT_UNROLL
                for (int o = 0; o < OutTiles; ++o) {
                    if (k + i < end) a[i][o] = weights_at(o, k + i);
                }
            }
            step(a, operand, row, rows, k);
        }
    }
    SIMT_DEVICE void put(const simt::Shared<Sum>& out) const {
        const int g = simt::lane() / 4, t = simt::lane() % 4;
        SIMT_UNROLL
        for (int o = 0; o < OutTiles; ++o) {
            SIMT_UNROLL
            for (int r = 0; r < RowTiles; ++r) {
                SIMT_UNROLL
                for (int i = 0; i < 4; ++i) {
                    const int row = r * 8 + 2 * t + i % 2, output = o * 16 + g + i / 2 * 8;
                    out[row * (kOutputs + kSumPadding) + output] = sums[o][r][i];
                }
            }
        }
    }
    template <class Scales>
    SIMT_DEVICE static float finished(const ProductArgs& args, const Scales& row_scales, Sum sum, int row, int output) {
        return Traits::finished(args, row_scales, sum, row, output);
    }
};

struct Bf16Traits {
    using Operand = Bf16Operand;
    using Sum = float;
    static constexpr int kWords = 4;
    SIMT_DEVICE static std::size_t weight_offset(int) { return 0; }
    SIMT_DEVICE static void multiply(float (&sums)[4], const simt::Vector<std::uint32_t, 4>& a,
                                     const simt::Vector<std::uint32_t, 4>& b) {
        simt::mma_bf16(sums, a, simt::Vector<std::uint32_t, 2>{{b[0], b[1]}});
        simt::mma_bf16(sums, a, simt::Vector<std::uint32_t, 2>{{b[2], b[3]}});
    }
    template <class Scales>
    SIMT_DEVICE static float finished(const ProductArgs&, const Scales&, float sum, int, int) {
        return sum;
    }
};

struct Int8Traits {
    using Operand = Int8Operand;
    using Sum = std::int32_t;
    static constexpr int kWords = 2;
    SIMT_DEVICE static std::size_t weight_offset(int outputs) { return weight_scale_bytes(outputs); }
    SIMT_DEVICE static void multiply(std::int32_t (&sums)[4], const simt::Vector<std::uint32_t, 4>& a,
                                     const simt::Vector<std::uint32_t, 2>& b) {
        simt::mma_int8(sums, a, b);
    }
    template <class Scales>
    SIMT_DEVICE static float finished(const ProductArgs& args, const Scales& row_scales, std::int32_t sum, int row,
                                      int output) {
        const auto scales = simt::global(static_cast<const float*>(args.weights));
        return static_cast<float>(sum) * (row_scales(row) * simt::load_constant(scales + output));
    }
};

/// What follows the sum of one output: loaded early, since nothing of it depends on the sum.
struct Tail {
    float bias = 0.0F, scale = 1.0F, residual = 0.0F;

    SIMT_DEVICE void load_constants(const ProductArgs& args, int n) {
        if (args.bias != nullptr) bias = simt::load_constant(simt::global(args.bias) + n);
        if (args.scale != nullptr) scale = simt::load_constant(simt::global(args.scale) + n);
    }
    SIMT_DEVICE void load_residual(const ProductArgs& args, std::ptrdiff_t place) {
        if (args.residual != nullptr) residual = simt::global(args.residual)[place];
    }
    SIMT_DEVICE float applied(const ProductArgs& args, float v) const {
        if (args.bias != nullptr) v += bias;
        v = activated(args.activation, args.slope, v);
        if (args.scale != nullptr) v *= scale;
        if (args.residual != nullptr) v += residual;
        return v;
    }
};

/// The e-th element of a tile.
template <class Math>
struct Element {
    int row, output, n;  ///< row and output in the tile; output of the matrix
    bool exists;
    std::ptrdiff_t place;  ///< in y

    SIMT_DEVICE Element(const ProductArgs& args, int e, int out_tile, int first_row) {
        row = e / Math::kOutputs, output = e % Math::kOutputs;
        n = out_tile * Math::kOutputs + output;
        exists = row < Math::kRows && first_row + row < args.rows && n < args.outputs;
        place = static_cast<std::ptrdiff_t>(first_row + row) * args.outputs + n;
    }
};

/// Adds the chunks of one element and writes it; row_scales(r) is the int8 scale of the tile's r-th row.
template <class Math, class Scales>
SIMT_DEVICE void finish(const ProductArgs& args, const simt::Shared<typename Math::Sum>& sums, const Scales& row_scales,
                        const Element<Math>& e, const Tail& tail) {
    constexpr int kStride = Math::kOutputs + kSumPadding;
    const int chunks = chunk_count(args.depth);
    typename Math::Sum sum = sums[e.row * kStride + e.output];
    for (int c = 1; c < chunks; ++c) sum += sums[(c * Math::kRows + e.row) * kStride + e.output];
    simt::global(args.y)[e.place] = tail.applied(args, Math::finished(args, row_scales, sum, e.row, e.n));
}

template <class Math>
constexpr std::size_t sums_bytes() {
    return simt::shared_bytes<typename Math::Sum>(static_cast<std::size_t>(kProductWarps) * Math::kRows *
                                                  (Math::kOutputs + kSumPadding));
}

/// At most eight rows; a block for each tile of outputs.
template <class Math, class Source>
struct FusedProduct {
    struct Args {
        typename Source::Args source;
        Norm norm;
        ProductArgs product;
    };
    static constexpr int kThreads = kProductWarps * simt::kWarp;
    using Operand = typename Math::Operand;

    static std::size_t bytes(int rows, int depth) {
        const std::size_t filled = Operand::kPrecision == Precision::fp32 ? static_cast<std::size_t>(rows) : kRowTile;
        return simt::shared_bytes<float>(4 * kRowTile) +
               simt::shared_bytes<char>(filled * operand_row_bytes(Operand::kPrecision, depth)) + sums_bytes<Math>();
    }

    SIMT_DEVICE static void run(const Args& args) {
        const ProductArgs& product = args.product;
        const int out_tile = simt::block_x();
        static_assert(Math::kRows * Math::kOutputs <= kThreads);
        const Element<Math> element(product, simt::thread(), out_tile, 0);
        Tail tail;
        HeldNorm<Operand> affine;
        Math math(product, out_tile, simt::warp());
        math.prefetch();
        if (element.exists) tail.load_constants(product, element.n);
        if (simt::warp() < product.rows && held<Operand>(product.depth)) affine.load(args.norm, product.depth);
        simt::wait_for_previous();
        simt::let_next_start();
        if (element.exists) tail.load_residual(product, element.place);

        simt::SharedArena arena;
        const auto statistics = arena.take<float>(4 * kRowTile);
        const auto sums = arena.take<typename Math::Sum>(kProductWarps * Math::kRows * (Math::kOutputs + kSumPadding));
        const int operand_rows = Operand::kPrecision == Precision::fp32 ? product.rows : kRowTile;
        const auto operand = arena.take<typename Operand::Word>(
            operand_rows * static_cast<int>(operand_row_bytes(Operand::kPrecision, product.depth) / 4));
        const Source source(args.source);
        write_operand<Operand>(source, args.norm, affine, 0, product.rows, product.rows, product.depth, {}, statistics,
                               operand);
        math.accumulate(operand, 0, product.rows);
        math.put(sums + simt::warp() * Math::kRows * (Math::kOutputs + kSumPadding));
        simt::barrier();
        const auto row_scale = [&](int row) -> float { return statistics[4 * row + 2]; };
        if (element.exists) finish<Math>(product, sums, row_scale, element, tail);
        if constexpr (Source::kAppends) {
            if (out_tile == 0) source.append(simt::warp(), kProductWarps);
        }
    }
};

/// Any number of rows -> operand; a block for each eight. A second row of blocks appends to the ring, if there is one.
template <class Operand, class Source>
struct Prepare {
    struct Args {
        typename Source::Args source;
        Norm norm;
        int rows, depth;
        int parts;  ///< blocks that share the depth (z): one where there is a norm, or int8
        void* operand;
    };
    static constexpr int kThreads = kProductWarps * simt::kWarp;
    static constexpr unsigned kGridRows = Source::kAppends ? 2 : 1;
    static constexpr std::size_t kSharedBytes = simt::shared_bytes<float>(4 * kRowTile);

    SIMT_DEVICE static void run(const Args& args) {
        HeldNorm<Operand> affine;
        if (held<Operand>(args.depth)) affine.load(args.norm, args.depth);
        simt::wait_for_previous();
        simt::let_next_start();
        const Source source(args.source);
        if constexpr (Source::kAppends) {
            if (simt::block_y() == 1) {
                if (simt::block_z() > 0) return;
                source.append(simt::block_x() * kProductWarps + simt::warp(), simt::blocks_x() * kProductWarps);
                return;
            }
        }
        simt::SharedArena arena;
        const auto statistics = arena.take<float>(4 * kRowTile);
        const int first = simt::block_x() * kRowTile;
        const int count = args.rows - first < kRowTile ? args.rows - first : kRowTile;
        const std::ptrdiff_t words = static_cast<std::ptrdiff_t>(operand_row_bytes(Operand::kPrecision, args.depth) /
                                                                 sizeof(typename Operand::Word));
        const auto out = simt::global(static_cast<typename Operand::Word*>(args.operand)) + first * words;
        write_operand<Operand>(source, args.norm, affine, first, count, kRowTile, args.depth,
                               {simt::block_z(), args.parts}, statistics, out);
        if constexpr (Operand::kPrecision == Precision::int8) {
            const std::ptrdiff_t all = rounded_up(args.rows, kRowTile);
            const auto scales =
                simt::global(reinterpret_cast<float*>(static_cast<std::uint32_t*>(args.operand) + all * words));
            if (simt::thread() < count) scales[first + simt::thread()] = statistics[4 * simt::thread() + 2];
        }
    }
};

/// A prepared operand; a block for each tile of outputs (x) and of rows (y).
template <class Math>
struct Product {
    struct Args {
        const void* operand;
        ProductArgs product;
    };
    static constexpr int kThreads = kProductWarps * simt::kWarp;
    static constexpr int kBlocks = Math::kBlocks;
    using Operand = typename Math::Operand;

    SIMT_DEVICE static void run(const Args& args) {
        const ProductArgs& product = args.product;
        const int out_tile = simt::block_x(), first_row = simt::block_y() * Math::kRows;
        Math math(product, out_tile, simt::warp());
        math.prefetch();
        simt::wait_for_previous();
        simt::let_next_start();

        simt::SharedArena arena;
        const auto sums = arena.take<typename Math::Sum>(kProductWarps * Math::kRows * (Math::kOutputs + kSumPadding));
        const auto operand = simt::global(static_cast<const typename Operand::Word*>(args.operand));
        const int all = rounded_up(product.rows, kRowTile);
        math.accumulate(operand, first_row, all - first_row < Math::kRows ? all - first_row : Math::kRows);
        math.put(sums + simt::warp() * Math::kRows * (Math::kOutputs + kSumPadding));
        constexpr int kEach = (Math::kRows * Math::kOutputs + kThreads - 1) / kThreads;
        Tail tails[kEach];  // all at once, and while the other warps end
        SIMT_UNROLL
        for (int i = 0; i < kEach; ++i) {
            const Element<Math> element(product, simt::thread() + i * kThreads, out_tile, first_row);
            if (!element.exists) continue;
            tails[i].load_constants(product, element.n);
            tails[i].load_residual(product, element.place);
        }
        simt::barrier();
        const std::ptrdiff_t words = static_cast<std::ptrdiff_t>(operand_row_bytes(Operand::kPrecision, product.depth) /
                                                                 sizeof(typename Operand::Word));
        const auto* scales =
            reinterpret_cast<const float*>(static_cast<const typename Operand::Word*>(args.operand) + all * words);
        const auto row_scale = [&](int row) -> float { return simt::global(scales)[first_row + row]; };
        SIMT_UNROLL
        for (int i = 0; i < kEach; ++i) {
            const Element<Math> element(product, simt::thread() + i * kThreads, out_tile, first_row);
            if (element.exists) finish<Math>(product, sums, row_scale, element, tails[i]);
        }
    }
};

}  // namespace secousti::core::cuda

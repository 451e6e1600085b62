// HiFT's convolutions as implicit matrix products: a block makes kRows x kCols outputs, rows of all streams one after
// the other. Rows and weights come to shared memory through a pipeline of asynchronous copies, tap by tap, straight
// from the signals' rings; bfloat16 goes to the tensor cores, float32 to the ordinary ones. Sums run in the order of
// the depth whatever the tile, so convolutions are batch-invariant.
#pragma once

#include <type_traits>

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/hift_math.cuh"

namespace secousti::core::cuda {

/// Words of 4 bytes that a pipeline stage holds of each row: 64 bfloat16 or 32 float32.
inline constexpr int kHiftChunk = 32;

template <bool kBf16_, int kRows_, int kCols_, int kWarpRows_, int kWarpCols_, int kStages_>
struct HiftTile {
    static constexpr bool kBf16 = kBf16_;
    static constexpr int kRows = kRows_, kCols = kCols_;                  ///< of the block
    static constexpr int kWarpRows = kWarpRows_, kWarpCols = kWarpCols_;  ///< of a warp
    static constexpr int kStages = kStages_;
    static constexpr int kThreads = kRows / kWarpRows * (kCols / kWarpCols) * simt::kWarp;
};
using HiftWideTile = HiftTile<true, 128, 128, 64, 32, 3>;
using HiftNarrowTile = HiftTile<true, 32, 32, 16, 16, 4>;
using HiftWideExactTile = HiftTile<false, 64, 64, 16, 32, 3>;
using HiftNarrowExactTile = HiftTile<false, 16, 32, 8, 16, 4>;

template <class Tile>
struct HiftConvKernel {
    using Args = HiftConvArgs;
    using Word = std::conditional_t<Tile::kBf16, std::uint32_t, float>;
    static constexpr int kThreads = Tile::kThreads;
    static constexpr int kRows = Tile::kRows, kCols = Tile::kCols, kStages = Tile::kStages;
    static constexpr int kStride = kHiftChunk + 4;  ///< words from row to row: strided reads meet different banks
    static constexpr int kPerWord = Tile::kBf16 ? 2 : 1;
    static constexpr int kVectors = kHiftChunk / 4;  ///< of 16 bytes in a row
    static_assert(kThreads % kVectors == 0);

    static std::size_t shared() {
        return kColumns * simt::shared_bytes<int>(kRows) + simt::shared_bytes<int>(kThreads / simt::kWarp) +
               simt::shared_bytes<Word>(kStages * (kRows + kCols) * kStride);
    }

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        // Constant indices keep addresses out of registers: two wide blocks fit a multiprocessor.
        const int z = simt::block_z();
        if (z == 0) {
            block(args.step, args.job[0]);
        } else if (z == 1) {
            block(args.step, args.job[1]);
        } else {
            block(args.step, args.job[2]);
        }
    }

  private:
    static constexpr int kColumns = 9;  ///< of the table of rows

    /// What each row of the block needs to know.
    struct Table {
        simt::Shared<int> slot;                 ///< -1: no row
        simt::Shared<int> low, high;            ///< offsets from the first input row whose rows exist
        simt::Shared<int> in;                   ///< ring row of the first input row
        simt::Shared<int> raw, next, residual;  ///< ring rows
        simt::Shared<int> raw_low, raw_high;    ///< phases whose rows of `raw` exist
    };

    SIMT_DEVICE static void block(const HiftStep& step, const HiftConv& job) {
        simt::SharedArena arena;
        Table table;
        table.slot = arena.take<int>(kRows);
        table.low = arena.take<int>(kRows);
        table.high = arena.take<int>(kRows);
        table.in = arena.take<int>(kRows);
        table.raw = arena.take<int>(kRows);
        table.next = arena.take<int>(kRows);
        table.residual = arena.take<int>(kRows);
        table.raw_low = arena.take<int>(kRows);
        table.raw_high = arena.take<int>(kRows);
        const simt::Shared<int> used = arena.take<int>(kThreads / simt::kWarp);
        const simt::Shared<Word> stages = arena.take<Word>(kStages * (kRows + kCols) * kStride);

        bool any = false;
        for (int m = simt::thread(); m < kRows; m += kThreads) any = fill(step, job, m, table) || any;
        const unsigned votes = simt::ballot(any);
        if (simt::lane() == 0) used[simt::warp()] = votes != 0 ? 1 : 0;
        simt::barrier();
        int live = 0;
        for (int w = 0; w < kThreads / simt::kWarp; ++w) live += used[w];
        if (live == 0) return;

        if constexpr (Tile::kBf16) {
            multiply_bf16(job, table, stages);
        } else {
            multiply_exact(job, table, stages);
        }
    }

    /// One row of the table; whether it has outputs.
    SIMT_DEVICE static bool fill(const HiftStep& step, const HiftConv& job, int m, const Table& table) {
        const int rows = job.rate * step.frames;
        const int row = simt::block_x() * kRows + m;
        const int slot = row / rows;
        bool live = slot < step.slots && hift_active(step, slot);
        if (live) {
            const long long frames = hift_frames(step, slot), length = hift_length(step, slot);
            const long long out = job.rate * frames - job.lag + row % rows;
            const long long total = length < 0 ? kHiftForever : job.rate * length + job.extra;
            live = out >= 0 && out < total;
            const long long first = out * job.stride - job.pad_left;
            table.low[m] = clamp_to_int(-first);
            table.high[m] = live ? clamp_to_int(hift_total(job.in, length) - first) : 0;
            table.in[m] = hift_ring_row(job.in, first);
            const long long raw = out * job.phases + job.shift;
            table.raw[m] = job.raw.data != nullptr ? hift_ring_row(job.raw, raw) : 0;
            table.raw_low[m] = clamp_to_int((job.reflects ? 1 : 0) - raw);
            table.raw_high[m] = clamp_to_int(hift_total(job.raw, length) - raw);
            table.next[m] = job.next.data != nullptr ? hift_ring_row(job.next, out) : 0;
            table.residual[m] = job.residual.data != nullptr ? hift_ring_row(job.residual, out) : 0;
        }
        table.slot[m] = live ? slot : -1;
        return live;
    }

    /// Starts the copies of chunk `chunk` of the depth into its stage.
    SIMT_DEVICE static void fetch(const HiftConv& job, const Table& table, simt::Shared<Word> stages, int chunk,
                                  int chunks) {
        const simt::Shared<Word> to = stages + chunk % kStages * (kRows + kCols) * kStride;
        const int vector = simt::thread() % kVectors;
        const int k = chunk * kHiftChunk + 4 * vector, width = job.in.stride / kPerWord;
        const int tap = k / width, c = k - tap * width;
        const int offset = tap * job.dilation;
        const auto in = simt::global(reinterpret_cast<const Word*>(job.in.data));
        for (int m = simt::thread() / kVectors; m < kRows; m += kThreads / kVectors) {
            const int slot = table.slot[m];
            bool valid = slot >= 0 && tap < job.taps;
            std::ptrdiff_t at = 0;
            if (valid) {
                const int low = table.low[m], high = table.high[m], first = table.in[m];
                valid = offset >= low && offset < high;
                int row = first + offset;
                row = row >= job.in.rows ? row - job.in.rows : row;
                at = slot * static_cast<std::ptrdiff_t>(job.in.slot_bytes / sizeof(Word)) +
                     static_cast<std::ptrdiff_t>(row) * width + c;
            }
            copy_async<Word>(to + m * kStride + 4 * vector, in + (valid ? at : 0), valid);
        }
        const auto weights = simt::global(static_cast<const Word*>(job.weights));
        for (int n = simt::thread() / kVectors; n < kCols; n += kThreads / kVectors) {
            const int output = simt::block_y() * kCols + n;
            const bool valid = output < job.outputs;
            const std::ptrdiff_t at = valid ? static_cast<std::ptrdiff_t>(output) * chunks * kHiftChunk + k : 0;
            copy_async<Word>(to + (kRows + n) * kStride + 4 * vector, weights + at, valid);
        }
    }

    /// Runs `body(rows, columns)` for each chunk of the depth, the next ones under way.
    template <class Body>
    SIMT_DEVICE static void pipeline(const HiftConv& job, const Table& table, simt::Shared<Word> stages, Body body) {
        const int depth = job.taps * (job.in.stride / kPerWord);
        const int chunks = (depth + kHiftChunk - 1) / kHiftChunk;
        SIMT_UNROLL
        for (int chunk = 0; chunk < kStages - 1; ++chunk) {
            if (chunk < chunks) fetch(job, table, stages, chunk, chunks);
            commit_copies();
        }
        for (int chunk = 0; chunk < chunks; ++chunk) {
            wait_for_copies<kStages - 2>();
            simt::barrier();  // all have it, and none still reads the stage that is filled next
            if (chunk + kStages - 1 < chunks) fetch(job, table, stages, chunk + kStages - 1, chunks);
            commit_copies();
            const simt::Shared<Word> rows = stages + chunk % kStages * (kRows + kCols) * kStride;
            body(rows, rows + kRows * kStride);
        }
    }

    SIMT_DEVICE static void multiply_bf16(const HiftConv& job, const Table& table, simt::Shared<Word> stages) {
        constexpr int kM = Tile::kWarpRows / 16, kN = Tile::kWarpCols / 8;
        const int row0 = simt::warp() / (kCols / Tile::kWarpCols) * Tile::kWarpRows;
        const int col0 = simt::warp() % (kCols / Tile::kWarpCols) * Tile::kWarpCols;
        const int g = simt::lane() / 4, t = simt::lane() % 4;
        float sums[kM][kN][4] = {};
        pipeline(job, table, stages, [&](simt::Shared<Word> rows, simt::Shared<Word> columns) {
            SIMT_UNROLL
            for (int k = 0; k < kHiftChunk; k += 8) {
                simt::Vector<std::uint32_t, 2> b[kN];
                SIMT_UNROLL
                for (int j = 0; j < kN; ++j) {
                    const simt::Shared<Word> at = columns + (col0 + 8 * j + g) * kStride + k + t;
                    b[j][0] = at[0];
                    b[j][1] = at[4];
                }
                SIMT_UNROLL
                for (int i = 0; i < kM; ++i) {
                    const simt::Shared<Word> at = rows + (row0 + 16 * i + g) * kStride + k + t;
                    simt::Vector<std::uint32_t, 4> a;
                    a[0] = at[0];
                    a[1] = at[8 * kStride];
                    a[2] = at[4];
                    a[3] = at[8 * kStride + 4];
                    SIMT_UNROLL
                    for (int j = 0; j < kN; ++j) simt::mma_bf16(sums[i][j], a, b[j]);
                }
            }
        });
        SIMT_UNROLL
        for (int j = 0; j < kN; ++j) {
            const Column column(job, simt::block_y() * kCols + col0 + 8 * j + 2 * t);
            SIMT_UNROLL
            for (int i = 0; i < kM; ++i) {
                column.put(job, table, row0 + 16 * i + g, sums[i][j][0], sums[i][j][1]);
                column.put(job, table, row0 + 16 * i + g + 8, sums[i][j][2], sums[i][j][3]);
            }
        }
    }

    /// Each thread has kM rows and pairs of columns.
    SIMT_DEVICE static void multiply_exact(const HiftConv& job, const Table& table, simt::Shared<Word> stages) {
        constexpr int kThreadRows = 8, kThreadCols = 4;  // of a warp
        constexpr int kM = Tile::kWarpRows / kThreadRows, kN = Tile::kWarpCols / kThreadCols;
        const int row0 = simt::warp() / (kCols / Tile::kWarpCols) * Tile::kWarpRows + simt::lane() / kThreadCols;
        const int col0 = simt::warp() % (kCols / Tile::kWarpCols) * Tile::kWarpCols + 2 * (simt::lane() % kThreadCols);
        const auto column_of = [&](int j) { return col0 + j / 2 * 2 * kThreadCols + j % 2; };
        float sums[kM][kN] = {};
        pipeline(job, table, stages, [&](simt::Shared<Word> rows, simt::Shared<Word> columns) {
            for (int k = 0; k < kHiftChunk; k += 4) {
                simt::Vector<float, 4> a[kM];
                SIMT_UNROLL
                for (int i = 0; i < kM; ++i) a[i] = simt::load<4>(rows + (row0 + i * kThreadRows) * kStride + k);
                SIMT_UNROLL
                for (int j = 0; j < kN; ++j) {
                    const simt::Vector<float, 4> b = simt::load<4>(columns + column_of(j) * kStride + k);
                    SIMT_UNROLL
                    for (int i = 0; i < kM; ++i) {
                        SIMT_UNROLL
                        for (int e = 0; e < 4; ++e) sums[i][j] = fmaf(a[i][e], b[e], sums[i][j]);
                    }
                }
            }
        });
        SIMT_UNROLL
        for (int j = 0; j < kN; j += 2) {
            const Column column(job, simt::block_y() * kCols + column_of(j));
            SIMT_UNROLL
            for (int i = 0; i < kM; ++i) {
                column.put(job, table, row0 + i * kThreadRows, sums[i][j], sums[i][j + 1]);
            }
        }
    }

    /// Two neighbouring outputs.
    struct Column {
        int output;
        bool has[2];
        float bias[2], alpha[2], inverse[2];

        SIMT_DEVICE Column(const HiftConv& job, int first) : output(first) {
            SIMT_UNROLL
            for (int e = 0; e < 2; ++e) {
                has[e] = output + e < job.outputs;
                bias[e] =
                    has[e] && job.bias != nullptr ? simt::load_constant(simt::global(job.bias) + output + e) : 0.0F;
                const bool snakes = has[e] && job.alpha != nullptr;
                alpha[e] = snakes ? simt::load_constant(simt::global(job.alpha) + output + e) : 0.0F;
                inverse[e] = snakes ? simt::load_constant(simt::global(job.inverse_alpha) + output + e) : 0.0F;
            }
        }

        SIMT_DEVICE void put(const HiftConv& job, const Table& table, int m, float v0, float v1) const {
            const int slot = table.slot[m];
            if (slot < 0 || !has[0]) return;
            float v[2] = {v0 + bias[0], v1 + bias[1]};
            if (job.residual.data != nullptr) {
                const simt::Vector<float, 2> from =
                    simt::load<2>(hift_floats(job.residual, slot, table.residual[m]) + output);
                v[0] += from[0];
                v[1] += from[1];
            }
            if (job.raw.data != nullptr) {
                if (job.phases == 1) {
                    const simt::Global<float> to = hift_floats(job.raw, slot, table.raw[m]) + output;
                    simt::store(to, simt::Vector<float, 2>{{v[0], has[1] ? v[1] : 0.0F}});
                } else {
                    SIMT_UNROLL
                    for (int e = 0; e < 2; ++e) {
                        if (has[e]) put_phase(job, table, m, slot, output + e, v[e]);
                    }
                }
            }
            if (job.next.data != nullptr) {
                hift_store<Tile::kBf16>(job.next, slot, table.next[m], output, activated(job, 0, v[0]),
                                        has[1] ? activated(job, 1, v[1]) : 0.0F);
            }
        }

        SIMT_DEVICE float activated(const HiftConv& job, int e, float v) const {
            if (job.alpha != nullptr) return snake(v, alpha[e], inverse[e]);
            if (job.activation == Activation::elu) return v > 0.0F ? v : expm1f(v);
            if (job.activation == Activation::leaky_relu) return v > 0.0F ? v : job.slope * v;
            return v;
        }

        SIMT_DEVICE static void put_phase(const HiftConv& job, const Table& table, int m, int slot, int output,
                                          float v) {
            const int width = job.outputs / job.phases;
            const int phase = output / width, c = output - phase * width;
            const int low = table.raw_low[m], high = table.raw_high[m], first = table.raw[m];
            if (phase < low || phase >= high) return;
            const int row = first + phase;
            hift_floats(job.raw, slot, row >= job.raw.rows ? row - job.raw.rows : row)[c] = v;
            // Where the utterance starts, `low` is the phase of row 1.
            if (job.reflects && low > 0 && phase == low + 1) hift_floats(job.raw, slot, 0)[c] = v;
        }
    };
};

}  // namespace secousti::core::cuda

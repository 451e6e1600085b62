// Elementwise maps and small reductions over rows; the clocks of the slots.
#pragma once

#include "kernels/cuda/activation.cuh"

namespace secousti::core::cuda {

struct Activate {
    struct Args {
        Activation activation;
        float slope;
        const float* x;
        std::size_t count;
        float* y;
    };
    static constexpr int kThreads = 256;

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        simt::let_next_start();
        const std::size_t i =
            static_cast<std::size_t>(simt::block_x()) * kThreads + static_cast<std::size_t>(simt::thread());
        const auto x = simt::global(args.x);
        const auto y = simt::global(args.y);
        if (i < args.count) y[i] = activated(args.activation, args.slope, x[i]);
    }
};

/// Words of 4 bytes, a thread each.
struct CopyRows {
    struct Args {
        const std::uint32_t* from;
        std::ptrdiff_t from_stride;
        std::uint32_t* to;
        std::ptrdiff_t to_stride;
        int rows, width;
    };
    static constexpr int kThreads = 256;

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        simt::let_next_start();
        const int i = simt::block_x() * kThreads + simt::thread();
        const int row = i / args.width, column = i - row * args.width;
        if (row >= args.rows) return;
        const std::uint32_t value = simt::global(args.from)[row * args.from_stride + column];
        simt::global(args.to)[row * args.to_stride + column] = value;
    }
};

/// One thread for each slot.
struct Advance {
    struct Args {
        std::uint64_t* position;
        const std::uint8_t* active;
        int slots;
        int tokens;
    };
    static constexpr int kThreads = 128;

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        simt::let_next_start();
        const int slot = simt::block_x() * kThreads + simt::thread();
        const auto position = simt::global(args.position);
        const auto active = simt::global(args.active);
        if (slot >= args.slots || (active && active[slot] == 0)) return;
        position[slot] += static_cast<std::uint64_t>(args.tokens);
    }
};

struct Seek {
    struct Args {
        std::uint64_t* position;
        std::uint64_t* start;
        const std::uint8_t* mask;
        const std::uint64_t* positions;
        int slots;
    };
    static constexpr int kThreads = 128;

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        simt::let_next_start();
        const int slot = simt::block_x() * kThreads + simt::thread();
        const auto position = simt::global(args.position);
        const auto start = simt::global(args.start);
        const auto mask = simt::global(args.mask);
        const auto positions = simt::global(args.positions);
        if (slot >= args.slots || (mask && mask[slot] == 0)) return;
        std::uint64_t to = 0;
        if (positions) to = positions[slot];
        position[slot] = to;
        start[slot] = to;
    }
};

struct MaskOfTokens {
    struct Args {
        const std::int32_t* tokens;
        int slots;
        int stride;
        std::uint8_t* active;
    };
    static constexpr int kThreads = 128;

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        simt::let_next_start();
        const int slot = simt::block_x() * kThreads + simt::thread();
        if (slot >= args.slots) return;
        const auto tokens = simt::global(args.tokens);
        const auto active = simt::global(args.active);
        active[slot] = tokens[static_cast<std::ptrdiff_t>(slot) * args.stride] >= 0 ? 1 : 0;
    }
};

/// A thread sums one channel of one slot.
struct MeanRows {
    struct Args {
        const float* x;
        int slots;
        int rows;
        int channels;
        const std::int32_t* valid;
        float* mean;
    };
    static constexpr int kThreads = 128;

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        simt::let_next_start();
        const int slot = simt::block_y();
        const int c = simt::block_x() * kThreads + simt::thread();
        if (c >= args.channels) return;
        const auto valid = simt::global(args.valid);
        const auto mean = simt::global(args.mean);
        const auto x = simt::global(args.x) + static_cast<std::ptrdiff_t>(slot) * args.rows * args.channels;
        int rows = args.rows;
        if (valid) rows = valid[slot];
        double sum = 0.0;
        for (int r = 0; r < rows; ++r) {
            const float v = x[static_cast<std::ptrdiff_t>(r) * args.channels + c];
            sum += static_cast<double>(v);
        }
        mean[static_cast<std::ptrdiff_t>(slot) * args.channels + c] = static_cast<float>(sum / rows);
    }
};

}  // namespace secousti::core::cuda

// Concealment of lost tokens: models/concealment.cpp for the slots of a group.
#pragma once

#include "kernels/cuda/launchers.h"
#include "kernels/cuda/simt.cuh"

namespace secousti::core::cuda {

/// The memory of a slot as 32-bit words.
inline constexpr int kHeard = 0, kLast = 1, kMissing = 2;
static_assert(offsetof(ConcealMemory, last) == 4 * kLast && offsetof(ConcealMemory, missing) == 4 * kMissing);
SIMT_DEVICE simt::Global<std::int32_t> words(const Concealing& c, int slot) {
    return simt::global(reinterpret_cast<std::int32_t*>(c.memory + slot));
}

/// What stands for token `at` of a slot's row of tokens.
struct Prediction {
    std::int32_t token;
    float weight;  ///< of its code

    SIMT_DEVICE Prediction(const Concealing& c, simt::Global<const std::int32_t> row, int slot, int at)
        : token(row[at]), weight(1.0F) {
        if (token >= 0) return;
        if (c.memory == nullptr) {
            token = 0;
            return;
        }
        int from = at - 1;
        while (from >= 0 && row[from] < 0) --from;
        std::uint32_t missing = 0;
        std::int32_t heard = 1;
        if (from >= 0) {
            token = row[from];
        } else {
            const auto memory = words(c, slot);
            heard = memory[kHeard];
            token = memory[kLast];
            missing = static_cast<std::uint32_t>(static_cast<std::int32_t>(memory[kMissing]));
        }
        const float age = static_cast<float>(static_cast<long long>(missing) +
                                             static_cast<long long>(at - from) * c.frames_per_token);
        weight = heard == 0 ? 0.0F : fminf(1.0F, c.correlation * expf(-(age * c.frame_seconds) / c.decay));
    }
};

/// A block for each slot, a thread for a band.
struct Conceal {
    struct Args {
        std::uint64_t* position;
        const std::uint8_t* active;
        Concealing concealing;
        const std::int32_t* tokens;
        float* floor;
        float* mel;
        int tokens_per_slot, bands;
    };
    static constexpr int kThreads = 128;

    SIMT_DEVICE static void run(const Args& args) {
        simt::wait_for_previous();
        simt::let_next_start();
        const int slot = simt::block_x();
        const auto active = simt::global(args.active);
        if (active && active[slot] == 0) return;
        const Concealing& c = args.concealing;
        const auto tokens = simt::global(args.tokens) + static_cast<std::ptrdiff_t>(slot) * args.tokens_per_slot;
        const auto memory = words(c, slot);
        const std::int32_t heard = memory[kHeard], last = memory[kLast], missing = memory[kMissing];
        const auto floor = simt::global(args.floor) + static_cast<std::ptrdiff_t>(slot) * args.bands;
        const auto mel = simt::global(args.mel) +
                         static_cast<std::ptrdiff_t>(slot) * args.tokens_per_slot * c.frames_per_token * args.bands;
        Memory now{heard, last, static_cast<std::uint32_t>(missing)};
        for (int band = simt::thread(); band < args.bands; band += kThreads) {
            now = {heard, last, static_cast<std::uint32_t>(missing)};
            float level = floor[band];
            for (int t = 0; t < args.tokens_per_slot; ++t) {
                const std::int32_t token = tokens[t];
                if (token >= 0) now = {1, token, 0};
                for (int f = 0; f < c.frames_per_token; ++f) {
                    const auto at = mel + static_cast<std::ptrdiff_t>(t * c.frames_per_token + f) * args.bands + band;
                    const float value = at[0];
                    if (token >= 0) {
                        const float distance = value - c.silence - level;
                        level = fmaxf(0.0F, level + (distance < 0.0F ? c.down : c.up) * distance);
                    } else {
                        now.lose();
                        at[0] = value + now.faded(c) * (fminf(value, c.silence + level) - value);
                    }
                }
            }
            floor[band] = level;
        }
        simt::barrier();  // all have read the memory
        if (simt::thread() != 0) return;
        memory[kHeard] = now.heard;
        memory[kLast] = now.last;
        memory[kMissing] = static_cast<std::int32_t>(now.missing);
        simt::global(args.position)[slot] += static_cast<std::uint64_t>(args.tokens_per_slot);
    }

  private:
    struct Memory {
        std::int32_t heard, last;
        std::uint32_t missing;

        SIMT_DEVICE void lose() {
            if (missing != 0xFFFFFFFFU) ++missing;
        }
        SIMT_DEVICE float faded(const Concealing& c) const {
            // Before the first token there is nothing to go on with.
            if (heard == 0) return 1.0F;
            const float seconds = static_cast<float>(static_cast<long long>(missing)) * c.frame_seconds;
            return fminf(fmaxf((seconds - c.hold) / c.fade, 0.0F), 1.0F);
        }
    };
};

}  // namespace secousti::core::cuda

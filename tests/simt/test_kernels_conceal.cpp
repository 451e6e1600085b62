// Concealment of lost tokens, and rows moved between strides.
#include <algorithm>
#include <cmath>
#include <string>

#include "check.h"
#include "device_array.h"
#include "kernels/cuda/launchers.h"

namespace {

using namespace secousti::core;
using simt_test::Array;
using simt_test::queue;

constexpr std::size_t kSlots = 4, kTokens = 3, kFrames = 2, kBands = 133;

cuda::Concealing concealing(cuda::ConcealMemory* memory) {
    return {memory, static_cast<int>(kFrames), 0.05F, 0.9F, 0.06F, 0.1F, 0.2F, 0.4F, 0.01F, -11.5F};
}

/// Slots that hear all, lose some, have heard nothing and rest; the third one's counter is about to overflow.
const std::vector<std::int32_t> kHeard{3, 0, 2, -1, 1, -1, -1, -1, -1, 0, 0, 0};
const std::vector<cuda::ConcealMemory> kBefore{{1, 2, 5}, {1, 1, 3}, {0, 0, 0xFFFFFFFE}, {1, 3, 7}};
const std::vector<std::uint8_t> kActive{1, 1, 1, 0};

}  // namespace

TEST(simt_conceal) {
    const std::vector<float> mel = check::uniform_vector(kSlots * kTokens * kFrames * kBands, -11.0F, 1.0F);
    const std::vector<float> floor = check::uniform_vector(kSlots * kBands, 0.0F, 3.0F);
    const Array<std::int32_t> tokens(kHeard);
    const Array<std::uint8_t> active(kActive);
    const Array<cuda::ConcealMemory> memory(kBefore);
    const Array<float> rows(mel), levels(floor);
    const Array<std::uint64_t> position(std::vector<std::uint64_t>{5, 6, 7, 8});
    cuda::conceal(queue(), {.clock = {.position = position.data(), .active = active.data(), .slots = kSlots},
                            .tokens_per_slot = kTokens,
                            .concealing = concealing(memory.data()),
                            .tokens = tokens.data(),
                            .floor = levels.data(),
                            .mel = rows.data(),
                            .bands = kBands});
    const cuda::Concealing c = concealing(nullptr);
    std::vector<double> expected(mel.begin(), mel.end()), expected_floor(floor.begin(), floor.end());
    for (std::size_t slot = 0; slot < kSlots - 1; ++slot) {
        for (std::size_t band = 0; band < kBands; ++band) {
            double& level = expected_floor[slot * kBands + band];
            bool heard = kBefore[slot].heard != 0;
            double missing = kBefore[slot].missing;
            for (std::size_t t = 0; t < kTokens; ++t) {
                for (std::size_t f = 0; f < kFrames; ++f) {
                    double& value = expected[((slot * kTokens + t) * kFrames + f) * kBands + band];
                    if (kHeard[slot * kTokens + t] >= 0) {
                        heard = true;
                        missing = 0;
                        const double distance = value - static_cast<double>(c.silence) - level;
                        level = std::max(0.0, level + static_cast<double>(distance < 0 ? c.down : c.up) * distance);
                    } else {
                        missing += 1;
                        const double seconds = missing * static_cast<double>(c.frame_seconds);
                        const double part = (seconds - static_cast<double>(c.hold)) / static_cast<double>(c.fade);
                        const double faded = heard ? std::clamp(part, 0.0, 1.0) : 1.0;
                        value += faded * (std::min(value, static_cast<double>(c.silence) + level) - value);
                    }
                }
            }
        }
    }
    CHECK_VECTORS_CLOSE(rows.host(), expected, 1e-5, 0.0, "mel");
    CHECK_VECTORS_CLOSE(levels.host(), expected_floor, 1e-5, 0.0, "noise floor");
    const std::vector<cuda::ConcealMemory> after = memory.host();
    const cuda::ConcealMemory remembered[] = {{1, 2, 0}, {1, 1, 2}, {0, 0, 0xFFFFFFFF}, {1, 3, 7}};
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
        CHECK(after[slot].heard == remembered[slot].heard);
        CHECK(after[slot].last == remembered[slot].last);
        CHECK(after[slot].missing == remembered[slot].missing);
    }
    CHECK(position.host() == (std::vector<std::uint64_t>{8, 9, 10, 8}));
}

TEST(simt_lost_tokens_have_the_code_of_the_last_one) {
    // One dimension of three levels and weight 1: what comes out is the code.
    const std::vector<cuda::ConcealMemory> before{{1, 2, 5}, {1, 0, 3}, {0, 0, 0}, {1, 2, 0xFFFFFFFF}};
    const Array<cuda::ConcealMemory> memory(before);
    const Array<float> weights(std::vector<float>{1.0F}), bias(std::vector<float>{0.0F}), y(kSlots * kTokens);
    const std::vector<std::int32_t> values{2, 0, 2, -1, 0, -1, -1, -1, -1, -1, 2, -1};
    const Array<std::int32_t> lost(values);
    cuda::Fsq fsq;
    fsq.dims = 1;
    fsq.levels[0] = 3;
    cuda::fsq_decode(queue(), {.clock = {.slots = kSlots},
                               .tokens_per_slot = kTokens,
                               .fsq = fsq,
                               .concealing = concealing(memory.data()),
                               .tokens = lost.data(),
                               .dimension = 1,
                               .project_out = weights.data(),
                               .bias = bias.data(),
                               .y = y.data()});
    const auto weight = [](double frames) { return std::min(1.0, 0.9 * std::exp(-frames * 0.05 / 0.06)); };
    const std::vector<double> expected{1, -1, 1, -weight(3 + 2),       -1, -weight(2),
                                       0, 0,  0, weight(4294967297.0), 1,  weight(2)};
    CHECK_VECTORS_CLOSE(y.host(), expected, 1e-6, 0.0, "codes");
}

TEST(simt_copy_rows) {
    for (const int width : {1, 5, 300}) {
        constexpr int kRows = 7, kFrom = 301, kTo = 340;
        const std::vector<float> x = check::uniform_vector(kRows * kFrom);
        std::vector<float> expected(kRows * kTo, 9.0F);
        const Array<float> from(x), to(expected);
        cuda::copy_rows(queue(), from.data(), kFrom, to.data() + 2, kTo, kRows, width);
        for (int r = 0; r < kRows; ++r)
            std::copy_n(&x[static_cast<std::size_t>(r * kFrom)], width,
                        &expected[static_cast<std::size_t>(r * kTo + 2)]);
        CHECK_MSG(to.host() == expected, std::to_string(width));
    }
}

// The quantiser, and the mean of rows.
#include <cmath>

#include "base/tokens.h"
#include "check.h"
#include "device_array.h"
#include "kernels/cuda/launchers.h"

namespace {

using namespace secousti::core;
using simt_test::Array;
using simt_test::queue;

const std::vector<std::vector<std::int32_t>> kLevels{{3, 3, 3, 3, 3, 3, 3, 3}, {5, 3, 7}, {3}};

cuda::Fsq fsq_of(const std::vector<std::int32_t>& levels) {
    cuda::Fsq fsq;
    fsq.dims = static_cast<int>(levels.size());
    for (std::size_t d = 0; d < levels.size(); ++d) fsq.levels[d] = levels[d];
    return fsq;
}

}  // namespace

TEST(simt_fsq_encode) {
    for (const auto& levels : kLevels) {
        constexpr std::size_t kSlots = 5, kTokens = 2, kRows = kSlots * kTokens, kDimension = 70;
        const std::size_t dims = levels.size();
        const std::vector<float> mu = check::uniform_vector(kRows * kDimension),
                                 weights = check::uniform_vector(dims * kDimension, -0.3F, 0.3F),
                                 bias = check::uniform_vector(dims);
        const Array<float> in(mu), w(weights), b(bias), fsq_in(kRows * dims);
        const Array<std::int32_t> tokens(kRows);
        const Array<std::uint8_t> active(std::vector<std::uint8_t>{1, 1, 0, 1, 1});
        cuda::fsq_encode(queue(), {.clock = {.active = active.data(), .slots = kSlots},
                                   .tokens_per_slot = kTokens,
                                   .fsq = fsq_of(levels),
                                   .mu = in.data(),
                                   .dimension = kDimension,
                                   .project_in = w.data(),
                                   .bias = b.data(),
                                   .fsq_in = fsq_in.data(),
                                   .tokens = tokens.data()});
        const std::vector<float> projected = fsq_in.host();
        const std::vector<std::int32_t> found = tokens.host();
        int compared = 0;
        for (std::size_t r = 0; r < kRows; ++r) {
            std::int32_t token = 0, basis = 1;
            bool near_tie = false;
            for (std::size_t d = 0; d < dims; ++d) {
                double y = static_cast<double>(bias[d]);
                for (std::size_t k = 0; k < kDimension; ++k)
                    y += static_cast<double>(mu[r * kDimension + k]) * static_cast<double>(weights[d * kDimension + k]);
                CHECK_CLOSE(projected[r * dims + d], y, 1e-5);
                const double half = (levels[d] - 1) / 2, code = half * 0.999 * std::tanh(y);
                near_tie = near_tie || std::abs(std::abs(code - std::floor(code)) - 0.5) < 1e-4;
                token += static_cast<std::int32_t>(std::nearbyint(code) + half) * basis;
                basis *= levels[d];
            }
            if (r / kTokens == 2)
                token = kNoToken;
            else if (near_tie)
                continue;
            CHECK(found[r] == token);
            ++compared;
        }
        CHECK(compared >= 4);
    }
}

TEST(simt_fsq_decode) {
    for (const auto& levels : kLevels) {
        constexpr std::size_t kSlots = 3, kTokens = 3, kRows = kSlots * kTokens, kDimension = 300;
        const std::size_t dims = levels.size();
        std::int32_t cardinality = 1;
        for (const std::int32_t level : levels) cardinality *= level;
        std::vector<std::int32_t> tokens;
        for (std::size_t r = 0; r < kRows; ++r)
            tokens.push_back(static_cast<std::int32_t>(check::random()() % static_cast<unsigned>(cardinality)));
        tokens[0] = cardinality - 1;
        tokens[4] = -1;  // counts as 0
        const std::vector<float> weights = check::uniform_vector(kDimension * dims),
                                 bias = check::uniform_vector(kDimension),
                                 g = check::uniform_vector(kSlots * kDimension);
        const Array<std::int32_t> in(tokens);
        const Array<float> w(weights), b(bias), on_device(g), y(kRows * kDimension);
        cuda::fsq_decode(queue(), {.clock = {.slots = kSlots},
                                   .tokens_per_slot = kTokens,
                                   .fsq = fsq_of(levels),
                                   .tokens = in.data(),
                                   .dimension = kDimension,
                                   .project_out = w.data(),
                                   .bias = b.data(),
                                   .g = on_device.data(),
                                   .y = y.data()});
        std::vector<double> expected;
        for (std::size_t r = 0; r < kRows; ++r) {
            for (std::size_t n = 0; n < kDimension; ++n) {
                double sum = static_cast<double>(bias[n]) + static_cast<double>(g[r / kTokens * kDimension + n]);
                std::int32_t rest = tokens[r] < 0 ? 0 : tokens[r];
                for (std::size_t d = 0; d < dims; ++d) {
                    const double half = (levels[d] - 1) / 2;
                    sum += (rest % levels[d] - half) / half * static_cast<double>(weights[n * dims + d]);
                    rest /= levels[d];
                }
                expected.push_back(sum);
            }
        }
        CHECK_VECTORS_CLOSE(y.host(), expected, 3e-6, 0.0, "fsq_decode");
    }
}

TEST(simt_mask_of_tokens) {
    const Array<std::int32_t> tokens(std::vector<std::int32_t>{5, 9, -1, 9, 0, 9});
    const Array<std::uint8_t> active(3);
    cuda::mask_of_tokens(queue(), tokens.data(), 3, 2, active.data());
    CHECK(active.host() == (std::vector<std::uint8_t>{1, 0, 1}));
}

TEST(simt_mean_rows) {
    constexpr std::size_t kSlots = 2, kRows = 7, kChannels = 150;
    const std::vector<float> x = check::uniform_vector(kSlots * kRows * kChannels);
    const std::vector<std::int32_t> valid{7, 3};
    const Array<float> in(x), mean(kSlots * kChannels);
    const Array<std::int32_t> counts(valid);
    cuda::mean_rows(queue(), in.data(), kSlots, kRows, kChannels, counts.data(), mean.data());
    std::vector<double> expected(kSlots * kChannels);
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
        for (std::size_t r = 0; r < static_cast<std::size_t>(valid[slot]); ++r) {
            for (std::size_t c = 0; c < kChannels; ++c)
                expected[slot * kChannels + c] +=
                    static_cast<double>(x[(slot * kRows + r) * kChannels + c]) / valid[slot];
        }
    }
    CHECK_VECTORS_CLOSE(mean.host(), expected, 1e-7, 1e-6, "mean_rows");
}

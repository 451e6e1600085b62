// HiFT's convolutions on rings against double precision, on awkward sizes and in every tile.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "check.h"
#include "device_array.h"
#include "kernels/cuda/hift.h"
#include "kernels/cuda/launchers.h"
#include "narrow_numbers.h"

namespace {

using namespace secousti::core;
using cuda::HiftConv, cuda::HiftSignal;
using kernel_cases::rounded_to_bf16;
using simt_test::Array;
using simt_test::queue;

/// A signal in rings, and what its rows are.
struct Ring {
    Ring(Precision precision_, int slots_, int rows, int width_, int rate, int lag, int extra)
        : precision(precision_),
          slots(slots_),
          width(width_),
          stride((width_ + 7) / 8 * 8),
          bytes(static_cast<std::size_t>(rows * stride * (precision_ == Precision::bf16 ? 2 : 4))),
          memory(std::vector<std::byte>(bytes * static_cast<std::size_t>(slots_))) {
        view = {memory.data(), bytes, rows, stride, rate, lag, extra};
    }
    std::size_t at(int slot, long long row, int c) const {
        const long long r = ((row % view.rows) + view.rows) % view.rows;
        return static_cast<std::size_t>(slot) * bytes / (precision == Precision::bf16 ? 2 : 4) +
               static_cast<std::size_t>(r * stride + c);
    }
    /// Fills every element, rows that do not exist with NaN: nobody may read them.
    void fill(int slot, long long first, long long end, long long total) {
        std::vector<std::byte> host = memory.host();
        for (long long row = first; row < end; ++row) {
            for (int c = 0; c < width; ++c) {
                const float v = row < 0 || row >= total ? std::nanf("") : check::uniform();
                if (precision == Precision::bf16) {
                    const float rounded = rounded_to_bf16(v);
                    std::uint32_t bits = 0;
                    std::memcpy(&bits, &rounded, sizeof bits);
                    const std::uint16_t high = v == v ? static_cast<std::uint16_t>(bits >> 16U) : 0x7FC0U;
                    std::memcpy(host.data() + at(slot, row, c) * 2, &high, sizeof high);
                } else {
                    std::memcpy(host.data() + at(slot, row, c) * 4, &v, sizeof v);
                }
            }
        }
        queue().copy_to_device(memory.data(), host.data(), host.size());
        queue().synchronize();
        read();
    }
    void read() { host_bytes = memory.host(); }
    float get(int slot, long long row, int c) const {
        if (precision == Precision::bf16) {
            std::uint16_t high = 0;
            std::memcpy(&high, host_bytes.data() + at(slot, row, c) * 2, sizeof high);
            const std::uint32_t bits = static_cast<std::uint32_t>(high) << 16U;
            float v = 0.0F;
            std::memcpy(&v, &bits, sizeof v);
            return v;
        }
        float v = 0.0F;
        std::memcpy(&v, host_bytes.data() + at(slot, row, c) * 4, sizeof v);
        return v;
    }

    Precision precision;
    int slots, width, stride;
    std::size_t bytes;
    Array<std::byte> memory;
    std::vector<std::byte> host_bytes;
    HiftSignal view;
};

struct Case {
    int inputs, outputs, taps, dilation, stride, rate;  ///< rate: of the input
    bool residual, next;
    int phases = 1;
    int frames = 3;
};

void run(const Case& c, Precision precision, cuda::HiftTiles tiles, std::uint32_t seed) {
    check::random().seed(seed);  // all tiles get the same numbers
    constexpr int kSlots = 4;
    const long long begin[kSlots] = {0, 5, 1000000007, 9};
    const long long length[kSlots] = {-1, 6, -1, -1};
    const int span = (c.taps - 1) * c.dilation + 1, pad = c.phases > 1 ? 1 : (span - 1) / 2;
    const int rate = c.rate / c.stride, in_lag = 1;
    // Output row o needs input rows up to o*stride - pad + span - 1.
    const int lag = std::max(1, (in_lag + span - pad - c.stride + c.stride - 1) / c.stride);
    const int history = c.stride * lag - in_lag + pad;
    const int width = c.outputs / c.phases;
    Ring in(precision, kSlots, history + c.rate * c.frames + 3, c.inputs, c.rate, in_lag, 1);
    Ring residual(Precision::fp32, kSlots, rate * c.frames + lag + 1, width, rate, 0, 0);
    Ring raw(Precision::fp32, kSlots, c.phases * (rate * c.frames + 2), width, rate * c.phases,
             lag * c.phases + c.phases / 2, 1);
    Ring next(precision, kSlots, rate * c.frames + 5, width, rate, lag, 1);

    std::vector<cuda::HiftClock> clocks;
    for (int s = 0; s < kSlots; ++s) {
        clocks.push_back({begin[s], length[s], 0, 0, 0, 0});
        const long long total = length[s] < 0 ? 1LL << 60 : c.rate * length[s] + 1;
        const long long end = c.rate * (begin[s] + c.frames) - in_lag;
        in.fill(s, end - in.view.rows, end, total);
        residual.fill(s, rate * begin[s] - lag - 1, rate * (begin[s] + c.frames), 1LL << 60);
    }
    const Array<cuda::HiftClock> device_clocks(clocks);
    const Array<std::uint8_t> active(std::vector<std::uint8_t>{1, 1, 1, 0});

    const auto weights = check::uniform_vector(static_cast<std::size_t>(c.outputs * c.taps * c.inputs));
    const auto bias = check::uniform_vector(static_cast<std::size_t>(c.outputs));
    const auto alpha = check::uniform_vector(static_cast<std::size_t>(c.outputs), 0.5F, 1.5F);
    std::vector<float> inverse;
    for (const float a : alpha) inverse.push_back(1.0F / a);
    std::vector<std::byte> packed(cuda::hift_packed_bytes(precision, c.outputs, c.taps, in.stride));
    cuda::hift_pack(precision, weights.data(), c.outputs, c.taps, c.inputs, in.stride, packed.data());
    const Array<std::byte> device_weights(packed);
    const Array<float> device_bias(bias), device_alpha(alpha), device_inverse(inverse);

    cuda::HiftConvArgs args;
    args.step = {device_clocks.data(), active.data(), kSlots, c.frames};
    args.precision = precision;
    args.tiles = tiles;
    HiftConv& job = args.job[0];
    job.in = in.view;
    job.weights = device_weights.data();
    job.bias = device_bias.data();
    job.taps = c.taps;
    job.dilation = c.dilation;
    job.stride = c.stride;
    job.pad_left = pad;
    job.rate = rate;
    job.lag = lag;
    job.extra = 1;
    job.outputs = c.outputs;
    job.raw = raw.view;
    if (c.residual) job.residual = residual.view;
    if (c.next) {
        job.next = next.view;
        job.alpha = device_alpha.data();
        job.inverse_alpha = device_inverse.data();
    }
    if (c.phases > 1) {
        job.phases = c.phases;
        job.shift = 1 - c.phases / 2;
        job.reflects = true;
        job.raw.extra = c.phases / 2;
    }
    cuda::hift_conv(queue(), args);
    raw.read();
    next.read();

    const std::string what = std::to_string(c.inputs) + " -> " + std::to_string(c.outputs) + ", " +
                             std::to_string(c.taps) + " taps, tile " + std::to_string(static_cast<int>(tiles)) +
                             (precision == Precision::bf16 ? ", bf16" : ", fp32");
    std::vector<double> expected, expected_next;
    std::vector<float> actual, actual_next;
    for (int s = 0; s < kSlots; ++s) {
        const long long in_total = length[s] < 0 ? 1LL << 60 : c.rate * length[s] + 1;
        const long long out_total = length[s] < 0 ? 1LL << 60 : rate * length[s] + 1;
        const long long raw_total = length[s] < 0 ? 1LL << 60 : job.raw.rate * length[s] + job.raw.extra;
        for (int r = 0; r < rate * c.frames; ++r) {
            const long long o = rate * begin[s] - lag + r;
            for (int n = 0; n < c.outputs; ++n) {
                double sum = static_cast<double>(bias[static_cast<std::size_t>(n)]);
                for (int tap = 0; tap < c.taps; ++tap) {
                    const long long row = o * c.stride - pad + tap * c.dilation;
                    if (row < 0 || row >= in_total) continue;
                    for (int i = 0; i < c.inputs; ++i) {
                        const float w = weights[static_cast<std::size_t>((n * c.taps + tap) * c.inputs + i)];
                        sum += static_cast<double>(precision == Precision::bf16 ? rounded_to_bf16(w) : w) *
                               static_cast<double>(in.get(s, row, i));
                    }
                }
                const long long row = c.phases > 1 ? o * c.phases + job.shift + n / width : o;
                const bool computed = s != 3 && o >= 0 && o < out_total;
                const bool exists = c.phases > 1 ? computed && row >= 1 && row < raw_total : computed;
                if (computed && c.residual) sum += static_cast<double>(residual.get(s, o, n));
                if (!exists) {
                    // Nothing is written; a row 0 that is a reflection is checked with row 2.
                    if (row > 0 || c.phases == 1) {
                        CHECK_MSG(raw.get(s, row, n % width) == 0.0F, what + ": writes a row that does not exist");
                    }
                    continue;
                }
                expected.push_back(sum);
                actual.push_back(raw.get(s, row, n % width));
                if (c.phases > 1 && row == 2) {
                    expected.push_back(sum);
                    actual.push_back(raw.get(s, 0, n % width));
                }
                if (c.next) {
                    const double a = static_cast<double>(alpha[static_cast<std::size_t>(n)]);
                    expected_next.push_back(sum + std::sin(a * sum) * std::sin(a * sum) / a);
                    actual_next.push_back(next.get(s, o, n));
                }
            }
        }
    }
    CHECK(!expected.empty());
    const double depth = c.inputs * c.taps;
    CHECK_VECTORS_CLOSE(actual, expected, 3e-7 * depth + 1e-6, 1e-6, what);
    CHECK_VECTORS_CLOSE(actual_next, expected_next, 1e-6 * depth + 2e-6, precision == Precision::bf16 ? 5e-3 : 3e-6,
                        what + ", snake");
}

void run_all(const Case& c) {
    const auto seed = static_cast<std::uint32_t>(check::random()());
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
        for (const cuda::HiftTiles tiles : {cuda::HiftTiles::narrow, cuda::HiftTiles::wide}) {
            run(c, precision, tiles, seed);
        }
    }
}

}  // namespace

TEST(simt_hift_conv_on_awkward_sizes) {
    for (const Case& c : {Case{1, 1, 1, 1, 1, 1, false, false}, Case{3, 5, 3, 1, 1, 2, true, true},
                          Case{80, 7, 7, 1, 1, 1, false, true}, Case{18, 34, 16, 1, 8, 8, false, true},
                          Case{16, 18, 11, 5, 1, 4, true, true}, Case{33, 130, 3, 3, 1, 2, true, false},
                          Case{9, 3, 7, 2, 1, 16, true, true, 1, 5}}) {
        run_all(c);
    }
}

TEST(simt_hift_conv_transposed) {
    run_all({6, 4 * 5, 2, 1, 1, 2, false, false, 4});
    run_all({16, 8 * 8, 2, 1, 1, 8, false, false, 8});
}

TEST(simt_hift_conv_refuses_what_it_cannot_do) {
    cuda::HiftConvArgs args;
    const Array<cuda::HiftClock> clocks(std::vector<cuda::HiftClock>(1));
    args.step = {clocks.data(), nullptr, 1, 1};
    args.job[0].in.rows = 4;
    args.job[0].in.stride = 8;
    args.job[0].taps = 9;
    args.job[0].outputs = 1;
    CHECK_THROWS(cuda::hift_conv(queue(), args), Error, "ring is too short");
    args.precision = Precision::int8;
    CHECK_THROWS(cuda::hift_conv(queue(), args), Error, "bf16 or fp32");
}

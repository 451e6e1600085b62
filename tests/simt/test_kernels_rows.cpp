// Elementwise kernels and clocks.
#include <cmath>

#include "check.h"
#include "device_array.h"
#include "kernels/cuda/launchers.h"
#include "naive.h"

namespace {

using namespace secousti::core;
using simt_test::activated;
using simt_test::Array;
using simt_test::queue;

}  // namespace

TEST(simt_activate) {
    for (const auto activation : {Activation::none, Activation::elu, Activation::gelu, Activation::relu,
                                  Activation::leaky_relu, Activation::tanh}) {
        for (const std::size_t count : {1U, 31U, 257U, 1000U}) {
            const std::vector<float> x = check::uniform_vector(count, -6.0F, 6.0F);
            const Array<float> in(x), out(count);
            cuda::activate(queue(), activation, 0.1F, in.data(), count, out.data());
            std::vector<double> expected;
            for (const float v : x) expected.push_back(activated(activation, 0.1, static_cast<double>(v)));
            check::vectors_close(__FILE__, __LINE__, out.host(), expected, 1e-7, 4e-6, "activate");
        }
    }
}

TEST(simt_clock) {
    const Array<std::uint64_t> position(std::vector<std::uint64_t>{5, 6, 7}),
        start(std::vector<std::uint64_t>{0, 1, 2});
    const Array<std::uint8_t> active(std::vector<std::uint8_t>{1, 0, 1});
    const cuda::Clock clock{position.data(), start.data(), active.data(), 3};
    cuda::advance(queue(), clock, 4);
    CHECK(position.host() == (std::vector<std::uint64_t>{9, 6, 11}));
    const Array<std::uint64_t> to(std::vector<std::uint64_t>{100, 200, 1ULL << 40U});
    const Array<std::uint8_t> mask(std::vector<std::uint8_t>{0, 1, 1});
    cuda::seek(queue(), clock, mask.data(), to.data());
    CHECK(position.host() == (std::vector<std::uint64_t>{9, 200, 1ULL << 40U}));
    CHECK(start.host() == (std::vector<std::uint64_t>{0, 200, 1ULL << 40U}));
    cuda::seek(queue(), clock, nullptr, nullptr);
    CHECK(position.host() == std::vector<std::uint64_t>(3, 0));
}

TEST(simt_graph_replays_what_was_recorded) {
    const Array<std::uint64_t> position(std::vector<std::uint64_t>{1, 2}), start(std::vector<std::uint64_t>{0, 0});
    const cuda::Clock clock{position.data(), start.data(), nullptr, 2};
    const cuda::Graph graph(queue(), [&] { cuda::advance(queue(), clock, 3); });
    CHECK(position.host() == (std::vector<std::uint64_t>{1, 2}));
    graph.replay(queue());
    graph.replay(queue());
    CHECK(position.host() == (std::vector<std::uint64_t>{7, 8}));
}

// The emulator finds each fault that is planted here, and lets correct kernels be.
#include <functional>
#include <vector>

#include "check.h"
#include "device_array.h"
#include "kernels/cuda/simt.cuh"

namespace {

using namespace secousti::core;
using namespace secousti::core::simt;
using simt_test::Array;
using simt_test::queue;

struct Plain {
    float* x;
    int n;
};

/// A kernel of one lambda: `Body` is a struct with a static `run(const Plain&)`.
template <class Body, int Threads = 64>
struct Kernel {
    using Args = Plain;
    static constexpr int kThreads = Threads;
    static void run(const Args& args) {
        if (!Body::kStartsEarly) wait_for_previous();
        Body::run(args);
    }
};

struct Waits {
    static constexpr bool kStartsEarly = false;
};
struct Early {
    static constexpr bool kStartsEarly = true;
};

template <class Body, int Threads = 64>
std::string fault_of(FaultKind kind, float* x, int n, std::size_t shared = 1024, Grid grid = {}) {
    try {
        launch<Kernel<Body, Threads>>(queue(), grid, shared, {x, n});
    } catch (const Fault& fault) {
        return fault.kind() == kind ? "" : std::string("another fault: ") + fault.what();
    }
    return "no fault";
}

template <class Body, int Threads = 64>
void expect(FaultKind kind, int line, float* x = nullptr, int n = 0, std::size_t shared = 1024, Grid grid = {}) {
    const std::string wrong = fault_of<Body, Threads>(kind, x, n, shared, grid);
    if (!wrong.empty()) check::fail(__FILE__, line, wrong);
}

std::vector<float> zeros(std::size_t count) { return std::vector<float>(count); }

}  // namespace

TEST(emulator_global_bounds) {
    const Array<float> x(zeros(70));
    struct PastTheEnd : Waits {
        static void run(const Plain& a) { global(a.x)[thread() + 7] = 1.0F; }
    };
    struct BeforeTheBegin : Waits {
        static void run(const Plain& a) { global(a.x)[thread() - 1] = 1.0F; }
    };
    struct Wild : Waits {
        static void run(const Plain& a) {
            const float v = global(a.x)[0];
            static_cast<void>(v);
        }
    };
    expect<PastTheEnd>(FaultKind::out_of_bounds, __LINE__, x.data());
    expect<BeforeTheBegin>(FaultKind::out_of_bounds, __LINE__, x.data());
    float host = 0.0F;
    expect<Wild>(FaultKind::out_of_bounds, __LINE__, &host);
    std::vector<float> too_many(80);
    CHECK_THROWS(queue().copy_to_host(too_many.data(), x.data(), 80 * sizeof(float)), Fault, "outside");
}

TEST(emulator_shared_bounds) {
    struct NextArray : Waits {  // inside the block's shared memory, outside of the array
        static void run(const Plain&) {
            SharedArena arena;
            const auto first = arena.take<float>(32), second = arena.take<float>(32);
            if (thread() == 0) second[0] = 0.0F;
            first[thread()] = 1.0F;
        }
    };
    struct TooMuch : Waits {
        static void run(const Plain&) {
            SharedArena arena;
            arena.take<float>(300);
        }
    };
    expect<NextArray>(FaultKind::out_of_bounds, __LINE__);
    expect<TooMuch>(FaultKind::out_of_bounds, __LINE__);
}

TEST(emulator_alignment) {
    const Array<float> x(zeros(8));
    struct Unaligned : Waits {
        static void run(const Plain& a) { load<4>(global(a.x) + 1); }
    };
    expect<Unaligned>(FaultKind::misaligned, __LINE__, x.data());
}

TEST(emulator_initialisation) {
    struct SharedNeverWritten : Waits {
        static void run(const Plain&) {
            SharedArena arena;
            const auto s = arena.take<float>(64);
            if (thread() < 63) s[thread()] = 1.0F;
            barrier();
            const float v = s[63 - thread()];
            static_cast<void>(v);
        }
    };
    struct HalfAWord : Waits {
        static void run(const Plain&) {
            SharedArena arena;
            const auto s = arena.take<std::uint16_t>(128);
            s[2 * thread()] = 1;
            load<2>(s + 2 * thread());
        }
    };
    struct Reads : Waits {
        static void run(const Plain& a) {
            const float v = global(static_cast<const float*>(a.x))[thread()];
            static_cast<void>(v);
        }
    };
    expect<SharedNeverWritten>(FaultKind::uninitialised, __LINE__);
    expect<HalfAWord>(FaultKind::uninitialised, __LINE__);
    const Array<float> x(64);
    expect<Reads>(FaultKind::uninitialised, __LINE__, x.data());
    CHECK_THROWS(x.host(), Fault, "never written");
    queue().fill(x.data(), 0, 64 * sizeof(float));
    CHECK(fault_of<Reads>(FaultKind::uninitialised, x.data(), 0) == "no fault");
}

TEST(emulator_races) {
    struct WriteWrite : Waits {
        static void run(const Plain&) {
            SharedArena arena;
            arena.take<float>(1)[0] = 1.0F;
        }
    };
    struct WriteRead : Waits {
        static void run(const Plain&) {
            SharedArena arena;
            const auto s = arena.take<float>(64);
            s[thread()] = 1.0F;
            barrier();
            s[thread()] = 2.0F;
            const float v = s[thread() ^ 1];
            static_cast<void>(v);
        }
    };
    struct ReadWrite : Waits {
        static void run(const Plain&) {
            SharedArena arena;
            const auto s = arena.take<float>(64);
            s[thread()] = 1.0F;
            barrier();
            const float v = s[63 - thread()];
            s[thread()] = v;  // another thread may not have read it yet
        }
    };
    struct WarpBarrierIsNotEnough : Waits {
        static void run(const Plain&) {
            SharedArena arena;
            const auto s = arena.take<float>(64);
            s[thread()] = 1.0F;
            barrier();
            s[thread()] = 2.0F;
            warp_barrier();
            const float v = s[63 - thread()];
            static_cast<void>(v);
        }
    };
    struct AcrossBlocks : Waits {
        static void run(const Plain& a) {
            if (thread() == 0) global(a.x)[0] = 1.0F;
        }
    };
    struct ReadAcrossBlocks : Waits {
        static void run(const Plain& a) {
            const auto x = global(a.x);
            if (thread() != 0) return;
            if (block_x() == 0) {
                x[0] = 1.0F;
            } else {
                const float v = x[0];
                static_cast<void>(v);
            }
        }
    };
    struct WriteAfterReadAcrossBlocks : Waits {
        static void run(const Plain& a) {
            const auto x = global(a.x);
            if (thread() != 0) return;
            if (block_x() == 1) {
                x[0] = 1.0F;
            } else {
                const float v = x[0];
                static_cast<void>(v);
            }
        }
    };
    expect<WriteWrite>(FaultKind::race, __LINE__);
    expect<WriteRead>(FaultKind::race, __LINE__);
    expect<ReadWrite>(FaultKind::race, __LINE__);
    expect<WarpBarrierIsNotEnough>(FaultKind::race, __LINE__);
    const Array<float> x(zeros(4));
    expect<AcrossBlocks>(FaultKind::race, __LINE__, x.data(), 0, 0, {2});
    expect<ReadAcrossBlocks>(FaultKind::race, __LINE__, x.data(), 0, 0, {2});
    expect<WriteAfterReadAcrossBlocks>(FaultKind::race, __LINE__, x.data(), 0, 0, {2});
}

TEST(emulator_divergence) {
    struct SomeMissTheBarrier : Waits {
        static void run(const Plain&) {
            if (thread() < 40) barrier();
        }
    };
    struct TwoBarriers : Waits {
        static void run(const Plain&) {
            if (thread() < 32) {
                barrier();
            } else {
                barrier();
            }
        }
    };
    struct HalfAWarpShuffles : Waits {
        static void run(const Plain&) {
            if (lane() < 16) shuffle_xor(1.0F, 1);
        }
    };
    struct TwoShuffles : Waits {
        static void run(const Plain&) {
            if (lane() < 16) {
                shuffle_xor(1.0F, 1);
            } else {
                shuffle_xor(1.0F, 1);
            }
        }
    };
    struct BarrierAgainstShuffle : Waits {
        static void run(const Plain&) {
            if (lane() < 16) {
                barrier();
            } else {
                shuffle_xor(1.0F, 1);
            }
        }
    };
    expect<SomeMissTheBarrier>(FaultKind::divergence, __LINE__);
    expect<TwoBarriers>(FaultKind::divergence, __LINE__);
    expect<HalfAWarpShuffles>(FaultKind::divergence, __LINE__);
    expect<TwoShuffles>(FaultKind::divergence, __LINE__);
    expect<BarrierAgainstShuffle>(FaultKind::divergence, __LINE__);
}

TEST(emulator_programmatic_launches) {
    struct Never : Early {
        static void run(const Plain&) {}
    };
    struct ReadsEarly : Early {
        static void run(const Plain& a) {
            const float v = global(a.x)[0];
            wait_for_previous();
            static_cast<void>(v);
        }
    };
    struct Settled : Early {
        static void run(const Plain& a) {
            load_settled(global(a.x) + thread());
            wait_for_previous();
        }
    };
    struct Constant : Early {
        static void run(const Plain& a) {
            load_constant(global(a.x) + thread());
            wait_for_previous();
        }
    };
    struct StartsNextTooEarly : Early {
        static void run(const Plain&) {
            let_next_start();
            wait_for_previous();
        }
    };
    struct Writes : Waits {
        static void run(const Plain& a) { global(a.x)[thread()] = 1.0F; }
    };
    struct Nothing : Waits {
        static void run(const Plain&) {}
    };
    const Array<float> x(zeros(64));
    expect<Never>(FaultKind::before_previous, __LINE__, x.data());
    expect<ReadsEarly>(FaultKind::before_previous, __LINE__, x.data());
    expect<StartsNextTooEarly>(FaultKind::before_previous, __LINE__, x.data());
    CHECK(fault_of<Constant>(FaultKind::before_previous, x.data(), 0) == "no fault");
    CHECK(fault_of<Writes>(FaultKind::before_previous, x.data(), 0) == "no fault");
    expect<Settled>(FaultKind::before_previous, __LINE__, x.data());
    CHECK(fault_of<Nothing>(FaultKind::before_previous, x.data(), 0) == "no fault");
    CHECK(fault_of<Settled>(FaultKind::before_previous, x.data(), 0) == "no fault");
    expect<Constant>(FaultKind::before_previous, __LINE__, x.data());
}

TEST(emulator_refuses_impossible_launches) {
    struct Nothing : Waits {
        static void run(const Plain&) {}
    };
    expect<Nothing>(FaultKind::launch, __LINE__, nullptr, 0, 300U * 1024U);
    expect<Nothing>(FaultKind::launch, __LINE__, nullptr, 0, 0, {1, 70000});
    expect<Nothing>(FaultKind::launch, __LINE__, nullptr, 0, 0, {0});
    expect<Nothing, 48>(FaultKind::launch, __LINE__);
}

/// After a fault the emulator is as good as new, and a correct kernel with every operation computes what it should.
TEST(emulator_runs_correct_kernels) {
    struct SumOfBlock : Waits {
        static void run(const Plain& a) {
            SharedArena arena;
            const auto sums = arena.take<float>(2);
            const auto x = global(a.x) + block_x() * 64;
            const float own = x[thread()];
            const float sum = warp_sum(own);
            if (lane() == 0) sums[warp()] = sum;
            barrier();
            const float total = sums[0] + sums[1];
            const unsigned high = ballot(own > 0.0F);
            const float first = shuffle(own, 0);
            warp_barrier();
            x[thread()] = total + (high >> lane() & 1U ? 1000.0F : 0.0F) + (lane() == 5 ? first : 0.0F);
        }
    };
    const std::vector<float> values = check::uniform_vector(192);
    const Array<float> x(values);
    CHECK(fault_of<SumOfBlock>(FaultKind::race, x.data(), 0, 1024, {3}) == "no fault");
    std::vector<double> expected;
    for (std::size_t i = 0; i < 192; ++i) {
        double total = 0.0;
        for (std::size_t j = 0; j < 64; ++j) total += static_cast<double>(values[i / 64 * 64 + j]);
        if (values[i] > 0.0F) total += 1000.0;
        if (i % 32 == 5) total += static_cast<double>(values[i / 32 * 32]);
        expected.push_back(total);
    }
    CHECK_VECTORS_CLOSE(x.host(), expected, 1e-4, 0.0, "sum of block");
}

TEST(emulator_matrix_products) {
    struct Bf16 : Waits {
        static void run(const Plain& a) {
            const auto x = global(a.x);
            const int g = lane() / 4, t = lane() % 4;
            const auto word = [&](int row, int column, int stride, int from) {
                return pack_bf16(x[from + row * stride + column], x[from + row * stride + column + 1]);
            };
            Vector<std::uint32_t, 4> left;
            for (int r = 0; r < 4; ++r) left[r] = word(g + r % 2 * 8, 2 * t + r / 2 * 8, 16, 0);
            Vector<std::uint32_t, 2> right;  // columns of B are rows of memory
            for (int r = 0; r < 2; ++r) right[r] = word(g, 2 * t + r * 8, 16, 256);
            float d[4] = {1.0F, 1.0F, 1.0F, 1.0F};
            mma_bf16(d, left, right);
            for (int r = 0; r < 4; ++r) x[384 + (g + r / 2 * 8) * 8 + 2 * t + r % 2] = d[r];
        }
    };
    std::vector<float> values;
    for (int i = 0; i < 512; ++i) values.push_back(static_cast<float>(static_cast<int>(check::random()() % 17U) - 8));
    const Array<float> x(values);
    CHECK((fault_of<Bf16, 32>(FaultKind::race, x.data(), 0) == "no fault"));
    std::vector<double> expected;
    for (std::size_t m = 0; m < 16; ++m) {
        for (std::size_t n = 0; n < 8; ++n) {
            double sum = 1.0;
            for (std::size_t k = 0; k < 16; ++k)
                sum += static_cast<double>(values[m * 16 + k]) * static_cast<double>(values[256 + n * 16 + k]);
            expected.push_back(sum);
        }
    }
    const std::vector<float> all = x.host();
    CHECK_VECTORS_CLOSE((std::vector<float>(all.begin() + 384, all.end())), expected, 0.0, 0.0, "mma");
}

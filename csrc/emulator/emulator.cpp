#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "emulator/fiber.h"
#include "emulator/memory.h"
#include "kernels/cuda/simt.cuh"

namespace secousti::core::simt::emulator {

namespace {

constexpr std::size_t kMaxShared = 227U * 1024U;
constexpr int kMaxThreads = 1024;
constexpr unsigned kMaxGridYZ = 65535;

enum class State { ready, waiting, ended };

/// Where a thread waits, or what the first to come demanded of the others.
struct Site {
    const char* operation = nullptr;
    const char* file = nullptr;
    int line = 0;

    bool operator==(const Site& other) const {
        return std::strcmp(operation, other.operation) == 0 && line == other.line && std::strcmp(file, other.file) == 0;
    }
    std::string text() const { return std::string(operation) + " at " + file + ":" + std::to_string(line); }
};

/// Threads that wait for each other.
struct Meeting {
    int members = 0;
    int arrived = 0;
    int ended = 0;
    Site site = {};
};

struct Warp {
    Meeting meeting;
    std::uint32_t epoch = 0;
    std::array<std::array<std::uint64_t, kWarp>, 2> cells{};
    std::array<MatrixLane, kWarp> matrix{};
};

struct Thread {
    int index = 0;
    State state = State::ready;
    bool waited_for_previous = false;
    int parity = 0;
};

struct Block {
    const std::function<void()>* body = nullptr;
    Grid grid;
    unsigned x = 0, y = 0, z = 0;
    std::uint32_t launch = 0, linear = 0, epoch = 0;
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    Meeting barrier;
    Memory* shared = nullptr;
    std::size_t shared_bytes = 0;
    std::optional<Fault> fault;
};

Block* block = nullptr;
Thread* self = nullptr;
std::vector<Fiber> fibers;
std::uint32_t launches = 0;

Warp& own_warp() { return block->warps[static_cast<std::size_t>(self->index / kWarp)]; }

std::string where() {
    return " (block " + std::to_string(block->x) + "," + std::to_string(block->y) + "," + std::to_string(block->z) +
           " thread " + std::to_string(self->index) + ")";
}

void wake(Meeting& meeting, int first) {
    meeting.arrived = 0;
    for (int i = first; i < first + meeting.members; ++i) {
        Thread& thread = block->threads[static_cast<std::size_t>(i)];
        if (thread.state == State::waiting) thread.state = State::ready;
    }
}

/// Arrives; true for the last of the members, who then has to release the others.
bool arrive(Meeting& meeting, const Site& site) {
    if (meeting.ended > 0) throw Fault(FaultKind::divergence, site.text() + ": other threads have ended");
    if (meeting.arrived == 0) {
        meeting.site = site;
    } else if (!(meeting.site == site)) {
        throw Fault(FaultKind::divergence, "threads diverged: " + meeting.site.text() + " and " + site.text());
    }
    return ++meeting.arrived == meeting.members;
}

void suspend() {
    Thread* me = self;
    me->state = State::waiting;
    fibers[static_cast<std::size_t>(me->index)].suspend();
}

void run_thread(void* argument) {
    Thread* me = static_cast<Thread*>(argument);
    try {
        (*block->body)();
        if (!me->waited_for_previous) {
            throw Fault(FaultKind::before_previous, "a thread ended without wait_for_previous()");
        }
        Warp& warp = own_warp();
        for (Meeting* meeting : {&warp.meeting, &block->barrier}) {
            ++meeting->ended;
            if (meeting->arrived > 0) {
                throw Fault(FaultKind::divergence, "a thread ended while others wait: " + meeting->site.text());
            }
        }
    } catch (const Fault& fault) {
        block->fault.emplace(fault.kind(), fault.what() + where());
    }
    me->state = State::ended;
}

void run_block(const char* name) {
    const std::size_t count = block->threads.size();
    block->epoch = 1;
    for (std::size_t i = 0; i < count; ++i) {
        block->threads[i] = Thread{.index = static_cast<int>(i)};
        fibers[i].start(run_thread, &block->threads[i]);
    }
    for (Warp& warp : block->warps) warp = Warp{.meeting = {.members = kWarp}};
    block->barrier = Meeting{.members = static_cast<int>(count)};
    block->shared->forget();

    for (std::size_t ended = 0; ended < count;) {
        bool progress = false;
        for (std::size_t i = 0; i < count && !block->fault; ++i) {
            // Every other block runs its threads backwards, so that no result leans on their order.
            Thread& thread = block->threads[block->linear % 2 == 0 ? i : count - 1 - i];
            if (thread.state != State::ready) continue;
            self = &thread;
            fibers[static_cast<std::size_t>(thread.index)].resume();
            progress = true;
            if (thread.state == State::ended) ++ended;
        }
        if (!block->fault && !progress && ended < count) {
            std::string sites;
            if (block->barrier.arrived > 0) sites = block->barrier.site.text();
            for (const Warp& warp : block->warps) {
                if (warp.meeting.arrived > 0) sites += (sites.empty() ? "" : "; ") + warp.meeting.site.text();
            }
            block->fault.emplace(FaultKind::divergence, "threads wait for each other: " + sites);
        }
        if (block->fault) throw Fault(block->fault->kind(), std::string(name) + ": " + block->fault->what());
    }
}

}  // namespace

Range range_of(const void* device) {
    Memory* memory = find(device);
    if (memory == nullptr) return {};
    return {memory, memory->begin, memory->begin + memory->bytes};
}

Range take_shared(std::size_t& offset, std::size_t bytes) {
    const char* begin = block->shared->begin + offset;
    offset += (bytes + 15) / 16 * 16;
    if (offset > block->shared_bytes) {
        throw Fault(FaultKind::out_of_bounds, "the arrays in shared memory take more than the " +
                                                  std::to_string(block->shared_bytes) + " bytes of the launch");
    }
    return {block->shared, begin, begin + bytes};
}

void check(const Range& range, const void* p, std::size_t bytes, Access access) {
    const char* begin = static_cast<const char*>(p);
    if (range.memory == nullptr) throw Fault(FaultKind::out_of_bounds, "access through a pointer to no device memory");
    if (begin < range.begin || begin + bytes > range.end) {
        throw Fault(FaultKind::out_of_bounds, range.memory->name + ": access at byte " +
                                                  std::to_string(begin - range.begin) + " of " +
                                                  std::to_string(range.end - range.begin));
    }
    if (reinterpret_cast<std::uintptr_t>(p) % bytes != 0) {
        throw Fault(FaultKind::misaligned,
                    range.memory->name + ": access of " + std::to_string(bytes) + " bytes is not aligned");
    }
    const bool early = access == Access::constant || access == Access::settled;
    if (!range.memory->shared && !early && !self->waited_for_previous) {
        throw Fault(FaultKind::before_previous, range.memory->name + ": touched before wait_for_previous()");
    }
    const Stamp now{.launch = block->launch,
                    .block = block->linear,
                    .epoch = block->epoch,
                    .warp_epoch = own_warp().epoch,
                    .thread = static_cast<std::int16_t>(self->index),
                    .warp = static_cast<std::int16_t>(self->index / kWarp)};
    touch(*range.memory, p, bytes, access, now, self->waited_for_previous);
}

void meet(const char* operation, const char* file, int line, const std::function<void()>* last) {
    Warp& warp = own_warp();
    if (arrive(warp.meeting, {operation, file, line})) {
        if (last != nullptr) (*last)();
        wake(warp.meeting, self->index / kWarp * kWarp);
    } else {
        suspend();
    }
}

std::uint64_t& cell(int lane) {
    return own_warp().cells[static_cast<std::size_t>(self->parity)][static_cast<std::size_t>(lane)];
}

void flip_cells() { self->parity ^= 1; }

namespace {

float bf16(std::uint32_t word, int half) { return half == 0 ? bf16_low(word) : bf16_high(word); }
int int8(std::uint32_t word, int byte) { return static_cast<std::int8_t>(word >> (8 * byte) & 0xFFU); }

/// D += A*B from the registers of 32 lanes; `Per` elements of k lie in a register.
template <int Per, class Sum, class Element>
void multiply(const std::array<MatrixLane, kWarp>& lanes, Element element) {
    Sum a[16][Per * 8], b[Per * 8][8];
    for (int l = 0; l < kWarp; ++l) {
        const int g = l / 4, t = l % 4;
        const MatrixLane& lane = lanes[static_cast<std::size_t>(l)];
        for (int e = 0; e < Per; ++e) {
            for (int r = 0; r < 4; ++r) a[g + r % 2 * 8][t * Per + r / 2 * Per * 4 + e] = element(lane.a[r], e);
            for (int r = 0; r < 2; ++r) b[t * Per + r * Per * 4 + e][g] = element(lane.b[r], e);
        }
    }
    for (int l = 0; l < kWarp; ++l) {
        const int g = l / 4, t = l % 4;
        Sum* d = static_cast<Sum*>(lanes[static_cast<std::size_t>(l)].d);
        for (int r = 0; r < 4; ++r) {
            Sum sum = 0;
            for (int k = 0; k < Per * 8; ++k) sum += a[g + r / 2 * 8][k] * b[k][t * 2 + r % 2];
            d[r] += sum;
        }
    }
}

}  // namespace

void mma(const MatrixLane& mine, bool integers, const char* file, int line) {
    Warp& warp = own_warp();
    warp.matrix[static_cast<std::size_t>(lane())] = mine;
    const std::function<void()> product = [&] {
        if (integers) {
            multiply<4, std::int32_t>(warp.matrix, int8);
        } else {
            multiply<2, float>(warp.matrix, bf16);
        }
    };
    meet(integers ? "mma_int8" : "mma_bf16", file, line, &product);
}

void run(const char* name, Grid grid, int threads, std::size_t shared_bytes, const std::function<void()>& body) {
    const std::lock_guard lock(device_lock());
    if (threads <= 0 || threads > kMaxThreads || threads % kWarp != 0 || shared_bytes > kMaxShared || grid.x == 0 ||
        grid.y == 0 || grid.z == 0 || grid.x > 0x7FFFFFFFU || grid.y > kMaxGridYZ || grid.z > kMaxGridYZ) {
        throw Fault(FaultKind::launch, std::string(name) + ": grid " + std::to_string(grid.x) + "x" +
                                           std::to_string(grid.y) + "x" + std::to_string(grid.z) + ", " +
                                           std::to_string(threads) + " threads, " + std::to_string(shared_bytes) +
                                           " bytes of shared memory");
    }
    while (fibers.size() < static_cast<std::size_t>(threads)) fibers.emplace_back();
    alignas(256) static char shared_bytes_of_block[kMaxShared];
    Memory shared("shared memory", true, shared_bytes_of_block, shared_bytes);
    Block current;
    current.body = &body;
    current.grid = grid;
    current.launch = ++launches;
    current.threads.resize(static_cast<std::size_t>(threads));
    current.warps.resize(static_cast<std::size_t>(threads / kWarp));
    current.shared = &shared;
    current.shared_bytes = shared_bytes;
    block = &current;
    for (unsigned z = 0; z < grid.z; ++z) {
        for (unsigned y = 0; y < grid.y; ++y) {
            for (unsigned x = 0; x < grid.x; ++x) {
                current.x = x, current.y = y, current.z = z;
                current.linear = (z * grid.y + y) * grid.x + x;
                run_block(name);
            }
        }
    }
    block = nullptr;
}

int index(int which) {
    switch (which) {
        case 0:
            return self->index;
        case 1:
            return static_cast<int>(block->x);
        case 2:
            return static_cast<int>(block->y);
        case 3:
            return static_cast<int>(block->z);
        default:
            return static_cast<int>(block->grid.x);
    }
}

}  // namespace secousti::core::simt::emulator

namespace secousti::core::simt {

void barrier(const char* file, int line) {
    emulator::Block& block = *emulator::block;
    if (emulator::arrive(block.barrier, {"barrier", file, line})) {
        ++block.epoch;
        emulator::wake(block.barrier, 0);
    } else {
        emulator::suspend();
    }
}

void warp_barrier(const char* file, int line) {
    const std::function<void()> last = [] { ++emulator::own_warp().epoch; };
    emulator::meet("warp_barrier", file, line, &last);
}

void wait_for_previous() { emulator::self->waited_for_previous = true; }

void let_next_start() {
    if (!emulator::self->waited_for_previous) {
        throw Fault(FaultKind::before_previous, "let_next_start() before wait_for_previous()");
    }
}

}  // namespace secousti::core::simt

// Where weights, state and scratch live.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <new>

#include "allocations.h"
#include "base/aligned_memory.h"
#include "base/arena.h"
#include "check.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace {

using namespace secousti::core;

constexpr std::size_t kHugePage = std::size_t{2} << 20U;

}  // namespace

TEST(pages_are_aligned_writable_and_accounted_for) {
    for (const std::size_t bytes :
         {std::size_t{1}, std::size_t{63}, kHugePage - 1, kHugePage, kHugePage + 1, 3 * kHugePage + 4097}) {
        const std::size_t before = allocations::live_bytes();
        auto* const block = static_cast<unsigned char*>(allocate_pages(bytes));
        CHECK(reinterpret_cast<std::uintptr_t>(block) % kArenaAlignment == 0);
        CHECK(allocations::live_bytes() >= before + bytes);
        std::fill_n(block, bytes, static_cast<unsigned char>(0xA5));
        CHECK(block[0] == 0xA5 && block[bytes - 1] == 0xA5);
        free_pages(block, bytes);
        CHECK(allocations::live_bytes() == before);
    }
}

TEST(pages_that_do_not_exist_are_refused) {
    CHECK_THROWS(allocate_pages(std::numeric_limits<std::size_t>::max() - 4096), std::bad_alloc, "");
    const allocations::Failing failing(0);
    CHECK_THROWS(allocate_pages(2 * kHugePage), std::bad_alloc, "");
}

TEST(arenas_are_zero_and_copies_are_their_own) {
    const std::size_t bytes = kHugePage + 5;
    Arena arena(bytes);
    CHECK(std::all_of(arena.data(), arena.data() + bytes, [](std::byte b) { return b == std::byte{0}; }));
    arena.data()[bytes - 1] = std::byte{7};
    const Arena copy = arena;
    arena.clear();
    CHECK(copy.bytes() == bytes && copy.data()[bytes - 1] == std::byte{7});
}

#if defined(__linux__) && !defined(SECOUSTI_SANITIZED)
TEST(freed_pages_go_back_to_the_system) {
    const std::size_t bytes = 4 * kHugePage;
    void* const block = allocate_pages(bytes);
    CHECK(reinterpret_cast<std::uintptr_t>(block) % kHugePage == 0);
    unsigned char resident[8 * 512];
    CHECK(mincore(block, bytes, resident) == 0);
    free_pages(block, bytes);
    CHECK(mincore(block, bytes, resident) != 0);  // nothing is mapped there
}
#endif

// Device and shared memory with a shadow: which bytes were written, and who touched each word last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/cuda/simt.cuh"

namespace secousti::core::simt::emulator {

/// When and by whom a word was touched. Two accesses are ordered when their launches differ, when one thread made
/// both, when a barrier lies between them (epoch), or, within a warp, a warp_barrier (warp_epoch).
struct Stamp {
    std::uint32_t launch = 0;  ///< 0: never
    std::uint32_t block = 0;
    std::uint32_t epoch = 0;
    std::uint32_t warp_epoch = 0;
    std::int16_t thread = 0;  ///< kMany: several
    std::int16_t warp = 0;    ///< kMany: several

    static constexpr std::int16_t kMany = -1;
};

struct Word {
    Stamp written, read;
    std::uint8_t written_bytes = 0;  ///< by the last writer, a bit each
    std::uint8_t read_bytes = 0;
    std::uint8_t initialised = 0;
};

struct Memory {
    std::string name;
    bool shared = false;
    char* begin = nullptr;
    std::size_t bytes = 0;
    std::vector<Word> words;

    Memory(std::string name, bool shared, char* begin, std::size_t bytes);
    /// As if freshly allocated.
    void forget();
    void set_initialised(const void* p, std::size_t count, bool value);
    bool initialised(const void* p, std::size_t count) const;
};

/// What a queue's handle points to.
struct Queue {
    std::vector<std::function<void()>>* recording = nullptr;  ///< of a graph; null: work runs at once
};

/// Checks ordering and initialisation of an access by `now` (bounds are known to hold) and records it. `waited`: the
/// thread has called wait_for_previous().
void touch(Memory& memory, const void* p, std::size_t bytes, Access access, const Stamp& now, bool waited);

/// Held by whoever launches or touches device memory: streams of several threads take turns.
std::recursive_mutex& device_lock();

/// Device memory: 256-byte aligned, filled with a pattern that is a NaN as float32 and bfloat16.
void* allocate(std::size_t bytes, const char* name);
void release(void* p) noexcept;
/// The device memory around `p`, or null.
Memory* find(const void* p);
/// Host-side operations of a queue, checked like accesses of kernels.
void write_bytes(void* device, const void* host, std::size_t bytes);
void read_bytes(void* host, const void* device, std::size_t bytes);
void copy_bytes(void* to, const void* from, std::size_t bytes);
void fill_bytes(void* device, int byte, std::size_t bytes);

}  // namespace secousti::core::simt::emulator

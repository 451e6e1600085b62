#include "emulator/memory.h"

#include <algorithm>
#include <map>
#include <memory>
#include <new>
#include <utility>

namespace secousti::core::simt::emulator {

namespace {

constexpr std::size_t kWordBytes = 4;
constexpr std::align_val_t kAlignment{256};
constexpr unsigned char kPattern = 0xFF;

std::map<std::uintptr_t, std::unique_ptr<Memory>>& registry() {
    static std::map<std::uintptr_t, std::unique_ptr<Memory>> memories;
    return memories;
}

std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

std::string place(const Memory& memory, const void* p) {
    return memory.name + " + " + std::to_string(static_cast<const char*>(p) - memory.begin) + " bytes";
}

/// Whether what `before` did is known to be over when `now` acts.
bool ordered(const Stamp& before, const Stamp& now) {
    if (before.launch != now.launch) return true;
    if (before.block != now.block) return false;
    if (before.thread == now.thread || before.epoch != now.epoch) return true;
    return before.warp == now.warp && before.warp_epoch != now.warp_epoch;
}

std::string who(const Stamp& stamp) {
    const std::string thread =
        stamp.thread == Stamp::kMany ? "several threads" : "thread " + std::to_string(stamp.thread);
    return "block " + std::to_string(stamp.block) + " " + thread;
}

[[noreturn]] void race(const Memory& memory, std::size_t word, const char* first, const Stamp& before,
                       const char* second, const Stamp& now) {
    throw Fault(FaultKind::race, "race in " + place(memory, memory.begin + word * kWordBytes) + ": " + first + " by " +
                                     who(before) + ", " + second + " by " + who(now) + ", nothing orders them");
}

void note_read(Word& word, const Stamp& now, std::uint8_t mask) {
    Stamp& read = word.read;
    const bool same_phase = read.launch == now.launch && read.block == now.block && read.epoch == now.epoch;
    if (!same_phase) {
        // Readers of other blocks stay unordered with every later writer of this launch.
        const bool other_block = read.launch == now.launch && read.block != now.block;
        if (other_block) return;
        read = now;
        word.read_bytes = mask;
        return;
    }
    word.read_bytes |= mask;
    if (read.thread != now.thread) read.thread = Stamp::kMany;
    if (read.warp != now.warp) read.warp = Stamp::kMany;
    read.warp_epoch = std::max(read.warp_epoch, now.warp_epoch);
}

}  // namespace

Memory::Memory(std::string name_, bool shared_, char* begin_, std::size_t bytes_)
    : name(std::move(name_)),
      shared(shared_),
      begin(begin_),
      bytes(bytes_),
      words((bytes_ + kWordBytes - 1) / kWordBytes) {}

void Memory::forget() {
    std::fill(words.begin(), words.end(), Word{});
    std::memset(begin, kPattern, bytes);
}

void Memory::set_initialised(const void* p, std::size_t count, bool value) {
    const std::size_t first = static_cast<std::size_t>(static_cast<const char*>(p) - begin);
    for (std::size_t i = first; i < first + count; ++i) {
        const auto bit = static_cast<std::uint8_t>(1U << (i % kWordBytes));
        Word& word = words[i / kWordBytes];
        word.initialised = static_cast<std::uint8_t>(value ? word.initialised | bit : word.initialised & ~bit);
        word.written = {};  // by no kernel
        word.written_bytes = 0;
    }
}

bool Memory::initialised(const void* p, std::size_t count) const {
    const std::size_t first = static_cast<std::size_t>(static_cast<const char*>(p) - begin);
    for (std::size_t i = first; i < first + count; ++i) {
        if ((words[i / kWordBytes].initialised >> (i % kWordBytes) & 1U) == 0) return false;
    }
    return true;
}

void touch(Memory& memory, const void* p, std::size_t bytes, Access access, const Stamp& now, bool waited) {
    const std::size_t first = static_cast<std::size_t>(static_cast<const char*>(p) - memory.begin);
    for (std::size_t at = first; at < first + bytes;) {
        const std::size_t index = at / kWordBytes, offset = at % kWordBytes;
        const std::size_t count = std::min(kWordBytes - offset, first + bytes - at);
        const auto mask = static_cast<std::uint8_t>(((1U << count) - 1U) << offset);
        Word& word = memory.words[index];
        at += count;
        if ((word.written_bytes & mask) != 0 && !ordered(word.written, now)) {
            race(memory, index, "write", word.written, access == Access::write ? "write" : "read", now);
        }
        if (access == Access::write) {
            if ((word.read_bytes & mask) != 0 && !ordered(word.read, now)) {
                race(memory, index, "read", word.read, "write", now);
            }
            if (word.written.launch == now.launch && word.written.epoch == now.epoch &&
                word.written.block == now.block && word.written.thread == now.thread) {
                word.written_bytes |= mask;
            } else {
                word.written = now;
                word.written_bytes = mask;
            }
            word.initialised |= mask;
        } else {
            if ((word.initialised & mask) != mask) {
                throw Fault(FaultKind::uninitialised, "load of bytes never written: " + place(memory, p));
            }
            if (access == Access::constant && word.written.launch != 0) {
                throw Fault(FaultKind::before_previous, "load_constant of what a kernel wrote: " + place(memory, p));
            }
            if (access == Access::settled && !waited && word.written.launch + 1 >= now.launch) {
                throw Fault(FaultKind::before_previous,
                            "load_settled of what the kernel just before wrote: " + place(memory, p));
            }
            if (access == Access::read || access == Access::settled) note_read(word, now, mask);
        }
    }
}

std::recursive_mutex& device_lock() {
    static std::recursive_mutex lock;
    return lock;
}

void* allocate(std::size_t bytes, const char* name) {
    const std::lock_guard lock(device_lock());
    char* begin = static_cast<char*>(::operator new(std::max<std::size_t>(bytes, 1), kAlignment));
    registry()[address(begin)] = std::make_unique<Memory>(name, false, begin, bytes);
    std::memset(begin, kPattern, bytes);
    return begin;
}

void release(void* p) noexcept {
    if (p == nullptr) return;
    const std::lock_guard lock(device_lock());
    registry().erase(address(p));
    ::operator delete(p, kAlignment);
}

Memory* find(const void* p) {
    auto& memories = registry();
    auto after = memories.upper_bound(address(p));
    if (after == memories.begin()) return nullptr;
    Memory& memory = *std::prev(after)->second;
    return address(p) < address(memory.begin) + std::max<std::size_t>(memory.bytes, 1) ? &memory : nullptr;
}

namespace {
Memory& whole(const void* p, std::size_t bytes, const char* operation) {
    Memory* memory = find(p);
    if (memory == nullptr || static_cast<const char*>(p) + bytes > memory->begin + memory->bytes) {
        throw Fault(FaultKind::out_of_bounds, std::string(operation) + " of " + std::to_string(bytes) +
                                                  " bytes outside of device memory" +
                                                  (memory == nullptr ? "" : ": " + place(*memory, p)));
    }
    return *memory;
}
}  // namespace

void write_bytes(void* device, const void* host, std::size_t bytes) {
    const std::lock_guard lock(device_lock());
    if (bytes == 0) return;
    Memory& memory = whole(device, bytes, "copy to device");
    std::memcpy(device, host, bytes);
    memory.set_initialised(device, bytes, true);
}

void read_bytes(void* host, const void* device, std::size_t bytes) {
    const std::lock_guard lock(device_lock());
    if (bytes == 0) return;
    const Memory& memory = whole(device, bytes, "copy to host");
    if (!memory.initialised(device, bytes)) {
        throw Fault(FaultKind::uninitialised, "copy to host of bytes never written: " + place(memory, device));
    }
    std::memcpy(host, device, bytes);
}

void copy_bytes(void* to, const void* from, std::size_t bytes) {
    const std::lock_guard lock(device_lock());
    if (bytes == 0) return;
    Memory& target = whole(to, bytes, "copy on device");
    const Memory& source = whole(from, bytes, "copy on device");
    for (std::size_t i = 0; i < bytes; ++i) {
        const char* p = static_cast<const char*>(from) + i;
        target.set_initialised(static_cast<char*>(to) + i, 1, source.initialised(p, 1));
    }
    std::memmove(to, from, bytes);
}

void fill_bytes(void* device, int byte, std::size_t bytes) {
    const std::lock_guard lock(device_lock());
    if (bytes == 0) return;
    Memory& memory = whole(device, bytes, "fill");
    std::memset(device, byte, bytes);
    memory.set_initialised(device, bytes, true);
}

}  // namespace secousti::core::simt::emulator

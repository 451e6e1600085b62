// Flat memory for stream state and scratch: planned once with a layout, then addressed by offsets, so that
// reset is one clear, clone one copy and a snapshot one memcpy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

namespace secousti::core {

inline constexpr std::size_t kArenaAlignment = 64;

/// `count` objects of type T at a fixed offset of an arena.
template <class T>
struct Slice {
    static_assert(std::is_trivially_copyable_v<T>);
    std::size_t offset = 0;
    std::size_t count = 0;

    T* in(std::byte* arena) const noexcept { return reinterpret_cast<T*>(arena + offset); }
    const T* in(const std::byte* arena) const noexcept { return reinterpret_cast<const T*>(arena + offset); }
};

/// Plans an arena: every reservation starts on a cache line.
class ArenaLayout {
  public:
    template <class T>
    Slice<T> reserve(std::size_t count) {
        Slice<T> slice{bytes_, count};
        bytes_ += (count * sizeof(T) + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
        return slice;
    }
    std::size_t bytes() const noexcept { return bytes_; }

  private:
    std::size_t bytes_ = 0;
};

/// Owns the bytes of one layout, zeroed at creation. Throws std::bad_alloc.
class Arena {
  public:
    Arena() = default;
    explicit Arena(std::size_t bytes) : bytes_(bytes) {
        if (bytes != 0) {
            data_.reset(static_cast<std::byte*>(::operator new(bytes, std::align_val_t{kArenaAlignment})));
            clear();
        }
    }
    Arena(const Arena& other) : Arena(other.bytes_) {
        if (bytes_ != 0) std::memcpy(data_.get(), other.data_.get(), bytes_);
    }
    Arena(Arena&&) noexcept = default;
    Arena& operator=(Arena&&) noexcept = default;
    Arena& operator=(const Arena&) = delete;

    std::byte* data() noexcept { return data_.get(); }
    const std::byte* data() const noexcept { return data_.get(); }
    std::size_t bytes() const noexcept { return bytes_; }
    void clear() noexcept {
        if (bytes_ != 0) std::memset(data_.get(), 0, bytes_);
    }

  private:
    struct Free {
        void operator()(std::byte* p) const noexcept { ::operator delete(p, std::align_val_t{kArenaAlignment}); }
    };
    std::unique_ptr<std::byte, Free> data_;
    std::size_t bytes_ = 0;
};

}  // namespace secousti::core

// Flat memory for stream state and scratch: planned once with a layout, then addressed by offsets, so that
// reset is one clear, clone one copy and a snapshot one memcpy.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "base/aligned_vector.h"

namespace secousti::core {

/// `count` objects of type T at a fixed offset of an arena.
template <class T>
struct Slice {
    static_assert(std::is_trivially_copyable_v<T>);
    std::size_t offset = 0;
    std::size_t count = 0;

    T* in(std::byte* arena) const noexcept { return reinterpret_cast<T*>(arena + offset); }
    const T* in(const std::byte* arena) const noexcept { return reinterpret_cast<const T*>(arena + offset); }
};

/// Floats of `rows` rows, for reservations.
inline std::size_t area(int rows, int width) noexcept {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(width);
}

/// Plans an arena: every reservation starts on a cache line.
class ArenaLayout {
  public:
    template <class T>
    Slice<T> reserve(std::size_t count) {
        Slice<T> slice{bytes_, count};
        bytes_ += (count * sizeof(T) + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
        return slice;
    }
    /// Two parts that are planned from copies of one layout share memory; this makes room for the larger.
    void include(const ArenaLayout& part) noexcept { bytes_ = std::max(bytes_, part.bytes_); }
    std::size_t bytes() const noexcept { return bytes_; }

  private:
    std::size_t bytes_ = 0;
};

/// Owns the bytes of one layout, zeroed at creation. Throws std::bad_alloc.
class Arena {
  public:
    Arena() = default;
    explicit Arena(std::size_t bytes) : bytes_(bytes) {}

    std::byte* data() noexcept { return bytes_.data(); }
    const std::byte* data() const noexcept { return bytes_.data(); }
    std::size_t bytes() const noexcept { return bytes_.size(); }
    void clear() noexcept { std::fill(bytes_.begin(), bytes_.end(), std::byte{0}); }

  private:
    AlignedVector<std::byte> bytes_;
};

}  // namespace secousti::core

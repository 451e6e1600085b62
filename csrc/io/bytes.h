// Little-endian integers in byte buffers, whatever their alignment.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

namespace secousti::core {

static_assert(std::endian::native == std::endian::little, "files are read and written by copying little-endian bytes");

/// The first sizeof(T) bytes, which the caller knows to exist.
template <class T>
T load(std::span<const std::byte> bytes) noexcept {
    static_assert(std::is_integral_v<T>);
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

template <class T>
void append(std::vector<std::byte>& out, T value) {
    static_assert(std::is_integral_v<T>);
    std::byte bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out.insert(out.end(), bytes, bytes + sizeof value);
}

}  // namespace secousti::core

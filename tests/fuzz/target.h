// What fuzz targets share: registration, the input taken apart, and conditions whose failure is a finding.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace fuzz {

using Bytes = std::span<const std::byte>;

struct Target {
    const char* name;
    void (*run)(Bytes input);
};

inline std::vector<Target>& targets() {
    static std::vector<Target> list;
    return list;
}

struct Registration {
    Registration(const char* name, void (*run)(Bytes)) { targets().push_back({name, run}); }
};

[[noreturn]] inline void violation(const char* file, int line, const char* condition) {
    std::fprintf(stderr, "%s:%d: violated: %s\n", file, line, condition);
    std::abort();
}

/// Takes values from the front of the input; zeros once it is used up.
class Input {
  public:
    explicit Input(Bytes bytes) : rest_(bytes) {}

    template <class T>
    T take() {
        T value{};
        const std::size_t size = std::min(sizeof value, rest_.size());
        if (size != 0) std::memcpy(&value, rest_.data(), size);
        rest_ = rest_.subspan(size);
        return value;
    }
    /// In [0, below).
    std::size_t below(std::size_t below) { return take<std::uint16_t>() % below; }
    template <class T>
    std::vector<T> several(std::size_t count) {
        std::vector<T> values(count);
        for (T& value : values) value = take<T>();
        return values;
    }
    Bytes rest() const { return rest_; }
    bool empty() const { return rest_.empty(); }

  private:
    Bytes rest_;
};

}  // namespace fuzz

#define FUZZ_TARGET(name)                                                    \
    static void fuzz_##name(fuzz::Bytes bytes);                              \
    static const fuzz::Registration registration_##name{#name, fuzz_##name}; \
    static void fuzz_##name([[maybe_unused]] fuzz::Bytes bytes)

#define REQUIRE(...)                                                           \
    do {                                                                       \
        if (!(__VA_ARGS__)) fuzz::violation(__FILE__, __LINE__, #__VA_ARGS__); \
    } while (false)

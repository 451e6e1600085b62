// What every launcher needs: grid sizes and checked shapes. Host code.
#pragma once

#include <cstddef>

#include "base/error.h"

namespace secousti::core::cuda {

constexpr int divided_up(int count, int by) { return (count + by - 1) / by; }

template <class Count>
constexpr unsigned blocks_for(Count count, int threads) {
    return static_cast<unsigned>((static_cast<std::size_t>(count) + static_cast<std::size_t>(threads) - 1) /
                                 static_cast<std::size_t>(threads));
}

inline void require(bool holds, const char* message) {
    if (!holds) throw Error(Status::invalid_argument, message);
}

}  // namespace secousti::core::cuda

// What the tests of groups share.
#pragma once

#include <cstring>
#include <random>
#include <string>

#include "streams.h"

namespace streams {

inline bool chance(double probability) { return std::bernoulli_distribution(probability)(check::random()); }

inline int any(int low, int high) { return std::uniform_int_distribution(low, high)(check::random()); }

inline bool same_bits(const float* a, const float* b, std::size_t count) {
    return count == 0 || std::memcmp(a, b, count * sizeof(float)) == 0;
}

template <class Body>
void expect_error(secousti_status status, const std::string& part, const Body& body) {
    try {
        body();
        CHECK_MSG(false, "no error: " + part);
    } catch (const secousti::Error& error) {
        CHECK_MSG(error.status() == status, std::string(error.what()) + ": status");
        CHECK_MSG(std::string(error.what()).find(part) != std::string::npos, std::string(error.what()) + ": " + part);
    }
}

}  // namespace streams

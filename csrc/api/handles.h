// What the files of the C interface share: handles, and the boundary that no exception crosses.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "api/last_error.h"
#include "codec/stream.h"
#include "secousti.h"

struct secousti_model {
    secousti::core::ModelPtr model;
};

struct secousti_encoder {
    std::unique_ptr<secousti::core::EncoderStream> stream;
};

struct secousti_decoder {
    std::unique_ptr<secousti::core::DecoderStream> stream;
};

namespace secousti::core {

/// Runs `body`, which returns a status, a count or nothing (SECOUSTI_OK); turns exceptions into codes.
template <class Body>
auto guarded(Body&& body) noexcept {
    using Result = decltype(body());
    if constexpr (std::is_void_v<Result>) {
        return guarded([&] {
            std::forward<Body>(body)();
            return SECOUSTI_OK;
        });
    } else {
        try {
            return std::forward<Body>(body)();
        } catch (...) {
            return static_cast<Result>(status_of_current_exception());
        }
    }
}

}  // namespace secousti::core

// Status codes and the exception that load- and create-time code throws.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace secousti::core {

/// Same values as `secousti_status` in secousti.h (checked there by static_assert).
enum class Status : std::int32_t {
    ok = 0,
    invalid_argument = -1,  ///< an argument is null, out of range or not finite
    invalid_file = -2,      ///< a model, stream or snapshot is damaged, truncated or of another format
    incompatible = -3,      ///< valid, but does not fit: missing tensor, wrong shape, other model or version
    io_error = -4,          ///< the operating system refused to open, map, read or write
    out_of_memory = -5,
    unsupported = -6,    ///< the model or this build lacks the feature (ISA, branch, vocoder)
    invalid_state = -7,  ///< the call does not fit the stream's state (pushed after flush, say)
    internal_error = -8,
};

/// Thrown while loading and creating; never once a stream exists.
class Error : public std::runtime_error {
  public:
    Error(Status status, const std::string& message) : std::runtime_error(message), status_(status) {}
    Status status() const noexcept { return status_; }

  private:
    Status status_;
};

}  // namespace secousti::core

// The calling thread's last failure, for the C interface.
#pragma once

#include "base/error.h"

namespace secousti::core {

/// Keeps `message` (cut at 4,095 bytes) for secousti_last_error on this thread. Does not allocate.
void set_last_error(Status status, const char* message) noexcept;

/// To be called in a catch (...): keeps the exception's message and returns its status.
Status status_of_current_exception() noexcept;

}  // namespace secousti::core

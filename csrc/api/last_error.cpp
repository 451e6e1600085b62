#include "api/last_error.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <system_error>

#include "secousti.h"

namespace secousti::core {
namespace {

thread_local char last_message[4096];

}  // namespace

void set_last_error(Status status, const char* message) noexcept {
    if (status == Status::ok) return;
    const std::size_t size = std::min(std::strlen(message), sizeof last_message - 1);
    std::memcpy(last_message, message, size);
    last_message[size] = '\0';
}

Status status_of_current_exception() noexcept {
    const auto keep = [](Status status, const char* message) {
        set_last_error(status, message);
        return status;
    };
    try {
        throw;
    } catch (const Error& error) {
        return keep(error.status(), error.what());
    } catch (const std::bad_alloc&) {
        return keep(Status::out_of_memory, "out of memory");
    } catch (const std::length_error&) {  // a container asked for more than it can ever hold
        return keep(Status::out_of_memory, "out of memory");
    } catch (const std::system_error& error) {  // a thread that the system refuses
        return keep(Status::out_of_memory, error.what());
    } catch (const std::exception& error) {
        return keep(Status::internal_error, error.what());
    } catch (...) {
        return keep(Status::internal_error, "unknown exception");
    }
}

}  // namespace secousti::core

const char* secousti_last_error(void) SECOUSTI_NOEXCEPT { return secousti::core::last_message; }

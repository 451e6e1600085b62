#include "io/byte_source.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"

#if defined(_WIN32)
#define NOMINMAX
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace secousti::core {
namespace {

// Of one call of the system: Linux reads at most 2 GiB at once, Windows less than 4.
constexpr std::size_t kLargestRead = std::size_t{1} << 30;

[[noreturn]] void refuse(const std::string& path, const char* what, const std::string& reason) {
    throw Error(Status::io_error, path + ": " + what + (reason.empty() ? "" : ": " + reason));
}

#if defined(_WIN32)

std::string last_reason() { return "system error " + std::to_string(GetLastError()); }
HANDLE handle(std::intptr_t file) { return reinterpret_cast<HANDLE>(file); }

/// Bytes read, 0 at the end of the file, -1 on failure.
std::intptr_t read_some(std::intptr_t file, std::uint64_t offset, std::byte* out, std::size_t size) {
    OVERLAPPED at{};
    at.Offset = static_cast<DWORD>(offset);
    at.OffsetHigh = static_cast<DWORD>(offset >> 32U);
    DWORD count = 0;
    if (ReadFile(handle(file), out, static_cast<DWORD>(size), &count, &at)) return static_cast<std::intptr_t>(count);
    return GetLastError() == ERROR_HANDLE_EOF ? 0 : -1;
}

#else

std::string last_reason() { return std::strerror(errno); }

std::intptr_t read_some(std::intptr_t file, std::uint64_t offset, std::byte* out, std::size_t size) {
    for (;;) {
        const auto count = ::pread(static_cast<int>(file), out, size, static_cast<off_t>(offset));
        if (count >= 0 || errno != EINTR) return count;
    }
}

#endif

}  // namespace

ByteSource ByteSource::memory(std::span<const std::byte> bytes, std::string name) {
    ByteSource source;
    source.name_ = std::move(name);
    source.bytes_ = bytes;
    source.size_ = bytes.size();
    return source;
}

#if defined(_WIN32)

ByteSource ByteSource::open(const std::string& path) {
    ByteSource source;
    source.name_ = path;
    const HANDLE file = CreateFileA(path.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr,
                                    OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
    if (file == INVALID_HANDLE_VALUE) refuse(path, "cannot open", last_reason());
    source.file_ = reinterpret_cast<std::intptr_t>(file);
    LARGE_INTEGER size{};
    if (GetFileType(file) != FILE_TYPE_DISK || !GetFileSizeEx(file, &size)) refuse(path, "is not a regular file", "");
    source.size_ = static_cast<std::uint64_t>(size.QuadPart);
    return source;
}

ByteSource::~ByteSource() {
    if (file_ != -1) CloseHandle(handle(file_));
}

#else

ByteSource ByteSource::open(const std::string& path) {
    ByteSource source;
    source.name_ = path;
    // Without O_NONBLOCK, opening a FIFO would wait for a writer.
    do {
        source.file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    } while (source.file_ < 0 && errno == EINTR);
    if (source.file_ < 0) refuse(path, "cannot open", last_reason());
    struct stat info{};
    if (::fstat(static_cast<int>(source.file_), &info) != 0) refuse(path, "cannot stat", last_reason());
    if (!S_ISREG(info.st_mode)) refuse(path, S_ISDIR(info.st_mode) ? "is a directory" : "is not a regular file", "");
    source.size_ = static_cast<std::uint64_t>(info.st_size);
    return source;
}

ByteSource::~ByteSource() {
    if (file_ != -1) ::close(static_cast<int>(file_));
}

#endif

void ByteSource::read(std::uint64_t offset, std::span<std::byte> out) const {
    if (out.empty()) return;
    if (file_ == -1) {
        std::memcpy(out.data(), bytes_.data() + offset, out.size());
        return;
    }
    while (!out.empty()) {
        const auto count = read_some(file_, offset, out.data(), std::min(out.size(), kLargestRead));
        if (count < 0) refuse(name_, "cannot read", last_reason());
        if (count == 0) {
            throw Error(Status::invalid_file, name_ + ": ends at byte " + std::to_string(offset) + ", but had " +
                                                  std::to_string(size_) + " when it was opened");
        }
        offset += static_cast<std::uint64_t>(count);
        out = out.subspan(static_cast<std::size_t>(count));
    }
}

}  // namespace secousti::core

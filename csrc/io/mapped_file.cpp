#include "io/mapped_file.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/error.h"

#if defined(_WIN32)
#include <fstream>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace secousti::core {
namespace {

[[noreturn]] void refuse(const std::string& path, const char* what, int error) {
    throw Error(Status::io_error, path + ": " + what + (error == 0 ? "" : std::string(": ") + std::strerror(error)));
}

}  // namespace

#if defined(_WIN32)

MappedFile MappedFile::open(const std::string& path) {
    std::ifstream in(path, std::ios::binary | std::ios::ate);
    if (!in) refuse(path, "cannot open", errno);
    const std::streamoff size = in.tellg();
    if (size < 0) refuse(path, "not a regular file", 0);
    MappedFile file;
    if (size > 0) {
        file.data_ = new std::byte[static_cast<std::size_t>(size)];
        file.size_ = static_cast<std::size_t>(size);
        in.seekg(0);
        if (!in.read(reinterpret_cast<char*>(file.data_), size)) refuse(path, "cannot read", errno);
    }
    return file;
}

MappedFile::~MappedFile() { delete[] data_; }

#else

MappedFile MappedFile::open(const std::string& path) {
    struct Descriptor {
        int fd;
        ~Descriptor() {
            if (fd >= 0) ::close(fd);
        }
    };
    // Without O_NONBLOCK, opening a FIFO would wait for a writer.
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file.fd < 0) refuse(path, "cannot open", errno);
    struct stat info{};
    if (::fstat(file.fd, &info) != 0) refuse(path, "cannot stat", errno);
    if (!S_ISREG(info.st_mode)) refuse(path, S_ISDIR(info.st_mode) ? "is a directory" : "is not a regular file", 0);
    if (static_cast<std::uintmax_t>(info.st_size) > std::numeric_limits<std::size_t>::max()) {
        refuse(path, "too large to map", 0);
    }
    MappedFile mapped;
    if (info.st_size > 0) {
        const auto size = static_cast<std::size_t>(info.st_size);
        void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
        if (data == MAP_FAILED) refuse(path, "cannot map", errno);
        mapped.data_ = static_cast<std::byte*>(data);
        mapped.size_ = size;
    }
    return mapped;
}

MappedFile::~MappedFile() {
    if (data_ != nullptr) ::munmap(data_, size_);
}

#endif

}  // namespace secousti::core

// Where a reader takes bytes from, piece by piece: an open regular file, or memory that the caller keeps alive.
//
// Files are read, never mapped: another process that shortens a mapped file kills its readers by SIGBUS, and a read
// that comes up short is an ordinary error. It also leaves memory to what is really wanted: of a file that claims
// gigabytes nothing but its header is held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace secousti::core {

class ByteSource {
  public:
    ByteSource() = default;
    /// Throws Error: io_error when the system refuses or the path is not a regular file.
    static ByteSource open(const std::string& path);
    /// `name` stands for the path in messages.
    static ByteSource memory(std::span<const std::byte> bytes, std::string name);

    ByteSource(ByteSource&& other) noexcept { swap(other); }
    ByteSource& operator=(ByteSource&& other) noexcept {
        swap(other);
        return *this;
    }
    ~ByteSource();

    const std::string& name() const noexcept { return name_; }
    /// When it was opened.
    std::uint64_t size() const noexcept { return size_; }
    /// Fills `out` from byte `offset` on; the caller has checked both against size(). Throws Error: io_error when the
    /// system refuses, invalid_file when the file has become shorter since. Any number of threads at once.
    void read(std::uint64_t offset, std::span<std::byte> out) const;

  private:
    void swap(ByteSource& other) noexcept {
        std::swap(name_, other.name_);
        std::swap(bytes_, other.bytes_);
        std::swap(size_, other.size_);
        std::swap(file_, other.file_);
    }

    std::string name_;
    std::span<const std::byte> bytes_;
    std::uint64_t size_ = 0;
    std::intptr_t file_ = -1;  ///< descriptor, or the system's handle; -1: memory
};

}  // namespace secousti::core

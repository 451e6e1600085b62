// A regular file, mapped read-only where the system can, else read whole.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace secousti::core {

class MappedFile {
  public:
    MappedFile() = default;
    /// Throws Error: io_error when the system refuses or the path is not a regular file.
    static MappedFile open(const std::string& path);
    MappedFile(MappedFile&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    MappedFile& operator=(MappedFile&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~MappedFile();

    /// Empty for an empty file.
    std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

  private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace secousti::core

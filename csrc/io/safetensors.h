// Reader of the safetensors format: 8 bytes of header length (little endian), a JSON header, raw little-endian
// tensors without holes or overlap (https://huggingface.co/docs/safetensors). Files are untrusted: everything is
// checked before a tensor is handed out, errors name file and tensor, and memory is at most 100 times the header:
// tensors stay where they are until they are read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/byte_source.h"
#include "io/json.h"

namespace secousti::core {

enum class DType : std::uint8_t {
    boolean,
    u8,
    i8,
    f8_e4m3,
    f8_e5m2,
    u16,
    i16,
    f16,
    bf16,
    u32,
    i32,
    f32,
    u64,
    i64,
    f64
};

/// As written in the header: "F32".
const char* dtype_name(DType dtype) noexcept;
std::size_t dtype_size(DType dtype) noexcept;

/// "[512, 80, 7]"
std::string shape_text(std::span<const std::int64_t> shape);

/// A tensor inside an open SafetensorsFile: valid as long as that file object (moved or not).
struct TensorView {
    std::string_view name;
    DType dtype = DType::f32;
    std::vector<std::int64_t> shape;  ///< at most 8 dimensions, each >= 0; empty for a scalar
    std::uint64_t offset = 0;         ///< of its first byte, in the file
    std::size_t bytes = 0;            ///< little endian
    const ByteSource* source = nullptr;

    std::size_t elements() const noexcept { return bytes / dtype_size(dtype); }
    /// Fills `out` from byte `begin` of the tensor on; throws as ByteSource::read.
    void read(std::size_t begin, std::span<std::byte> out) const { source->read(offset + begin, out); }
    /// Throws Error(status) with "<file>: tensor '<name>': <message>".
    [[noreturn]] void fail(Status status, const std::string& message) const;
};

/// Header bytes that are accepted, as in the reference implementation.
inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;

class SafetensorsFile {
  public:
    /// Opens a regular file. Throws Error: io_error when the system refuses, invalid_file when the contents are wrong.
    /// A file that is shortened while tensors are read is an invalid_file then.
    static SafetensorsFile open(const std::string& path);
    /// Reads from bytes that the caller keeps alive; `name` stands for the path in messages.
    static SafetensorsFile from_memory(std::span<const std::byte> bytes, std::string name = "<memory>");

    SafetensorsFile(SafetensorsFile&&) noexcept;
    SafetensorsFile& operator=(SafetensorsFile&&) noexcept;
    ~SafetensorsFile();

    const std::string& path() const noexcept;
    /// Sorted by name.
    const std::vector<TensorView>& tensors() const noexcept;
    /// nullptr if there is none.
    const TensorView* find(std::string_view name) const noexcept;
    /// A value of `__metadata__`; "" when it is absent.
    std::string_view metadata(std::string_view key) const;

  private:
    struct Contents;
    explicit SafetensorsFile(std::unique_ptr<Contents> contents);
    std::unique_ptr<Contents> contents_;
};

/// Writes all elements as float32, exactly (F32, F16 and BF16; subnormals, infinities and NaN included; signalling NaNs
/// may become quiet). Throws Error(incompatible) for other dtypes.
void widen_to_float(const TensorView& tensor, float* out);

/// Throws Error(invalid_file) that names the tensor and the first index at fault if `values` (the widened tensor) has
/// NaN or infinity.
void check_finite(const TensorView& tensor, std::span<const float> values);

}  // namespace secousti::core

// The structures of DLPack (https://dmlc.github.io/dlpack, ABI of version 0.x) that its Python protocol passes around.
#pragma once

#include <cstdint>

namespace secousti::bindings::dlpack {

inline constexpr std::int32_t kCuda = 2, kCudaManaged = 13;  ///< types of devices
inline constexpr std::uint8_t kInt = 0, kFloat = 2;          ///< codes of types
inline constexpr const char* kName = "dltensor";             ///< of a capsule, and once it was consumed:
inline constexpr const char* kUsedName = "used_dltensor";

struct Device {
    std::int32_t type;
    std::int32_t id;
};

struct Type {
    std::uint8_t code;
    std::uint8_t bits;
    std::uint16_t lanes;
};

struct Tensor {
    void* data;
    Device device;
    std::int32_t dimensions;
    Type type;
    std::int64_t* shape;
    std::int64_t* strides;  ///< in elements; null: C-contiguous
    std::uint64_t byte_offset;
};

struct Managed {
    Tensor tensor;
    void* context;
    void (*deleter)(Managed* self);
};

}  // namespace secousti::bindings::dlpack

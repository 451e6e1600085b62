// C interface: device memory.
#include <memory>

#include "api/checks.h"
#include "api/handles.h"
#include "codec/engine.h"
#include "secousti_device.h"

using namespace secousti::core;

struct secousti_device_memory {
    std::unique_ptr<OwnedDeviceMemory> memory;
};

extern "C" {

secousti_status secousti_device_memory_create(const secousti_model* model, size_t bytes,
                                              secousti_device_memory** memory) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(model, "model");
        require_pointer(memory, "memory");
        *memory = nullptr;
        if (bytes == 0) invalid("bytes is 0, expected at least 1");
        const Model& m = *model->model;
        *memory = new secousti_device_memory{m.engine->make_memory(m, bytes)};
        return SECOUSTI_OK;
    });
}

void secousti_device_memory_destroy(secousti_device_memory* memory) SECOUSTI_NOEXCEPT { delete memory; }

void* secousti_device_memory_address(const secousti_device_memory* memory) SECOUSTI_NOEXCEPT {
    return memory == nullptr ? nullptr : memory->memory->address();
}

secousti_status secousti_device_memory_write(secousti_device_memory* memory, void* stream, const void* host,
                                             size_t bytes) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(memory, "memory");
        require_pointer(host, "host");
        require_capacity(bytes, memory->memory->bytes(), "bytes");
        memory->memory->write(stream, host);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_device_memory_read(const secousti_device_memory* memory, void* stream, void* host,
                                            size_t bytes) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(memory, "memory");
        require_pointer(host, "host");
        require_capacity(bytes, memory->memory->bytes(), "bytes");
        memory->memory->read(stream, host);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_device_memory_wait(const secousti_device_memory* memory, void* stream) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(memory, "memory");
        memory->memory->wait(stream);
        return SECOUSTI_OK;
    });
}

}  // extern "C"

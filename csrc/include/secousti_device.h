/** @file
 * secousti: device memory, for hosts that have no library of their own for it.
 *
 * Arrays for the calls that end in _on_device. A `stream` is a cudaStream_t; NULL is the default stream. Contract,
 * errors and versions are those of secousti.h.
 */
#ifndef SECOUSTI_DEVICE_H
#define SECOUSTI_DEVICE_H

#include "secousti.h"

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup device Device memory
 * @{ */

/** Some memory on a model's device. */
typedef struct secousti_device_memory secousti_device_memory;

/** `bytes` > 0 on the device that the model was opened for; SECOUSTI_UNSUPPORTED for the CPU's. */
SECOUSTI_API secousti_status secousti_device_memory_create(const secousti_model* model, size_t bytes,
                                                           secousti_device_memory** memory) SECOUSTI_NOEXCEPT;
/** Once the work that uses it is done; NULL is allowed. */
SECOUSTI_API void secousti_device_memory_destroy(secousti_device_memory* memory) SECOUSTI_NOEXCEPT;
/** Where it is on the device. */
SECOUSTI_API void* secousti_device_memory_address(const secousti_device_memory* memory) SECOUSTI_NOEXCEPT;
/** Copies all of it from `host`, which holds `bytes`, after the work of `stream`; waits. */
SECOUSTI_API secousti_status secousti_device_memory_write(secousti_device_memory* memory, void* stream,
                                                          const void* host, size_t bytes) SECOUSTI_NOEXCEPT;
/** Copies all of it to `host`, which holds `bytes`, after the work of `stream`; waits. */
SECOUSTI_API secousti_status secousti_device_memory_read(const secousti_device_memory* memory, void* stream, void* host,
                                                         size_t bytes) SECOUSTI_NOEXCEPT;
/** Waits for the work of `stream`. */
SECOUSTI_API secousti_status secousti_device_memory_wait(const secousti_device_memory* memory,
                                                         void* stream) SECOUSTI_NOEXCEPT;
/** @} */

#ifdef __cplusplus
}
#endif

#endif /* SECOUSTI_DEVICE_H */

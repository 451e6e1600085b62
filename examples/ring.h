/* A ring of floats between one writer and one reader, without locks: what stands between an audio callback and the rest
 * of a program. */
#ifndef SECOUSTI_EXAMPLES_RING_H
#define SECOUSTI_EXAMPLES_RING_H

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct ring {
    float* data;
    size_t size; /* a power of two */
    _Atomic size_t written, read;
} ring;

static inline int ring_create(ring* r, size_t size) {
    memset(r, 0, sizeof *r);
    r->size = size;
    r->data = (float*)calloc(size, sizeof(float));
    return r->data != NULL;
}

/* Floats that can be read. */
static inline size_t ring_filled(const ring* r) {
    return atomic_load_explicit(&r->written, memory_order_acquire) -
           atomic_load_explicit(&r->read, memory_order_acquire);
}

/* All or nothing: 1 if there was room. */
static inline int ring_write(ring* r, const float* values, size_t count) {
    const size_t at = atomic_load_explicit(&r->written, memory_order_relaxed);
    size_t i;
    if (r->size - ring_filled(r) < count) return 0;
    for (i = 0; i < count; ++i) r->data[(at + i) & (r->size - 1)] = values[i];
    atomic_store_explicit(&r->written, at + count, memory_order_release);
    return 1;
}

/* All or nothing: 1 if there was as much. */
static inline int ring_read(ring* r, float* values, size_t count) {
    const size_t at = atomic_load_explicit(&r->read, memory_order_relaxed);
    size_t i;
    if (ring_filled(r) < count) return 0;
    for (i = 0; i < count; ++i) values[i] = r->data[(at + i) & (r->size - 1)];
    atomic_store_explicit(&r->read, at + count, memory_order_release);
    return 1;
}

#endif

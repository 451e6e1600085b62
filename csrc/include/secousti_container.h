/** @file
 * secousti_container: C interface of the `.sec` token container.
 *
 * Files hold tokens, the paralinguistic vector G (quantised to eight bits) and what is needed to decode them. Damage is
 * reported, not fatal: every intact group of tokens is returned. Byte layout: docs/design/container.md.
 * Conventions, errors and status codes are those of secousti.h. Objects are used by one thread at a time.
 */
#ifndef SECOUSTI_CONTAINER_H
#define SECOUSTI_CONTAINER_H

#include "secousti.h"

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup container Container
 * @{ */

/** What a token stream is. */
typedef struct secousti_container_info {
    size_t struct_size;        /**< set by secousti_container_info_init */
    uint64_t identity;         /**< of the model (secousti_model_info.identity) */
    int32_t sample_rate;       /**< Hz, 1..2^20 */
    int32_t samples_per_token; /**< frame_size of the model, 1..2^24 */
    int32_t cardinality;       /**< tokens are in [0, cardinality) */
    int32_t dimension;         /**< of G, 0..8192; 0: no G */
    int64_t tokens;            /**< in the stream, lost ones included; -1: not known */
    int64_t samples;           /**< of audio at sample_rate; -1: not known */
    int32_t tokens_per_group;  /**< writing only, 1..255, default 100: what one damaged spot can cost */
    int32_t repeat_voice;      /**< writing only: 1 writes G a second time, in the trailer; default 0 */
} secousti_container_info;

/** Defaults: nothing known. */
SECOUSTI_API void secousti_container_info_init(secousti_container_info* info) SECOUSTI_NOEXCEPT;
/** @} */

/** @defgroup container_writing Writing .sec files
 * @{ */

/** Packs a whole stream into `bytes` and returns its size. With `bytes` NULL (and capacity 0) only returns the size.
 *  `tokens` are [count], -1 for lost ones; `info->tokens` is ignored. `voice` is [info->dimension], NULL if
 *  that is 0. */
SECOUSTI_API int64_t secousti_container_pack(const secousti_container_info* info, const int32_t* tokens, size_t count,
                                             const float* voice, void* bytes, size_t capacity) SECOUSTI_NOEXCEPT;

/** Writes a stream piece by piece. The writer hands out the bytes to store, in order; a file that ends anywhere can be
 *  read up to its last whole group. */
typedef struct secousti_container_writer secousti_container_writer;

/** Begins with the header. `info->tokens` is -1 or the exact number to come. `voice` may be NULL although
 *  info->dimension is not 0: finish then supplies it. */
SECOUSTI_API secousti_status secousti_container_writer_create(const secousti_container_info* info, const float* voice,
                                                              secousti_container_writer** writer) SECOUSTI_NOEXCEPT;
/** NULL is allowed. */
SECOUSTI_API void secousti_container_writer_destroy(secousti_container_writer* writer) SECOUSTI_NOEXCEPT;
/** Adds tokens [count], -1 for lost ones. */
SECOUSTI_API secousti_status secousti_container_writer_append(secousti_container_writer* writer, const int32_t* tokens,
                                                              size_t count) SECOUSTI_NOEXCEPT;
/** Closes the group under way, so that everything so far can be read. */
SECOUSTI_API secousti_status secousti_container_writer_flush(secousti_container_writer* writer) SECOUSTI_NOEXCEPT;
/** Closes the stream; `samples` -1: not known. A G given here ([dimension]; may be NULL) holds for the whole stream. */
SECOUSTI_API secousti_status secousti_container_writer_finish(secousti_container_writer* writer, int64_t samples,
                                                              const float* voice) SECOUSTI_NOEXCEPT;
/** Sets `bytes` to what became final since the last take and returns how many bytes; valid until the next call. */
SECOUSTI_API int64_t secousti_container_writer_take(secousti_container_writer* writer,
                                                    const void** bytes) SECOUSTI_NOEXCEPT;
/** @} */

/** @defgroup container_reading Reading .sec files
 * @{ */

/** Tokens that are missing. */
typedef struct secousti_lost_range {
    int64_t first; /**< index of a token */
    int64_t count; /**< of tokens */
} secousti_lost_range;

/** What was read. */
typedef struct secousti_container_contents {
    size_t struct_size;              /**< set by the caller to sizeof(secousti_container_contents) */
    const int32_t* tokens;           /**< [count], in place; -1 for a lost one */
    size_t count;                    /**< of tokens */
    const float* voice;              /**< G as quantised, [info.dimension]; NULL if there is none or it is lost */
    const secousti_lost_range* lost; /**< ascending; may reach past `count` */
    size_t lost_count;               /**< of ranges */
    const char* notes;               /**< every irregularity, one a line; "" for an intact file */
    uint64_t repaired_bits;          /**< flipped bits that the checksums located and that were put right */
    int32_t info_lost;               /**< 1: neither header nor trailer survived; info is zeros */
    int32_t voice_lost;              /**< 1: there is (or, with info lost, may have been) a G, but it cannot be read */
    int32_t complete;                /**< 1: the trailer was read; 0: the file was cut or never finished */
    uint64_t token_bytes;            /**< of the file: packed tokens alone */
    uint64_t framing_bytes;          /**< groups' framing */
    uint64_t header_bytes;           /**< header and trailer without G */
    uint64_t voice_bytes;            /**< G */
    uint64_t damaged_bytes;          /**< everything else */
} secousti_container_contents;

/** A container that was read. */
typedef struct secousti_container secousti_container;

/** Reads all that can be read. The bytes may be freed afterwards. SECOUSTI_INVALID_FILE if there is nothing of a
 *  container in them, SECOUSTI_INCOMPATIBLE for a later version. */
SECOUSTI_API secousti_status secousti_container_open(const void* bytes, size_t size,
                                                     secousti_container** container) SECOUSTI_NOEXCEPT;
/** NULL is allowed. */
SECOUSTI_API void secousti_container_close(secousti_container* container) SECOUSTI_NOEXCEPT;
/** Fills `info`, which secousti_container_info_init has set up. */
SECOUSTI_API secousti_status secousti_container_get_info(const secousti_container* container,
                                                         secousti_container_info* info) SECOUSTI_NOEXCEPT;
/** The pointers are valid until the container is closed. */
SECOUSTI_API secousti_status secousti_container_get_contents(const secousti_container* container,
                                                             secousti_container_contents* contents) SECOUSTI_NOEXCEPT;

/** What reading back `values` [dimension] would give, to measure the quantiser; `result` may be `values`. */
SECOUSTI_API secousti_status secousti_container_quantise(const float* values, size_t dimension,
                                                         float* result) SECOUSTI_NOEXCEPT;
/** @} */

#ifdef __cplusplus
}
#endif

#endif /* SECOUSTI_CONTAINER_H */

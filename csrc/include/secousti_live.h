/** @file
 * secousti_live: C interface of what a live call needs beside its streams: packets, a jitter buffer, and a voice vector
 * that grows with the call.
 *
 * Conventions, errors and status codes are those of secousti.h. Objects are used by one thread at a time. Byte layout
 * and measurements: docs/design/packets.md, docs/measured/.
 */
#ifndef SECOUSTI_LIVE_H
#define SECOUSTI_LIVE_H

#include "secousti.h"

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup packets Packets
 * @{ */

/** What both ends of a call agree on (identity, cardinality, dimension), and each end's own settings. */
typedef struct secousti_packet_options {
    size_t struct_size;        /**< set by secousti_packet_options_init */
    uint64_t identity;         /**< of the model; packets of another one do not pass */
    int32_t cardinality;       /**< tokens are in [0, cardinality) */
    int32_t dimension;         /**< of G, 0..4096 */
    int32_t tokens_per_packet; /**< writer: 1..15, default 4 */
    int32_t redundancy;        /**< writer: 0..15 tokens before the new ones are sent again, default 0 */
    int32_t voice_repeat;      /**< writer: packets from one sending of G to the next; 0 (default): each G goes once */
    int32_t depth;             /**< reader: tokens in hand before playing starts, 1..512, default 8 */
} secousti_packet_options;

/** Makes packets of tokens. */
typedef struct secousti_packet_writer secousti_packet_writer;
/** Makes tokens of packets, in order. */
typedef struct secousti_packet_reader secousti_packet_reader;

/** Defaults; identity, cardinality and dimension from `model`, or zeros if that is NULL. */
SECOUSTI_API void secousti_packet_options_init(secousti_packet_options* options,
                                               const secousti_model* model) SECOUSTI_NOEXCEPT;

/** A new writer. */
SECOUSTI_API secousti_status secousti_packet_writer_create(const secousti_packet_options* options,
                                                           secousti_packet_writer** writer) SECOUSTI_NOEXCEPT;
/** NULL is allowed. */
SECOUSTI_API void secousti_packet_writer_destroy(secousti_packet_writer* writer) SECOUSTI_NOEXCEPT;
/** Most bytes of a packet of this writer. */
SECOUSTI_API size_t secousti_packet_writer_max_bytes(const secousti_packet_writer* writer) SECOUSTI_NOEXCEPT;
/** Adds one token. Writes a packet to `bytes` when it completes one and returns its size, else 0. `capacity` is at
 *  least secousti_packet_writer_max_bytes. Neither allocates nor locks. */
SECOUSTI_API int64_t secousti_packet_writer_push(secousti_packet_writer* writer, int32_t token, void* bytes,
                                                 size_t capacity) SECOUSTI_NOEXCEPT;
/** Writes the tokens that wait as a shorter packet and returns its size; 0 if none wait. */
SECOUSTI_API int64_t secousti_packet_writer_flush(secousti_packet_writer* writer, void* bytes,
                                                  size_t capacity) SECOUSTI_NOEXCEPT;
/** Sends G ([dimension] finite floats), at eight bits a value and 64 values a packet, with the next packets. */
SECOUSTI_API secousti_status secousti_packet_writer_set_voice(secousti_packet_writer* writer, const float* voice,
                                                              size_t dimension) SECOUSTI_NOEXCEPT;

/** What secousti_packet_reader_push found. */
typedef enum secousti_packet_result {
    SECOUSTI_PACKET_ACCEPTED = 0, /**< it brought something new */
    SECOUSTI_PACKET_LATE = 1,     /**< all its tokens were played or given up before it came */
    SECOUSTI_PACKET_KNOWN = 2,    /**< all its tokens had come before */
    SECOUSTI_PACKET_STRAY = 3,  /**< far from the stream's place; if the next one follows on, the stream moves there */
    SECOUSTI_PACKET_DAMAGED = 4 /**< not a packet of this stream */
} secousti_packet_result;

/** What secousti_packet_reader_pop gave. */
typedef enum secousti_packet_next {
    SECOUSTI_PACKET_LOST = 0,   /**< the token did not come: conceal it */
    SECOUSTI_PACKET_TOKEN = 1,  /**< a token */
    SECOUSTI_PACKET_WAITING = 2 /**< nothing to play: the buffer fills, or the other end has been silent for long */
} secousti_packet_next;

/** What a reader has seen. */
typedef struct secousti_packet_counts {
    size_t struct_size; /**< set by the caller to sizeof(secousti_packet_counts) */
    uint64_t packets;   /**< pushed */
    uint64_t late;      /**< of these, see secousti_packet_result */
    uint64_t known;     /**< of these, see secousti_packet_result */
    uint64_t stray;     /**< of these, see secousti_packet_result */
    uint64_t damaged;   /**< of these, see secousti_packet_result */
    uint64_t tokens;    /**< that came in time */
    uint64_t recovered; /**< of these, those that came as repetition only */
    uint64_t lost;      /**< popped without having come */
    uint64_t restarts;  /**< moves to another place in the stream */
} secousti_packet_counts;

/** A new reader: the jitter buffer. */
SECOUSTI_API secousti_status secousti_packet_reader_create(const secousti_packet_options* options,
                                                           secousti_packet_reader** reader) SECOUSTI_NOEXCEPT;
/** NULL is allowed. */
SECOUSTI_API void secousti_packet_reader_destroy(secousti_packet_reader* reader) SECOUSTI_NOEXCEPT;
/** Takes a packet as it came from the network, whatever is in it. Returns a secousti_packet_result, or a negative
 *  status for NULL arguments. Neither allocates nor locks; nor does pop. */
SECOUSTI_API int64_t secousti_packet_reader_push(secousti_packet_reader* reader, const void* bytes,
                                                 size_t size) SECOUSTI_NOEXCEPT;
/** Takes the next token in playing order, one for each frame_size samples played. Returns a secousti_packet_next.
 *  `token` is what a decoder group's step takes: the token, SECOUSTI_TOKEN_LOST or, while waiting, SECOUSTI_TOKEN_NONE.
 */
SECOUSTI_API int64_t secousti_packet_reader_pop(secousti_packet_reader* reader, int32_t* token) SECOUSTI_NOEXCEPT;
/** Tokens from the one to be played next to the newest that came, gaps included: the delay at hand. */
SECOUSTI_API size_t secousti_packet_reader_buffered(const secousti_packet_reader* reader) SECOUSTI_NOEXCEPT;
/** Writes G and returns 1 if every part of it has come and any is newer than at the last call; else returns 0. */
SECOUSTI_API int64_t secousti_packet_reader_take_voice(secousti_packet_reader* reader, float* voice,
                                                       size_t dimension) SECOUSTI_NOEXCEPT;
/** Fills `counts`, whose struct_size the caller has set. */
SECOUSTI_API secousti_status secousti_packet_reader_get_counts(const secousti_packet_reader* reader,
                                                               secousti_packet_counts* counts) SECOUSTI_NOEXCEPT;
/** @} */

/** @defgroup voice_estimation Voice estimation
 * @{ */

/** What a voice estimate begins with. */
typedef struct secousti_voice_estimator_options {
    size_t struct_size;   /**< set by secousti_voice_estimator_options_init */
    const float* voice;   /**< a G to start with, [dimension]; NULL: zeros, the mean of its prior */
    float stored_seconds; /**< of speech that `voice` counts for against what is heard; default 0 */
} secousti_voice_estimator_options;

/** An estimate of the voice vector G of whoever speaks. */
typedef struct secousti_voice_estimator secousti_voice_estimator;

/** Defaults. */
SECOUSTI_API void secousti_voice_estimator_options_init(secousti_voice_estimator_options* options) SECOUSTI_NOEXCEPT;
/** A new estimate: there from the first half second of speech on, better with more. `options` may be NULL. */
SECOUSTI_API secousti_status secousti_voice_estimator_create(secousti_model* model,
                                                             const secousti_voice_estimator_options* options,
                                                             secousti_voice_estimator** estimator) SECOUSTI_NOEXCEPT;
/** NULL is allowed. */
SECOUSTI_API void secousti_voice_estimator_destroy(secousti_voice_estimator* estimator) SECOUSTI_NOEXCEPT;
/** Feeds PCM of any length; pauses do not count. Returns 1 if G was renewed, else 0. Neither allocates nor locks. A
 *  renewal takes milliseconds (docs/measured/voice.md), more than a small audio buffer may leave: then call it beside
 *  the audio thread. */
SECOUSTI_API int64_t secousti_voice_estimator_push(secousti_voice_estimator* estimator, const float* pcm,
                                                   size_t samples) SECOUSTI_NOEXCEPT;
/** Copies the present G. */
SECOUSTI_API secousti_status secousti_voice_estimator_get(const secousti_voice_estimator* estimator, float* voice,
                                                          size_t dimension) SECOUSTI_NOEXCEPT;
/** Seconds of speech, pauses left out, that were heard. */
SECOUSTI_API double secousti_voice_estimator_seconds(const secousti_voice_estimator* estimator) SECOUSTI_NOEXCEPT;
/** @} */

#ifdef __cplusplus
}
#endif

#endif /* SECOUSTI_LIVE_H */

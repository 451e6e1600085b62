/** @file
 * secousti: C interface of the streaming speech codec engine.
 *
 * Contract
 *  - A model is immutable after opening and may be used by any number of threads and streams at once. Streams keep
 *    their model alive. A stream is used by one thread at a time.
 *  - Audio is mono float32 at the model's sample rate (22,050 Hz), nominally in [-1, 1]. Resampling is the host's.
 *  - Calls that return secousti_status give SECOUSTI_OK or a negative code. Step calls return a count >= 0 or a
 *    negative code. After a failure, secousti_last_error() describes it for the calling thread.
 *  - After creation, push, flush and reset neither allocate nor lock (streams with more than one thread wake their
 *    workers), nor print, nor touch files: safe on an audio thread.
 *  - A failed step call (an argument that is null, too small or not finite) consumes nothing.
 *  - A model opened for "cuda" works there: streams, groups and offline calls. Steps there call the driver, which may
 *    lock and allocate; a step that fails on the device leaves its stream undefined until it is reset. Snapshots,
 *    clones and offline calls allocate device memory. What a device cannot do is SECOUSTI_UNSUPPORTED.
 */
#ifndef SECOUSTI_H
#define SECOUSTI_H

#include <stddef.h>
#include <stdint.h>

/** @cond macros */
#if defined(_WIN32)
#if defined(SECOUSTI_BUILD_SHARED)
#define SECOUSTI_API __declspec(dllexport)
#elif defined(SECOUSTI_SHARED)
#define SECOUSTI_API __declspec(dllimport)
#else
#define SECOUSTI_API
#endif
#else
#define SECOUSTI_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
#define SECOUSTI_NOEXCEPT noexcept
extern "C" {
#else
#define SECOUSTI_NOEXCEPT
#endif
/** @endcond */

/** @defgroup library Library
 * @{ */

/** Raised whenever a function or struct changes incompatibly. */
#define SECOUSTI_ABI_VERSION 2

/** Outcome of a call. */
typedef enum secousti_status {
    SECOUSTI_OK = 0,
    SECOUSTI_INVALID_ARGUMENT = -1, /**< an argument is null, out of range or not finite */
    SECOUSTI_INVALID_FILE = -2,     /**< a model, container or snapshot is damaged, truncated or of another format */
    SECOUSTI_INCOMPATIBLE = -3,     /**< valid, but does not fit: missing tensor, wrong shape, other model or version */
    SECOUSTI_IO_ERROR = -4,         /**< the operating system refused to open, map, read or write */
    SECOUSTI_OUT_OF_MEMORY = -5,
    SECOUSTI_UNSUPPORTED = -6,   /**< the model or this build lacks the feature (ISA, acoustic branch, vocoder) */
    SECOUSTI_INVALID_STATE = -7, /**< the call does not fit the stream's state: push after flush, say */
    SECOUSTI_INTERNAL_ERROR = -8
} secousti_status;

/** A loaded model. */
typedef struct secousti_model secousti_model;
/** A stream from PCM to tokens. */
typedef struct secousti_encoder secousti_encoder;
/** A stream from tokens to PCM. */
typedef struct secousti_decoder secousti_decoder;

/** The SECOUSTI_ABI_VERSION that the library was built with: to be compared by whoever loads it at run time. */
SECOUSTI_API uint32_t secousti_abi_version(void) SECOUSTI_NOEXCEPT;
/** "0.1.0" */
SECOUSTI_API const char* secousti_version(void) SECOUSTI_NOEXCEPT;
/** Description of the calling thread's last failure; "" when there was none. Valid until the thread's next failure. */
SECOUSTI_API const char* secousti_last_error(void) SECOUSTI_NOEXCEPT;
/** "ok", "invalid argument" and so on; never NULL. */
SECOUSTI_API const char* secousti_status_name(secousti_status status) SECOUSTI_NOEXCEPT;
/** ISAs this processor can run, fastest first, separated by commas: "avx512,avx2,scalar". */
SECOUSTI_API const char* secousti_available_isas(void) SECOUSTI_NOEXCEPT;
/** @} */

/** @defgroup model Model
 * @{ */

/** Of what most of the work is with: the transformers' weights in memory, their keys and values (int8: a scale for each
 * row), and weights and rows of HiFT's large convolutions. int8 weights multiply activations quantised to int8; else
 * activations and sums are float32. The decoder's convolutions have bf16 weights at bf16 and int8; a model file may
 * demand more for the transformer that leads to tokens (`token_precision`). Files of any precision open at any.
 * Where a file does not name the CPU's default, that is fp32. */
typedef enum secousti_precision {
    SECOUSTI_PRECISION_DEFAULT = -1, /**< bf16 on a device; on the CPU what the model file says keeps its quality */
    SECOUSTI_PRECISION_FP32 = 0,
    SECOUSTI_PRECISION_BF16 = 1,
    SECOUSTI_PRECISION_INT8 = 2
} secousti_precision;

/** How a model is opened. */
typedef struct secousti_model_options {
    size_t struct_size; /**< set by secousti_model_options_init */
    const char* isa;    /**< kernel table by name; NULL: SECOUSTI_ISA if set, else the fastest */
    int32_t precision;  /**< a secousti_precision; default SECOUSTI_PRECISION_DEFAULT, but 0 is fp32 */
    const char* device; /**< "cpu" or "cuda": where all its calls work, never another; default NULL: "cpu" */
} secousti_model_options;

/** What a model is. */
typedef struct secousti_model_info {
    size_t struct_size;          /**< set by the caller to sizeof(secousti_model_info) */
    int32_t sample_rate;         /**< Hz */
    int32_t hop_length;          /**< samples per mel frame */
    int32_t frame_size;          /**< samples per token */
    double frame_rate;           /**< tokens per second */
    int32_t cardinality;         /**< number of different tokens */
    int32_t n_mels;              /**< mel bands */
    int32_t dimension;           /**< of G, of the acoustic embedding and of the transformers */
    int32_t fsq_dimensions;      /**< numbers that a token stands for */
    int32_t prompt_frames;       /**< mel frames that the paralinguistic encoder reads at most */
    int32_t has_acoustic_branch; /**< 0 or 1 */
    int32_t has_vocoder;         /**< 0 or 1 */
    int32_t vocoder_look_ahead;  /**< default of the decoder option, in mel frames; fixed for HiFT */
    int32_t encoder_latency;     /**< samples after a token's first sample until the token can be emitted */
    int32_t decoder_latency;     /**< samples of delay that the vocoder adds at its default look-ahead */
    uint64_t identity;           /**< of the weights' quantiser and configuration; names the model in containers */
    uint64_t parameters;         /**< number of weights */
    uint64_t memory_bytes;       /**< of the weights as kept for the kernels */
    const char* name;            /**< valid as long as the model */
    const char* config_json;     /**< the model file's configuration; valid as long as the model */
    const char* isa;             /**< kernel table in use */
    const char* vocoder;         /**< "spectral", "hift" or "none" */
    int32_t precision;           /**< the secousti_precision in use, never SECOUSTI_PRECISION_DEFAULT */
    const char* device;          /**< "cpu" or "cuda" */
    uint64_t device_bytes;       /**< of the weights on the device; 0 on the CPU */
    int32_t half_weights;        /**< 1: all matrices of the file are float16; at fp32 the CPU keeps them in 16 bits */
} secousti_model_info;

/** Defaults. */
SECOUSTI_API void secousti_model_options_init(secousti_model_options* options) SECOUSTI_NOEXCEPT;
/** Opens a safetensors model file. `options` may be NULL. */
SECOUSTI_API secousti_status secousti_model_open(const char* path, const secousti_model_options* options,
                                                 secousti_model** model) SECOUSTI_NOEXCEPT;
/** Opens a model from memory, which may be freed afterwards. */
SECOUSTI_API secousti_status secousti_model_open_memory(const void* data, size_t size,
                                                        const secousti_model_options* options,
                                                        secousti_model** model) SECOUSTI_NOEXCEPT;
/** Releases the caller's hold; NULL is allowed. Memory goes when the last stream is destroyed. */
SECOUSTI_API void secousti_model_release(secousti_model* model) SECOUSTI_NOEXCEPT;
/** Fills `info`, whose struct_size the caller has set. */
SECOUSTI_API secousti_status secousti_model_get_info(const secousti_model* model,
                                                     secousti_model_info* info) SECOUSTI_NOEXCEPT;
/** @} */

/** @defgroup streams Streams
 * @{ */

/** How an encoder stream works. */
typedef struct secousti_encoder_options {
    size_t struct_size; /**< set by secousti_encoder_options_init */
    int32_t threads;    /**< of the CPU that work on a step, the caller's included; default 1 */
} secousti_encoder_options;

/** How a decoder stream works. */
typedef struct secousti_decoder_options {
    size_t struct_size; /**< set by secousti_decoder_options_init */
    int32_t threads;    /**< default 1 */
    int32_t look_ahead; /**< of the spectral vocoder in mel frames, 0..3; -1: the model's default */
    int32_t noise;      /**< 1 (default): HiFT's seeded noise and phases; 0: all zero, for parity tests */
    uint64_t seed;      /**< of the vocoder's noise; the same seed gives the same audio whatever the chunking */
    const float* voice; /**< G, [dimension]; NULL: zeros */
} secousti_decoder_options;

/** Defaults. */
SECOUSTI_API void secousti_encoder_options_init(secousti_encoder_options* options) SECOUSTI_NOEXCEPT;
/** Defaults. */
SECOUSTI_API void secousti_decoder_options_init(secousti_decoder_options* options) SECOUSTI_NOEXCEPT;

/** A new stream. `options` may be NULL. */
SECOUSTI_API secousti_status secousti_encoder_create(secousti_model* model, const secousti_encoder_options* options,
                                                     secousti_encoder** encoder) SECOUSTI_NOEXCEPT;
/** NULL is allowed. */
SECOUSTI_API void secousti_encoder_destroy(secousti_encoder* encoder) SECOUSTI_NOEXCEPT;
/** An independent stream in the same state. */
SECOUSTI_API secousti_status secousti_encoder_clone(const secousti_encoder* encoder,
                                                    secousti_encoder** copy) SECOUSTI_NOEXCEPT;
/** Back to the start. */
SECOUSTI_API secousti_status secousti_encoder_reset(secousti_encoder* encoder) SECOUSTI_NOEXCEPT;
/** Bytes that the stream holds beside the model. */
SECOUSTI_API size_t secousti_encoder_memory(const secousti_encoder* encoder) SECOUSTI_NOEXCEPT;
/** Most tokens that pushing `samples` more, or flushing after them, can return. */
SECOUSTI_API size_t secousti_encoder_max_tokens(const secousti_encoder* encoder, size_t samples) SECOUSTI_NOEXCEPT;
/** 1 after flush and until reset, when the stream takes nothing, else 0. */
SECOUSTI_API int32_t secousti_encoder_ended(const secousti_encoder* encoder) SECOUSTI_NOEXCEPT;
/** Feeds `samples` of PCM; writes the tokens that are ready and returns how many. A `capacity` of
    samples / frame_size + 1 is always enough. */
SECOUSTI_API int64_t secousti_encoder_push(secousti_encoder* encoder, const float* pcm, size_t samples, int32_t* tokens,
                                           size_t capacity) SECOUSTI_NOEXCEPT;
/** Ends the stream: writes the remaining tokens. Only reset and destroy may follow. */
SECOUSTI_API int64_t secousti_encoder_flush(secousti_encoder* encoder, int32_t* tokens,
                                            size_t capacity) SECOUSTI_NOEXCEPT;
/** Bytes that a snapshot takes. */
SECOUSTI_API size_t secousti_encoder_snapshot_size(const secousti_encoder* encoder) SECOUSTI_NOEXCEPT;
/** Writes the stream's state, to be restored later or elsewhere. */
SECOUSTI_API secousti_status secousti_encoder_snapshot(const secousti_encoder* encoder, void* bytes,
                                                       size_t capacity) SECOUSTI_NOEXCEPT;
/** A stream that goes on where the snapshot was taken; the model must be the same file at the same precision. `options`
    as in create. Damage is detected, forgery is not: restore snapshots of your own only. */
SECOUSTI_API secousti_status secousti_encoder_restore(secousti_model* model, const void* bytes, size_t size,
                                                      const secousti_encoder_options* options,
                                                      secousti_encoder** encoder) SECOUSTI_NOEXCEPT;

/** A new stream. `options` may be NULL. */
SECOUSTI_API secousti_status secousti_decoder_create(secousti_model* model, const secousti_decoder_options* options,
                                                     secousti_decoder** decoder) SECOUSTI_NOEXCEPT;
/** NULL is allowed. */
SECOUSTI_API void secousti_decoder_destroy(secousti_decoder* decoder) SECOUSTI_NOEXCEPT;
/** An independent stream in the same state. */
SECOUSTI_API secousti_status secousti_decoder_clone(const secousti_decoder* decoder,
                                                    secousti_decoder** copy) SECOUSTI_NOEXCEPT;
/** Back to the start: same G, same seed. */
SECOUSTI_API secousti_status secousti_decoder_reset(secousti_decoder* decoder) SECOUSTI_NOEXCEPT;
/** Bytes that the stream holds beside the model. */
SECOUSTI_API size_t secousti_decoder_memory(const secousti_decoder* decoder) SECOUSTI_NOEXCEPT;
/** Samples of delay: how far output lags behind the tokens pushed (exact for the look-ahead in use). */
SECOUSTI_API int32_t secousti_decoder_latency(const secousti_decoder* decoder) SECOUSTI_NOEXCEPT;
/** Replaces G ([dimension] finite floats) from the next token on. */
SECOUSTI_API secousti_status secousti_decoder_set_voice(secousti_decoder* decoder, const float* voice,
                                                        size_t dimension) SECOUSTI_NOEXCEPT;
/** Copies the G in use; `dimension` is at least its length. */
SECOUSTI_API secousti_status secousti_decoder_get_voice(const secousti_decoder* decoder, float* voice,
                                                        size_t dimension) SECOUSTI_NOEXCEPT;
/** Most samples that pushing `tokens` more (or mel frames worth as many), or flushing after them, can return. */
SECOUSTI_API size_t secousti_decoder_max_samples(const secousti_decoder* decoder, size_t tokens) SECOUSTI_NOEXCEPT;
/** 1 after flush and until reset, when the stream takes nothing, else 0. */
SECOUSTI_API int32_t secousti_decoder_ended(const secousti_decoder* decoder) SECOUSTI_NOEXCEPT;
/** Tokens to PCM. `tokens` NULL: `count` tokens were lost; the decoder conceals them, going on with what is most likely
    and fading to the noise between words when the loss lasts, and is in step again at the next token that comes. A
    stream is used for one of the three kinds of push until it is reset. */
SECOUSTI_API int64_t secousti_decoder_push(secousti_decoder* decoder, const int32_t* tokens, size_t count, float* pcm,
                                           size_t capacity) SECOUSTI_NOEXCEPT;
/** Tokens to log-mel, for hosts with a vocoder of their own: writes and returns count * frame_size / hop_length rows of
    n_mels floats, at once. `capacity` counts rows; `tokens` may be NULL as above. */
SECOUSTI_API int64_t secousti_decoder_push_to_mel(secousti_decoder* decoder, const int32_t* tokens, size_t count,
                                                  float* mel, size_t capacity) SECOUSTI_NOEXCEPT;
/** Log-mel [frames, n_mels] to PCM: the vocoder alone. */
SECOUSTI_API int64_t secousti_decoder_push_from_mel(secousti_decoder* decoder, const float* mel, size_t frames,
                                                    float* pcm, size_t capacity) SECOUSTI_NOEXCEPT;
/** Ends the stream: in all, N tokens give exactly N*frame_size samples. */
SECOUSTI_API int64_t secousti_decoder_flush(secousti_decoder* decoder, float* pcm, size_t capacity) SECOUSTI_NOEXCEPT;
/** Bytes that a snapshot takes. */
SECOUSTI_API size_t secousti_decoder_snapshot_size(const secousti_decoder* decoder) SECOUSTI_NOEXCEPT;
/** Writes the stream's state, to be restored later or elsewhere. */
SECOUSTI_API secousti_status secousti_decoder_snapshot(const secousti_decoder* decoder, void* bytes,
                                                       size_t capacity) SECOUSTI_NOEXCEPT;
/** As secousti_encoder_restore; seed, noise, look-ahead and G come from the snapshot, only `threads` from `options`. */
SECOUSTI_API secousti_status secousti_decoder_restore(secousti_model* model, const void* bytes, size_t size,
                                                      const secousti_decoder_options* options,
                                                      secousti_decoder** decoder) SECOUSTI_NOEXCEPT;
/** @} */

/** @defgroup groups Groups
 * A group has `capacity` slots. Each slot is one independent stream: own position, own age, own voice. A step feeds one
 * token's worth to every active slot, and one pass over the weights serves them all. Slots join, leave and start again
 * between any two steps. On the CPU a slot gives bit for bit what a stream of its own would, and their snapshots are
 * interchangeable. A group is used by one thread at a time; the real-time contract is that of streams.
 * @{ */

/** The token never came, as in containers and packets: a decoder group conceals it, as secousti_decoder_push does. */
#define SECOUSTI_TOKEN_LOST (-1)
/** There is none. To a decoder group: the slot is not active in this step. From an encoder group: the slot is not
    active, or its stream so young that the first token is not complete. */
#define SECOUSTI_TOKEN_NONE (-2)

/** Encoder streams that step together. */
typedef struct secousti_encoder_group secousti_encoder_group;
/** Decoder streams that step together. */
typedef struct secousti_decoder_group secousti_decoder_group;

/** How an encoder group works. */
typedef struct secousti_encoder_group_options {
    size_t struct_size; /**< set by secousti_encoder_group_options_init */
    int32_t capacity;   /**< slots, 1..4096; default 1 */
    int32_t threads;    /**< that work on a step, the caller's included; default 1 */
    int32_t spins;      /**< how often an idle worker polls before it sleeps; default -1: some microseconds' worth */
    const char* device; /**< "cpu", or "cuda" if the model was opened for it; default NULL: the model's */
    int32_t max_steps;  /**< most steps that one call makes, 1..64 mel frames' worth; default 1. Memory grows with it */
} secousti_encoder_group_options;

/** How a decoder group works: capacity, threads, spins and device as for encoder groups. */
typedef struct secousti_decoder_group_options {
    size_t struct_size; /**< set by secousti_decoder_group_options_init */
    int32_t capacity;   /**< slots, 1..4096; default 1 */
    int32_t threads;    /**< default 1 */
    int32_t spins;      /**< default -1 */
    const char* device; /**< "cpu" or "cuda"; default NULL: the model's */
    int32_t look_ahead; /**< this and what follows: as in secousti_decoder_options, for every slot */
    int32_t noise;      /**< 0 or 1 */
    uint64_t seed;      /**< of the vocoder's noise */
    const float* voice; /**< G, [dimension]; NULL: zeros */
    int32_t max_steps;  /**< as for encoder groups */
} secousti_decoder_group_options;

/** Defaults. */
SECOUSTI_API void secousti_encoder_group_options_init(secousti_encoder_group_options* options) SECOUSTI_NOEXCEPT;
/** Defaults. */
SECOUSTI_API void secousti_decoder_group_options_init(secousti_decoder_group_options* options) SECOUSTI_NOEXCEPT;

/** A new group. `options` may be NULL. */
SECOUSTI_API secousti_status secousti_encoder_group_create(secousti_model* model,
                                                           const secousti_encoder_group_options* options,
                                                           secousti_encoder_group** group) SECOUSTI_NOEXCEPT;
/** NULL is allowed. */
SECOUSTI_API void secousti_encoder_group_destroy(secousti_encoder_group* group) SECOUSTI_NOEXCEPT;
/** Bytes that the group holds beside the weights. */
SECOUSTI_API size_t secousti_encoder_group_memory(const secousti_encoder_group* group) SECOUSTI_NOEXCEPT;
/** Feeds `pcm` [capacity, frame_size] to the slots whose `active` [capacity] is not 0 (NULL: all); rows of other slots
    are not read. Writes tokens [capacity], SECOUSTI_TOKEN_NONE where there is none: the slot is not active, or its
   stream is so young that the first token is not complete (secousti_model_info.encoder_latency). */
SECOUSTI_API secousti_status secousti_encoder_group_step(secousti_encoder_group* group, const float* pcm,
                                                         const uint8_t* active, int32_t* tokens) SECOUSTI_NOEXCEPT;
/** `count` steps at once, 1 up to the group's max_steps, with the bits that as many calls of
   secousti_encoder_group_step give: `pcm` is [capacity, count * frame_size], `tokens` [capacity, count]. On "cuda" a
   pass over the weights serves them all. */
SECOUSTI_API secousti_status secousti_encoder_group_steps(secousti_encoder_group* group, const float* pcm,
                                                          const uint8_t* active, int32_t count,
                                                          int32_t* tokens) SECOUSTI_NOEXCEPT;
/** As secousti_encoder_group_step with pcm and tokens in device memory, for groups on "cuda": the work joins `stream`,
   a cudaStream_t of the first device, and the call does not wait for it. `active` is host memory. Samples that are not
    finite are not found; they spoil their own slot. */
SECOUSTI_API secousti_status secousti_encoder_group_step_on_device(secousti_encoder_group* group, void* stream,
                                                                   const float* pcm, const uint8_t* active,
                                                                   int32_t* tokens) SECOUSTI_NOEXCEPT;
/** The same of `count` steps at once: see secousti_encoder_group_steps. */
SECOUSTI_API secousti_status secousti_encoder_group_steps_on_device(secousti_encoder_group* group, void* stream,
                                                                    const float* pcm, const uint8_t* active,
                                                                    int32_t count, int32_t* tokens) SECOUSTI_NOEXCEPT;
/** The slots whose `mask` [capacity] is not 0 (NULL: all) go back to the start. */
SECOUSTI_API secousti_status secousti_encoder_group_reset(secousti_encoder_group* group,
                                                          const uint8_t* mask) SECOUSTI_NOEXCEPT;
/** Most tokens that flushing the slot can return; 0 for a slot that the group does not have. */
SECOUSTI_API size_t secousti_encoder_group_max_tokens(const secousti_encoder_group* group,
                                                      int32_t slot) SECOUSTI_NOEXCEPT;
/** Ends one slot's stream: writes its remaining tokens and returns how many. Only reset and restore may follow. */
SECOUSTI_API int64_t secousti_encoder_group_flush(secousti_encoder_group* group, int32_t slot, int32_t* tokens,
                                                  size_t capacity) SECOUSTI_NOEXCEPT;
/** Of one slot: the snapshot of a single encoder, which secousti_encoder_restore takes, too. */
SECOUSTI_API size_t secousti_encoder_group_snapshot_size(const secousti_encoder_group* group) SECOUSTI_NOEXCEPT;
/** Writes the state of one slot. */
SECOUSTI_API secousti_status secousti_encoder_group_snapshot(const secousti_encoder_group* group, int32_t slot,
                                                             void* bytes, size_t capacity) SECOUSTI_NOEXCEPT;
/** Puts the stream of a snapshot, of a slot or of a single encoder, into the slot. */
SECOUSTI_API secousti_status secousti_encoder_group_restore(secousti_encoder_group* group, int32_t slot,
                                                            const void* bytes, size_t size) SECOUSTI_NOEXCEPT;

/** A new group. `options` may be NULL. */
SECOUSTI_API secousti_status secousti_decoder_group_create(secousti_model* model,
                                                           const secousti_decoder_group_options* options,
                                                           secousti_decoder_group** group) SECOUSTI_NOEXCEPT;
/** NULL is allowed. */
SECOUSTI_API void secousti_decoder_group_destroy(secousti_decoder_group* group) SECOUSTI_NOEXCEPT;
/** Bytes that the group holds beside the weights. */
SECOUSTI_API size_t secousti_decoder_group_memory(const secousti_decoder_group* group) SECOUSTI_NOEXCEPT;
/** Begins a new stream in the slot, as secousti_decoder_create would with these options (NULL: defaults). Its threads
    are the group's. */
SECOUSTI_API secousti_status secousti_decoder_group_start(secousti_decoder_group* group, int32_t slot,
                                                          const secousti_decoder_options* options) SECOUSTI_NOEXCEPT;
/** Replaces the slot's G ([dimension] finite floats) from its next token on. */
SECOUSTI_API secousti_status secousti_decoder_group_set_voice(secousti_decoder_group* group, int32_t slot,
                                                              const float* voice, size_t dimension) SECOUSTI_NOEXCEPT;
/** Copies the slot's G; `dimension` is at least its length. */
SECOUSTI_API secousti_status secousti_decoder_group_get_voice(const secousti_decoder_group* group, int32_t slot,
                                                              float* voice, size_t dimension) SECOUSTI_NOEXCEPT;
/** One token for each slot, `tokens` [capacity]: its value, SECOUSTI_TOKEN_NONE or SECOUSTI_TOKEN_LOST. Writes the
   samples that are ready to the start of the slot's row of `pcm` [capacity, frame_size] and their number,
   0..frame_size, to `samples` [capacity]. */
SECOUSTI_API secousti_status secousti_decoder_group_step(secousti_decoder_group* group, const int32_t* tokens,
                                                         float* pcm, int32_t* samples) SECOUSTI_NOEXCEPT;
/** The same to log-mel [capacity, frame_size / hop_length, n_mels]; rows of slots that are not active stay. */
SECOUSTI_API secousti_status secousti_decoder_group_step_to_mel(secousti_decoder_group* group, const int32_t* tokens,
                                                                float* mel) SECOUSTI_NOEXCEPT;
/** `count` steps at once, 1 up to the group's max_steps: `tokens` [capacity, count], `pcm` [capacity, count *
    frame_size]. A slot is active in all of them (tokens or SECOUSTI_TOKEN_LOST) or in none (SECOUSTI_TOKEN_NONE). The
    samples are those of single steps; the vocoder gets all frames at once, which is what makes HiFT fast. */
SECOUSTI_API secousti_status secousti_decoder_group_steps(secousti_decoder_group* group, const int32_t* tokens,
                                                          int32_t count, float* pcm,
                                                          int32_t* samples) SECOUSTI_NOEXCEPT;
/** The same to log-mel [capacity, count * frame_size / hop_length, n_mels]. */
SECOUSTI_API secousti_status secousti_decoder_group_steps_to_mel(secousti_decoder_group* group, const int32_t* tokens,
                                                                 int32_t count, float* mel) SECOUSTI_NOEXCEPT;
/** The vocoder alone, for the slots whose `active` [capacity] is not 0 (NULL: all): `mel` [capacity, frames, n_mels] to
    `pcm` [capacity, frames * hop_length] and `samples` as in secousti_decoder_group_steps. `frames` is 1 up to
   max_steps
    * frame_size / hop_length. */
SECOUSTI_API secousti_status secousti_decoder_group_step_from_mel(secousti_decoder_group* group, const float* mel,
                                                                  const uint8_t* active, int32_t frames, float* pcm,
                                                                  int32_t* samples) SECOUSTI_NOEXCEPT;
/** As secousti_decoder_group_step with arrays in device memory; see secousti_encoder_group_step_on_device. `active`
    [capacity] is host memory, NULL: all; the tokens of active slots are in range or lost. `samples` may be NULL. */
SECOUSTI_API secousti_status secousti_decoder_group_step_on_device(secousti_decoder_group* group, void* stream,
                                                                   const int32_t* tokens, const uint8_t* active,
                                                                   float* pcm, int32_t* samples) SECOUSTI_NOEXCEPT;
/** The same to log-mel; rows of slots that are not active mean nothing. */
SECOUSTI_API secousti_status secousti_decoder_group_step_to_mel_on_device(secousti_decoder_group* group, void* stream,
                                                                          const int32_t* tokens, const uint8_t* active,
                                                                          float* mel) SECOUSTI_NOEXCEPT;
/** As secousti_decoder_group_steps with arrays in device memory. */
SECOUSTI_API secousti_status secousti_decoder_group_steps_on_device(secousti_decoder_group* group, void* stream,
                                                                    const int32_t* tokens, const uint8_t* active,
                                                                    int32_t count, float* pcm,
                                                                    int32_t* samples) SECOUSTI_NOEXCEPT;
/** As secousti_decoder_group_steps_to_mel with arrays in device memory. */
SECOUSTI_API secousti_status secousti_decoder_group_steps_to_mel_on_device(secousti_decoder_group* group, void* stream,
                                                                           const int32_t* tokens, const uint8_t* active,
                                                                           int32_t count, float* mel) SECOUSTI_NOEXCEPT;
/** As secousti_decoder_group_step_from_mel with `mel`, `pcm` and `samples` (or NULL) in device memory. */
SECOUSTI_API secousti_status secousti_decoder_group_step_from_mel_on_device(secousti_decoder_group* group, void* stream,
                                                                            const float* mel, const uint8_t* active,
                                                                            int32_t frames, float* pcm,
                                                                            int32_t* samples) SECOUSTI_NOEXCEPT;
/** The slots whose `mask` [capacity] is not 0 (NULL: all) go back to the start: same G, same seed. */
SECOUSTI_API secousti_status secousti_decoder_group_reset(secousti_decoder_group* group,
                                                          const uint8_t* mask) SECOUSTI_NOEXCEPT;
/** Most samples that flushing the slot can return; 0 for a slot that the group does not have. */
SECOUSTI_API size_t secousti_decoder_group_max_samples(const secousti_decoder_group* group,
                                                       int32_t slot) SECOUSTI_NOEXCEPT;
/** Ends one slot's stream: in all, N tokens give exactly N*frame_size samples. */
SECOUSTI_API int64_t secousti_decoder_group_flush(secousti_decoder_group* group, int32_t slot, float* pcm,
                                                  size_t capacity) SECOUSTI_NOEXCEPT;
/** As for encoder groups. */
SECOUSTI_API size_t secousti_decoder_group_snapshot_size(const secousti_decoder_group* group) SECOUSTI_NOEXCEPT;
/** Writes the state of one slot. */
SECOUSTI_API secousti_status secousti_decoder_group_snapshot(const secousti_decoder_group* group, int32_t slot,
                                                             void* bytes, size_t capacity) SECOUSTI_NOEXCEPT;
/** Puts the stream of a snapshot, of a slot or of a single decoder, into the slot. */
SECOUSTI_API secousti_status secousti_decoder_group_restore(secousti_decoder_group* group, int32_t slot,
                                                            const void* bytes, size_t size) SECOUSTI_NOEXCEPT;
/** @} */

/** @defgroup stages Stages, offline: the same machines fed everything at once
 * @{ */

/** Where secousti_encode_mel writes; NULL members are skipped. N = ceil(frames * hop_length / frame_size). */
typedef struct secousti_encode_outputs {
    size_t struct_size;    /**< set by the caller to sizeof(secousti_encode_outputs) */
    float* encoder_out;    /**< [N, dimension] */
    float* acoustic_embed; /**< [N, dimension]; SECOUSTI_UNSUPPORTED without an acoustic branch */
    float* semantic_mu;    /**< [N, dimension] */
    float* fsq_in;         /**< [N, fsq_dimensions] */
    int32_t* tokens;       /**< [N] */
} secousti_encode_outputs;

/** Log-mel of PCM: writes floor(samples / hop_length) frames of n_mels floats; `capacity` counts frames. */
SECOUSTI_API int64_t secousti_mel(const secousti_model* model, const float* pcm, size_t samples, float* mel,
                                  size_t capacity) SECOUSTI_NOEXCEPT;
/** Returns N. */
SECOUSTI_API int64_t secousti_encode_mel(const secousti_model* model, const float* mel, size_t frames, int32_t threads,
                                         const secousti_encode_outputs* outputs) SECOUSTI_NOEXCEPT;
/** G of a log-mel prompt: the middle prompt_frames frames, or all of a shorter one. Needs at least one frame. */
SECOUSTI_API secousti_status secousti_voice_of_mel(const secousti_model* model, const float* mel, size_t frames,
                                                   float* voice) SECOUSTI_NOEXCEPT;
/** Tokens and G to log-mel: writes count * frame_size / hop_length frames and returns how many. */
SECOUSTI_API int64_t secousti_decode_tokens(const secousti_model* model, const int32_t* tokens, size_t count,
                                            const float* voice, int32_t threads, float* mel,
                                            size_t capacity) SECOUSTI_NOEXCEPT;
/** Acoustic embedding [count, dimension] to log-mel, likewise. */
SECOUSTI_API int64_t secousti_decode_acoustic(const secousti_model* model, const float* acoustic, size_t count,
                                              int32_t threads, float* mel, size_t capacity) SECOUSTI_NOEXCEPT;
/** Log-mel to PCM: writes frames * hop_length samples. `options` as for a decoder; its G is not used. */
SECOUSTI_API int64_t secousti_vocode(const secousti_model* model, const float* mel, size_t frames,
                                     const secousti_decoder_options* options, float* pcm,
                                     size_t capacity) SECOUSTI_NOEXCEPT;
/** @} */

/** @defgroup clips Clips
 * A corpus: `count` clips of any lengths, worked on side by side, each of which gives what it gives alone. On the CPU a
 * thread takes a clip at a time; on a device clips share each step, those of similar length first.
 * @{ */

/** PCM to tokens and voices. Clip i is `pcm`[i] of `samples`[i] samples; `tokens`[i] has room for N =
   ceil(floor(samples / hop_length) * hop_length / frame_size) tokens, all of which are written. `voice` NULL,
   or [count]: where the clip's G [dimension] goes, NULL if nowhere; a clip shorter than hop_length has no tokens and no
   G. */
SECOUSTI_API secousti_status secousti_encode_clips(const secousti_model* model, const float* const* pcm,
                                                   const size_t* samples, size_t count, int32_t threads,
                                                   int32_t* const* tokens, float* const* voice) SECOUSTI_NOEXCEPT;
/** Tokens and voices to PCM. Clip i is `tokens`[i] of `counts`[i] tokens with the voice `voice`[i]
   [dimension]; writes counts[i] * frame_size samples to `pcm`[i]. `options` as for a decoder, for every clip; its G is
   not used. */
SECOUSTI_API secousti_status secousti_decode_clips(const secousti_model* model, const int32_t* const* tokens,
                                                   const size_t* counts, const float* const* voice, size_t count,
                                                   const secousti_decoder_options* options,
                                                   float* const* pcm) SECOUSTI_NOEXCEPT;
/** @} */

#ifdef __cplusplus
}
#endif

#endif /* SECOUSTI_H */

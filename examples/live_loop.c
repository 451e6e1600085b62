/* Hears itself through the codec, live: secousti_live_loop MODEL IN.wav OUT.wav [SPEED]
 *
 * A file plays the microphone. An audio thread calls `callback` every PERIOD samples, as a sound card's driver would,
 * SPEED times as fast as real time. The callback only moves samples through two rings and wakes the codec's thread,
 * which codes, decodes, and learns the voice. Where the codec comes too late the callback plays silence, and the
 * program says in which periods. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <secousti_live.h>
#include <semaphore.h>
#include <time.h>

#include "ring.h"
#include "wav.h"

enum { PERIOD = 256, AHEAD = 4 * PERIOD };

typedef struct loop {
    ring microphone, speaker;
    sem_t work;
    _Atomic int stop;
    int playing;
    secousti_encoder* encoder;
    secousti_decoder* decoder;
    secousti_voice_estimator* voice;
    size_t dimension, token_capacity, pcm_capacity;
    int failed;
} loop;

/* What a sound card's driver calls: no locks, no memory, no files. Returns 0 where it had to play silence. */
static int callback(loop* l, const float* in, float* out) {
    int played = 0;
    if (!ring_write(&l->microphone, in, PERIOD)) l->failed = 1; /* the codec stands still */
    sem_post(&l->work);
    /* The first sound waits until some is in hand, so that small delays of the codec's thread are not heard. */
    if (!l->playing && ring_filled(&l->speaker) >= AHEAD) l->playing = 1;
    if (l->playing) played = ring_read(&l->speaker, out, PERIOD);
    if (!played) memset(out, 0, PERIOD * sizeof *out);
    return played;
}

static void* codec_thread(void* user) {
    loop* l = (loop*)user;
    int32_t* tokens = (int32_t*)malloc(l->token_capacity * sizeof *tokens);
    float* pcm = (float*)malloc(l->pcm_capacity * sizeof *pcm);
    float* g = (float*)malloc(l->dimension * sizeof *g);
    float chunk[PERIOD];
    if (tokens == NULL || pcm == NULL || g == NULL) l->failed = 1;
    while (!l->failed && (sem_wait(&l->work), !atomic_load(&l->stop))) {
        while (!l->failed && ring_read(&l->microphone, chunk, PERIOD)) {
            const int64_t renewed = secousti_voice_estimator_push(l->voice, chunk, PERIOD);
            const int64_t count = secousti_encoder_push(l->encoder, chunk, PERIOD, tokens, l->token_capacity);
            int64_t samples = -1;
            if (renewed > 0) {
                secousti_voice_estimator_get(l->voice, g, l->dimension);
                secousti_decoder_set_voice(l->decoder, g, l->dimension);
            }
            if (renewed >= 0 && count >= 0) {
                samples = secousti_decoder_push(l->decoder, tokens, (size_t)count, pcm, l->pcm_capacity);
            }
            if (samples < 0 || !ring_write(&l->speaker, pcm, (size_t)samples)) l->failed = 1;
        }
    }
    free(tokens);
    free(pcm);
    free(g);
    return NULL;
}

static int fail(const char* what) {
    fprintf(stderr, "secousti_live_loop: %s\n", what);
    return 1;
}

int main(int argc, char** argv) {
    loop l;
    secousti_model* model = NULL;
    secousti_model_info info;
    float *pcm = NULL, *heard;
    size_t samples = 0, periods, p, late = 0;
    double period_seconds;
    struct timespec due;
    pthread_t thread;
    const char* error;
    if (argc != 4 && argc != 5) return fail("usage: secousti_live_loop MODEL IN.wav OUT.wav [SPEED]");
    memset(&l, 0, sizeof l);
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    if (secousti_model_open(argv[1], NULL, &model) != SECOUSTI_OK ||
        secousti_model_get_info(model, &info) != SECOUSTI_OK ||
        secousti_encoder_create(model, NULL, &l.encoder) != SECOUSTI_OK ||
        secousti_decoder_create(model, NULL, &l.decoder) != SECOUSTI_OK ||
        secousti_voice_estimator_create(model, NULL, &l.voice) != SECOUSTI_OK) {
        return fail(secousti_last_error());
    }
    error = wav_read(argv[2], info.sample_rate, &pcm, &samples);
    if (error != NULL) return fail(error);
    period_seconds = (double)PERIOD / info.sample_rate / (argc == 5 ? atof(argv[4]) : 1.0);
    l.dimension = (size_t)info.dimension;
    l.token_capacity = secousti_encoder_max_tokens(l.encoder, PERIOD + (size_t)info.frame_size);
    l.pcm_capacity = (l.token_capacity + 8) * (size_t)info.frame_size;
    periods = (samples + (size_t)info.sample_rate / 2) / PERIOD; /* half a second for what is still on its way */
    heard = (float*)calloc(periods + 1, PERIOD * sizeof *heard);
    pcm = (float*)realloc(pcm, (periods + 1) * PERIOD * sizeof *pcm);
    if (heard == NULL || pcm == NULL || !ring_create(&l.microphone, 1 << 18) || !ring_create(&l.speaker, 1 << 18) ||
        sem_init(&l.work, 0, 0) != 0 || pthread_create(&thread, NULL, codec_thread, &l) != 0) {
        return fail("out of memory or threads");
    }
    memset(pcm + samples, 0, ((periods + 1) * PERIOD - samples) * sizeof *pcm);

    clock_gettime(CLOCK_MONOTONIC, &due);
    for (p = 0; p < periods; ++p) {
        if (!callback(&l, pcm + p * PERIOD, heard + p * PERIOD)) {
            printf("silence in period %zu\n", p);
            late += (size_t)l.playing;
        }
        due.tv_nsec += (long)(period_seconds * 1e9);
        while (due.tv_nsec >= 1000000000) {
            due.tv_nsec -= 1000000000;
            ++due.tv_sec;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    }
    atomic_store(&l.stop, 1);
    sem_post(&l.work);
    pthread_join(thread, NULL);
    if (l.failed) return fail("the codec failed or stood still");
    error = wav_write(argv[3], heard, periods * PERIOD, info.sample_rate);
    if (error != NULL) return fail(error);
    printf("%zu periods, %zu of them late, voice of %.2f s of speech\n", periods, late,
           secousti_voice_estimator_seconds(l.voice));

    secousti_voice_estimator_destroy(l.voice);
    secousti_encoder_destroy(l.encoder);
    secousti_decoder_destroy(l.decoder);
    secousti_model_release(model);
    free(l.microphone.data);
    free(l.speaker.data);
    free(heard);
    free(pcm);
    return 0;
}

/* A LADSPA plug-in that plays its input as the codec hears it: any LADSPA host can listen to a model live. The model is
 * linked in. Runs at the model's rate only (22,050 Hz); the control output tells the delay in samples, as hosts expect.
 *
 *     applyplugin in.wav out.wav ./secousti_ladspa.so secousti
 *
 * Renewals of the voice, every few seconds, take two milliseconds; a plug-in for the stage would leave them to a thread
 * of its own, as live_loop.c does. So it does not call itself hard real-time capable. */
#include <default_model.h>
#include <ladspa.h>
#include <secousti_live.h>
#include <stdlib.h>
#include <string.h>

enum { IN, OUT, LATENCY, PORTS };
enum { SLICE = 1024, FIFO = 1 << 16 };

typedef struct plugin {
    LADSPA_Data* port[PORTS];
    secousti_model* model;
    secousti_encoder* encoder;
    secousti_decoder* decoder;
    secousti_voice_estimator* voice;
    int32_t* tokens;
    float *pcm, *g, *fifo;
    size_t token_capacity, pcm_capacity, dimension, delay, written, read;
} plugin;

static void cleanup(LADSPA_Handle handle) {
    plugin* p = (plugin*)handle;
    secousti_voice_estimator_destroy(p->voice);
    secousti_encoder_destroy(p->encoder);
    secousti_decoder_destroy(p->decoder);
    secousti_model_release(p->model);
    free(p->tokens);
    free(p->pcm);
    free(p->g);
    free(p->fifo);
    free(p);
}

static LADSPA_Handle instantiate(const LADSPA_Descriptor* descriptor, unsigned long rate) {
    plugin* p = (plugin*)calloc(1, sizeof *p);
    secousti_model_info info;
    (void)descriptor;
    if (p == NULL) return NULL;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    if (secousti_model_open_memory(default_model, default_model_size, NULL, &p->model) != SECOUSTI_OK ||
        secousti_model_get_info(p->model, &info) != SECOUSTI_OK || rate != (unsigned long)info.sample_rate ||
        secousti_encoder_create(p->model, NULL, &p->encoder) != SECOUSTI_OK ||
        secousti_decoder_create(p->model, NULL, &p->decoder) != SECOUSTI_OK ||
        secousti_voice_estimator_create(p->model, NULL, &p->voice) != SECOUSTI_OK) {
        cleanup(p);
        return NULL;
    }
    p->dimension = (size_t)info.dimension;
    /* A token can be coded encoder_latency samples after its first one, and is heard decoder_latency samples later. */
    p->delay = (size_t)info.encoder_latency + (size_t)info.decoder_latency;
    p->token_capacity = secousti_encoder_max_tokens(p->encoder, SLICE + (size_t)info.frame_size);
    p->pcm_capacity = (p->token_capacity + 8) * (size_t)info.frame_size;
    p->tokens = (int32_t*)malloc(p->token_capacity * sizeof *p->tokens);
    p->pcm = (float*)malloc(p->pcm_capacity * sizeof *p->pcm);
    p->g = (float*)malloc(p->dimension * sizeof *p->g);
    p->fifo = (float*)malloc(FIFO * sizeof *p->fifo);
    if (p->tokens == NULL || p->pcm == NULL || p->g == NULL || p->fifo == NULL) {
        cleanup(p);
        return NULL;
    }
    return p;
}

static void connect_port(LADSPA_Handle handle, unsigned long port, LADSPA_Data* data) {
    ((plugin*)handle)->port[port] = data;
}

static void activate(LADSPA_Handle handle) {
    plugin* p = (plugin*)handle;
    secousti_encoder_reset(p->encoder);
    secousti_decoder_reset(p->decoder);
    memset(p->fifo, 0, FIFO * sizeof *p->fifo);
    p->read = 0;
    p->written = p->delay;
}

static void slice(plugin* p, const float* in, float* out, size_t count) {
    size_t i;
    int64_t tokens, samples = 0;
    if (secousti_voice_estimator_push(p->voice, in, count) > 0) {
        secousti_voice_estimator_get(p->voice, p->g, p->dimension);
        secousti_decoder_set_voice(p->decoder, p->g, p->dimension);
    }
    tokens = secousti_encoder_push(p->encoder, in, count, p->tokens, p->token_capacity);
    if (tokens > 0) samples = secousti_decoder_push(p->decoder, p->tokens, (size_t)tokens, p->pcm, p->pcm_capacity);
    /* Input that is not finite is refused; its time passes all the same. */
    if (tokens < 0) memset(p->pcm, 0, (size_t)(samples = (int64_t)count) * sizeof *p->pcm);
    for (i = 0; samples > 0 && i < (size_t)samples; ++i) p->fifo[p->written++ % FIFO] = p->pcm[i];
    for (i = 0; i < count; ++i) out[i] = p->read < p->written ? p->fifo[p->read++ % FIFO] : 0.0F;
}

static void run(LADSPA_Handle handle, unsigned long samples) {
    plugin* p = (plugin*)handle;
    unsigned long at;
    for (at = 0; at < samples; at += SLICE) {
        slice(p, p->port[IN] + at, p->port[OUT] + at, samples - at < SLICE ? samples - at : SLICE);
    }
    if (p->port[LATENCY] != NULL) *p->port[LATENCY] = (LADSPA_Data)p->delay;
}

__attribute__((visibility("default"))) const LADSPA_Descriptor* ladspa_descriptor(unsigned long index) {
    static const LADSPA_PortDescriptor kinds[PORTS] = {LADSPA_PORT_INPUT | LADSPA_PORT_AUDIO,
                                                       LADSPA_PORT_OUTPUT | LADSPA_PORT_AUDIO,
                                                       LADSPA_PORT_OUTPUT | LADSPA_PORT_CONTROL};
    static const char* const names[PORTS] = {"Input", "Output", "latency"};
    static const LADSPA_PortRangeHint hints[PORTS];
    static const LADSPA_Descriptor descriptor = {
        .UniqueID = 4021, /* of LADSPA's range for development */
        .Label = "secousti",
        .Name = "Streaming speech codec",
        .Maker = "secousti",
        .Copyright = "Apache-2.0",
        .PortCount = PORTS,
        .PortDescriptors = kinds,
        .PortNames = names,
        .PortRangeHints = hints,
        .instantiate = instantiate,
        .connect_port = connect_port,
        .activate = activate,
        .run = run,
        .cleanup = cleanup,
    };
    return index == 0 ? &descriptor : NULL;
}

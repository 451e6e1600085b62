/* A host that loads the library while it runs, as a plug-in: secousti_dlopen_host LIBRARY MODEL IN.wav
 * Prints the tokens, one a line. Nothing is linked but the loader. */
#include <dlfcn.h>
#include <secousti.h>

#include "wav.h"

/* The functions in use, with the types of the header. POSIX gives functions and objects pointers of one size. */
#define FUNCTIONS(each)                                                                                          \
    each(secousti_abi_version) each(secousti_last_error) each(secousti_model_open) each(secousti_model_get_info) \
        each(secousti_model_release) each(secousti_encoder_create) each(secousti_encoder_push)                   \
            each(secousti_encoder_flush) each(secousti_encoder_max_tokens) each(secousti_encoder_destroy)

#define MEMBER(name) __typeof__(&name) name;
static struct {
    FUNCTIONS(MEMBER)
} api;

static int fail(const char* what) {
    fprintf(stderr, "secousti_dlopen_host: %s\n", what);
    return 1;
}

static void print_tokens(const int32_t* tokens, int64_t count) {
    int64_t i;
    for (i = 0; i < count; ++i) printf("%d\n", (int)tokens[i]);
}

int main(int argc, char** argv) {
    secousti_model* model = NULL;
    secousti_encoder* encoder = NULL;
    secousti_model_info info;
    float* pcm = NULL;
    int32_t* tokens;
    size_t samples = 0, capacity;
    int64_t count, rest;
    const char* error;
    void* library;
    if (argc != 4) return fail("usage: secousti_dlopen_host LIBRARY MODEL IN.wav");
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return fail(dlerror());
#define LOAD(name) \
    if ((*(void**)& api.name = dlsym(library, #name)) == NULL) return fail("the library has no " #name);
    FUNCTIONS(LOAD)
    if (api.secousti_abi_version() != SECOUSTI_ABI_VERSION) return fail("the library has another ABI version");

    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    if (api.secousti_model_open(argv[2], NULL, &model) != SECOUSTI_OK ||
        api.secousti_model_get_info(model, &info) != SECOUSTI_OK ||
        api.secousti_encoder_create(model, NULL, &encoder) != SECOUSTI_OK) {
        return fail(api.secousti_last_error());
    }
    error = wav_read(argv[3], info.sample_rate, &pcm, &samples);
    if (error != NULL) return fail(error);
    capacity = api.secousti_encoder_max_tokens(encoder, samples);
    tokens = (int32_t*)malloc((capacity + 1) * sizeof *tokens);
    if (tokens == NULL) return fail("out of memory");
    count = api.secousti_encoder_push(encoder, pcm, samples, tokens, capacity);
    if (count < 0) return fail(api.secousti_last_error());
    rest = api.secousti_encoder_flush(encoder, tokens + count, capacity - (size_t)count);
    if (rest < 0) return fail(api.secousti_last_error());
    print_tokens(tokens, count + rest);

    free(tokens);
    free(pcm);
    api.secousti_encoder_destroy(encoder);
    api.secousti_model_release(model);
    return dlclose(library) == 0 ? 0 : fail(dlerror());
}

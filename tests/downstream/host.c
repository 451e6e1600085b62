#include <secousti.h>
#include <secousti_container.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
    secousti_model* model = NULL;
    secousti_encoder* encoder = NULL;
    secousti_model_info info;
    float pcm[22050];
    int32_t tokens[100];
    int64_t count = 0, rest = 0;
    memset(pcm, 0, sizeof pcm);
    if (secousti_abi_version() != SECOUSTI_ABI_VERSION) return 2;
    if (secousti_model_open(argc > 1 ? argv[1] : "", NULL, &model) != SECOUSTI_OK ||
        secousti_encoder_create(model, NULL, &encoder) != SECOUSTI_OK) {
        printf("error: %s\n", secousti_last_error());
        return 1;
    }
    info.struct_size = sizeof info;
    if (secousti_model_get_info(model, &info) != SECOUSTI_OK) return 3;
    count = secousti_encoder_push(encoder, pcm, 22050, tokens, 100);
    if (count < 0) return 4;
    rest = secousti_encoder_flush(encoder, tokens + count, 100 - (size_t)count);
    if (rest < 0) return 5;
    printf("%s %d %d\n", secousti_version(), (int)(count + rest), (int)info.frame_size);
    secousti_encoder_destroy(encoder);
    secousti_model_release(model);
    return 0;
}

#include <inttypes.h>
#include <linked_model.h>
#include <secousti.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    secousti_model* model = NULL;
    secousti_model_info info;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    if (secousti_model_open_memory(linked_model, linked_model_size, NULL, &model) != SECOUSTI_OK ||
        secousti_model_get_info(model, &info) != SECOUSTI_OK) {
        printf("error: %s\n", secousti_last_error());
        return 1;
    }
    printf("%s %016" PRIx64 "\n", info.name, info.identity);
    secousti_model_release(model);
    return 0;
}

/* WAV files of the examples: mono, 16-bit or float. Functions return NULL, or what went wrong. */
#ifndef SECOUSTI_EXAMPLES_WAV_H
#define SECOUSTI_EXAMPLES_WAV_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char wav_message[600];

static inline const char* wav_error(const char* what, const char* path) {
    snprintf(wav_message, sizeof wav_message, "%s: %s", path, what);
    return wav_message;
}

static inline uint32_t wav_field(const unsigned char* bytes, int count) { /* little endian */
    uint32_t value = 0;
    while (count-- > 0) value = value << 8 | bytes[count];
    return value;
}

/* The samples of a file, to be freed by the caller. */
static inline const char* wav_read(const char* path, int rate, float** samples, size_t* count) {
    FILE* file = fopen(path, "rb");
    unsigned char head[16];
    int format = 0, bits = 0;
    *samples = NULL;
    *count = 0;
    if (file == NULL) return wav_error("cannot read it", path);
    if (fread(head, 1, 12, file) != 12 || memcmp(head, "RIFF", 4) != 0) {
        fclose(file);
        return wav_error("is no WAV file", path);
    }
    for (;;) {
        uint32_t size;
        if (fread(head, 1, 8, file) != 8) break;
        size = wav_field(head + 4, 4);
        if (memcmp(head, "fmt ", 4) == 0) {
            if (size < 16 || fread(head, 1, 16, file) != 16) break;
            format = (int)wav_field(head, 2);
            bits = (int)wav_field(head + 14, 2);
            if (wav_field(head + 2, 2) != 1 || wav_field(head + 4, 4) != (uint32_t)rate ||
                !((format == 1 && bits == 16) || (format == 3 && bits == 32))) {
                fclose(file);
                snprintf(wav_message, sizeof wav_message, "%s: expected mono, 16-bit or float, at %d Hz", path, rate);
                return wav_message;
            }
            size -= 16;
        } else if (memcmp(head, "data", 4) == 0 && bits != 0) {
            const size_t width = (size_t)bits / 8;
            unsigned char sample[4];
            size_t room = 0;
            for (; *count < size / width && fread(sample, width, 1, file) == 1; ++*count) {
                const uint32_t value = wav_field(sample, (int)width);
                if (*count == room) {
                    float* more = (float*)realloc(*samples, (room = 2 * room + 65536) * sizeof(float));
                    if (more == NULL) {
                        free(*samples);
                        fclose(file);
                        return wav_error("out of memory", path);
                    }
                    *samples = more;
                }
                if (bits == 16) {
                    (*samples)[*count] = (float)(int16_t)value / 32768.0F;
                } else {
                    memcpy(*samples + *count, &value, sizeof value);
                }
            }
            fclose(file);
            return NULL;
        }
        if (fseek(file, (long)(size + size % 2), SEEK_CUR) != 0) break;
    }
    fclose(file);
    return wav_error("is cut short", path);
}

static inline const char* wav_write(const char* path, const float* samples, size_t count, int rate) {
    const uint32_t size = (uint32_t)(2 * count), hertz = (uint32_t)rate;
    const uint32_t fields[] = {size + 36, 16, 0x00010001, hertz, 2 * hertz, 0x00100002, size};
    unsigned char head[45] =
        "RIFF....WAVEfmt "
        "...................."
        "data....";
    static const int at[] = {4, 16, 20, 24, 28, 32, 40};
    FILE* file = fopen(path, "wb");
    size_t i;
    int failed;
    if (file == NULL) return wav_error("cannot write it", path);
    for (i = 0; i < 28; ++i) head[at[i / 4] + (int)(i % 4)] = (unsigned char)(fields[i / 4] >> (8 * (i % 4)));
    failed = fwrite(head, 1, 44, file) != 44;
    for (i = 0; i < count && !failed; ++i) {
        const float limited = samples[i] < -1.0F ? -1.0F : samples[i] > 1.0F ? 1.0F : samples[i];
        const uint16_t value = (uint16_t)(int16_t)lrintf(limited * 32767.0F);
        const unsigned char bytes[2] = {(unsigned char)value, (unsigned char)(value >> 8)};
        failed = fwrite(bytes, 1, 2, file) != 2;
    }
    failed = fclose(file) != 0 || failed;
    return failed ? wav_error("cannot write it", path) : NULL;
}

#endif

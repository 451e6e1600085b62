/* Two people on the phone, over UDP on this machine: secousti_udp_call MODEL A.wav B.wav HEARD_BY_A.wav HEARD_BY_B.wav
 *     [loss=0.1] [jitter=40] [redundancy=4] [speed=1] [seed=1]
 *
 * Each end codes what its person says, sends packets, puts what comes in order (secousti_packet_reader is the jitter
 * buffer), conceals what does not come, and learns its person's voice, which it sends in band. Between them stands a
 * network that loses packets at random and delays each by up to `jitter` milliseconds, so that they overtake one
 * another. What each end plays is printed, token by token, so that it can be checked. */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <secousti_live.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "wav.h"

enum { TOKENS_PER_PACKET = 4, MAX_PACKET = 512, IN_FLIGHT = 256 };

typedef struct settings {
    secousti_model* model;
    secousti_model_info info;
    double loss, jitter, speed;
    int redundancy;
    unsigned seed;
} settings;

typedef struct endpoint {
    const settings* s;
    char name;
    int socket;
    struct sockaddr_in network; /* where its packets go */
    float *says, *hears;
    size_t samples, steps;
    const char* failed;
} endpoint;

/* One direction of the network. */
typedef struct direction {
    const settings* s;
    int socket;
    struct sockaddr_in to;
    unsigned random;
    size_t lost, passed;
    struct {
        double due;
        ssize_t size;
        unsigned char bytes[MAX_PACKET];
    } packet[IN_FLIGHT];
    _Atomic int* stop;
} direction;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void wait_until(double time) {
    struct timespec t;
    t.tv_sec = (time_t)time;
    t.tv_nsec = (long)(1e9 * (time - (double)t.tv_sec));
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static double uniform(unsigned* state) { /* xorshift (Marsaglia 2003) */
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return (double)*state / 4294967296.0;
}

/* A UDP socket on a free port of this machine that never blocks. */
static int open_socket(struct sockaddr_in* address) {
    socklen_t size = sizeof *address;
    const int s = socket(AF_INET, SOCK_DGRAM, 0);
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (s < 0 || bind(s, (struct sockaddr*)address, sizeof *address) != 0 ||
        getsockname(s, (struct sockaddr*)address, &size) != 0 || fcntl(s, F_SETFL, O_NONBLOCK) != 0) {
        return -1;
    }
    return s;
}

static void* network_thread(void* user) {
    direction* d = (direction*)user;
    while (!atomic_load(d->stop)) {
        const double time = now();
        int i;
        for (i = 0; i < IN_FLIGHT; ++i) {
            if (d->packet[i].size != 0 && d->packet[i].due <= time) {
                sendto(d->socket, d->packet[i].bytes, (size_t)d->packet[i].size, 0, (struct sockaddr*)&d->to,
                       sizeof d->to);
                d->packet[i].size = 0;
            }
            if (d->packet[i].size == 0) {
                const ssize_t size = recv(d->socket, d->packet[i].bytes, MAX_PACKET, 0);
                if (size <= 0) continue;
                if (uniform(&d->random) < d->s->loss) {
                    ++d->lost;
                    continue;
                }
                ++d->passed;
                d->packet[i].size = size;
                d->packet[i].due = time + uniform(&d->random) * d->s->jitter / 1000.0 / d->s->speed;
            }
        }
        wait_until(now() + 0.001 / d->s->speed);
    }
    return NULL;
}

static void print_voice(char name, const float* g, size_t count) {
    size_t i;
    flockfile(stdout);
    printf("%c voice", name);
    for (i = 0; i < count; ++i) printf(" %a", (double)g[i]);
    putchar('\n');
    funlockfile(stdout);
}

/* A call of one end: each step takes and gives frame_size samples. */
static void* endpoint_thread(void* user) {
    endpoint* e = (endpoint*)user;
    const settings* s = e->s;
    const size_t frame = (size_t)s->info.frame_size, dimension = (size_t)s->info.dimension;
    secousti_packet_options options;
    secousti_packet_writer* writer = NULL;
    secousti_packet_reader* reader = NULL;
    secousti_encoder* encoder = NULL;
    secousti_decoder* decoder = NULL;
    secousti_voice_estimator* voice = NULL;
    unsigned char packet[MAX_PACKET];
    int32_t tokens[8];
    float* g = (float*)malloc(dimension * sizeof *g);
    double due = now();
    secousti_packet_counts c;
    uint64_t restarts = 0;
    size_t step, written = 0;
    int64_t i;

    memset(&c, 0, sizeof c);
    c.struct_size = sizeof c;
    secousti_packet_options_init(&options, s->model);
    options.tokens_per_packet = TOKENS_PER_PACKET;
    options.redundancy = s->redundancy;
    options.voice_repeat = 50;
    /* Packets late by the jitter still come in time; and a packet more, since tokens wait for their packet. */
    options.depth = (int32_t)(s->jitter / 1000.0 * s->info.frame_rate) + 3 * TOKENS_PER_PACKET;
    if (g == NULL || secousti_packet_writer_create(&options, &writer) != SECOUSTI_OK ||
        secousti_packet_reader_create(&options, &reader) != SECOUSTI_OK ||
        secousti_encoder_create(s->model, NULL, &encoder) != SECOUSTI_OK ||
        secousti_decoder_create(s->model, NULL, &decoder) != SECOUSTI_OK ||
        secousti_voice_estimator_create(s->model, NULL, &voice) != SECOUSTI_OK) {
        e->failed = secousti_last_error();
    }
    for (step = 0; step < e->steps && e->failed == NULL; ++step) {
        const float* says = e->says + step * frame;
        const int64_t renewed = secousti_voice_estimator_push(voice, says, frame);
        const int64_t count = secousti_encoder_push(encoder, says, frame, tokens, 8);
        int64_t samples = 0;
        int32_t token = -1;
        ssize_t size;
        if (renewed < 0 || count < 0) e->failed = "coding failed";
        if (renewed > 0) {
            secousti_voice_estimator_get(voice, g, dimension);
            secousti_packet_writer_set_voice(writer, g, dimension);
        }
        for (i = 0; i < count; ++i) {
            size = (ssize_t)secousti_packet_writer_push(writer, tokens[i], packet, sizeof packet);
            if (size > 0) {
                sendto(e->socket, packet, (size_t)size, 0, (struct sockaddr*)&e->network, sizeof e->network);
            }
        }

        while ((size = recv(e->socket, packet, sizeof packet, 0)) > 0) {
            secousti_packet_reader_push(reader, packet, (size_t)size);
        }
        secousti_packet_reader_get_counts(reader, &c);
        if (c.restarts != restarts) printf("%c restart\n", e->name);
        restarts = c.restarts;
        if (secousti_packet_reader_take_voice(reader, g, dimension) > 0) {
            secousti_decoder_set_voice(decoder, g, dimension);
            print_voice(e->name, g, dimension);
        }
        switch (secousti_packet_reader_pop(reader, &token)) {
            case SECOUSTI_PACKET_TOKEN:
                samples = secousti_decoder_push(decoder, &token, 1, e->hears + written, 8 * frame);
                printf("%c token %d\n", e->name, (int)token);
                break;
            case SECOUSTI_PACKET_LOST:
                samples = secousti_decoder_push(decoder, NULL, 1, e->hears + written, 8 * frame);
                printf("%c lost\n", e->name);
                break;
            default: /* nothing yet: silence, which `hears` holds */
                printf("%c wait\n", e->name);
                samples = (int64_t)frame;
        }
        if (samples < 0) e->failed = "decoding failed";
        written += samples > 0 ? (size_t)samples : 0;
        due += (double)frame / s->info.sample_rate / s->speed;
        wait_until(due);
    }
    if (e->failed == NULL) {
        secousti_packet_reader_get_counts(reader, &c);
        printf("%c packets %d late %d known %d stray %d damaged %d tokens %d recovered %d lost %d\n", e->name,
               (int)c.packets, (int)c.late, (int)c.known, (int)c.stray, (int)c.damaged, (int)c.tokens, (int)c.recovered,
               (int)c.lost);
    }
    secousti_packet_writer_destroy(writer);
    secousti_packet_reader_destroy(reader);
    secousti_encoder_destroy(encoder);
    secousti_decoder_destroy(decoder);
    secousti_voice_estimator_destroy(voice);
    free(g);
    return NULL;
}

static int fail(const char* what) {
    fprintf(stderr, "secousti_udp_call: %s\n", what);
    return 1;
}

static double option(int argc, char** argv, const char* name, double value) {
    const size_t length = strlen(name);
    int i;
    for (i = 6; i < argc; ++i) {
        if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=') value = atof(argv[i] + length + 1);
    }
    return value;
}

int main(int argc, char** argv) {
    static settings s;
    static endpoint ends[2];
    static direction ways[2];
    _Atomic int stop = 0;
    pthread_t threads[4];
    const char* error = NULL;
    size_t steps = 0;
    int i;
    if (argc < 6)
        return fail("usage: secousti_udp_call MODEL A.wav B.wav HEARD_BY_A.wav HEARD_BY_B.wav [NAME=VALUE...]");
    s.loss = option(argc, argv, "loss", 0.1);
    s.jitter = option(argc, argv, "jitter", 40);
    s.redundancy = (int)option(argc, argv, "redundancy", TOKENS_PER_PACKET);
    s.speed = option(argc, argv, "speed", 1);
    s.seed = (unsigned)option(argc, argv, "seed", 1);
    s.info.struct_size = sizeof s.info;
    if (secousti_model_open(argv[1], NULL, &s.model) != SECOUSTI_OK ||
        secousti_model_get_info(s.model, &s.info) != SECOUSTI_OK) {
        return fail(secousti_last_error());
    }
    for (i = 0; i < 2 && error == NULL; ++i) {
        error = wav_read(argv[2 + i], s.info.sample_rate, &ends[i].says, &ends[i].samples);
        if (ends[i].samples / (size_t)s.info.frame_size > steps) steps = ends[i].samples / (size_t)s.info.frame_size;
    }
    if (error != NULL) return fail(error);
    steps += (size_t)s.info.frame_rate; /* a second for what is still on its way */
    for (i = 0; i < 2; ++i) {
        endpoint* e = &ends[i];
        struct sockaddr_in address;
        const size_t total = (steps + 8) * (size_t)s.info.frame_size;
        e->s = ways[i].s = &s;
        e->name = (char)('A' + i);
        e->steps = steps;
        e->says = (float*)realloc(e->says, total * sizeof *e->says);
        e->hears = (float*)calloc(total, sizeof *e->hears);
        if (e->says == NULL || e->hears == NULL) return fail("out of memory");
        memset(e->says + e->samples, 0, (total - e->samples) * sizeof *e->says);
        e->socket = open_socket(&ways[1 - i].to); /* what the other direction leads to */
        ways[i].socket = open_socket(&address);
        e->network = address;
        ways[i].random = 2654435769U * (s.seed + (unsigned)i) | 1U;
        ways[i].stop = &stop;
        if (e->socket < 0 || ways[i].socket < 0) return fail("no UDP sockets on this machine");
    }
    for (i = 0; i < 4; ++i) {
        if (pthread_create(&threads[i], NULL, i < 2 ? network_thread : endpoint_thread,
                           i < 2 ? (void*)&ways[i] : (void*)&ends[i - 2]) != 0) {
            return fail("no threads");
        }
    }
    for (i = 2; i < 4; ++i) pthread_join(threads[i], NULL);
    atomic_store(&stop, 1);
    for (i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
    for (i = 0; i < 2 && error == NULL; ++i) {
        error = ends[i].failed != NULL
                    ? ends[i].failed
                    : wav_write(argv[4 + i], ends[i].hears, steps * (size_t)s.info.frame_size, s.info.sample_rate);
        printf("%c network lost %zu of %zu packets\n", ends[i].name, ways[i].lost, ways[i].lost + ways[i].passed);
        close(ends[i].socket);
        close(ways[i].socket);
        free(ends[i].says);
        free(ends[i].hears);
    }
    secousti_model_release(s.model);
    return error == NULL ? 0 : fail(error);
}

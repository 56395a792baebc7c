/* What the timing programs share: clock, order statistics, filled device memory, the machine's name. bench_values and bench_weight: the CPU device only. */
#ifndef COADOR_BENCH_H
#define COADOR_BENCH_H
#include "kernels/device.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BENCH_MAX 101 /* most runs */
#define UNUSED __attribute__((unused))

/* Seconds. BENCH_CLOCK=cpu: the calling thread's processor time, for 1 thread on a machine that has other work. */
static inline double bench_now(void) {
    static clockid_t clock = -1;
    struct timespec t;
    if (clock < 0) clock = getenv("BENCH_CLOCK") ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int bench_order(const void *a, const void *b) {
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}

UNUSED static void bench_sort(double *s, int n) { qsort(s, (size_t)n, sizeof *s, bench_order); }

UNUSED static void *bench_get(struct dev *d, size_t bytes) {
    void *p;
    if (d->alloc(d->ctx, &p, bytes) != K_OK) {
        fprintf(stderr, "no memory\n");
        exit(4);
    }
    return p;
}

/* Values of `each` (2 or 4) bytes of about ±0.01, bf16 or f32, on any device. */
UNUSED static void *bench_small(struct dev *d, size_t values, size_t each) {
    size_t bytes = values * each;
    uint16_t *host = malloc(bytes);
    uint32_t seed = 3;
    for (size_t i = 0; i < bytes / 2; i++) host[i] = (uint16_t)(0x3c00 | ((seed = seed * 1664525 + 1013904223) >> 16 & 0x80ff));
    void *p = bench_get(d, bytes);
    if (d->upload(d->ctx, p, host, bytes) != K_OK) exit(4);
    free(host);
    return p;
}

/* Median seconds of one run of what is queued on d, of runs of four after two that warm it; ends the program where the device fails. */
UNUSED static double bench_queued(struct dev *d, const char *what, void (*run)(void *), void *arg) {
    enum { WARM = 2, RUNS = 9, EACH = 4 };
    double t[RUNS];
    for (int i = -WARM; i < RUNS; i++) {
        double t0 = bench_now();
        for (int n = 0; n < EACH; n++) run(arg);
        if (d->sync(d->ctx) != K_OK) {
            fprintf(stderr, "%s: %s\n", what, d->error_text(d->ctx));
            exit(4);
        }
        if (i >= 0) t[i] = (bench_now() - t0) / EACH;
    }
    bench_sort(t, RUNS);
    return t[RUNS / 2];
}

/* n values of about ±0.1 */
UNUSED static float *bench_values(struct dev *d, int64_t n) {
    float *p = bench_get(d, (size_t)n * sizeof *p);
    unsigned seed = 1;
    for (int64_t i = 0; i < n; i++) p[i] = ((float)rand_r(&seed) / (float)RAND_MAX - 0.5f) * 0.2f;
    return p;
}

UNUSED static struct weight bench_weight(struct dev *d, enum dtype t, int64_t rows, int64_t cols) {
    size_t bytes = dtype_bytes(t, rows * cols), blk = dtype_block_bytes(t);
    uint8_t *p = bench_get(d, bytes);
    unsigned seed = 1;
    for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)(rand_r(&seed) >> 7);
    if (blk <= 4)
        for (size_t i = blk - 1; i < bytes; i += blk) p[i] = 0x3d; /* exponents of about 2^-5 */
    else
        for (size_t i = 0; i < bytes; i += blk) {
            p[i + 1] = 0x14; /* f16 scales of about 2^-10 */
            if (t == DT_Q4_1) p[i + 3] = 0x94;
        }
    return weight_plain(t, rows, cols, p);
}

UNUSED static void bench_machine(void) {
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "model name", 10)) {
            printf("# %s", strchr(line, ':') + 2);
            break;
        }
    if (f) fclose(f);
}
#endif

/* What the kernel tests share: guarded buffers, the devices under test, and the comparison of each with the reference. */
#ifndef COADOR_KTEST_H
#define COADOR_KTEST_H
#include "kernels/cpu/cpu.h"
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/kernels/card.h"

#define UNUSED __attribute__((unused))
#define EPS32 0x1p-24 /* half a unit in the last place of f32: the error of one rounding */

/* ---- devices ---- */
/* PLAIN: two threads, the path for machines without AVX2. CARD: only where the environment's COADOR_DEVICE is cuda; it computes
   in card_act, bf16 or f16, so all values are such then. */
enum { REF, CPU1, CPU2, CPU3, PLAIN, CARD, NDEV };
static struct dev *devs[NDEV];
static int n_devs = CARD;
static enum dtype card_act = DT_BF16;

/* ---- buffers: guard bytes on both sides, and only 4-byte aligned, as a row within a tensor may be ---- */
#define GUARD 68
#define MAX_BUFS 256
static struct { unsigned char *p; size_t bytes; } bufs[MAX_BUFS];
static int n_bufs;

UNUSED static void *buf(size_t bytes) {
    assert_true(n_bufs < MAX_BUFS);
    unsigned char *p = aligned_alloc(64, (bytes + 2 * GUARD + 63) / 64 * 64);
    assert_non_null(p);
    memset(p, 0xa5, bytes + 2 * GUARD);
    bufs[n_bufs].p = p;
    bufs[n_bufs++].bytes = bytes;
    return p + GUARD;
}

/* Every guard must be whole; all buffers are freed. */
UNUSED static void end_bufs(const char *what) {
    for (int i = 0; i < n_bufs; i++) {
        for (size_t j = 0; j < GUARD; j++)
            if (bufs[i].p[j] != 0xa5 || bufs[i].p[GUARD + bufs[i].bytes + j] != 0xa5) fail_msg("%s: buffer %d (%zu bytes) overrun at %s byte %zu", what, i, bufs[i].bytes, bufs[i].p[j] != 0xa5 ? "leading" : "trailing", j);
        free(bufs[i].p);
    }
    n_bufs = 0;
}

static uint64_t rng_state = 88172645463325252u;
UNUSED static uint64_t rng(void) { /* xorshift64, Marsaglia 2003 */
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    return rng_state ^= rng_state << 17;
}
UNUSED static float uniform(void) { return (float)((double)(rng() >> 40) * 0x1p-23 - 1); } /* [-1, 1) */
/* Roughly normal, so that softmax and silu see both tails */
UNUSED static float normal(void) { return (uniform() + uniform() + uniform() + uniform()) * 0.866f; }

static inline float rounded(float x) { return act_value(card_act, act_of(card_act, x)); }
UNUSED static float *values(int64_t n) {
    float *p = buf((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++) p[i] = n_devs == NDEV ? rounded(normal()) : normal();
    return p;
}

UNUSED static float *copy_of(const float *x, int64_t n) {
    float *p = buf((size_t)n * sizeof *p);
    memcpy(p, x, (size_t)n * sizeof *p);
    return p;
}


UNUSED static int open_devs(void **state) {
    const char *why;
    const char *asked = getenv("COADOR_DEVICE");
    for (int i = 0; i < CARD; i++)
        if (dev_open(&devs[i], i == REF ? "ref" : "cpu", i == PLAIN ? 2 : i ? i : 1, &why) != K_OK) return -1;
    devs[PLAIN]->ctx->avx2 = false;
    if (!asked || strncmp(asked, "cuda", 4)) {
        print_message("# not on a card: COADOR_DEVICE=cuda asks for it\n");
        return 0;
    }
    n_devs = NDEV;
    if (card_open(&devs[CARD], asked, &why) == K_OK) {
        card_act = card_of(devs[CARD]->ctx)->d->act;
        print_message("# %s in %s\n", asked, dtype_name(card_act));
        return 0;
    }
    print_message("# %s: %s\n", asked, why);
    return -1;
}

UNUSED static int close_devs(void **state) {
    for (int i = 0; i < n_devs; i++)
        if (devs[i]) devs[i]->close(devs[i]);
    return 0;
}

/* ||got - want|| / ||want||; infinities must agree in place and sign, a NaN in either is infinitely wrong. */
UNUSED static double distance(const float *got, const float *want, int64_t n) {
    double diff = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(got[i]) || isnan(want[i])) return INFINITY;
        if (isinf(got[i]) || isinf(want[i])) {
            if (got[i] != want[i]) return INFINITY;
            continue;
        }
        diff += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += (double)want[i] * want[i];
    }
    return diff == 0 ? 0 : norm > 0 ? sqrt(diff / norm) : INFINITY;
}

/* A card's activations have 16 bits: a result is off by half a unit in its last place, by twice that where it was rounded before;
   on average a value's error is half of that. */
#define CARD_BOUND act_unit(card_act)
/* Beside that, results nearer to 0 than normal numbers (f16: 2^-14) are off by half of the least of all. */
static double card_least(const float *want, int64_t n) {
    double norm = 0;
    for (int64_t i = 0; i < n; i++) norm += isfinite(want[i]) ? (double)want[i] * want[i] : 0;
    return norm > 0 ? act_least(card_act) / 2 * sqrt((double)n / norm) : 0;
}
/* Its f32 results: tensor cores cut sums off where a CPU rounds them. */
static double card_f32(double bound) { return bound == 0 ? 0 : 8 * bound + 0x1p-20; }

static void check_with(float *const out[NDEV], int64_t n, double bound, double card, const char *what) {
    for (int i = CPU1; i < n_devs; i++) {
        double d = distance(out[i], out[REF], n), allowed = i == CARD ? card : bound;
        if (!(d <= allowed)) fail_msg("%s: device %d is off by %.3g, allowed %.3g", what, i, d, allowed);
    }
    if (memcmp(out[CPU1], out[CPU2], (size_t)n * sizeof(float)) || memcmp(out[CPU1], out[CPU3], (size_t)n * sizeof(float))) fail_msg("%s: bytes depend on the number of threads", what);
    for (int i = 0; i < n_devs; i++)
        if (devs[i]->sync(devs[i]->ctx) != K_OK) fail_msg("%s: device %d: %s", what, i, devs[i]->error_text(devs[i]->ctx));
}

/* out[i]: what devs[i] made of the same input. Each is within `bound` of the reference, and threads change no bit. */
UNUSED static void check_outputs(float *const out[NDEV], int64_t n, double bound, const char *what) { check_with(out, n, bound, card_f32(bound), what); }
/* The same for activations, with what a card may be off by. */
UNUSED static void check_act_within(float *const out[NDEV], int64_t n, double bound, double card, const char *what) { check_with(out, n, bound, (card > bound ? card : bound) + card_least(out[REF], n), what); }
UNUSED static void check_act(float *const out[NDEV], int64_t n, double bound, const char *what) { check_act_within(out, n, bound, CARD_BOUND, what); }

/* One output a device, each starting as `from` (NULL: unset memory, which reads as a NaN-like pattern) */
UNUSED static void outputs(float *out[NDEV], const float *from, int64_t n) {
    for (int i = 0; i < n_devs; i++) {
        out[i] = from ? copy_of(from, n) : buf((size_t)n * sizeof(float));
        if (!from) memset(out[i], 0xff, (size_t)n * sizeof(float)); /* NaN: an op that reads what it should set shows */
    }
}
#endif

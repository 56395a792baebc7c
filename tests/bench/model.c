/* Decoding and reading of prompts by a real model, for tests/bench/decode.py: commands on stdin, seconds on stdout.
     decode B N    B sequences with 8 tokens each in the cache go on for N tokens, greedily
     prefill N     N tokens of one sequence, logits of the last
   build/tests/bench/model MODEL f32|int8 [THREADS] */
#include "common/model/decode.h"
#include "tests/bench/bench.h"

#define MOST 512
#define START 8

static struct decoder *d;
static float *logits;
static int V;

static int32_t argmax(const float *x) {
    int32_t best = 0;
    for (int i = 1; i < V; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static void feed(const int32_t *ids, const int32_t *slot, int R, const int32_t *at, int M) {
    struct err e = ERR_INIT;
    if (decoder_feed(d, ids, slot, R, at, M, logits, &e) == 0) return;
    fprintf(stderr, "%s\n", e.msg);
    exit(3);
}

static double decode(int B, int n) {
    static int32_t ids[MOST], slot[MOST], at[MOST];
    for (int i = 0; i < B * START; i++) ids[i] = (i * 37 + 1000) % V, slot[i] = i / START, at[i / START] = i;
    feed(ids, slot, B * START, at, B);
    double t0 = bench_now();
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < B; i++) ids[i] = argmax(logits + (size_t)i * (size_t)V), slot[i] = at[i] = i;
        feed(ids, slot, B, at, B);
    }
    double s = bench_now() - t0;
    for (int i = 0; i < B; i++) decoder_reset(d, i);
    return s;
}

static double prefill(int n) {
    static int32_t ids[MOST], zero[MOST];
    int32_t last = n - 1;
    for (int i = 0; i < n; i++) ids[i] = (i * 37 + 1000) % V;
    double t0 = bench_now();
    feed(ids, zero, n, &last, 1);
    double s = bench_now() - t0;
    decoder_reset(d, 0);
    return s;
}

int main(int argc, char **argv) {
    struct err e = ERR_INIT;
    struct dev *dev;
    const char *why;
    char what[16];
    int a, b;
    if (argc < 3 || dev_open(&dev, "cpu", argc > 3 ? atoi(argv[3]) : 2, &why) != K_OK) return 2;
    struct model *m = model_open(argv[1], dev, BASE_KEEP, &e);
    d = m ? decoder_new(m, NULL, 0, 64, 64 * 256, MOST, &e) : NULL;
    if (!d || decoder_compute(d, strcmp(argv[2], "int8") ? COMPUTE_F32 : COMPUTE_INT8, &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        return 3;
    }
    V = m->cfg.V;
    logits = malloc((size_t)64 * (size_t)V * sizeof *logits);
    while (logits && scanf("%15s %d", what, &a) == 2) {
        if (!strcmp(what, "decode")) {
            if (scanf("%d", &b) != 1 || a < 1 || a * START > MOST || b < 1 || b > 240) return 2;
            printf("%.6f\n", decode(a, b));
        } else if (!strcmp(what, "prefill") && a > 0 && a <= MOST) {
            printf("%.6f\n", prefill(a));
        } else {
            return 2;
        }
        fflush(stdout);
    }
    decoder_free(d);
    model_close(m);
    dev->close(dev);
    free(logits);
    return 0;
}

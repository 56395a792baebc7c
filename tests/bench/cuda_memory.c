/* Speed of a card's ops that reading and writing memory bounds, at the shape of Llama-3.2-1B, 16,384 rows, rank 16: JSON lines of GB/s,
   each input counted once and each output once. LoRA's thin products stand alone: adapted_bwd without gradients of x and A.
   cuda_memory DEVICE [ROWS] */
#include "tests/bench/bench.h"

enum { RANK = 16, HEADS = 32, F = 8192, C = 2048, VOCAB = 128256, CHUNK = 2048 };
struct work {
    struct dev *d;
    int R, n, N[ADAPTED_MOST], K;
    void *big[4]; /* (R,F) act: dy, x, results */
    void *h, *dh, *logits;
    float *factor[2 * ADAPTED_MOST], *grad[2 * ADAPTED_MOST], *rows, *norm;
    int32_t *pos, *target;
};

static void *numbers(struct dev *d, int n, int step) {
    int32_t *host = malloc((size_t)n * 4);
    for (int i = 0; i < n; i++) host[i] = i * step;
    void *p = bench_get(d, (size_t)n * 4);
    if (d->upload(d->ctx, p, host, (size_t)n * 4) != K_OK) exit(4);
    free(host);
    return p;
}

static void make(struct work *w) {
    struct dev *d = w->d;
    size_t R = (size_t)w->R;
    for (int i = 0; i < 4; i++) w->big[i] = bench_small(d, R * F, 2);
    w->h = bench_small(d, R * RANK * ADAPTED_MOST, 2);
    w->dh = bench_small(d, R * RANK * ADAPTED_MOST, 2);
    w->logits = bench_small(d, (size_t)CHUNK * VOCAB, 2);
    for (int j = 0; j < 2 * ADAPTED_MOST; j++) w->factor[j] = bench_small(d, (size_t)RANK * F, 4), w->grad[j] = bench_small(d, (size_t)RANK * F, 4);
    w->rows = bench_small(d, R, 4);
    w->norm = bench_small(d, F, 4);
    w->pos = numbers(d, w->R, 1);
    w->target = numbers(d, CHUNK, 3);
}

static struct adapted adapted_of(const struct work *w, struct weight *x) {
    struct adapted a = {.n = w->n, .r = RANK, .s = 2, .w = x};
    for (int j = 0; j < w->n; j++) {
        x[j] = weight_plain(DT_BF16, w->N[j], w->K, NULL);
        a.A[j] = w->factor[j];
        a.B[j] = w->factor[ADAPTED_MOST + j];
    }
    return a;
}
#define OP(name, call) static void name(void *arg) { struct work *w = arg; struct dev *d = w->d; struct kctx *k = d->ctx; int64_t n = (int64_t)w->R * F; (void)n; call; }
OP(copy, d->copy(k, w->big[1], w->big[0], (size_t)n * 2))
OP(dh_db, struct weight x[ADAPTED_MOST]; struct adapted a = adapted_of(w, x); d->adapted_bwd(k, NULL, NULL, w->grad, w->grad + ADAPTED_MOST, (const void *const *)w->big, NULL, w->h, w->dh, &a, w->R))
OP(h, d->lora_down(k, w->h, w->big[0], w->factor[0], w->R, w->n * RANK, w->K))
OP(da, d->lora_down_bwd(k, 0, NULL, w->grad[0], w->dh, w->big[0], w->factor[0], w->R, w->n * RANK, w->K))
OP(swiglu, d->swiglu(k, w->big[2], w->big[0], w->big[1], n))
OP(swiglu_bwd_again, d->swiglu_bwd_again(k, w->big[0], w->big[1], w->big[3], w->big[2], w->big[0], w->big[1], n))
OP(swiglu_adapted, if (!d->swiglu_adapted(k, w->big[2], w->h, w->big[0], w->big[1], w->factor[0], NULL, F, RANK, w->R)) exit(6))
OP(swiglu_adapted_bwd, struct weight x[ADAPTED_MOST]; struct adapted a = adapted_of(w, x);
   if (!d->swiglu_adapted_bwd(k, w->big[0], w->big[1], w->big[2], w->big[0], w->big[1], w->grad[0], w->dh, w->grad + ADAPTED_MOST, w->h, NULL, &a, w->R)) exit(6))
OP(rmsnorm, d->rmsnorm(k, w->big[1], w->rows, w->big[0], w->norm, 1e-5f, w->R, C))
OP(rmsnorm_bwd, d->rmsnorm_bwd(k, w->big[2], w->big[1], w->big[0], w->norm, w->rows, w->R, C))
OP(rope, d->rope(k, w->big[0], w->pos, w->norm, 1, w->R, HEADS, 64))
OP(cross_entropy, d->cross_entropy(k, w->rows, w->logits, w->target, w->norm, CHUNK, VOCAB))

static void timed(const char *op, const char *shape, struct work *w, void (*run)(void *), int64_t values) {
    double t = bench_queued(w->d, op, run, w);
    printf("{\"op\":\"%s\",\"shape\":\"%s\",\"rows\":%d,\"ms\":%.4f,\"gb_s\":%.0f}\n", op, shape, w->R, t * 1e3, (double)values * 2 / t / 1e9);
    fflush(stdout);
}

int main(int argc, char **argv) {
    static const struct shape { const char *name; int n, K, N[ADAPTED_MOST]; } shapes[] = {{"q k v", 3, C, {2048, 512, 512}}, {"o", 1, C, {2048}}, {"gate up", 2, C, {F, F}}, {"down", 1, F, {2048}}};
    struct work w = {.R = argc > 2 ? atoi(argv[2]) : 16384};
    const char *why = "";
    if (argc < 2) return 2;
    if (dev_open(&w.d, argv[1], 0, &why) != K_OK || !w.d->adapted) return fprintf(stderr, "no card: %s\n", why), 5;
    make(&w);
    int64_t R = w.R;
    timed("copy", "(R,F)", &w, copy, 2 * R * F);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int64_t wide = 0;
        w.n = shapes[i].n;
        w.K = shapes[i].K;
        for (int j = 0; j < w.n; j++) wide += w.N[j] = shapes[i].N[j];
        timed("dh, dB", shapes[i].name, &w, dh_db, R * wide);
        timed("h", shapes[i].name, &w, h, R * w.K);
        timed("dA", shapes[i].name, &w, da, R * w.K);
    }
    timed("swiglu", "(R,F)", &w, swiglu, 3 * R * F);
    timed("swiglu_bwd_again", "(R,F)", &w, swiglu_bwd_again, 6 * R * F);
    w.n = 2;
    w.K = C;
    w.N[0] = w.N[1] = F;
    if (w.d->swiglu_adapted) timed("swiglu_adapted", "(R,F)", &w, swiglu_adapted, 3 * R * F); /* swiglu, h of down */
    if (w.d->swiglu_adapted_bwd) timed("swiglu_adapted_bwd", "(R,F)", &w, swiglu_adapted_bwd, 5 * R * F); /* swiglu_bwd_again, dh and dB of gate and up, dA of down */
    timed("rmsnorm", "(R,C)", &w, rmsnorm, 2 * R * C);
    timed("rmsnorm_bwd", "(R,C)", &w, rmsnorm_bwd, 4 * R * C);
    timed("rope", "(R,C)", &w, rope, 2 * R * C);
    timed("cross_entropy", "(2048,V)", &w, cross_entropy, 2 * (int64_t)CHUNK * VOCAB);
    w.d->close(w.d);
    return 0;
}

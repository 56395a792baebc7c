/* Speed of a card's products at the shape of Llama-3.2-1B, 16,384 rows, rank 16: JSON lines of TFLOP/s of the frozen products, alone
   (linear, linear_dx: cuBLASLt) and with LoRA's shares and gradients (adapted, adapted_bwd, and those in e4m3).
   cuda_ops DEVICE [ROWS] */
#include "tests/bench/bench.h"

enum { RANK = 16 };
static const struct shape { const char *name; int n, K, N[3]; } shapes[] = {{"q k v", 3, 2048, {2048, 512, 512}}, {"o", 1, 2048, {2048}}, {"gate up", 2, 2048, {8192, 8192}}, {"down", 1, 8192, {2048}}};
struct work { struct dev *d; int R; struct weight w[3]; struct adapted a; void *x, *dx, *h, *dh, *y[3], *onto; float *dA[3], *dB[3]; };

static void make(struct work *w, const struct shape *s) {
    struct dev *d = w->d;
    size_t R = (size_t)w->R;
    w->a = (struct adapted){.n = s->n, .r = RANK, .s = 2, .w = w->w};
    w->x = bench_small(d, R * (size_t)s->K, 2);
    w->dx = bench_small(d, R * (size_t)s->K, 2);
    w->h = bench_small(d, R * RANK * 3, 2);
    w->dh = bench_small(d, R * RANK * 3, 2);
    for (int j = 0; j < s->n; j++) {
        w->w[j] = weight_plain(DT_BF16, s->N[j], s->K, bench_small(d, (size_t)s->N[j] * (size_t)s->K, 2));
        w->y[j] = bench_small(d, R * (size_t)s->N[j], 2);
        w->a.A[j] = bench_small(d, RANK * (size_t)s->K, 4);
        w->a.B[j] = bench_small(d, RANK * (size_t)s->N[j], 4);
        w->dA[j] = bench_small(d, RANK * (size_t)s->K, 4);
        w->dB[j] = bench_small(d, RANK * (size_t)s->N[j], 4);
    }
}

static void products(void *arg) {
    struct work *w = arg;
    for (int j = 0; j < w->a.n; j++) w->d->linear(w->d->ctx, 0, w->y[j], w->x, &w->w[j], w->R);
}
static void products_dx(void *arg) {
    struct work *w = arg;
    for (int j = 0; j < w->a.n; j++) w->d->linear_dx(w->d->ctx, j > 0, w->dx, w->y[j], &w->w[j], w->R);
}
static void adapted(void *arg) {
    struct work *w = arg;
    w->d->adapted(w->d->ctx, w->a.n == 1 ? w->y[0] : NULL, w->y, w->x, w->x, w->h, &w->a, w->R);
}
static void adapted_bwd(void *arg) {
    struct work *w = arg;
    w->d->adapted_bwd(w->d->ctx, w->dx, NULL, w->dA, w->dB, (const void *const *)w->y, w->x, w->h, w->dh, &w->a, w->R);
}

static void timed(const char *op, const struct shape *s, struct work *w, void (*run)(void *)) {
    double flop = 0, t = bench_queued(w->d, op, run, w);
    for (int j = 0; j < s->n; j++) flop += 2.0 * w->R * s->K * s->N[j];
    printf("{\"op\":\"%s\",\"shape\":\"%s\",\"rows\":%d,\"ms\":%.3f,\"tflop_s\":%.0f}\n", op, s->name, w->R, t * 1e3, flop / t / 1e12);
    fflush(stdout);
}

int main(int argc, char **argv) {
    struct dev *d;
    const char *why = "";
    if (argc < 2) return 2;
    if (dev_open(&d, argv[1], 0, &why) != K_OK || !d->adapted) return fprintf(stderr, "no card: %s\n", why), 5;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct work w = {.d = d, .R = argc > 2 ? atoi(argv[2]) : 16384};
        make(&w, &shapes[i]);
        timed("linear", &shapes[i], &w, products);
        timed("adapted", &shapes[i], &w, adapted);
        w.a.e4m3 = d->e4m3;
        if (d->e4m3) timed("adapted e4m3", &shapes[i], &w, adapted), timed("adapted_bwd e4m3", &shapes[i], &w, adapted_bwd);
        w.a.e4m3 = false;
        timed("linear_dx", &shapes[i], &w, products_dx);
        timed("adapted_bwd", &shapes[i], &w, adapted_bwd);
    }
    d->close(d);
    return 0;
}

/* Time of the products of one decoding step of SmolLM2-135M (30 layers of Q4_1, head Q8_0, every weight its own memory) for
   1 to 16 rows, and of attention over a cache: min and median of n runs.
   make BUILD=build build/tests/bench/decode && build/tests/bench/decode [threads [runs [context]]] */
#include "tests/bench/bench.h"

enum { C = 576, F = 1536, V = 49152, H = 9, G = 3, D = 64, LAYERS = 30, MOST = 16 };
static const int shapes[7][2] = {{C, C}, {G * D, C}, {G * D, C}, {C, C}, {F, C}, {F, C}, {C, F}};

static void products(struct dev *d, struct weight (*w)[7], const struct weight *head, float *x, float *y, int R) {
    for (int l = 0; l < LAYERS; l++)
        for (int m = 0; m < 7; m++) d->linear(d->ctx, 0, y, x, &w[l][m], R);
    d->linear(d->ctx, 0, y, x, head, R);
}

static void cached(struct dev *d, float *o, const float *q, const struct kv_view *c, const int32_t *seq, const int32_t *pos, int R) {
    for (int l = 0; l < LAYERS; l++) d->attention_cached(d->ctx, o, q, c, seq, pos, R, H, G, D, 0.125f);
}

static void line(const char *what, int R, double *s, int n) {
    bench_sort(s, n);
    printf("%-10s %3d rows %9.3f %9.3f ms  %8.1f tokens/s if that were all\n", what, R, s[0] * 1e3, s[n / 2] * 1e3, R / s[0]);
}

int main(int argc, char **argv) {
    static struct weight w[LAYERS][7];
    int threads = argc > 1 ? atoi(argv[1]) : 2, runs = argc > 2 ? atoi(argv[2]) : 15, context = argc > 3 ? atoi(argv[3]) : 500, pages = context / KV_BLOCK + 1;
    struct dev *d;
    const char *why;
    double s[BENCH_MAX];
    if (runs < 1 || runs > BENCH_MAX || context < 1 || dev_open(&d, "cpu", threads, &why) != K_OK) return 2;
    bench_machine();
    printf("# %d threads, %s; n = %d: best, median\n", threads, dev_cpu_features(), runs);
    for (int l = 0; l < LAYERS; l++)
        for (int m = 0; m < 7; m++) w[l][m] = bench_weight(d, DT_Q4_1, shapes[m][0], shapes[m][1]);
    struct weight head = bench_weight(d, DT_Q8_0, V, C);
    float *x = bench_values(d, MOST * F), *y = bench_values(d, (int64_t)MOST * V);
    int64_t cache = (int64_t)MOST * pages * G * KV_BLOCK * D;
    int32_t seq[MOST], pos[MOST], *table = bench_get(d, (size_t)(MOST * pages) * sizeof *table);
    for (int i = 0; i < MOST; i++) seq[i] = i, pos[i] = context - 1;
    for (int i = 0; i < MOST * pages; i++) table[i] = i;
    struct kv_view view = {bench_values(d, cache), bench_values(d, cache), table, pages};
    for (int R = 1; R <= MOST; R = R < 4 ? R + 1 : R * 2) {
        for (int i = -1; i < runs; i++) {
            double t0 = bench_now();
            products(d, w, &head, x, y, R);
            if (i >= 0) s[i] = bench_now() - t0;
        }
        line("products", R, s, runs);
        for (int i = -1; i < runs; i++) {
            double t0 = bench_now();
            cached(d, y, x, &view, seq, pos, R);
            if (i >= 0) s[i] = bench_now() - t0;
        }
        line("attention", R, s, runs);
    }
    d->close(d);
    return 0;
}

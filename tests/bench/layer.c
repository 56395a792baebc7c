/* Time of every op of one layer of SmolLM2-135M (and of the head) at training shapes: min and median of n runs.
   make BUILD=build build/tests/bench/layer && build/tests/bench/layer [threads [runs [sequences [tokens each]]]] */
#include "tests/bench/bench.h"

enum { C = 576, F = 1536, V = 49152, H = 9, G = 3, D = 64, r = 16 };
static struct dev *d;
static int R, S, T, runs;

#define TIME(name, flop, call) \
    do { \
        double s_[BENCH_MAX]; \
        { call; } \
        for (int n_ = 0; n_ < runs; n_++) { \
            double t0_ = bench_now(); \
            { call; } \
            s_[n_] = bench_now() - t0_; \
        } \
        bench_sort(s_, runs); \
        printf("%-28s %9.3f %9.3f ms", name, s_[0] * 1e3, s_[runs / 2] * 1e3); \
        if ((flop) > 0) printf("  %7.1f GFLOP/s", (flop) / s_[0] * 1e-9); \
        putchar('\n'); \
        if (d->sync(c) != K_OK) fprintf(stderr, "%s\n", d->error_text(c)); \
    } while (0)

static float *values(int64_t n) { return bench_values(d, n); }

static void products(struct kctx *c, int K, int N, const char *what) {
    char name[64];
    float *x = values((int64_t)R * K), *y = values((int64_t)R * N), *A = values(r * K), *B = values(N * r), *h = values(R * r);
    struct weight w = bench_weight(d, DT_Q4_1, N, K);
    double flop = 2.0 * R * K * N;
#define NAME(op) (snprintf(name, sizeof name, "%s %s", op, what), name)
    TIME(NAME("linear"), flop, d->linear(c, 0, y, x, &w, R));
    TIME(NAME("linear_dx"), flop, d->linear_dx(c, 1, x, y, &w, R));
    TIME(NAME("lora_down"), 2.0 * R * K * r, d->lora_down(c, h, x, A, R, r, K));
    TIME(NAME("lora_up"), 2.0 * R * N * r, d->lora_up(c, y, h, B, 1e-3f, R, r, N));
    TIME(NAME("lora_up_bwd"), 4.0 * R * N * r, d->lora_up_bwd(c, h, B, y, h, B, 1e-3f, R, r, N));
    TIME(NAME("lora_down_bwd"), 4.0 * R * K * r, d->lora_down_bwd(c, 1, x, A, h, x, A, R, r, K));
}

static void attention(struct kctx *c) {
    float *q = values(R * C), *k = values(R * G * D), *v = values(R * G * D), *o = values(R * C), *lse = values(R * H), *dq = values(R * C), *dk = values(R * G * D), *dv = values(R * G * D);
    int32_t *cu = bench_get(d, ((size_t)S + 1) * 4), *pos = bench_get(d, (size_t)R * 4);
    float *f = values(D / 2);
    for (int s = 0; s <= S; s++) cu[s] = s * T;
    for (int i = 0; i < R; i++) pos[i] = i % T;
    double pairs = (double)S * T * (T + 1) / 2 * H;
    TIME("rope q", 0, d->rope(c, q, pos, f, 1, R, H, D));
    TIME("attention", 4 * pairs * D, d->attention(c, o, lse, q, k, v, cu, cu, S, H, G, D, 0.125f));
    TIME("attention_bwd", 10 * pairs * D, d->attention_bwd(c, dq, dk, dv, o, q, k, v, o, lse, cu, cu, S, H, G, D, 0.125f));
}

static void elementwise(struct kctx *c) {
    float *x = values((int64_t)R * F), *y = values((int64_t)R * F), *z = values((int64_t)R * F), *w = values(C), *rstd = values(R);
    int32_t *seq = bench_get(d, (size_t)R * 4), *pos = bench_get(d, (size_t)R * 4);
    for (int i = 0; i < R; i++) seq[i] = i / T, pos[i] = i % T;
    const uint32_t step = 2;
    struct dropout_key key = {1, &step, 3, 1, 0.1f};
    TIME("rmsnorm", 0, d->rmsnorm(c, y, rstd, x, w, 1e-5f, R, C));
    TIME("rmsnorm_bwd", 0, d->rmsnorm_bwd(c, z, y, x, w, rstd, R, C));
    TIME("add C", 0, d->add(c, y, x, (int64_t)R * C));
    TIME("dropout C", 0, d->dropout(c, 0, y, x, seq, pos, &key, R, C));
    TIME("dropout F", 0, d->dropout(c, 0, y, x, seq, pos, &key, R, F));
    TIME("swiglu", 0, d->swiglu(c, z, x, y, (int64_t)R * F));
    TIME("swiglu_bwd", 0, d->swiglu_bwd(c, z, z, z, x, y, (int64_t)R * F));
}

static void head(struct kctx *c) {
    int M = R < 256 ? R : 256;
    float *x = values((int64_t)M * C), *z = values((int64_t)M * V), *loss = values(M), *scale = values(M), *p = values(4884480), *m = values(4884480), *v = values(4884480), *g = values(4884480);
    double *norm = bench_get(d, sizeof *norm);
    int32_t *t = bench_get(d, (size_t)M * 4);
    for (int i = 0; i < M; i++) t[i] = i * 100, scale[i] = 1e-3f;
    struct weight w = bench_weight(d, DT_Q8_0, V, C);
    struct adamw_step step = {4e-4, 0.9, 0.999, 1e-8, 0, 0.3, 1};
    TIME("linear C->V (256 rows)", 2.0 * M * C * V, d->linear(c, 0, z, x, &w, M));
    TIME("cross_entropy (256 rows)", 0, d->cross_entropy(c, loss, z, t, scale, M, V));
    TIME("linear_dx V->C (256 rows)", 2.0 * M * C * V, d->linear_dx(c, 0, x, z, &w, M));
    TIME("sumsq 4.9 M", 0, d->sumsq(c, norm, g, 4884480, 0));
    TIME("adamw 4.9 M", 0, d->adamw(c, p, m, v, g, 4884480, &step, norm));
}

int main(int argc, char **argv) {
    const char *why;
    int threads = argc > 1 ? atoi(argv[1]) : 2;
    runs = argc > 2 ? atoi(argv[2]) : 7;
    S = argc > 3 ? atoi(argv[3]) : 4;
    T = argc > 4 ? atoi(argv[4]) : 256;
    R = S * T;
    if (runs < 1 || runs > BENCH_MAX || dev_open(&d, "cpu", threads, &why) != K_OK) return 2;
    bench_machine();
    printf("# %d threads, %s; %d sequences of %d; n = %d: best, median\n", threads, dev_cpu_features(), S, T, runs);
    products(d->ctx, C, C, "576->576");
    products(d->ctx, C, G * D, "576->192");
    products(d->ctx, C, F, "576->1536");
    products(d->ctx, F, C, "1536->576");
    attention(d->ctx);
    elementwise(d->ctx);
    head(d->ctx);
    d->close(d);
    return 0;
}

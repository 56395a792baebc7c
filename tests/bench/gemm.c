/* GFLOP/s of linear and linear_dx over the weight types, beside OpenBLAS (serial, one thread, f32).
   make BUILD=build build/tests/bench/gemm && build/tests/bench/gemm [threads [runs [rows]]]: with rows, only the shapes of so many
   OpenBLAS has one thread here, so compare it with the row of 1 thread; it gets its weight decoded. */
#include "tests/bench/bench.h"
#include <cblas.h>

extern char *openblas_get_corename(void);

struct job { /* one product: y(R,N) = x(R,K)·Wᵀ, or dx(R,K) = y(R,N)·W */
    struct dev *d;
    struct weight w;
    float *f32; /* W decoded, for OpenBLAS */
    float *x, *y;
    int R;
    bool dx;
};

static void ours(struct job *j) {
    if (j->dx)
        j->d->linear_dx(j->d->ctx, 0, j->x, j->y, &j->w, j->R);
    else
        j->d->linear(j->d->ctx, 0, j->y, j->x, &j->w, j->R);
}

static void blas(struct job *j) {
    int N = (int)j->w.rows, K = (int)j->w.cols;
    if (j->dx)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, j->R, K, N, 1, j->y, N, j->f32, K, 0, j->x, K);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, j->R, N, K, 1, j->x, K, j->f32, K, 0, j->y, N);
}

/* min and median seconds of n runs, after one unmeasured */
static void measure(void (*f)(struct job *), struct job *j, int n, double t[2]) {
    double s[BENCH_MAX];
    f(j);
    for (int i = 0; i < n; i++) {
        double t0 = bench_now();
        f(j);
        s[i] = bench_now() - t0;
    }
    bench_sort(s, n);
    t[0] = s[0];
    t[1] = s[n / 2];
}

static void shape(struct dev *d, enum dtype t, int R, int K, int N, int runs) {
    struct job j = {.d = d, .w = bench_weight(d, t, N, K), .f32 = bench_get(d, (size_t)N * (size_t)K * 4), .R = R};
    size_t bytes = dtype_bytes(t, (int64_t)N * K);
    dtype_to_f32(j.f32, t, j.w.data, (int64_t)N * K);
    j.x = bench_values(d, (int64_t)R * K);
    j.y = bench_values(d, (int64_t)R * N);
    double flop = 2e-9 * R * K * N, a[2], b[2];
    for (int dx = 0; dx < (R > 16 ? 2 : 1); dx++) {
        j.dx = dx;
        measure(ours, &j, runs, a);
        measure(blas, &j, runs, b);
        printf("%-5s %-9s %5d x %5d x %5d  %7.1f %7.1f   %7.1f %7.1f   %5.2f   %8.3f ms %6.1f GB/s\n", dtype_name(t), dx ? "linear_dx" : "linear", R, K, N, flop / a[0], flop / a[1], flop / b[0], flop / b[1], b[0] / a[0], a[0] * 1e3, (double)bytes / a[0] * 1e-9);
    }
    d->free(d->ctx, (void *)(uintptr_t)j.w.data);
    d->free(d->ctx, j.f32);
    d->free(d->ctx, j.x);
    d->free(d->ctx, j.y);
}

int main(int argc, char **argv) {
    static const int shapes[][3] = {{1024, 576, 576}, {1024, 576, 192}, {1024, 576, 1536}, {1024, 1536, 576}, {256, 576, 49152}, {1, 576, 1536}, {1, 576, 49152}, {4, 576, 1536}, {8, 576, 1536}, {16, 1536, 576}};
    static const enum dtype ts[] = {DT_F32, DT_BF16, DT_Q8_0, DT_Q4_1};
    int threads = argc > 1 ? atoi(argv[1]) : 1, runs = argc > 2 ? atoi(argv[2]) : 9, only = argc > 3 ? atoi(argv[3]) : 0;
    struct dev *d;
    const char *why;
    if (runs < 1 || runs > BENCH_MAX || dev_open(&d, "cpu", threads, &why) != K_OK) return 2;
    bench_machine();
    printf("# ours: %d threads, %s; OpenBLAS: 1 thread, %s; n = %d; GFLOP/s\n", threads, dev_cpu_features(), openblas_get_corename(), runs);
    printf("# weight op          R x     K x     N     ours: best, median   OpenBLAS: best, median  ratio\n");
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t t = 0; (!only || only == shapes[s][0]) && t < sizeof ts / sizeof *ts; t++) shape(d, ts[t], shapes[s][0], shapes[s][1], shapes[s][2], shapes[s][1] * (long)shapes[s][2] > 20000000 ? (runs + 2) / 3 : runs);
    d->close(d);
    return 0;
}

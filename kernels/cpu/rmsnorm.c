/* RMSNorm, forward and backward. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vmath.h"
#include <math.h>

void rmsnorm_ref(struct kctx *k, void *y, float *rstd, const void *x, const float *w, float eps, int R, int C) {
    for (int64_t i = 0; i < R; i++) {
        const float *xi = (const float *)x + i * C;
        double sum = 0;
        for (int c = 0; c < C; c++) sum += (double)xi[c] * xi[c];
        double rs = 1 / sqrt(sum / C + eps);
        for (int c = 0; c < C; c++) ((float *)y)[i * C + c] = (float)(xi[c] * rs * w[c]);
        if (rstd) rstd[i] = (float)rs;
    }
}

/* y_c = x_c·s·w_c with s = (Σx²/C + eps)^−½, ds/dx_c = −s³·x_c/C, so dx_c = s·(w_c·dy_c − x_c·s²·Σ(w·dy·x)/C) */
void rmsnorm_bwd_ref(struct kctx *k, void *dx, const void *dy, const void *x, const float *w, const float *rstd, int R, int C) {
    for (int64_t i = 0; i < R; i++) {
        const float *xi = (const float *)x + i * C, *gi = (const float *)dy + i * C;
        double sum = 0, s = rstd[i];
        for (int c = 0; c < C; c++) sum += (double)w[c] * gi[c] * xi[c];
        for (int c = 0; c < C; c++) {
            float *p = (float *)dx + i * C + c;
            *p = (float)(*p + s * ((double)w[c] * gi[c] - xi[c] * s * s * sum / C));
        }
    }
}


static float rmsnorm_row_plain(float *y, const float *x, const float *w, float eps, int C) {
    float sum = 0;
    for (int c = 0; c < C; c++) sum += x[c] * x[c];
    float rs = 1 / sqrtf(sum / (float)C + eps);
    for (int c = 0; c < C; c++) y[c] = x[c] * rs * w[c];
    return rs;
}

static void rmsnorm_bwd_row_plain(float *dx, const float *dy, const float *x, const float *w, float s, int C) {
    float sum = 0;
    for (int c = 0; c < C; c++) sum += w[c] * dy[c] * x[c];
    float f = s * s * sum / (float)C;
    for (int c = 0; c < C; c++) dx[c] += s * (w[c] * dy[c] - x[c] * f);
}

#if CPU_X86
AVX2 static float rmsnorm_row_avx2(float *y, const float *x, const float *w, float eps, int C) {
    __m256 sum = _mm256_setzero_ps();
    for (int c = 0; c < C; c += 8) {
        __m256 v = load_n(x + c, C - c);
        sum = _mm256_fmadd_ps(v, v, sum);
    }
    float rs = 1 / sqrtf(sum8(sum) / (float)C + eps);
    __m256 r = _mm256_set1_ps(rs);
    for (int c = 0; c < C; c += 8) {
        store_n(y + c, _mm256_mul_ps(_mm256_mul_ps(load_n(x + c, C - c), r), load_n(w + c, C - c)), C - c);
    }
    return rs;
}

AVX2 static void rmsnorm_bwd_row_avx2(float *dx, const float *dy, const float *x, const float *w, float s, int C) {
    __m256 sum = _mm256_setzero_ps(), r = _mm256_set1_ps(s);
    for (int c = 0; c < C; c += 8) {
        sum = _mm256_fmadd_ps(_mm256_mul_ps(load_n(w + c, C - c), load_n(dy + c, C - c)), load_n(x + c, C - c), sum);
    }
    __m256 f = _mm256_set1_ps(s * s * sum8(sum) / (float)C);
    for (int c = 0; c < C; c += 8) {
        __m256 d = _mm256_mul_ps(load_n(w + c, C - c), load_n(dy + c, C - c));
        d = _mm256_fnmadd_ps(load_n(x + c, C - c), f, d);
        store_n(dx + c, _mm256_fmadd_ps(r, d, load_n(dx + c, C - c)), C - c);
    }
}
#endif

struct job {
    float *y, *rstd; /* y; or dx */
    const float *x, *w, *dy, *saved;
    float eps;
    int C;
    bool avx2;
};

static void forward(void *arg, int64_t i, int64_t end, int thread) {
    const struct job *j = arg;
    float (*f)(float *, const float *, const float *, float, int) = rmsnorm_row_plain;
#if CPU_X86
    if (j->avx2) f = rmsnorm_row_avx2;
#endif
    for (; i < end; i++) {
        float rs = f(j->y + i * j->C, j->x + i * j->C, j->w, j->eps, j->C);
        if (j->rstd) j->rstd[i] = rs;
    }
}

static void backward(void *arg, int64_t i, int64_t end, int thread) {
    const struct job *j = arg;
    void (*f)(float *, const float *, const float *, const float *, float, int) = rmsnorm_bwd_row_plain;
#if CPU_X86
    if (j->avx2) f = rmsnorm_bwd_row_avx2;
#endif
    for (; i < end; i++) f(j->y + i * j->C, j->dy + i * j->C, j->x + i * j->C, j->w, j->saved[i], j->C);
}

void rmsnorm_cpu(struct kctx *k, void *y, float *rstd, const void *x, const float *w, float eps, int R, int C) {
    pool_run(k->pool, R, cpu_rows(C), forward, &(struct job){.y = y, .rstd = rstd, .x = x, .w = w, .eps = eps, .C = C, .avx2 = k->avx2});
}

void rmsnorm_bwd_cpu(struct kctx *k, void *dx, const void *dy, const void *x, const float *w, const float *rstd, int R, int C) {
    pool_run(k->pool, R, cpu_rows(C), backward, &(struct job){.y = dx, .dy = dy, .x = x, .w = w, .saved = rstd, .C = C, .avx2 = k->avx2});
}

/* SwiGLU, forward and backward. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vmath.h"
#include <math.h>

void swiglu_ref(struct kctx *k, void *y, const void *gate, const void *up, int64_t n) {
    const float *g = gate, *u = up;
    for (int64_t i = 0; i < n; i++) ((float *)y)[i] = (float)(g[i] / (1 + exp(-(double)g[i])) * u[i]);
}

/* silu'(z) = σ(z)·(1 + z·(1 − σ(z))) */
void swiglu_bwd_ref(struct kctx *k, void *dgate, void *dup, const void *dy, const void *gate, const void *up, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double g = ((const float *)gate)[i], u = ((const float *)up)[i], d = ((const float *)dy)[i], s = 1 / (1 + exp(-g));
        ((float *)dgate)[i] = (float)(d * u * s * (1 + g * (1 - s)));
        ((float *)dup)[i] = (float)(d * g * s);
    }
}


static void swiglu_plain(float *y, const float *g, const float *u, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = g[i] / (1 + expf(-g[i])) * u[i];
}

static void swiglu_bwd_plain(float *dg, float *du, const float *dy, const float *g, const float *u, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float z = g[i], s = 1 / (1 + expf(-z)), d = dy[i], du_i = d * z * s;
        dg[i] = d * u[i] * s * (1 + z * (1 - s));
        du[i] = du_i;
    }
}

#if CPU_X86
VINLINE __m256 sigmoid8(__m256 z) {
    __m256 one = _mm256_set1_ps(1);
    return _mm256_div_ps(one, _mm256_add_ps(one, exp8(_mm256_sub_ps(_mm256_setzero_ps(), z))));
}

AVX2 static void swiglu_avx2(float *y, const float *g, const float *u, int64_t n) {
    for (int64_t i = 0; i < n; i += 8) {
        __m256 z = load_n(g + i, n - i), v = load_n(u + i, n - i);
        store_n(y + i, _mm256_mul_ps(_mm256_mul_ps(z, sigmoid8(z)), v), n - i);
    }
}

AVX2 static void swiglu_bwd_avx2(float *dg, float *du, const float *dy, const float *g, const float *u, int64_t n) {
    __m256 one = _mm256_set1_ps(1);
    for (int64_t i = 0; i < n; i += 8) {
        __m256 z = load_n(g + i, n - i), v = load_n(u + i, n - i), d = load_n(dy + i, n - i), s = sigmoid8(z);
        __m256 slope = _mm256_mul_ps(s, _mm256_fmadd_ps(z, _mm256_sub_ps(one, s), one));
        store_n(dg + i, _mm256_mul_ps(_mm256_mul_ps(d, v), slope), n - i);
        store_n(du + i, _mm256_mul_ps(d, _mm256_mul_ps(z, s)), n - i);
    }
}
#endif

struct job {
    float *a, *b; /* y; or dgate, dup */
    const float *dy, *g, *u;
    bool avx2;
};

static void forward(void *arg, int64_t i, int64_t end, int thread) {
    const struct job *j = arg;
    void (*f)(float *, const float *, const float *, int64_t) = swiglu_plain;
#if CPU_X86
    if (j->avx2) f = swiglu_avx2;
#endif
    f(j->a + i, j->g + i, j->u + i, end - i);
}

static void backward(void *arg, int64_t i, int64_t end, int thread) {
    const struct job *j = arg;
    void (*f)(float *, float *, const float *, const float *, const float *, int64_t) = swiglu_bwd_plain;
#if CPU_X86
    if (j->avx2) f = swiglu_bwd_avx2;
#endif
    f(j->a + i, j->b + i, j->dy + i, j->g + i, j->u + i, end - i);
}

void swiglu_cpu(struct kctx *k, void *y, const void *gate, const void *up, int64_t n) {
    pool_run(k->pool, n, CPU_SPAN, forward, &(struct job){y, NULL, NULL, gate, up, k->avx2});
}

void swiglu_bwd_cpu(struct kctx *k, void *dgate, void *dup, const void *dy, const void *gate, const void *up, int64_t n) {
    pool_run(k->pool, n, CPU_SPAN, backward, &(struct job){dgate, dup, dy, gate, up, k->avx2});
}

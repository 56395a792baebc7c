/* AdamW and the gradient's norm, as torch.optim.AdamW and clip_grad_norm_ compute them. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vmath.h"
#include <math.h>

void sumsq_ref(struct kctx *k, double *out, const float *x, int64_t n, int accumulate) {
    double sum = accumulate ? *out : 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    *out = sum;
}

void admit_ref(struct kctx *k, double *norm_sq, const double *grad_sq, const double *loss_sq) {
    *norm_sq = isfinite(*norm_sq) && isfinite(*loss_sq) && isfinite(*grad_sq) && *grad_sq > 0 ? *grad_sq : (double)NAN;
}
void admit_cpu(struct kctx *k, double *norm_sq, const double *grad_sq, const double *loss_sq) { admit_ref(k, norm_sq, grad_sq, loss_sq); }

void adamw_ref(struct kctx *k, float *p, float *m, float *v, const float *g, int64_t n, const struct adamw_step *s, const double *norm_sq) {
    if (!isfinite(*norm_sq)) return;
    double clip = s->max_norm > 0 ? s->max_norm / (sqrt(*norm_sq) + 1e-6) : 1;
    double bc1 = 1 - pow(s->beta1, s->t), bc2 = 1 - pow(s->beta2, s->t);
    if (clip > 1) clip = 1;
    for (int64_t i = 0; i < n; i++) {
        double gi = g[i] * clip, mi = m[i] + (gi - m[i]) * (1 - s->beta1), vi = v[i] * s->beta2 + gi * gi * (1 - s->beta2);
        m[i] = (float)mi;
        v[i] = (float)vi;
        p[i] = (float)(p[i] * (1 - s->lr * s->weight_decay) - s->lr / bc1 * mi / (sqrt(vi) / sqrt(bc2) + s->eps));
    }
}


#define SUMSQ_CHUNK 4096 /* values of one partial sum */

static double sumsq_plain(const float *x, int64_t n) {
    double s[4] = {0}; /* chains that run beside each other */
    for (int64_t i = 0; i < n; i++) s[i % 4] += (double)x[i] * x[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

#if CPU_X86
AVX2 static double sumsq_avx2(const float *x, int64_t n) {
    __m256d a = _mm256_setzero_pd(), b = a;
    for (int64_t i = 0; i < n; i += 8) {
        __m256 v = load_n(x + i, n - i);
        __m256d lo = _mm256_cvtps_pd(_mm256_castps256_ps128(v)), hi = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
        a = _mm256_fmadd_pd(lo, lo, a);
        b = _mm256_fmadd_pd(hi, hi, b);
    }
    double s[4];
    _mm256_storeu_pd(s, _mm256_add_pd(a, b));
    return (s[0] + s[1]) + (s[2] + s[3]);
}
#endif

struct sums {
    double *part; /* of chunk 0 of x */
    const float *x;
    int64_t n;
    bool avx2;
};

static void sum_chunks(void *arg, int64_t c, int64_t end, int thread) {
    const struct sums *s = arg;
    double (*f)(const float *, int64_t) = sumsq_plain;
#if CPU_X86
    if (s->avx2) f = sumsq_avx2;
#endif
    for (; c < end; c++) {
        int64_t at = c * SUMSQ_CHUNK, left = s->n - at;
        s->part[c] = f(s->x + at, left < SUMSQ_CHUNK ? left : SUMSQ_CHUNK);
    }
}

/* Partial sums of fixed chunks, then their sum in order; as many chunks at a time as the scratch holds. */
void sumsq_cpu(struct kctx *k, double *out, const float *x, int64_t n, int accumulate) {
    const int64_t most = (int64_t)(CPU_SHARED_BYTES / sizeof(double)) * SUMSQ_CHUNK;
    double sum = accumulate ? *out : 0;
    for (int64_t i = 0; i < n; i += most) {
        struct sums s = {(double *)k->shared, x + i, n - i < most ? n - i : most, k->avx2};
        int64_t chunks = (s.n + SUMSQ_CHUNK - 1) / SUMSQ_CHUNK;
        pool_run(k->pool, chunks, 4, sum_chunks, &s);
        for (int64_t c = 0; c < chunks; c++) sum += s.part[c];
    }
    *out = sum;
}

struct update { float clip, decay, c1, b2, c2, rate, root2, eps; }; /* the step's scalars, rounded once as torch does */

static void adamw_plain(float *p, float *m, float *v, const float *g, int64_t n, const struct update *u) {
    for (int64_t i = 0; i < n; i++) {
        float gi = g[i] * u->clip;
        m[i] += (gi - m[i]) * u->c1;
        v[i] = v[i] * u->b2 + gi * gi * u->c2;
        p[i] = p[i] * u->decay - u->rate * (m[i] / (sqrtf(v[i]) / u->root2 + u->eps));
    }
}

#if CPU_X86
AVX2 static void adamw_avx2(float *p, float *m, float *v, const float *g, int64_t n, const struct update *u) {
    __m256 clip = _mm256_set1_ps(u->clip), decay = _mm256_set1_ps(u->decay), c1 = _mm256_set1_ps(u->c1), b2 = _mm256_set1_ps(u->b2), c2 = _mm256_set1_ps(u->c2);
    __m256 rate = _mm256_set1_ps(u->rate), root2 = _mm256_set1_ps(u->root2), eps = _mm256_set1_ps(u->eps);
    for (int64_t i = 0; i < n; i += 8) {
        __m256 gi = _mm256_mul_ps(load_n(g + i, n - i), clip), mi = load_n(m + i, n - i), vi = load_n(v + i, n - i);
        mi = _mm256_fmadd_ps(_mm256_sub_ps(gi, mi), c1, mi);
        vi = _mm256_fmadd_ps(_mm256_mul_ps(gi, gi), c2, _mm256_mul_ps(vi, b2));
        __m256 d = _mm256_add_ps(_mm256_div_ps(_mm256_sqrt_ps(vi), root2), eps), pi = _mm256_mul_ps(load_n(p + i, n - i), decay);
        store_n(m + i, mi, n - i);
        store_n(v + i, vi, n - i);
        store_n(p + i, _mm256_fnmadd_ps(rate, _mm256_div_ps(mi, d), pi), n - i);
    }
}
#endif

struct job {
    float *p, *m, *v;
    const float *g;
    struct update u;
    bool avx2;
};

static void update(void *arg, int64_t i, int64_t end, int thread) {
    const struct job *j = arg;
    void (*f)(float *, float *, float *, const float *, int64_t, const struct update *) = adamw_plain;
#if CPU_X86
    if (j->avx2) f = adamw_avx2;
#endif
    f(j->p + i, j->m + i, j->v + i, j->g + i, end - i, &j->u);
}

void adamw_cpu(struct kctx *k, float *p, float *m, float *v, const float *g, int64_t n, const struct adamw_step *s, const double *norm_sq) {
    if (!isfinite(*norm_sq)) return;
    double clip = s->max_norm > 0 ? s->max_norm / (sqrt(*norm_sq) + 1e-6) : 1;
    struct update u = {
        .clip = (float)(clip > 1 ? 1 : clip), .decay = (float)(1 - s->lr * s->weight_decay), .c1 = (float)(1 - s->beta1), .b2 = (float)s->beta2, .c2 = (float)(1 - s->beta2),
        .rate = (float)(s->lr / (1 - pow(s->beta1, s->t))), .root2 = (float)sqrt(1 - pow(s->beta2, s->t)), .eps = (float)s->eps};
    pool_run(k->pool, n, CPU_SPAN, update, &(struct job){p, m, v, g, u, k->avx2});
}

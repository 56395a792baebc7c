/* Row pieces of attention: softmax over a block, its gradient, dots; in AVX2 and in plain C. */
#include "kernels/cpu/attention.h"
#include "kernels/cpu/vmath.h"
#include <math.h>
#include <string.h>

static float softmax_plain(float *s, int n, struct softmax_row *r) {
    float max = r->max, sum = 0;
    for (int j = 0; j < n; j++) max = s[j] > max ? s[j] : max;
    for (int j = 0; j < n; j++) sum += s[j] = expf(s[j] - max);
    memset(s + n, 0, (size_t)(KEYS - n) * sizeof *s);
    float f = expf(r->max - max);
    r->sum = r->sum * f + sum;
    r->max = max;
    return f;
}

static void scale_plain(float *x, float f, int n) {
    for (int i = 0; i < n; i++) x[i] *= f;
}

static void grad_plain(float *p, float *ds, int n, float lse, float delta, float scale) {
    for (int j = 0; j < n; j++) {
        p[j] = expf(p[j] - lse);
        ds[j] = p[j] * (ds[j] - delta) * scale;
    }
    memset(p + n, 0, (size_t)(KEYS - n) * sizeof *p);
    memset(ds + n, 0, (size_t)(KEYS - n) * sizeof *ds);
}

static float dot_plain(const float *a, const float *b, int n) {
    float sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

#if CPU_X86
AVX2 static float softmax_avx2(float *s, int n, struct softmax_row *r) {
    __m256 low = _mm256_set1_ps(-INFINITY), top = _mm256_set1_ps(r->max), sum = _mm256_setzero_ps();
    for (int j = 0; j < n; j += 8) top = _mm256_max_ps(_mm256_blendv_ps(low, _mm256_loadu_ps(s + j), _mm256_castsi256_ps(first_lanes(n - j))), top);
    float max = max8(top), f = _mm256_cvtss_f32(exp8_neg(_mm256_set1_ps(r->max - max)));
    top = _mm256_set1_ps(max);
    int j = 0;
    for (; j < n; j += 8) {
        __m256 e = _mm256_and_ps(exp8_neg(_mm256_sub_ps(_mm256_loadu_ps(s + j), top)), _mm256_castsi256_ps(first_lanes(n - j)));
        _mm256_storeu_ps(s + j, e);
        sum = _mm256_add_ps(sum, e);
    }
    for (; j < KEYS; j += 8) _mm256_storeu_ps(s + j, _mm256_setzero_ps());
    r->sum = r->sum * f + sum8(sum);
    r->max = max;
    return f;
}

AVX2 static void scale_avx2(float *x, float f, int n) {
    for (int i = 0; i < n; i += 8) {
        store_n(x + i, _mm256_mul_ps(load_n(x + i, n - i), _mm256_set1_ps(f)), n - i);
    }
}

AVX2 static void grad_avx2(float *p, float *ds, int n, float lse, float delta, float scale) {
    __m256 l = _mm256_set1_ps(lse), d = _mm256_set1_ps(delta), f = _mm256_set1_ps(scale);
    int j = 0;
    for (; j < n; j += 8) {
        __m256 m = _mm256_castsi256_ps(first_lanes(n - j));
        __m256 e = _mm256_and_ps(exp8_neg(_mm256_sub_ps(_mm256_loadu_ps(p + j), l)), m);
        _mm256_storeu_ps(p + j, e);
        _mm256_storeu_ps(ds + j, _mm256_and_ps(_mm256_mul_ps(_mm256_mul_ps(e, _mm256_sub_ps(_mm256_loadu_ps(ds + j), d)), f), m));
    }
    for (; j < KEYS; j += 8) {
        _mm256_storeu_ps(p + j, _mm256_setzero_ps());
        _mm256_storeu_ps(ds + j, _mm256_setzero_ps());
    }
}

AVX2 static float dot_avx2(const float *a, const float *b, int n) {
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
    }
    for (; i < n; i += 8) {
        s0 = _mm256_fmadd_ps(load_n(a + i, n - i), load_n(b + i, n - i), s0);
    }
    return sum8(_mm256_add_ps(s0, s1));
}

#endif

struct attention_math attention_math(const struct kctx *k) {
#if CPU_X86
    if (k->avx2) return (struct attention_math){gemm_pack_avx2, gemm_tile_avx2, softmax_avx2, scale_avx2, grad_avx2, dot_avx2};
#endif
    return (struct attention_math){gemm_pack_plain, gemm_tile_plain, softmax_plain, scale_plain, grad_plain, dot_plain};
}

static int tile_rows(int left) { return left < GEMM_MR ? left : GEMM_MR; }

void attention_scores(const struct attention_math *m, int rows, int n, int D, const float *a, int64_t a_row, const float *kt, float *s, float scale, int diag) {
    for (int j = 0; j < n; j += GEMM_NR, kt += D * GEMM_NR)
        for (int i = j > diag ? (j - diag) / GEMM_MR * GEMM_MR : 0; i < rows; i += GEMM_MR) m->tile(tile_rows(rows - i), D, a + i * a_row, a_row, 1, kt, NULL, 0, s + i * KEYS + j, KEYS, scale);
}

void attention_values(const struct attention_math *m, int rows, int D, int n, const float *p, const float *b, float *c, int64_t ldc, bool add, int diag) {
    for (int d = 0; d < D; d += GEMM_NR, b += n * GEMM_NR)
        for (int i = 0; i < rows; i += GEMM_MR) {
            int mr = tile_rows(rows - i), seen = i + mr + diag;
            float *out = c + i * ldc + d;
            m->tile(mr, seen < n ? seen : n, p + i * KEYS, KEYS, 1, b, add ? out : NULL, ldc, out, ldc, 1);
        }
}

void attention_keys(const struct attention_math *m, int n, int D, int rows, const float *p, const float *b, float *c, int64_t ldc, bool add, int diag) {
    for (int d = 0; d < D; d += GEMM_NR, b += rows * GEMM_NR)
        for (int j = 0; j < n; j += GEMM_MR) {
            int r0 = j > diag ? j - diag : 0;
            float *out = c + j * ldc + d;
            if (r0 > rows) r0 = rows;
            m->tile(tile_rows(n - j), rows - r0, p + r0 * KEYS + j, 1, KEYS, b + r0 * GEMM_NR, add ? out : NULL, ldc, out, ldc, 1);
        }
}

void attention_pack_t(const struct attention_math *m, float *b, const float *x, int64_t pitch, int64_t col, int kc, int n) {
    struct weight w = weight_plain(DT_F32, n, pitch, x);
    for (int j = 0; j < n; j += GEMM_NR, b += kc * GEMM_NR) m->pack(b, &w, true, col, kc, j, n - j < GEMM_NR ? n - j : GEMM_NR);
}

void attention_pack(const struct attention_math *m, float *b, const float *x, int64_t pitch, int64_t col, int kc, int n) {
    struct weight w = weight_plain(DT_F32, kc, pitch, x);
    for (int j = 0; j < n; j += GEMM_NR, b += kc * GEMM_NR) m->pack(b, &w, false, 0, kc, col + j, n - j < GEMM_NR ? n - j : GEMM_NR);
}

bool attention_fits(struct kctx *k, int D) {
    if (D <= ATTENTION_MAX_D) return true;
    cpu_fail(k, K_UNSUPPORTED, "attention: head size above 256");
    return false;
}

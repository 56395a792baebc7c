/* Panels of B from the types that decode best along a row: i8, nf4, fp4, ternary, q4_K, q6_K, with AVX2. 16 values of a
   row at a time; for linear the decoded rows are then turned. Every value is weight_to_f32's. */
#include "kernels/cpu/gemm.h"
#if CPU_X86
#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline)) AVX2

/* 16 signed bytes to d·q + m, rounded once */
INLINE void store16(float *dst, __m128i q, __m256 d, __m256 m) {
    _mm256_storeu_ps(dst, _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)), m));
    _mm256_storeu_ps(dst + 8, _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(q, q))), m));
}

INLINE __m128i low_bits(__m128i v, int shift, int mask) { return _mm_and_si128(_mm_srl_epi16(v, _mm_cvtsi32_si128(shift)), _mm_set1_epi8((char)mask)); }
INLINE __m128i load16(const void *p) { return _mm_loadu_si128((const __m128i *)p); }

AVX2 static void row_i8(float *dst, const struct weight *w, int64_t row, int64_t col, int n) {
    const char *p = (const char *)w->data + row * w->cols + col;
    __m256 d = _mm256_set1_ps(w->scale[row] * (1 / 127.0f)), none = _mm256_set1_ps(-0.0f); /* x + −0 is x, also for −0 */
    for (int i = 0; i < n; i += 16) store16(dst + i, load16(p + i), d, none);
}

AVX2 static void row_ternary(float *dst, const struct weight *w, int64_t row, int64_t col, int n) {
    int64_t quarter = w->rows / 4;
    const char *p = (const char *)w->data + row % quarter * w->cols + col;
    __m256 d = _mm256_set1_ps(w->unit), none = _mm256_set1_ps(-0.0f);
    for (int i = 0; i < n; i += 16) store16(dst + i, _mm_sub_epi8(low_bits(load16(p + i), (int)(row / quarter) * 2, 3), _mm_set1_epi8(1)), d, none);
}

/* table[code] for 8 codes: two permutations of 8, chosen by the fourth bit */
INLINE __m256 lookup8(__m256 low, __m256 high, __m128i codes) {
    __m256i i = _mm256_cvtepu8_epi32(codes);
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, i), _mm256_permutevar8x32_ps(high, i), _mm256_castsi256_ps(_mm256_slli_epi32(i, 28)));
}

/* 16 values share a scale and start at a whole byte: cols and block are multiples of 16 (row_decoder saw to it). */
AVX2 static void row_4bit(float *dst, const struct weight *w, int64_t row, int64_t col, int n) {
    const float *table = w->type == DT_NF4 ? dtype_nf4 : dtype_fp4;
    __m256 low = _mm256_loadu_ps(table), high = _mm256_loadu_ps(table + 8), s = low;
    int64_t at = row * w->cols + col, b = -1;
    const char *p = (const char *)w->data + at / 2;
    for (int i = 0; i < n; i += 16, at += 16) {
        if (at / w->block != b) s = _mm256_set1_ps(weight_scale(w, b = at / w->block));
        __m128i v = _mm_loadl_epi64((const __m128i *)(p + i / 2)), q = _mm_unpacklo_epi8(low_bits(v, 4, 15), low_bits(v, 0, 15));
        _mm256_storeu_ps(dst + i, _mm256_mul_ps(lookup8(low, high, q), s));
        _mm256_storeu_ps(dst + i + 8, _mm256_mul_ps(lookup8(low, high, _mm_unpackhi_epi64(q, q)), s));
    }
}

INLINE float half(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return _cvtsh_ss(h);
}

AVX2 static void row_q4_k(float *dst, const struct weight *w, int64_t row, int64_t col, int n) {
    const uint8_t *p = (const uint8_t *)w->data + dtype_bytes(DT_Q4_K, row * w->cols);
    for (int i = 0; i < n; i += 16, col += 16) {
        const uint8_t *b = p + col / 256 * 144, *s = b + 4;
        int j = (int)(col % 256) / 32;
        int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4, mn = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
        __m128i q = low_bits(load16(b + 16 + 32 * (j / 2) + col % 32), 4 * (j & 1), 15);
        store16(dst + i, q, _mm256_set1_ps(half(b) * (float)sc), _mm256_set1_ps(-(half(b + 2) * (float)mn)));
    }
}

AVX2 static void row_q6_k(float *dst, const struct weight *w, int64_t row, int64_t col, int n) {
    const uint8_t *p = (const uint8_t *)w->data + dtype_bytes(DT_Q6_K, row * w->cols);
    for (int i = 0; i < n; i += 16, col += 16) {
        const uint8_t *b = p + col / 256 * 210;
        int j = (int)(col % 256) / 32, at = (int)(col % 32);
        __m128i low = low_bits(load16(b + 64 * (j / 4) + 32 * (j & 1) + at), j & 2 ? 4 : 0, 15);
        __m128i high = _mm_slli_epi16(low_bits(load16(b + 128 + 32 * (j / 4) + at), 2 * (j % 4), 3), 4);
        float d = half(b + 208) * (float)(int8_t)b[192 + 8 * (j / 4) + 2 * (j % 4) + at / 16];
        store16(dst + i, _mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32)), _mm256_set1_ps(d), _mm256_set1_ps(-0.0f));
    }
}

typedef void row_fn(float *dst, const struct weight *w, int64_t row, int64_t col, int n);
static row_fn *row_decoder(const struct weight *w) {
    switch (w->type) {
    case DT_I8: return row_i8;
    case DT_TERNARY: return row_ternary;
    case DT_NF4:
    case DT_FP4: return w->cols % 16 == 0 && w->block % 16 == 0 ? row_4bit : NULL;
    case DT_Q4_K: return row_q4_k;
    case DT_Q6_K: return row_q6_k;
    default: return NULL;
    }
}

bool gemm_pack_quant(float *b, const struct weight *w, bool wt, int64_t k0, int kc, int64_t n0, int *done) {
    row_fn *decode = row_decoder(w);
    if (!decode) return false;
    *done = kc;
    if (!wt) {
        for (int k = 0; k < kc; k++) decode(b + k * GEMM_NR, w, k0 + k, n0, GEMM_NR);
        return true;
    }
    _Alignas(32) float rows[GEMM_NR * GEMM_KC];
    *done = kc & ~15;
    if (!*done) return true;
    for (int i = 0; i < GEMM_NR; i++) decode(rows + i * GEMM_KC, w, n0 + i, k0, *done);
    gemm_pack_avx2(b, &(struct weight){.type = DT_F32, .rows = GEMM_NR, .cols = GEMM_KC, .data = rows}, true, 0, *done, 0, GEMM_NR);
    return true;
}
#endif

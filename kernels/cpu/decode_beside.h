/* Blocks as in decode_avx2.h of the types whose scales lie beside the values: i8, ternary, nf4, fp4. In the latter two q holds
   codes, and a column is table[code]·d. Every value is weight_to_f32's. */
#ifndef COADOR_DECODE_BESIDE_H
#define COADOR_DECODE_BESIDE_H
#include "kernels/cpu/decode_avx2.h"
#include "kernels/cpu/scales_avx2.h"
#if CPU_X86

/* 16 rows of a weight from row n on */
struct beside {
    const struct weight *w;
    int64_t n;
    const char *p;           /* their first column */
    size_t row;              /* bytes from one to the next */
    int shift;               /* ternary: where their two bits are */
};

INLINE bool has_codes(enum dtype t) { return t == DT_NF4 || t == DT_FP4; }

/* Blocks of 32 columns that share a scale, panels of 16 rows that share a place in the bytes */
INLINE bool beside_fits(const struct weight *w) {
    if (w->cols % 32) return false;
    return has_codes(w->type) ? w->block % 32 == 0 : w->type == DT_I8 || (w->type == DT_TERNARY && w->rows % 64 == 0);
}

INLINE struct beside beside_rows(const struct weight *w, enum dtype t, int64_t n) {
    struct beside b = {.w = w, .n = n, .row = (size_t)(has_codes(t) ? w->cols / 2 : w->cols)};
    int64_t quarter = w->rows / 4;
    b.p = (const char *)w->data + (size_t)(t == DT_TERNARY ? n % quarter : n) * b.row;
    if (t == DT_TERNARY) b.shift = (int)(n / quarter) * 2;
    return b;
}

INLINE void beside_scales(struct decoded *o, enum dtype t, const struct beside *b, int64_t k) {
    o->m[0] = o->m[1] = _mm256_set1_ps(-0.0f);
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        if (t == DT_I8) o->d[h] = _mm256_mul_ps(_mm256_loadu_ps(b->w->scale + b->n + 8 * h), _mm256_set1_ps(1 / 127.0f));
        if (t == DT_TERNARY) o->d[h] = _mm256_set1_ps(b->w->unit);
        if (has_codes(t)) o->d[h] = eight_scales(b->w, (b->n + 8 * h) * b->w->cols + k);
    }
}

INLINE void keep(struct decoded *o, int i, __m256i v) { _mm256_store_si256((__m256i *)(o->q + 32 * i), v); }

/* Columns k..k+32; t is a constant at every call */
INLINE void decode_beside(struct decoded *o, enum dtype t, const struct beside *b, int64_t k) {
    __m256i v[8], four = _mm256_set1_epi8(15), two = _mm256_set1_epi8(3), one = _mm256_set1_epi8(1);
    beside_scales(o, t, b, k);
    if (has_codes(t)) { /* the first of two in the high half: registers of two columns each are woven */
        transpose_bytes(v, b->p + k / 2, b->row);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            __m256i lo = _mm256_and_si256(v[i], four), hi = _mm256_and_si256(_mm256_srli_epi16(v[i], 4), four);
            keep(o, 2 * i, _mm256_unpacklo_epi64(hi, lo));
            keep(o, 2 * i + 1, _mm256_unpackhi_epi64(hi, lo));
        }
        return;
    }
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        transpose_bytes(v, b->p + k + 16 * h, b->row);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            keep(o, 8 * h + i, t == DT_I8 ? v[i] : _mm256_sub_epi8(_mm256_and_si256(_mm256_srl_epi16(v[i], _mm_cvtsi32_si128(b->shift)), two), one));
    }
}

/* table[code]·d: two permutations of 8, chosen by the fourth bit */
INLINE __m256 looked_up_column(const struct decoded *o, const float *table, int j, int h) {
    __m256i i = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(o->q + byte_at(j, h))));
    __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), i), high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), i);
    return _mm256_mul_ps(_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(i, 28))), o->d[h]);
}
#endif
#endif

/* Decoding of 16 rows × one block of 32 columns of a quantised weight with AVX2, shared by the panels (pack_avx2.c) and
   the product of few rows (gemv_avx2.c). The block is turned as bytes: 24 byte shuffles for 512 values. */
#ifndef COADOR_DECODE_AVX2_H
#define COADOR_DECODE_AVX2_H
#include "kernels/cpu/gemm.h"
#if CPU_X86
#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline, unused)) AVX2

/* q: signed bytes of column j, rows 8h..8h+7, at byte_at(j, h); value = d[h]·q + m[h] for the eight rows of half h */
struct decoded {
    _Alignas(32) int8_t q[512];
    __m256 d[2], m[2];
};
INLINE int byte_at(int j, int h) { return j / 2 * 32 + h * 16 + j % 2 * 8; }

/* 16 bytes of 16 rows, `row` apart, to t[16][16]: byte j of rows 0..15 in turn. Each register holds rows i and i + 8. */
INLINE void transpose_bytes(__m256i t[8], const char *p, size_t row) {
    __m256i a[8], b[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        a[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(p + (size_t)i * row))), _mm_loadu_si128((const __m128i *)(p + (size_t)(i + 8) * row)), 1);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* pairs (i, i + 4): bytes 0..7 of both, then 8..15 */
        b[2 * i] = _mm256_unpacklo_epi8(a[i], a[i + 4]);
        b[2 * i + 1] = _mm256_unpackhi_epi8(a[i], a[i + 4]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) /* rows i, i + 2, i + 4, i + 6 */
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            a[4 * i + 2 * h] = _mm256_unpacklo_epi8(b[2 * i + h], b[2 * i + 4 + h]);
            a[4 * i + 2 * h + 1] = _mm256_unpackhi_epi8(b[2 * i + h], b[2 * i + 4 + h]);
        }
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) { /* bytes 4q..4q+3: all eight rows of each lane */
        t[2 * q] = _mm256_unpacklo_epi8(a[q], a[q + 4]);
        t[2 * q + 1] = _mm256_unpackhi_epi8(a[q], a[q + 4]);
    }
}

/* The f16 at p of 16 rows */
INLINE void scales(__m256 s[2], const char *p, size_t row) {
    uint16_t h[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) memcpy(&h[i], p + (size_t)i * row, 2);
    s[0] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)h));
    s[1] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(h + 8)));
}

/* The two f16 at p of 16 rows: scale and minimum */
INLINE void scale_pairs(__m256 d[2], __m256 m[2], const char *p, size_t row) {
    const __m128i apart = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    __m128i v[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        int32_t x[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) memcpy(&x[j], p + (size_t)(4 * i + j) * row, 4);
        v[i] = _mm_shuffle_epi8(_mm_setr_epi32(x[0], x[1], x[2], x[3]), apart);
    }
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        d[h] = _mm256_cvtph_ps(_mm_unpacklo_epi64(v[2 * h], v[2 * h + 1]));
        m[h] = _mm256_cvtph_ps(_mm_unpackhi_epi64(v[2 * h], v[2 * h + 1]));
    }
}

/* t is a constant at every call; p: the block of the first row, the others `row` bytes apart */
INLINE void decode_block(struct decoded *o, enum dtype t, const char *p, size_t row) {
    __m256i v[8], mask = _mm256_set1_epi8(15), eight = _mm256_set1_epi8(8);
    if (t == DT_Q4_1) {
        scale_pairs(o->d, o->m, p, row);
    } else {
        scales(o->d, p, row);
        o->m[0] = o->m[1] = _mm256_set1_ps(-0.0f); /* x + −0 is x, also for −0 */
    }
    if (t == DT_Q8_0) {
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            transpose_bytes(v, p + 2 + 16 * h, row);
            for (int i = 0; i < 8; i++) _mm256_store_si256((__m256i *)(o->q + h * 256 + 32 * i), v[i]);
        }
        return;
    }
    transpose_bytes(v, p + (t == DT_Q4_1 ? 4 : 2), row);
    for (int i = 0; i < 8; i++) {
        __m256i lo = _mm256_and_si256(v[i], mask), hi = _mm256_and_si256(_mm256_srli_epi16(v[i], 4), mask);
        if (t == DT_Q4_0) lo = _mm256_sub_epi8(lo, eight), hi = _mm256_sub_epi8(hi, eight);
        _mm256_store_si256((__m256i *)(o->q + 32 * i), lo);
        _mm256_store_si256((__m256i *)(o->q + 256 + 32 * i), hi);
    }
}

/* Rows 8h..8h+7 of column j */
INLINE __m256 decoded_column(const struct decoded *o, int j, int h) {
    __m128i v = _mm_loadl_epi64((const __m128i *)(o->q + byte_at(j, h)));
    return _mm256_fmadd_ps(o->d[h], _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)), o->m[h]);
}
#endif
#endif

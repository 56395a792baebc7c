/* One block of 32 columns of a panel (16 rows of a weight), unpacked with AVX2 and turned: register j of a half holds codes
   4j..4j+3 of its eight rows, row by row, so that four codes of x, broadcast, meet all eight rows at once. */
#ifndef COADOR_INT8_DECODE_H
#define COADOR_INT8_DECODE_H
#include "kernels/cpu/int8.h"
#include "kernels/cpu/scales_avx2.h"
#if CPU_X86
#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline, unused)) AVX2

struct int8_panel {
    __m256i w[2][8]; /* by halves of the rows. Narrow types: unsigned, below 16; the others signed */
    __m256 d[2][2];  /* by halves of the rows, then of the block */
    __m256 m[2];
};

INLINE bool int8_narrow(enum dtype t) { return t == DT_Q4_0 || t == DT_Q4_1 || t == DT_Q4_K || t == DT_TERNARY; }
INLINE bool int8_has_min(enum dtype t) { return t == DT_Q4_1 || t == DT_Q4_K; }
/* What narrow codes are too large by */
INLINE int int8_zero(enum dtype t) { return t == DT_Q4_0 ? 8 : t == DT_TERNARY ? 1 : 0; }

INLINE __m128i bytes16(const void *p) { return _mm_loadu_si128((const __m128i *)p); }

/* 16 bytes of 8 rows: v[j] gets bytes 4j..4j+3 of rows 0..7 */
INLINE void turn16(__m256i v[4], const char *p, size_t row) {
    __m256i a[4], t[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) a[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(bytes16(p + (size_t)i * row)), bytes16(p + (size_t)(i + 4) * row), 1);
    t[0] = _mm256_unpacklo_epi32(a[0], a[1]);
    t[1] = _mm256_unpackhi_epi32(a[0], a[1]);
    t[2] = _mm256_unpacklo_epi32(a[2], a[3]);
    t[3] = _mm256_unpackhi_epi32(a[2], a[3]);
    v[0] = _mm256_unpacklo_epi64(t[0], t[2]);
    v[1] = _mm256_unpackhi_epi64(t[0], t[2]);
    v[2] = _mm256_unpacklo_epi64(t[1], t[3]);
    v[3] = _mm256_unpackhi_epi64(t[1], t[3]);
}

INLINE __m256i low4(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
INLINE __m256i high4(__m256i v) { return low4(_mm256_srli_epi16(v, 4)); }

INLINE int word(const char *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return v;
}

INLINE int two_bytes(const char *p) {
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

/* The f16 at p of 8 rows */
INLINE __m256 eight_halves(const char *p, size_t row) {
    __m128i h = _mm_cvtsi32_si128(two_bytes(p));
    h = _mm_insert_epi16(h, two_bytes(p + row), 1);
    h = _mm_insert_epi16(h, two_bytes(p + 2 * row), 2);
    h = _mm_insert_epi16(h, two_bytes(p + 3 * row), 3);
    h = _mm_insert_epi16(h, two_bytes(p + 4 * row), 4);
    h = _mm_insert_epi16(h, two_bytes(p + 5 * row), 5);
    h = _mm_insert_epi16(h, two_bytes(p + 6 * row), 6);
    return _mm256_cvtph_ps(_mm_insert_epi16(h, two_bytes(p + 7 * row), 7));
}

/* The two f16 at p of 8 rows */
INLINE void eight_pairs(__m256 *d, __m256 *m, const char *p, size_t row) {
    __m128i a = _mm_setr_epi32(word(p), word(p + row), word(p + 2 * row), word(p + 3 * row));
    __m128i b = _mm_setr_epi32(word(p + 4 * row), word(p + 5 * row), word(p + 6 * row), word(p + 7 * row)), first = _mm_set1_epi32(0xffff);
    *d = _mm256_cvtph_ps(_mm_packus_epi32(_mm_and_si128(a, first), _mm_and_si128(b, first)));
    *m = _mm256_cvtph_ps(_mm_packus_epi32(_mm_srli_epi32(a, 16), _mm_srli_epi32(b, 16)));
}

/* h: which eight rows; p: the block of their first */
INLINE void half_q4(struct int8_panel *o, int h, enum dtype t, const char *p, size_t row) {
    __m256i v[4];
    if (t == DT_Q4_1)
        eight_pairs(&o->d[h][0], &o->m[h], p, row);
    else
        o->d[h][0] = eight_halves(p, row);
    turn16(v, p + (t == DT_Q4_1 ? 4 : 2), row);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) o->w[h][j] = low4(v[j]), o->w[h][4 + j] = high4(v[j]);
}

INLINE void half_q8(struct int8_panel *o, int h, const char *p, size_t row) {
    o->d[h][0] = eight_halves(p, row);
    turn16(o->w[h], p + 2, row);
    turn16(o->w[h] + 4, p + 18, row);
}

INLINE void half_q4_k(struct int8_panel *o, int h, const char *p, size_t row, int j) {
    float d[8], m[8];
    for (int i = 0; i < 8; i++) {
        const uint8_t *b = (const uint8_t *)p + (size_t)i * row, *s = b + 4;
        int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4, mn = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
        d[i] = _cvtsh_ss((uint16_t)two_bytes((const char *)b)) * (float)sc;
        m[i] = -(_cvtsh_ss((uint16_t)two_bytes((const char *)b + 2)) * (float)mn);
    }
    o->d[h][0] = _mm256_loadu_ps(d);
    o->m[h] = _mm256_loadu_ps(m);
    turn16(o->w[h], p + 16 + 32 * (j / 2), row);
    turn16(o->w[h] + 4, p + 32 + 32 * (j / 2), row);
    for (int i = 0; i < 8; i++) o->w[h][i] = j & 1 ? high4(o->w[h][i]) : low4(o->w[h][i]);
}

INLINE void half_q6_k(struct int8_panel *o, int h, const char *p, size_t row, int j) {
    float d[2][8];
    for (int i = 0; i < 8; i++)
        for (int g = 0; g < 2; g++) d[g][i] = _cvtsh_ss((uint16_t)two_bytes(p + (size_t)i * row + 208)) * (float)(int8_t)p[(size_t)i * row + 192 + (size_t)(2 * j + g)];
    for (int g = 0; g < 2; g++) {
        __m256i low[4], high[4];
        o->d[h][g] = _mm256_loadu_ps(d[g]);
        turn16(low, p + 64 * (j / 4) + 32 * (j & 1) + 16 * g, row);
        turn16(high, p + 128 + 32 * (j / 4) + 16 * g, row);
        for (int i = 0; i < 4; i++) {
            __m256i up = _mm256_and_si256(_mm256_srl_epi16(high[i], _mm_cvtsi32_si128(2 * (j % 4))), _mm256_set1_epi8(3));
            o->w[h][4 * g + i] = _mm256_sub_epi8(_mm256_or_si256(j & 2 ? high4(low[i]) : low4(low[i]), _mm256_slli_epi16(up, 4)), _mm256_set1_epi8(32));
        }
    }
}

INLINE void half_i8(struct int8_panel *o, int h, const struct weight *w, int64_t n, int64_t b) {
    const char *p = (const char *)w->data + n * w->cols + b * INT8_BLOCK;
    o->d[h][0] = _mm256_mul_ps(_mm256_loadu_ps(w->scale + n), _mm256_set1_ps(1 / 127.0f));
    turn16(o->w[h], p, (size_t)w->cols);
    turn16(o->w[h] + 4, p + 16, (size_t)w->cols);
}

/* All 16 rows of the panel lie in one quarter of the matrix. */
INLINE void half_ternary(struct int8_panel *o, int h, const struct weight *w, int64_t n, int64_t b) {
    int64_t quarter = w->rows / 4;
    const char *p = (const char *)w->data + n % quarter * w->cols + b * INT8_BLOCK;
    __m128i shift = _mm_cvtsi64_si128(n / quarter * 2);
    o->d[h][0] = _mm256_set1_ps(w->unit);
    turn16(o->w[h], p, (size_t)w->cols);
    turn16(o->w[h] + 4, p + 16, (size_t)w->cols);
    for (int j = 0; j < 8; j++) o->w[h][j] = _mm256_and_si256(_mm256_srl_epi16(o->w[h][j], shift), _mm256_set1_epi8(3));
}

/* Codes in the order PAIRS: those of the high halves of the bytes first */
INLINE void half_4bit(struct int8_panel *o, int h, enum dtype t, const struct weight *w, int64_t n, int64_t b) {
    __m256i v[4], table = _mm256_broadcastsi128_si256(bytes16(t == DT_NF4 ? int8_nf4 : int8_fp4));
    int64_t at = n * w->cols + b * INT8_BLOCK;
    o->d[h][0] = _mm256_mul_ps(eight_scales(w, at), _mm256_set1_ps(t == DT_NF4 ? INT8_NF4_UNIT : INT8_FP4_UNIT));
    turn16(v, (const char *)w->data + at / 2, (size_t)w->cols / 2);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) o->w[h][j] = _mm256_shuffle_epi8(table, high4(v[j])), o->w[h][4 + j] = _mm256_shuffle_epi8(table, low4(v[j]));
}

/* t is a constant at every call. row, blk: bytes of a row of w, and of a block; n: first row of the panel; b: the block */
INLINE void int8_unpack(struct int8_panel *o, enum dtype t, const struct weight *w, size_t row, size_t blk, int64_t n, int64_t b) {
    bool k = t == DT_Q4_K || t == DT_Q6_K;
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        const char *p = (const char *)w->data + (size_t)(n + 8 * h) * row + (size_t)(k ? b / 8 : b) * blk;
        if (t == DT_Q4_0 || t == DT_Q4_1) half_q4(o, h, t, p, row);
        if (t == DT_Q8_0) half_q8(o, h, p, row);
        if (t == DT_Q4_K) half_q4_k(o, h, p, row, (int)(b % 8));
        if (t == DT_Q6_K) half_q6_k(o, h, p, row, (int)(b % 8));
        if (t == DT_I8) half_i8(o, h, w, n + 8 * h, b);
        if (t == DT_TERNARY) half_ternary(o, h, w, n + 8 * h, b);
        if (t == DT_NF4 || t == DT_FP4) half_4bit(o, h, t, w, n + 8 * h, b);
    }
}
#endif
#endif

/* The integer product with AVX2, and the quantising of x. */
#include "kernels/cpu/int8_decode.h"
#if CPU_X86
#include <math.h>

#define ISA AVX2

/* Signed codes are multiplied as |code| · (±x), since one operand of the byte product is unsigned: their sum of two products
   fits 16 bits, as do eight sums of codes below 16. */
INLINE void int8_ready(struct int8_panel *o, enum dtype t) {}

INLINE __m256i int8_dots(const struct int8_panel *o, enum dtype t, int h, int from, int n, const int8_t *q, int32_t sum) {
    __m256i ones = _mm256_set1_epi16(1), s = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int j = from; j < from + n; j++) {
        __m256i x = _mm256_set1_epi32(word((const char *)q + 4 * j)), w = o->w[h][j];
        if (int8_narrow(t))
            s = _mm256_add_epi16(s, _mm256_maddubs_epi16(w, x));
        else
            s = _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)), ones));
    }
    if (!int8_narrow(t)) return s;
    s = _mm256_madd_epi16(s, ones);
    return int8_zero(t) ? _mm256_sub_epi32(s, _mm256_set1_epi32(int8_zero(t) * sum)) : s;
}

#include "kernels/cpu/int8_tile.h"

void int8_panels_avx2(const struct int8_job *j, int64_t n0, int64_t panels, int r0, int rows) { int8_panels(j, n0, panels, r0, rows); }

/* ---- x ---- */
INLINE int32_t sum_i32(__m128i v) {
    v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32(v, 0xb1)));
}

INLINE float most_of(__m256 v) {
    __m128 a = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)));
}

/* Codes of 32 values, in order */
INLINE __m256i codes32(const __m256 v[4], float f) {
    __m256i i[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) i[j] = _mm256_cvtps_epi32(_mm256_mul_ps(v[j], _mm256_set1_ps(f)));
    __m256i p = _mm256_packs_epi16(_mm256_packs_epi32(i[0], i[1]), _mm256_packs_epi32(i[2], i[3]));
    return _mm256_permutevar8x32_epi32(p, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* Even codes of each eight first: int8.h */
INLINE __m256i in_pairs(__m256i q) {
    __m128i lane = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(q, _mm256_broadcastsi128_si256(lane)), 0xd8);
}

AVX2 void int8_quantise_avx2(const struct int8_rows *to, const float *x, int64_t K, int r, bool pairs) {
    __m256 sign = _mm256_set1_ps(-0.0f);
    for (int64_t b = 0; b < K / INT8_BLOCK; b++, x += INT8_BLOCK) {
        struct int8_meta *m = to->meta + b * to->R + r;
        __m256 v[4], top = _mm256_setzero_ps(), odd = top;
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            v[j] = _mm256_loadu_ps(x + 8 * j);
            top = _mm256_max_ps(_mm256_andnot_ps(sign, v[j]), top); /* a NaN is passed over here … */
            odd = _mm256_or_ps(odd, _mm256_sub_ps(v[j], v[j]));     /* … and seen here, as is an infinity */
        }
        float most = most_of(top);
        bool finite = _mm256_testz_si256(_mm256_castps_si256(odd), _mm256_castps_si256(odd)), live = finite && most >= 1e-30f;
        __m256i q = live ? codes32(v, 127 / most) : _mm256_setzero_si256();
        __m256i s = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), q), _mm256_set1_epi16(1));
        int32_t low = sum_i32(_mm256_castsi256_si128(s)), sum = low + sum_i32(_mm256_extracti128_si256(s, 1));
        float d = finite ? live ? most * (1 / 127.0f) : 0 : NAN;
        *m = (struct int8_meta){d, d * (float)sum, sum, low};
        _mm256_storeu_si256((__m256i *)(to->q + (b * to->R + r) * INT8_BLOCK), pairs ? in_pairs(q) : q);
    }
}
#endif

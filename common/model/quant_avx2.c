/* NF4 and FP4 codes of whole blocks with AVX2, and the sums of an error: the same operations on each value as quant.c's, so
   the same bytes. See quant_avx2.h. */
#include "common/model/quant_avx2.h"
#if QUANT_AVX2
#include <immintrin.h>
#include <math.h>
#define AVX2 __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline)) AVX2

bool quant_has_avx2(void) { return __builtin_cpu_supports("avx2"); }

/* of n values, a multiple of 8 */
INLINE float largest(const float *x, int64_t n) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 m = _mm256_setzero_ps();
    for (int64_t i = 0; i < n; i += 8) m = _mm256_max_ps(m, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)));
    __m128 h = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
    h = _mm_max_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(_mm_max_ss(h, _mm_shuffle_ps(h, h, 1)));
}

/* How many bounds each of 8 scaled values is above */
INLINE __m256i rank(const float *x, __m256 inverse, const float bounds[15]) {
    __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x), inverse);
    __m256i at = _mm256_setzero_si256();
#pragma GCC unroll 15
    for (int i = 0; i < 15; i++) at = _mm256_sub_epi32(at, _mm256_castps_si256(_mm256_cmp_ps(v, _mm256_broadcast_ss(bounds + i), _CMP_GT_OQ)));
    return at;
}

AVX2 void quant_4bit_avx2(uint8_t *packed, float *absmax, const float *x, int64_t blocks, int block, const float bounds[15], const uint8_t order[16]) {
    const __m256i codes = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)order)), turn = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (int64_t b = 0; b < blocks; b++, x += block, packed += block / 2) {
        float m = largest(x, block);
        __m256 inverse = _mm256_set1_ps(1.0f / fmaxf(m, 1e-38f));
        absmax[b] = m;
        for (int i = 0; i < block; i += 32) {
            __m256i low = _mm256_packs_epi32(rank(x + i, inverse, bounds), rank(x + i + 8, inverse, bounds));
            __m256i high = _mm256_packs_epi32(rank(x + i + 16, inverse, bounds), rank(x + i + 24, inverse, bounds));
            __m256i q = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), turn); /* 32 bytes in order */
            q = _mm256_maddubs_epi16(_mm256_shuffle_epi8(codes, q), _mm256_set1_epi16(0x0110)); /* the first of two goes high */
            q = _mm256_permute4x64_epi64(_mm256_packus_epi16(q, q), 0x08);
            _mm_storeu_si128((__m128i *)(packed + i / 2), _mm256_castsi256_si128(q));
        }
    }
}

/* Four partial sums a quantity, added in order. */
AVX2 int64_t quant_sums_avx2(double sums[4], const float *x, const float *y, int64_t n) {
    __m256d s[4] = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        __m256d a = _mm256_cvtps_pd(_mm_loadu_ps(x + i)), b = _mm256_cvtps_pd(_mm_loadu_ps(y + i)), d = _mm256_sub_pd(a, b);
        s[0] = _mm256_add_pd(s[0], _mm256_mul_pd(a, a));
        s[1] = _mm256_add_pd(s[1], _mm256_mul_pd(b, b));
        s[2] = _mm256_add_pd(s[2], _mm256_mul_pd(a, b));
        s[3] = _mm256_add_pd(s[3], _mm256_mul_pd(d, d));
    }
    for (int k = 0; k < 4; k++) {
        double v[4];
        _mm256_storeu_pd(v, s[k]);
        sums[k] += v[0] + v[1] + v[2] + v[3];
    }
    return i;
}
#else
bool quant_has_avx2(void) { return false; }
void quant_4bit_avx2(uint8_t *packed, float *absmax, const float *x, int64_t blocks, int block, const float bounds[15], const uint8_t order[16]) {}
int64_t quant_sums_avx2(double sums[4], const float *x, const float *y, int64_t n) { return 0; }
#endif

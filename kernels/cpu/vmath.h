/* Vector pieces that several AVX2 ops share. Include only from files that use them under AVX2. */
#ifndef COADOR_VMATH_H
#define COADOR_VMATH_H
#include "kernels/cpu/cpu.h"
#if CPU_X86
#include <immintrin.h>
#define VINLINE static inline __attribute__((always_inline, unused)) AVX2

/* Lanes 0..n-1 (n <= 8) for masked loads and stores: the end of a buffer takes the same arithmetic as its middle. */
VINLINE __m256i first_lanes(int64_t n) {
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)(ones + (n >= 8 ? 0 : 8 - n)));
}

/* The first n of 8 values, the others 0. Whole vectors avoid the masked instructions, which are slow (on Zen: stores). */
VINLINE __m256 load_n(const float *p, int64_t n) { return n >= 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, first_lanes(n)); }
VINLINE void store_n(float *p, __m256 v, int64_t n) {
    if (n >= 8)
        _mm256_storeu_ps(p, v);
    else
        _mm256_maskstore_ps(p, first_lanes(n), v);
}

/* e^r for |r| <= ln2/2: 1 + r + r²·p(r), p the polynomial of degree 4 of least relative error (2^-28.2 of e^r),
   fitted by iterated weighted least squares */
VINLINE __m256 exp_near0(__m256 r) {
    __m256 p = _mm256_set1_ps(0x1.6a23dp-10f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.123a2p-7f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.5558f2p-5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.555492p-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.fffffcp-2f));
    return _mm256_add_ps(_mm256_fmadd_ps(_mm256_mul_ps(r, r), p, r), _mm256_set1_ps(1));
}

/* x = n·ln2 + r, ln2 in two parts */
VINLINE __m256 exp_split(__m256 x, __m256 *n) {
    *n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm256_fnmadd_ps(*n, _mm256_set1_ps(0x1.7f7d1cp-20f), _mm256_fnmadd_ps(*n, _mm256_set1_ps(0x1.62e4p-1f), x));
}

VINLINE __m256 power2(__m256i n) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23)); }

/* e^x, relative error below 1.2·2^-23 in the normal range; 0 below −104, infinity above 88.73, NaN for NaN. 2^n comes as
   two factors, so that results next to overflow and denormal ones come out right. */
VINLINE __m256 exp8(__m256 x) {
    __m256 n, r = exp_split(_mm256_max_ps(_mm256_set1_ps(-105), _mm256_min_ps(_mm256_set1_ps(89), x)), &n); /* a NaN is kept as second operand */
    __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1);
    return _mm256_mul_ps(_mm256_mul_ps(exp_near0(r), power2(half)), power2(_mm256_sub_epi32(i, half)));
}

/* The same for x <= 0, as in a softmax, with less work: what would be denormal (x < −87.3) is 0. */
VINLINE __m256 exp8_neg(__m256 x) {
    __m256 low = _mm256_set1_ps(-87.3f), n, r = exp_split(_mm256_max_ps(low, x), &n);
    __m256 e = _mm256_mul_ps(exp_near0(r), power2(_mm256_cvtps_epi32(n)));
    return _mm256_and_ps(e, _mm256_cmp_ps(x, low, _CMP_NLT_UQ));
}

/* Sum of the lanes, always in the same order */
VINLINE float sum8(__m256 v) {
    __m128 a = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps(a, a, 1)));
}

VINLINE float max8(__m256 v) {
    __m128 a = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)));
}
#endif
#endif

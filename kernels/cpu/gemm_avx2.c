/* The tile of the product for AVX2: 6 × 16 sums in registers, a broadcast of A and two vectors of B a step. */
#include "kernels/cpu/gemm.h"
#if CPU_X86
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline)) AVX2

INLINE void store8(float *c, __m256 sum, __m256 alpha, bool add) {
    _mm256_storeu_ps(c, add ? _mm256_fmadd_ps(alpha, sum, _mm256_loadu_ps(c)) : _mm256_mul_ps(alpha, sum));
}

/* mr and, where it is 1, a_col are constants at every call, so the loops over rows unroll into registers */
INLINE void rows(const int mr, int kc, const float *a, int64_t a_row, int64_t a_col, const float *b, float *c, int64_t ldc, float alpha, bool add) {
    __m256 s0[GEMM_MR], s1[GEMM_MR], al = _mm256_set1_ps(alpha);
    const float *ar[GEMM_MR];
#pragma GCC unroll 6
    for (int i = 0; i < mr; i++) s0[i] = s1[i] = _mm256_setzero_ps(), ar[i] = a + i * a_row;
#pragma GCC unroll 4
    for (int k = 0; k < kc; k++) {
        __m256 b0 = _mm256_load_ps(b + k * GEMM_NR), b1 = _mm256_load_ps(b + k * GEMM_NR + 8);
#pragma GCC unroll 6
        for (int i = 0; i < mr; i++) {
            __m256 v = _mm256_broadcast_ss(ar[i] + k * a_col);
            s0[i] = _mm256_fmadd_ps(v, b0, s0[i]);
            s1[i] = _mm256_fmadd_ps(v, b1, s1[i]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < mr; i++) {
        store8(c + i * ldc, s0[i], al, add);
        store8(c + i * ldc + 8, s1[i], al, add);
    }
}

#define TILE(name, mr, col) \
    AVX2 static void name(int kc, const float *a, int64_t a_row, int64_t a_col, const float *b, float *c, int64_t ldc, float alpha, bool add) { \
        rows(mr, kc, a, a_row, col, b, c, ldc, alpha, add); \
    }
TILE(flat1, 1, 1) TILE(flat2, 2, 1) TILE(flat3, 3, 1) TILE(flat4, 4, 1) TILE(flat5, 5, 1) TILE(flat6, 6, 1)
TILE(step1, 1, a_col) TILE(step2, 2, a_col) TILE(step3, 3, a_col) TILE(step4, 4, a_col) TILE(step5, 5, a_col) TILE(step6, 6, a_col)

void gemm_tile_avx2(int mr, int kc, const float *a, int64_t a_row, int64_t a_col, const float *b, float *c, int64_t ldc, float alpha, bool add) {
    static void (*const flat[])(int, const float *, int64_t, int64_t, const float *, float *, int64_t, float, bool) = {flat1, flat2, flat3, flat4, flat5, flat6};
    static void (*const step[])(int, const float *, int64_t, int64_t, const float *, float *, int64_t, float, bool) = {step1, step2, step3, step4, step5, step6};
    (a_col == 1 ? flat : step)[mr - 1](kc, a, a_row, a_col, b, c, ldc, alpha, add);
}
#endif

/* The tile of the product for AVX2: 6 × 16 sums in registers, a broadcast of A and two vectors of B a step. */
#include "kernels/cpu/gemm.h"
#if CPU_X86
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline)) AVX2


/* mr and, where it is 1, a_col are constants at every call, so the loops over rows unroll into registers */
INLINE void rows(const int mr, int kc, const float *a, int64_t a_row, int64_t a_col, const float *b, const float *from, int64_t from_ld, float *c, int64_t ldc, float alpha) {
    __m256 s0[GEMM_MR], s1[GEMM_MR], al = _mm256_set1_ps(alpha);
    const float *ar[GEMM_MR];
#pragma GCC unroll 6
    for (int i = 0; i < mr; i++) s0[i] = s1[i] = _mm256_setzero_ps(), ar[i] = a + i * a_row;
#pragma GCC unroll 6
    for (int i = 0; i < mr && kc > 64; i++) _mm_prefetch((const char *)(c + i * ldc), _MM_HINT_T0); /* far apart, and wanted at the end */
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
        __m256 c0 = from ? _mm256_loadu_ps(from + i * from_ld) : _mm256_setzero_ps(), c1 = from ? _mm256_loadu_ps(from + i * from_ld + 8) : c0;
        _mm256_storeu_ps(c + i * ldc, _mm256_fmadd_ps(al, s0[i], c0));
        _mm256_storeu_ps(c + i * ldc + 8, _mm256_fmadd_ps(al, s1[i], c1));
    }
}

#define TILE(name, mr, col) \
    AVX2 static void name(int kc, const float *a, int64_t a_row, int64_t a_col, const float *b, const float *from, int64_t from_ld, float *c, int64_t ldc, float alpha) { \
        rows(mr, kc, a, a_row, col, b, from, from_ld, c, ldc, alpha); \
    }
TILE(flat1, 1, 1) TILE(flat2, 2, 1) TILE(flat3, 3, 1) TILE(flat4, 4, 1) TILE(flat5, 5, 1) TILE(flat6, 6, 1)
TILE(step1, 1, a_col) TILE(step2, 2, a_col) TILE(step3, 3, a_col) TILE(step4, 4, a_col) TILE(step5, 5, a_col) TILE(step6, 6, a_col)

typedef void tile_fn(int, const float *, int64_t, int64_t, const float *, const float *, int64_t, float *, int64_t, float);
static tile_fn *const tiles[2][GEMM_MR] = {{step1, step2, step3, step4, step5, step6}, {flat1, flat2, flat3, flat4, flat5, flat6}};

void gemm_tile_avx2(int mr, int kc, const float *a, int64_t a_row, int64_t a_col, const float *b, const float *from, int64_t from_ld, float *c, int64_t ldc, float alpha) {
    tiles[a_col == 1][mr - 1](kc, a, a_row, a_col, b, from, from_ld, c, ldc, alpha);
}
#endif

/* One product for every linear and LoRA op: C(M,N) = C + alpha·A(M,K)·B(K,N), or without the first C.
   A is f32 with any steps; B is a weight of any type, W(K,N) or the transpose of W(N,K), decoded 16 columns × GEMM_KC
   at a time into a panel that stays in the first-level cache: there is never a decoded copy of a weight.

   There is no BLAS below: on one Zen 4 core at 1024 rows, 576 × 576 to 1536 × 576 and Q4_1 weights this AVX2 product runs at
   0.98 to 1.10 of sgemm's rate in OpenBLAS 0.3.21 (its AVX-512 kernels, the weight decoded beforehand): 99 to 109 beside
   98 to 105 GFLOP/s, tests/bench/gemm.c.

   Order of summation, the same on every path and for every M, N, tiling and thread count: K is cut in blocks of GEMM_KC,
   each summed by one chain of fused multiply-adds from 0, and the blocks are added to C in order. So a row of a product
   does not depend on which other rows are computed with it. */
#ifndef COADOR_GEMM_H
#define COADOR_GEMM_H
#include "kernels/cpu/cpu.h"

#define GEMM_KC 384 /* a multiple of the block of every quantised type */
#define GEMM_NR 16  /* columns of a panel */
#define GEMM_MR 6   /* rows of a tile: 6 × 16 sums fill 12 of the 16 AVX2 registers */

struct gemm {
    int64_t M, N, K;
    const float *a; /* element (i,k) at a[i·a_row + k·a_col] */
    int64_t a_row, a_col;
    const struct weight *w; /* W(N,K) if wt, else W(K,N) */
    bool wt;
    float alpha;
    bool add; /* C is added to, else set */
    float *c; /* (M,N), rows ldc apart */
    int64_t ldc;
};
void gemm(struct kctx *k, const struct gemm *g);

/* Decodes B[k0..k0+kc)[n0..n0+n), n <= 16, into b[kc][16]; missing columns are 0. */
typedef void gemm_pack_fn(float *b, const struct weight *w, bool wt, int64_t k0, int kc, int64_t n0, int n);
/* c(mr,16) = from(mr,16) + alpha·a(mr,kc)·b[kc][16]; from: NULL for 0, or c itself, or elsewhere; rows from_ld and ldc apart */
typedef void gemm_tile_fn(int mr, int kc, const float *a, int64_t a_row, int64_t a_col, const float *b, const float *from, int64_t from_ld, float *c, int64_t ldc, float alpha);
/* Few rows times a quantised weight (AVX2): whole panels `panel`..`panel`+`panels` of C */
#define GEMV_ROWS 4
bool gemv_fits(const struct gemm *g);
void gemv_avx2(const struct gemm *g, int64_t panel, int64_t panels);
gemm_pack_fn gemm_pack_plain, gemm_pack_avx2;
/* Whole panels of types that pack_avx2.c leaves to pack_quant.c: the first *done of kc; false: no fast path. */
bool gemm_pack_quant(float *b, const struct weight *w, bool wt, int64_t k0, int kc, int64_t n0, int *done);
gemm_tile_fn gemm_tile_plain, gemm_tile_avx2;
#endif

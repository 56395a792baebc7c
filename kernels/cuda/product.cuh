/* Sums of products with many rows, on Hopper (product.cu). */
#ifndef COADOR_CUDA_PRODUCT_CUH
#define COADOR_CUDA_PRODUCT_CUH
#include "kernels/cuda/cuda.cuh"
enum { WIDE_TERMS = 4, WIDE_SUMS = 3, WIDE_LEAST = 128 /* rows */ };
struct wide_term { /* a(R,K) by b(N,K)ᵀ, or by b(K,N) */
    const act16 *a;
    int64_t lda;
    const act16 *b;
    int64_t ldb;
    int K;
};
struct wide_scaled { /* a(R,K) by b(N,K)ᵀ in e4m3 (Micikevicius et al., arXiv 2209.05433), a scale for each of their rows: f32 of no more bits than bf16 */
    const uint8_t *a, *b;
    const float *a_scale, *b_scale;
    int K;
};
struct wide_sum { /* c(R,N) = onto(R,N), NULL: none, may be c, + the terms; pitches of c and onto are N */
    act16 *c;
    const act16 *onto;
    int N, n;
    struct wide_term t[WIDE_TERMS];
    struct wide_scaled scaled; /* one more term, of all sums of a launch or of none (a NULL); n is one less at most then */
};
#ifdef COADOR_FP16 /* no card that it is for uses that library */
static inline bool cuda_is_wide(const struct kctx *, int) { return false; }
static inline bool cuda_wide(struct kctx *, bool, const struct wide_sum *, int, int) { return false; }
#else
bool cuda_is_wide(const struct kctx *k, int R); /* whether the card and the number of rows are for it */
/* n sums of R rows in one launch; by_rows: every b is (K,N). False where also a shape or an address is not for it: nothing was done. */
bool cuda_wide(struct kctx *k, bool by_rows, const struct wide_sum *s, int n, int R);
/* The same for sums that cuda_wide's tiles are too few for (narrow.cu); none of them scaled, and their addresses and pitches checked. False where
   they are more than that: nothing was done. */
bool cuda_narrow(struct kctx *k, bool by_rows, const struct wide_sum *s, int n, int R);
#endif
#endif

/* The linears of one input with their products in e4m3 (e4m3.cu), for adapted where a->e4m3: Hopper only. */
#ifndef COADOR_CUDA_E4M3_CUH
#define COADOR_CUDA_E4M3_CUH
#include "kernels/cuda/cuda.cuh"
#ifdef COADOR_FP16 /* no card that it is for uses that library */
static inline bool cuda_e4m3_fits(const struct kctx *, const struct adapted *, int) { return false; }
static inline void cuda_e4m3_forward(struct kctx *, const void *, void *const *, const void *, const void *, const act16 *const *, const struct adapted *, int) {}
static inline void cuda_e4m3_backward(struct kctx *, void *, const void *const *, const act16 *, const act16 *, const struct adapted *, int) {}
static inline void cuda_e4m3_forget(struct kctx *, const void *) {}
#else
/* Whether rows and shapes are for it; if not, the same products are taken in bf16. */
bool cuda_e4m3_fits(const struct kctx *k, const struct adapted *a, int R);
/* y[j] = (j ? 0 : onto) + x·W[j]ᵀ + h[j]·b[j]ᵀ, h(R, n·r) */
void cuda_e4m3_forward(struct kctx *k, const void *onto, void *const *y, const void *x, const void *h, const act16 *const *b, const struct adapted *a, int R);
/* dx = Σ dy[j]·W[j], + dh·A with dh(R, n·r), A(n·r, K) unless dh is NULL */
void cuda_e4m3_backward(struct kctx *k, void *dx, const void *const *dy, const act16 *dh, const act16 *A, const struct adapted *a, int R);
/* Gives back what was kept of linears whose first has these values, which are no more; of NULL: of all. */
void cuda_e4m3_forget(struct kctx *k, const void *of);
#endif
#endif

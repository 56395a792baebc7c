/* The thin products of LoRA's backward (thin.cu). */
#ifndef COADOR_CUDA_THIN_CUH
#define COADOR_CUDA_THIN_CUH
#include "kernels/cuda/cuda.cuh"
/* dh(R, n·r): of each linear dy·(s·B), beside each other; dB += s·dyᵀ·h. b[j]: s·B. False where a rank, a width, an address or the card is not
   for it: nothing was done. */
#ifdef COADOR_FP16 /* no card that it is for uses that library */
static inline bool cuda_thin_bwd(struct kctx *, act16 *, float *const *, const void *const *, const act16 *, const act16 *const *, const struct adapted *, int) { return false; }
#else
bool cuda_thin_bwd(struct kctx *k, act16 *dh, float *const *dB, const void *const *dy, const act16 *h, const act16 *const *b, const struct adapted *a, int R);
#endif
#endif

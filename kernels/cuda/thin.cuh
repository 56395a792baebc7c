/* The thin products of LoRA's backward (thin.cu). */
#ifndef COADOR_CUDA_THIN_CUH
#define COADOR_CUDA_THIN_CUH
#include "kernels/cuda/philox.cuh"
/* dh(R, n·r): of each linear dy·(s·B), beside each other; dB += s·dyᵀ·h. b[j]: s·B. False where a rank, a width, an address or the card is not
   for it: nothing was done. */
struct swiglu_thin { /* see swiglu_adapted_bwd in kernels/adapted.h */
    act16 *dgate, *dup, *dh;
    const act16 *dy, *gate, *up, *h, *b[2]; /* b: s·B */
    float *dA, *dB[2], s;
    int F, r, R;
    struct drop drop; /* of y, with its rows' places; of no meaning where pos is NULL */
    const int32_t *seq, *pos;
};
#ifdef COADOR_FP16 /* no card that it is for uses that library */
static inline bool cuda_thin_bwd(struct kctx *, act16 *, float *const *, const void *const *, const act16 *, const act16 *const *, const struct adapted *, int) { return false; }
static inline bool cuda_swiglu_thin(struct kctx *, const struct swiglu_thin *) { return false; }
#else
bool cuda_thin_bwd(struct kctx *k, act16 *dh, float *const *dB, const void *const *dy, const act16 *h, const act16 *const *b, const struct adapted *a, int R);
bool cuda_swiglu_thin(struct kctx *k, const struct swiglu_thin *t); /* false: as above */
#endif
#endif

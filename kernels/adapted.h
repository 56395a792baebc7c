/* All linears of one input with LoRA on each of them: what linear, lora_down and lora_up, or linear_dx, lora_up_bwd and
   lora_down_bwd, do one by one. A table may leave both NULL. */
#ifndef COADOR_ADAPTED_H
#define COADOR_ADAPTED_H
#include <stdbool.h>
#include "kernels/dropout.h"
#include <stdint.h>
struct kctx;
struct weight;
enum { ADAPTED_MOST = 3 };
struct adapted {
    int n, r;                                          /* linears, rank */
    bool e4m3, rounded;                                /* see below; x, or all dy, was last written by an op of rounded.h */
    float s;
    const struct weight *w;                            /* n on the host */
    const float *A[ADAPTED_MOST], *B[ADAPTED_MOST];    /* A(r,K), B(N,r) */
};
/* y[j](R,N) act = x(R,K)·Wᵀ + s·(xd(R,K)·Aᵀ)·Bᵀ, of one linear also + onto(R,N) unless NULL (it may be y[0]); h (n·R·r act) is what the backward reads, in an order of the
   device's own. xd NULL: h is done (swiglu_adapted). */
typedef void adapted_fn(struct kctx *, const void *onto, void *const *y, const void *x, const void *xd, void *h, const struct adapted *a, int R);
/* dA[j], dB[j] += from dy[j](R,N); dh (n·R·r act) is scratch. dx(R,K) = Σ dy·W, and Σ s·(dy·B)·A goes onto it, or alone into
   dxd where that is not NULL. dx NULL: neither is wanted.
   xd NULL: dA is left to lora_down_bwd with this dh (one linear). dB NULL: dh and dB are done (swiglu_adapted_bwd). */
typedef void adapted_bwd_fn(struct kctx *, void *dx, void *dxd, float *const *dA, float *const *dB, const void *const *dy, const void *xd, const void *h, void *dh, const struct adapted *a, int R);
struct dropped { struct dropout_key key; const int32_t *seq, *pos; }; /* (R) on the device: dropout.h */
/* swiglu, and h of the one linear that it feeds: y(R,F) = SwiGLU(gate, up) and h(R,r) = yd·A(r,F)ᵀ, as adapted's; yd is y, or y dropped unless
   drop is NULL. false: these shapes are not for it, nothing was done. */
typedef bool swiglu_adapted_fn(struct kctx *, void *y, void *h, const void *gate, const void *up, const float *A, const struct dropped *drop, int F, int r, int R);
/* swiglu_bwd_again, and what reads of its results: *a describes gate and up (n 2), whose dh and dB are taken as by adapted_bwd (h is theirs), and
   dA(r,F) += dh_downᵀ·yd of the linear that SwiGLU feeds. dh: dh_down(R,r) on entry, (2·R·r act) as adapted_bwd's afterwards.
   false: these shapes are not for it, nothing was done. */
typedef bool swiglu_adapted_bwd_fn(struct kctx *, void *dgate, void *dup, const void *dy, const void *gate, const void *up, float *dA, void *dh, float *const *dB, const void *h, const struct dropped *drop, const struct adapted *a, int R);
/* With e4m3, where the device has it: x·Wᵀ and Σ dy·W are products of e4m3 (arXiv 2209.05433) whose sums are scaled and added to the shares in
   f32. x and all dy of a row have one scale together, W one for each of the result's columns: greatest magnitude / 448, rounded up to bf16. A
   row that holds a value that is not finite becomes NaN. Fewer than 128 rows of x are multiplied as without. What may be asked
   for, by the rows of each of the n matrices: */
static inline bool adapted_e4m3_shape(int r, int n, const int64_t *rows, int64_t cols) {
    int64_t all = 0;
    bool fits = r % 8 == 0 && cols % 16 == 0 && cols <= 1 << 16;
    for (int j = 0; j < n; j++) fits &= rows[j] % 16 == 0, all += rows[j];
    return fits && all <= 1 << 16;
}
#endif

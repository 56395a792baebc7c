/* All linears of one input with LoRA on each of them: what linear, lora_down and lora_up, or linear_dx, lora_up_bwd and
   lora_down_bwd, do one by one. A table may leave both NULL. */
#ifndef COADOR_ADAPTED_H
#define COADOR_ADAPTED_H
#include <stdbool.h>
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
   device's own. */
typedef void adapted_fn(struct kctx *, const void *onto, void *const *y, const void *x, const void *xd, void *h, const struct adapted *a, int R);
/* dA[j], dB[j] += from dy[j](R,N); dh (n·R·r act) is scratch. dx(R,K) = Σ dy·W, and Σ s·(dy·B)·A goes onto it, or alone into
   dxd where that is not NULL. dx NULL: neither is wanted.
   xd NULL: dA is left to lora_down_bwd with this dh (one linear). */
typedef void adapted_bwd_fn(struct kctx *, void *dx, void *dxd, float *const *dA, float *const *dB, const void *const *dy, const void *xd, const void *h, void *dh, const struct adapted *a, int R);
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

/* All linears of one input with LoRA on each of them: what linear, lora_down and lora_up, or linear_dx, lora_up_bwd and
   lora_down_bwd, do one by one. A table may leave both NULL. */
#ifndef COADOR_ADAPTED_H
#define COADOR_ADAPTED_H
struct kctx;
struct weight;
enum { ADAPTED_MOST = 3 };
struct adapted {
    int n, r;                                          /* linears, rank */
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
#endif

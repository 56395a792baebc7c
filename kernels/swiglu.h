/* SwiGLU (arXiv 2002.05202): y = silu(gate) ⊙ up, silu(z) = z/(1+e^−z). */
#ifndef COADOR_SWIGLU_H
#define COADOR_SWIGLU_H
#include <stdint.h>
struct kctx;
/* y, gate, up: n act values; y may be gate or up */
typedef void swiglu_fn(struct kctx *, void *y, const void *gate, const void *up, int64_t n);
/* dgate, dup = ; may be the memory of gate, up or dy */
typedef void swiglu_bwd_fn(struct kctx *, void *dgate, void *dup, const void *dy, const void *gate, const void *up, int64_t n);
/* The same, and y = silu(gate) ⊙ up on the way. A table may leave it NULL. */
typedef void swiglu_bwd_again_fn(struct kctx *, void *dgate, void *dup, void *y, const void *dy, const void *gate, const void *up, int64_t n);
swiglu_fn swiglu_ref, swiglu_cpu;
swiglu_bwd_fn swiglu_bwd_ref, swiglu_bwd_cpu;
#endif

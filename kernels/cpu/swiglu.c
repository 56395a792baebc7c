/* SwiGLU, forward and backward. */
#include "kernels/cpu/cpu.h"
#include <math.h>

void swiglu_ref(struct kctx *k, void *y, const void *gate, const void *up, int64_t n) {
    const float *g = gate, *u = up;
    for (int64_t i = 0; i < n; i++) ((float *)y)[i] = (float)(g[i] / (1 + exp(-(double)g[i])) * u[i]);
}

/* silu'(z) = σ(z)·(1 + z·(1 − σ(z))) */
void swiglu_bwd_ref(struct kctx *k, void *dgate, void *dup, const void *dy, const void *gate, const void *up, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double g = ((const float *)gate)[i], u = ((const float *)up)[i], d = ((const float *)dy)[i], s = 1 / (1 + exp(-g));
        ((float *)dgate)[i] = (float)(d * u * s * (1 + g * (1 - s)));
        ((float *)dup)[i] = (float)(d * g * s);
    }
}

void swiglu_cpu(struct kctx *k, void *y, const void *gate, const void *up, int64_t n) { swiglu_ref(k, y, gate, up, n); }
void swiglu_bwd_cpu(struct kctx *k, void *dgate, void *dup, const void *dy, const void *gate, const void *up, int64_t n) { swiglu_bwd_ref(k, dgate, dup, dy, gate, up, n); }

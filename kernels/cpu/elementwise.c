/* Sums of whole buffers. */
#include "kernels/cpu/cpu.h"

void add_ref(struct kctx *k, void *y, const void *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) ((float *)y)[i] += ((const float *)x)[i];
}

/* Bound by memory: SSE2, which every x86-64 has, is enough. */
void add_cpu(struct kctx *k, void *y, const void *x, int64_t n) {
    float *a = y;
    const float *b = x;
#pragma omp parallel for simd num_threads(k->threads) schedule(static) if (parallel : n > CPU_SPAN)
    for (int64_t i = 0; i < n; i++) a[i] += b[i];
}

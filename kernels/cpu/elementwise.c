/* Sums of whole buffers. */
#include "kernels/cpu/cpu.h"

void add_ref(struct kctx *k, void *y, const void *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) ((float *)y)[i] += ((const float *)x)[i];
}

void add_cpu(struct kctx *k, void *y, const void *x, int64_t n) { add_ref(k, y, x, n); }

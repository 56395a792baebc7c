/* Gradients of a scaled loss (common/train/loss_scale.h) divided by its scale, a power of two. */
#include "kernels/cuda/cuda.cuh"

static __global__ void unscale(float *g, int64_t n, float by) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) g[i] *= by;
}
void cuda_unscale(struct kctx *k, float *g, int64_t n, double scale) {
    cuda_flush(k);
    if (n) unscale<<<(unsigned)ceil_div(n, 256), 256, 0, k->stream>>>(g, n, (float)(1 / scale));
    launched(k, "unscale");
}

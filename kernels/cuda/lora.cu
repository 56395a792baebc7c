/* LoRA's thin products on tensor cores: A and B, kept in f32, are rounded to 16 bits for them; gradients are summed in f32. */
#include "kernels/cuda/cuda.cuh"

static __global__ void round_all(act16 *dst, const float *src, float s, int64_t n) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) dst[i] = to_act(s * src[i]);
}
void cuda_to_act(struct kctx *k, act16 *dst, const float *src, float s, int64_t n) {
    if (n) round_all<<<(unsigned)ceil_div(n, 256), 256, 0, k->stream>>>(dst, src, s, n);
    launched(k, "rounding to 16 bits");
}

static const act16 *rounded(struct kctx *k, const float *src, float s, int64_t n) {
    act16 *dst = (act16 *)cuda_scratch(k, SCRATCH_FACTOR, (size_t)n * 2);
    if (dst) cuda_to_act(k, dst, src, s, n);
    return dst;
}

void cuda_lora_down(struct kctx *k, void *h, const void *x, const float *A, int R, int r, int K) {
    if (cuda_waits(k, x, false) || cuda_waits(k, h, true)) cuda_flush(k);
    const act16 *a = rounded(k, A, 1, (int64_t)r * K);
    if (a) cuda_gemm(k, true, false, r, R, K, 1, a, K, (const act16 *)x, K, 0, h, r, false);
}

/* Onto a linear that waits (linear.cu). Few rows: the share first, for the product is added to it in f32. */
static void with_linear(struct kctx *k, const struct pending *p, const act16 *h, const act16 *b, int r) {
    int N = (int)p->w.rows;
    if (p->R > GEMV_ROWS) {
        cuda_linear_with_share(k, p->beta == 0 ? NULL : p->y, p->y, p->x, &p->w, h, r, b, r, p->R);
        return;
    }
    act16 *sum = p->beta == 0 ? p->y : (act16 *)cuda_scratch(k, SCRATCH_SHARE, (size_t)p->R * (size_t)N * 2);
    if (!sum) return;
    cuda_gemm(k, true, false, N, p->R, r, 1, b, r, h, r, 0, sum, N, false);
    cuda_linear_now(k, 1, sum, p->x, &p->w, p->R);
    if (sum != p->y) cuda_add_now(k, p->y, p->y, sum, (int64_t)p->R * N);
}

void cuda_lora_up(struct kctx *k, void *y, const void *h, const float *B, float s, int R, int r, int N) {
    struct pending p;
    bool waits = cuda_take_pending(k, y, &p);
    if (!waits) cuda_flush(k);
    const act16 *b = rounded(k, B, s, (int64_t)N * r);
    if (!b) return;
    if (waits)
        with_linear(k, &p, (const act16 *)h, b, r);
    else
        cuda_gemm(k, true, false, N, R, r, 1, b, r, (const act16 *)h, r, 1, y, N, false);
}

void cuda_lora_up_bwd(struct kctx *k, void *dh, float *dB, const void *dy, const void *h, const float *B, float s, int R, int r, int N) {
    cuda_flush(k);
    const act16 *b = rounded(k, B, s, (int64_t)N * r);
    if (!b) return;
    cuda_gemm(k, false, false, r, R, N, 1, b, r, (const act16 *)dy, N, 0, dh, r, false);
    cuda_gemm(k, false, true, r, N, R, s, (const act16 *)h, r, (const act16 *)dy, N, 1, dB, r, true);
}

void cuda_lora_down_bwd(struct kctx *k, float beta, void *dx, float *dA, const void *dh, const void *x, const float *A, int R, int r, int K) {
    cuda_flush(k);
    cuda_gemm(k, false, true, K, r, R, 1, (const act16 *)x, K, (const act16 *)dh, r, 1, dA, K, true);
    const act16 *a = dx ? rounded(k, A, 1, (int64_t)r * K) : NULL;
    if (a) cuda_gemm(k, false, false, K, R, r, 1, a, K, (const act16 *)dh, r, beta, dx, K, false);
}

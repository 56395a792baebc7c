/* Token losses with the gradient in the logits' place, the gradient's norm, AdamW. */
#include "kernels/cuda/cuda.cuh"
#include <math.h>

/* ---- cross entropy: a block a row, two readings of it (the second from L2) ---- */
struct peak { float max, sum; }; /* Σ exp(z − max) */
static __device__ inline struct peak join(struct peak a, struct peak b) {
    float m = a.max > b.max ? a.max : b.max;
    if (isnan(a.sum) || isnan(b.sum)) return {m, NAN};
    float x = a.max == -INFINITY ? 0 : a.sum * expf(a.max - m), y = b.max == -INFINITY ? 0 : b.sum * expf(b.max - m);
    return {m, x + y};
}

template <int V> static __device__ struct peak row_peak(const act16 *z, int n) {
    struct peak p = {-INFINITY, 0};
    float v[V];
    for (int c = threadIdx.x * V; c < n; c += blockDim.x * V) {
        load<V>(v, z + c);
        float m = v[0], s = 0;
        bool bad = false;
#pragma unroll
        for (int j = 0; j < V; j++) m = fmaxf(m, v[j]), bad |= isnan(v[j]);
#pragma unroll
        for (int j = 0; j < V; j++) s += m == -INFINITY ? 0 : expf(v[j] - m);
        p = join(p, bad ? peak{m, NAN} : peak{m, s});
    }
    return p;
}

template <int V> static __global__ void cross_entropy(float *loss, act16 *logits, const int32_t *target, const float *scale, int n) {
    __shared__ struct peak part[32];
    __shared__ float at;
    act16 *z = logits + (int64_t)blockIdx.x * n;
    int t = target[blockIdx.x];
    struct peak p = row_peak<V>(z, n);
    for (int i = 16; i; i /= 2) p = join(p, peak{__shfl_xor_sync(~0u, p.max, i), __shfl_xor_sync(~0u, p.sum, i)});
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = p;
    if (threadIdx.x == 0) at = to_f32(z[t]);
    __syncthreads();
    p = part[0];
    for (int i = 1; i < (int)blockDim.x / 32; i++) p = join(p, part[i]);
    if (threadIdx.x == 0) loss[blockIdx.x] = (p.max - at) + logf(p.sum);
    if (!scale) return;
    float v[V], f = scale[blockIdx.x] / p.sum;
    for (int c = threadIdx.x * V; c < n; c += blockDim.x * V) {
        load<V>(v, z + c);
#pragma unroll
        for (int j = 0; j < V; j++) v[j] = f * expf(v[j] - p.max) - (c + j == t ? scale[blockIdx.x] : 0);
        store<V>(z + c, v);
    }
}
void cuda_cross_entropy(struct kctx *k, float *loss, void *logits, const int32_t *target, const float *scale, int M, int V) {
    cuda_flush(k);
    if (M <= 0) return;
    int threads = V >= 8192 ? 1024 : 256;
    if (cuda_entropy_held(k, loss, (act16 *)logits, target, scale, M, V)) return;
    if (V % 8 == 0 && (uintptr_t)logits % 16 == 0)
        cross_entropy<8><<<(unsigned)M, threads, 0, k->stream>>>(loss, (act16 *)logits, target, scale, V);
    else
        cross_entropy<1><<<(unsigned)M, threads, 0, k->stream>>>(loss, (act16 *)logits, target, scale, V);
    launched(k, "cross_entropy");
}

/* ---- Σ x²: partial sums in f64 of blocks, then their sum, always in the same order ---- */
enum { SUM_BLOCKS = 264, SUM_THREADS = 256 };
static __device__ double block_sum_f64(double x) {
    __shared__ double s[SUM_THREADS];
    s[threadIdx.x] = x;
    for (int i = SUM_THREADS / 2; i; i /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < i) s[threadIdx.x] += s[threadIdx.x + i];
    }
    __syncthreads();
    return s[0];
}
static __global__ void partial_sums(double *part, const float *x, int64_t n) {
    double sum = 0;
    for (int64_t i = (int64_t)blockIdx.x * SUM_THREADS + threadIdx.x; i < n; i += SUM_BLOCKS * SUM_THREADS) sum += (double)x[i] * x[i];
    sum = block_sum_f64(sum);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}
static __global__ void sum_partials(double *out, const double *part, int accumulate) {
    double sum = 0;
    for (int i = threadIdx.x; i < SUM_BLOCKS; i += SUM_THREADS) sum += part[i];
    sum = block_sum_f64(sum);
    if (threadIdx.x == 0) *out = accumulate ? *out + sum : sum;
}
void cuda_sumsq(struct kctx *k, double *out, const float *x, int64_t n, int accumulate) {
    cuda_flush(k);
    double *part = (double *)cuda_scratch(k, SCRATCH_SUMS, SUM_BLOCKS * sizeof(double));
    if (!part) return;
    partial_sums<<<SUM_BLOCKS, SUM_THREADS, 0, k->stream>>>(part, x, n);
    sum_partials<<<1, SUM_THREADS, 0, k->stream>>>(out, part, accumulate);
    launched(k, "sumsq");
}

/* ---- AdamW ---- */
static __global__ void admit(double *norm_sq, const double *grad_sq, const double *loss_sq) {
    *norm_sq = isfinite(*norm_sq) && isfinite(*loss_sq) && isfinite(*grad_sq) && *grad_sq > 0 ? *grad_sq : (double)NAN;
}
void cuda_admit(struct kctx *k, double *norm_sq, const double *grad_sq, const double *loss_sq) {
    cuda_flush(k);
    admit<<<1, 1, 0, k->stream>>>(norm_sq, grad_sq, loss_sq);
    launched(k, "admit");
}

struct adamw { /* scalars as PyTorch's: taken in f64 */
    float lr_decay, beta1_rest, beta2, beta2_rest, eps;
    double step_size, root_bc2, max_norm;
};
static __global__ void adamw(float *p, float *m, float *v, const float *g, int64_t n, struct adamw s, const double *norm_sq) {
    double norm = *norm_sq, clip = s.max_norm > 0 ? s.max_norm / (sqrt(norm) + 1e-6) : 1;
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n || !isfinite(norm)) return;
    float c = (float)(clip < 1 ? clip : 1), gi = g[i] * c;
    float mi = m[i] + (gi - m[i]) * s.beta1_rest, vi = v[i] * s.beta2 + gi * gi * s.beta2_rest;
    m[i] = mi;
    v[i] = vi;
    p[i] = p[i] * s.lr_decay - (float)s.step_size * (mi / (sqrtf(vi) * (float)s.root_bc2 + s.eps));
}
void cuda_adamw(struct kctx *k, float *p, float *m, float *v, const float *g, int64_t n, const struct adamw_step *s, const double *norm_sq) {
    cuda_flush(k);
    double bc1 = 1 - pow(s->beta1, s->t), bc2 = 1 - pow(s->beta2, s->t);
    struct adamw a = {(float)(1 - s->lr * s->weight_decay), (float)(1 - s->beta1), (float)s->beta2, (float)(1 - s->beta2), (float)s->eps, s->lr / bc1, 1 / sqrt(bc2), s->max_norm};
    if (n) adamw<<<(unsigned)ceil_div(n, 256), 256, 0, k->stream>>>(p, m, v, g, n, a, norm_sq);
    launched(k, "adamw");
}

/* What works value by value or row by row: dropout, SwiGLU, sums, chosen rows, RMSNorm, RoPE. All of it is bound by memory:
   eight values (16 bytes) a thread at a time where sizes and addresses allow, else one. */
#include "kernels/cuda/philox.cuh"
#include "kernels/cuda/swiglu.cuh"
#include <math.h>

static bool by_eight(int64_t n, const void *a, const void *b = NULL, const void *c = NULL) {
    return n % 8 == 0 && ((uintptr_t)a | (uintptr_t)b | (uintptr_t)c) % 16 == 0;
}
static unsigned blocks_for(int64_t n) { return (unsigned)ceil_div(n, 256); }
#define AT(V) (((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * (V))

/* ---- dropout ---- */
/* V 8: whole groups; 1: four columns a thread, the last group cut */
template <int V> static __global__ void dropout(act16 *y, const act16 *x, const int32_t *seq, const int32_t *pos, struct drop d, int64_t R, int C) {
    constexpr int W = V == 8 ? 8 : 4;
    int64_t groups = (C + W - 1) / W, i = AT(1), row = i / groups;
    if (row >= R) return;
    int c = (int)(i % groups) * W, n = C - c < W ? C - c : W;
    uint32_t u[8], step = *d.step;
#pragma unroll
    for (int g = 0; g < W / 4; g++) {
        u[4 * g] = (uint32_t)c / 4 + g, u[4 * g + 1] = (uint32_t)pos[row], u[4 * g + 2] = (uint32_t)seq[row], u[4 * g + 3] = step;
        philox(u + 4 * g, d.k0, d.k1);
    }
    x += row * C + c;
    y += row * C + c;
    if constexpr (V == 8) {
        float v[8], b[8] = {0};
        load<8>(v, x);
        if (d.beta != 0) load<8>(b, y);
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] = (u[j] >= d.limit ? v[j] * d.scale : 0) + d.beta * b[j];
        store<8>(y, v);
    } else {
        for (int j = 0; j < n; j++) y[j] = to_act((u[j] >= d.limit ? to_f32(x[j]) * d.scale : 0) + (d.beta != 0 ? d.beta * to_f32(y[j]) : 0));
    }
}
void cuda_dropout(struct kctx *k, float beta, void *y, const void *x, const int32_t *seq, const int32_t *pos, const struct dropout_key *key, int R, int C) {
    if (cuda_waits(k, y, true) || cuda_waits(k, x, false)) cuda_flush(k);
    struct drop d = drop_of(key, beta);
    if (by_eight(C, y, x))
        dropout<8><<<blocks_for((int64_t)R * C / 8), 256, 0, k->stream>>>((act16 *)y, (const act16 *)x, seq, pos, d, R, C);
    else
        dropout<1><<<blocks_for((int64_t)R * ceil_div(C, 4)), 256, 0, k->stream>>>((act16 *)y, (const act16 *)x, seq, pos, d, R, C);
    launched(k, "dropout");
}

/* ---- SwiGLU, sums ---- */
template <int V> static __global__ void swiglu(act16 *y, const act16 *gate, const act16 *up, int64_t n) {
    int64_t i = AT(V);
    if (i >= n) return;
    float g[V], u[V];
    load<V>(g, gate + i);
    load<V>(u, up + i);
    swiglu_values<V>(g, u);
    store<V>(y + i, g);
}
void cuda_swiglu(struct kctx *k, void *y, const void *gate, const void *up, int64_t n) {
    cuda_flush(k);
    if (!n) return;
    if (by_eight(n, y, gate, up))
        swiglu<8><<<blocks_for(n / 8), 256, 0, k->stream>>>((act16 *)y, (const act16 *)gate, (const act16 *)up, n);
    else
        swiglu<1><<<blocks_for(n), 256, 0, k->stream>>>((act16 *)y, (const act16 *)gate, (const act16 *)up, n);
    launched(k, "swiglu");
}

template <int V> static __global__ void swiglu_bwd(act16 *dgate, act16 *dup, act16 *y, const act16 *dy, const act16 *gate, const act16 *up, int64_t n) {
    int64_t i = AT(V);
    if (i >= n) return;
    float g[V], u[V], d[V], o[V];
    load<V>(g, gate + i);
    load<V>(u, up + i);
    load<V>(d, dy + i);
    swiglu_gradients<V>(g, u, o, d);
    store<V>(dgate + i, g);
    store<V>(dup + i, u);
    if (y) store<V>(y + i, o);
}
void cuda_swiglu_bwd_again(struct kctx *k, void *dgate, void *dup, void *y, const void *dy, const void *gate, const void *up, int64_t n) {
    cuda_flush(k);
    if (!n) return;
    if (by_eight(n, dgate, dup, dy) && by_eight(n, gate, up, y))
        swiglu_bwd<8><<<blocks_for(n / 8), 256, 0, k->stream>>>((act16 *)dgate, (act16 *)dup, (act16 *)y, (const act16 *)dy, (const act16 *)gate, (const act16 *)up, n);
    else
        swiglu_bwd<1><<<blocks_for(n), 256, 0, k->stream>>>((act16 *)dgate, (act16 *)dup, (act16 *)y, (const act16 *)dy, (const act16 *)gate, (const act16 *)up, n);
    launched(k, "swiglu_bwd");
}
void cuda_swiglu_bwd(struct kctx *k, void *dgate, void *dup, const void *dy, const void *gate, const void *up, int64_t n) {
    cuda_swiglu_bwd_again(k, dgate, dup, NULL, dy, gate, up, n);
}

template <int V> static __global__ void add(act16 *y, const act16 *a, const act16 *b, int64_t n) {
    int64_t i = AT(V);
    if (i >= n) return;
    float u[V], v[V];
    load<V>(u, a + i);
    load<V>(v, b + i);
#pragma unroll
    for (int j = 0; j < V; j++) u[j] += v[j];
    store<V>(y + i, u);
}
void cuda_add_now(struct kctx *k, act16 *y, const act16 *a, const act16 *b, int64_t n) {
    if (!n) return;
    if (by_eight(n, y, a, b))
        add<8><<<blocks_for(n / 8), 256, 0, k->stream>>>(y, a, b, n);
    else
        add<1><<<blocks_for(n), 256, 0, k->stream>>>(y, a, b, n);
    launched(k, "add");
}
void cuda_add(struct kctx *k, void *y, const void *x, int64_t n) {
    cuda_flush(k);
    cuda_add_now(k, (act16 *)y, (act16 *)y, (const act16 *)x, n);
}

/* ---- rows ---- */
/* y row (to ? idx[i] : i) = x row (to ? i : idx[i]) */
static __global__ void move_rows(act16 *y, const act16 *x, const int32_t *idx, bool to, int C) {
    int64_t i = blockIdx.x, j = idx[i];
    y += (to ? j : i) * C;
    x += (to ? i : j) * C;
    for (int c = threadIdx.x; c < C; c += blockDim.x) y[c] = x[c];
}
void cuda_gather_rows(struct kctx *k, void *y, const void *x, const int32_t *idx, int M, int C) {
    cuda_flush(k);
    if (M) move_rows<<<(unsigned)M, 256, 0, k->stream>>>((act16 *)y, (const act16 *)x, idx, false, C);
    launched(k, "gather_rows");
}
void cuda_scatter_rows(struct kctx *k, void *dx, const void *dy, const int32_t *idx, int M, int R, int C) {
    cuda_flush(k);
    cuda_ok(k, cudaMemsetAsync(dx, 0, (size_t)R * (size_t)C * sizeof(act16), k->stream), "scatter_rows");
    if (M) move_rows<<<(unsigned)M, 256, 0, k->stream>>>((act16 *)dx, (const act16 *)dy, idx, true, C);
    launched(k, "scatter_rows");
}

/* ---- RMSNorm: a block a row; the second reading of the row comes from the cache ---- */
template <int V> static __global__ void rmsnorm(act16 *y, float *rstd, const act16 *x, const float *w, float eps, int C) {
    __shared__ float s[32];
    float v[V], sum = 0;
    x += (int64_t)blockIdx.x * C;
    y += (int64_t)blockIdx.x * C;
    for (int c = threadIdx.x * V; c < C; c += blockDim.x * V) {
        load<V>(v, x + c);
#pragma unroll
        for (int j = 0; j < V; j++) sum += v[j] * v[j];
    }
    float rs = 1 / sqrtf(block_sum(sum, s) / (float)C + eps);
    for (int c = threadIdx.x * V; c < C; c += blockDim.x * V) {
        load<V>(v, x + c);
#pragma unroll
        for (int j = 0; j < V; j++) v[j] *= rs * w[c + j];
        store<V>(y + c, v);
    }
    if (rstd && threadIdx.x == 0) rstd[blockIdx.x] = rs;
}
static unsigned row_threads(int C) { return C >= 2048 ? 256 : C >= 512 ? 128 : 64; }
void cuda_rmsnorm(struct kctx *k, void *y, float *rstd, const void *x, const float *w, float eps, int R, int C) {
    cuda_flush(k);
    if (R <= 0) return;
    if (by_eight(C, y, x))
        rmsnorm<8><<<(unsigned)R, row_threads(C), 0, k->stream>>>((act16 *)y, rstd, (const act16 *)x, w, eps, C);
    else
        rmsnorm<1><<<(unsigned)R, row_threads(C), 0, k->stream>>>((act16 *)y, rstd, (const act16 *)x, w, eps, C);
    launched(k, "rmsnorm");
}

template <int V> static __global__ void rmsnorm_bwd(act16 *dx, const act16 *dy, const act16 *x, const float *w, const float *rstd, int C) {
    __shared__ float s[32];
    int64_t at = (int64_t)blockIdx.x * C;
    float a[V], b[V], o[V], sum = 0, rs = rstd[blockIdx.x];
    for (int c = threadIdx.x * V; c < C; c += blockDim.x * V) {
        load<V>(a, dy + at + c);
        load<V>(b, x + at + c);
#pragma unroll
        for (int j = 0; j < V; j++) sum += w[c + j] * a[j] * b[j];
    }
    float mean = rs * rs * block_sum(sum, s) / (float)C;
    for (int c = threadIdx.x * V; c < C; c += blockDim.x * V) {
        load<V>(a, dy + at + c);
        load<V>(b, x + at + c);
        load<V>(o, dx + at + c);
#pragma unroll
        for (int j = 0; j < V; j++) o[j] += rs * (w[c + j] * a[j] - b[j] * mean);
        store<V>(dx + at + c, o);
    }
}
void cuda_rmsnorm_bwd(struct kctx *k, void *dx, const void *dy, const void *x, const float *w, const float *rstd, int R, int C) {
    cuda_flush(k);
    if (R <= 0) return;
    if (by_eight(C, dx, dy, x))
        rmsnorm_bwd<8><<<(unsigned)R, row_threads(C), 0, k->stream>>>((act16 *)dx, (const act16 *)dy, (const act16 *)x, w, rstd, C);
    else
        rmsnorm_bwd<1><<<(unsigned)R, row_threads(C), 0, k->stream>>>((act16 *)dx, (const act16 *)dy, (const act16 *)x, w, rstd, C);
    launched(k, "rmsnorm_bwd");
}

/* ---- RoPE: a block a row; the angles of the row are taken once for all heads ---- */
template <int V> static __global__ void rope(act16 *x, const int32_t *pos, const float *inv_freq, float sign, int H, int D) {
    extern __shared__ float turn[]; /* cos, then sin */
    int half = D / 2;
    x += (int64_t)blockIdx.x * H * D;
    for (int d = threadIdx.x; d < half; d += blockDim.x) {
        float s, c;
        sincosf((float)pos[blockIdx.x] * inv_freq[d], &s, &c);
        turn[d] = c;
        turn[half + d] = sign * s;
    }
    __syncthreads();
    for (int i = threadIdx.x * V; i < H * half; i += blockDim.x * V) {
        int d = i % half;
        act16 *p = x + (int64_t)(i / half) * D + d;
        float a[V], b[V];
        load<V>(a, p);
        load<V>(b, p + half);
#pragma unroll
        for (int j = 0; j < V; j++) {
            float c = turn[d + j], s = turn[half + d + j], was = a[j];
            a[j] = was * c - b[j] * s;
            b[j] = b[j] * c + was * s;
        }
        store<V>(p, a);
        store<V>(p + half, b);
    }
}
void cuda_rope(struct kctx *k, void *x, const int32_t *pos, const float *inv_freq, int sign, int R, int H, int D) {
    cuda_flush(k);
    if (R <= 0) return;
    size_t shared = (size_t)D * sizeof(float);
    if (by_eight(D / 2, x))
        rope<8><<<(unsigned)R, H * D / 16 < 128 ? 64 : 128, shared, k->stream>>>((act16 *)x, pos, inv_freq, (float)sign, H, D);
    else
        rope<1><<<(unsigned)R, H * D / 2 < 128 ? 64 : 256, shared, k->stream>>>((act16 *)x, pos, inv_freq, (float)sign, H, D);
    launched(k, "rope");
}

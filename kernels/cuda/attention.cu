/* Packed causal attention forward on tensor cores, after FlashAttention-2 (arXiv 2307.08691): a block takes 64 queries of one
   head through tiles of 64 keys with a running maximum and sum; heads of 64 and 128 values, others in attention_any.cu. */
#include "kernels/cuda/attention.cuh"

/* One tile of scores into the running softmax: s becomes the weights, o is scaled to the new maximum. Scores are in units of
   log2. Row i of the lane (0: l/4, 1: l/4 + 8). */
template <int D> static __device__ inline void softmax_step(float s[TILE / 8][4], float o[D / 8][4], float max[2], float sum[2]) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float m = max[i];
#pragma unroll
        for (int n = 0; n < TILE / 8; n++) m = fmaxf(m, fmaxf(s[n][2 * i], s[n][2 * i + 1]));
        m = fmaxf(m, __shfl_xor_sync(~0u, m, 1));
        m = fmaxf(m, __shfl_xor_sync(~0u, m, 2));
        float keep = exp2f(max[i] - m), t = 0;
        max[i] = m;
#pragma unroll
        for (int n = 0; n < TILE / 8; n++) {
            t += s[n][2 * i] = exp2f(s[n][2 * i] - m);
            t += s[n][2 * i + 1] = exp2f(s[n][2 * i + 1] - m);
        }
        sum[i] = sum[i] * keep + t;
#pragma unroll
        for (int n = 0; n < D / 8; n++) o[n][2 * i] *= keep, o[n][2 * i + 1] *= keep;
    }
}

template <int D> static __global__ void __launch_bounds__(THREADS) forward(bf16 *o, float *lse, const bf16 *q, const bf16 *k, const bf16 *v, struct packed_heads h) {
    extern __shared__ __align__(128) char shared[];
    const int seq = h.first + blockIdx.z, start = h.cu[seq], T = h.cu[seq + 1] - start, head = blockIdx.y, g = head / (h.H / h.G);
    const int tile = (T + TILE - 1) / TILE - 1 - (int)blockIdx.x; /* the longest rows first */
    if (tile < 0) return;
    const int warp = threadIdx.x / 32, l = threadIdx.x % 32, q0 = tile * TILE, row = q0 + warp * 16 + l / 4;
    const int64_t qp = (int64_t)h.H * D, kp = (int64_t)h.G * D;
    const uint32_t qt = (uint32_t)__cvta_generic_to_shared(shared), kt = qt + TILE * D * 2, vt = kt + 2 * TILE * D * 2, size = TILE * D * 2;
    q += ((int64_t)(start + q0) * h.H + head) * D;
    k += ((int64_t)start * h.G + g) * D;
    v += ((int64_t)start * h.G + g) * D;
    load_tile<D, TILE>(qt, q, qp, T - q0);
    load_tile<D, TILE>(kt, k, kp, T);
    load_tile<D, TILE>(vt, v, kp, T);
    loads_issued();
    float acc[D / 8][4] = {{0}}, max[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
    const float scale = h.scale * LOG2E;
    for (int j = 0; j <= tile; j++) {
        const uint32_t at = (uint32_t)(j & 1) * size, next = (uint32_t)(~j & 1) * size;
        if (j < tile) {
            load_tile<D, TILE>(kt + next, k + (int64_t)(j + 1) * TILE * kp, kp, T - (j + 1) * TILE);
            load_tile<D, TILE>(vt + next, v + (int64_t)(j + 1) * TILE * kp, kp, T - (j + 1) * TILE);
        }
        loads_issued();
        loads_wait<1>();
        __syncthreads();
        float s[TILE / 8][4] = {{0}};
        rows_by_rows<D, TILE / 8>(s, qt, warp * 16, kt + at);
#pragma unroll
        for (int n = 0; n < TILE / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int key = j * TILE + 8 * n + 2 * (l % 4) + i % 2;
                s[n][i] = j == tile && key > row + i / 2 * 8 ? -INFINITY : s[n][i] * scale;
            }
        softmax_step<D>(s, acc, max, sum);
        by_tile<D, TILE / 8>(acc, s, vt + at);
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        sum[i] += __shfl_xor_sync(~0u, sum[i], 1);
        sum[i] += __shfl_xor_sync(~0u, sum[i], 2);
        if (l % 4 == 0 && row + 8 * i < T) lse[(int64_t)(start + row + 8 * i) * h.H + head] = (max[i] + log2f(sum[i])) / LOG2E;
    }
    store_rows<D>(o + ((int64_t)(start + q0 + warp * 16) * h.H + head) * D, qp, acc, 1 / sum[0], 1 / sum[1], T - q0 - warp * 16);
}

template <int D> static void run(struct kctx *c, void *o, float *lse, const void *q, const void *k, const void *v, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, float scale) {
    const int bytes = 5 * TILE * D * 2;
    if (!more_shared(c, forward<D>, bytes)) return;
    for (int s = 0; s < S; s += MAX_GRID_Z) {
        struct packed_heads h = {cu_dev, s, H, G, scale};
        dim3 grid((unsigned)ceil_div(longest_of(cu, S), TILE), (unsigned)H, (unsigned)(S - s < MAX_GRID_Z ? S - s : MAX_GRID_Z));
        forward<D><<<grid, THREADS, bytes, c->stream>>>((bf16 *)o, lse, (const bf16 *)q, (const bf16 *)k, (const bf16 *)v, h);
    }
    launched(c, "attention");
}

void cuda_attention(struct kctx *c, void *o, float *lse, const void *q, const void *k, const void *v, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale) {
    if (D == 64) run<64>(c, o, lse, q, k, v, cu, cu_dev, S, H, G, scale);
    else if (D == 128) run<128>(c, o, lse, q, k, v, cu, cu_dev, S, H, G, scale);
    else cuda_attention_any(c, o, lse, q, k, v, cu, cu_dev, S, H, G, D, scale);
}

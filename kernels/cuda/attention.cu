/* Packed causal attention forward on tensor cores, after FlashAttention-2 (arXiv 2307.08691): a block takes 128 or 64 queries
   of one head through tiles of 64 keys with a running maximum and sum; heads of 64 and 128 values, others in
   attention_any.cu. */
#include "kernels/cuda/attention.cuh"

template <int D> static __global__ void __launch_bounds__(THREADS) forward(act16 *o, float *lse, const act16 *q, const act16 *k, const act16 *v, struct packed_heads h) {
    extern __shared__ __align__(128) char shared[];
    constexpr int M = shape<D>::M, ROWS = shape<D>::ROWS, N = shape<D>::STEP;
    const int seq = h.first + blockIdx.y, start = h.cu[seq], T = h.cu[seq + 1] - start, head = blockIdx.x, g = head / (h.H / h.G);
    const int tile = (T + ROWS - 1) / ROWS - 1 - (int)blockIdx.z; /* the longest rows first */
    if (tile < 0) return;
    const int l = threadIdx.x % 32, q0 = tile * ROWS, w0 = threadIdx.x / 32 * shape<D>::WARP_ROWS, row = q0 + w0 + l / 4;
    const int64_t qp = (int64_t)h.H * D, kp = (int64_t)h.G * D;
    const uint32_t qt = (uint32_t)__cvta_generic_to_shared(shared), kt = qt + ROWS * D * 2, size = N * D * 2, vt = kt + 2 * size;
    q += ((int64_t)(start + q0) * h.H + head) * D;
    k += ((int64_t)start * h.G + g) * D;
    v += ((int64_t)start * h.G + g) * D;
    load_tile<D, ROWS>(qt, q, qp, T - q0);
    load_tile<D, N>(kt, k, kp, T);
    load_tile<D, N>(vt, v, kp, T);
    loads_issued();
    float acc[M][D / 8][4] = {{{0}}}, max[M][2], sum[M][2] = {{0}};
#pragma unroll
    for (int m = 0; m < M; m++) max[m][0] = max[m][1] = -INFINITY;
    const float scale = h.scale * LOG2E;
    const int last = q0 + ROWS < T ? q0 + ROWS : T, steps = (last + N - 1) / N;
    for (int j = 0; j < steps; j++) {
        const uint32_t at = (uint32_t)(j & 1) * size, next = (uint32_t)(~j & 1) * size;
        if (j + 1 < steps) {
            load_tile<D, N>(kt + next, k + (int64_t)(j + 1) * N * kp, kp, T - (j + 1) * N);
            load_tile<D, N>(vt + next, v + (int64_t)(j + 1) * N * kp, kp, T - (j + 1) * N);
        }
        loads_issued();
        loads_wait<1>();
        __syncthreads();
        float s[M][N / 8][4] = {{{0}}};
        rows_by_rows<D, N / 8, M>(s, qt, w0, kt + at);
#pragma unroll
        for (int m = 0; m < M; m++) {
            scale_and_mask<N / 8>(s[m], scale, j * N, row + 16 * m, (j + 1) * N > q0);
            softmax_step<D, N / 8>(s[m], acc[m], max[m], sum[m]);
        }
        by_tile<D, N / 8, M>(acc, s, vt + at);
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int r = row + 16 * m + 8 * i;
            sum[m][i] += __shfl_xor_sync(~0u, sum[m][i], 1);
            sum[m][i] += __shfl_xor_sync(~0u, sum[m][i], 2);
            if (l % 4 == 0 && r < T) lse[(int64_t)(start + r) * h.H + head] = (max[m][i] + log2f(sum[m][i])) / LOG2E;
        }
        store_rows<D>(o + ((int64_t)(start + q0 + w0 + 16 * m) * h.H + head) * D, qp, acc[m], 1 / sum[m][0], 1 / sum[m][1], T - q0 - w0 - 16 * m);
    }
}

template <int D> static void run(struct kctx *c, void *o, float *lse, const void *q, const void *k, const void *v, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, float scale) {
#ifndef COADOR_FP16
    if (D == 64 && c->wgmma) {
        cuda_attention_wide(c, (act16 *)o, lse, (const act16 *)q, (const act16 *)k, (const act16 *)v, cu, cu_dev, S, H, G, scale);
        return;
    }
#endif
    const int bytes = (shape<D>::ROWS + 4 * shape<D>::STEP) * D * 2;
    if (!more_shared(c, forward<D>, bytes)) return;
    for (int s = 0; s < S; s += MAX_GRID_Y) {
        struct packed_heads h = {cu_dev, s, H, G, scale};
        dim3 grid((unsigned)H, (unsigned)(S - s < MAX_GRID_Y ? S - s : MAX_GRID_Y), (unsigned)ceil_div(longest_of(cu, S), shape<D>::ROWS));
        forward<D><<<grid, THREADS, bytes, c->stream>>>((act16 *)o, lse, (const act16 *)q, (const act16 *)k, (const act16 *)v, h);
    }
    launched(c, "attention");
}

void cuda_attention(struct kctx *c, void *o, float *lse, const void *q, const void *k, const void *v, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale) {
    cuda_flush(c);
    if (D == 64) run<64>(c, o, lse, q, k, v, cu, cu_dev, S, H, G, scale);
    else if (D == 128) run<128>(c, o, lse, q, k, v, cu, cu_dev, S, H, G, scale);
    else cuda_attention_any(c, o, lse, q, k, v, cu, cu_dev, S, H, G, D, scale);
}

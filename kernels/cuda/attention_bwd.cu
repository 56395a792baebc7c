/* Packed causal attention backward on tensor cores: one kernel for dk and dv (a block 128 or 64 keys, through the queries of all heads
   of its group), one for dq (a block as many queries, through the keys). The scores are computed twice; in return nothing is summed
   by atomics, so the bytes are the same every time. p = exp(s − lse), ds = p·(dout·v − delta), delta = dout·o. */
#include "kernels/cuda/attention.cuh"

template <int D> static __global__ void deltas(float *delta, const act16 *dout, const act16 *o, int64_t n) {
    constexpr int LANES = D / 8; /* of eight values each */
    int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / LANES;
    int c = threadIdx.x % LANES * 8;
    float a[8] = {0}, b[8] = {0}, s = 0;
    if (i < n) load<8>(a, dout + i * D + c), load<8>(b, o + i * D + c);
#pragma unroll
    for (int j = 0; j < 8; j++) s += a[j] * b[j];
#pragma unroll
    for (int j = LANES / 2; j; j /= 2) s += __shfl_xor_sync(~0u, s, j);
    if (i < n && threadIdx.x % LANES == 0) delta[i] = s;
}

template <int D> static __global__ void __launch_bounds__(THREADS, 2) backward_kv(act16 *dk, act16 *dv, const act16 *dout, const act16 *q, const act16 *k, const act16 *v, const float *lse, const float *delta, struct packed_heads h) {
    extern __shared__ __align__(128) char shared[];
    constexpr int M = shape<D>::M, ROWS = shape<D>::ROWS, N = shape<D>::STEP_BWD;
    __shared__ float l2[2][N], dl[2][N];
    const int seq = h.first + blockIdx.y, start = h.cu[seq], T = h.cu[seq + 1] - start, g = blockIdx.x, group = h.H / h.G;
    const int k0 = (int)blockIdx.z * ROWS; /* the first keys meet most queries */
    if (k0 >= T) return;
    const int l = threadIdx.x % 32, w0 = threadIdx.x / 32 * shape<D>::WARP_ROWS, key = k0 + w0 + l / 4;
    const int64_t qp = (int64_t)h.H * D, kp = (int64_t)h.G * D, kat = ((int64_t)(start + k0) * h.G + g) * D;
    const uint32_t kt = (uint32_t)__cvta_generic_to_shared(shared), vt = kt + ROWS * D * 2, qt = vt + ROWS * D * 2, size = N * D * 2, ot = qt + 2 * size;
    const int first = k0 / N, per_head = (T + N - 1) / N - first, steps = per_head * group;
    auto fetch = [&](int step) {
        int head = g * group + step / per_head, q0 = (first + step % per_head) * N, at = step & 1;
        int64_t row = (int64_t)(start + q0) * h.H + head;
        load_tile<D, N>(qt + at * size, q + row * D, qp, T - q0);
        load_tile<D, N>(ot + at * size, dout + row * D, qp, T - q0);
        int i = threadIdx.x;
        if (i < N) {
            l2[at][i] = q0 + i < T ? lse[row + (int64_t)i * h.H] * LOG2E : 0;
            dl[at][i] = q0 + i < T ? delta[row + (int64_t)i * h.H] : 0;
        }
    };
    load_tile<D, ROWS>(kt, k + kat, kp, T - k0);
    load_tile<D, ROWS>(vt, v + kat, kp, T - k0);
    fetch(0);
    loads_issued();
    float ak[M][D / 8][4] = {{{0}}}, av[M][D / 8][4] = {{{0}}};
    for (int step = 0; step < steps; step++) {
        const int at = step & 1, q0 = (first + step % per_head) * N;
        if (step + 1 < steps) fetch(step + 1);
        loads_issued();
        loads_wait<1>();
        __syncthreads();
        float s[M][N / 8][4] = {{{0}}}, ds[M][N / 8][4] = {{{0}}};
        rows_by_rows<D, N / 8, M>(s, kt, w0, qt + at * size);
#pragma unroll
        for (int m = 0; m < M; m++) weights<N / 8>(s[m], l2[at], h.scale * LOG2E, key + 16 * m, q0, T, q0 < k0 + ROWS || q0 + N > T);
        by_tile<D, N / 8, M>(av, s, ot + at * size);
        rows_by_rows<D, N / 8, M>(ds, vt, w0, ot + at * size);
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int n = 0; n < N / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) ds[m][n][i] = s[m][n][i] * (ds[m][n][i] - dl[at][8 * n + 2 * (l % 4) + i % 2]);
        by_tile<D, N / 8, M>(ak, ds, qt + at * size);
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < M; m++) {
        const int64_t to = kat + (int64_t)(w0 + 16 * m) * kp;
        store_rows<D>(dk + to, kp, ak[m], h.scale, h.scale, T - k0 - w0 - 16 * m);
        store_rows<D>(dv + to, kp, av[m], 1, 1, T - k0 - w0 - 16 * m);
    }
}

template <int D> static __global__ void __launch_bounds__(THREADS) backward_q(act16 *dq, const act16 *dout, const act16 *q, const act16 *k, const act16 *v, const float *lse, const float *delta, struct packed_heads h) {
    extern __shared__ __align__(128) char shared[];
    constexpr int M = shape<D>::M, ROWS = shape<D>::ROWS, N = shape<D>::STEP_BWD;
    const int seq = h.first + blockIdx.y, start = h.cu[seq], T = h.cu[seq + 1] - start, head = blockIdx.x, g = head / (h.H / h.G);
    const int tile = (T + ROWS - 1) / ROWS - 1 - (int)blockIdx.z;
    if (tile < 0) return;
    const int l = threadIdx.x % 32, q0 = tile * ROWS, w0 = threadIdx.x / 32 * shape<D>::WARP_ROWS, row = q0 + w0 + l / 4;
    const int64_t qp = (int64_t)h.H * D, kp = (int64_t)h.G * D, qat = ((int64_t)(start + q0) * h.H + head) * D;
    const uint32_t qt = (uint32_t)__cvta_generic_to_shared(shared), ot = qt + ROWS * D * 2, kt = ot + ROWS * D * 2, size = N * D * 2, vt = kt + 2 * size;
    k += ((int64_t)start * h.G + g) * D;
    v += ((int64_t)start * h.G + g) * D;
    load_tile<D, ROWS>(qt, q + qat, qp, T - q0);
    load_tile<D, ROWS>(ot, dout + qat, qp, T - q0);
    load_tile<D, N>(kt, k, kp, T);
    load_tile<D, N>(vt, v, kp, T);
    loads_issued();
    float l2[M][2], dl[M][2], acc[M][D / 8][4] = {{{0}}};
#pragma unroll
    for (int i = 0; i < 2 * M; i++) {
        int r = row + 8 * i;
        int64_t at = (int64_t)(start + r) * h.H + head;
        l2[i / 2][i % 2] = r < T ? lse[at] * LOG2E : 0;
        dl[i / 2][i % 2] = r < T ? delta[at] : 0;
    }
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
        float s[M][N / 8][4] = {{{0}}}, ds[M][N / 8][4] = {{{0}}};
        rows_by_rows<D, N / 8, M>(s, qt, w0, kt + at);
        rows_by_rows<D, N / 8, M>(ds, ot, w0, vt + at);
        const bool edge = (j + 1) * N > q0;
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int n = 0; n < N / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int key = j * N + 8 * n + 2 * (l % 4) + i % 2;
                    float p = edge && key > row + 16 * m + i / 2 * 8 ? 0 : exp2_fast(s[m][n][i] * (h.scale * LOG2E) - l2[m][i / 2]);
                    ds[m][n][i] = p * (ds[m][n][i] - dl[m][i / 2]);
                }
        by_tile<D, N / 8, M>(acc, ds, kt + at);
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < M; m++) store_rows<D>(dq + qat + (int64_t)(w0 + 16 * m) * qp, qp, acc[m], h.scale, h.scale, T - q0 - w0 - 16 * m);
}

template <int D> static void run(struct kctx *c, act16 *dq, act16 *dk, act16 *dv, const act16 *dout, const act16 *q, const act16 *k, const act16 *v, const act16 *o, const float *lse, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, float scale) {
    const int bytes = (2 * shape<D>::ROWS + 4 * shape<D>::STEP_BWD) * D * 2;
    const int64_t rows = (int64_t)cu[S] * H;
    float *delta = (float *)cuda_scratch(c, SCRATCH_DELTA, (size_t)rows * sizeof(float));
    if (!rows || !delta || !more_shared(c, backward_kv<D>, bytes) || !more_shared(c, backward_q<D>, bytes)) return;
    deltas<D><<<(unsigned)ceil_div(rows * (D / 8), 256), 256, 0, c->stream>>>(delta, dout, o, rows);
#ifndef COADOR_FP16
    if (D == 64 && c->wgmma) {
        cuda_attention_bwd_wide(c, dq, dk, dv, dout, q, k, v, lse, delta, cu, cu_dev, S, H, G, scale);
        return;
    }
#endif
    unsigned tiles = (unsigned)ceil_div(longest_of(cu, S), shape<D>::ROWS);
    for (int s = 0; s < S; s += MAX_GRID_Y) {
        struct packed_heads h = {cu_dev, s, H, G, scale};
        unsigned n = (unsigned)(S - s < MAX_GRID_Y ? S - s : MAX_GRID_Y);
        backward_kv<D><<<dim3((unsigned)G, n, tiles), THREADS, bytes, c->stream>>>(dk, dv, dout, q, k, v, lse, delta, h);
        backward_q<D><<<dim3((unsigned)H, n, tiles), THREADS, bytes, c->stream>>>(dq, dout, q, k, v, lse, delta, h);
    }
    launched(c, "attention_bwd");
}

void cuda_attention_bwd(struct kctx *c, void *dq, void *dk, void *dv, const void *dout, const void *q, const void *k, const void *v, const void *o, const float *lse, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale) {
    cuda_flush(c);
    if (D == 64)
        run<64>(c, (act16 *)dq, (act16 *)dk, (act16 *)dv, (const act16 *)dout, (const act16 *)q, (const act16 *)k, (const act16 *)v, (const act16 *)o, lse, cu, cu_dev, S, H, G, scale);
    else if (D == 128)
        run<128>(c, (act16 *)dq, (act16 *)dk, (act16 *)dv, (const act16 *)dout, (const act16 *)q, (const act16 *)k, (const act16 *)v, (const act16 *)o, lse, cu, cu_dev, S, H, G, scale);
    else
        cuda_attention_bwd_any(c, dq, dk, dv, dout, q, k, v, o, lse, cu, cu_dev, S, H, G, D, scale);
}

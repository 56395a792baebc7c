/* Packed causal attention backward on tensor cores: one kernel for dk and dv (a block 64 keys, through the queries of all heads
   of its group), one for dq (a block 64 queries, through the keys). The scores are computed twice; in return nothing is summed
   by atomics, so the bytes are the same every time. p = exp(s − lse), ds = p·(dout·v − delta), delta = dout·o. */
#include "kernels/cuda/attention.cuh"

template <int D> static __global__ void deltas(float *delta, const bf16 *dout, const bf16 *o, int64_t n) {
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

/* Queries a step of the first kernel: what the registers of 16 keys a warp leave room for. */
template <int D> struct queries { enum { N = D == 64 ? 64 : 32 }; };

/* Scores (keys down, queries across) become weights; l2[query]: lse in units of log2. Queries before the key, or none, weigh 0. */
template <int N> static __device__ inline void weights(float s[N / 8][4], const float *l2, float scale, int key, int query0, int T) {
    const int l = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < N / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int at = 8 * n + 2 * (l % 4) + i % 2, query = query0 + at;
            s[n][i] = query < key + i / 2 * 8 || query >= T ? 0 : exp2f(s[n][i] * scale - l2[at]);
        }
}

template <int D> static __global__ void __launch_bounds__(THREADS) backward_kv(bf16 *dk, bf16 *dv, const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const float *lse, const float *delta, struct packed_heads h) {
    extern __shared__ __align__(128) char shared[];
    constexpr int N = queries<D>::N;
    __shared__ float l2[2][N], dl[2][N];
    const int seq = h.first + blockIdx.z, start = h.cu[seq], T = h.cu[seq + 1] - start, g = blockIdx.y, group = h.H / h.G;
    const int k0 = (int)blockIdx.x * TILE;
    if (k0 >= T) return;
    const int warp = threadIdx.x / 32, l = threadIdx.x % 32, key = k0 + warp * 16 + l / 4;
    const int64_t qp = (int64_t)h.H * D, kp = (int64_t)h.G * D, kat = ((int64_t)(start + k0) * h.G + g) * D;
    const uint32_t kt = (uint32_t)__cvta_generic_to_shared(shared), vt = kt + TILE * D * 2, qt = vt + TILE * D * 2, ot = qt + 2 * N * D * 2, size = N * D * 2;
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
    load_tile<D, TILE>(kt, k + kat, kp, T - k0);
    load_tile<D, TILE>(vt, v + kat, kp, T - k0);
    fetch(0);
    loads_issued();
    float ak[D / 8][4] = {{0}}, av[D / 8][4] = {{0}};
    for (int step = 0; step < steps; step++) {
        const int at = step & 1, q0 = (first + step % per_head) * N;
        if (step + 1 < steps) fetch(step + 1);
        loads_issued();
        loads_wait<1>();
        __syncthreads();
        float s[N / 8][4] = {{0}}, ds[N / 8][4] = {{0}};
        rows_by_rows<D, N / 8>(s, kt, warp * 16, qt + at * size);
        weights<N>(s, l2[at], h.scale * LOG2E, key, q0, T);
        by_tile<D, N / 8>(av, s, ot + at * size);
        rows_by_rows<D, N / 8>(ds, vt, warp * 16, ot + at * size);
#pragma unroll
        for (int n = 0; n < N / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) ds[n][i] = s[n][i] * (ds[n][i] - dl[at][8 * n + 2 * (l % 4) + i % 2]);
        by_tile<D, N / 8>(ak, ds, qt + at * size);
        __syncthreads();
    }
    const int64_t to = kat + (int64_t)warp * 16 * kp;
    store_rows<D>(dk + to, kp, ak, h.scale, h.scale, T - k0 - warp * 16);
    store_rows<D>(dv + to, kp, av, 1, 1, T - k0 - warp * 16);
}

template <int D> static __global__ void __launch_bounds__(THREADS) backward_q(bf16 *dq, const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const float *lse, const float *delta, struct packed_heads h) {
    extern __shared__ __align__(128) char shared[];
    constexpr int N = queries<D>::N; /* keys a step */
    const int seq = h.first + blockIdx.z, start = h.cu[seq], T = h.cu[seq + 1] - start, head = blockIdx.y, g = head / (h.H / h.G);
    const int tile = (T + TILE - 1) / TILE - 1 - (int)blockIdx.x;
    if (tile < 0) return;
    const int warp = threadIdx.x / 32, l = threadIdx.x % 32, q0 = tile * TILE, row = q0 + warp * 16 + l / 4;
    const int64_t qp = (int64_t)h.H * D, kp = (int64_t)h.G * D, qat = ((int64_t)(start + q0) * h.H + head) * D;
    const uint32_t qt = (uint32_t)__cvta_generic_to_shared(shared), ot = qt + TILE * D * 2, kt = ot + TILE * D * 2, vt = kt + 2 * N * D * 2, size = N * D * 2;
    k += ((int64_t)start * h.G + g) * D;
    v += ((int64_t)start * h.G + g) * D;
    load_tile<D, TILE>(qt, q + qat, qp, T - q0);
    load_tile<D, TILE>(ot, dout + qat, qp, T - q0);
    load_tile<D, N>(kt, k, kp, T);
    load_tile<D, N>(vt, v, kp, T);
    loads_issued();
    float l2[2], dl[2], acc[D / 8][4] = {{0}};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int64_t at = (int64_t)(start + row + 8 * i) * h.H + head;
        l2[i] = row + 8 * i < T ? lse[at] * LOG2E : 0;
        dl[i] = row + 8 * i < T ? delta[at] : 0;
    }
    const int last = q0 + TILE < T ? q0 + TILE : T, steps = (last + N - 1) / N;
    for (int j = 0; j < steps; j++) {
        const uint32_t at = (uint32_t)(j & 1) * size, next = (uint32_t)(~j & 1) * size;
        if (j + 1 < steps) {
            load_tile<D, N>(kt + next, k + (int64_t)(j + 1) * N * kp, kp, T - (j + 1) * N);
            load_tile<D, N>(vt + next, v + (int64_t)(j + 1) * N * kp, kp, T - (j + 1) * N);
        }
        loads_issued();
        loads_wait<1>();
        __syncthreads();
        float s[N / 8][4] = {{0}}, ds[N / 8][4] = {{0}};
        rows_by_rows<D, N / 8>(s, qt, warp * 16, kt + at);
        rows_by_rows<D, N / 8>(ds, ot, warp * 16, vt + at);
#pragma unroll
        for (int n = 0; n < N / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int key = j * N + 8 * n + 2 * (l % 4) + i % 2;
                float p = key > row + i / 2 * 8 ? 0 : exp2f(s[n][i] * h.scale * LOG2E - l2[i / 2]);
                ds[n][i] = p * (ds[n][i] - dl[i / 2]);
            }
        by_tile<D, N / 8>(acc, ds, kt + at);
        __syncthreads();
    }
    store_rows<D>(dq + qat + (int64_t)warp * 16 * qp, qp, acc, h.scale, h.scale, T - q0 - warp * 16);
}

template <int D> static void run(struct kctx *c, bf16 *dq, bf16 *dk, bf16 *dv, const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *o, const float *lse, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, float scale) {
    const int bytes = (2 * TILE + 4 * queries<D>::N) * D * 2;
    const int64_t n = (int64_t)cu[S] * H;
    float *delta = (float *)cuda_scratch(c, SCRATCH_DELTA, (size_t)n * sizeof(float));
    if (!n || !delta || !more_shared(c, backward_kv<D>, bytes) || !more_shared(c, backward_q<D>, bytes)) return;
    deltas<D><<<(unsigned)ceil_div(n * (D / 8), 256), 256, 0, c->stream>>>(delta, dout, o, n);
    unsigned tiles = (unsigned)ceil_div(longest_of(cu, S), TILE);
    for (int s = 0; s < S; s += MAX_GRID_Z) {
        struct packed_heads h = {cu_dev, s, H, G, scale};
        unsigned z = (unsigned)(S - s < MAX_GRID_Z ? S - s : MAX_GRID_Z);
        backward_kv<D><<<dim3(tiles, (unsigned)G, z), THREADS, bytes, c->stream>>>(dk, dv, dout, q, k, v, lse, delta, h);
        backward_q<D><<<dim3(tiles, (unsigned)H, z), THREADS, bytes, c->stream>>>(dq, dout, q, k, v, lse, delta, h);
    }
    launched(c, "attention_bwd");
}

void cuda_attention_bwd(struct kctx *c, void *dq, void *dk, void *dv, const void *dout, const void *q, const void *k, const void *v, const void *o, const float *lse, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale) {
    if (D == 64)
        run<64>(c, (bf16 *)dq, (bf16 *)dk, (bf16 *)dv, (const bf16 *)dout, (const bf16 *)q, (const bf16 *)k, (const bf16 *)v, (const bf16 *)o, lse, cu, cu_dev, S, H, G, scale);
    else if (D == 128)
        run<128>(c, (bf16 *)dq, (bf16 *)dk, (bf16 *)dv, (const bf16 *)dout, (const bf16 *)q, (const bf16 *)k, (const bf16 *)v, (const bf16 *)o, lse, cu, cu_dev, S, H, G, scale);
    else
        cuda_attention_bwd_any(c, dq, dk, dv, dout, q, k, v, o, lse, cu, cu_dev, S, H, G, D, scale);
}

/* Attention of heads of 64 values on Hopper: the work and the order of attention.cu and attention_bwd.cu, by the products of warp
   groups. A group keeps 64 rows; it reads the tiles of the other side from shared memory. */
#include "kernels/cuda/wgmma.cuh"

enum { D = 64, STEP = 64, TILE = STEP * D * 2 /* bytes */, ALIGNED = 1024, RING = 3 };

__device__ int has_wgmma
#ifdef HAS_WGMMA
    = 1;
#else
    = 0;
#endif
bool cuda_has_wgmma(void) {
    int x = 0;
    return cudaMemcpyFromSymbol(&x, has_wgmma, sizeof x) == cudaSuccess && x;
}

template <int N, int GROUPS> __device__ inline void load_wide(uint32_t tile, const bf16 *p, int64_t pitch, int valid) {
#pragma unroll
    for (int i = threadIdx.x; i < N * D / 8; i += 128 * GROUPS) {
        int r = i / (D / 8), c = i % (D / 8);
        const bf16 *from = r < valid ? p + r * pitch + c * 8 : p;
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(chunk_at<D>(tile, r, c)), "l"(from), "r"(r < valid ? 16 : 0));
    }
}
__device__ inline uint32_t first_tile(void *shared) { return ((uint32_t)__cvta_generic_to_shared(shared) + ALIGNED - 1) / ALIGNED * ALIGNED; }
/* The tiles asked for before the last group of loads are there for both groups. */
__device__ inline void tiles_ready() {
    loads_wait<1>();
    shared_for_group();
    __syncthreads();
}

template <int GROUPS, int BLOCKS> static __global__ void __launch_bounds__(128 * GROUPS, BLOCKS) forward(bf16 *o, float *lse, const bf16 *q, const bf16 *k, const bf16 *v, struct packed_heads h) {
    constexpr int ROWS = 64 * GROUPS;
    extern __shared__ char shared[];
    const int seq = h.first + blockIdx.y, start = h.cu[seq], T = h.cu[seq + 1] - start, head = blockIdx.x, g = head / (h.H / h.G);
    const int tile = (T + ROWS - 1) / ROWS - 1 - (int)blockIdx.z;
    if (tile < 0) return;
    const int l = threadIdx.x % 32, q0 = tile * ROWS, w0 = threadIdx.x / 32 * 16, row = q0 + w0 + l / 4;
    const int64_t qp = (int64_t)h.H * D, kp = (int64_t)h.G * D;
    const uint32_t qt = first_tile(shared), own = qt + threadIdx.x / 128 * TILE, kt = qt + GROUPS * TILE, vt = kt + 2 * TILE;
    q += ((int64_t)(start + q0) * h.H + head) * D;
    k += ((int64_t)start * h.G + g) * D;
    v += ((int64_t)start * h.G + g) * D;
    load_wide<ROWS, GROUPS>(qt, q, qp, T - q0);
    load_wide<STEP, GROUPS>(kt, k, kp, T);
    load_wide<STEP, GROUPS>(vt, v, kp, T);
    loads_issued();
    float acc[8][4] = {{0}}, max[2] = {-INFINITY, -INFINITY}, sum[2] = {0};
    const float scale = h.scale * LOG2E;
    const int last = q0 + ROWS < T ? q0 + ROWS : T, steps = (last + STEP - 1) / STEP;
    for (int j = 0; j < steps; j++) {
        const uint32_t at = (uint32_t)(j & 1) * TILE, next = (uint32_t)(~j & 1) * TILE;
        if (j + 1 < steps) {
            load_wide<STEP, GROUPS>(kt + next, k + (int64_t)(j + 1) * STEP * kp, kp, T - (j + 1) * STEP);
            load_wide<STEP, GROUPS>(vt + next, v + (int64_t)(j + 1) * STEP * kp, kp, T - (j + 1) * STEP);
        }
        loads_issued();
        tiles_ready();
        float s[8][4];
        uint32_t p[4][4];
        group_begin();
        group_scores(s, own, kt + at);
        group_end();
        group_wait<0>();
        scale_and_mask<8>(s, scale, j * STEP, row, (j + 1) * STEP > q0);
        softmax_step<D, 8>(s, acc, max, sum);
        as_left(p, s);
        group_begin();
        group_apply(acc, p, vt + at);
        group_end();
        group_wait<0>();
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int r = row + 8 * i;
        sum[i] += __shfl_xor_sync(~0u, sum[i], 1);
        sum[i] += __shfl_xor_sync(~0u, sum[i], 2);
        if (l % 4 == 0 && r < T) lse[(int64_t)(start + r) * h.H + head] = (max[i] + log2f(sum[i])) / LOG2E;
    }
    store_rows<D>(o + ((int64_t)(start + q0 + w0) * h.H + head) * D, qp, acc, 1 / sum[0], 1 / sum[1], T - q0 - w0);
}

template <int GROUPS, int BLOCKS> static __global__ void __launch_bounds__(128 * GROUPS, BLOCKS) backward_kv(bf16 *dk, bf16 *dv, const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const float *lse, const float *delta, struct packed_heads h) {
    constexpr int ROWS = 64 * GROUPS;
    extern __shared__ char shared[];
    __shared__ float l2[2][STEP], dl[2][STEP];
    const int seq = h.first + blockIdx.y, start = h.cu[seq], T = h.cu[seq + 1] - start, g = blockIdx.x, group = h.H / h.G;
    const int k0 = (int)blockIdx.z * ROWS;
    if (k0 >= T) return;
    const int l = threadIdx.x % 32, w0 = threadIdx.x / 32 * 16, key = k0 + w0 + l / 4;
    const int64_t qp = (int64_t)h.H * D, kp = (int64_t)h.G * D, kat = ((int64_t)(start + k0) * h.G + g) * D;
    const uint32_t kt = first_tile(shared), half = threadIdx.x / 128 * TILE, vt = kt + GROUPS * TILE, qt = vt + GROUPS * TILE, ot = qt + 2 * TILE;
    const int first = k0 / STEP, per_head = (T + STEP - 1) / STEP - first, steps = per_head * group;
    auto fetch = [&](int step) {
        int head = g * group + step / per_head, q0 = (first + step % per_head) * STEP, at = step & 1, i = threadIdx.x;
        int64_t row = (int64_t)(start + q0) * h.H + head;
        load_wide<STEP, GROUPS>(qt + at * TILE, q + row * D, qp, T - q0);
        load_wide<STEP, GROUPS>(ot + at * TILE, dout + row * D, qp, T - q0);
        if (i < STEP) {
            l2[at][i] = q0 + i < T ? lse[row + (int64_t)i * h.H] * LOG2E : 0;
            dl[at][i] = q0 + i < T ? delta[row + (int64_t)i * h.H] : 0;
        }
    };
    load_wide<ROWS, GROUPS>(kt, k + kat, kp, T - k0);
    load_wide<ROWS, GROUPS>(vt, v + kat, kp, T - k0);
    fetch(0);
    loads_issued();
    float ak[8][4] = {{0}}, av[8][4] = {{0}};
    for (int step = 0; step < steps; step++) {
        const int at = step & 1, q0 = (first + step % per_head) * STEP;
        if (step + 1 < steps) fetch(step + 1);
        loads_issued();
        tiles_ready();
        float s[8][4], ds[8][4];
        uint32_t p[4][4], d[4][4];
        group_begin();
        group_scores(s, kt + half, qt + at * TILE);
        group_end();
        group_scores(ds, vt + half, ot + at * TILE);
        group_end();
        group_wait<1>();
        weights<8>(s, l2[at], h.scale * LOG2E, key, q0, T, q0 < k0 + ROWS || q0 + STEP > T);
        as_left(p, s);
        group_wait<0>();
        group_begin();
        group_apply(av, p, ot + at * TILE);
        group_end();
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) ds[n][i] = s[n][i] * (ds[n][i] - dl[at][8 * n + 2 * (l % 4) + i % 2]);
        as_left(d, ds);
        group_begin();
        group_apply(ak, d, qt + at * TILE);
        group_end();
        group_wait<0>();
        __syncthreads();
    }
    const int64_t to = kat + (int64_t)w0 * kp;
    store_rows<D>(dk + to, kp, ak, h.scale, h.scale, T - k0 - w0);
    store_rows<D>(dv + to, kp, av, 1, 1, T - k0 - w0);
}

template <int GROUPS, int BLOCKS> static __global__ void __launch_bounds__(128 * GROUPS, BLOCKS) backward_q(bf16 *dq, const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const float *lse, const float *delta, struct packed_heads h) {
    constexpr int ROWS = 64 * GROUPS;
    extern __shared__ char shared[];
    const int seq = h.first + blockIdx.y, start = h.cu[seq], T = h.cu[seq + 1] - start, head = blockIdx.x, g = head / (h.H / h.G);
    const int tile = (T + ROWS - 1) / ROWS - 1 - (int)blockIdx.z;
    if (tile < 0) return;
    const int l = threadIdx.x % 32, q0 = tile * ROWS, w0 = threadIdx.x / 32 * 16, row = q0 + w0 + l / 4;
    const int64_t qp = (int64_t)h.H * D, kp = (int64_t)h.G * D, qat = ((int64_t)(start + q0) * h.H + head) * D;
    const uint32_t qt = first_tile(shared), half = threadIdx.x / 128 * TILE, ot = qt + GROUPS * TILE, kt = ot + GROUPS * TILE, vt = kt + RING * TILE;
    k += ((int64_t)start * h.G + g) * D;
    v += ((int64_t)start * h.G + g) * D;
    load_wide<ROWS, GROUPS>(qt, q + qat, qp, T - q0);
    load_wide<ROWS, GROUPS>(ot, dout + qat, qp, T - q0);
    load_wide<STEP, GROUPS>(kt, k, kp, T);
    load_wide<STEP, GROUPS>(vt, v, kp, T);
    loads_issued();
    float l2[2], dl[2], acc[8][4] = {{0}}, s[8][4], ds[8][4];
    uint32_t d[4][4];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int r = row + 8 * i;
        int64_t at = (int64_t)(start + r) * h.H + head;
        l2[i] = r < T ? lse[at] * LOG2E : 0;
        dl[i] = r < T ? delta[at] : 0;
    }
    const int last = q0 + ROWS < T ? q0 + ROWS : T, steps = (last + STEP - 1) / STEP;
    /* A tile's scores run beside the product with the weights before it, which still runs while they become weights: of RING tiles
       one is loaded, one read, and one still multiplied with. */
    auto scores = [&](int j) {
        const uint32_t at = (uint32_t)(j % RING) * TILE, next = (uint32_t)((j + 1) % RING) * TILE;
        if (j + 1 < steps) {
            load_wide<STEP, GROUPS>(kt + next, k + (int64_t)(j + 1) * STEP * kp, kp, T - (j + 1) * STEP);
            load_wide<STEP, GROUPS>(vt + next, v + (int64_t)(j + 1) * STEP * kp, kp, T - (j + 1) * STEP);
        }
        loads_issued();
        tiles_ready();
        group_begin();
        group_scores(s, qt + half, kt + at);
        group_scores(ds, ot + half, vt + at);
        group_end();
    };
    auto weigh = [&](int j) {
        const bool edge = (j + 1) * STEP > q0;
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float w = edge && j * STEP + 8 * n + 2 * (l % 4) + i % 2 > row + i / 2 * 8 ? 0 : exp2_fast(s[n][i] * (h.scale * LOG2E) - l2[i / 2]);
                ds[n][i] = w * (ds[n][i] - dl[i / 2]);
            }
    };
    scores(0);
    group_wait<0>();
    weigh(0);
    as_left(d, ds);
    for (int j = 1; j < steps; j++) {
        scores(j);
        group_apply(acc, d, kt + (uint32_t)((j - 1) % RING) * TILE);
        group_end();
        group_wait<1>();
        weigh(j);
        group_wait<0>();
        as_left(d, ds);
    }
    group_begin();
    group_apply(acc, d, kt + (uint32_t)((steps - 1) % RING) * TILE);
    group_end();
    group_wait<0>();
    store_rows<D>(dq + qat + (int64_t)w0 * qp, qp, acc, h.scale, h.scale, T - q0 - w0);
}

/* A kernel of so many groups over all sequences. own: tensors of which the block's rows lie in shared memory, beside
   `tiles` of the other side; per: heads. */
template <int GROUPS, class F, class... A> static void over_sequences(struct kctx *c, F kernel, int own, int tiles, const int32_t *cu, struct packed_heads h, int S, int per, A... args) {
    const int bytes = (GROUPS * own + tiles) * TILE + ALIGNED;
    if (!more_shared(c, kernel, bytes)) return;
    unsigned blocks = (unsigned)ceil_div(longest_of(cu, S), 64 * GROUPS);
    for (int s = 0; s < S; s += MAX_GRID_Y) {
        h.first = s;
        kernel<<<dim3((unsigned)per, (unsigned)(S - s < MAX_GRID_Y ? S - s : MAX_GRID_Y), blocks), 128 * GROUPS, bytes, c->stream>>>(args..., h);
    }
    launched(c, "attention");
}

/* Two groups a block share the tiles of the forward; in the backward blocks of one group, three a multiprocessor, wait for each
   other less. */
void cuda_attention_wide(struct kctx *c, bf16 *o, float *lse, const bf16 *q, const bf16 *k, const bf16 *v, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, float scale) {
    struct packed_heads h = {cu_dev, 0, H, G, scale};
    over_sequences<2>(c, forward<2, 2>, 1, 4, cu, h, S, H, o, lse, q, k, v);
}
void cuda_attention_bwd_wide(struct kctx *c, bf16 *dq, bf16 *dk, bf16 *dv, const bf16 *dout, const bf16 *q, const bf16 *k, const bf16 *v, const float *lse, const float *delta, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, float scale) {
    struct packed_heads h = {cu_dev, 0, H, G, scale};
    over_sequences<1>(c, backward_kv<1, 3>, 2, 4, cu, h, S, G, dk, dv, dout, q, k, v, lse, delta);
    over_sequences<1>(c, backward_q<1, 3>, 2, 2 * RING, cu, h, S, H, dq, dout, q, k, v, lse, delta);
}

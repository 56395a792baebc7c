/* Attention of several tokens of a sequence whose past lies in the paged cache, on tensor cores as attention.cu's: a block takes the
   queries of one key/value head, token by token with all its query heads, so that each key is read once for them. */
#include "kernels/cuda/attention.cuh"

struct paged {
    struct kv_view c;
    const int32_t *seq, *pos, *cu;
    int first; /* stretch of blockIdx.y 0 */
    int H, G;
    float scale;
};

/* Tokens t0..t0+N-1 of one head, as they lie in pages; those from T on become 0. */
template <int D, int N> static __device__ inline void load_pages(uint32_t tile, const act16 *p, const int32_t *pages, int G, int g, int t0, int T) {
    for (int i = threadIdx.x; i < N * D / 8; i += THREADS) {
        int r = i / (D / 8), c = i % (D / 8), t = t0 + r;
        const act16 *from = t < T ? p + (((int64_t)pages[t / KV_BLOCK] * G + g) * KV_BLOCK + t % KV_BLOCK) * D + c * 8 : p;
        copy_chunk(chunk_at<D>(tile, r, c), from, t < T);
    }
}

/* Where query r of a stretch's key/value head lies: r / share is its token. */
struct queries { int64_t pitch; int share; };
template <int D> static __device__ inline int64_t query_at(const struct queries &q, int r) { return r / q.share * q.pitch + r % q.share * D; }

template <int D, int ROWS> static __device__ inline void load_queries(uint32_t tile, const act16 *p, const struct queries &q, int first, int n) {
    for (int i = threadIdx.x; i < ROWS * D / 8; i += THREADS) {
        int r = i / (D / 8), c = i % (D / 8);
        bool there = first + r < n;
        copy_chunk(chunk_at<D>(tile, r, c), there ? p + query_at<D>(q, first + r) + c * 8 : p, there);
    }
}

template <int D> static __global__ void __launch_bounds__(THREADS) paged(act16 *o, const act16 *q, struct paged h) {
    extern __shared__ __align__(128) char shared[];
    constexpr int M = shape<D>::M, ROWS = shape<D>::ROWS, N = shape<D>::STEP;
    const int s = h.first + blockIdx.y, start = h.cu[s], tokens = h.cu[s + 1] - start, g = blockIdx.x, share = h.H / h.G, n = tokens * share;
    const int tile = (n + ROWS - 1) / ROWS - 1 - (int)blockIdx.z; /* the longest rows first */
    if (tile < 0) return;
    const int l = threadIdx.x % 32, q0 = tile * ROWS, w0 = threadIdx.x / 32 * shape<D>::WARP_ROWS, past = h.pos[start];
    const int32_t *pages = h.c.table + (int64_t)h.seq[start] * h.c.max_pages;
    const act16 *k = (const act16 *)h.c.k, *v = (const act16 *)h.c.v;
    const uint32_t qt = (uint32_t)__cvta_generic_to_shared(shared), kt = qt + ROWS * D * 2, size = N * D * 2, vt = kt + 2 * size;
    const struct queries at = {(int64_t)h.H * D, share};
    const int64_t own = ((int64_t)start * h.H + g * share) * D;
    const int first = past + q0 / share, T = past + min(tokens, (q0 + ROWS - 1) / share + 1), steps = (T + N - 1) / N; /* keys that all see; that any sees */
    load_queries<D, ROWS>(qt, q + own, at, q0, n);
    load_pages<D, N>(kt, k, pages, h.G, g, 0, T);
    load_pages<D, N>(vt, v, pages, h.G, g, 0, T);
    loads_issued();
    float acc[M][D / 8][4] = {{{0}}}, max[M][2], sum[M][2] = {{0}};
    int last[M][2]; /* the key of the lane's rows themselves */
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int i = 0; i < 2; i++) max[m][i] = -INFINITY, last[m][i] = past + (q0 + w0 + 16 * m + l / 4 + 8 * i) / share;
    const float scale = h.scale * LOG2E;
    for (int j = 0; j < steps; j++) {
        const uint32_t here = (uint32_t)(j & 1) * size, next = (uint32_t)(~j & 1) * size;
        if (j + 1 < steps) {
            load_pages<D, N>(kt + next, k, pages, h.G, g, (j + 1) * N, T);
            load_pages<D, N>(vt + next, v, pages, h.G, g, (j + 1) * N, T);
        }
        loads_issued();
        loads_wait<1>();
        __syncthreads();
        float c[M][N / 8][4] = {{{0}}};
        rows_by_rows<D, N / 8, M>(c, qt, w0, kt + here);
        const bool edge = (j + 1) * N > first + 1;
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int b = 0; b < N / 8; b++)
#pragma unroll
                for (int i = 0; i < 4; i++) c[m][b][i] = edge && j * N + 8 * b + 2 * (l % 4) + i % 2 > last[m][i / 2] ? -INFINITY : c[m][b][i] * scale;
            softmax_step<D, N / 8>(c[m], acc[m], max[m], sum[m]);
        }
        by_tile<D, N / 8, M>(acc, c, vt + here);
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int r = q0 + w0 + 16 * m + l / 4 + 8 * i;
            sum[m][i] += __shfl_xor_sync(~0u, sum[m][i], 1);
            sum[m][i] += __shfl_xor_sync(~0u, sum[m][i], 2);
            if (r >= n) continue;
            act16 *to = o + own + query_at<D>(at, r) + 2 * (l % 4);
#pragma unroll
            for (int b = 0; b < D / 8; b++) *(uint32_t *)(to + 8 * b) = pack(acc[m][b][2 * i] / sum[m][i], acc[m][b][2 * i + 1] / sum[m][i]);
        }
}

template <int D> static void run(struct kctx *c, act16 *o, const act16 *q, const struct kv_view *view, const int32_t *seq, const int32_t *pos, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, float scale) {
    const int bytes = (shape<D>::ROWS + 4 * shape<D>::STEP) * D * 2;
    if (!more_shared(c, paged<D>, bytes)) return;
    for (int s = 0; s < S; s += MAX_GRID_Y) {
        struct paged h = {*view, seq, pos, cu_dev, s, H, G, scale};
        dim3 grid((unsigned)G, (unsigned)(S - s < MAX_GRID_Y ? S - s : MAX_GRID_Y), (unsigned)ceil_div((int64_t)longest_of(cu, S) * (H / G), shape<D>::ROWS));
        paged<D><<<grid, THREADS, bytes, c->stream>>>(o, q, h);
    }
    launched(c, "attention_paged");
}

void cuda_attention_paged(struct kctx *c, void *o, const void *q, const struct kv_view *view, const int32_t *seq, const int32_t *pos, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale) {
    cuda_flush(c);
    if (S <= 0) return;
    if (D == 64) run<64>(c, (act16 *)o, (const act16 *)q, view, seq, pos, cu, cu_dev, S, H, G, scale);
    else if (D == 128) run<128>(c, (act16 *)o, (const act16 *)q, view, seq, pos, cu, cu_dev, S, H, G, scale);
    else cuda_attention_cached(c, o, q, view, seq, pos, cu[S], H, G, D, scale);
}

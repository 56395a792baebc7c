/* The sums of products of product.cu where its tiles are too few to keep the card busy, as in the passes of a small model: tiles of 64 × 64,
   whose steps a cluster of blocks shares out among themselves. Their parts are added up in one order through each other's shared memory. */
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/tma.cuh"

enum { EDGE = 64, NARROW_STAGES = 4, NARROW_TILE = EDGE * EDGE * 2 /* bytes */, NARROW_SHARED = NARROW_STAGES * 2 * NARROW_TILE, A_MULTIPROCESSOR = 3 /* blocks */, MOST_SPLITS = 8,
    LEAST_STEPS = 3 /* of a split */ };
struct narrow_term {
    const act16 *a, *b;
    int64_t lda, ldb;
    int K, first; /* of the sum's steps, EDGE values each */
};
struct narrow_sum {
    act16 *c;
    const act16 *onto;
    struct narrow_term t[WIDE_TERMS];
    int N, n, steps, tiles;
};
struct narrow_work {
    struct narrow_sum v[WIDE_SUMS];
    int n, R, rows; /* tiles of rows */
};

#ifdef HAS_TMA
/* A step's rows of A and columns of B; zeros beyond the edges */
template <bool BY_ROWS> __device__ inline void narrow_fetch(const narrow_sum &s, int step, int row, int column, int R, uint32_t stage) {
    int j = 0;
    while (j + 1 < s.n && step >= s.t[j + 1].first) j++;
    const narrow_term &t = s.t[j];
    const int k = (step - t.first) * EDGE;
#pragma unroll
    for (int i = threadIdx.x; i < EDGE * 8; i += THREADS) {
        const int r = i / 8, c = i % 8, down = BY_ROWS ? k + r : column + r, across = BY_ROWS ? column + 8 * c : k + 8 * c;
        const bool of_a = row + r < R && k + 8 * c < t.K, of_b = down < (BY_ROWS ? t.K : s.N) && across < (BY_ROWS ? s.N : t.K);
        copy_chunk(chunk_at<EDGE>(stage, r, c), of_a ? t.a + (int64_t)(row + r) * t.lda + k + 8 * c : t.a, of_a);
        copy_chunk(chunk_at<EDGE>(stage + NARROW_TILE, r, c), of_b ? t.b + (int64_t)down * t.ldb + across : t.b, of_b);
    }
}

/* A warp's 16 rows */
template <bool BY_ROWS> __device__ inline void narrow_step(float (&sum)[EDGE / 8][4], uint32_t stage) {
#pragma unroll
    for (int s = 0; s < EDGE / 16; s++) {
        uint32_t a[4], b[4];
        load_a<EDGE>(a, stage, threadIdx.x / 32 * 16, s);
#pragma unroll
        for (int n = 0; n < EDGE / 8; n += 2) {
            if (BY_ROWS) load_b_cols<EDGE>(b, stage + NARROW_TILE, 16 * s, n);
            else load_b_rows<EDGE>(b, stage + NARROW_TILE, 8 * n, s);
            mma(sum[n], a, b), mma(sum[n + 1], a, b + 2);
        }
    }
}

/* Two values of two rows, eight columns from `column` on */
__device__ inline void narrow_store(const narrow_sum &s, const float v[4], int row, int column, int R) {
    const int l = threadIdx.x % 32, c = column + 2 * (l % 4);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int r = row + threadIdx.x / 32 * 16 + l / 4 + 8 * i;
        if (r >= R || c >= s.N) continue;
        const int64_t at = (int64_t)r * s.N + c;
        float2 y = {v[2 * i], v[2 * i + 1]};
        if (s.onto) {
            uint32_t word = *(const uint32_t *)(s.onto + at);
            y.x += act_low(word);
            y.y += act_high(word);
        }
        *(uint32_t *)(s.c + at) = pack(y.x, y.y);
    }
}

__device__ inline float4 read_at(uint32_t at, int rank) {
    float4 v;
    asm volatile("{\n.reg .b32 a;\nmapa.shared::cluster.u32 a, %4, %5;\nld.shared::cluster.v4.f32 {%0,%1,%2,%3}, [a];\n}\n" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(at), "r"(rank) : "memory");
    return v;
}

/* Each block of the cluster adds up, and stores, its share of the columns. */
__device__ inline void narrow_join(const narrow_sum &s, const float (&sum)[EDGE / 8][4], uint32_t shared, int row, int column, int R, int rank, int splits) {
    const uint32_t mine = shared + threadIdx.x * 16;
#pragma unroll
    for (int n = 0; n < EDGE / 8; n++)
        asm volatile("st.shared.v4.f32 [%0], {%1,%2,%3,%4};\n" ::"r"(mine + n * THREADS * 16), "f"(sum[n][0]), "f"(sum[n][1]), "f"(sum[n][2]), "f"(sum[n][3]) : "memory");
    cluster_sync();
    const int each = EDGE / 8 / splits;
    for (int n = rank * each; n < (rank + 1) * each; n++) {
        float v[4] = {0};
        for (int p = 0; p < splits; p++) {
            float4 x = read_at(mine + n * THREADS * 16, p);
            v[0] += x.x, v[1] += x.y, v[2] += x.z, v[3] += x.w;
        }
        narrow_store(s, v, row, column + 8 * n, R);
    }
    __syncwarp();
    cluster_sync(); /* a block must not end while others read its parts */
}
#endif

template <bool BY_ROWS> static __global__ void __launch_bounds__(THREADS, A_MULTIPROCESSOR) narrow(const __grid_constant__ struct narrow_work w, int splits) {
#ifdef HAS_TMA
    extern __shared__ __align__(128) char shared[];
    const uint32_t ring = (uint32_t)__cvta_generic_to_shared(shared);
    const int rank = blockIdx.x % splits;
    int id = blockIdx.x / splits, i = 0;
    while (i + 1 < w.n && id >= w.v[i].tiles) id -= w.v[i++].tiles;
    const narrow_sum &s = w.v[i];
    const int row = id % w.rows * EDGE, column = id / w.rows * EDGE, first = rank * s.steps / splits, last = (rank + 1) * s.steps / splits;
    float sum[EDGE / 8][4] = {};
#pragma unroll
    for (int j = 0; j < NARROW_STAGES - 1; j++) {
        if (first + j < last) narrow_fetch<BY_ROWS>(s, first + j, row, column, w.R, ring + j * 2 * NARROW_TILE);
        loads_issued();
    }
    for (int step = first, at = 0; step < last; step++) {
        loads_wait<NARROW_STAGES - 2>();
        __syncthreads();
        const int next = at ? at - 1 : NARROW_STAGES - 1; /* what was read last */
        if (step + NARROW_STAGES - 1 < last) narrow_fetch<BY_ROWS>(s, step + NARROW_STAGES - 1, row, column, w.R, ring + next * 2 * NARROW_TILE);
        loads_issued();
        narrow_step<BY_ROWS>(sum, ring + at * 2 * NARROW_TILE);
        at = at + 1 < NARROW_STAGES ? at + 1 : 0;
    }
    if (splits > 1) {
        __syncthreads(); /* the stages have been read */
        narrow_join(s, sum, ring, row, column, w.R, rank, splits);
        return;
    }
#pragma unroll
    for (int n = 0; n < EDGE / 8; n++) narrow_store(s, sum[n], row, column + 8 * n, w.R);
#endif
}

/* False where the number of values does not fit whole chunks. */
static bool narrow_sum_of(struct narrow_sum *to, const struct wide_sum *s, int rows) {
    *to = {};
    to->c = s->c;
    to->onto = s->onto;
    to->N = s->N;
    to->n = s->n;
    to->tiles = rows * (int)ceil_div(s->N, EDGE);
    for (int i = 0; i < s->n; i++) {
        const struct wide_term *t = &s->t[i];
        if (t->K % 8) return false;
        to->t[i] = {t->a, t->b, t->lda, t->ldb, t->K, to->steps};
        to->steps += (int)ceil_div(t->K, EDGE);
    }
    return true;
}

template <bool BY_ROWS> static bool launch(struct kctx *k, const struct narrow_work *w, int tiles, int splits) {
    if (!more_shared(k, narrow<BY_ROWS>, NARROW_SHARED)) return false;
    cudaLaunchAttribute at = {};
    at.id = cudaLaunchAttributeClusterDimension;
    at.val.clusterDim = {(unsigned)splits, 1, 1};
    cudaLaunchConfig_t c = {};
    c.gridDim = dim3((unsigned)(tiles * splits));
    c.blockDim = dim3(THREADS);
    c.dynamicSmemBytes = NARROW_SHARED;
    c.stream = k->stream;
    c.attrs = &at;
    c.numAttrs = 1;
    return cuda_ok(k, cudaLaunchKernelEx(&c, narrow<BY_ROWS>, *w, splits), "product");
}

bool cuda_narrow(struct kctx *k, bool by_rows, const struct wide_sum *s, int n, int R) {
    struct narrow_work w;
    int tiles = 0, steps = 0, splits = 1;
    w.n = n;
    w.R = R;
    w.rows = (int)ceil_div(R, EDGE);
    for (int i = 0; i < n; i++) {
        if (!narrow_sum_of(&w.v[i], &s[i], w.rows)) return false;
        tiles += w.v[i].tiles;
        steps = w.v[i].steps > steps ? w.v[i].steps : steps;
    }
    const int room = A_MULTIPROCESSOR * k->multiprocessors;
    if (tiles > room) return false;
    while (splits < MOST_SPLITS && tiles * splits * 2 <= room && steps / (splits * 2) >= LEAST_STEPS) splits *= 2;
    return by_rows ? launch<true>(k, &w, tiles, splits) : launch<false>(k, &w, tiles, splits);
}

/* dh = dy·(s·B) and dB += s·dyᵀ·h of all linears of an input, from one reading of dy, which is what they cost.

   A warp keeps a strip of columns: of the rows that pass it takes the product with h into its share of dB, which stays in registers, and
   with its rows of B into a part of dh, which the block's eight warps add up and write out, a part for each slab of columns. Slabs × tiles of
   16 rows are dealt out evenly; a block that goes on into the next slab begins another share of dB. A second kernel adds up parts and
   shares, always in the same order. They lie in cuBLASLt's workspace, so long passes are taken in pieces. */
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/thin.cuh"

enum { THIN_WARPS = 8, THIN_THREADS = 32 * THIN_WARPS, THIN_STAGES = 5, TILE = 16 /* rows */, THIN_RANK = 32 /* largest */ };
/* Ranks up to 16·M */
template <int M> struct thin_shape {
    enum { RANK = 16 * M, STRIP = 128 / M, SLAB = THIN_WARPS * STRIP, DY_BYTES = TILE * STRIP * 2, STAGE_BYTES = DY_BYTES + TILE * RANK * 2,
        PART = TILE * RANK, SHARED_BYTES = THIN_WARPS * (THIN_STAGES * STAGE_BYTES + 2 * PART * 4) };
};
struct thin_linear {
    const act16 *dy, *b; /* (R,N), (N,r) */
    float *dB;
    int N, slab; /* its first */
};
struct thin_work {
    struct thin_linear v[ADAPTED_MOST];
    const act16 *h;
    act16 *dh;
    float *shares, *parts; /* (blocks + slabs, SLAB, RANK); (slabs, RANK, 16·tiles) */
    float s;
    int n, r, R, tiles, slabs, blocks;
};

__device__ inline int thin_find(const thin_work &w, int slab) {
    int j = 0;
    while (j + 1 < w.n && slab >= w.v[j + 1].slab) j++;
    return j;
}
/* 16-byte chunk c of row r of a tile of h */
template <int M> __device__ inline uint32_t h_chunk(uint32_t tile, int r, int c) { return tile + r * 32 * M + ((c ^ (M == 1 ? r >> 2 & 1 : r >> 1 & 3)) << 4); }

/* A warp's columns of a tile of rows, and those rows of h */
template <int M> __device__ inline void fetch_tile(const thin_work &w, const thin_linear &t, int j, int column, int tile, uint32_t stage) {
    typedef thin_shape<M> S;
    constexpr int CHUNKS = S::STRIP / 8, TOGETHER = 32 / CHUNKS; /* rows of one instruction */
    const int l = threadIdx.x % 32, c = l % CHUNKS, row = tile * TILE + l / CHUNKS, all = w.n * w.r;
    const act16 *p = t.dy + (int64_t)row * t.N + column + 8 * c;
    const bool inside = column + 8 * c < t.N;
#pragma unroll
    for (int i = 0; i < TILE; i += TOGETHER) {
        bool valid = inside && row + i < w.R;
        copy_chunk(chunk_at<S::STRIP>(stage, i + l / CHUNKS, c), valid ? p + (int64_t)i * t.N : t.dy, valid);
    }
#pragma unroll
    for (int i = l; i < TILE * 2 * M; i += 32) {
        int hr = tile * TILE + i / (2 * M), hc = i % (2 * M);
        bool valid = 8 * hc < w.r && hr < w.R;
        copy_chunk(h_chunk<M>(stage + S::DY_BYTES, i / (2 * M), hc), valid ? w.h + (int64_t)hr * all + j * w.r + 8 * hc : w.h, valid);
    }
}

/* The strip's rows of B as left factors: rank down, columns across */
template <int M> __device__ inline void take_b(uint32_t (&f)[thin_shape<M>::STRIP / 16][M][4], const thin_work &w, const thin_linear &t, int column) {
    const int l = threadIdx.x % 32;
#pragma unroll
    for (int s = 0; s < thin_shape<M>::STRIP / 16; s++)
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int rank = 16 * m + i % 2 * 8 + l / 4, c = column + 16 * s + i / 2 * 8 + 2 * (l % 4);
                bool valid = rank < w.r && c < t.N; /* eight divides both, and a word's two columns lie in one eight */
                const unsigned short *b = (const unsigned short *)t.b + (int64_t)c * w.r + rank;
                f[s][m][i] = valid ? b[0] | (uint32_t)b[w.r] << 16 : 0;
            }
}

/* dh's part of a tile (rank down, rows across) from a strip, and the strip's share of dB (rank down, columns across) */
template <int M> __device__ inline void multiply_tile(float (&dh)[M][2][4], float (&db)[M][thin_shape<M>::STRIP / 8][4], const uint32_t (&b)[thin_shape<M>::STRIP / 16][M][4], uint32_t stage) {
    typedef thin_shape<M> S;
    const int l = threadIdx.x % 32;
    uint32_t f[4], h[M][4];
#pragma unroll
    for (int s = 0; s < S::STRIP / 16; s++) {
        load_b_rows<S::STRIP>(f, stage, 0, s);
#pragma unroll
        for (int m = 0; m < M; m++) mma(dh[m][0], b[s][m], f), mma(dh[m][1], b[s][m], f + 2);
    }
#pragma unroll
    for (int m = 0; m < M; m++)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                     : "=r"(h[m][0]), "=r"(h[m][1]), "=r"(h[m][2]), "=r"(h[m][3]) : "r"(h_chunk<M>(stage + S::DY_BYTES, l % 8 + l / 16 * 8, 2 * m + l / 8 % 2)));
#pragma unroll
    for (int c = 0; c < S::STRIP / 8; c += 2) {
        load_b_cols<S::STRIP>(f, stage, 0, c);
#pragma unroll
        for (int m = 0; m < M; m++) mma(db[m][c], h[m], f), mma(db[m][c + 1], h[m], f + 2);
    }
}

/* Adds up the warps' parts of dh and writes the sum. The next tile's go into the other half of `sums`: one barrier a tile. */
template <int M> __device__ inline void join_parts(const float (&dh)[M][2][4], float *sums, float *to, int64_t pitch, int warps) {
    typedef thin_shape<M> S;
    const int l = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int i = 0; i < 4; i++) /* rows 8·(i/2).. of eight ranks */
            *(float2 *)(sums + warp * S::PART + (16 * m + i % 2 * 8 + l / 4) * TILE + i / 2 * 8 + 2 * (l % 4)) = {dh[m][i / 2][i % 2 * 2], dh[m][i / 2][i % 2 * 2 + 1]};
    __syncthreads();
#pragma unroll
    for (int at = threadIdx.x; at < S::PART; at += THIN_THREADS) {
        float sum = sums[at];
        for (int i = 1; i < warps; i++) sum += sums[i * S::PART + at];
        to[at / TILE * pitch + at % TILE] = sum;
    }
}

template <int M> __device__ inline void put_share(const float (&db)[M][thin_shape<M>::STRIP / 8][4], float *to) {
    typedef thin_shape<M> S;
    const int l = threadIdx.x % 32;
    to += threadIdx.x / 32 * S::STRIP * S::RANK + 2 * (l % 4) * S::RANK + l / 4;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int c = 0; c < S::STRIP / 8; c++)
#pragma unroll
            for (int i = 0; i < 4; i++) to[(8 * c + i % 2) * S::RANK + 16 * m + i / 2 * 8] = db[m][c][i];
}

/* Tiles first..last-1 of a slab */
template <int M> __device__ inline void thin_run(const thin_work &w, int slab, int first, int last, uint32_t ring, float *sums) {
    typedef thin_shape<M> S;
    const int j = thin_find(w, slab), start = (slab - w.v[j].slab) * S::SLAB, column = start + threadIdx.x / 32 * S::STRIP;
    const thin_linear &t = w.v[j];
    const int warps = min(THIN_WARPS, (t.N - start + S::STRIP - 1) / S::STRIP);
    const bool works = column < t.N;
    uint32_t b[S::STRIP / 16][M][4];
    float db[M][S::STRIP / 8][4] = {};
    __syncwarp(); /* the ring may still be read */
#pragma unroll
    for (int i = 0; i < THIN_STAGES - 1; i++) {
        if (works && first + i < last) fetch_tile<M>(w, t, j, column, first + i, ring + i * S::STAGE_BYTES);
        loads_issued();
    }
    take_b<M>(b, w, t, column);
    for (int i = first, at = 0; i < last; i++) {
        float dh[M][2][4] = {};
        loads_wait<THIN_STAGES - 2>();
        __syncwarp();
        int next = at ? at - 1 : THIN_STAGES - 1; /* what was read last */
        if (works && i + THIN_STAGES - 1 < last) fetch_tile<M>(w, t, j, column, i + THIN_STAGES - 1, ring + next * S::STAGE_BYTES);
        loads_issued();
        if (works) multiply_tile<M>(dh, db, b, ring + at * S::STAGE_BYTES);
        join_parts<M>(dh, sums + (i & 1) * (THIN_WARPS * S::PART), w.parts + (int64_t)slab * S::RANK * w.tiles * TILE + i * TILE, (int64_t)w.tiles * TILE, warps);
        at = at + 1 < THIN_STAGES ? at + 1 : 0;
    }
    if (works) put_share<M>(db, w.shares + (int64_t)(blockIdx.x + slab) * S::SLAB * S::RANK);
    __syncthreads(); /* the sums' half that the next slab begins with may be this one's last */
}

/* Block b's first unit (slab · tiles + tile) */
__host__ __device__ inline int thin_begin(const thin_work &w, int b) { return (int)((int64_t)b * w.slabs * w.tiles / w.blocks); }
/* The block that has a unit */
__device__ inline int thin_owner(const thin_work &w, int unit) { return (int)((((int64_t)unit + 1) * w.blocks - 1) / ((int64_t)w.slabs * w.tiles)); }

template <int M> static __global__ void __launch_bounds__(THIN_THREADS, 1) thin(const __grid_constant__ thin_work w) {
    typedef thin_shape<M> S;
    extern __shared__ __align__(128) char shared[];
    float *sums = (float *)(shared + THIN_WARPS * THIN_STAGES * S::STAGE_BYTES);
    uint32_t ring = (uint32_t)__cvta_generic_to_shared(shared) + threadIdx.x / 32 * (THIN_STAGES * S::STAGE_BYTES);
    int at = thin_begin(w, blockIdx.x), end = thin_begin(w, blockIdx.x + 1);
    while (at < end) {
        int slab = at / w.tiles, first = at % w.tiles, last = min(w.tiles, first + end - at);
        thin_run<M>(w, slab, first, last, ring, sums);
        at += last - first;
    }
}

/* Four values of dB a thread: eight warps share the blocks that have some. */
template <int M> __device__ inline void sum_shares(const thin_work &w, int64_t at) {
    typedef thin_shape<M> S;
    __shared__ float4 sums[THIN_WARPS][32];
    const int warp = threadIdx.x / 32, l = threadIdx.x % 32, quads = w.r / 4;
    int j = 0;
    at = at * 32 + l;
    while (j < w.n && at >= (int64_t)w.v[j].N * quads) at -= (int64_t)w.v[j++].N * quads;
    float4 sum = {};
    if (j < w.n) {
        int c = (int)(at / quads), m = (int)(at % quads) * 4, slab = w.v[j].slab + c / S::SLAB;
        int last = thin_owner(w, (slab + 1) * w.tiles - 1);
        const float *from = w.shares + (int64_t)(c % S::SLAB) * S::RANK + m;
#pragma unroll 4
        for (int b = thin_owner(w, slab * w.tiles) + warp; b <= last; b += THIN_WARPS) {
            float4 x = *(const float4 *)(from + (int64_t)(b + slab) * S::SLAB * S::RANK);
            sum.x += x.x, sum.y += x.y, sum.z += x.z, sum.w += x.w;
        }
    }
    sums[warp][l] = sum;
    __syncthreads();
    if (warp || j == w.n) return;
    for (int i = 1; i < THIN_WARPS; i++) sum.x += sums[i][l].x, sum.y += sums[i][l].y, sum.z += sums[i][l].z, sum.w += sums[i][l].w;
    float4 *to = (float4 *)(w.v[j].dB + at * 4), was = *to;
    *to = {was.x + w.s * sum.x, was.y + w.s * sum.y, was.z + w.s * sum.z, was.w + w.s * sum.w};
}

/* Four values of a row of dh a thread */
template <int M> __device__ inline void sum_parts(const thin_work &w, int64_t at) {
    typedef thin_shape<M> S;
    at = at * THIN_THREADS + threadIdx.x;
    const int row = (int)(at % w.R), quads = w.r / 4, q = (int)(at / w.R), j = q / quads, m = q % quads * 4;
    if (q >= w.n * quads) return;
    const int64_t pitch = (int64_t)w.tiles * TILE;
    const int end = j + 1 < w.n ? w.v[j + 1].slab : w.slabs;
    float sum[4] = {};
#pragma unroll 2
    for (int slab = w.v[j].slab; slab < end; slab++)
#pragma unroll
        for (int i = 0; i < 4; i++) sum[i] += w.parts[((int64_t)slab * S::RANK + m + i) * pitch + row];
    *(uint2 *)(w.dh + (int64_t)row * w.n * w.r + j * w.r + m) = {pack(sum[0], sum[1]), pack(sum[2], sum[3])};
}
template <int M> static __global__ void thin_sum(const __grid_constant__ thin_work w, unsigned of_shares) {
    if (blockIdx.x < of_shares) sum_shares<M>(w, blockIdx.x);
    else sum_parts<M>(w, blockIdx.x - of_shares);
}

/* ---- the host's side ---- */
/* 16 bytes must divide what is read by them. */
static bool thin_fits(act16 *dh, float *const *dB, const void *const *dy, const act16 *h, const struct adapted *a) {
    uintptr_t odd = (uintptr_t)h | (uintptr_t)dh | (uintptr_t)(2 * a->r);
    for (int j = 0; j < a->n; j++) odd |= (uintptr_t)dy[j] | (uintptr_t)dB[j] | (uintptr_t)(2 * a->w[j].rows);
    return odd % 16 == 0;
}

template <int M> static bool thin_ready(void) {
    static int ready; /* -1: the card has too little shared memory */
    if (!ready) {
        ready = cudaFuncSetAttribute(thin<M>, cudaFuncAttributeMaxDynamicSharedMemorySize, thin_shape<M>::SHARED_BYTES) == cudaSuccess ? 1 : -1;
        if (ready < 0) cudaGetLastError();
    }
    return ready > 0;
}

/* w->R rows, as many as the workspace has room for; w's tiles, slabs and blocks follow from them */
template <int M> static void thin_piece(struct kctx *k, struct thin_work *w) {
    typedef thin_shape<M> S;
    enum { LEAST = 8 }; /* tiles of a block */
    w->tiles = (int)ceil_div(w->R, TILE);
    int64_t units = (int64_t)w->slabs * w->tiles, outputs = 0;
    w->blocks = (int)(units < (int64_t)LEAST * k->multiprocessors ? ceil_div(units, LEAST) : k->multiprocessors);
    w->shares = (float *)k->workspace;
    w->parts = w->shares + (int64_t)(w->blocks + w->slabs) * S::SLAB * S::RANK;
    for (int j = 0; j < w->n; j++) outputs += w->v[j].N;
    thin<M><<<(unsigned)w->blocks, THIN_THREADS, S::SHARED_BYTES, k->stream>>>(*w);
    launched(k, "gradients of LoRA");
    unsigned of_shares = (unsigned)ceil_div(outputs * w->r / 4, 32), of_parts = (unsigned)ceil_div((int64_t)w->R * w->n * w->r / 4, THIN_THREADS);
    thin_sum<M><<<of_shares + of_parts, THIN_THREADS, 0, k->stream>>>(*w, of_shares);
    launched(k, "sums of gradients of LoRA");
}

template <int M> static bool thin_all(struct kctx *k, struct thin_work *w) {
    typedef thin_shape<M> S;
    if (!thin_ready<M>()) return false;
    for (int j = 0; j < w->n; j++) {
        w->v[j].slab = w->slabs;
        w->slabs += (int)ceil_div(w->v[j].N, S::SLAB);
    }
    const int64_t room = (int64_t)WORKSPACE_BYTES / 4 - (int64_t)(k->multiprocessors + w->slabs) * S::SLAB * S::RANK;
    const int64_t most = room / ((int64_t)w->slabs * S::RANK) / TILE * TILE; /* rows */
    if (most < 1024 || (int64_t)w->slabs * (most < w->R ? most : w->R) / TILE >= INT32_MAX) return false;
    for (int left = w->R; left > 0; left -= w->R) {
        w->R = left < most ? left : (int)most;
        thin_piece<M>(k, w);
        for (int j = 0; j < w->n; j++) w->v[j].dy += (int64_t)w->R * w->v[j].N;
        w->h += (int64_t)w->R * w->n * w->r;
        w->dh += (int64_t)w->R * w->n * w->r;
    }
    return true;
}

bool cuda_thin_bwd(struct kctx *k, act16 *dh, float *const *dB, const void *const *dy, const act16 *h, const act16 *const *b, const struct adapted *a, int R) {
    if (a->r > THIN_RANK || R < 64 || !thin_fits(dh, dB, dy, h, a)) return false;
    struct thin_work w = {};
    for (int j = 0; j < a->n; j++) w.v[j] = {(const act16 *)dy[j], b[j], dB[j], (int)a->w[j].rows, 0};
    w.h = h;
    w.dh = dh;
    w.s = a->s;
    w.n = a->n;
    w.r = a->r;
    w.R = R;
    return a->r <= 16 ? thin_all<1>(k, &w) : thin_all<2>(k, &w);
}

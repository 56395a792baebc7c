/* Thin products by strips (thin.cu, thin_mlp.cu): a warp keeps a strip of a matrix's columns while tiles of 16 of its rows pass. With the rows
   of s·B that belong to the strip it makes a part of dh = dy·(s·B) of each tile, which the block's warps add up and write; with the rows of h
   that belong to a tile it adds to its share of dB = s·dyᵀ·h, which stays in registers. A second kernel adds up parts and shares, always in the
   same order. A block is a slab of columns and a split, one of which takes every splits-th tile: what all blocks read at a time lies together. */
#ifndef COADOR_CUDA_STRIPS_CUH
#define COADOR_CUDA_STRIPS_CUH
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/chain.cuh"

enum { STRIP_WARPS = 8, STRIP_THREADS = 32 * STRIP_WARPS, TILE = 16 /* rows */ };
template <int COLUMNS, int M> struct strip {
    enum { WIDE = COLUMNS, RANKS = 16 * M, SLAB = STRIP_WARPS * WIDE, BYTES = TILE * WIDE * 2, H_BYTES = TILE * RANKS * 2, PART = TILE * RANKS };
    typedef uint32_t factors[WIDE / 16][M][4];  /* s·B's rows, the left factor of dh */
    typedef float part[M][2][4];                /* dh of a tile: ranks down, rows across */
    typedef float share[M][WIDE / 8][4];        /* dB of a strip: ranks down, columns across */
};

struct dealt { int tiles, slabs, splits; };
/* Of the shares, (splits, slabs, SLAB, RANKS) */
__device__ inline int64_t dealt_share(const dealt &d, int split, int slab) { return (int64_t)split * d.slabs + slab; }

/* ---- tiles in shared memory ---- */
/* 16-byte chunk c of row r of a tile of h */
template <int M> __device__ inline uint32_t h_chunk(uint32_t tile, int r, int c) { return tile + r * 32 * M + ((c ^ (M == 1 ? r >> 2 & 1 : r >> 1 & 3)) << 4); }
/* Rows first.. of h(R, ≥ r), pitch `all`; what is beyond r or R becomes 0. */
template <int M> __device__ inline void fetch_h(uint32_t tile, const act16 *h, int all, int first, int r, int R) {
#pragma unroll
    for (int i = threadIdx.x % 32; i < TILE * 2 * M; i += 32) {
        int row = first + i / (2 * M), c = i % (2 * M);
        bool valid = 8 * c < r && row < R;
        copy_chunk(h_chunk<M>(tile, i / (2 * M), c), valid ? h + (int64_t)row * all + 8 * c : h, valid);
    }
}
/* Columns column.. of rows first.. of p(R,N); what is beyond N or R becomes 0. */
template <class S> __device__ inline void fetch_strip(uint32_t tile, const act16 *p, int N, int column, int first, int R) {
    constexpr int CHUNKS = S::WIDE / 8, TOGETHER = 32 / CHUNKS; /* rows of one instruction */
    const int l = threadIdx.x % 32, c = l % CHUNKS, row = first + l / CHUNKS;
    const act16 *from = p + (int64_t)row * N + column + 8 * c;
    const bool inside = column + 8 * c < N;
#pragma unroll
    for (int i = 0; i < TILE; i += TOGETHER) {
        bool valid = inside && row + i < R;
        copy_chunk(chunk_at<S::WIDE>(tile, i + l / CHUNKS, c), valid ? from + (int64_t)i * N : p, valid);
    }
}

/* ---- products ---- */
/* b(N,r) */
template <class S, int M> __device__ inline void take_factors(uint32_t (&f)[S::WIDE / 16][M][4], const act16 *b, int N, int r, int column) {
    const int l = threadIdx.x % 32;
#pragma unroll
    for (int s = 0; s < S::WIDE / 16; s++)
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int rank = 16 * m + i % 2 * 8 + l / 4, c = column + 16 * s + i / 2 * 8 + 2 * (l % 4);
                bool valid = rank < r && c < N; /* eight divides both, and a word's two columns lie in one eight */
                const unsigned short *at = (const unsigned short *)b + (int64_t)c * r + rank;
                f[s][m][i] = valid ? at[0] | (uint32_t)at[r] << 16 : 0;
            }
}
/* The same of A(r,N), in f32 */
template <class S> __device__ inline void take_factors_across(uint32_t (&f)[S::WIDE / 16][1][4], const float *A, int N, int r, int column) {
    const int l = threadIdx.x % 32;
#pragma unroll
    for (int s = 0; s < S::WIDE / 16; s++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int rank = i % 2 * 8 + l / 4, c = column + 16 * s + i / 2 * 8 + 2 * (l % 4);
            const float *at = A + (int64_t)rank * N + c;
            f[s][0][i] = rank < r && c < N ? pack(at[0], at[1]) : 0;
        }
}
template <class S, int M> __device__ inline void add_part(float (&dh)[M][2][4], const uint32_t (&b)[S::WIDE / 16][M][4], uint32_t tile) {
#pragma unroll
    for (int s = 0; s < S::WIDE / 16; s++) {
        uint32_t f[4];
        load_b_rows<S::WIDE>(f, tile, 0, s);
#pragma unroll
        for (int m = 0; m < M; m++) mma(dh[m][0], b[s][m], f), mma(dh[m][1], b[s][m], f + 2);
    }
}
template <class S, int M> __device__ inline void add_share(float (&db)[M][S::WIDE / 8][4], uint32_t h_tile, uint32_t tile) {
    const int l = threadIdx.x % 32;
    uint32_t f[4], h[M][4];
#pragma unroll
    for (int m = 0; m < M; m++)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                     : "=r"(h[m][0]), "=r"(h[m][1]), "=r"(h[m][2]), "=r"(h[m][3]) : "r"(h_chunk<M>(h_tile, l % 8 + l / 16 * 8, 2 * m + l / 8 % 2)));
#pragma unroll
    for (int c = 0; c < S::WIDE / 8; c += 2) {
        load_b_cols<S::WIDE>(f, tile, 0, c);
#pragma unroll
        for (int m = 0; m < M; m++) mma(db[m][c], h[m], f), mma(db[m][c + 1], h[m], f + 2);
    }
}

/* ---- results ---- */
/* A warp's part, to where sum_part reads those of all warps, `pitch` values apart */
template <int M> __device__ inline void put_part(const float (&dh)[M][2][4], float *to, int pitch) {
    const int l = threadIdx.x % 32;
    to += threadIdx.x / 32 * pitch;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int i = 0; i < 4; i++) /* rows 8·(i/2).. of eight ranks */
            *(float2 *)(to + (16 * m + i % 2 * 8 + l / 4) * TILE + i / 2 * 8 + 2 * (l % 4)) = {dh[m][i / 2][i % 2 * 2], dh[m][i / 2][i % 2 * 2 + 1]};
}
template <class S> __device__ inline void sum_part(float *to, int64_t rows, const float *from, int pitch, int warps) {
#pragma unroll
    for (int at = threadIdx.x; at < S::PART; at += STRIP_THREADS) {
        float sum = from[at];
        for (int i = 1; i < warps; i++) sum += from[i * pitch + at];
        to[at / TILE * rows + at % TILE] = sum;
    }
}
template <class S, int M> __device__ inline void put_share(const float (&db)[M][S::WIDE / 8][4], float *to) {
    const int l = threadIdx.x % 32;
    to += threadIdx.x / 32 * S::WIDE * S::RANKS + 2 * (l % 4) * S::RANKS + l / 4;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int c = 0; c < S::WIDE / 8; c++)
#pragma unroll
            for (int i = 0; i < 4; i++) to[(8 * c + i % 2) * S::RANKS + 16 * m + i / 2 * 8] = db[m][c][i];
}

/* ---- the sums ---- */
struct sum_share { /* to(N,r), or (r,N) if across, += s · the shares of its slabs */
    float *to;
    const float *shares;
    float s;
    int N, slab; /* its first */
    bool across;
};
struct sum_work {
    dealt d;
    struct sum_share share[ADAPTED_MOST];
    int n_shares, n_parts, part[ADAPTED_MOST + 1]; /* dh(R, n_parts·r), of each linear from the parts part[j]..part[j+1]-1 */
    const float *parts;                            /* (·, RANKS, 16·tiles) */
    act16 *dh;
    int r, R, shares_blocks; /* of the grid, those that sum shares */
};
/* Four values a thread: eight warps share the splits. */
template <class S> __device__ inline void sum_shares(const sum_work &w, int64_t at) {
    __shared__ float4 sums[STRIP_WARPS][32];
    const int warp = threadIdx.x / 32, l = threadIdx.x % 32, quads = w.r / 4;
    int j = 0;
    at = at * 32 + l;
    while (j < w.n_shares && at >= (int64_t)w.share[j].N * quads) at -= (int64_t)w.share[j++].N * quads;
    const int c = (int)(at / quads), m = (int)(at % quads) * 4;
    float4 sum = {};
    if (j < w.n_shares) {
        int slab = w.share[j].slab + c / S::SLAB;
        const float *from = w.share[j].shares + (int64_t)(c % S::SLAB) * S::RANKS + m;
#pragma unroll 4
        for (int i = warp; i < w.d.splits; i += STRIP_WARPS) {
            float4 x = *(const float4 *)(from + dealt_share(w.d, i, slab) * (S::SLAB * S::RANKS));
            sum.x += x.x, sum.y += x.y, sum.z += x.z, sum.w += x.w;
        }
    }
    sums[warp][l] = sum;
    __syncthreads();
    if (warp || j == w.n_shares) return;
    for (int i = 1; i < STRIP_WARPS; i++) sum.x += sums[i][l].x, sum.y += sums[i][l].y, sum.z += sums[i][l].z, sum.w += sums[i][l].w;
    const sum_share &t = w.share[j];
    if (t.across) {
        float *to = t.to + (int64_t)m * t.N + c;
        to[0] += t.s * sum.x, to[t.N] += t.s * sum.y, to[2 * t.N] += t.s * sum.z, to[3 * t.N] += t.s * sum.w;
    } else {
        float4 *to = (float4 *)(t.to + at * 4), was = *to;
        *to = {was.x + t.s * sum.x, was.y + t.s * sum.y, was.z + t.s * sum.z, was.w + t.s * sum.w};
    }
}
/* Four values of a row of dh a thread */
template <class S> __device__ inline void sum_parts(const sum_work &w, int64_t at) {
    at = at * STRIP_THREADS + threadIdx.x;
    const int row = (int)(at % w.R), quads = w.r / 4, q = (int)(at / w.R), j = q / quads, m = q % quads * 4;
    if (j >= w.n_parts) return;
    const int64_t pitch = (int64_t)w.d.tiles * TILE;
    float sum[4] = {};
#pragma unroll 2
    for (int p = w.part[j]; p < w.part[j + 1]; p++)
#pragma unroll
        for (int i = 0; i < 4; i++) sum[i] += w.parts[((int64_t)p * S::RANKS + m + i) * pitch + row];
    *(uint2 *)(w.dh + (int64_t)row * w.n_parts * w.r + j * w.r + m) = {pack(sum[0], sum[1]), pack(sum[2], sum[3])};
}
template <class S> static __global__ void strip_sums(const __grid_constant__ sum_work w) {
    wait_for_inputs();
    if ((int)blockIdx.x < w.shares_blocks) sum_shares<S>(w, blockIdx.x);
    else sum_parts<S>(w, blockIdx.x - w.shares_blocks);
}

/* ---- the host's side ---- */
static inline struct dealt deal(int R, int slabs, int blocks) {
    enum { LEAST = 8 }; /* tiles of a block */
    int tiles = (int)ceil_div(R, TILE), splits = blocks > slabs ? blocks / slabs : 1, most = (int)ceil_div(tiles, LEAST);
    return {tiles, slabs, splits < most ? splits : most};
}
static inline dim3 dealt_grid(const struct dealt *d) { return dim3((unsigned)d->slabs, (unsigned)d->splits); }
/* Rows whose parts (`parts` of each) and shares (`shares` of each block) cuBLASLt's workspace has room for; 0: too few */
template <class S> static int rows_at_once(const struct kctx *k, int slabs, int parts, int shares) {
    int64_t room = (int64_t)WORKSPACE_BYTES / 4 - (int64_t)shares * (k->multiprocessors + slabs) * S::SLAB * S::RANKS;
    int64_t rows = room / ((int64_t)parts * S::RANKS) / TILE * TILE;
    return rows < 1024 ? 0 : (int)(rows < 1 << 20 ? rows : 1 << 20);
}
template <class S> static void add_up(struct kctx *k, struct sum_work *w) { /* after a kernel that lets it begin */
    int64_t outputs = 0;
    for (int j = 0; j < w->n_shares; j++) outputs += w->share[j].N;
    w->shares_blocks = (int)ceil_div(outputs * w->r / 4, 32);
    chain(k, strip_sums<S>, (unsigned)(w->shares_blocks + ceil_div((int64_t)w->R * w->n_parts * w->r / 4, STRIP_THREADS)), STRIP_THREADS, 0, *w);
}
template <class F> static bool has_shared(F kernel, int bytes) {
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes) == cudaSuccess) return true;
    cudaGetLastError(); /* the card has less for a block */
    return false;
}
#endif

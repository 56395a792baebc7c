/* Tiles in shared memory and the tensor cores' 16×8×16 product (mma.sync), for attention.cu and attention_bwd.cu.
   A tile is ROWS × D values of 16 bits; 16-byte chunk c of row r lies at chunk c ^ (r & 7), so that eight rows of one chunk lie in
   different banks. Fragments (PTX ISA, mma.m16n8k16): lane l holds rows l/4 and l/4 + 8, columns 2·(l%4) and the next. */
#ifndef COADOR_CUDA_ATTENTION_CUH
#define COADOR_CUDA_ATTENTION_CUH
#include "kernels/cuda/cuda.cuh"
#include <math.h>

enum { WARPS = 4, THREADS = 32 * WARPS };
/* Rows that a warp (16·M) and a block keep, and rows of the other side that they meet at a time: what registers hold. */
template <int D> struct shape {
#ifdef COADOR_FP16 /* a block of compute capability 7.5 has 64 KiB of shared memory */
    enum { SHARE = D == 64 ? 1 : 2 };
#else
    enum { SHARE = 1 };
#endif
    enum { M = D == 64 ? 2 : 1, WARP_ROWS = 16 * M, ROWS = WARPS * WARP_ROWS, STEP = 64 / SHARE, STEP_BWD = 32 / SHARE };
};
#define LOG2E 1.4426950408889634f

struct packed_heads {
    const int32_t *cu;
    int first; /* sequence of blockIdx.z 0 */
    int H, G;
    float scale;
};

template <int D> __device__ inline uint32_t chunk_at(uint32_t tile, int r, int c) { return tile + (uint32_t)(r * D * 2 + ((c ^ (r & 7)) << 4)); }

/* Starts copying 16 bytes to shared memory, or zeros; before compute capability 8.0 it ends at once. */
__device__ inline void copy_chunk(uint32_t to, const act16 *from, bool valid) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(valid ? 16 : 0));
#else
    uint4 x = valid ? *(const uint4 *)from : make_uint4(0, 0, 0, 0);
    asm volatile("st.shared.v4.b32 [%0], {%1,%2,%3,%4};\n" ::"r"(to), "r"(x.x), "r"(x.y), "r"(x.z), "r"(x.w) : "memory");
#endif
}
__device__ inline void loads_issued() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;\n");
#endif
}
template <int N> __device__ inline void loads_wait() { /* all but the last N groups */
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;\n" ::"n"(N));
#endif
}
/* Starts loading rows 0..valid-1 (of ROWS; the others become 0), `pitch` values apart. */
template <int D, int ROWS> __device__ inline void load_tile(uint32_t tile, const act16 *p, int64_t pitch, int valid) {
    for (int i = threadIdx.x; i < ROWS * D / 8; i += THREADS) {
        int r = i / (D / 8), c = i % (D / 8);
        const act16 *from = r < valid ? p + r * pitch + c * 8 : p;
        copy_chunk(chunk_at<D>(tile, r, c), from, r < valid);
    }
}

/* Rows r..r+15, columns 16·s..+15 of a tile as the left factor. */
template <int D> __device__ inline void load_a(uint32_t a[4], uint32_t tile, int r, int s) {
    int l = threadIdx.x % 32;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n" : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3]) : "r"(chunk_at<D>(tile, r + l % 16, 2 * s + l / 16)));
}
/* The right factor whose columns are rows r..r+15 of a tile, summed over the tile's columns 16·s..+15: b[0..1] for the first
   eight columns, b[2..3] for the others. */
template <int D> __device__ inline void load_b_rows(uint32_t b[4], uint32_t tile, int r, int s) {
    int l = threadIdx.x % 32;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n" : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3]) : "r"(chunk_at<D>(tile, r + l % 8 + l / 16 * 8, 2 * s + l / 8 % 2)));
}
/* The right factor whose columns are columns 8·c..+15 of a tile, summed over the tile's rows r..r+15. */
template <int D> __device__ inline void load_b_cols(uint32_t b[4], uint32_t tile, int r, int c) {
    int l = threadIdx.x % 32;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n" : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3]) : "r"(chunk_at<D>(tile, r + l % 16, c + l / 16)));
}
__device__ inline void mma(float c[4], const uint32_t a[4], const uint32_t b[2]) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." ACT_PTX "." ACT_PTX ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else /* fp16: two halves of the sum, whose fragments are the first and the last registers of these */
#pragma unroll
    for (int i = 0; i < 2; i++)
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32." ACT_PTX "." ACT_PTX ".f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};\n"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[2 * i]), "r"(a[2 * i + 1]), "r"(b[i]));
#endif
}
__device__ inline float exp2_fast(float x) { /* within 2 units of the last place; 0 for −∞ */
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
    return y;
}
/* Columns 16·s..+15 of a product's result as the left factor of the next. */
template <int N> __device__ inline void left_of(uint32_t a[4], const float c[N][4], int s) {
    a[0] = pack(c[2 * s][0], c[2 * s][1]);
    a[1] = pack(c[2 * s][2], c[2 * s][3]);
    a[2] = pack(c[2 * s + 1][0], c[2 * s + 1][1]);
    a[3] = pack(c[2 * s + 1][2], c[2 * s + 1][3]);
}

/* c(16·M, 8·N) += rows r.. of tile x · (rows 0..8·N-1 of tile y)ᵀ over D. Every fragment of y serves M products: reading
   shared memory is what bounds these kernels. */
template <int D, int N, int M> __device__ inline void rows_by_rows(float (&c)[M][N][4], uint32_t x, int r, uint32_t y) {
#pragma unroll
    for (int s = 0; s < D / 16; s++) {
        uint32_t a[M][4], b[4];
#pragma unroll
        for (int m = 0; m < M; m++) load_a<D>(a[m], x, r + 16 * m, s);
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            load_b_rows<D>(b, y, 8 * n, s);
#pragma unroll
            for (int m = 0; m < M; m++) mma(c[m][n], a[m], b), mma(c[m][n + 1], a[m], b + 2);
        }
    }
}
/* c(16·M, D) += p(16·M, 8·N) · tile y(8·N, D) */
template <int D, int N, int M> __device__ inline void by_tile(float (&c)[M][D / 8][4], const float (&p)[M][N][4], uint32_t y) {
#pragma unroll
    for (int s = 0; s < N / 2; s++) {
        uint32_t a[M][4], b[4];
#pragma unroll
        for (int m = 0; m < M; m++) left_of<N>(a[m], p[m], s);
#pragma unroll
        for (int n = 0; n < D / 8; n += 2) {
            load_b_cols<D>(b, y, 16 * s, n);
#pragma unroll
            for (int m = 0; m < M; m++) mma(c[m][n], a[m], b), mma(c[m][n + 1], a[m], b + 2);
        }
    }
}
/* Rows of a (16, D) result, times f[0] (row l/4) and f[1] (row l/4 + 8), to p; rows from `valid` on are not written. */
template <int D> __device__ inline void store_rows(act16 *p, int64_t pitch, const float c[D / 8][4], float f0, float f1, int valid) {
    int l = threadIdx.x % 32, r = l / 4;
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
        if (r < valid) *(uint32_t *)(p + r * pitch + 8 * n + 2 * (l % 4)) = pack(c[n][0] * f0, c[n][1] * f0);
        if (r + 8 < valid) *(uint32_t *)(p + (r + 8) * pitch + 8 * n + 2 * (l % 4)) = pack(c[n][2] * f1, c[n][3] * f1);
    }
}

/* One tile of scores into the running softmax: s becomes the weights, o is scaled to the new maximum. Scores are in units of
   log2. Row i of the lane (0: l/4, 1: l/4 + 8). */
template <int D, int N> __device__ inline void softmax_step(float s[N][4], float o[D / 8][4], float max[2], float sum[2]) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float m = max[i];
#pragma unroll
        for (int n = 0; n < N; n++) m = fmaxf(m, fmaxf(s[n][2 * i], s[n][2 * i + 1]));
        m = fmaxf(m, __shfl_xor_sync(~0u, m, 1));
        m = fmaxf(m, __shfl_xor_sync(~0u, m, 2));
        float keep = exp2_fast(max[i] - m), t = 0;
        max[i] = m;
#pragma unroll
        for (int n = 0; n < N; n++) {
            t += s[n][2 * i] = exp2_fast(s[n][2 * i] - m);
            t += s[n][2 * i + 1] = exp2_fast(s[n][2 * i + 1] - m);
        }
        sum[i] = sum[i] * keep + t;
#pragma unroll
        for (int n = 0; n < D / 8; n++) o[n][2 * i] *= keep, o[n][2 * i + 1] *= keep;
    }
}

/* Scores in units of log2; keys behind the query's row weigh nothing (edge: there may be some). */
template <int N> __device__ inline void scale_and_mask(float s[N][4], float scale, int key, int row, bool edge) {
    const int l = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) s[n][i] = edge && key + 8 * n + 2 * (l % 4) + i % 2 > row + i / 2 * 8 ? -INFINITY : s[n][i] * scale;
}

/* Scores (keys down, queries across) become weights; l2[query]: lse in units of log2. Queries before the key, or none, weigh
   0 (edge: there may be some). */
template <int N> __device__ inline void weights(float s[N][4], const float *l2, float scale, int key, int query, int T, bool edge) {
    const int l = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int at = 8 * n + 2 * (l % 4) + i % 2;
            s[n][i] = edge && (query + at < key + i / 2 * 8 || query + at >= T) ? 0 : exp2_fast(s[n][i] * scale - l2[at]);
        }
}

/* Rows of the longest sequence. */
static inline int longest_of(const int32_t *cu, int S) {
    int n = 0;
    for (int s = 0; s < S; s++) n = cu[s + 1] - cu[s] > n ? cu[s + 1] - cu[s] : n;
    return n;
}
template <class F> static bool more_shared(struct kctx *c, F kernel, int bytes) {
    return cuda_ok(c, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "shared memory for attention");
}
/* Grids are (heads, sequences, tiles): blocks start in that order, so the tiles with most work come first for all heads and
   sequences, and none of them runs alone at the end. */
enum { MAX_GRID_Y = 65535 };
#endif

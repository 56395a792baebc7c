/* Frozen products in e4m3: four bits of exponent, three of mantissa (arXiv 2209.05433). A row of the left factor, of one product or of all
   whose sum is wanted, has one scale, its greatest magnitude / 448, taken anew each time; so has a column of the result: a weight's row
   in the forward, its column over all the linears of the input in the backward, for which the weights are kept a second time, transposed (wgmma
   takes factors of one byte only with the summed values in a row). A row with a value that is not finite gets the scale NaN: saturation would
   make it finite.

   Matrices of bf16 weights are made once and kept, a byte a weight each way; packed ones, whose sense is the memory they save, are decoded at
   each call. */
#include "kernels/cuda/e4m3_round.cuh"
#include "kernels/cuda/product.cuh"
extern "C" {
#include "kernels/cuda/scratch.h"
}
#include <stdlib.h>
#include <string.h>

enum { TILE = 64, TILE_PITCH = TILE + 4, COLUMN_ROWS = 256 };
struct kept_e4m3 { /* of the linears whose first has these values */
    const void *of;
    bool back;
    struct e4m3 w;
};

/* ---- columns ---- */
/* greatest[c] = max(greatest[c], bits of the magnitudes in column c): 64 columns and COLUMN_ROWS rows a block */
static __global__ void column_greatest(uint32_t *greatest, const bf16 *w, int rows, int cols) {
    __shared__ uint32_t high[32][33];
    const int c = threadIdx.x % 8, r = threadIdx.x / 8, col = blockIdx.x * TILE + c * 8, end = min(rows, (int)(blockIdx.y + 1) * COLUMN_ROWS);
    uint32_t m[4] = {0};
    for (int row = (int)blockIdx.y * COLUMN_ROWS + r; row < end && col < cols; row += 32) {
        uint4 v = *(const uint4 *)(w + (int64_t)row * cols + col);
        m[0] = greater(m[0], v.x), m[1] = greater(m[1], v.y), m[2] = greater(m[2], v.z), m[3] = greater(m[3], v.w);
    }
    for (int i = 0; i < 4; i++) high[r][c * 4 + i] = m[i];
    __syncthreads();
    const int at = blockIdx.x * TILE + threadIdx.x * 2;
    if (threadIdx.x >= 32 || at >= cols) return;
    uint32_t top = 0;
    for (int i = 0; i < 32; i++) top = __vmaxu2(top, high[i][threadIdx.x]);
    atomicMax(greatest + at, top << 16);
    atomicMax(greatest + at + 1, top & 0xffff0000u);
}
/* q(cols, pitch), from its column on = w(rows, cols) transposed, each row of q over its scale; 64 × 64 a block */
static __global__ void transpose(uint8_t *q, float *scale, const uint32_t *greatest, const bf16 *w, int rows, int cols, int64_t pitch) {
    __shared__ float by[TILE];
    __shared__ __align__(4) uint8_t tile[TILE][TILE_PITCH];
    const int col0 = blockIdx.x * TILE, row0 = blockIdx.y * TILE, c = threadIdx.x % 8 * 8;
    if (threadIdx.x < TILE && col0 + threadIdx.x < cols) {
        float s = scale_of(greatest[col0 + threadIdx.x]);
        by[threadIdx.x] = 1 / s;
        if (blockIdx.y == 0) scale[col0 + threadIdx.x] = s;
    }
    __syncthreads();
    for (int r = threadIdx.x / 8; r < TILE && row0 + r < rows && col0 + c < cols; r += 32) {
        uint4 v = *(const uint4 *)(w + (int64_t)(row0 + r) * cols + col0 + c);
        const uint32_t word[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t two = two_of(word[i], by[c + 2 * i], by[c + 2 * i + 1]);
            tile[c + 2 * i][r] = (uint8_t)two;
            tile[c + 2 * i + 1][r] = (uint8_t)(two >> 8);
        }
    }
    __syncthreads();
    const int to = threadIdx.x / 4, part = threadIdx.x % 4 * 16;
    if (col0 + to >= cols || row0 + part >= rows) return;
    const uint32_t *from = (const uint32_t *)&tile[to][part];
    *(uint4 *)(q + (col0 + to) * pitch + row0 + part) = {from[0], from[1], from[2], from[3]};
}

/* ---- weights ---- */
static int all_rows(const struct adapted *a) {
    int n = 0;
    for (int j = 0; j < a->n; j++) n += (int)a->w[j].rows;
    return n;
}

/* The rows of all linears, one below the other; back: their transposes side by side. */
static bool make(struct kctx *k, const struct e4m3 *to, const struct adapted *a, bool back) {
    const act16 *W[ADAPTED_MOST];
    int K = (int)a->w[0].cols, all = all_rows(a), at = 0;
    uint32_t *greatest = (uint32_t *)(to->scale + K);
    if (!cuda_weights(k, W, a)) return false;
    if (back) cuda_ok(k, cudaMemsetAsync(greatest, 0, (size_t)K * sizeof *greatest, k->stream), "quantising columns");
    unsigned wide = (unsigned)ceil_div(K, TILE);
    for (int j = 0; back && j < a->n; j++)
        column_greatest<<<dim3(wide, (unsigned)ceil_div(a->w[j].rows, COLUMN_ROWS)), 256, 0, k->stream>>>(greatest, W[j], (int)a->w[j].rows, K);
    for (int j = 0; j < a->n; at += (int)a->w[j++].rows) {
        int N = (int)a->w[j].rows;
        const struct parts s = {{W[j]}, {K}, 1};
        if (back) transpose<<<dim3(wide, (unsigned)ceil_div(N, TILE)), 256, 0, k->stream>>>(to->q + at, to->scale, greatest, W[j], N, K, all);
        else cuda_round_rows(k, to->q + (int64_t)at * K, to->scale + at, &s, N);
    }
    launched(k, "quantising weights");
    return true;
}

/* An entry, empty where there was none; NULL: no room. */
static struct kept_e4m3 *kept(struct kctx *k, const void *of, bool back) {
    for (int i = 0; i < k->n_kept; i++)
        if (k->kept[i].of == of && k->kept[i].back == back) return &k->kept[i];
    if (k->capturing) return NULL; /* a pass is run before it is captured */
    if (k->n_kept == k->cap_kept) {
        int cap = k->cap_kept ? 2 * k->cap_kept : 64;
        void *v = realloc(k->kept, (size_t)cap * sizeof *k->kept);
        if (!v) return NULL;
        k->kept = (struct kept_e4m3 *)v;
        k->cap_kept = cap;
    }
    struct kept_e4m3 *x = &k->kept[k->n_kept++];
    *x = {of, back, {NULL, NULL}};
    return x;
}

static bool weights(struct kctx *k, struct e4m3 *w, const struct adapted *a, bool back) {
    int64_t rows = back ? a->w[0].cols : all_rows(a), cols = back ? all_rows(a) : a->w[0].cols;
    for (int j = 0; j < a->n; j++)
        if (cuda_decoded_bytes(&a->w[j])) {
            *w = cuda_e4m3_in(k, SCRATCH_E4M3_WEIGHT, rows, cols);
            return w->q && make(k, w, a, back);
        }
    struct kept_e4m3 *x = kept(k, a->w[0].data, back);
    if (x && x->w.q) return *w = x->w, true;
    size_t values = cuda_e4m3_values(rows, cols);
    if (x && (cudaMalloc(&x->w.q, values) != cudaSuccess || cudaMalloc(&x->w.scale, cuda_e4m3_scales(rows)) != cudaSuccess)) {
        cudaFree(x->w.q);
        k->n_kept--;
        x = NULL;
        cudaGetLastError();
    }
    if (!x) cuda_fail(k, K_NOMEM, "weights in e4m3 of %zu bytes: out of memory", values);
    if (!x || !make(k, &x->w, a, back)) return false;
    return *w = x->w, true;
}

void cuda_e4m3_forget(struct kctx *k, const void *of) {
    for (int i = k->n_kept - 1; i >= 0; i--) {
        if (of && k->kept[i].of != of) continue;
        cudaFree(k->kept[i].w.q);
        cudaFree(k->kept[i].w.scale);
        k->kept[i] = k->kept[--k->n_kept];
        k->scratch_moves++; /* graphs hold the addresses */
    }
    if (of) return;
    free(k->kept);
    k->kept = NULL;
    k->cap_kept = 0;
}

/* ---- products ---- */
/* What was rounded as it was written, or is now */
static bool activations(struct kctx *k, struct e4m3 *x, const struct parts *s, const struct adapted *a, int R) {
    *x = cuda_e4m3_in(k, SCRATCH_E4M3, R, s->end[s->n - 1]);
    if (x->q && !a->rounded) cuda_round_rows(k, x->q, x->scale, s, R);
    return x->q;
}

bool cuda_e4m3_fits(const struct kctx *k, const struct adapted *a, int R) {
    int64_t rows[ADAPTED_MOST];
    for (int j = 0; j < a->n; j++) rows[j] = a->w[j].rows;
    return cuda_is_wide(k, R) && adapted_e4m3_shape(a->r, a->n, rows, a->w[0].cols);
}

static void product(struct kctx *k, bool by_rows, const struct wide_sum *s, int n, int R) {
    if (!cuda_wide(k, by_rows, s, n, R)) cuda_fail(k, K_DEVICE, "a product in e4m3 cannot be described");
}

void cuda_e4m3_forward(struct kctx *k, const void *onto, void *const *y, const void *x, const void *h, const act16 *const *b, const struct adapted *a, int R) {
    int K = (int)a->w[0].cols, all = a->n * a->r, at = 0;
    struct parts s = {{(const bf16 *)x}, {K}, 1};
    struct wide_sum sum[ADAPTED_MOST];
    struct e4m3 w, q;
    if (!weights(k, &w, a, false) || !activations(k, &q, &s, a, R)) return;
    for (int j = 0; j < a->n; at += (int)a->w[j++].rows)
        sum[j] = {(act16 *)y[j], j ? NULL : (const act16 *)onto, (int)a->w[j].rows, 1, {{(const act16 *)h + j * a->r, all, b[j], a->r, a->r}}, {q.q, w.q + (int64_t)at * K, q.scale, w.scale + at, K}};
    product(k, false, sum, a->n, R);
}

void cuda_e4m3_backward(struct kctx *k, void *dx, const void *const *dy, const act16 *dh, const act16 *A, const struct adapted *a, int R) {
    int K = (int)a->w[0].cols, all = a->n * a->r, at = 0;
    struct parts s = {{}, {}, a->n};
    struct e4m3 w, q;
    for (int j = 0; j < a->n; j++) {
        s.p[j] = (const bf16 *)dy[j];
        s.end[j] = at += (int)a->w[j].rows;
    }
    if (!weights(k, &w, a, true) || !activations(k, &q, &s, a, R)) return;
    struct wide_sum sum = {(act16 *)dx, NULL, K, dh != NULL, {{dh, all, A, K, all}}, {q.q, w.q, q.scale, w.scale, at}};
    product(k, true, &sum, 1, R);
}

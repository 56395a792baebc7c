/* Tiling of the product in gemm.h, and its plain C pieces.
   Loops, outside in: tasks (a group of rows × a group of panels, shared out to threads), blocks of K, panels, tiles.
   A's block (GEMM_ROWS × GEMM_KC) stays in the second-level cache over the panels, B's panel in the first over the tiles. */
#include "kernels/cpu/gemm.h"
#include <omp.h>
#include <string.h>

#define GEMM_ROWS 252 /* rows of a task, a multiple of GEMM_MR */
#define GEMM_PANELS 8 /* most panels of a task */

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

/* Value by value: for every type, shape and machine. */
void gemm_pack_plain(float *b, const struct weight *w, bool wt, int64_t k0, int kc, int64_t n0, int n) {
    int blk = dtype_block(w->type);
    size_t bytes = dtype_block_bytes(w->type);
    const char *data = w->data;
    float v[32];
    if (n < GEMM_NR) memset(b, 0, (size_t)kc * GEMM_NR * sizeof *b);
    if (wt)
        for (int j = 0; j < n; j++)
            for (int k = 0; k < kc; k += 32) {
                int len = kc - k < 32 ? kc - k : 32;
                dtype_to_f32(v, w->type, data + dtype_bytes(w->type, (n0 + j) * w->cols) + (size_t)((k0 + k) / blk) * bytes, len);
                for (int i = 0; i < len; i++) b[(k + i) * GEMM_NR + j] = v[i];
            }
    else
        for (int k = 0; k < kc; k++) {
            int64_t at = (k0 + k) * w->cols + n0;
            int skip = (int)(at % blk), len = blk > 1 ? blk : n;
            dtype_to_f32(v, w->type, data + (size_t)(at / blk) * bytes, len);
            memcpy(b + k * GEMM_NR, v + skip, (size_t)n * sizeof *b);
        }
}

void gemm_tile_plain(int mr, int kc, const float *a, int64_t a_row, int64_t a_col, const float *b, float *c, int64_t ldc, float alpha, bool add) {
    float sum[GEMM_MR][GEMM_NR] = {{0}};
    for (int k = 0; k < kc; k++)
        for (int i = 0; i < mr; i++)
            for (int j = 0; j < GEMM_NR; j++) sum[i][j] += a[i * a_row + k * a_col] * b[k * GEMM_NR + j];
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < GEMM_NR; j++) c[i * ldc + j] = alpha * sum[i][j] + (add ? c[i * ldc + j] : 0);
}

/* Rows i0..i1 of one panel, for one block of K; the last panel may be narrower than the tile. */
static void panel_rows(const struct gemm *g, gemm_tile_fn *tile, const float *b, int64_t i0, int64_t i1, int64_t n0, int64_t k0, int kc) {
    int n = (int)min64(GEMM_NR, g->N - n0);
    bool add = g->add || k0 > 0;
    float edge[GEMM_MR * GEMM_NR];
    for (int64_t i = i0; i < i1; i += GEMM_MR) {
        int mr = (int)min64(GEMM_MR, i1 - i);
        const float *a = g->a + i * g->a_row + k0 * g->a_col;
        float *c = g->c + i * g->ldc + n0;
        if (n == GEMM_NR) {
            tile(mr, kc, a, g->a_row, g->a_col, b, c, g->ldc, g->alpha, add);
            continue;
        }
        for (int r = 0; r < mr && add; r++) memcpy(edge + r * GEMM_NR, c + r * g->ldc, (size_t)n * sizeof *c);
        for (int r = 0; r < mr && add; r++) memset(edge + r * GEMM_NR + n, 0, (size_t)(GEMM_NR - n) * sizeof *c);
        tile(mr, kc, a, g->a_row, g->a_col, b, edge, GEMM_NR, g->alpha, add);
        for (int r = 0; r < mr; r++) memcpy(c + r * g->ldc, edge + r * GEMM_NR, (size_t)n * sizeof *c);
    }
}

void gemm(struct kctx *k, const struct gemm *g) {
    gemm_pack_fn *pack = gemm_pack_plain;
    gemm_tile_fn *tile = gemm_tile_plain;
#if CPU_X86
    if (k->avx2) pack = gemm_pack_avx2, tile = gemm_tile_avx2;
#endif
    int64_t panels = (g->N + GEMM_NR - 1) / GEMM_NR, groups = (g->M + GEMM_ROWS - 1) / GEMM_ROWS;
    int64_t each = panels * groups / (8 * k->threads); /* some tasks a thread, so that they end together */
    each = each < 1 ? 1 : min64(each, GEMM_PANELS);
    int64_t lots = (panels + each - 1) / each, tasks = groups * lots;
#pragma omp parallel for schedule(dynamic) num_threads(k->threads) if (tasks > 1)
    for (int64_t t = 0; t < tasks; t++) {
        float *b = cpu_local(k, omp_get_thread_num());
        int64_t i0 = t / lots * GEMM_ROWS, i1 = min64(i0 + GEMM_ROWS, g->M), p0 = t % lots * each, p1 = min64(p0 + each, panels);
        for (int64_t k0 = 0; k0 < g->K; k0 += GEMM_KC)
            for (int64_t p = p0; p < p1; p++) {
                int kc = (int)min64(GEMM_KC, g->K - k0), n = (int)min64(GEMM_NR, g->N - p * GEMM_NR);
                pack(b, g->w, g->wt, k0, kc, p * GEMM_NR, n);
                panel_rows(g, tile, b, i0, i1, p * GEMM_NR, k0, kc);
            }
    }
}

/* Tiling of the product in gemm.h, and its plain C pieces.
   Loops, outside in: tasks (a group of rows × a group of panels, shared out to threads), blocks of K, panels, tiles.
   A's block (at most GEMM_ROWS × GEMM_KC) stays in the second-level cache over the panels, B's panel in the first over the tiles. */
#include "kernels/cpu/gemm.h"
#include <string.h>

#define GEMM_ROWS 264  /* most rows of a task, a multiple of GEMM_MR */
#define GEMM_PANELS 18 /* most panels of a task */
#define A_LD (GEMM_KC + 16)

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

/* Value by value: for every type, shape and machine. */
void gemm_pack_plain(float *b, const struct weight *w, bool wt, int64_t k0, int kc, int64_t n0, int n) {
    float v[32];
    if (n < GEMM_NR) memset(b, 0, (size_t)kc * GEMM_NR * sizeof *b);
    if (wt)
        for (int j = 0; j < n; j++)
            for (int k = 0; k < kc; k += 32) {
                int len = kc - k < 32 ? kc - k : 32;
                weight_to_f32(v, w, n0 + j, k0 + k, len);
                for (int i = 0; i < len; i++) b[(k + i) * GEMM_NR + j] = v[i];
            }
    else
        for (int k = 0; k < kc; k++) weight_to_f32(b + k * GEMM_NR, w, k0 + k, n0, n);
}

void gemm_tile_plain(int mr, int kc, const float *a, int64_t a_row, int64_t a_col, const float *b, const float *from, int64_t from_ld, float *c, int64_t ldc, float alpha) {
    float sum[GEMM_MR][GEMM_NR] = {{0}};
    for (int k = 0; k < kc; k++)
        for (int i = 0; i < mr; i++)
            for (int j = 0; j < GEMM_NR; j++) sum[i][j] += a[i * a_row + k * a_col] * b[k * GEMM_NR + j];
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < GEMM_NR; j++) c[i * ldc + j] = (from ? from[i * from_ld + j] : 0) + alpha * sum[i][j];
}

/* A thread's scratch: one panel of B, this task's block of A where it is copied, and its sums between blocks of K */
struct scratch {
    float b[GEMM_KC * GEMM_NR], a[GEMM_ROWS * A_LD], c[GEMM_PANELS][GEMM_ROWS * GEMM_NR];
};
_Static_assert(sizeof(struct scratch) <= CPU_LOCAL_BYTES, "gemm scratch");

struct task {
    int64_t i0, p0; /* first row, first panel */
    int rows, panels;
};

/* Rows whose pitch is a multiple of the page fall on few sets of the caches: their block is copied to an odd pitch.
   Each task reads it anew, from memory where A is large, so there should be few tasks. */
static bool reads_far(const struct gemm *g) { return g->M > GEMM_MR && g->a_col == 1 && g->a_row % 1024 == 0; }

static const float *block_of_a(const struct gemm *g, struct scratch *s, const struct task *t, int64_t k0, int kc, int64_t *a_row) {
    const float *a = g->a + t->i0 * g->a_row + k0 * g->a_col;
    *a_row = g->a_row;
    if (!reads_far(g)) return a;
    for (int i = 0; i < t->rows; i++) memcpy(s->a + i * A_LD, a + i * g->a_row, (size_t)kc * sizeof *a);
    *a_row = A_LD;
    return s->a;
}

/* One panel over the rows of a task for one block of K. Sums wait in `c` until the last block, so that C is read and
   written once; a panel narrower than the tile goes through `c` both ways. */
static void panel(const struct gemm *g, gemm_tile_fn *tile, const float *a, int64_t a_row, const float *b, float *c, const struct task *t, int64_t n0, bool first, bool last, int kc) {
    int n = (int)min64(GEMM_NR, g->N - n0);
    float *out = g->c + t->i0 * g->ldc + n0;
    bool narrow = n < GEMM_NR;
    for (int i = 0; narrow && first && i < t->rows; i++) {
        memset(c + i * GEMM_NR, 0, GEMM_NR * sizeof *c);
        if (g->add) memcpy(c + i * GEMM_NR, out + i * g->ldc, (size_t)n * sizeof *c);
    }
    const float *from = first && !narrow ? g->add ? out : NULL : c;
    int64_t from_ld = first && !narrow ? g->ldc : GEMM_NR, ldc = last && !narrow ? g->ldc : GEMM_NR;
    float *to = last && !narrow ? out : c;
    int tiles = (t->rows + GEMM_MR - 1) / GEMM_MR, mr = (t->rows + tiles - 1) / tiles; /* 4 and 4 rows are faster than 6 and 2 */
    for (int i = 0; i < t->rows; i += mr)
        tile((int)min64(mr, t->rows - i), kc, a + i * a_row, a_row, g->a_col, b, from ? from + i * from_ld : NULL, from_ld, to + i * ldc, ldc, g->alpha);
    for (int i = 0; narrow && last && i < t->rows; i++) memcpy(out + i * g->ldc, c + i * GEMM_NR, (size_t)n * sizeof *c);
}

static void run(const struct gemm *g, gemm_pack_fn *pack, gemm_tile_fn *tile, struct scratch *s, const struct task *t) {
    for (int64_t k0 = 0; k0 < g->K; k0 += GEMM_KC) {
        int kc = (int)min64(GEMM_KC, g->K - k0);
        int64_t a_row;
        const float *a = block_of_a(g, s, t, k0, kc, &a_row);
        for (int p = 0; p < t->panels; p++) {
            int64_t n0 = (t->p0 + p) * GEMM_NR;
            pack(s->b, g->w, g->wt, k0, kc, n0, (int)min64(GEMM_NR, g->N - n0));
            panel(g, tile, a, a_row, s->b, s->c[p], t, n0, k0 == 0, k0 + kc == g->K, kc);
        }
    }
}

/* Whole panels by gemv_avx2; returns how many, and moves the task to what is left: at most one narrow panel. */
static int few_rows(const struct gemm *g, struct task *t) {
    int whole = (int)min64(t->panels, g->N / GEMM_NR - t->p0);
#if CPU_X86
    gemv_avx2(g, t->p0, whole);
#endif
    t->p0 += whole;
    return whole;
}

struct job {
    const struct kctx *ctx;
    const struct gemm *g;
    gemm_pack_fn *pack;
    gemm_tile_fn *tile;
    bool few;
    int64_t panels, each, lots, rows; /* panels in all and of a task; lots of panels a group of rows; rows of a group */
};

static void tasks(void *arg, int64_t i, int64_t end, int thread) {
    const struct job *j = arg;
    for (; i < end; i++) {
        struct task t = {i / j->lots * j->rows, i % j->lots * j->each, 0, 0};
        t.rows = (int)min64(j->rows, j->g->M - t.i0);
        t.panels = (int)min64(j->each, j->panels - t.p0);
        if (j->few) t.panels -= few_rows(j->g, &t);
        if (t.rows > 0 && t.panels > 0) run(j->g, j->pack, j->tile, cpu_local(j->ctx, thread), &t);
    }
}

void gemm(struct kctx *k, const struct gemm *g) {
    struct job j = {.ctx = k, .g = g, .pack = gemm_pack_plain, .tile = gemm_tile_plain, .panels = (g->N + GEMM_NR - 1) / GEMM_NR};
#if CPU_X86
    if (k->avx2) j.pack = gemm_pack_avx2, j.tile = gemm_tile_avx2, j.few = gemv_fits(g);
#endif
    int64_t groups = (g->M + GEMM_ROWS - 1) / GEMM_ROWS, wanted = (reads_far(g) ? 2 : 8) * k->threads; /* some tasks a thread, so that they end together */
    if (groups == 0) return;
    j.each = min64(GEMM_PANELS, j.panels * groups / wanted + 1);
    j.lots = (j.panels + j.each - 1) / j.each;
    j.each = (j.panels + j.lots - 1) / j.lots; /* equal shares of both */
    j.rows = (g->M + groups * GEMM_MR - 1) / (groups * GEMM_MR) * GEMM_MR;
    pool_run(k->pool, groups * j.lots, 1, tasks, &j);
}

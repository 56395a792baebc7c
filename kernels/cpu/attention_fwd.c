/* Packed causal attention, forward, in blocks of ROWS queries × KEYS keys with the running softmax of
   FlashAttention (arXiv 2205.14135): no score matrix of a whole sequence. One task is a block of queries under one
   key/value head; its keys are packed once for all query heads of the group. */
#include "kernels/cpu/attention.h"
#include <math.h>

#define GROUP 8 /* most query heads that a task takes at once: what its sums may fill */

struct fwd {
    float *o, *lse;
    const float *q, *k, *v;
    int H, G, D;
    float scale;
    struct attention_math m;
    const struct kctx *ctx;
    int start, T; /* of the sequence at work */
};

/* Scratch of a task, 16 values of padding wherever the last panel may be wider than D */
struct work {
    float kt[KEYS * ATTENTION_MAX_D], v[KEYS * ATTENTION_MAX_D], s[ROWS * KEYS], o[GROUP][ROWS * ATTENTION_MAX_D];
    struct softmax_row r[GROUP][ROWS];
};
_Static_assert(sizeof(struct work) <= CPU_LOCAL_BYTES, "attention scratch");

/* Rows r0..rows of the block (the first at row i0 of its sequence) against the n keys from j0 on, for one head */
static void block(const struct fwd *f, struct work *w, int h, const float *q, int i0, int r0, int rows, int j0, int n) {
    int pad = (f->D + 15) & ~15;
    attention_scores(&f->m, rows - r0, n, f->D, q + (int64_t)r0 * f->H * f->D, (int64_t)f->H * f->D, w->kt, w->s, f->scale, i0 + r0 - j0);
    for (int r = r0; r < rows; r++) {
        int seen = i0 + r - j0 + 1;
        float old = f->m.softmax(w->s + (r - r0) * KEYS, seen < n ? seen : n, &w->r[h][r]);
        if (j0) f->m.scale(w->o[h] + r * pad, old, pad);
    }
    attention_values(&f->m, rows - r0, f->D, n, w->s, w->v, w->o[h] + r0 * pad, pad, j0 > 0, i0 + r0 - j0);
}

static void finish(const struct fwd *f, const struct work *w, int h, int64_t row, int head, int rows) {
    int pad = (f->D + 15) & ~15;
    for (int r = 0; r < rows; r++) {
        struct softmax_row x = w->r[h][r];
        float *o = f->o + ((row + r) * f->H + head) * f->D, inv = 1 / x.sum;
        for (int d = 0; d < f->D; d++) o[d] = w->o[h][r * pad + d] * inv;
        f->lse[(row + r) * f->H + head] = x.max + logf(x.sum);
    }
}

/* Query rows i0..i0+rows of the sequence that starts at row `start`, heads h0..h0+heads of group g */
static void task(const struct fwd *f, struct work *w, int start, int i0, int rows, int g, int h0, int heads) {
    int64_t pitch = (int64_t)f->G * f->D;
    for (int h = 0; h < heads; h++)
        for (int r = 0; r < rows; r++) w->r[h][r] = (struct softmax_row){-INFINITY, 0};
    for (int j0 = 0; j0 < i0 + rows; j0 += KEYS) {
        int n = i0 + rows - j0 < KEYS ? i0 + rows - j0 : KEYS, r0 = j0 > i0 ? j0 - i0 : 0;
        const float *k = f->k + (start + j0) * pitch, *v = f->v + (start + j0) * pitch;
        attention_pack_t(&f->m, w->kt, k, pitch, (int64_t)g * f->D, f->D, n);
        attention_pack(&f->m, w->v, v, pitch, (int64_t)g * f->D, n, f->D);
        for (int h = 0; h < heads; h++) block(f, w, h, f->q + ((int64_t)(start + i0) * f->H + h0 + h) * f->D, i0, r0, rows, j0, n);
    }
    for (int h = 0; h < heads; h++) finish(f, w, h, start + i0, h0 + h, rows);
}

/* Tasks of one sequence, the longest rows first: block of queries, then group, then lot of its heads */
static void tasks(void *arg, int64_t i, int64_t end, int thread) {
    const struct fwd *f = arg;
    int per = f->H / f->G, lots = (per + GROUP - 1) / GROUP, blocks = (f->T + ROWS - 1) / ROWS;
    for (; i < end; i++) {
        int t = blocks * f->G * lots - 1 - (int)i, i0 = t / (f->G * lots) * ROWS, g = t / lots % f->G, h = t % lots * GROUP;
        task(f, cpu_local(f->ctx, thread), f->start, i0, f->T - i0 < ROWS ? f->T - i0 : ROWS, g, g * per + h, per - h < GROUP ? per - h : GROUP);
    }
}

void attention_cpu(struct kctx *k, void *o, float *lse, const void *q, const void *key, const void *v, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale) {
    if (!attention_fits(k, D)) return;
    struct fwd f = {o, lse, q, key, v, H, G, D, scale, attention_math(k), k, 0, 0};
    for (int s = 0; s < S; s++) {
        f.start = cu[s];
        f.T = cu[s + 1] - cu[s];
        pool_run(k->pool, (int64_t)((f.T + ROWS - 1) / ROWS) * G * ((H / G + GROUP - 1) / GROUP), 1, tasks, &f);
    }
}

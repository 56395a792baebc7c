/* Packed causal attention, backward. With P = e^(S − lse), dP = dO·Vᵀ, delta = Σ dO ⊙ O, dS = P ⊙ (dP − delta)·scale
   (arXiv 2205.14135, appendix B.4): dV = Pᵀ·dO, dK = dSᵀ·Q, dQ = dS·K, block by block, P and dS never whole.
   One task is one key/value head of one sequence: it alone writes its dk and dv, and the dq of its query heads, in a
   fixed order. */
#include "kernels/cpu/attention.h"
#include <string.h>

struct bwd {
    float *dq, *dk, *dv;
    const float *dout, *q, *k, *v, *o, *lse;
    int H, G, D, pad; /* pad: D rounded up to whole panels */
    float scale;
    struct attention_math m;
    const struct kctx *ctx;
    const int32_t *cu;
};

struct work {
    float kt[KEYS * ATTENTION_MAX_D], vt[KEYS * ATTENTION_MAX_D], k[KEYS * ATTENTION_MAX_D]; /* panels of one key block */
    float dk[KEYS * ATTENTION_MAX_D], dv[KEYS * ATTENTION_MAX_D];
    float q[ROWS * ATTENTION_MAX_D], dout[ROWS * ATTENTION_MAX_D], dq[ROWS * ATTENTION_MAX_D];
    float p[ROWS * KEYS], ds[ROWS * KEYS];
};
_Static_assert(sizeof(struct work) <= CPU_LOCAL_BYTES, "attention scratch");

/* Query rows i0..i0+rows of one head (their first value at q[at]) against the n keys from j0 on */
static void block(const struct bwd *b, struct work *w, int64_t row, int head, int i0, int rows, int j0, int n, bool first) {
    int64_t pitch = (int64_t)b->H * b->D, at = row * pitch + (int64_t)head * b->D;
    int D = b->D, diag = i0 - j0;
    attention_scores(&b->m, rows, n, D, b->q + at, pitch, w->kt, w->p, b->scale, diag);
    attention_scores(&b->m, rows, n, D, b->dout + at, pitch, w->vt, w->ds, 1, diag);
    for (int r = 0; r < rows; r++) {
        int seen = i0 + r - j0 + 1;
        float delta = b->m.dot(b->dout + at + r * pitch, b->o + at + r * pitch, D);
        b->m.grad(w->p + r * KEYS, w->ds + r * KEYS, seen < n ? seen : n, b->lse[(row + r) * b->H + head], delta, b->scale);
    }
    attention_pack(&b->m, w->q, b->q + row * pitch, pitch, (int64_t)head * D, rows, D);
    attention_pack(&b->m, w->dout, b->dout + row * pitch, pitch, (int64_t)head * D, rows, D);
    attention_keys(&b->m, n, D, rows, w->p, w->dout, w->dv, b->pad, !first, diag);
    attention_keys(&b->m, n, D, rows, w->ds, w->q, w->dk, b->pad, !first, diag);
    attention_values(&b->m, rows, D, n, w->ds, w->k, w->dq, b->pad, false, diag);
    for (int r = 0; r < rows; r++)
        for (int d = 0; d < D; d++) b->dq[at + r * pitch + d] = (j0 ? b->dq[at + r * pitch + d] : 0) + w->dq[r * b->pad + d];
}

/* All keys of group g in the sequence of T rows from `start` on */
static void task(const struct bwd *b, struct work *w, int start, int T, int g) {
    int64_t pitch = (int64_t)b->G * b->D, col = (int64_t)g * b->D;
    int per = b->H / b->G;
    for (int j0 = 0; j0 < T; j0 += KEYS) {
        int n = T - j0 < KEYS ? T - j0 : KEYS;
        const float *k = b->k + (start + j0) * pitch, *v = b->v + (start + j0) * pitch;
        attention_pack_t(&b->m, w->kt, k, pitch, col, b->D, n);
        attention_pack_t(&b->m, w->vt, v, pitch, col, b->D, n);
        attention_pack(&b->m, w->k, k, pitch, col, n, b->D);
        for (int h = 0; h < per; h++)
            for (int i0 = j0; i0 < T; i0 += ROWS) block(b, w, start + i0, g * per + h, i0, T - i0 < ROWS ? T - i0 : ROWS, j0, n, h == 0 && i0 == j0);
        for (int j = 0; j < n; j++) {
            memcpy(b->dk + (start + j0 + j) * pitch + col, w->dk + j * b->pad, (size_t)b->D * sizeof(float));
            memcpy(b->dv + (start + j0 + j) * pitch + col, w->dv + j * b->pad, (size_t)b->D * sizeof(float));
        }
    }
}

static void tasks(void *arg, int64_t i, int64_t end, int thread) {
    const struct bwd *b = arg;
    for (; i < end; i++) {
        const int32_t *cu = b->cu + i / b->G;
        task(b, cpu_local(b->ctx, thread), cu[0], cu[1] - cu[0], (int)(i % b->G));
    }
}

void attention_bwd_cpu(struct kctx *k, void *dq, void *dk, void *dv, const void *dout, const void *q, const void *key, const void *v, const void *o, const float *lse, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale) {
    if (!attention_fits(k, D)) return;
    struct bwd b = {dq, dk, dv, dout, q, key, v, o, lse, H, G, D, (D + 15) & ~15, scale, attention_math(k), k, cu};
    pool_run(k->pool, (int64_t)S * G, 1, tasks, &b);
}

/* Causal attention with grouped queries: references, one query row at a time with sums in double; and the cache's store.
   The blocked ones are attention_fwd.c, attention_bwd.c and attention_cached.c. */
#include "kernels/cpu/attention.h"
#include <math.h>
#include <string.h>

static double dot(const float *a, const float *b, int n) {
    double s = 0;
    for (int i = 0; i < n; i++) s += (double)a[i] * b[i];
    return s;
}

/* Row i of q against keys k[0..n), `step` values apart; o(D) =, returns the log-sum-exp. */
static double attend_row(float *o, const float *q, const float *k, const float *v, int n, int64_t step, int D, double scale) {
    double max = -INFINITY, sum = 0, acc[ATTENTION_MAX_D] = {0};
    for (int j = 0; j < n; j++) max = fmax(max, scale * dot(q, k + j * step, D));
    for (int j = 0; j < n; j++) {
        double p = exp(scale * dot(q, k + j * step, D) - max);
        sum += p;
        for (int d = 0; d < D; d++) acc[d] += p * v[j * step + d];
    }
    for (int d = 0; d < D; d++) o[d] = (float)(acc[d] / sum);
    return max + log(sum);
}

void attention_ref(struct kctx *k, void *o, float *lse, const void *q, const void *key, const void *v, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale) {
    if (D > ATTENTION_MAX_D) {
        cpu_fail(k, K_UNSUPPORTED, "attention: head size above 256");
        return;
    }
    for (int s = 0; s < S; s++)
        for (int h = 0; h < H; h++)
            for (int64_t i = cu[s]; i < cu[s + 1]; i++) {
                int64_t kv = ((int64_t)cu[s] * G + h / (H / G)) * D, row = (i * H + h) * D;
                double l = attend_row((float *)o + row, (const float *)q + row, (const float *)key + kv, (const float *)v + kv, (int)(i - cu[s] + 1), (int64_t)G * D, D, scale);
                lse[i * H + h] = (float)l;
            }
}

struct bwd { /* what the three gradients of one (sequence, head) read */
    const float *dout, *q, *k, *v, *o, *lse;
    int64_t qs, ks; /* steps between rows of q and of k */
    int n, H, D;
    double scale;
};

/* P and dS of row i, key j: p = exp(s − lse), ds = p·(dout·v − dout·o) */
static double score(const struct bwd *b, int i, int j, double *p) {
    const float *g = b->dout + i * b->qs;
    *p = exp(b->scale * dot(b->q + i * b->qs, b->k + j * b->ks, b->D) - b->lse[(int64_t)i * b->H]);
    return *p * (dot(g, b->v + j * b->ks, b->D) - dot(g, b->o + i * b->qs, b->D));
}

static void bwd_q(const struct bwd *b, float *dq) {
    for (int i = 0; i < b->n; i++) {
        double p, acc[ATTENTION_MAX_D] = {0};
        for (int j = 0; j <= i; j++) {
            double ds = score(b, i, j, &p) * b->scale;
            for (int d = 0; d < b->D; d++) acc[d] += ds * b->k[j * b->ks + d];
        }
        for (int d = 0; d < b->D; d++) dq[i * b->qs + d] = (float)acc[d];
    }
}

/* dk, dv of key j: the sum over the group's heads, whose q, dout, o lie D apart and lse 1 apart */
static void bwd_kv(struct bwd b, float *dk, float *dv, int j, int heads) {
    double p, ak[ATTENTION_MAX_D] = {0}, av[ATTENTION_MAX_D] = {0};
    for (int h = 0; h < heads; h++, b.dout += b.D, b.q += b.D, b.o += b.D, b.lse++)
        for (int i = j; i < b.n; i++) {
            double ds = score(&b, i, j, &p) * b.scale;
            for (int d = 0; d < b.D; d++) {
                ak[d] += ds * b.q[i * b.qs + d];
                av[d] += p * b.dout[i * b.qs + d];
            }
        }
    for (int d = 0; d < b.D; d++) {
        dk[j * b.ks + d] = (float)ak[d];
        dv[j * b.ks + d] = (float)av[d];
    }
}

void attention_bwd_ref(struct kctx *k, void *dq, void *dk, void *dv, const void *dout, const void *q, const void *key, const void *v, const void *o, const float *lse, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale) {
    if (D > ATTENTION_MAX_D) {
        cpu_fail(k, K_UNSUPPORTED, "attention: head size above 256");
        return;
    }
    for (int s = 0; s < S; s++)
        for (int h = 0; h < H; h++) {
            int64_t g = h / (H / G), row = ((int64_t)cu[s] * H + h) * D, kv = ((int64_t)cu[s] * G + g) * D;
            struct bwd b = {(const float *)dout + row, (const float *)q + row, (const float *)key + kv, (const float *)v + kv, (const float *)o + row, lse + (int64_t)cu[s] * H + h, (int64_t)H * D, (int64_t)G * D, cu[s + 1] - cu[s], H, D, scale};
            bwd_q(&b, (float *)dq + row);
            for (int j = 0; h % (H / G) == 0 && j < b.n; j++) bwd_kv(b, (float *)dk + kv, (float *)dv + kv, j, H / G);
        }
}


void kv_store_ref(struct kctx *k, const struct kv_view *c, const void *key, const void *v, const int32_t *seq, const int32_t *pos, int R, int G, int D) {
    for (int64_t i = 0; i < R; i++)
        for (int g = 0; g < G; g++) {
            int64_t at = kv_offset(c, seq[i], pos[i], g, G, D), from = (i * G + g) * D;
            memcpy((float *)c->k + at, (const float *)key + from, (size_t)D * sizeof(float));
            memcpy((float *)c->v + at, (const float *)v + from, (size_t)D * sizeof(float));
        }
}

void attention_cached_ref(struct kctx *k, void *o, const void *q, const struct kv_view *c, const int32_t *seq, const int32_t *pos, int R, int H, int G, int D, float scale) {
    if (D > ATTENTION_MAX_D) {
        cpu_fail(k, K_UNSUPPORTED, "attention: head size above 256");
        return;
    }
    for (int64_t i = 0; i < R; i++)
        for (int h = 0; h < H; h++) {
            const float *qi = (const float *)q + (i * H + h) * D, *ck = c->k, *cv = c->v;
            double max = -INFINITY, sum = 0, acc[ATTENTION_MAX_D] = {0};
            for (int t = 0; t <= pos[i]; t++) max = fmax(max, (double)scale * dot(qi, ck + kv_offset(c, seq[i], t, h / (H / G), G, D), D));
            for (int t = 0; t <= pos[i]; t++) {
                int64_t at = kv_offset(c, seq[i], t, h / (H / G), G, D);
                double p = exp((double)scale * dot(qi, ck + at, D) - max);
                sum += p;
                for (int d = 0; d < D; d++) acc[d] += p * cv[at + d];
            }
            for (int d = 0; d < D; d++) ((float *)o)[(i * H + h) * D + d] = (float)(acc[d] / sum);
        }
}


/* Attention of single rows over the paged cache: page after page with a running softmax, so a row's result depends on
   its own sequence only. One task is one row under one key/value head. */
#include "kernels/cpu/attention.h"
#include <math.h>
#include <string.h>

#define GROUP 16 /* query heads at once */

struct cached {
    float *o;
    const float *q;
    const struct kv_view *c;
    int H, G, D;
    float scale;
    struct attention_math m;
    const int32_t *seq, *pos;
};

/* o(heads,D) of query heads q(heads,D) over tokens 0..last of sequence s */
static void row(const struct cached *a, float *o, const float *q, int s, int last, int g, int heads) {
    struct softmax_row r[GROUP];
    float acc[GROUP][ATTENTION_MAX_D], p[GROUP][KEYS];
    for (int h = 0; h < heads; h++) r[h] = (struct softmax_row){-INFINITY, 0};
    memset(acc, 0, (size_t)heads * sizeof *acc);
    for (int t = 0; t <= last; t += KV_BLOCK) {
        int64_t at = kv_offset(a->c, s, t, g, a->G, a->D);
        const float *k = (const float *)a->c->k + at, *v = (const float *)a->c->v + at;
        int n = last + 1 - t < KV_BLOCK ? last + 1 - t : KV_BLOCK;
        for (int j = 0; j < n; j++)
            for (int h = 0; h < heads; h++) p[h][j] = a->scale * a->m.dot(q + h * a->D, k + j * a->D, a->D);
        for (int h = 0; h < heads; h++) a->m.weigh(acc[h], a->m.softmax(p[h], n, &r[h]), p[h], v, n, a->D);
    }
    for (int h = 0; h < heads; h++)
        for (int d = 0; d < a->D; d++) o[h * a->D + d] = acc[h][d] / r[h].sum;
}

static void tasks(void *arg, int64_t t, int64_t end, int thread) {
    const struct cached *a = arg;
    int per = a->H / a->G;
    for (; t < end; t++)
        for (int h = 0; h < per; h += GROUP) {
            int64_t i = t / a->G, g = t % a->G, at = (i * a->H + g * per + h) * a->D;
            row(a, a->o + at, a->q + at, a->seq[i], a->pos[i], (int)g, per - h < GROUP ? per - h : GROUP);
        }
}

void attention_cached_cpu(struct kctx *k, void *o, const void *q, const struct kv_view *c, const int32_t *seq, const int32_t *pos, int R, int H, int G, int D, float scale) {
    if (!attention_fits(k, D)) return;
    struct cached a = {o, q, c, H, G, D, scale, attention_math(k), seq, pos};
    pool_run(k->pool, (int64_t)R * G, 1, tasks, &a);
}

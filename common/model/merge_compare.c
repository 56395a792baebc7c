/* What merging does to logits: see merge.h. */
#include "common/model/merge.h"
#include <math.h>
#include <stdlib.h>

/* The adapter whose rank asks for most room. */
static const struct lora_config *widest(const struct lora *const *a, int n) {
    const struct lora_config *w = NULL;
    for (int i = 0; i < n; i++)
        if (!w || a[i]->cfg.r > w->r) w = &a[i]->cfg;
    return w;
}

static int64_t likeliest(const float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static void compare_row(struct merge_diff *d, const float *x, const float *y, int64_t V) {
    for (int64_t i = 0; i < V; i++) {
        double by = fabs((double)x[i] - (double)y[i]), size = fabs((double)x[i]);
        if (isnan(by) || by > d->max_abs) d->max_abs = by; /* nothing is above NaN: it stays */
        if (size > d->max_logit) d->max_logit = size;
    }
    d->rows++;
    d->same += likeliest(x, V) == likeliest(y, V);
}

/* One probe as a batch; pos, seq and sel have room for its tokens. */
static struct packed pack(const struct ids *probe, int32_t *pos, int32_t *seq, int32_t *sel, int32_t cu[2]) {
    int R = (int)probe->n, M = R < MERGE_ROWS ? R : MERGE_ROWS;
    for (int i = 0; i < R; i++) {
        pos[i] = i;
        seq[i] = 0;
    }
    for (int i = 0; i < M; i++) sel[i] = R - M + i;
    cu[0] = 0;
    cu[1] = R;
    return (struct packed){.R = R, .S = 1, .M = M, .ids = probe->v, .pos = pos, .seq = seq, .cu = cu, .sel = sel};
}

struct pair {
    struct llama_pass *pass[2];
    int32_t *pos, *seq, *sel;
    float *x, *y; /* (MERGE_ROWS,V) */
};

static int compare_probe(const struct pair *p, const struct lora *const *a, int n, int64_t V, const struct ids *probe, struct merge_diff *d, struct err *e) {
    int32_t cu[2];
    struct packed b = pack(probe, p->pos, p->seq, p->sel, cu);
    if (llama_logits(p->pass[0], a, n, &b, p->x, e) < 0 || llama_logits(p->pass[1], NULL, 0, &b, p->y, e) < 0) return -1;
    for (int i = 0; i < b.M; i++) compare_row(d, p->x + i * V, p->y + i * V, V);
    return 0;
}

int merge_compare(const struct model *m, const struct lora *const *a, int n, const struct model *merged, const struct ids *probe, int n_probes,
                  struct merge_diff *d, struct err *e) {
    size_t most = 1, logits = (size_t)MERGE_ROWS * (size_t)m->cfg.V;
    if (merged->cfg.V != m->cfg.V) return err_set(e, RC_INPUT, "%s: a vocabulary of %d, expected the base's %d", merged->path, merged->cfg.V, m->cfg.V);
    for (int i = 0; i < n_probes; i++)
        if (probe[i].n > most) most = probe[i].n;
    struct pair p = {.pos = xcalloc(most, 4), .seq = xcalloc(most, 4), .sel = xcalloc(most, 4), .x = malloc(logits * 4), .y = malloc(logits * 4)};
    int rc = p.x && p.y ? 0 : err_set(e, RC_IO, "out of memory: logits need %zu bytes", logits * 8);
    if (!rc) p.pass[0] = llama_pass_new(m, widest(a, n), (int)most, 1, false, 0, e);
    if (!rc && p.pass[0]) p.pass[1] = llama_pass_new(merged, NULL, (int)most, 1, false, 0, e);
    if (!p.pass[1]) rc = -1;
    for (int i = 0; !rc && i < n_probes; i++) rc = compare_probe(&p, a, n, m->cfg.V, &probe[i], d, e);
    llama_pass_free(p.pass[0]);
    llama_pass_free(p.pass[1]);
    free(p.pos);
    free(p.seq);
    free(p.sel);
    free(p.x);
    free(p.y);
    return rc;
}

double merge_relative(const struct merge_diff *d) { return d->max_abs == 0 ? 0 : d->max_abs / d->max_logit; }

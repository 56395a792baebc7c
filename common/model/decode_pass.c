/* One call of a decoder: layers and head, as a graph where the same number of rows comes again; choice. */
#include "common/model/decode_pass.h"
#include <math.h>

size_t decode_rows_bytes(int max_rows) { return (size_t)max_rows * (sizeof(struct choice) + 6 * sizeof(int32_t)) + sizeof(int32_t); }

int decode_find_stretches(struct decoder *d, const int32_t *slot, const int32_t *pos, int R, int32_t *cu) {
    int n_cu = 0;
    d->n_stretches = 0;
    for (int i = 0; i < R;) {
        int end = i + 1;
        while (end < R && slot[end] == slot[i] && pos[end] == pos[end - 1] + 1) end++;
        enum stretch_kind kind = !d->packs || end - i == 1 ? ROW_BY_ROW : pos[i] ? CONTINUED : FRESH;
        struct stretch *s = d->n_stretches ? &d->stretch[d->n_stretches - 1] : NULL;
        if (!s || s->kind != kind) {
            s = &d->stretch[d->n_stretches++];
            *s = (struct stretch){.kind = kind, .from = i, .cu_at = n_cu};
            if (kind != ROW_BY_ROW) cu[n_cu++] = 0;
        }
        s->n += end - i;
        if (kind != ROW_BY_ROW) cu[n_cu++] = s->n, s->S++;
        i = end;
    }
    return n_cu;
}

static void *row(const struct decoder *d, void *x, int64_t at, int64_t wide) { return (char *)x + dtype_bytes(d->m->d->act, at * wide); }

static void attend(struct decoder *d, const struct kv_view *kv) {
    const struct model_config *c = &d->m->cfg;
    struct dev *dev = d->m->d;
    float scale = 1 / sqrtf((float)c->D);
    for (int i = 0; i < d->n_stretches; i++) {
        const struct stretch *s = &d->stretch[i];
        void *o = row(d, d->t.o, s->from, c->H * c->D), *q = row(d, d->t.q, s->from, c->H * c->D);
        const int32_t *seq = d->seq_dev + s->from, *pos = d->pos_dev + s->from, *cu = d->cu + s->cu_at, *cu_dev = d->cu_dev + s->cu_at;
        if (s->kind == FRESH)
            dev->attention(dev->ctx, o, d->t.lse, q, row(d, d->t.k, s->from, c->G * c->D), row(d, d->t.v, s->from, c->G * c->D), cu, cu_dev, s->S, c->H, c->G, c->D, scale);
        else if (s->kind == CONTINUED)
            dev->attention_paged(dev->ctx, o, q, kv, seq, pos, cu, cu_dev, s->S, c->H, c->G, c->D, scale);
        else
            dev->attention_cached(dev->ctx, o, q, kv, seq, pos, s->n, c->H, c->G, c->D, scale);
    }
}

/* The whole layer at once, where the device can. */
static bool layer_at_once(struct decoder *d, int layer, const struct kv_view *kv) {
    const struct model *m = d->m;
    const struct layer *w = &m->layers[layer];
    struct dev *dev = m->d;
    struct decode_layer l = {.w = w->w, .attn_norm = w->attn_norm, .mlp_norm = w->mlp_norm, .inv_freq = m->inv_freq, .kv = *kv, .x = d->t.x, .q = d->t.q,
        .k = d->t.k, .v = d->t.v, .o = d->t.o, .act = d->t.gate, .C = m->cfg.C, .F = m->cfg.F, .H = m->cfg.H, .G = m->cfg.G, .D = m->cfg.D, .eps = m->cfg.norm_eps};
    return dev->decode_layer && dev->decode_layer(dev->ctx, &l, d->seq_dev, d->pos_dev);
}

static void layers(struct decoder *d, int R) {
    const struct model_config *c = &d->m->cfg;
    struct dev *dev = d->m->d;
    struct run r = {.m = d->m, .a = d->a, .n_a = d->n_a, .R = R, .seq = d->seq_dev, .pos = d->pos_dev, .xn = d->xn, .int8 = d->compute == COMPUTE_INT8};
    dev->embed(dev->ctx, d->t.x, &d->m->embed, d->ids_dev, R);
    for (int l = 0; l < c->L; l++) {
        char *pages = d->pages + (size_t)l * 2 * d->page_bytes;
        struct kv_view kv = {pages, pages + d->page_bytes, d->table_dev, d->kv.max_pages};
        if (R == 1 && !d->n_a && layer_at_once(d, l, &kv)) continue;
        layer_qkv(&r, l, &d->t);
        dev->kv_store(dev->ctx, &kv, d->t.k, d->t.v, d->seq_dev, d->pos_dev, R, c->G, c->D);
        attend(d, &kv);
        layer_rest(&r, l, &d->t, d->t.x);
    }
}

/* Wanted rows through the last norm, into xn. */
static void norm(struct decoder *d, int M) {
    const struct model_config *c = &d->m->cfg;
    struct dev *dev = d->m->d;
    dev->gather_rows(dev->ctx, d->xg, d->t.x, d->sel_dev, M, c->C);
    dev->rmsnorm(dev->ctx, d->xn, NULL, d->xg, d->m->norm, c->norm_eps, M, c->C);
}
static void logits_of(struct decoder *d, int at, int n) {
    linears(d->m->d, d->compute == COMPUTE_INT8, 0, &d->logits, row(d, d->xn, at, d->m->cfg.C), &d->m->head, 1, n);
}
static int chunk_at(const struct decoder *d, int at, int M) { return M - at < d->chunk ? M - at : d->chunk; }

static int head(struct decoder *d, int M, float *logits, struct err *e) {
    norm(d, M);
    for (int at = 0; at < M; at += d->chunk) {
        int n = chunk_at(d, at, M);
        logits_of(d, at, n);
        if (download_acts(d->m->d, logits + (size_t)at * (size_t)d->m->cfg.V, d->logits, (int64_t)n * d->m->cfg.V, e) < 0) return -1;
    }
    return 0;
}

int decode_run(struct decoder *d, int R, int M, float *logits, struct err *e) {
    layers(d, R);
    return M > 0 ? head(d, M, logits, e) : 0;
}

void decode_forget_graphs(struct decoder *d) {
    for (int i = 0; i <= GRAPH_ROWS; i++) {
        if (d->graph[i]) d->m->d->graph_free(d->m->d->ctx, d->graph[i]);
        d->graph[i] = NULL;
    }
}

/* To the logits of the first chunk. */
static void run(struct decoder *d, int R, int M) {
    const struct model *m = d->m;
    struct dev *dev = m->d;
    layers(d, R);
    if (!M || (R == 1 && dev->decode_head && dev->decode_head(dev->ctx, d->logits, d->t.x, m->norm, m->cfg.norm_eps, &m->head))) return;
    norm(d, M);
    logits_of(d, 0, chunk_at(d, 0, M));
}

/* A step of decoding alone: a graph of it holds for every later one of as many rows. */
static bool repeats(const struct decoder *d, int R, int M) {
    return !d->no_graphs && R == M && R <= GRAPH_ROWS && d->n_stretches == 1 && d->stretch[0].kind == ROW_BY_ROW;
}

int decode_begin(struct decoder *d, int R, int M, struct err *e) {
    struct dev *dev = d->m->d;
    bool again = repeats(d, R, M);
    if (!again || d->met[R] < GRAPH_AFTER) { /* the first time makes room for scratch */
        run(d, R, M);
        if (again) d->met[R]++;
        return 0;
    }
    struct kgraph **g = &d->graph[R];
    if (*g && !dev->graph_holds(dev->ctx, *g)) {
        dev->graph_free(dev->ctx, *g);
        *g = NULL;
    }
    if (!*g) {
        enum kerr rc = dev->graph_begin(dev->ctx);
        if (rc == K_UNSUPPORTED) {
            d->no_graphs = true;
            run(d, R, M);
            return 0;
        }
        if (!rc) run(d, R, M);
        if (!rc) rc = dev->graph_end(dev->ctx, g);
        if (dev_err(dev, rc, e, "the graph of a step", 0) < 0) return -1;
    }
    return dev_err(dev, dev->graph_launch(dev->ctx, *g), e, "decoding", 0);
}

void decode_choose(struct decoder *d, int M, const uint32_t *allowed, const uint32_t *seen) {
    struct dev *dev = d->m->d;
    for (int at = 0; at < M; at += d->chunk) {
        int n = chunk_at(d, at, M);
        if (at) logits_of(d, at, n);
        dev->choose(dev->ctx, d->chosen_dev + at, d->logits, n, d->m->cfg.V, d->how_dev + at, allowed, seen);
    }
}

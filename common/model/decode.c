/* Decoding: rows of several sequences through the layers, their keys and values in a paged cache. */
#include "common/model/decode.h"
#include "common/model/kvcache.h"
#include "common/model/llama_pass.h"
#include <math.h>
#include <stdlib.h>

/* Rows of logits at a time. */
#define LOGITS_CHUNK 32

struct decoder {
    const struct model *m;
    const struct lora **a; /* n_a, the array owned */
    int n_a, max_r;        /* largest rank */
    int max_rows, chunk;
    enum compute compute;
    struct kvcache kv;
    int32_t *pos;          /* (max_rows) host */
    int *added;            /* (slots) host: rows of each in this call */
    /* device, one piece of memory */
    void *arena;
    struct acts t;         /* one layer's, used by all */
    void *xn, *xg, *logits;
    int32_t *ids_dev, *seq_dev, *pos_dev, *sel_dev, *table_dev;
    char *pages;           /* L × {keys, values} (n_pages, G, KV_BLOCK, D) */
    size_t page_bytes;     /* of one layer's keys */
};

static void take_acts(struct layout *l, struct decoder *d, const struct model_config *c, enum dtype act) {
    int64_t R = d->max_rows;
    d->t.q = layout_take(l, dtype_bytes(act, R * c->H * c->D));
    d->t.k = layout_take(l, dtype_bytes(act, R * c->G * c->D));
    d->t.v = layout_take(l, dtype_bytes(act, R * c->G * c->D));
    d->t.o = layout_take(l, dtype_bytes(act, R * c->H * c->D));
    d->t.gate = layout_take(l, dtype_bytes(act, R * c->F));
    d->t.up = layout_take(l, dtype_bytes(act, R * c->F));
    d->t.x = d->t.x_mid = layout_take(l, dtype_bytes(act, R * c->C));
    void *h = layout_take(l, dtype_bytes(act, R * d->max_r));
    for (int s = 0; s < N_SITES; s++) d->t.h[s] = h;
}

static size_t lay_out(struct decoder *d, const struct model_config *c, enum dtype act, void *base) {
    struct layout l = {base, 0};
    int64_t R = d->max_rows;
    take_acts(&l, d, c, act);
    d->xn = layout_take(&l, dtype_bytes(act, R * widest_input(c)));
    d->xg = layout_take(&l, dtype_bytes(act, R * c->C));
    d->logits = layout_take(&l, dtype_bytes(act, (int64_t)d->chunk * c->V));
    d->ids_dev = layout_take(&l, (size_t)R * sizeof(int32_t));
    d->seq_dev = layout_take(&l, (size_t)R * sizeof(int32_t));
    d->pos_dev = layout_take(&l, (size_t)R * sizeof(int32_t));
    d->sel_dev = layout_take(&l, (size_t)R * sizeof(int32_t));
    d->table_dev = layout_take(&l, (size_t)d->kv.slots * (size_t)d->kv.max_pages * sizeof(int32_t));
    d->page_bytes = dtype_bytes(act, (int64_t)d->kv.n_pages * c->G * KV_BLOCK * c->D);
    d->pages = layout_take(&l, (size_t)c->L * 2 * d->page_bytes);
    return l.at;
}

struct decoder *decoder_new(const struct model *m, const struct lora *const *a, int n_adapters, int slots, int64_t max_tokens, int max_rows, struct err *e) {
    if (slots < 1 || max_tokens < 1 || max_rows < 1) BUG("decoder of %d slots, %lld tokens, %d rows", slots, (long long)max_tokens, max_rows);
    struct dev *dev = m->d;
    struct decoder *d = xcalloc(1, sizeof *d);
    if (kvcache_init(&d->kv, slots, max_tokens, e) < 0) {
        free(d);
        return NULL;
    }
    d->m = m;
    d->a = xcalloc((size_t)n_adapters + 1, sizeof *d->a);
    d->n_a = n_adapters;
    for (int i = 0; i < n_adapters; i++) {
        d->a[i] = a[i];
        if (a[i]->cfg.r > d->max_r) d->max_r = a[i]->cfg.r;
    }
    d->max_rows = max_rows;
    d->chunk = max_rows < LOGITS_CHUNK ? max_rows : LOGITS_CHUNK;
    d->pos = xcalloc((size_t)max_rows, sizeof *d->pos);
    d->added = xcalloc((size_t)slots, sizeof *d->added);
    size_t bytes = lay_out(d, &m->cfg, dev->act, NULL);
    if (dev_err(dev, dev->alloc(dev->ctx, &d->arena, bytes), e, "the cache", bytes) < 0) {
        decoder_free(d);
        return NULL;
    }
    lay_out(d, &m->cfg, dev->act, d->arena);
    return d;
}

void decoder_free(struct decoder *d) {
    if (!d) return;
    if (d->arena) d->m->d->free(d->m->d->ctx, d->arena);
    kvcache_release(&d->kv);
    free(d->a);
    free(d->pos);
    free(d->added);
    free(d);
}

int decoder_compute(struct decoder *d, enum compute c, struct err *e) {
    if (c == COMPUTE_INT8 && !d->m->d->linear_int8) return err_set(e, RC_DEVICE, "device %s has no integer products, --compute int8 needs the CPU", d->m->d->name);
    d->compute = c;
    return 0;
}

int decoder_length(const struct decoder *d, int slot) { return d->kv.length[slot]; }
void decoder_reset(struct decoder *d, int slot) { kvcache_reset(&d->kv, slot); }
int64_t decoder_free_tokens(const struct decoder *d) { return d->kv.max_tokens - d->kv.tokens; }

static int check_rows(const struct decoder *d, const int32_t *ids, const int32_t *slot, int R, const int32_t *at, int M, struct err *e) {
    if (R < 1 || R > d->max_rows || M < 0 || M > R) BUG("%d rows, %d of logits, in a decoder for %d", R, M, d->max_rows);
    int32_t V = d->m->cfg.V;
    for (int i = 0; i < R; i++) {
        if (slot[i] < 0 || slot[i] >= d->kv.slots) BUG("row %d for slot %d of %d", i, (int)slot[i], d->kv.slots);
        if (ids[i] < 0 || ids[i] >= V) return err_set(e, RC_INPUT, "token id %d, the model has 0..%d", (int)ids[i], (int)V - 1);
    }
    for (int i = 0; i < M; i++)
        if (at[i] < (i ? at[i - 1] + 1 : 0) || at[i] >= R) BUG("logits %d of %d at row %d", i, M, (int)at[i]);
    if (R > decoder_free_tokens(d))
        return err_set(e, RC_IO, "the cache is full: %lld of %lld tokens, %d more wanted; raise --max-cached-tokens",
            (long long)d->kv.tokens, (long long)d->kv.max_tokens, R);
    return 0;
}

/* Positions of the rows, and pages for them. */
static void place_rows(struct decoder *d, const int32_t *slot, int R) {
    for (int s = 0; s < d->kv.slots; s++) d->added[s] = 0;
    for (int i = 0; i < R; i++) d->pos[i] = d->kv.length[slot[i]] + d->added[slot[i]]++;
    for (int s = 0; s < d->kv.slots; s++)
        if (d->added[s]) kvcache_extend(&d->kv, s, d->added[s]);
}

static int upload(struct decoder *d, void *to, const void *from, size_t n, struct err *e) {
    struct dev *dev = d->m->d;
    return n ? dev_err(dev, dev->upload(dev->ctx, to, from, n * sizeof(int32_t)), e, "rows to decode", n * sizeof(int32_t)) : 0;
}

static int upload_rows(struct decoder *d, const int32_t *ids, const int32_t *slot, int R, const int32_t *at, int M, struct err *e) {
    size_t table = (size_t)d->kv.slots * (size_t)d->kv.max_pages;
    if (d->kv.changed && upload(d, d->table_dev, d->kv.table, table, e) < 0) return -1;
    d->kv.changed = false;
    if (upload(d, d->ids_dev, ids, (size_t)R, e) < 0 || upload(d, d->seq_dev, slot, (size_t)R, e) < 0) return -1;
    if (upload(d, d->pos_dev, d->pos, (size_t)R, e) < 0 || upload(d, d->sel_dev, at, (size_t)M, e) < 0) return -1;
    return 0;
}

static void layers(struct decoder *d, int R) {
    const struct model_config *c = &d->m->cfg;
    struct dev *dev = d->m->d;
    struct run r = {.m = d->m, .a = d->a, .n_a = d->n_a, .R = R, .seq = d->seq_dev, .pos = d->pos_dev, .xn = d->xn, .int8 = d->compute == COMPUTE_INT8};
    dev->embed(dev->ctx, d->t.x, &d->m->embed, d->ids_dev, R);
    for (int l = 0; l < c->L; l++) {
        char *pages = d->pages + (size_t)l * 2 * d->page_bytes;
        struct kv_view kv = {pages, pages + d->page_bytes, d->table_dev, d->kv.max_pages};
        layer_qkv(&r, l, &d->t);
        dev->kv_store(dev->ctx, &kv, d->t.k, d->t.v, d->seq_dev, d->pos_dev, R, c->G, c->D);
        dev->attention_cached(dev->ctx, d->t.o, d->t.q, &kv, d->seq_dev, d->pos_dev, R, c->H, c->G, c->D, 1 / sqrtf((float)c->D));
        layer_rest(&r, l, &d->t, d->t.x);
    }
}

static int head(struct decoder *d, int M, float *logits, struct err *e) {
    const struct model_config *c = &d->m->cfg;
    struct dev *dev = d->m->d;
    dev->gather_rows(dev->ctx, d->xg, d->t.x, d->sel_dev, M, c->C);
    dev->rmsnorm(dev->ctx, d->xn, NULL, d->xg, d->m->norm, c->norm_eps, M, c->C);
    for (int at = 0; at < M; at += d->chunk) {
        int n = M - at < d->chunk ? M - at : d->chunk;
        linears(d->m->d, d->compute == COMPUTE_INT8, 0, &d->logits, (char *)d->xn + dtype_bytes(dev->act, (int64_t)at * c->C), &d->m->head, 1, n);
        if (download_acts(dev, logits + (size_t)at * (size_t)c->V, d->logits, (int64_t)n * c->V, e) < 0) return -1;
    }
    return 0;
}

int decoder_feed(struct decoder *d, const int32_t *ids, const int32_t *slot, int R, const int32_t *logits_at, int M, float *logits, struct err *e) {
    if (check_rows(d, ids, slot, R, logits_at, M, e) < 0) return -1;
    place_rows(d, slot, R);
    if (upload_rows(d, ids, slot, R, logits_at, M, e) < 0) return -1;
    layers(d, R);
    if (M > 0 && head(d, M, logits, e) < 0) return -1;
    return dev_err(d->m->d, d->m->d->sync(d->m->d->ctx), e, "decoding", 0);
}

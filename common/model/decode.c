/* Decoding: the memory of it, the rows of a call and their places in the cache. What runs is decode_pass.c's. */
#include "common/model/decode_pass.h"
#include <stdlib.h>
#include <string.h>

/* Rows of logits at a time; where the device chooses, those of a graph's step. */
#define LOGITS_CHUNK 32

static void take_acts(struct layout *l, struct decoder *d, const struct model_config *c, enum dtype act) {
    int64_t R = d->max_rows;
    d->t.q = layout_take(l, dtype_bytes(act, R * c->H * c->D));
    d->t.k = layout_take(l, dtype_bytes(act, R * c->G * c->D));
    d->t.v = layout_take(l, dtype_bytes(act, R * c->G * c->D));
    d->t.o = layout_take(l, dtype_bytes(act, R * c->H * c->D));
    d->t.gate = layout_take(l, dtype_bytes(act, R * c->F));
    d->t.up = layout_take(l, dtype_bytes(act, R * c->F));
    d->t.x = d->t.x_mid = layout_take(l, dtype_bytes(act, R * c->C));
    d->t.lse = d->packs ? layout_take(l, (size_t)R * (size_t)c->H * sizeof(float)) : NULL;
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
    d->rows_dev = layout_take(&l, decode_rows_bytes(d->max_rows));
    d->chosen_dev = layout_take(&l, (size_t)R * sizeof(int32_t));
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
    d->packs = dev->act != DT_F32;
    d->a = xcalloc((size_t)n_adapters + 1, sizeof *d->a);
    d->n_a = n_adapters;
    for (int i = 0; i < n_adapters; i++) {
        d->a[i] = a[i];
        if (a[i]->cfg.r > d->max_r) d->max_r = a[i]->cfg.r;
    }
    d->max_rows = max_rows;
    d->chunk = dev->choose ? GRAPH_ROWS : LOGITS_CHUNK;
    if (d->chunk > max_rows) d->chunk = max_rows;
    d->host = xmalloc(decode_rows_bytes(max_rows));
    d->stretch = xcalloc((size_t)max_rows, sizeof *d->stretch);
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
    decode_forget_graphs(d);
    if (d->arena) d->m->d->free(d->m->d->ctx, d->arena);
    kvcache_release(&d->kv);
    free(d->a);
    free(d->host);
    free(d->stretch);
    free(d->added);
    free(d);
}

int decoder_compute(struct decoder *d, enum compute c, struct err *e) {
    if (c == COMPUTE_INT8 && !d->m->d->linear_int8) return err_set(e, RC_DEVICE, "device %s has no integer products, --compute int8 needs the CPU", d->m->d->name);
    d->compute = c;
    return 0;
}

int decoder_length(const struct decoder *d, int slot) { return d->kv.length[slot]; }
void decoder_reset(struct decoder *d, int slot) { kvcache_truncate(&d->kv, slot, 0); }
void decoder_share(struct decoder *d, int to, int from, int n) { kvcache_share(&d->kv, to, from, n); }
void decoder_truncate(struct decoder *d, int slot, int n) { kvcache_truncate(&d->kv, slot, n); }
int decoder_pages(const struct decoder *d) { return d->kv.n_pages - d->kv.n_free; }
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
static void place_rows(struct decoder *d, int32_t *pos, const int32_t *slot, int R) {
    for (int s = 0; s < d->kv.slots; s++) d->added[s] = 0;
    for (int i = 0; i < R; i++) pos[i] = d->kv.length[slot[i]] + d->added[slot[i]]++;
    for (int s = 0; s < d->kv.slots; s++)
        if (d->added[s]) kvcache_extend(&d->kv, s, d->added[s]);
}

static int upload(struct decoder *d, void *to, const void *from, size_t bytes, struct err *e) {
    struct dev *dev = d->m->d;
    return bytes ? dev_err(dev, dev->upload(dev->ctx, to, from, bytes), e, "rows to decode", bytes) : 0;
}

/* All of a call in one copy: choices (M) where the device makes them, then ids, slots, positions (R), wanted rows (M), starts of fresh
   sequences. */
static int upload_rows(struct decoder *d, const int32_t *ids, const int32_t *slot, int R, const int32_t *at, int M, const struct choice *how, struct err *e) {
    size_t table = (size_t)d->kv.slots * (size_t)d->kv.max_pages * sizeof(int32_t), rows = (size_t)R;
    size_t n_how = how ? (size_t)M : 0;
    int32_t *h = (int32_t *)((struct choice *)d->host + n_how), *dev = (int32_t *)((struct choice *)d->rows_dev + n_how);
    if (n_how) memcpy(d->host, how, n_how * sizeof *how);
    memcpy(h, ids, rows * sizeof *h);
    memcpy(h + R, slot, rows * sizeof *h);
    place_rows(d, h + 2 * R, slot, R);
    if (d->kv.changed && upload(d, d->table_dev, d->kv.table, table, e) < 0) return -1;
    d->kv.changed = false;
    if (M) memcpy(h + 3 * R, at, (size_t)M * sizeof *h);
    int32_t *cu = h + 3 * R + M;
    int n_cu = decode_find_stretches(d, slot, h + 2 * R, R, cu);
    d->how_dev = d->rows_dev;
    d->ids_dev = dev;
    d->seq_dev = dev + R;
    d->pos_dev = dev + 2 * R;
    d->sel_dev = dev + 3 * R;
    d->cu_dev = d->sel_dev + M;
    d->cu = cu;
    return upload(d, d->rows_dev, d->host, n_how * sizeof *how + (size_t)(3 * R + M + n_cu) * sizeof *h, e);
}

int decoder_feed(struct decoder *d, const int32_t *ids, const int32_t *slot, int R, const int32_t *logits_at, int M, float *logits, struct err *e) {
    if (check_rows(d, ids, slot, R, logits_at, M, e) < 0 || upload_rows(d, ids, slot, R, logits_at, M, NULL, e) < 0) return -1;
    if (decode_run(d, R, M, logits, e) < 0) return -1;
    return dev_err(d->m->d, d->m->d->sync(d->m->d->ctx), e, "decoding", 0);
}

bool decoder_chooses(const struct decoder *d) { return d->m->d->choose != NULL; }

int decoder_begin(struct decoder *d, const int32_t *ids, const int32_t *slot, int R, const int32_t *at, int M, const struct choice *how, struct err *e) {
    if (!decoder_chooses(d)) BUG("a device that chooses no tokens");
    if (check_rows(d, ids, slot, R, at, M, e) < 0 || upload_rows(d, ids, slot, R, at, M, how, e) < 0) return -1;
    d->begun = M;
    return decode_begin(d, R, M, e);
}

int decoder_choose(struct decoder *d, const uint32_t *allowed, const uint32_t *seen, int32_t *chosen, struct err *e) {
    struct dev *dev = d->m->d;
    size_t bytes = (size_t)d->begun * sizeof *chosen;
    decode_choose(d, d->begun, allowed, seen);
    if (dev_err(dev, dev->download(dev->ctx, chosen, d->chosen_dev, bytes), e, "tokens", bytes) < 0) return -1;
    return dev_err(dev, dev->sync(dev->ctx), e, "decoding", 0);
}

/* A model on a device: see model.h. What can stay where it lies in the mapped file stays there (map_host); only q and k
   of a GGUF file (rows out of order), converted linears, norms and misaligned tensors take memory of their own. */
#include "common/model/model.h"
#include "common/io/io.h"
#include "common/model/weights.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE ((size_t)4 << 20) /* bytes converted or reordered at a time */

struct held { /* device memory to give back */
    const void *p;
    bool mapped;
};

struct model_store {
    struct weights *files;
    struct held *held;
    int n, cap;
    char hash[65]; /* empty until asked for */
};

static int out_of_memory(struct dev *d, struct err *e, const char *what, size_t bytes) {
    size_t left, total;
    char free_text[60] = "";
    if (d->memory_info(d->ctx, &left, &total) == K_OK) snprintf(free_text, sizeof free_text, ", %zu are free", left);
    if (!bytes) return err_set(e, RC_IO, "out of device memory (%s) at %s: %s%s", d->name, what, d->error_text(d->ctx), free_text);
    return err_set(e, RC_IO, "out of device memory (%s): %s needs %zu bytes%s", d->name, what, bytes, free_text);
}

int dev_err(struct dev *d, enum kerr k, struct err *e, const char *what, size_t bytes) {
    switch (k) {
    case K_OK: return 0;
    case K_NOMEM: return out_of_memory(d, e, what, bytes);
    case K_DEVICE: return err_set(e, RC_DEVICE, "device %s failed at %s: %s", d->name, what, d->error_text(d->ctx));
    case K_UNSUPPORTED: return err_set(e, RC_DEVICE, "device %s does not support %s", d->name, what);
    }
    BUG("kerr %d", (int)k);
}

/* ---- one tensor ---- */
static void hold(struct model *m, const void *p, size_t bytes, bool mapped) {
    struct model_store *s = m->store;
    GROW(s->held, s->n, s->cap);
    s->held[s->n++] = (struct held){p, mapped};
    m->weight_bytes += bytes;
}

static int take_memory(struct model *m, void **p, size_t bytes, const char *what, struct err *e) {
    if (dev_err(m->d, m->d->alloc(m->d->ctx, p, bytes), e, what, bytes) < 0) return -1;
    hold(m, *p, bytes, false);
    return 0;
}

static enum dtype stored_type(enum dtype from, enum base_dtype base) {
    return base == BASE_F32 ? DT_F32 : base == BASE_BF16 ? DT_BF16 : from;
}

/* Row r of w to type `to` at dst; row is scratch of cols f32. */
static void convert_row(void *dst, enum dtype to, const struct weight *w, int64_t r, float *row) {
    if (to == w->type) { /* plain or in whole blocks: only such rows are moved as they are */
        size_t bytes = dtype_bytes(to, w->cols);
        memcpy(dst, (const char *)w->data + (size_t)r * bytes, bytes);
        return;
    }
    weight_to_f32(to == DT_F32 ? dst : row, w, r, 0, w->cols);
    for (int64_t i = 0; to != DT_F32 && i < w->cols; i++) {
        uint16_t h = f32_to_bf16(row[i]);
        memcpy((char *)dst + 2 * i, &h, 2);
    }
}

/* Rows of `from`, in order and converted to w->type, into device memory: pieces of whole rows. */
static int stream_rows(struct model *m, struct weight *w, const struct weight *from, const char *name, int D, struct err *e) {
    size_t to = dtype_bytes(w->type, w->cols), bytes = (size_t)w->rows * to;
    int64_t at_once = to < PIECE ? (int64_t)(PIECE / to) : 1;
    void *dev;
    if (take_memory(m, &dev, bytes, name, e) < 0) return -1;
    if (at_once > w->rows) at_once = w->rows;
    char *piece = malloc((size_t)at_once * to);
    float *row = malloc((size_t)w->cols * 4);
    int rc = piece && row ? 0 : err_set(e, RC_IO, "out of memory: reading tensor %s needs %zu bytes", name, (size_t)at_once * to);
    for (int64_t r = 0; !rc && r < w->rows; r += at_once) {
        int64_t n = w->rows - r < at_once ? w->rows - r : at_once;
        for (int64_t i = 0; i < n; i++) convert_row(piece + (size_t)i * to, w->type, from, weights_row(r + i, D), row);
        rc = dev_err(m->d, m->d->upload(m->d->ctx, (char *)dev + (size_t)r * to, piece, (size_t)n * to), e, name, (size_t)n * to);
    }
    free(piece);
    free(row);
    w->data = dev;
    return rc;
}

/* safetensors allows tensors at any byte; kernels read whole values. */
static bool aligned(const struct weight *w) {
    size_t bytes = dtype_block_bytes(w->type); /* GGUF's blocks begin with, or hold, f16 */
    return (uintptr_t)w->data % (bytes > 4 ? 2 : bytes) == 0;
}

static int map(struct model *m, const void **p, size_t bytes, const char *what, struct err *e) {
    if (!*p) return 0;
    if (dev_err(m->d, m->d->map_host(m->d->ctx, p, *p, bytes), e, what, bytes) < 0) return -1;
    hold(m, *p, bytes, true);
    return 0;
}

/* What lies beside the values: scales of int8 rows, of blocks, of blocks of scales. */
static int map_scales(struct model *m, struct weight *w, const char *what, struct err *e) {
    const void *scale = w->scale, *codes = w->scale_q, *table = w->scale_map;
    size_t n = w->type == DT_I8 ? (size_t)w->rows : (size_t)(!scale ? 0 : codes ? weight_nested(w) : weight_blocks(w));
    if (map(m, &scale, n * 4, what, e) < 0 || map(m, &codes, codes ? (size_t)weight_blocks(w) : 0, what, e) < 0 || map(m, &table, 1024, what, e) < 0) return -1;
    w->scale = scale;
    w->scale_q = codes;
    w->scale_map = table;
    return 0;
}

/* D: rows of q and k are put in order, by heads of so many; 0: they lie as they should. */
static int load(struct model *m, struct weight *w, const struct weight *from, const char *name, enum base_dtype base, int D, struct err *e) {
    enum dtype type = stored_type(from->type, base);
    if (D || type != from->type || !aligned(from)) {
        *w = weight_plain(type, from->rows, from->cols, NULL);
        return stream_rows(m, w, from, name, D, e);
    }
    *w = *from;
    return map(m, &w->data, weight_data_bytes(w), name, e) < 0 ? -1 : map_scales(m, w, name, e);
}

/* ---- all of them ---- */
/* Norms and RoPE's frequencies are small and always f32: one block, C values a norm, then D/2. */
static size_t norm_values(const struct model_config *c) { return (size_t)(2 * c->L + 1) * (size_t)c->C + (size_t)c->D / 2; }

static int load_norms(struct model *m, struct err *e) {
    const struct model_config *c = &m->cfg;
    const struct weights *f = m->store->files;
    size_t n = norm_values(c), C = (size_t)c->C;
    void *dev;
    if (take_memory(m, &dev, n * 4, "norms", e) < 0) return -1;
    float *host = malloc(n * 4);
    if (!host) return err_set(e, RC_IO, "out of memory: norms need %zu bytes", n * 4);
    for (int l = 0; l < c->L; l++) {
        size_t at = 2 * (size_t)l * C;
        dtype_to_f32(host + at, f->layers[l].attn_norm->type, f->layers[l].attn_norm->data, c->C);
        dtype_to_f32(host + at + C, f->layers[l].mlp_norm->type, f->layers[l].mlp_norm->data, c->C);
        m->layers[l].attn_norm = (float *)dev + at;
        m->layers[l].mlp_norm = (float *)dev + at + C;
    }
    size_t at = 2 * (size_t)c->L * C;
    dtype_to_f32(host + at, f->norm->type, f->norm->data, c->C);
    config_inv_freq(c, host + at + C);
    m->norm = (float *)dev + at;
    m->inv_freq = (float *)dev + at + C;
    int rc = dev_err(m->d, m->d->upload(m->d->ctx, dev, host, n * 4), e, "norms", n * 4);
    free(host);
    return rc;
}

/* Whether the device uses t where it lies. */
static bool in_place(const struct weight *w, const struct tensor *t) {
    return t->data == w->data || t->data == (const void *)w->scale || t->data == (const void *)w->scale_q || t->data == (const void *)w->scale_map;
}

/* Gives back the bytes of all[i], unless w uses them. */
static int let_go(struct model *m, int i, const struct weight *w, struct err *e) {
    struct weights *f = m->store->files;
    if (in_place(w, f->all[i])) return 0;
    if (dev_err(m->d, m->d->sync(m->d->ctx), e, f->all[i]->name, f->all[i]->bytes) < 0) return -1;
    weights_drop(f, i);
    return 0;
}

/* all[i] was the last part of x: the linear is made, and its parts are let go. */
static int place_linear(struct model *m, struct matrix *x, int layer, enum site site, int i, enum base_dtype base, struct err *e) {
    struct weights *f = m->store->files;
    struct weight *w = &m->layers[layer].w[site];
    bool reorder = f->permuted && (site == SITE_Q || site == SITE_K);
    if (matrix_finish(f, x, e) < 0) return err_prefix(e, "%s: ", f->path);
    if (load(m, w, &x->w, x->part[PART_WEIGHT]->name, base, reorder ? m->cfg.D : 0, e) < 0) return -1;
    for (int j = i; j >= 0; j--)
        for (int p = 0; p < N_PARTS; p++)
            if (x->part[p] == f->all[j] && let_go(m, j, w, e) < 0) return -1;
    return 0;
}

/* One of the files' tensors, where it belongs; parts of a linear wait for the others, norms in host memory for the last. */
static int place(struct model *m, int i, enum base_dtype base, struct err *e) {
    struct weights *f = m->store->files;
    const struct tensor *t = f->all[i];
    struct weight *w = t == f->embed ? &m->embed : t == f->head ? &m->head : NULL;
    int layer;
    enum site site;
    if (weights_take(f, i, e) < 0) return -1;
    if (!w) {
        struct matrix *x = weights_matrix(f, t, &layer, &site);
        return x && weights_complete(f, x, i) ? place_linear(m, x, layer, site, i, base, e) : 0;
    }
    struct weight from = weight_plain(t->type, t->shape[0], t->shape[1], t->data);
    return load(m, w, &from, t->name, BASE_KEEP, 0, e) < 0 ? -1 : let_go(m, i, w, e);
}

/* In the order of the files, which is the only one that a pipe has. */
static int load_all(struct model *m, enum base_dtype base, struct err *e) {
    struct weights *f = m->store->files;
    for (int i = 0; i < f->n; i++)
        if (place(m, i, base, e) < 0) return -1;
    if (f->head == f->embed) m->head = m->embed;
    if (weights_check_copy(f, e) < 0 || load_norms(m, e) < 0) return -1;
    return dev_err(m->d, m->d->sync(m->d->ctx), e, "loading the model", 0);
}

static int load_tokenizer(struct model *m, struct err *e) {
    const struct weights *f = m->store->files;
    char *path = f->gguf ? NULL : weights_file(f, "tokenizer.json");
    m->tok = f->gguf ? tokenizer_from_gguf(f->gguf, e) : tokenizer_from_json(path, e);
    free(path);
    if (!m->tok) return -1;
    if (tokenizer_size(m->tok) > m->cfg.V)
        return err_set(e, RC_INPUT, "%s: the tokenizer has %d tokens, the embedding only %d", m->path, (int)tokenizer_size(m->tok), m->cfg.V);
    return 0;
}

struct model *model_open(const char *path, struct dev *d, enum base_dtype base, struct err *e) {
    struct model *m = xcalloc(1, sizeof *m);
    m->d = d;
    m->path = xstrdup(path);
    m->store = xcalloc(1, sizeof *m->store);
    m->store->files = weights_open(path, e);
    if (m->store->files) {
        m->cfg = m->store->files->cfg;
        m->layers = xcalloc((size_t)m->cfg.L, sizeof *m->layers);
        if (load_tokenizer(m, e) == 0 && load_all(m, base, e) == 0) return m;
    }
    model_close(m);
    return NULL;
}

void model_close(struct model *m) {
    if (!m) return;
    for (int i = m->store->n; i-- > 0;) {
        const struct held *h = &m->store->held[i];
        if (h->mapped)
            m->d->unmap_host(m->d->ctx, h->p);
        else
            m->d->free(m->d->ctx, (void *)(uintptr_t)h->p);
    }
    tokenizer_free(m->tok);
    weights_close(m->store->files);
    free(m->store->held);
    free(m->store);
    free(m->layers);
    free(m->path);
    free(m);
}

const char *model_hash(const struct model *m) {
    if (!m->store->hash[0]) weights_hash(m->store->files, m->store->hash);
    return m->store->hash;
}

const struct weights *model_weights(const struct model *m) { return m->store->files; }

/* A product's matrix of this type, which the device decodes where it is not the activations'. */
static void count_packed(struct model_size *x, const struct dev *d, enum dtype type, int64_t rows, int64_t cols) {
    if (type != d->act && rows * cols > x->packed) x->packed = rows * cols;
}

static void count_linear(struct model_size *x, const struct dev *d, const struct matrix *m, enum base_dtype base) {
    static const enum part stored[] = {PART_WEIGHT, PART_SCALE, PART_SECOND, PART_MAP};
    enum dtype type = stored_type(m->w.type, base);
    bool same = type == m->w.type;
    for (int p = 0; p < 4; p++)
        if (m->part[stored[p]] && (p == 0 || m->w.type != DT_TERNARY)) {
            size_t bytes = m->part[stored[p]]->bytes;
            if (same) x->bytes += dev_block(d, bytes);
            else x->source += bytes;
        }
    if (!same) x->bytes += dev_block(d, dtype_bytes(type, m->w.rows * m->w.cols));
    count_packed(x, d, type, m->w.rows, m->w.cols);
    if (type == d->act) x->plain++;
    else x->other++;
}

int model_estimate(const char *path, enum base_dtype base, const struct dev *d, struct model_size *x, struct err *e) {
    struct weights *f = weights_open(path, e);
    if (!f) return -1;
    *x = (struct model_size){.cfg = f->cfg, .bytes = dev_block(d, norm_values(&f->cfg) * 4) + dev_block(d, f->embed->bytes)};
    if (f->head != f->embed) x->bytes += dev_block(d, f->head->bytes);
    count_packed(x, d, f->head->type, x->cfg.V, x->cfg.C);
    for (int l = 0; l < x->cfg.L; l++)
        for (int s = 0; s < N_SITES; s++) count_linear(x, d, &f->layers[l].w[s], base);
    weights_close(f);
    return 0;
}

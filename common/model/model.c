/* A model on a device: see model.h. What can stay where it lies in the mapped file stays there (map_host); only q and k
   of a GGUF file (rows out of order), converted linears, norms and misaligned tensors take memory of their own. */
#include "common/model/model.h"
#include "common/io/io.h"
#include "common/model/weights.h"
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

int dev_err(struct dev *d, enum kerr k, struct err *e, const char *what, size_t bytes) {
    switch (k) {
    case K_OK: return 0;
    case K_NOMEM: return err_set(e, RC_IO, "out of device memory (%s): %s needs %zu bytes", d->name, what, bytes);
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

/* Row of the file that becomes row n: llama.cpp interleaves the two halves of each head of q and k, so that RoPE's
   pairs are neighbours; Hugging Face keeps the halves apart. D 0: rows as they lie. */
static int64_t source_row(int64_t n, int D) {
    if (!D) return n;
    int64_t head = n / D, i = n % D;
    return head * D + 2 * (i % (D / 2)) + i / (D / 2);
}

static enum dtype stored_type(enum dtype from, enum base_dtype base) {
    return base == BASE_F32 ? DT_F32 : base == BASE_BF16 ? DT_BF16 : from;
}

/* cols values of type `from` at src to type `to` at dst; row is scratch of cols f32. */
static void convert_row(void *dst, enum dtype to, const void *src, enum dtype from, int64_t cols, float *row) {
    if (to == from) {
        memcpy(dst, src, dtype_bytes(from, cols));
        return;
    }
    dtype_to_f32(row, from, src, cols);
    if (to == DT_F32) {
        memcpy(dst, row, (size_t)cols * 4);
    } else {
        for (int64_t i = 0; i < cols; i++) {
            uint16_t h = f32_to_bf16(row[i]);
            memcpy((char *)dst + 2 * i, &h, 2);
        }
    }
}

/* Rows of t, in order and converted to w->type, into device memory: pieces of whole rows. */
static int stream_rows(struct model *m, struct weight *w, const struct tensor *t, int D, struct err *e) {
    size_t from = dtype_bytes(t->type, w->cols), to = dtype_bytes(w->type, w->cols), bytes = (size_t)w->rows * to;
    int64_t at_once = to < PIECE ? (int64_t)(PIECE / to) : 1;
    void *dev;
    if (take_memory(m, &dev, bytes, t->name, e) < 0) return -1;
    if (at_once > w->rows) at_once = w->rows;
    char *piece = malloc((size_t)at_once * to);
    float *row = malloc((size_t)w->cols * 4);
    int rc = piece && row ? 0 : err_set(e, RC_IO, "out of memory: reading tensor %s needs %zu bytes", t->name, (size_t)at_once * to);
    for (int64_t r = 0; !rc && r < w->rows; r += at_once) {
        int64_t n = w->rows - r < at_once ? w->rows - r : at_once;
        for (int64_t i = 0; i < n; i++)
            convert_row(piece + (size_t)i * to, w->type, (const char *)t->data + (size_t)source_row(r + i, D) * from, t->type, w->cols, row);
        rc = dev_err(m->d, m->d->upload(m->d->ctx, (char *)dev + (size_t)r * to, piece, (size_t)n * to), e, t->name, (size_t)n * to);
    }
    free(piece);
    free(row);
    w->data = dev;
    return rc;
}

/* safetensors allows tensors at any byte; kernels read whole values. */
static bool aligned(const struct tensor *t) { return (uintptr_t)t->data % (t->type == DT_F32 ? 4 : 2) == 0; }

static int load(struct model *m, struct weight *w, const struct tensor *t, enum base_dtype base, int D, struct err *e) {
    *w = (struct weight){.type = stored_type(t->type, base), .rows = t->shape[0], .cols = t->shape[1]};
    if (D || w->type != t->type || !aligned(t)) return stream_rows(m, w, t, D, e);
    if (dev_err(m->d, m->d->map_host(m->d->ctx, &w->data, t->data, t->bytes), e, t->name, t->bytes) < 0) return -1;
    hold(m, w->data, t->bytes, true);
    return 0;
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

/* The linear that t is, and whether rows are to be put in order; false for norms and RoPE tables. */
static bool linear_of(struct model *m, const struct tensor *t, struct weight **w, bool *reorder) {
    const struct weights *f = m->store->files;
    for (int l = 0; l < m->cfg.L; l++)
        for (int s = 0; s < N_SITES; s++)
            if (f->layers[l].w[s] == t) {
                *w = &m->layers[l].w[s];
                *reorder = f->permuted && (s == SITE_Q || s == SITE_K);
                return true;
            }
    return false;
}

/* One of the files' tensors, where it belongs; norms wait in host memory for the last. */
static int place(struct model *m, int i, enum base_dtype base, struct err *e) {
    struct weights *f = m->store->files;
    const struct tensor *t = f->all[i];
    struct weight *w = t == f->embed ? &m->embed : t == f->head ? &m->head : NULL;
    bool reorder = false, linear = !w && linear_of(m, t, &w, &reorder);
    if (weights_take(f, i, e) < 0) return -1;
    if (!w) return 0;
    if (load(m, w, t, linear ? base : BASE_KEEP, reorder ? m->cfg.D : 0, e) < 0) return -1;
    if (w->data == t->data) return 0; /* used where it lies */
    if (dev_err(m->d, m->d->sync(m->d->ctx), e, t->name, t->bytes) < 0) return -1;
    weights_drop(f, i);
    return 0;
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

int model_estimate(const char *path, enum base_dtype base, struct model_config *cfg, size_t *bytes, struct err *e) {
    struct weights *f = weights_open(path, e);
    if (!f) return -1;
    *cfg = f->cfg;
    *bytes = norm_values(cfg) * 4 + f->embed->bytes + (f->head != f->embed ? f->head->bytes : 0);
    for (int l = 0; l < cfg->L; l++)
        for (int s = 0; s < N_SITES; s++) {
            const struct tensor *t = f->layers[l].w[s];
            *bytes += dtype_bytes(stored_type(t->type, base), t->shape[0] * t->shape[1]);
        }
    weights_close(f);
    return 0;
}

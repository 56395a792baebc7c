/* Merging: see merge.h. Tensors go out in Hugging Face's order, by pieces of rows that all threads work on. */
#include "common/model/merge.h"
#include "kernels/cpu/pool.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE ((int64_t)1 << 20) /* values worked on at a time */

/* ---- what there is ---- */
struct item { /* one tensor to be written */
    struct tensor t;
    struct weight w; /* in device memory; a norm is a matrix of one row */
    int slot;        /* layer·N_SITES + site, or -1: no adapter can be there */
};

struct plan {
    struct item *v;
    int n;
};

static void add(struct plan *p, const struct weight *w, int dims, int slot, enum dtype to, const char *name) {
    struct item *x = &p->v[p->n++];
    *x = (struct item){.w = *w, .slot = slot};
    x->t = (struct tensor){.name = xstrdup(name), .type = to, .dims = dims, .shape = {dims == 2 ? w->rows : w->cols, w->cols}};
    x->t.bytes = dtype_bytes(to, w->rows * w->cols);
}

static void add_norm(struct plan *p, const struct model *m, const float *norm, enum dtype to, const char *name) {
    struct weight w = weight_plain(DT_F32, 1, m->cfg.C, norm);
    add(p, &w, 1, -1, to, name);
}

static void add_layer(struct plan *p, const struct model *m, int l, enum dtype to) {
    char name[100];
    snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", l);
    add_norm(p, m, m->layers[l].attn_norm, to, name);
    for (int s = 0; s < N_SITES; s++) {
        snprintf(name, sizeof name, "%s.weight", lora_module_name(l, (enum site)s));
        add(p, &m->layers[l].w[s], 2, l * N_SITES + s, to, name);
    }
    snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", l);
    add_norm(p, m, m->layers[l].mlp_norm, to, name);
}

static struct plan make_plan(const struct model *m, enum dtype to) {
    struct plan p = {xcalloc((size_t)m->cfg.L * (N_SITES + 2) + 3, sizeof *p.v), 0};
    add(&p, &m->embed, 2, -1, to, "model.embed_tokens.weight");
    for (int l = 0; l < m->cfg.L; l++) add_layer(&p, m, l, to);
    add_norm(&p, m, m->norm, to, "model.norm.weight");
    if (!m->cfg.tied) add(&p, &m->head, 2, -1, to, "lm_head.weight");
    return p;
}

static void plan_release(struct plan *p) {
    for (int i = 0; i < p->n; i++) free((char *)(uintptr_t)p->v[i].t.name);
    free(p->v);
}

static bool is_plain(enum dtype t) { return t == DT_F32 || t == DT_F16 || t == DT_BF16; }

bool merge_packed(const struct model *m, const char **name, enum dtype *type) {
    static char text[120];
    struct plan p = make_plan(m, DT_F32);
    int i = 0;
    while (i < p.n && is_plain(p.v[i].w.type)) i++;
    bool found = i < p.n;
    if (found) {
        snprintf(text, sizeof text, "%s", p.v[i].t.name);
        *name = text;
        *type = p.v[i].w.type;
    }
    plan_release(&p);
    return found;
}

enum dtype merge_type(const struct model *m) {
    struct plan p = make_plan(m, DT_F32);
    enum dtype type = m->embed.type;
    for (int i = 0; i < p.n; i++)
        if (p.v[i].t.dims == 2 && p.v[i].w.type != type) type = DT_F32;
    plan_release(&p);
    return is_plain(type) ? type : DT_F32;
}

/* ---- one tensor ---- */
struct merger {
    const struct model *m;
    const struct lora *const *a;
    float **ab;          /* host copies of the adapters' parameters */
    int n, threads;
    struct pool *pool;
    double *sum;         /* a row for each thread */
    char *bytes;         /* of a piece */
    int64_t cap;         /* values of a piece */
    /* the piece at hand: rows first.. of item x */
    const struct item *x;
    struct weight host;  /* its rows from host_first on */
    int64_t first, host_first;
    int64_t *bad;        /* for each thread: place of a value that is not finite, or -1 */
};

/* row += scale · B[r,:] · A for every adapter that is there. */
static void add_adapters(const struct merger *g, double *row, int64_t r) {
    for (int i = 0; i < g->n; i++) {
        const struct lora *a = g->a[i];
        if (a->a_off[g->x->slot] < 0) continue;
        const float *A = g->ab[i] + a->a_off[g->x->slot], *B = g->ab[i] + a->b_off[g->x->slot] + r * a->cfg.r;
        int64_t K = g->x->w.cols;
        for (int k = 0; k < a->cfg.r; k++, A += K) {
            double f = (double)a->scale * (double)B[k];
            for (int64_t c = 0; c < K; c++) row[c] += f * (double)A[c];
        }
    }
}

/* One value as `t`; false if it is not finite there. */
static bool store(char *dst, enum dtype t, int64_t at, float x) {
    uint16_t h = t == DT_BF16 ? f32_to_bf16(x) : t == DT_F16 ? f32_to_f16(x) : 0;
    if (t == DT_F32)
        memcpy(dst + 4 * at, &x, 4);
    else
        memcpy(dst + 2 * at, &h, 2);
    return isfinite(t == DT_BF16 ? bf16_to_f32(h) : t == DT_F16 ? f16_to_f32(h) : x);
}

static bool adapted(const struct merger *g) {
    bool any = false;
    for (int i = 0; i < g->n && g->x->slot >= 0; i++) any = any || g->a[i]->a_off[g->x->slot] >= 0;
    return any;
}

/* Rows first+begin.. of the item, to their place in the piece. */
static void merge_rows(void *arg, int64_t begin, int64_t end, int thread) {
    struct merger *g = arg;
    int64_t K = g->x->w.cols;
    double *sum = g->sum + thread * K;
    float *plain = (float *)(g->sum + g->threads * K) + thread * K;
    for (int64_t r = begin; r < end; r++) {
        weight_to_f32(plain, &g->host, g->first + r - g->host_first, 0, K);
        if (adapted(g)) { /* what no adapter touches stays as it is, a zero's sign too */
            for (int64_t c = 0; c < K; c++) sum[c] = (double)plain[c];
            add_adapters(g, sum, g->first + r);
            for (int64_t c = 0; c < K; c++) plain[c] = (float)sum[c];
        }
        for (int64_t c = 0; c < K; c++)
            if (!store(g->bytes, g->x->t.type, r * K + c, plain[c]) && g->bad[thread] < 0) g->bad[thread] = (g->first + r) * K + c;
    }
}

static int download(const struct merger *g, const void **host, const void *dev, size_t bytes, struct err *e) {
    const char *name = g->x->t.name;
    struct dev *d = g->m->d;
    void *p = malloc(bytes + 1);
    *host = p;
    if (!p) return err_set(e, RC_IO, "out of memory: tensor %s needs %zu bytes", name, bytes);
    if (dev_err(d, d->download(d->ctx, p, dev, bytes), e, name, bytes) < 0) return -1;
    return dev_err(d, d->sync(d->ctx), e, name, bytes);
}

static bool in_rows(const struct weight *w) { return is_plain(w->type) || dtype_block(w->type) >= 32; }

/* Host copy of rows first..first+n, or of all where rows do not lie one after the other or share scales. */
static int fetch(struct merger *g, int64_t first, int64_t n, struct err *e) {
    const struct weight *w = &g->x->w;
    struct weight *h = &g->host;
    *h = *w;
    h->data = h->scale = h->scale_map = NULL;
    h->scale_q = NULL;
    g->host_first = in_rows(w) ? first : 0;
    if (in_rows(w)) {
        size_t bytes = dtype_bytes(w->type, w->cols);
        h->rows = n;
        return download(g, &h->data, (const char *)w->data + (size_t)first * bytes, (size_t)n * bytes, e);
    }
    const void *scale = NULL, *codes = NULL, *map = NULL;
    size_t scales = w->type == DT_I8 ? (size_t)w->rows : !w->scale ? 0 : w->scale_q ? (size_t)weight_nested(w) : (size_t)weight_blocks(w);
    int rc = download(g, &h->data, w->data, weight_data_bytes(w), e);
    if (!rc && w->scale) rc = download(g, &scale, w->scale, scales * 4, e);
    if (!rc && w->scale_q) rc = download(g, &codes, w->scale_q, (size_t)weight_blocks(w), e);
    if (!rc && w->scale_map) rc = download(g, &map, w->scale_map, 256 * sizeof(float), e);
    h->scale = scale;
    h->scale_q = codes;
    h->scale_map = map;
    return rc;
}

static void drop(struct merger *g) {
    const void *all[] = {g->host.data, g->host.scale, g->host.scale_q, g->host.scale_map};
    for (int i = 0; i < 4; i++) free((void *)(uintptr_t)all[i]);
    g->host = (struct weight){0};
}

static int check_finite(const struct merger *g, struct err *e) {
    int64_t at = -1, K = g->x->w.cols;
    for (int i = 0; i < g->threads; i++)
        if (g->bad[i] >= 0 && (at < 0 || g->bad[i] < at)) at = g->bad[i];
    if (at < 0) return 0;
    return err_set(e, RC_INPUT, "tensor %s: the merged value at row %" PRId64 ", column %" PRId64 " is not finite as %s", g->x->t.name, at / K, at % K, dtype_name(g->x->t.type));
}

/* Scratch for a piece of item x: rows to work in, and the bytes. */
static int make_room(struct merger *g, struct err *e) {
    int64_t K = g->x->w.cols, rows = PIECE / K > 0 ? PIECE / K : 1;
    g->cap = rows < g->x->w.rows ? rows : g->x->w.rows;
    size_t scratch = (size_t)g->threads * (size_t)K * (sizeof(double) + sizeof(float)), bytes = dtype_bytes(g->x->t.type, g->cap * K);
    free(g->sum);
    free(g->bytes);
    g->sum = malloc(scratch);
    g->bytes = malloc(bytes);
    for (int i = 0; i < g->threads; i++) g->bad[i] = -1;
    return g->sum && g->bytes ? 0 : err_set(e, RC_IO, "out of memory: merging tensor %s needs %zu bytes", g->x->t.name, scratch + bytes);
}

static int write_item(struct merger *g, const struct item *x, struct hf_weights *out, struct err *e) {
    int64_t K = x->w.cols;
    g->x = x;
    int rc = make_room(g, e);
    if (!rc && !in_rows(&x->w)) rc = fetch(g, 0, x->w.rows, e);
    for (g->first = 0; !rc && g->first < x->w.rows; g->first += g->cap) {
        int64_t n = x->w.rows - g->first < g->cap ? x->w.rows - g->first : g->cap;
        if (in_rows(&x->w)) rc = fetch(g, g->first, n, e);
        if (rc) break;
        pool_run(g->pool, n, 8, merge_rows, g);
        if (in_rows(&x->w)) drop(g);
        rc = check_finite(g, e);
        if (!rc) rc = hf_weights_push(out, g->bytes, dtype_bytes(x->t.type, n * K), e);
    }
    drop(g);
    return rc;
}

/* ---- all of them ---- */
static int fetch_adapters(struct merger *g, struct err *e) {
    int rc = 0;
    for (int i = 0; !rc && i < g->n; i++) {
        g->ab[i] = malloc((size_t)g->a[i]->n * sizeof(float));
        rc = g->ab[i] ? lora_download(g->a[i], g->ab[i], e) : err_set(e, RC_IO, "out of memory: the adapter needs %zu bytes", (size_t)g->a[i]->n * 4);
    }
    return rc;
}

static int write_weights(struct merger *g, const struct plan *p, uint64_t shard, const char *dir, merge_told *told, void *arg, struct merge_report *r, struct err *e) {
    struct tensor *list = xcalloc((size_t)p->n, sizeof *list);
    int rc = 0;
    *r = (struct merge_report){.tensors = p->n};
    for (int i = 0; i < p->n; i++) {
        list[i] = p->v[i].t;
        r->bytes += list[i].bytes;
    }
    struct hf_weights *out = hf_weights_create(dir, list, p->n, shard, e);
    free(list);
    if (!out) return -1;
    r->files = hf_weights_files(out);
    for (int i = 0; !rc && i < p->n; i++) {
        rc = write_item(g, &p->v[i], out, e);
        if (told) told(arg, i + 1, p->n);
    }
    if (!rc) return hf_weights_finish(out, e);
    hf_weights_abort(out);
    return rc;
}

static int write_side_files(const struct model *m, enum dtype to, const char *dir, struct err *e) {
    struct hf_files x = HF_FILES_INIT;
    int rc = hf_files_of_model(&x, m, to, NULL, e);
    if (!rc) rc = hf_files_write(&x, dir, e);
    hf_files_release(&x);
    return rc;
}

int merge_write(const struct model *m, const struct lora *const *a, int n, enum dtype to, uint64_t shard, const char *dir, int threads, merge_told *told,
                void *arg, struct merge_report *r, struct err *e) {
    struct merger g = {.m = m, .a = a, .n = n, .threads = threads, .ab = xcalloc((size_t)n + 1, sizeof *g.ab), .bad = xcalloc((size_t)threads, sizeof *g.bad)};
    struct plan p = make_plan(m, to);
    g.pool = pool_new(threads);
    int rc = g.pool ? fetch_adapters(&g, e) : err_set(e, RC_IO, "cannot start %d threads", threads);
    if (!rc) rc = write_side_files(m, to, dir, e);
    if (!rc) rc = write_weights(&g, &p, shard, dir, told, arg, r, e);
    for (int i = 0; i < n; i++) free(g.ab[i]);
    free(g.ab);
    free(g.bad);
    free(g.sum);
    free(g.bytes);
    pool_free(g.pool);
    plan_release(&p);
    return rc;
}

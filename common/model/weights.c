/* Tensors by role: see weights.h. Names are Hugging Face's or llama.cpp's; each tensor of the shape is asked for once,
   and what nobody asked for is an error. */
#include "common/model/weights.h"
#include "common/io/io.h"
#include "common/io/strmap.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const site_names[N_SITES] = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
const char *const site_paths[N_SITES] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                                         "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"};
static const char *const gguf_sites[N_SITES] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};

void site_shape(const struct model_config *c, enum site s, int *rows, int *cols) {
    int q = c->H * c->D, kv = c->G * c->D;
    const int shapes[N_SITES][2] = {{q, c->C}, {kv, c->C}, {kv, c->C}, {c->C, q}, {c->F, c->C}, {c->F, c->C}, {c->C, c->F}};
    *rows = shapes[s][0];
    *cols = shapes[s][1];
}

struct finder {
    struct weights *w;
    struct strmap names;
    bool *used; /* of w->all */
    struct err *e;
};

static const struct tensor *find(struct finder *f, const char *name) {
    int i = strmap_get(&f->names, name, strlen(name));
    if (i < 0) return NULL;
    f->used[i] = true;
    return f->w->all[i];
}

static int fail(const struct finder *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int fail(const struct finder *f, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(f->e, RC_INPUT, fmt, ap);
    va_end(ap);
    return err_prefix(f->e, "%s: ", f->w->path);
}

static void shape_text(const struct tensor *t, char *s, size_t n) {
    size_t at = 0;
    s[0] = 0;
    for (int i = 0; i < t->dims && at < n; i++) at += (size_t)snprintf(s + at, n - at, "%s%lld", i ? "x" : "", (long long)t->shape[i]);
}

/* A tensor of `rows` x `cols` (rows 0: a vector of cols) by the name of this kind of source. */
static int need(struct finder *f, const struct tensor **out, const char *name, int rows, int cols) {
    const struct tensor *t = find(f, name);
    char got[160], want[40];
    if (!t) return fail(f, "tensor %s is missing", name);
    if (rows)
        snprintf(want, sizeof want, "%dx%d", rows, cols);
    else
        snprintf(want, sizeof want, "%d", cols);
    shape_text(t, got, sizeof got);
    if (strcmp(got, want)) return fail(f, "tensor %s has shape %s, expected %s", name, got, want);
    bool plain = t->type == DT_F32 || t->type == DT_F16 || t->type == DT_BF16;
    bool block = dtype_block(t->type) >= 32;
    if (!plain && !(block && rows))
        return fail(f, "tensor %s has type %s, expected %s", name, dtype_name(t->type), rows ? "f32, f16, bf16, q8_0, q4_0, q4_1, q4_K or q6_K" : "f32, f16 or bf16");
    *out = t;
    return 0;
}

static const struct tensor *get_by_name(void *arg, const char *name) { return find(arg, name); }

static int find_linear(struct finder *f, struct matrix *m, const char *name, int rows, int cols) {
    int rc = matrix_find(m, &f->w->cfg, name, rows, cols, get_by_name, f, f->e);
    if (rc < 0) return err_prefix(f->e, "%s: ", f->w->path);
    if (rc > 0) return 0;
    if (need(f, &m->part[PART_WEIGHT], name, rows, cols) < 0) return -1;
    m->w = weight_plain(m->part[PART_WEIGHT]->type, rows, cols, NULL);
    return 0;
}

static int find_layer(struct finder *f, int l) {
    struct layer_files *x = &f->w->layers[l];
    const struct model_config *c = &f->w->cfg;
    char name[100];
    bool g = f->w->gguf;
    for (int s = 0; s < N_SITES; s++) {
        int rows, cols;
        site_shape(c, (enum site)s, &rows, &cols);
        if (g)
            snprintf(name, sizeof name, "blk.%d.%s.weight", l, gguf_sites[s]);
        else
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, site_paths[s]);
        if (find_linear(f, &x->w[s], name, rows, cols) < 0) return -1;
    }
    snprintf(name, sizeof name, g ? "blk.%d.attn_norm.weight" : "model.layers.%d.input_layernorm.weight", l);
    if (need(f, &x->attn_norm, name, 0, c->C) < 0) return -1;
    snprintf(name, sizeof name, g ? "blk.%d.ffn_norm.weight" : "model.layers.%d.post_attention_layernorm.weight", l);
    return need(f, &x->mlp_norm, name, 0, c->C);
}

/* A tied model may also store its head, as some exporters do; weights_check_copy looks at it. */
static int find_head(struct finder *f) {
    struct weights *w = f->w;
    const char *name = w->gguf ? "output.weight" : "lm_head.weight";
    w->head = w->embed;
    if (!w->cfg.tied) return need(f, &w->head, name, w->cfg.V, w->cfg.C);
    if (strmap_get(&f->names, name, strlen(name)) < 0) return 0;
    return need(f, &w->copy, name, w->cfg.V, w->cfg.C);
}

/* Tensors that carry nothing new: the RoPE tables that some files hold (config.c has checked llama.cpp's). */
static bool is_rope_table(const char *name) {
    size_t n = strlen(name);
    const char *end = ".self_attn.rotary_emb.inv_freq";
    return !strcmp(name, "rope_freqs.weight") || (n > strlen(end) && !strcmp(name + n - strlen(end), end));
}

static int find_all(struct finder *f) {
    struct weights *w = f->w;
    bool g = w->gguf;
    for (int i = 0; i < w->n; i++)
        if (!strmap_put(&f->names, w->all[i]->name, strlen(w->all[i]->name), i)) return fail(f, "tensor %s stands in two shards", w->all[i]->name);
    if (need(f, &w->embed, g ? "token_embd.weight" : "model.embed_tokens.weight", w->cfg.V, w->cfg.C) < 0 || find_head(f) < 0 ||
        need(f, &w->norm, g ? "output_norm.weight" : "model.norm.weight", 0, w->cfg.C) < 0)
        return -1;
    for (int l = 0; l < w->cfg.L; l++)
        if (find_layer(f, l) < 0) return -1;
    for (int i = 0; i < w->n; i++)
        if (!f->used[i] && !is_rope_table(w->all[i]->name))
            return fail(f, "tensor %s is not part of a Llama model of %d layers", w->all[i]->name, w->cfg.L);
    return 0;
}

struct weights *weights_open(const char *path, struct err *e) {
    struct weights *w = xcalloc(1, sizeof *w);
    int rc;
    w->path = xstrdup(path);
    if ((rc = weights_source(w, e)) == 0) {
        struct finder f = {w, STRMAP_INIT, xcalloc((size_t)w->n + 1, sizeof(bool)), e};
        w->layers = xcalloc((size_t)w->cfg.L, sizeof *w->layers);
        rc = find_all(&f);
        strmap_release(&f.names);
        free(f.used);
    }
    if (rc == 0) return w;
    weights_close(w);
    return NULL;
}

struct matrix *weights_matrix(const struct weights *w, const struct tensor *t, int *layer, enum site *site) {
    for (int l = 0; l < w->cfg.L; l++)
        for (int s = 0; s < N_SITES; s++)
            for (int p = 0; p < N_PARTS; p++)
                if (w->layers[l].w[s].part[p] == t) {
                    *layer = l;
                    *site = (enum site)s;
                    return &w->layers[l].w[s];
                }
    return NULL;
}

bool weights_complete(const struct weights *w, const struct matrix *m, int last) {
    int parts = 0, seen = 0;
    for (int p = 0; p < N_PARTS; p++) parts += m->part[p] != NULL;
    for (int j = last; j >= 0 && seen < parts; j--)
        for (int p = 0; p < N_PARTS; p++) seen += m->part[p] == w->all[j];
    return seen == parts;
}

static int index_of(const struct weights *w, const struct tensor *t) {
    int i = 0;
    while (w->all[i] != t) i++;
    return i;
}

int weights_check_copy(const struct weights *w, struct err *e) {
    const struct tensor *a = w->embed, *b = w->copy;
    if (!b) return 0;
    bool same = a->type == b->type;
    if (same && w->flow) /* their bytes may be gone */
        same = !strcmp(flow_digest(w->flow, index_of(w, a)), flow_digest(w->flow, index_of(w, b)));
    else if (same)
        same = !memcmp(a->data, b->data, a->bytes);
    if (same) return 0;
    return err_set(e, RC_INPUT, "%s: tensor %s differs from the embedding, although tie_word_embeddings is true", w->path, b->name);
}

int weights_take(struct weights *w, int i, struct err *e) { return w->flow ? flow_take(w, i, e) : 0; }

void weights_drop(struct weights *w, int i) {
    if (w->flow)
        flow_drop(w, i);
    else
        map_drop(w->all[i]->data, w->all[i]->bytes);
}

char *weights_file(const struct weights *w, const char *name) { return io_join(w->flow ? flow_dir(w->flow) : w->path, name); }

void weights_close(struct weights *w) {
    if (!w) return;
    gguf_close(w->gguf);
    for (int i = 0; i < w->n_shards; i++) safetensors_close(w->shards[i]);
    flow_close(w->flow);
    for (int i = 0; i < w->n_owned; i++) free(w->owned[i]);
    free(w->owned);
    free(w->shards);
    free(w->all);
    free(w->layers);
    free(w->path);
    free(w);
}

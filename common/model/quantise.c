/* Rewriting a model: the plan, and the run over it. See quantise.h. */
#include "common/model/quantise_impl.h"
#include "common/io/buf.h"
#include "common/model/quant.h"
#include "common/model/quant_avx2.h"
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum dtype quantise_type(enum quant_to to) {
    static const enum dtype types[] = {DT_F32, DT_F16, DT_BF16, DT_I8, DT_NF4, DT_FP4, DT_TERNARY};
    return types[to];
}

static bool is_plain(enum dtype t) { return t == DT_F32 || t == DT_F16 || t == DT_BF16; }

/* ---- errors ---- */
double quant_rmse(const struct quant_error *q) { return sqrt(q->dd / (double)q->values); }
double quant_cosine(const struct quant_error *q) { return q->xx == 0 && q->yy == 0 ? 1 : q->xy / sqrt(q->xx * q->yy); }
double quant_snr(const struct quant_error *q) { return 10 * log10(q->xx / q->dd); }

static void add_sums(struct quant_error *q, const float *x, const float *y, int64_t n) {
    double sums[4] = {0};
    int64_t i = quant_has_avx2() ? quant_sums_avx2(sums, x, y, n) : 0;
    for (; i < n; i++) {
        double a = x[i], b = y[i];
        sums[0] += a * a, sums[1] += b * b, sums[2] += a * b, sums[3] += (a - b) * (a - b);
    }
    q->xx += sums[0], q->yy += sums[1], q->xy += sums[2], q->dd += sums[3];
}

/* Row by row in parallel, then added in order. */
static int measure(struct quant_error *q, const float *x, const struct weight *w) {
    struct quant_error *rows = calloc((size_t)w->rows, sizeof *rows);
    float *all = malloc((size_t)w->cols * sizeof *all * (size_t)omp_get_max_threads());
    if (!rows || !all) {
        free(rows);
        free(all);
        return -1;
    }
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < w->rows; r++) {
        float *y = all + omp_get_thread_num() * w->cols;
        struct quant_error s = {0};
        weight_to_f32(y, w, r, 0, w->cols);
        add_sums(&s, x + r * w->cols, y, w->cols);
        rows[r] = s;
    }
    for (int64_t r = 0; r < w->rows; r++) q->xx += rows[r].xx, q->yy += rows[r].yy, q->xy += rows[r].xy, q->dd += rows[r].dd;
    q->values = w->rows * w->cols;
    free(rows);
    free(all);
    return 0;
}

/* ---- the plan ---- */
static enum dtype other_type(const struct quantise *q, enum dtype t) {
    if (q->o.to <= TO_BF16) return quantise_type(q->o.to);
    return is_plain(t) || !q->o.plain ? t : DT_F32;
}

static void plan_tensor(struct quantise *q, int at, const char *name) {
    const struct tensor *t = q->w->all[at];
    GROW(q->steps, q->n_steps, q->cap_steps);
    GROW(q->t, q->n, q->cap);
    q->steps[q->n_steps++] = (struct step){at, NULL, 0, q->n, 1};
    q->t[q->n] = *t;
    q->t[q->n].name = xstrdup(name);
    q->t[q->n].data = NULL;
    q->t[q->n].type = other_type(q, t->type);
    q->t[q->n].bytes = dtype_bytes(q->t[q->n].type, tensor_values(t));
    q->n++;
}

static void plan_linear(struct quantise *q, int at, struct matrix *m, int layer, enum site site) {
    char name[100];
    bool turn = q->w->permuted && (site == SITE_Q || site == SITE_K);
    snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, site_paths[site]);
    GROW(q->steps, q->n_steps, q->cap_steps);
    struct step *s = &q->steps[q->n_steps++];
    *s = (struct step){at, m, turn ? q->w->cfg.D : 0, q->n, 0};
    quantise_plan_linear(q, name, m->w.rows, m->w.cols);
    s->n = q->n - s->first;
    q->n_linears++;
}

/* Hugging Face's name of a tensor that is no linear, or NULL: RoPE tables and copies of a tied head are not written. */
static const char *other_name(const struct weights *w, const struct tensor *t, char *name, size_t room) {
    if (t == w->embed) return "model.embed_tokens.weight";
    if (t == w->head) return "lm_head.weight";
    if (t == w->norm) return "model.norm.weight";
    for (int l = 0; l < w->cfg.L; l++) {
        bool attn = t == w->layers[l].attn_norm;
        if (!attn && t != w->layers[l].mlp_norm) continue;
        snprintf(name, room, "model.layers.%d.%s_layernorm.weight", l, attn ? "input" : "post_attention");
        return name;
    }
    return NULL;
}

static int check_source(const struct quantise *q, const struct matrix *m, struct err *e) {
    const char *name = m->part[PART_WEIGHT]->name;
    if (q->o.to > TO_BF16 && !is_plain(m->w.type) && !q->o.requant)
        return err_set(e, RC_USAGE, "%s: tensor %s is %s already: quantising it again needs --allow-requantize", q->w->path, name, dtype_name(m->w.type));
    if (q->o.to == TO_TERNARY && m->w.rows % 4) return err_set(e, RC_INPUT, "%s: tensor %s has %lld rows, ternary packing needs a multiple of 4", q->w->path, name, (long long)m->w.rows);
    return 0;
}

static void plan_tail(struct quantise *q) {
    q->tail = q->n;
    for (int i = 0; i < q->n_steps && q->o.to == TO_INT8; i++) {
        if (!q->steps[i].m) continue;
        const char *weight = q->t[q->steps[i].first + 1].name;
        struct buf b = BUF_INIT;
        buf_addf(&b, "%s_format", weight);
        GROW(q->t, q->n, q->cap);
        q->t[q->n++] = (struct tensor){.name = buf_detach(&b), .type = DT_U8, .bytes = 1};
    }
}

static int plan(struct quantise *q, struct err *e) {
    struct weights *w = q->w;
    char room[100];
    q->rest = other_type(q, w->embed->type);
    if (!is_plain(q->rest)) q->rest = DT_F32;
    for (int i = 0; i < w->n; i++) {
        int layer;
        enum site site;
        struct matrix *m = weights_matrix(w, w->all[i], &layer, &site);
        const char *name = m ? NULL : other_name(w, w->all[i], room, sizeof room);
        if (name) plan_tensor(q, i, name);
        if (!m || !weights_complete(w, m, i)) continue;
        if (check_source(q, m, e) < 0) return -1;
        plan_linear(q, i, m, layer, site);
    }
    plan_tail(q);
    return 0;
}

struct quantise *quantise_open(const char *path, const struct quantise_options *o, struct err *e) {
    struct quantise *q = xcalloc(1, sizeof *q);
    q->o = *o;
    q->w = weights_open(path, e);
    if (q->w && plan(q, e) == 0) return q;
    quantise_free(q);
    return NULL;
}

void quantise_free(struct quantise *q) {
    if (!q) return;
    for (int i = 0; i < q->n; i++) free((char *)(uintptr_t)q->t[i].name);
    hf_files_release(&q->files);
    free(q->t);
    free(q->steps);
    weights_close(q->w);
    free(q);
}

int quantise_tensors(const struct quantise *q, const struct tensor **t) {
    *t = q->t;
    return q->n;
}

int quantise_linears(const struct quantise *q) { return q->n_linears; }

/* ---- the run ---- */
struct run {
    struct quantise *q;
    quantise_push *push;
    void *push_arg;
    quantise_told *told;
    void *told_arg;
    struct err *e;
    float *x; /* values of the linear at hand; the memory serves the next one */
    int64_t room;
};

static int no_memory(struct run *r, const char *name, size_t bytes) { return err_set(r->e, RC_IO, "out of memory: tensor %s needs %zu bytes", name, bytes); }

/* The linear's values in Hugging Face's order of rows, to r->x. */
static int read_values(struct run *r, const struct step *s) {
    const struct weight *w = &s->m->w;
    int64_t n = w->rows * w->cols;
    if (n > r->room) {
        free(r->x);
        r->x = malloc((size_t)n * sizeof *r->x);
        r->room = r->x ? n : 0;
        if (!r->x) return no_memory(r, s->m->part[PART_WEIGHT]->name, (size_t)n * sizeof *r->x);
    }
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < w->rows; i++) weight_to_f32(r->x + i * w->cols, w, weights_row(i, s->heads), 0, w->cols);
    return 0;
}

static int write_linear(struct run *r, const struct step *s, const float *x) {
    struct quantise *q = r->q;
    struct encoded out;
    struct quant_error error = {0};
    const char *name = s->m->part[PART_WEIGHT]->name;
    int64_t at = quant_finite(x, s->m->w.rows * s->m->w.cols);
    if (at >= 0) return err_set(r->e, RC_INPUT, "%s: tensor %s is not finite at (%lld,%lld)", q->w->path, name, (long long)(at / s->m->w.cols), (long long)(at % s->m->w.cols));
    if (quantise_encode(q, s, x, &out, r->e) < 0) return err_prefix(r->e, "%s: tensor %s: ", q->w->path, name);
    int rc = measure(&error, x, &out.w) < 0 ? no_memory(r, name, (size_t)s->m->w.rows * sizeof error) : 0;
    for (int i = 0; !rc && i < s->n; i++) {
        error.bytes += q->t[s->first + i].bytes;
        rc = r->push(r->push_arg, out.pieces[i], q->t[s->first + i].bytes, r->e);
    }
    if (!rc) r->told(r->told_arg, q->t[s->first].name, s->m->w.type, s->m->w.rows, s->m->w.cols, &error);
    encoded_release(&out);
    return rc;
}

static int do_linear(struct run *r, const struct step *s) {
    struct weights *w = r->q->w;
    if (matrix_finish(w, s->m, r->e) < 0) return err_prefix(r->e, "%s: ", w->path);
    int rc = read_values(r, s) < 0 ? -1 : write_linear(r, s, r->x);
    for (int j = s->at; j >= 0; j--)
        for (int p = 0; p < N_PARTS; p++)
            if (s->m->part[p] == w->all[j]) weights_drop(w, j);
    return rc;
}

/* n f32 to a plain type, in place of memory at dst; the index of one that does not fit, or -1. */
static int64_t to_plain(void *dst, enum dtype t, const float *x, int64_t n) {
    int64_t bad = n;
    for (int64_t i = 0; i < n; i++) {
        uint16_t h = t == DT_F16 ? f32_to_f16(x[i]) : f32_to_bf16(x[i]);
        if (t == DT_F32)
            memcpy((char *)dst + 4 * i, &x[i], 4);
        else
            memcpy((char *)dst + 2 * i, &h, 2);
        if (bad == n && t != DT_F32 && isfinite(x[i]) && !isfinite(t == DT_F16 ? f16_to_f32(h) : bf16_to_f32(h))) bad = i;
    }
    return bad < n ? bad : -1;
}

/* Pieces of whole blocks, converted where the types differ. */
static int do_tensor(struct run *r, const struct step *s) {
    enum { PIECE = 1 << 18 };
    const struct tensor *from = r->q->w->all[s->at], *to = &r->q->t[s->first];
    if (from->type == to->type) return r->push(r->push_arg, from->data, from->bytes, r->e);
    int64_t count = tensor_values(from);
    float *x = xmalloc(PIECE * sizeof *x);
    char *y = xmalloc(PIECE * 4);
    int rc = 0;
    for (int64_t at = 0; !rc && at < count; at += PIECE) {
        int64_t n = count - at < PIECE ? count - at : PIECE;
        dtype_to_f32(x, from->type, (const char *)from->data + dtype_bytes(from->type, at), n);
        int64_t bad = to_plain(y, to->type, x, n);
        rc = bad < 0 ? r->push(r->push_arg, y, dtype_bytes(to->type, n), r->e)
                     : err_set(r->e, RC_INPUT, "%s: tensor %s: value %lld is %g, beyond %s", r->q->w->path, from->name, (long long)(at + bad), (double)x[bad], dtype_name(to->type));
    }
    free(x);
    free(y);
    return rc;
}

static int run_steps(struct run *r) {
    struct quantise *q = r->q;
    int step = 0;
    for (int i = 0; i < q->w->n; i++) {
        if (weights_take(q->w, i, r->e) < 0) return -1;
        if (step < q->n_steps && q->steps[step].at == i) {
            const struct step *s = &q->steps[step++];
            if ((s->m ? do_linear(r, s) : do_tensor(r, s)) < 0) return -1;
        }
        int layer;
        enum site site;
        if (!weights_matrix(q->w, q->w->all[i], &layer, &site)) weights_drop(q->w, i);
    }
    return 0;
}

int quantise_run(struct quantise *q, quantise_push *push, void *push_arg, quantise_told *told, void *told_arg, struct err *e) {
    struct run r = {.q = q, .push = push, .push_arg = push_arg, .told = told, .told_arg = told_arg, .e = e};
    int rc = run_steps(&r);
    free(r.x);
    if (rc < 0) return -1;
    for (int i = q->tail; i < q->n; i++)
        if (push(push_arg, "", 1, e) < 0) return -1;
    return weights_check_copy(q->w, e);
}

/* The card under the tests' own calls: a device whose ops take host memory and f32 activations as the CPU's do, and which runs
   each op on the card's library with copies in its type, bf16 or f16. What an op writes beyond an argument's end shows when it is copied back. */
#ifndef COADOR_TESTS_CARD_H
#define COADOR_TESTS_CARD_H
#include "kernels/device.h"
#include "tests/kernels/act.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CARD_GUARD 512
struct card_arg {
    const void *host;
    void *dev;
    int64_t n;
    size_t bytes; /* on the device */
    bool act, out;
};
struct card {
    struct dev *d;
    struct card_arg a[24];
    int n;
};

static inline struct card *card_of(struct kctx *k) { return (struct card *)(void *)k; }
static inline void card_must(struct card *c, enum kerr rc, const char *what) {
    if (rc == K_OK) return;
    fprintf(stderr, "# card: %s: %s\n", what, c->d->error_text(c->d->ctx));
    abort();
}

/* Host memory as an argument: n activations, or n bytes. The same memory twice is one argument. */
static inline void *card_arg(struct card *c, const void *host, int64_t n, bool act, bool out) {
    if (!host) return NULL;
    for (int i = 0; i < c->n; i++)
        if (c->a[i].host == host && c->a[i].act == act) {
            c->a[i].out |= out;
            return c->a[i].dev;
        }
    struct card_arg *a = &c->a[c->n++];
    *a = (struct card_arg){.host = host, .n = n, .bytes = (size_t)n * (act ? 2 : 1), .act = act, .out = out};
    unsigned char *bytes = malloc(a->bytes + CARD_GUARD);
    for (int64_t i = 0; act && i < n; i++) {
        uint16_t h = act_of(c->d->act, ((const float *)host)[i]);
        memcpy(bytes + 2 * i, &h, 2);
    }
    if (!act && n) memcpy(bytes, host, (size_t)n);
    memset(bytes + a->bytes, 0xa5, CARD_GUARD);
    card_must(c, c->d->alloc(c->d->ctx, &a->dev, a->bytes + CARD_GUARD), "alloc");
    card_must(c, c->d->upload(c->d->ctx, a->dev, bytes, a->bytes + CARD_GUARD), "upload");
    free(bytes);
    return a->dev;
}

static inline void card_end(struct card *c, const char *what) {
    for (int i = 0; i < c->n; i++) {
        struct card_arg *a = &c->a[i];
        unsigned char *bytes = malloc(a->bytes + CARD_GUARD);
        card_must(c, c->d->download(c->d->ctx, bytes, a->dev, a->bytes + CARD_GUARD), what);
        for (size_t g = 0; g < CARD_GUARD; g++)
            if (bytes[a->bytes + g] != 0xa5) {
                fprintf(stderr, "# card: %s: argument %d overrun\n", what, i);
                abort();
            }
        for (int64_t j = 0; a->out && a->act && j < a->n; j++) {
            uint16_t h;
            memcpy(&h, bytes + 2 * j, 2);
            ((float *)(uintptr_t)a->host)[j] = act_value(c->d->act, h);
        }
        if (a->out && !a->act) memcpy((void *)(uintptr_t)a->host, bytes, a->bytes);
        free(bytes);
        c->d->free(c->d->ctx, a->dev);
    }
    c->n = 0;
}

#define IN(x, n) card_arg(c, x, n, true, false)
#define OUT(x, n) card_arg(c, x, n, true, true)
#define IN4(x, n) card_arg(c, x, 4 * (int64_t)(n), false, false) /* f32 or i32 */
#define OUT4(x, n) card_arg(c, x, 4 * (int64_t)(n), false, true)
#define OP(op, ...) { struct card *c = card_of(k); struct dev *d = c->d; __VA_ARGS__; card_end(c, #op); }
#define BIG(a, b) ((int64_t)(a) * (b))

static inline struct weight card_weight(struct card *c, const struct weight *w) {
    struct weight x = *w;
    int64_t n = w->type == DT_I8 ? w->rows : !w->scale ? 0 : w->scale_q ? weight_nested(w) : weight_blocks(w);
    x.data = card_arg(c, w->data, (int64_t)weight_data_bytes(w), false, false);
    x.scale = IN4(w->scale, n);
    x.scale_q = card_arg(c, w->scale_q, w->scale_q ? weight_blocks(w) : 0, false, false);
    x.scale_map = IN4(w->scale_map, 256);
    return x;
}
static void card_linear(struct kctx *k, float beta, void *y, const void *x, const struct weight *w, int R)
    OP(linear, struct weight W = card_weight(c, w); d->linear(d->ctx, beta, OUT(y, R * w->rows), IN(x, R * w->cols), &W, R))
static void card_linear_dx(struct kctx *k, float beta, void *dx, const void *dy, const struct weight *w, int R)
    OP(linear_dx, struct weight W = card_weight(c, w); d->linear_dx(d->ctx, beta, OUT(dx, R * w->cols), IN(dy, R * w->rows), &W, R))
static void card_embed(struct kctx *k, void *y, const struct weight *w, const int32_t *ids, int R)
    OP(embed, struct weight W = card_weight(c, w); d->embed(d->ctx, OUT(y, R * w->cols), &W, IN4(ids, R), R))
static void card_lora_down(struct kctx *k, void *h, const void *x, const float *A, int R, int r, int K)
    OP(lora_down, d->lora_down(d->ctx, OUT(h, BIG(R, r)), IN(x, BIG(R, K)), IN4(A, BIG(r, K)), R, r, K))
static void card_lora_up(struct kctx *k, void *y, const void *h, const float *B, float s, int R, int r, int N)
    OP(lora_up, d->lora_up(d->ctx, OUT(y, BIG(R, N)), IN(h, BIG(R, r)), IN4(B, BIG(N, r)), s, R, r, N))
static void card_lora_up_bwd(struct kctx *k, void *dh, float *dB, const void *dy, const void *h, const float *B, float s, int R, int r, int N)
    OP(lora_up_bwd, d->lora_up_bwd(d->ctx, OUT(dh, BIG(R, r)), OUT4(dB, BIG(N, r)), IN(dy, BIG(R, N)), IN(h, BIG(R, r)), IN4(B, BIG(N, r)), s, R, r, N))
static void card_lora_down_bwd(struct kctx *k, float beta, void *dx, float *dA, const void *dh, const void *x, const float *A, int R, int r, int K)
    OP(lora_down_bwd, d->lora_down_bwd(d->ctx, beta, OUT(dx, BIG(R, K)), OUT4(dA, BIG(r, K)), IN(dh, BIG(R, r)), IN(x, BIG(R, K)), IN4(A, BIG(r, K)), R, r, K))
static void card_dropout(struct kctx *k, float beta, void *y, const void *x, const int32_t *seq, const int32_t *pos, const struct dropout_key *key, int R, int C)
    OP(dropout, struct dropout_key K = *key; K.step = IN4(key->step, 1); d->dropout(d->ctx, beta, OUT(y, BIG(R, C)), IN(x, BIG(R, C)), IN4(seq, R), IN4(pos, R), &K, R, C))
static void card_rmsnorm(struct kctx *k, void *y, float *rstd, const void *x, const float *w, float eps, int R, int C)
    OP(rmsnorm, d->rmsnorm(d->ctx, OUT(y, BIG(R, C)), OUT4(rstd, R), IN(x, BIG(R, C)), IN4(w, C), eps, R, C))
static void card_rmsnorm_bwd(struct kctx *k, void *dx, const void *dy, const void *x, const float *w, const float *rstd, int R, int C)
    OP(rmsnorm_bwd, d->rmsnorm_bwd(d->ctx, OUT(dx, BIG(R, C)), IN(dy, BIG(R, C)), IN(x, BIG(R, C)), IN4(w, C), IN4(rstd, R), R, C))
static void card_rope(struct kctx *k, void *x, const int32_t *pos, const float *f, int sign, int R, int H, int D)
    OP(rope, d->rope(d->ctx, OUT(x, BIG(R, H) * D), IN4(pos, R), IN4(f, D / 2), sign, R, H, D))
static void card_attention(struct kctx *k, void *o, float *lse, const void *q, const void *key, const void *v, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale)
    OP(attention, int64_t R = cu[S]; d->attention(d->ctx, OUT(o, R * H * D), OUT4(lse, R * H), IN(q, R * H * D), IN(key, R * G * D), IN(v, R * G * D), cu, IN4(cu_dev, S + 1), S, H, G, D, scale))
static void card_attention_bwd(struct kctx *k, void *dq, void *dk, void *dv, const void *dout, const void *q, const void *key, const void *v, const void *o, const float *lse, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale)
    OP(attention_bwd, int64_t R = cu[S]; d->attention_bwd(d->ctx, OUT(dq, R * H * D), OUT(dk, R * G * D), OUT(dv, R * G * D), IN(dout, R * H * D), IN(q, R * H * D), IN(key, R * G * D), IN(v, R * G * D), IN(o, R * H * D), IN4(lse, R * H), cu, IN4(cu_dev, S + 1), S, H, G, D, scale))

/* The part of a cache that sequences up to the highest of seq(R) can name. */
static inline struct kv_view card_view(struct card *c, const struct kv_view *v, const int32_t *seq, int R, int G, int D, bool out) {
    int64_t entries = 0, pages = 0;
    for (int i = 0; i < R; i++) entries = (seq[i] + 1) * (int64_t)v->max_pages > entries ? (seq[i] + 1) * (int64_t)v->max_pages : entries;
    for (int64_t i = 0; i < entries; i++) pages = v->table[i] >= pages ? v->table[i] + 1 : pages;
    int64_t n = pages * G * KV_BLOCK * D;
    return (struct kv_view){card_arg(c, v->k, n, true, out), card_arg(c, v->v, n, true, out), IN4(v->table, entries), v->max_pages};
}
static void card_kv_store(struct kctx *k, const struct kv_view *view, const void *key, const void *v, const int32_t *seq, const int32_t *pos, int R, int G, int D)
    OP(kv_store, struct kv_view V = card_view(c, view, seq, R, G, D, true); d->kv_store(d->ctx, &V, IN(key, BIG(R, G) * D), IN(v, BIG(R, G) * D), IN4(seq, R), IN4(pos, R), R, G, D))
static void card_attention_cached(struct kctx *k, void *o, const void *q, const struct kv_view *view, const int32_t *seq, const int32_t *pos, int R, int H, int G, int D, float scale)
    OP(attention_cached, struct kv_view V = card_view(c, view, seq, R, G, D, false); d->attention_cached(d->ctx, OUT(o, BIG(R, H) * D), IN(q, BIG(R, H) * D), &V, IN4(seq, R), IN4(pos, R), R, H, G, D, scale))
static void card_attention_paged(struct kctx *k, void *o, const void *q, const struct kv_view *view, const int32_t *seq, const int32_t *pos, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale)
    OP(attention_paged, int R = cu[S]; struct kv_view V = card_view(c, view, seq, R, G, D, false); d->attention_paged(d->ctx, OUT(o, BIG(R, H) * D), IN(q, BIG(R, H) * D), &V, IN4(seq, R), IN4(pos, R), cu, IN4(cu_dev, S + 1), S, H, G, D, scale))
static void card_swiglu(struct kctx *k, void *y, const void *gate, const void *up, int64_t n)
    OP(swiglu, d->swiglu(d->ctx, OUT(y, n), IN(gate, n), IN(up, n), n))
static void card_swiglu_bwd(struct kctx *k, void *dgate, void *dup, const void *dy, const void *gate, const void *up, int64_t n)
    OP(swiglu_bwd, d->swiglu_bwd(d->ctx, OUT(dgate, n), OUT(dup, n), IN(dy, n), IN(gate, n), IN(up, n), n))
static void card_add(struct kctx *k, void *y, const void *x, int64_t n) OP(add, d->add(d->ctx, OUT(y, n), IN(x, n), n))
static void card_gather_rows(struct kctx *k, void *y, const void *x, const int32_t *idx, int M, int C)
    OP(gather_rows, d->gather_rows(d->ctx, OUT(y, BIG(M, C)), IN(x, BIG(M ? idx[M - 1] + 1 : 0, C)), IN4(idx, M), M, C))
static void card_scatter_rows(struct kctx *k, void *dx, const void *dy, const int32_t *idx, int M, int R, int C)
    OP(scatter_rows, d->scatter_rows(d->ctx, OUT(dx, BIG(R, C)), IN(dy, BIG(M, C)), IN4(idx, M), M, R, C))
static void card_cross_entropy(struct kctx *k, float *loss, void *logits, const int32_t *target, const float *scale, int M, int V)
    OP(cross_entropy, d->cross_entropy(d->ctx, OUT4(loss, M), OUT(logits, BIG(M, V)), IN4(target, M), IN4(scale, M), M, V))
static void card_topk(struct kctx *k, int32_t *id, float *logp, float *tail, const void *logits, float T, int M, int V, int K)
    OP(topk, d->topk(d->ctx, OUT4(id, BIG(M, K)), OUT4(logp, BIG(M, K)), OUT4(tail, M), IN(logits, BIG(M, V)), T, M, V, K))
static void card_distill(struct kctx *k, float *loss, void *logits, const int32_t *target, const float *scale, const struct soft_labels *soft, int M, int V)
    OP(distill, struct soft_labels s = *soft; s.id = IN4(soft->id, BIG(M, s.K)); s.logp = IN4(soft->logp, BIG(M, s.K)); s.tail = IN4(soft->tail, M);
       d->distill(d->ctx, OUT4(loss, M), OUT(logits, BIG(M, V)), IN4(target, M), IN4(scale, M), &s, M, V))
static void card_sumsq(struct kctx *k, double *out, const float *x, int64_t n, int accumulate)
    OP(sumsq, d->sumsq(d->ctx, card_arg(c, out, 8, false, true), IN4(x, n), n, accumulate))
static void card_admit(struct kctx *k, double *norm_sq, const double *grad_sq, const double *loss_sq)
    OP(admit, d->admit(d->ctx, card_arg(c, norm_sq, 8, false, true), card_arg(c, grad_sq, 8, false, false), card_arg(c, loss_sq, 8, false, false)))
static void card_unscale(struct kctx *k, float *g, int64_t n, double scale) OP(unscale, d->unscale(d->ctx, OUT4(g, n), n, scale))
static void card_adamw(struct kctx *k, float *p, float *m, float *v, const float *g, int64_t n, const struct adamw_step *s, const double *norm_sq)
    OP(adamw, d->adamw(d->ctx, OUT4(p, n), OUT4(m, n), OUT4(v, n), IN4(g, n), n, s, card_arg(c, norm_sq, 8, false, false)))


struct card_adapted { struct weight w[ADAPTED_MOST]; struct adapted a; };
static inline void card_describe(struct card *c, struct card_adapted *x, const struct adapted *a) {
    x->a = *a;
    x->a.w = x->w;
    for (int j = 0; j < a->n; j++) {
        x->w[j] = card_weight(c, &a->w[j]);
        x->a.A[j] = IN4(a->A[j], a->r * a->w[j].cols);
        x->a.B[j] = IN4(a->B[j], a->r * a->w[j].rows);
    }
}
static void card_adapted(struct kctx *k, const void *onto, void *const *y, const void *x, const void *xd, void *h, const struct adapted *a, int R)
    OP(adapted, struct card_adapted w; void *Y[ADAPTED_MOST]; card_describe(c, &w, a); for (int j = 0; j < a->n; j++) Y[j] = OUT(y[j], R * a->w[j].rows);
       d->adapted(d->ctx, IN(onto, R * a->w[0].rows), Y, IN(x, R * a->w[0].cols), IN(xd, R * a->w[0].cols), OUT(h, BIG(R, a->n) * a->r), &w.a, R))
static void card_adapted_bwd(struct kctx *k, void *dx, void *dxd, float *const *dA, float *const *dB, const void *const *dy, const void *xd, const void *h, void *dh, const struct adapted *a, int R)
    OP(adapted_bwd, struct card_adapted w; const void *DY[ADAPTED_MOST]; float *DA[ADAPTED_MOST], *DB[ADAPTED_MOST]; card_describe(c, &w, a);
       for (int j = 0; j < a->n; j++) DY[j] = IN(dy[j], R * a->w[j].rows), DA[j] = OUT4(dA[j], a->r * a->w[j].cols), DB[j] = OUT4(dB[j], a->r * a->w[j].rows);
       d->adapted_bwd(d->ctx, OUT(dx, R * a->w[0].cols), OUT(dxd, R * a->w[0].cols), DA, DB, DY, IN(xd, R * a->w[0].cols), IN(h, BIG(R, a->n) * a->r), OUT(dh, BIG(R, a->n) * a->r), &w.a, R))
static inline const struct dropped *card_dropped(struct card *c, struct dropped *to, const struct dropped *d, int R) {
    if (!d) return NULL;
    *to = (struct dropped){d->key, IN4(d->seq, R), IN4(d->pos, R)};
    to->key.step = IN4(d->key.step, 1);
    return to;
}
static bool card_swiglu_adapted(struct kctx *k, void *y, void *h, const void *gate, const void *up, const float *A, const struct dropped *drop, int F, int r, int R) {
    bool done = false;
    OP(swiglu_adapted, struct dropped D; done = d->swiglu_adapted && d->swiglu_adapted(d->ctx, OUT(y, BIG(R, F)), OUT(h, BIG(R, r)), IN(gate, BIG(R, F)), IN(up, BIG(R, F)), IN4(A, BIG(r, F)), card_dropped(c, &D, drop, R), F, r, R))
    return done;
}
static bool card_swiglu_adapted_bwd(struct kctx *k, void *dgate, void *dup, const void *dy, const void *gate, const void *up, float *dA, void *dh, float *const *dB, const void *h, const struct dropped *drop, const struct adapted *a, int R) {
    bool done = false;
    OP(swiglu_adapted_bwd, struct card_adapted w; struct dropped D; card_describe(c, &w, a); int64_t F = a->w[0].rows; float *DB[2] = {OUT4(dB[0], F * a->r), OUT4(dB[1], F * a->r)};
       done = d->swiglu_adapted_bwd(d->ctx, OUT(dgate, R * F), OUT(dup, R * F), IN(dy, R * F), IN(gate, R * F), IN(up, R * F), OUT4(dA, F * a->r), OUT(dh, BIG(R, 2) * a->r), DB, IN(h, BIG(R, 2) * a->r), card_dropped(c, &D, drop, R), &w.a, R))
    return done;
}

static void card_rmsnorm_e4m3(struct kctx *k, void *y, float *rstd, const void *x, const float *w, float eps, int R, int C)
    OP(rmsnorm_e4m3, d->rmsnorm_e4m3(d->ctx, OUT(y, BIG(R, C)), OUT4(rstd, R), IN(x, BIG(R, C)), IN4(w, C), eps, R, C))
static void card_swiglu_e4m3(struct kctx *k, void *y, const void *gate, const void *up, int R, int F)
    OP(swiglu_e4m3, d->swiglu_e4m3(d->ctx, OUT(y, BIG(R, F)), IN(gate, BIG(R, F)), IN(up, BIG(R, F)), R, F))
static void card_swiglu_bwd_e4m3(struct kctx *k, void *dgate, void *dup, void *y, const void *dy, const void *gate, const void *up, int R, int F)
    OP(swiglu_bwd_e4m3, d->swiglu_bwd_e4m3(d->ctx, OUT(dgate, BIG(R, F)), OUT(dup, BIG(R, F)), OUT(y, BIG(R, F)), IN(dy, BIG(R, F)), IN(gate, BIG(R, F)), IN(up, BIG(R, F)), R, F))

static enum kerr card_sync(struct kctx *k) { return card_of(k)->d->sync(card_of(k)->d->ctx); }
static const char *card_error(struct kctx *k) { return card_of(k)->d->error_text(card_of(k)->d->ctx); }
static void card_close(struct dev *d) {
    struct card *c = card_of(d->ctx);
    c->d->close(c->d);
    free(c);
    free(d);
}

#define CARD_SET(op) d->op = card_##op
static inline enum kerr card_open(struct dev **out, const char *name, const char **why) {
    struct dev *d = calloc(1, sizeof *d);
    struct card *c = calloc(1, sizeof *c);
    enum kerr rc = dev_open(&c->d, name, 1, why);
    if (rc != K_OK) {
        free(d);
        free(c);
        return rc;
    }
    *d = (struct dev){.name = c->d->name, .act = DT_F32, .threads = 1, .ctx = (struct kctx *)(void *)c, .sync = card_sync, .error_text = card_error, .close = card_close};
    CARD_SET(linear), CARD_SET(linear_dx), CARD_SET(embed), CARD_SET(lora_down), CARD_SET(lora_up), CARD_SET(lora_up_bwd), CARD_SET(lora_down_bwd), CARD_SET(dropout);
    CARD_SET(rmsnorm), CARD_SET(rmsnorm_bwd), CARD_SET(rope), CARD_SET(attention), CARD_SET(attention_bwd), CARD_SET(kv_store), CARD_SET(attention_cached), CARD_SET(attention_paged), CARD_SET(swiglu);
    CARD_SET(swiglu_bwd), CARD_SET(add), CARD_SET(gather_rows), CARD_SET(scatter_rows), CARD_SET(cross_entropy), CARD_SET(topk), CARD_SET(distill), CARD_SET(sumsq), CARD_SET(admit), CARD_SET(adamw);
    CARD_SET(adapted), CARD_SET(adapted_bwd), CARD_SET(unscale), CARD_SET(swiglu_adapted), CARD_SET(swiglu_adapted_bwd);
    d->e4m3 = c->d->e4m3;
    if (d->e4m3) CARD_SET(rmsnorm_e4m3), CARD_SET(swiglu_e4m3), CARD_SET(swiglu_bwd_e4m3);
    *out = d;
    return K_OK;
}
#endif

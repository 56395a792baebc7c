/* A two-layer model with random weights of several types, and adapters with live A and B, made through a device's table
   only, so that they work on one that forbids host access. For tests of llama.h and decode.h. */
#ifndef COADOR_TESTS_TINY_H
#define COADOR_TESTS_TINY_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/io/buf.h"
#include "common/model/llama.h"
#include <stdlib.h>
#include <string.h>

/* C, H·D and F all differ, G divides H, and every width is a multiple of a quantised block. */
static const struct model_config tiny_config = {.C = 32, .F = 96, .V = 50, .L = 2, .H = 4, .G = 2, .D = 16, .context = 256,
    .norm_eps = 1e-5f, .rope_theta = 10000, .bos = -1, .eos = {1}, .n_eos = 1, .tied = true};

struct tiny {
    struct model m;
    struct layer layers[2];
    void *mem[32]; /* device memory to free */
    int n;
};

/* Uniform in −1..1 from a counter: splitmix64's finaliser (Steele et al., OOPSLA'14). */
static inline float tiny_rand(uint64_t key, uint64_t i) {
    uint64_t z = (key << 32) + (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (float)((double)((z ^ z >> 31) >> 11) * 0x1p-52 - 1);
}

static inline void *tiny_to_dev(struct dev *d, const void *host, size_t bytes) {
    void *p;
    assert_int_equal(d->alloc(d->ctx, &p, bytes), K_OK);
    assert_int_equal(d->upload(d->ctx, p, host, bytes), K_OK);
    return p;
}

static inline void tiny_to_host(struct dev *d, void *host, const void *from, size_t bytes) {
    assert_int_equal(d->download(d->ctx, host, from, bytes), K_OK);
    assert_int_equal(d->sync(d->ctx), K_OK);
}

/* Any bytes are a valid block as long as its f16 scale (and minimum) are finite. */
static inline void tiny_fill(char *p, enum dtype t, int64_t n, float spread, uint64_t key) {
    int head = t == DT_Q4_1 ? 2 : t == DT_Q8_0 || t == DT_Q4_0 ? 1 : 0;
    float range = t == DT_Q8_0 ? 127 : 8;
    size_t size = dtype_block_bytes(t);
    for (int64_t b = 0; b < n / dtype_block(t); b++) {
        float v = spread * tiny_rand(key, (uint64_t)b);
        uint16_t bf = f32_to_bf16(v), scale[2] = {f32_to_f16(spread / range), f32_to_f16(-spread)};
        if (t == DT_F32) memcpy(p + (size_t)b * size, &v, size);
        if (t == DT_BF16) memcpy(p + (size_t)b * size, &bf, size);
        if (!head) continue;
        memcpy(p + (size_t)b * size, scale, (size_t)head * 2);
        for (size_t i = (size_t)head * 2; i < size; i++) p[(size_t)b * size + i] = (char)(127 * tiny_rand(key + 1, (uint64_t)b * size + i));
    }
}

static inline void *tiny_keep(struct tiny *t, void *p) {
    assert_true(t->n < (int)(sizeof t->mem / sizeof *t->mem));
    return t->mem[t->n++] = p;
}

static inline struct weight tiny_weight(struct tiny *t, enum dtype type, int rows, int cols, float spread, uint64_t key) {
    size_t bytes = dtype_bytes(type, (int64_t)rows * cols);
    char *host = xmalloc(bytes);
    tiny_fill(host, type, (int64_t)rows * cols, spread, key);
    struct weight w = weight_plain(type, rows, cols, tiny_keep(t, tiny_to_dev(t->m.d, host, bytes)));
    free(host);
    return w;
}

/* A norm's weight, around 1. */
static inline const float *tiny_norm(struct tiny *t, uint64_t key) {
    float w[64];
    for (int i = 0; i < t->m.cfg.C; i++) w[i] = 1 + 0.3f * tiny_rand(key, (uint64_t)i);
    return tiny_keep(t, tiny_to_dev(t->m.d, w, (size_t)t->m.cfg.C * sizeof *w));
}

static inline struct tiny *tiny_new(struct dev *d) {
    struct tiny *t = xcalloc(1, sizeof *t);
    static const enum dtype types[N_SITES] = {DT_F32, DT_Q4_0, DT_F32, DT_BF16, DT_Q8_0, DT_F32, DT_Q4_1};
    t->m = (struct model){.d = d, .cfg = tiny_config, .layers = t->layers};
    const struct model_config *c = &t->m.cfg;
    t->m.embed = tiny_weight(t, DT_Q8_0, c->V, c->C, 1, 1);
    t->m.head = tiny_weight(t, DT_F32, c->V, c->C, 0.3f, 3);
    t->m.norm = tiny_norm(t, 5);
    float inv[64];
    config_inv_freq(c, inv);
    t->m.inv_freq = tiny_keep(t, tiny_to_dev(d, inv, (size_t)c->D / 2 * sizeof *inv));
    const int shape[N_SITES][2] = {{c->H * c->D, c->C}, {c->G * c->D, c->C}, {c->G * c->D, c->C}, {c->C, c->H * c->D}, {c->F, c->C}, {c->F, c->C}, {c->C, c->F}};
    for (int l = 0; l < c->L; l++) {
        for (int s = 0; s < N_SITES; s++) t->layers[l].w[s] = tiny_weight(t, types[s], shape[s][0], shape[s][1], 0.4f, (uint64_t)(10 + 20 * l + 2 * s));
        t->layers[l].attn_norm = tiny_norm(t, (uint64_t)(24 + 20 * l));
        t->layers[l].mlp_norm = tiny_norm(t, (uint64_t)(26 + 20 * l));
    }
    return t;
}

static inline void tiny_free(struct tiny *t) {
    for (int i = 0; i < t->n; i++) t->m.d->free(t->m.d->ctx, t->mem[i]);
    free(t);
}

/* Adapter on the sites whose bit is set, A and B random. The layout is lora.h's. */
static inline struct lora *tiny_lora(const struct model *m, int r, unsigned sites, uint64_t key) {
    struct lora *a = xcalloc(1, sizeof *a);
    a->cfg = (struct lora_config){.r = r, .alpha = 2 * r};
    a->d = m->d;
    a->L = m->cfg.L;
    a->scale = 2;
    a->a_off = xcalloc((size_t)a->L * N_SITES, sizeof *a->a_off);
    a->b_off = xcalloc((size_t)a->L * N_SITES, sizeof *a->b_off);
    for (int s = 0; s < N_SITES; s++) a->cfg.sites[s] = sites >> s & 1;
    for (int i = 0; i < a->L * N_SITES; i++) {
        const struct weight *w = &m->layers[i / N_SITES].w[i % N_SITES];
        bool has = a->cfg.sites[i % N_SITES];
        a->a_off[i] = has ? a->n : -1;
        a->b_off[i] = has ? a->n + r * w->cols : -1;
        if (has) a->n += r * (w->cols + w->rows);
    }
    float *p = xcalloc((size_t)a->n, sizeof *p);
    for (int64_t i = 0; i < a->n; i++) p[i] = 0.2f * tiny_rand(key, (uint64_t)i);
    a->p = tiny_to_dev(m->d, p, (size_t)a->n * sizeof *p);
    free(p);
    return a;
}

static inline void tiny_lora_free(struct lora *a) {
    a->d->free(a->d->ctx, a->p);
    free(a->a_off);
    free(a->b_off);
    free(a);
}

/* Three sequences; their trained rows are every row whose next token lies in the sequence, less some. */
#define TINY_R 23
static inline void tiny_batch(struct packed *b) {
    static int32_t ids[TINY_R], pos[TINY_R], seq[TINY_R], sel[TINY_R], target[TINY_R];
    static const int32_t cu[] = {0, 9, 10, TINY_R};
    static float scale[TINY_R];
    *b = (struct packed){.R = TINY_R, .S = 3, .ids = ids, .pos = pos, .seq = seq, .cu = cu, .sel = sel, .target = target, .scale = scale};
    for (int s = 0, i = 0; s < b->S; s++)
        for (int t = 0; i < cu[s + 1]; i++, t++) {
            ids[i] = (int32_t)(25 + 24 * tiny_rand(7, (uint64_t)i));
            pos[i] = t;
            seq[i] = s + 4; /* as a later micro-batch of its step */
            if (i + 1 == cu[s + 1] || t == 2) continue;
            sel[b->M] = i;
            scale[b->M] = 0.05f + 0.01f * (float)s;
            target[b->M++] = (int32_t)(25 + 24 * tiny_rand(7, (uint64_t)i + 1));
        }
}

static inline struct dev *tiny_dev(const char *name) {
    struct dev *d;
    const char *why = "";
    if (dev_open(&d, name, 1, &why) != K_OK) fail_msg("%s: %s", name, why);
    return d;
}
#endif

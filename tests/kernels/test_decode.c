/* A card's layer and head of a few rows beside the ops of the CPU that they stand for. Only where COADOR_DEVICE is cuda. */
#include "kernels/cpu/cpu.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MAX_ROWS = 32, PAGES = 5, LONGEST = PAGES * KV_BLOCK, N_WEIGHTS = 7, VOCABULARY = 528 };
/* Of what a layer adds; each of its steps rounds to bf16. */
#define LAYER_BOUND 0x1p-6
#define HEAD_BOUND 0x1p-8

struct shape { int C, F, H, G, D; };
static struct dev *cpu, *card;
static uint64_t state = 88172645463325252u;

static float uniform(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (float)((double)(state >> 40) * 0x1p-23 - 1);
}
/* n values that bf16 holds */
static float *values(int64_t n, float size) {
    float *p = malloc((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++) p[i] = bf16_to_f32(f32_to_bf16((uniform() + uniform() + uniform()) * size));
    return p;
}

static void *to_card(const void *host, size_t bytes) {
    void *p;
    assert_int_equal(card->alloc(card->ctx, &p, bytes), K_OK);
    if (host) assert_int_equal(card->upload(card->ctx, p, host, bytes), K_OK);
    return p;
}
static void *scratch(int64_t n) { /* of NaNs */
    void *host = malloc((size_t)n * 2), *p;
    memset(host, 0xff, (size_t)n * 2);
    p = to_card(host, (size_t)n * 2);
    free(host);
    return p;
}
static void acts_up(void *dev, const float *x, int64_t n) {
    uint16_t *h = malloc((size_t)n * 2);
    for (int64_t i = 0; i < n; i++) h[i] = f32_to_bf16(x[i]);
    assert_int_equal(card->upload(card->ctx, dev, h, (size_t)n * 2), K_OK);
    free(h);
}
static void *acts(const float *x, int64_t n) {
    void *p = to_card(NULL, (size_t)n * 2);
    acts_up(p, x, n);
    return p;
}
static float *acts_down(const void *dev, int64_t n) {
    uint16_t *h = malloc((size_t)n * 2);
    float *x = malloc((size_t)n * sizeof *x);
    assert_int_equal(card->download(card->ctx, h, dev, (size_t)n * 2), K_OK);
    for (int64_t i = 0; i < n; i++) x[i] = bf16_to_f32(h[i]);
    free(h);
    return x;
}

/* The same matrix for both. */
static void make_weight(struct weight *here, struct weight *there, enum dtype type, bool nested, int rows, int cols) {
    int64_t n = (int64_t)rows * cols, blocks = n / 64;
    float size = 1 / sqrtf((float)cols);
    *here = weight_plain(type, rows, cols, NULL);
    size_t bytes = dtype_bytes(type, n);
    uint8_t *data = malloc(bytes);
    if (type == DT_BF16)
        for (int64_t i = 0; i < n; i++) ((uint16_t *)(void *)data)[i] = f32_to_bf16(uniform() * 1.7f * size);
    else
        for (size_t i = 0; i < bytes; i++) data[i] = (uint8_t)((uniform() + 1) * 127.99f);
    here->data = data;
    *there = *here;
    there->data = to_card(data, bytes);
    if (type == DT_BF16) return;
    int64_t scales = nested ? (blocks + 255) / 256 : blocks;
    float *scale = malloc((size_t)scales * sizeof *scale);
    for (int64_t i = 0; i < scales; i++) scale[i] = size * (1.5f + uniform());
    here->block = there->block = 64;
    here->scale = scale;
    there->scale = to_card(scale, (size_t)scales * sizeof *scale);
    if (!nested) return;
    uint8_t *codes = malloc((size_t)blocks);
    float *map = malloc(256 * sizeof *map);
    for (int64_t i = 0; i < blocks; i++) codes[i] = (uint8_t)((uniform() + 1) * 127.99f);
    for (int i = 0; i < 256; i++) map[i] = ((float)i - 128) / 255;
    here->nested = there->nested = 256;
    here->offset = there->offset = 1.5f * size;
    here->scale_q = codes, here->scale_map = map;
    there->scale_q = to_card(codes, (size_t)blocks), there->scale_map = to_card(map, 256 * sizeof *map);
}
static void drop_weight(struct weight *here, struct weight *there) {
    const void *h[] = {here->data, here->scale, here->scale_q, here->scale_map}, *t[] = {there->data, there->scale, there->scale_q, there->scale_map};
    for (int i = 0; i < 4; i++) {
        free((void *)(uintptr_t)h[i]);
        if (t[i]) card->free(card->ctx, (void *)(uintptr_t)t[i]);
    }
}

/* A layer of both, and the caches, filled by each device's own op. */
struct both {
    struct shape s;
    struct weight w[2][N_WEIGHTS];
    float *norm, *freq;
    void *norm_dev, *freq_dev;
    struct kv_view kv[2];
    int32_t table[MAX_ROWS * PAGES], seq[MAX_ROWS], pos[MAX_ROWS];
};

static void fill_caches(struct both *b) {
    const struct shape *s = &b->s;
    int n = 0, wide = s->G * s->D;
    static int32_t seq[MAX_ROWS * LONGEST], pos[MAX_ROWS * LONGEST];
    for (int i = 0; i < MAX_ROWS; i++)
        for (int t = 0; t < b->pos[i]; t++) seq[n] = b->seq[i], pos[n++] = t;
    float *k = values((int64_t)n * wide, 1), *v = values((int64_t)n * wide, 1);
    cpu->kv_store(cpu->ctx, &b->kv[0], k, v, seq, pos, n, s->G, s->D);
    void *dev[4] = {acts(k, (int64_t)n * wide), acts(v, (int64_t)n * wide), to_card(seq, (size_t)n * 4), to_card(pos, (size_t)n * 4)};
    card->kv_store(card->ctx, &b->kv[1], dev[0], dev[1], dev[2], dev[3], n, s->G, s->D);
    assert_int_equal(card->sync(card->ctx), K_OK);
    for (int i = 0; i < 4; i++) card->free(card->ctx, dev[i]);
    free(k), free(v);
}

static void both_new(struct both *b, struct shape s, enum dtype type, bool nested) {
    const int hd = s.H * s.D, gd = s.G * s.D, rows[N_WEIGHTS] = {hd, gd, gd, s.C, s.F, s.F, s.C}, cols[N_WEIGHTS] = {s.C, s.C, s.C, hd, s.C, s.C, s.F};
    *b = (struct both){.s = s};
    for (int i = 0; i < N_WEIGHTS; i++) make_weight(&b->w[0][i], &b->w[1][i], type, nested, rows[i], cols[i]);
    b->norm = values(s.C, 0.3f);
    for (int i = 0; i < s.C; i++) b->norm[i] += 1;
    b->freq = malloc((size_t)s.D / 2 * sizeof(float));
    for (int i = 0; i < s.D / 2; i++) b->freq[i] = powf(10000, -2.0f * (float)i / (float)s.D);
    b->norm_dev = to_card(b->norm, (size_t)s.C * 4);
    b->freq_dev = to_card(b->freq, (size_t)s.D / 2 * 4);
    for (int i = 0; i < MAX_ROWS * PAGES; i++) b->table[i] = (i * 7) % (MAX_ROWS * PAGES); /* 7 and 160 share no factor */
    for (int i = 0; i < MAX_ROWS; i++) b->seq[i] = MAX_ROWS - 1 - i, b->pos[i] = i == 0 ? LONGEST - 1 : (i * 37 + 111) % LONGEST;
    b->pos[3] = 0;
    int64_t n = (int64_t)MAX_ROWS * PAGES * s.G * KV_BLOCK * s.D;
    b->kv[0] = (struct kv_view){calloc((size_t)n, 4), calloc((size_t)n, 4), b->table, PAGES};
    b->kv[1] = (struct kv_view){scratch(n), scratch(n), to_card(b->table, sizeof b->table), PAGES};
    fill_caches(b);
}
static void both_free(struct both *b) {
    for (int i = 0; i < N_WEIGHTS; i++) drop_weight(&b->w[0][i], &b->w[1][i]);
    free(b->norm), free(b->freq), free(b->kv[0].k), free(b->kv[0].v);
    void *dev[] = {b->norm_dev, b->freq_dev, b->kv[1].k, b->kv[1].v, (void *)(uintptr_t)b->kv[1].table};
    for (int i = 0; i < 5; i++) card->free(card->ctx, dev[i]);
}

/* x(R,C), by the ops */
static void reference(struct both *b, float *x, int R) {
    const struct shape *s = &b->s;
    const struct weight *w = b->w[0];
    const int hd = s->H * s->D, gd = s->G * s->D;
    float *xn = malloc((size_t)R * (size_t)s->C * 4), *q = malloc((size_t)(R * hd) * 4), *k = malloc((size_t)(R * gd) * 4), *v = malloc((size_t)(R * gd) * 4), *o = malloc((size_t)(R * hd) * 4);
    float *gate = malloc((size_t)R * (size_t)s->F * 4), *up = malloc((size_t)R * (size_t)s->F * 4);
    cpu->rmsnorm(cpu->ctx, xn, NULL, x, b->norm, 1e-5f, R, s->C);
    cpu->linear(cpu->ctx, 0, q, xn, &w[0], R), cpu->linear(cpu->ctx, 0, k, xn, &w[1], R), cpu->linear(cpu->ctx, 0, v, xn, &w[2], R);
    cpu->rope(cpu->ctx, q, b->pos, b->freq, 1, R, s->H, s->D), cpu->rope(cpu->ctx, k, b->pos, b->freq, 1, R, s->G, s->D);
    cpu->kv_store(cpu->ctx, &b->kv[0], k, v, b->seq, b->pos, R, s->G, s->D);
    cpu->attention_cached(cpu->ctx, o, q, &b->kv[0], b->seq, b->pos, R, s->H, s->G, s->D, 1 / sqrtf((float)s->D));
    cpu->linear(cpu->ctx, 1, x, o, &w[3], R);
    cpu->rmsnorm(cpu->ctx, xn, NULL, x, b->norm, 1e-5f, R, s->C);
    cpu->linear(cpu->ctx, 0, gate, xn, &w[4], R), cpu->linear(cpu->ctx, 0, up, xn, &w[5], R);
    cpu->swiglu(cpu->ctx, gate, gate, up, (int64_t)R * s->F);
    cpu->linear(cpu->ctx, 1, x, gate, &w[6], R);
    free(xn), free(q), free(k), free(v), free(o), free(gate), free(up);
}

/* The same by the card's one op; then what it put into the cache, as its attention reads it, to o. */
static float *on_card(struct both *b, const float *x0, int R, const float *q, float **o) {
    const struct shape *s = &b->s;
    const int hd = s->H * s->D, gd = s->G * s->D;
    void *x = acts(x0, (int64_t)R * s->C), *seq = to_card(b->seq, sizeof b->seq), *pos = to_card(b->pos, sizeof b->pos), *qd = acts(q, (int64_t)R * hd);
    struct decode_layer l = {.w = b->w[1], .attn_norm = b->norm_dev, .mlp_norm = b->norm_dev, .inv_freq = b->freq_dev, .kv = b->kv[1], .x = x, .xn = scratch((int64_t)R * s->C),
        .q = scratch((int64_t)R * hd), .k = scratch((int64_t)R * gd), .v = scratch((int64_t)R * gd), .o = scratch((int64_t)R * hd), .act = scratch((int64_t)R * s->F),
        .R = R, .C = s->C, .F = s->F, .H = s->H, .G = s->G, .D = s->D, .eps = 1e-5f};
    assert_true(card->decode_layer(card->ctx, &l, seq, pos));
    float *got = acts_down(x, (int64_t)R * s->C);
    card->attention_cached(card->ctx, l.o, qd, &b->kv[1], seq, pos, R, s->H, s->G, s->D, 1 / sqrtf((float)s->D));
    *o = acts_down(l.o, (int64_t)R * hd);
    if (card->sync(card->ctx) != K_OK) fail_msg("%s", card->error_text(card->ctx));
    void *dev[] = {x, seq, pos, qd, l.xn, l.q, l.k, l.v, l.o, l.act};
    for (int i = 0; i < 10; i++) card->free(card->ctx, dev[i]);
    return got;
}

static double distance(const float *got, const float *want, const float *from, int64_t n) {
    double d = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = (double)want[i] - (from ? from[i] : 0);
        d += ((double)got[i] - want[i]) * ((double)got[i] - want[i]), norm += x * x;
    }
    return isfinite(d) ? sqrt(d / norm) : INFINITY;
}

static void try(struct both *b, int R, const char *what) {
    const struct shape *s = &b->s;
    int64_t n = (int64_t)R * s->C, nq = (int64_t)R * s->H * s->D;
    float *x0 = values(n, 1), *want = malloc((size_t)n * 4), *q = values(nq, 1), *want_o = malloc((size_t)nq * 4), *o[2], *got[2];
    memcpy(want, x0, (size_t)n * 4);
    reference(b, want, R);
    cpu->attention_cached(cpu->ctx, want_o, q, &b->kv[0], b->seq, b->pos, R, s->H, s->G, s->D, 1 / sqrtf((float)s->D));
    for (int i = 0; i < 2; i++) got[i] = on_card(b, x0, R, q, &o[i]);
    double layer = distance(got[0], want, x0, n), cache = distance(o[0], want_o, NULL, nq);
    print_message("# %s, %d rows: layer off by %.5f, cache %.5f\n", what, R, layer, cache);
    assert_true(layer <= LAYER_BOUND && cache <= LAYER_BOUND);
    assert_memory_equal(got[0], got[1], (size_t)n * 4);
    free(x0), free(want), free(q), free(want_o);
    for (int i = 0; i < 2; i++) free(got[i]), free(o[i]);
}

static void layers(enum dtype type, bool nested) {
    static const struct shape shapes[] = {{256, 512, 4, 2, 64}, {384, 1536, 6, 2, 64}, {512, 1024, 4, 4, 128}, {2048, 8192, 32, 8, 64}};
    static const int rows[] = {1, 2, 8, 9, 16, 17, 31, 32};
    char what[64];
    if (!card) skip();
    for (int i = 0; i < 4; i++) {
        struct both b;
        both_new(&b, shapes[i], type, nested);
        snprintf(what, sizeof what, "%s%s, %d wide", dtype_name(type), nested ? " doubly" : "", shapes[i].C);
        for (int r = 0; r < 8; r++)
            if (i < 3 || rows[r] == 1 || rows[r] == 9 || rows[r] == 32) try(&b, rows[r], what);
        both_free(&b);
    }
}
static void test_bf16(void **unused) { layers(DT_BF16, false); }
static void test_nf4(void **unused) { layers(DT_NF4, true); }
static void test_fp4(void **unused) { layers(DT_FP4, false); }

static void test_head(void **unused) {
    static const int rows[] = {1, 3, 12, 32};
    if (!card) skip();
    for (int type = 0; type < 2; type++)
        for (int r = 0; r < 4; r++) {
            enum { C = 512 };
            const int R = rows[r];
            struct weight here, there;
            make_weight(&here, &there, type ? DT_NF4 : DT_BF16, type, VOCABULARY, C);
            float *x = values(R * C, 1), *norm = values(C, 1), *xn = malloc((size_t)(R * C) * 4), *want = malloc((size_t)(R * VOCABULARY) * 4);
            cpu->rmsnorm(cpu->ctx, xn, NULL, x, norm, 1e-5f, R, C);
            cpu->linear(cpu->ctx, 0, want, xn, &here, R);
            struct decode_head h = {scratch(R * VOCABULARY), acts(x, R * C), scratch(R * C), to_card(norm, C * 4), 1e-5f, &there, R};
            assert_true(card->decode_head(card->ctx, &h));
            float *got = acts_down(h.logits, R * VOCABULARY);
            double d = distance(got, want, NULL, R * VOCABULARY);
            print_message("# head, %s, %d rows: off by %.5f\n", type ? "nf4" : "bf16", R, d);
            assert_true(d <= HEAD_BOUND);
            assert_int_equal(card->sync(card->ctx), K_OK);
            void *dev[] = {h.logits, h.x, h.xn, (void *)(uintptr_t)h.norm};
            for (int i = 0; i < 4; i++) card->free(card->ctx, dev[i]);
            drop_weight(&here, &there);
            free(x), free(norm), free(xn), free(want), free(got);
        }
}

static int open_both(void **unused) {
    const char *asked = getenv("COADOR_DEVICE"), *why = "";
    if (dev_open(&cpu, "cpu", 0, &why) != K_OK) return -1;
    if (!asked || strncmp(asked, "cuda", 4)) {
        print_message("# SKIP not on a card: COADOR_DEVICE=cuda asks for it\n");
        return 0;
    }
    if (dev_open(&card, asked, 0, &why) == K_OK) return 0;
    print_message("# %s: %s\n", asked, why);
    return -1;
}
static int close_both(void **unused) {
    cpu->close(cpu);
    if (card) card->close(card);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bf16), cmocka_unit_test(test_nf4), cmocka_unit_test(test_fp4), cmocka_unit_test(test_head)};
    return cmocka_run_group_tests(tests, open_both, close_both);
}

/* Decoding with the paged cache on a tiny model: against the packed forward, against itself in other company, and its
   bookkeeping. The real model: test_parity_greedy.c. */
#include "tests/model/tiny.h"
#include "common/model/decode.h"
#include "kernels/attention.h"
#include <math.h>
#include <stdio.h>

#define V 50
#define LONG 75 /* tokens: three pages */

struct rig {
    struct dev *d;
    struct tiny *t;
    struct lora *a;
    struct decoder *dec;
};

static struct rig rig_new(const char *dev, int slots, int64_t max_tokens, int max_rows) {
    struct err e = ERR_INIT;
    struct rig g = {.d = tiny_dev(dev)};
    g.t = tiny_new(g.d);
    g.a = tiny_lora(&g.t->m, 3, 127, 42);
    g.dec = decoder_new(&g.t->m, (const struct lora *[]){g.a}, 1, slots, max_tokens, max_rows, &e);
    if (!g.dec) fail_msg("%s", e.msg);
    return g;
}

static void rig_free(struct rig *g) {
    decoder_free(g->dec);
    tiny_lora_free(g->a);
    tiny_free(g->t);
    g->d->close(g->d);
}

static int32_t token(int seq, int t) { return (int32_t)(25 + 24 * tiny_rand((uint64_t)(100 + seq), (uint64_t)t)); }

/* n tokens of sequence seq from its token `from`, into a slot; logits of all of them. */
static void feed(struct rig *g, int seq, int slot, int from, int n, float *logits) {
    struct err e = ERR_INIT;
    int32_t ids[LONG], slots[LONG], at[LONG];
    for (int i = 0; i < n; i++) ids[i] = token(seq, from + i), slots[i] = slot, at[i] = i;
    if (decoder_feed(g->dec, ids, slots, n, at, n, logits, &e) < 0) fail_msg("%s", e.msg);
}

static void assert_rows_close(const float *a, const float *b, int rows, double tol) {
    for (int i = 0; i < rows; i++) {
        double most = 0;
        for (int v = 0; v < V; v++) most = fmax(most, fabs(b[i * V + v]));
        for (int v = 0; v < V; v++)
            if (!(fabs((double)a[i * V + v] - b[i * V + v]) <= tol * most)) fail_msg("row %d logit %d: %.9g, expected %.9g", i, v, a[i * V + v], b[i * V + v]);
    }
}

/* The packed forward's logits of every token. */
static void full_logits(struct rig *g, int seq, int n, float *logits) {
    struct err e = ERR_INIT;
    int32_t ids[LONG], pos[LONG], zero[LONG] = {0}, cu[2] = {0, n};
    for (int i = 0; i < n; i++) ids[i] = token(seq, i), pos[i] = i;
    struct packed b = {.R = n, .S = 1, .M = n, .ids = ids, .pos = pos, .seq = zero, .cu = cu, .sel = pos};
    struct llama_pass *p = llama_pass_new(&g->t->m, &g->a->cfg, n, 1, false, 0, &e);
    assert_non_null(p);
    if (llama_logits(p, (const struct lora *[]){g->a}, 1, &b, logits, &e) < 0) fail_msg("%s", e.msg);
    llama_pass_free(p);
}

/* Whole prompt, pieces of a prompt, and token by token all give the packed forward's logits. */
static void check_full(const char *dev) {
    struct rig g = rig_new(dev, 3, 3 * LONG, LONG);
    static float full[LONG * V], got[LONG * V];
    static const int pieces[] = {1, 30, 1, 1, 33, 9};
    full_logits(&g, 0, LONG, full);
    feed(&g, 0, 0, 0, LONG, got);
    assert_rows_close(got, full, LONG, 1e-5);
    for (int i = 0, at = 0; i < 6; at += pieces[i++]) feed(&g, 0, 1, at, pieces[i], got + at * V);
    assert_rows_close(got, full, LONG, 1e-5);
    for (int i = 0; i < LONG; i++) feed(&g, 0, 2, i, 1, got + i * V);
    assert_rows_close(got, full, LONG, 1e-5);
    assert_int_equal(decoder_free_tokens(g.dec), 0);
    rig_free(&g);
}
static void test_equals_full_ref(void **state) { check_full("ref"); }
static void test_equals_full_cpu(void **state) { check_full("cpu"); }
static void test_equals_full_poison(void **state) { check_full("poison"); }

/* A row's logits are the same bytes alone, and among prompt pieces and tokens of other sequences in any order. */
static void test_company_does_not_matter(void **state) {
    struct rig g = rig_new("cpu", 8, 400, 64);
    struct err e = ERR_INIT;
    static float alone[8][2 * V], mixed[16 * V];
    int32_t ids[64], slot[64], at[64];
    int R = 0, M = 0;
    for (int s = 0; s < 8; s++) {
        feed(&g, s, s, 0, 1 + 3 * s, (float[25 * V]){0});
        feed(&g, s, s, 1 + 3 * s, 1, alone[s]);
        feed(&g, s, s, 2 + 3 * s, 1, alone[s] + V);
        decoder_reset(g.dec, s);
    }
    for (int s = 0; s < 8; s++) feed(&g, s, 7 - s, 0, 1 + 3 * s, (float[25 * V]){0});
    for (int s = 0; s < 8; s++) /* two tokens of each at once, interleaved with others' */
        for (int k = 0; k < 2; k++) ids[R] = token(s, 1 + 3 * s + k), slot[R] = 7 - s, at[M++] = R++;
    assert_int_equal(decoder_feed(g.dec, ids, slot, R, at, M, mixed, &e), 0);
    for (int s = 0; s < 8; s++) assert_memory_equal(alone[s], mixed + 2 * s * V, 2 * V * sizeof(float));
    rig_free(&g);
}

/* Only rows asked for, more of them than a chunk of logits, and none at all. */
static void test_rows_asked_for(void **state) {
    struct rig g = rig_new("cpu", 2, 200, LONG);
    struct err e = ERR_INIT;
    static float all[LONG * V], some[LONG * V];
    int32_t ids[LONG], slot[LONG], at[LONG];
    int M = 0;
    feed(&g, 1, 0, 0, LONG, all);
    for (int i = 0; i < LONG; i++) {
        ids[i] = token(1, i), slot[i] = 1;
        if (i % 2) at[M++] = i;
    }
    assert_int_equal(decoder_feed(g.dec, ids, slot, 40, at, 0, NULL, &e), 0);
    decoder_reset(g.dec, 1);
    assert_int_equal(decoder_feed(g.dec, ids, slot, LONG, at, M, some, &e), 0);
    for (int i = 0; i < M; i++) assert_memory_equal(some + i * V, all + at[i] * V, V * sizeof(float));
    rig_free(&g);
}

/* max_tokens is what fits, however the slots share it; one more is an error that leaves all as it was. */
static void test_full_cache(void **state) {
    struct rig g = rig_new("cpu", 5, 45, 45);
    struct err e = ERR_INIT;
    static float l[45 * V], again[V];
    int32_t ids[2] = {1, 2}, slot[2] = {3, 3};
    for (int round = 0; round < 3; round++) { /* pages come back in another order each time */
        for (int s = 0; s < 4; s++) feed(&g, s, (s + round) % 5, 0, 1, l);
        feed(&g, 4, (4 + round) % 5, 0, 40, l);
        assert_int_equal(decoder_free_tokens(g.dec), 1);
        assert_int_equal(decoder_feed(g.dec, ids, slot, 2, NULL, 0, NULL, &e), -1);
        assert_int_equal(e.code, RC_IO);
        assert_string_equal(e.msg, "the cache is full: 44 of 45 tokens, 2 more wanted; raise --max-cached-tokens");
        feed(&g, 4, (4 + round) % 5, 40, 1, round ? again : l + 40 * V);
        if (round) assert_memory_equal(again, l + 40 * V, V * sizeof(float));
        assert_int_equal(decoder_free_tokens(g.dec), 0);
        assert_int_equal(decoder_length(g.dec, (4 + round) % 5), 41);
        for (int s = 0; s < 5; s++) decoder_reset(g.dec, s);
        assert_int_equal(decoder_free_tokens(g.dec), 45);
    }
    feed(&g, 4, 2, 0, 45, l); /* one slot may take everything */
    rig_free(&g);
}

static void test_bad_id(void **state) {
    struct rig g = rig_new("cpu", 1, 10, 10);
    struct err e = ERR_INIT;
    int32_t ids[2] = {3, 50}, slot[2] = {0, 0};
    assert_int_equal(decoder_feed(g.dec, ids, slot, 2, NULL, 0, NULL, &e), -1);
    assert_int_equal(e.code, RC_INPUT);
    assert_string_equal(e.msg, "token id 50, the model has 0..49");
    assert_int_equal(decoder_length(g.dec, 0), 0);
    rig_free(&g);
}

static enum kerr no_alloc(struct kctx *k, void **p, size_t bytes) { return K_NOMEM; }

static void test_too_large(void **state) {
    struct err e = ERR_INIT;
    struct dev *d = tiny_dev("cpu");
    struct tiny *t = tiny_new(d);
    assert_null(decoder_new(&t->m, NULL, 0, 4, INT64_MAX / 2, 16, &e));
    assert_int_equal(e.code, RC_USAGE);
    assert_non_null(strstr(e.msg, "--max-cached-tokens"));
    struct dev poor = *d;
    poor.alloc = no_alloc;
    t->m.d = &poor;
    assert_null(decoder_new(&t->m, NULL, 0, 4, 1000, 16, &e));
    assert_non_null(strstr(e.msg, "memory"));
    t->m.d = d;
    tiny_free(t);
    d->close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_full_ref), cmocka_unit_test(test_equals_full_cpu), cmocka_unit_test(test_equals_full_poison),
        cmocka_unit_test(test_company_does_not_matter), cmocka_unit_test(test_rows_asked_for), cmocka_unit_test(test_full_cache),
        cmocka_unit_test(test_bad_id), cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Continuous batching over beginnings that prompts share: the same answers as without, whatever the batch, the room and the
   threads; what is shared follows from the order of the prompts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/io/buf.h"
#include "common/model/generate.h"
#include "common/model/kvcache.h"
#include "common/model/prefixes.h"
#include "kernels/attention.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROMPTS 13
#define MAX_NEW 9
#define ROOM 384 /* tokens of cache for each of a batch */

/* Of each prompt: the template it begins with, how much of that, and the tokens that follow. */
static const struct { int family, same, own; size_t shared; } cases[PROMPTS] = {
    {0, 100, 20, 0}, {0, 100, 50, 96}, {1, 70, 7, 0}, {0, 100, 3, 96}, {1, 70, 40, 64}, {1, 64, 1, 64}, {1, 64, 0, 32},
    {2, 33, 1, 0}, {0, 100, 40, 0}, {3, 20, 11, 0}, {3, 40, 60, 0}, {0, 100, 41, 96}, {3, 40, 61, 32},
};
/* 8 finds its template no more: four others came since. 6 must compute its last token itself. 9 has no whole page. */

struct prompt { int32_t ids[200]; size_t n; };

static struct prompt prompt(int i) {
    struct prompt p = {.n = (size_t)(cases[i].same + cases[i].own)};
    for (size_t t = 0; t < p.n; t++) {
        bool same = (int)t < cases[i].same;
        p.ids[t] = (int32_t)(33 + (uint32_t)(same ? 7 + cases[i].family : 1000 + i) * 2654435761u % 89 * (t + 3) % 83);
    }
    return p;
}

struct rig {
    struct dev *d;
    struct model *m;
};

static struct rig rig_new(const char *device, int threads) {
    struct err e = ERR_INIT;
    struct rig r;
    const char *why = "", *src = getenv("SRC");
    if (dev_open(&r.d, device, threads, &why) != K_OK) fail_msg("%s", why);
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/data/train/tiny", src ? src : ".");
    if (!(r.m = model_open(path, r.d, BASE_KEEP, &e))) fail_msg("%s", e.msg);
    return r;
}

static void rig_free(struct rig *r) {
    model_close(r->m);
    r->d->close(r->d);
}

static struct generator *generator(struct rig *r, int slots, int64_t max_cached) {
    struct err e = ERR_INIT;
    const struct gen_options o = {.slots = slots, .max_cached = max_cached, .max_new = MAX_NEW, .sampling = {1.3, 0, 1, 1, 5}};
    struct generator *g = generator_new(r->m, NULL, 0, &o, &e);
    if (!g) fail_msg("%s", e.msg);
    return g;
}

static void submit(struct generator *g, int i) {
    struct err e = ERR_INIT;
    struct prompt p = prompt(i);
    assert_int_equal(generator_submit(g, p.ids, p.n, (uint64_t)i, &e), 0);
}

static void collect(struct generator *g, struct gen_answer **out) {
    for (struct gen_answer *a; (a = generator_take(g));) out[a->number] = a;
}

/* Each in a generator of its own: nothing is shared. */
static void answers_alone(struct rig *r, struct gen_answer **out) {
    struct err e = ERR_INIT;
    for (int i = 0; i < PROMPTS; i++) {
        struct generator *g = generator(r, 1, ROOM);
        for (submit(g, i); generator_active(g);) assert_int_equal(generator_step(g, &e), 0);
        collect(g, out);
        assert_int_equal(out[i]->n_shared, 0);
        generator_free(g);
    }
}

static void answers_together(struct rig *r, int slots, int64_t max_cached, struct gen_answer **out) {
    struct err e = ERR_INIT;
    struct generator *g = generator(r, slots, max_cached);
    for (int next = 0; next < PROMPTS || generator_active(g);) {
        for (; next < PROMPTS; submit(g, next++)) {
            struct prompt p = prompt(next);
            if (!generator_ready(g, p.ids, p.n)) break;
        }
        if (!generator_active(g)) fail_msg("prompt %d of %d never starts", next, PROMPTS);
        assert_int_equal(generator_step(g, &e), 0);
        collect(g, out);
    }
    generator_free(g);
}

static void forget(struct gen_answer **a) {
    for (int i = 0; i < PROMPTS; i++) gen_answer_free(a[i]);
}

static void compare(struct rig *r, struct gen_answer **alone, int slots, int64_t max_cached, bool all) {
    struct gen_answer *got[PROMPTS] = {0};
    answers_together(r, slots, max_cached, got);
    for (int i = 0; i < PROMPTS; i++) {
        assert_int_equal(got[i]->ids.n, alone[i]->ids.n);
        assert_memory_equal(got[i]->ids.v, alone[i]->ids.v, alone[i]->ids.n * sizeof(int32_t));
        if (all && got[i]->n_shared != cases[i].shared) fail_msg("batch %d: prompt %d shares %zu, expected %zu", slots, i, got[i]->n_shared, cases[i].shared);
    }
    forget(got);
}

static void check(const char *device) {
    struct gen_answer *alone[PROMPTS] = {0};
    struct rig r = rig_new(device, 1);
    answers_alone(&r, alone);
    for (int slots = 1; slots <= 8; slots++) compare(&r, alone, slots, slots * (int64_t)ROOM, true);
    for (int64_t room = 192; room <= 640; room += 24) compare(&r, alone, 4, room, false); /* records wait, prefixes give way */
    rig_free(&r);
    r = rig_new(device, 3);
    compare(&r, alone, 5, 5 * ROOM, true);
    rig_free(&r);
    forget(alone);
}
static void test_same_answers_cpu(void **state) { check("cpu"); }
static void test_same_answers_poison(void **state) { check("poison"); }

/* One page of a cache is counted once however many hold it, and is free when the last lets go. */
static void test_pages(void **state) {
    struct err e = ERR_INIT;
    struct kvcache c;
    assert_int_equal(kvcache_init(&c, 3, 4 * KV_BLOCK, &e), 0);
    kvcache_extend(&c, 0, 2 * KV_BLOCK + 5);
    kvcache_share(&c, 1, 0, 2 * KV_BLOCK);
    kvcache_share(&c, 2, 1, KV_BLOCK);
    assert_memory_equal(c.table + c.max_pages, c.table, 2 * sizeof *c.table);
    assert_int_equal(c.tokens, 2 * KV_BLOCK + 5);
    kvcache_extend(&c, 1, 7);
    assert_int_not_equal(c.table[c.max_pages + 2], c.table[2]);
    kvcache_truncate(&c, 0, 0);
    assert_int_equal(c.tokens, 2 * KV_BLOCK + 7);
    kvcache_truncate(&c, 1, KV_BLOCK);
    assert_int_equal(c.tokens, KV_BLOCK);
    assert_int_equal(c.n_free, c.n_pages - 1);
    kvcache_truncate(&c, 2, 0);
    kvcache_truncate(&c, 1, 0);
    assert_int_equal(c.tokens, 0);
    assert_int_equal(c.n_free, c.n_pages);
    kvcache_release(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pages), cmocka_unit_test(test_same_answers_cpu), cmocka_unit_test(test_same_answers_poison)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Answers under a schema, sampled in every way: all fit it, and prompts share their beginnings alike on every device. On the CPU, and where
   COADOR_DEVICE is cuda on the card too, which chooses the tokens itself. The model is tiny, of random weights; its every byte is a token. */
#include "common/io/json.h"
#include "common/model/generate.h"
#include "common/text/asked.h"
#include "common/text/schema.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ANSWERS = 60, SLOTS = 7, NEW = 70, SAME = 75, LENGTH = 90 };
static const struct sampling ways[] = {{0, 0, 1, 1, 3}, {1.5, 0, 1, 1, 3}, {1, 0, 0.9, 1, 3}, {2, 20, 0.95, 1.2, 3}, {0, 0, 1, 1.3, 3}};
enum { WAYS = sizeof ways / sizeof *ways };
static const char schema[] = "{\"type\":\"object\",\"properties\":{\"why\":{\"type\":\"string\",\"minLength\":1},\"n\":{\"type\":\"integer\",\"minimum\":-5,\"maximum\":12},"
    "\"f\":{\"enum\":[\"positive\",\"negative\",\"neutral\"]}},\"required\":[\"why\",\"n\",\"f\"],\"additionalProperties\":false}";

struct rig {
    struct dev *d;
    struct model *m;
    struct vocab *v;
    struct schema *s;
    struct constraint *c;
};

static void rig_open(struct rig *r, const char *device) {
    struct err e = ERR_INIT;
    const char *why = "", *src = getenv("SRC");
    char path[4096];
    if (dev_open(&r->d, device, 1, &why) != K_OK) fail_msg("%s: %s", device, why);
    snprintf(path, sizeof path, "%s/tests/data/train/tiny", src ? src : ".");
    if (!(r->m = model_open(path, r->d, BASE_KEEP, &e)) || !(r->s = schema_compile(schema, strlen(schema), "schema", &e))) fail_msg("%s", e.msg);
    r->v = vocab_new(r->m->tok);
    struct asked ask = {.schema = r->s, .schema_file = "schema", .prefix = " "};
    struct grammar *g = asked_grammar(&ask, vocab_bytes(r->v), &e);
    if (!g) fail_msg("%s", e.msg);
    r->c = constraint_new(g, r->v, r->m->tok);
}

static void rig_close(struct rig *r) {
    constraint_free(r->c);
    vocab_free(r->v);
    schema_free(r->s);
    model_close(r->m);
    r->d->close(r->d);
}

static void check(struct rig *r, const struct gen_answer *a) {
    struct err e = ERR_INIT;
    struct json_doc *doc = json_parse(a->text.p, a->text.n, &e);
    if (!doc || schema_validate(r->s, json_root(doc), &e) < 0) fail_msg("answer %d, %.*s: %s", (int)a->number, (int)a->text.n, a->text.p, e.msg);
    assert_true(a->finish == FINISH_STOP || a->finish == FINISH_SCHEMA);
    assert_in_range(a->ids.n, 1, NEW);
    json_doc_free(doc);
}

static void submit(struct generator *g, int *next) {
    struct err e = ERR_INIT;
    int32_t ids[LENGTH];
    for (; *next < ANSWERS; ++*next) {
        for (int t = 0; t < LENGTH; t++) ids[t] = 40 + (t < SAME ? t : *next * 13 + t) % 50;
        if (!generator_ready(g, ids, LENGTH)) return;
        if (generator_submit(g, ids, LENGTH, (uint64_t)*next, &e) < 0) fail_msg("%s", e.msg);
    }
}

/* All answers, by number; they are valid. */
static void answers(struct rig *r, const struct sampling *how, struct gen_answer **out) {
    struct err e = ERR_INIT;
    struct gen_options o = {.slots = SLOTS, .max_cached = SLOTS * 320, .max_new = NEW, .sampling = *how, .constraint = r->c};
    struct generator *g = generator_new(r->m, NULL, 0, &o, &e);
    int next = 0;
    if (!g) fail_msg("%s", e.msg);
    for (submit(g, &next); generator_active(g); submit(g, &next)) {
        if (generator_step(g, &e) < 0) fail_msg("%s", e.msg);
        for (struct gen_answer *a; (a = generator_take(g));) check(r, out[a->number] = a);
    }
    assert_int_equal(next, ANSWERS);
    generator_free(g);
}

static int different(struct gen_answer *const *a) {
    int n = 0;
    for (int i = 0; i < ANSWERS; i++) {
        bool again = false;
        for (int k = 0; k < i; k++) again |= !strcmp(a[k]->text.p, a[i]->text.p);
        n += !again;
    }
    return n;
}

static void run(const char *device) {
    struct rig r;
    rig_open(&r, device);
    for (int w = 0; w < WAYS; w++) {
        struct gen_answer *a[ANSWERS] = {0};
        answers(&r, &ways[w], a);
        print_message("# %s, way %d: %d different answers\n", r.d->name, w, different(a));
        if (ways[w].temperature > 0) assert_in_range(different(a), ANSWERS / 2, ANSWERS);
        for (int i = 0; i < ANSWERS; i++) assert_int_equal(a[i]->n_shared, i ? SAME / 32 * 32 : 0);
        for (int i = 0; i < ANSWERS; i++) gen_answer_free(a[i]);
    }
    rig_close(&r);
}

static void test_cpu(void **state) { run("cpu"); }
static void test_card(void **state) {
    const char *asked = getenv("COADOR_DEVICE");
    if (!asked || strncmp(asked, "cuda", 4)) skip();
    run(asked);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cpu), cmocka_unit_test(test_card)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

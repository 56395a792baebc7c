/* Votes, agreement, completions, pace: against tables worked out by hand. (Whole runs: tests/tools/t3-distill-label-votes.sh.) */
#include "common/label/agree.h"
#include "common/label/pace.h"
#include "common/label/task.h"
#include "common/label/vote.h"
#include "scratch.h"
#include <math.h>

static const char schema[] = "{\"type\":\"object\",\"properties\":{\"f\":{\"type\":\"object\",\"properties\":{\"p\":{\"enum\":[\"A\",\"B\",\"C\"]},\"e\":{\"enum\":[\"X\",\"Y\"]}}},"
                             "\"a.b\":{\"enum\":[\"U\",\"V\"]},\"n\":{\"type\":\"number\"}},\"required\":[\"f\"]}";

struct votes {
    struct schema *s;
    struct vote v;
    struct json_doc *docs[8];
    const struct json *answers[8];
};

static void count(struct votes *x, const char *const *texts, int n) {
    struct err e = ERR_INIT;
    x->s = schema_compile(schema, sizeof schema - 1, "schema", &e);
    assert_non_null(x->s);
    vote_init(&x->v, x->s);
    for (int i = 0; i < n; i++) {
        x->docs[i] = texts[i] ? json_parse(texts[i], strlen(texts[i]), &e) : NULL;
        x->answers[i] = texts[i] ? json_root(x->docs[i]) : NULL;
    }
    vote_count(&x->v, x->s, x->answers, n);
}

static void release(struct votes *x, int n) {
    for (int i = 0; i < n; i++) json_doc_free(x->docs[i]);
    vote_release(&x->v);
    schema_free(x->s);
}

static void is_put(struct votes *x, const char *expected) {
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    assert_int_equal(vote_put(&x->v, x->s, x->answers[x->v.kept], &b, &e), 0);
    assert_string_equal(b.p, expected);
    buf_release(&b);
}

static void test_majority(void **state) {
    const char *const texts[] = {"{\"f\":{\"p\":\"A\",\"e\":\"X\"},\"n\":1}", NULL, "{\"n\":2,\"f\":{\"p\":\"B\",\"e\":\"Y\"}}", "{\"f\":{\"p\":\"B\",\"e\":\"Y\"},\"n\":3}"};
    struct votes x = {0};
    count(&x, texts, 4);
    assert_int_equal(x.v.asked, 4);
    assert_int_equal(x.v.valid, 3);
    assert_int_equal(x.v.n_fields, 3);
    assert_int_equal(x.v.label[0], 1);
    assert_int_equal(x.v.votes[0], 2);
    assert_int_equal(x.v.label[2], 2); /* a.b: all say nothing */
    assert_int_equal(x.v.votes[2], 3);
    assert_int_equal(x.v.kept, 2);
    assert_int_equal(x.v.agreeing, 3);
    is_put(&x, "{\"n\":2,\"f\":{\"p\":\"B\",\"e\":\"Y\"}}");
    release(&x, 4);
}

/* p: B 2, A 2, tie: the first answer said A. e: Y 3. Nobody said A and Y; the first with one of them is kept and mended. */
static void test_tie_and_mixture(void **state) {
    const char *const texts[] = {"{\"f\":{\"p\":\"A\",\"e\":\"X\"}}", "{\"f\":{\"p\":\"B\",\"e\":\"Y\"}}", "{\"f\":{\"p\":\"A\",\"e\":\"X\"}}", "{\"f\":{\"p\":\"B\",\"e\":\"Y\"}}",
                                 "{\"f\":{\"p\":\"C\",\"e\":\"Y\"}}"};
    struct votes x = {0};
    count(&x, texts, 5);
    assert_int_equal(x.v.label[0], 0);
    assert_int_equal(x.v.votes[0], 2);
    assert_int_equal(x.v.label[1], 1);
    assert_int_equal(x.v.votes[1], 3);
    assert_int_equal(x.v.kept, 0);
    assert_int_equal(x.v.agreeing, 2);
    is_put(&x, "{\"f\":{\"p\":\"A\",\"e\":\"Y\"}}");
    release(&x, 5);
}

static void test_missing_members(void **state) {
    const char *const texts[] = {"{\"a.b\":\"U\",\"f\":{\"p\":\"A\",\"e\":\"X\"}}", "{\"f\":{\"p\":\"B\",\"e\":\"Y\"}}", "{\"f\":{\"p\":\"A\",\"e\":\"Y\"}}"};
    struct votes x = {0};
    count(&x, texts, 3); /* A, Y, no a.b: the third agrees */
    assert_int_equal(x.v.label[2], 2);
    assert_int_equal(x.v.kept, 2);
    x.v.kept = 0;
    is_put(&x, "{\"f\":{\"p\":\"A\",\"e\":\"Y\"}}"); /* the member goes */
    x.v.label[2] = 1;
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    assert_int_equal(vote_put(&x.v, x.s, x.answers[1], &b, &e), -1);
    assert_err(&e, RC_INPUT, "differ in which members they have: a.b");
    buf_release(&b);
    release(&x, 3);
}

static void test_nothing_valid(void **state) {
    const char *const texts[] = {NULL, NULL};
    struct votes x = {0};
    count(&x, texts, 2);
    assert_int_equal(x.v.valid, 0);
    assert_int_equal(x.v.kept, -1);
    release(&x, 2);
}

/* Krippendorff (2011), example C: four observers, twelve units, five values, missing data: alpha nominal 0.743. */
static void test_alpha(void **state) {
    static const int observers[4][12] = {{1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0}, {1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3},
                                         {0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0}, {1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0}};
    struct agree g;
    int64_t rows;
    agree_init(&g, 5, 4);
    for (int u = 0; u < 12; u++) {
        int label[4];
        for (int o = 0; o < 4; o++) label[o] = observers[o][u] - 1;
        agree_add(&g, label);
    }
    double alpha = agree_alpha(&g);
    assert_true(fabs(alpha - 0.743) < 5e-4);
    /* observers 1 and 4 label nine units together and differ in one (the sixth: 1 against 4); the first has 3 1s, 3 2s, 2 3s and
       one 4, the last 2, 3, 2 and 2: by chance 3*2 + 3*3 + 2*2 + 1*2 = 21 of 81 */
    double kappa = agree_kappa(&g, 0, 3, &rows);
    assert_int_equal(rows, 9);
    assert_true(fabs(kappa - (8. / 9 - 21. / 81) / (1 - 21. / 81)) < 1e-12);
    agree_release(&g);
}

static void test_alpha_undefined(void **state) {
    struct agree g;
    int64_t rows;
    const int same[2] = {1, 1}, one[2] = {1, -1};
    agree_init(&g, 3, 2);
    assert_true(isnan(agree_alpha(&g)));
    agree_add(&g, one);
    assert_true(isnan(agree_kappa(&g, 0, 1, &rows)));
    agree_add(&g, same);
    agree_add(&g, same);
    assert_true(isnan(agree_alpha(&g)));
    assert_true(isnan(agree_kappa(&g, 0, 1, &rows)));
    assert_int_equal(rows, 2);
    agree_release(&g);
}

static void test_completion(void **state) {
    static const char labels[] = "{\"type\":\"object\",\"properties\":{\"b\":{\"enum\":[\"x\"]},\"a\":{\"enum\":[\"y\"]}},\"required\":[\"b\",\"a\"],\"additionalProperties\":false}";
    const char *path = scratch_file("labels.json", labels, sizeof labels - 1);
    for (int last = 0; last < 2; last++) {
        struct label_task t;
        struct err e = ERR_INIT;
        struct buf b = BUF_INIT;
        if (label_task_init(&t, path, "why", last, &e)) fail_msg("%s", e.msg);
        assert_string_equal(t.told,
                            last ? "{\"type\":\"object\",\"properties\":{\"b\":{\"enum\":[\"x\"]},\"a\":{\"enum\":[\"y\"]},\"why\":{\"type\":\"string\"}},\"additionalProperties\":false,\"required\":[\"b\",\"a\",\"why\"]}"
                                 : "{\"type\":\"object\",\"properties\":{\"why\":{\"type\":\"string\"},\"b\":{\"enum\":[\"x\"]},\"a\":{\"enum\":[\"y\"]}},\"additionalProperties\":false,\"required\":[\"why\",\"b\",\"a\"]}");
        static const char answer[] = "{\"a\":\"y\",\"why\":\"s\\u00f3 \\\"q\\\"\",\"b\":\"x\"}";
        struct json_doc *d = json_parse(answer, sizeof answer - 1, &e);
        if (!d) fail_msg("%s", e.msg);
        assert_int_equal(schema_validate(t.asked, json_root(d), &e), 0);
        struct json_doc *empty = json_parse("{\"b\":\"x\",\"a\":\"y\",\"why\":\"\"}", 26, &e);
        assert_non_null(empty);
        assert_int_equal(schema_validate(t.asked, json_root(empty), &e), -1); /* no reasoning at all */
        json_doc_free(empty);
        label_put(&t, json_root(d), label_reasoning(&t, json_root(d)), &b);
        assert_string_equal(b.p, last ? "{\"b\":\"x\",\"a\":\"y\",\"why\":\"só \\\"q\\\"\"}" : "{\"why\":\"só \\\"q\\\"\",\"b\":\"x\",\"a\":\"y\"}");
        buf_clear(&b);
        label_put(&t, json_root(d), NULL, &b);
        assert_string_equal(b.p, "{\"b\":\"x\",\"a\":\"y\"}");
        buf_release(&b);
        json_doc_free(d);
        label_task_release(&t);
    }
}

static void test_pace(void **state) {
    struct pace p = {.requests = 60, .tokens = 6000};
    assert_true(pace_wait(&p, 1000) == 0);
    pace_start(&p, 1000, 50);
    assert_true(fabs(pace_wait(&p, 1000) - (1 - PACE_SLACK)) < 1e-9); /* one a second beats 50 tokens at 100 a second */
    pace_correct(&p, 250);
    assert_true(fabs(pace_wait(&p, 1000) - (3 - PACE_SLACK)) < 1e-9); /* 300 tokens take three seconds */
    int started = 0; /* in the minute from 2000 on, asking every millisecond */
    for (int ms = 0; ms < 60000; ms++)
        if (!(pace_wait(&p, 2000 + ms * 1e-3) > 0)) pace_start(&p, 2000 + ms * 1e-3, 1), started++;
    assert_in_range(started, 59, 61);
    struct pace none = {0};
    pace_start(&none, 0, 1e9);
    assert_true(pace_wait(&none, 0) == 0);
}

static void test_backoff(void **state) {
    for (int tries = 1; tries < 100; tries++)
        for (uint64_t seed = 0; seed < 50; seed++) {
            double full = tries < 7 ? ldexp(1, tries - 1) : 60, wait = backoff(1, 60, tries, 0, seed * 0x9E3779B97F4A7C15u);
            if (full > 60) full = 60;
            assert_true(wait >= full / 2 && wait < full);
        }
    assert_true(backoff(1, 60, 1, 17, 5) == 17);
    assert_true(backoff(1, 60, 1, 0, 1) != backoff(1, 60, 1, 0, UINT64_MAX));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_majority), cmocka_unit_test(test_tie_and_mixture), cmocka_unit_test(test_missing_members),
                                       cmocka_unit_test(test_nothing_valid), cmocka_unit_test(test_alpha), cmocka_unit_test(test_alpha_undefined),
                                       cmocka_unit_test(test_completion), cmocka_unit_test(test_pace), cmocka_unit_test(test_backoff)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

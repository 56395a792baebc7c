/* json-schema-org/JSON-Schema-Test-Suite (commit in test_schema.c), draft 2020-12, required tests and formats: no grammar takes
   an instance that is marked invalid, however it is written; of the valid ones most are taken as they stand in the files, the
   rest being written in another way than the grammar does (members in another order, 1.0 for 1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "suite.h"
#include "common/text/grammar.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct counts {
    bool assert_format, lenient;
    int valid, taken, invalid, refused, left_out; /* refused, left_out: schemas */
};

static bool accepts(struct grammar *g, const char *s, size_t n) {
    uint32_t state = grammar_start(g);
    for (size_t i = 0; i < n && state != GRAMMAR_DEAD; i++) state = grammar_byte(g, state, (unsigned char)s[i]);
    return state != GRAMMAR_DEAD && grammar_done(g, state);
}

/* The members of every object behind each other from the last to the first. */
static void put_backwards(struct buf *b, const struct json *v) {
    const struct json *all[64];
    size_t n = 0;
    if (v->type < JSON_ARRAY || v->count > 64) {
        json_put_value(b, v);
        return;
    }
    for (const struct json *x = v->first; x; x = x->next) all[n++] = x;
    buf_addc(b, v->type == JSON_ARRAY ? '[' : '{');
    for (size_t i = 0; i < n; i++) {
        const struct json *x = all[v->type == JSON_ARRAY ? i : n - 1 - i];
        if (i) buf_addc(b, ',');
        if (x->key) json_put_string(b, x->key, x->key_len), buf_addc(b, ':');
        put_backwards(b, x);
    }
    buf_addc(b, v->type == JSON_ARRAY ? ']' : '}');
}

static void instance(struct grammar *g, const char *file, const struct json *group, const struct json *t, struct counts *n) {
    struct buf written = BUF_INIT, back = BUF_INIT;
    const struct json *data = json_get(t, "data");
    bool valid = json_get(t, "valid")->truth;
    json_put_value(&written, data);
    put_backwards(&back, data);
    bool taken = accepts(g, written.p, written.n) || accepts(g, back.p, back.n) || accepts(g, data->raw, data->raw_len);
    n->valid += valid;
    n->invalid += !valid;
    n->taken += valid && taken;
    if (taken && !valid && !n->lenient) fail_msg("%s, %s, %s: taken though invalid: %s", file, json_get(group, "description")->str, json_get(t, "description")->str, written.p);
    if (valid && !taken && getenv("VERBOSE")) print_message("# not taken: %s, %s, %s: %s\n", file, json_get(group, "description")->str, json_get(t, "description")->str, written.p);
    buf_release(&written);
    buf_release(&back);
}

static void suite_group(const char *file, const struct json *group, void *arg) {
    struct counts *n = arg;
    struct err e = ERR_INIT;
    const struct json *text = json_get(group, "schema");
    struct schema_options so = {.annotate_format = !n->assert_format};
    struct grammar_options o = {.prefix = "", .lenient = n->lenient};
    struct schema *s = schema_compile_with(text->raw, text->raw_len, file, &so, &e);
    struct grammar *g = s ? grammar_from_schema(s, &o, &e) : NULL;
    if (s && !g && !strstr(e.msg, "no answer fits")) {
        n->refused++;
        if (getenv("VERBOSE") || n->lenient) print_message("# %s, %s: %s\n", file, json_get(group, "description")->str, e.msg);
    }
    if (g) n->left_out += grammar_n_left_out(g) > 0;
    for (const struct json *t = json_get(group, "tests")->first; g && t; t = t->next) instance(g, file, group, t, n);
    grammar_free(g);
    schema_free(s);
}

static void run(struct counts *n, bool formats) {
    char *draft = suite_draft(), *dir = io_join(draft, formats ? "optional/format" : "");
    suite_each(dir, formats ? suite_formats : NULL, suite_group, n);
    free(dir);
    free(draft);
    print_message("# %d invalid, %s; %d of %d valid taken as they stand; schemas: %d refused, %d kept in part\n", n->invalid, n->lenient ? "taken or not" : "none taken", n->taken, n->valid, n->refused, n->left_out);
}

static void test_required(void **unused) {
    struct counts n = {0};
    run(&n, false);
    assert_true(n.invalid >= 330);
    assert_true(n.taken * 10 >= n.valid * 9);
}

static void test_formats(void **unused) {
    struct counts n = {.assert_format = true};
    run(&n, true);
    assert_true(n.invalid >= 260);
    assert_int_equal(n.valid - n.taken, 21); /* leap seconds beyond Z, Punycode */
}

/* With keywords left out every schema that the validator reads can be used. */
static void test_lenient(void **unused) {
    struct counts n = {.lenient = true};
    run(&n, false);
    assert_int_equal(n.refused, 0);
    assert_true(n.left_out > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_required), cmocka_unit_test(test_formats), cmocka_unit_test(test_lenient)};
    return cmocka_run_group_tests_name("grammar-suite", tests, NULL, NULL);
}

/* Answers as text and truth: those that are JSON whatever the cells say, and those that are read row by row. */
#include "common/text/answer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static const struct cell names[] = {{"a", 1}, {"b", 1}, {"n", 1}, {"m", 1}};
static const struct cell cells[] = {{"x", 1}, {"d\"\\\n\x01", 5}, {"1.50", 4}, {TEMPLATE_MARK "0" TEMPLATE_MARK, 7}};
static const struct columns columns = {names, 4, NULL, 0};

static struct template *parse(const char *text) {
    struct err e = ERR_INIT;
    struct template *t = template_parse(text, strlen(text), "t.txt", &e);
    if (!t || template_bind(t, &columns, &e) < 0) fail_msg("%s", e.msg);
    return t;
}

/* Twice, as for two rows. */
static void reads(const char *template, enum answer_style style, const char *text, const char *truth) {
    struct err e = ERR_INIT;
    struct template *t = parse(template);
    struct answer *a = answer_new("completion", t, style);
    for (int i = 0; i < 2; i++) {
        struct buf b = BUF_INIT, chars = BUF_INIT, expected = BUF_INIT, v = BUF_INIT;
        if (answer_read(a, cells, &e) < 0) fail_msg("%s: %s", template, e.msg);
        answer_text(a, &b);
        assert_string_equal(b.p, text);
        answer_text_chars(a, &chars);
        json_put_chars(&expected, b.p, b.n);
        assert_string_equal(chars.p, expected.p);
        answer_truth(a, &v);
        assert_string_equal(v.p, truth);
        buf_release(&b);
        buf_release(&chars);
        buf_release(&expected);
        buf_release(&v);
    }
    answer_free(a);
    template_free(t);
}

static void refuses(const char *template, enum answer_style style, const char *expected) {
    struct err e = ERR_INIT;
    struct template *t = parse(template);
    struct answer *a = answer_new("completion", t, style);
    assert_int_equal(answer_read(a, cells, &e), -1);
    assert_string_equal(e.msg, expected);
    answer_free(a);
    template_free(t);
}

static void test_strings(void **state) {
    reads("{{\"a\": {a|json}}}", ANSWER_COMPACT, "{\"a\":\"x\"}", "{\"a\":\"x\"}");
    reads(" \n{{\"a\": [{a|json}, {b|json} ,{a|json}]}}\t", ANSWER_COMPACT, " \n{\"a\":[\"x\",\"d\\\"\\\\\\n\\u0001\",\"x\"]}\t",
          "{\"a\":[\"x\",\"d\\\"\\\\\\n\\u0001\",\"x\"]}");
    reads("{b|json}", ANSWER_COMPACT, "\"d\\\"\\\\\\n\\u0001\"", "\"d\\\"\\\\\\n\\u0001\"");
    reads("[1.0, \"\\u00e9\\/\", {a|json}]", ANSWER_COMPACT, "[1.0,\"é/\",\"x\"]", "[1.0,\"é/\",\"x\"]");
    reads("[1.0, \"\\u00e9\", {a|json}]", ANSWER_PYTHON, "[1.0, \"é\", \"x\"]", "[1.0,\"é\",\"x\"]");
    reads("[1.0, \"\\u00e9\" ,{a|json}]", ANSWER_VERBATIM, "[1.0, \"\\u00e9\" ,\"x\"]", "[1.0,\"é\",\"x\"]");
    reads("[{a|json}, {b|json}]", ANSWER_NOTEBOOK, "['x', 'd\"\\\\\\n\\x01']", "[\"x\",\"d\\\"\\\\\\n\\u0001\"]");
    reads("[true]", ANSWER_COMPACT, "[true]", "[true]");
}

/* A mark in a cell, in the template, behind an escape: the answer is the same. */
static void test_marks(void **state) {
    reads("[{m|json}, {a|json}]", ANSWER_COMPACT, "[\"" TEMPLATE_MARK "0" TEMPLATE_MARK "\",\"x\"]",
          "[\"" TEMPLATE_MARK "0" TEMPLATE_MARK "\",\"x\"]");
    reads("[\"" TEMPLATE_MARK "1" TEMPLATE_MARK "\", {a|json}]", ANSWER_COMPACT, "[\"" TEMPLATE_MARK "1" TEMPLATE_MARK "\",\"x\"]",
          "[\"" TEMPLATE_MARK "1" TEMPLATE_MARK "\",\"x\"]");
    reads("[\"\\ue0001\\ue000\", {a|json}]", ANSWER_COMPACT, "[\"" TEMPLATE_MARK "1" TEMPLATE_MARK "\",\"x\"]",
          "[\"" TEMPLATE_MARK "1" TEMPLATE_MARK "\",\"x\"]");
    reads("[{a|json}, \"\\ue000\"]", ANSWER_COMPACT, "[\"x\",\"" TEMPLATE_MARK "\"]", "[\"x\",\"" TEMPLATE_MARK "\"]");
}

static void test_row_by_row(void **state) {
    reads("{{\"n\": {n}}}", ANSWER_COMPACT, "{\"n\":1.50}", "{\"n\":1.50}");
    reads("{{{a|json}: 1, {b|json}: {{}}}}", ANSWER_COMPACT, "{\"x\":1,\"d\\\"\\\\\\n\\u0001\":{}}", "{\"x\":1,\"d\\\"\\\\\\n\\u0001\":{}}");
    refuses("{{{a|json}: 1, {a|json}: 2}}", ANSWER_COMPACT,
            "the completion is not JSON (line 1 column 10: duplicate key \"x\"), expected JSON as t.txt starts with { (write text as {column|json})");
    refuses("{{\"a\": \"{a|json}\"}}", ANSWER_COMPACT,
            "the completion is not JSON (line 1 column 9: expected , or } in an object), expected JSON as t.txt starts with { (write text as {column|json})");
    refuses("{a}", ANSWER_NOTEBOOK,
            "the completion is not JSON (line 1 column 1: unexpected character, expected a value), expected JSON for --notebook-quotes");
    reads(" It is {a|json}. ", ANSWER_COMPACT, " It is \"x\". ", "\"It is \\\"x\\\".\"");
    reads(" {n} ", ANSWER_COMPACT, " 1.50 ", "1.50");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_strings), cmocka_unit_test(test_marks), cmocka_unit_test(test_row_by_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

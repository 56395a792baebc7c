/* JSON as Python prints it, against Python itself: tests/data/csv/pyrepr.jsonl (tests/oracle/pyrepr.py). */
#include "common/io/io.h"
#include "common/text/pyrepr.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void test_python(void **state) {
    struct err e = ERR_INIT;
    struct in in;
    struct buf b = BUF_INIT;
    int64_t n;
    int cases = 0;
    assert_int_equal(in_open(&in, "tests/data/csv/pyrepr.jsonl", &e), 0);
    while ((n = in_line(&in, &e)) >= 0) {
        struct json_doc *d = json_parse(in.text, (size_t)n, &e);
        if (!d) fail_msg("%s", e.msg);
        const struct json *text = json_get(json_root(d), "json"), *expected = json_get(json_root(d), "str");
        struct json_doc *value = json_parse(text->str, text->len, &e);
        if (!value) fail_msg("%s", e.msg);
        buf_clear(&b);
        pyrepr(&b, json_root(value));
        if (b.n != expected->len || memcmp(b.p, expected->str, b.n)) fail_msg("line %d: %s, expected %s", cases + 1, b.p, expected->str);
        json_doc_free(value);
        json_doc_free(d);
        cases++;
    }
    assert_int_equal(cases, 202);
    in_close(&in);
    buf_release(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_python)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Records: source bytes kept, fields spliced in, and what the reader says of broken lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/io/jsonl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct record *record(const char *line) {
    struct err e = ERR_INIT;
    struct record *r = record_parse(line, strlen(line), &e);
    if (!r) fail_msg("%s: %s", line, e.msg);
    return r;
}

/* Checks the line that r writes, and that it is a record again; frees r. */
static void writes(struct record *r, const char *line) {
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    record_put(r, &b);
    assert_int_equal(b.p[b.n - 1], '\n');
    b.p[b.n - 1] = 0;
    assert_string_equal(b.p, line);
    struct json_doc *d = json_parse(b.p, b.n - 1, &e);
    if (!d) fail_msg("%s: %s", line, e.msg);
    json_doc_free(d);
    buf_release(&b);
    record_free(r);
}

static void test_untouched(void **unused) {
    static const char *const lines[] = {"{}", " { } ", "{ \"id\" : 1 ,\t\"x\":[1, 2.50 ,\"\\u00e9\\/\"] }\r", "{\"a\":{\"b\":  1e5}}"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) writes(record(lines[i]), lines[i]);
}

static void test_set(void **unused) {
    static const char source[] = "{ \"id\" : 1 , \"a\\u0062\":[1, 2.50] ,\"z\":\"q\" } \r";
    struct record *r = record(source);
    record_set_str(r, "id", "x\"y", 3);
    writes(r, "{ \"id\" : \"x\\\"y\" , \"a\\u0062\":[1, 2.50] ,\"z\":\"q\" } \r");
    r = record(source);
    record_set_null(r, "ab");
    record_set_number(r, "new", 0.1);
    record_set_raw(r, "raw", "{\n \"k\": [1,\r\n 2.50]}", 20);
    record_set_number(r, "new", 2);
    writes(r, "{ \"id\" : 1 , \"a\\u0062\":null ,\"z\":\"q\",\"new\":2,\"raw\":{\"k\":[1,2.50]} } \r");
    r = record(" {}");
    record_set_null(r, "a");
    record_set_null(r, "b");
    writes(r, " {\"a\":null,\"b\":null}");
    r = record_new();
    record_set_str(r, "a\n", "\0", 1);
    assert_int_equal(record_line(r), 0);
    writes(r, "{\"a\\n\":\"\\u0000\"}");
}

static void test_delete(void **unused) {
    static const char *const left[] = {"{ }", "{ \"c\":3 }", "{ \"b\":2 }", "{ \"b\":2,\"c\":3 }", "{ \"a\":1 }", "{ \"a\":1,\"c\":3 }", "{ \"a\":1, \"b\":2 }", "{ \"a\":1, \"b\":2,\"c\":3 }"};
    for (int mask = 0; mask < 8; mask++)
        for (int add = 0; add < 2; add++) {
            struct record *r = record("{ \"a\":1, \"b\":2,\"c\":3 }");
            if (!(mask & 4)) record_del(r, "a");
            if (!(mask & 2)) record_del(r, "b");
            if (!(mask & 1)) record_del(r, "c");
            record_del(r, "no such");
            if (add) record_set_null(r, "d"), record_set_null(r, "e"), record_del(r, "d");
            struct buf b = BUF_INIT;
            record_put(r, &b);
            struct record *again = record_parse(b.p, b.n, NULL);
            assert_non_null(again);
            assert_int_equal(record_get(again, "a") != NULL, mask >> 2 & 1);
            assert_int_equal(record_get(again, "b") != NULL, mask >> 1 & 1);
            assert_int_equal(record_get(again, "c") != NULL, mask & 1);
            assert_int_equal(record_get(again, "e") != NULL, add);
            assert_null(record_get(again, "d"));
            assert_null(record_get(r, "d"));
            if (mask == 7 && !add) assert_memory_equal(b.p, left[7], strlen(left[7]));
            record_free(again);
            buf_release(&b);
            record_free(r);
        }
    struct record *r = record("{\"a\":1,\"b\":2}"); /* set again: back in its place */
    record_del(r, "a");
    record_set_null(r, "a");
    writes(r, "{\"a\":null,\"b\":2}");
}

static void test_get(void **unused) {
    struct record *r = record("{\"a\":\"x\\u0000y\",\"n\":1}");
    size_t n = 0;
    assert_memory_equal(record_str(r, "a", &n), "x\0y", 4);
    assert_int_equal(n, 3);
    assert_null(record_str(r, "n", &n));
    assert_null(record_str(r, "none", &n));
    record_set_raw(r, "n", "{\"k\":[7]}", 9);
    assert_true(json_get(record_get(r, "n"), "k")->first->number == 7);
    assert_string_equal(record_get(r, "n")->key, "n");
    record_set_str(r, "n", "again", 5);
    assert_string_equal(record_str(r, "n", &n), "again");
    record_free(r);
}

static void test_fail(void **unused) {
    struct record *r = record("{\"parsed\":1}");
    record_fail(r, "parsed", "at /f1: %s", "caf\xC3\xA9 \xC3");
    writes(r, "{\"parsed\":null,\"error\":\"at /f1: caf\xC3\xA9 \xEF\xBF\xBD\"}");
    r = record("{}");
    record_fail(r, NULL, "%01200d", 0); /* longer than an error's text: cut, not overrun */
    assert_non_null(record_str(r, "error", NULL));
    record_free(r);
}

static char *temp_file(const char *text, size_t n) {
    char *path = xstrdup("/tmp/coador-jsonl-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, n) == (ssize_t)n);
    close(fd);
    return path;
}

/* Records before the end or the error, and its message without the file's name. */
static void reads(const char *text, size_t n, int good, const char *message) {
    struct err e = ERR_INIT;
    char *path = temp_file(text, n);
    struct jsonl *in = jsonl_open(path, &e);
    struct record *r;
    int rc, seen = 0;
    assert_non_null(in);
    assert_string_equal(jsonl_name(in), path);
    while ((rc = jsonl_next(in, &r, &e)) > 0) {
        assert_int_equal(record_line(r), ++seen);
        record_free(r);
    }
    assert_null(r);
    assert_int_equal(seen, good);
    assert_int_equal(rc, message ? -1 : 0);
    if (message) {
        assert_int_equal(e.code, RC_INPUT);
        assert_memory_equal(e.msg, path, strlen(path));
        assert_string_equal(e.msg + strlen(path), message);
    }
    jsonl_close(in);
    unlink(path);
    free(path);
}
#define READS(text, good, message) reads(text, sizeof(text) - 1, good, message)

static void test_reader(void **unused) {
    READS("", 0, NULL);
    READS("{}\n{\"a\":1}", 2, NULL);
    READS("{}\r\n{}\r\n", 2, NULL);
    READS("{}\n\n{}\n", 1, ":2: empty line, expected a record");
    READS("{}\n \r\n", 1, ":2: empty line, expected a record");
    READS("{}\n[1]\n", 1, ":2: column 1: not an object, expected a record");
    READS("{}\n{}\n{\"a\":}\n", 2, ":3: column 6: unexpected character, expected a value");
    READS("{\"a\":1,\"a\":2}\n", 0, ":1: column 8: duplicate key \"a\"");
    READS("{\"a\":\"caf\xE9\"}\n", 0, ":1: column 10: invalid UTF-8");
    READS("{\"a\":\"x\0y\"}\n", 0, ":1: column 8: control character in a string, expected an escape");
    READS("{}\0\n", 0, ":1: column 3: unexpected text after the value");
    READS("{}{}\n", 0, ":1: column 3: unexpected text after the value");
    READS("\xEF\xBB\xBF{}\n", 0, ":1: column 1: byte order mark, expected a value");
    struct err e = ERR_INIT;
    assert_null(jsonl_open("/nonexistent/file", &e));
    assert_int_equal(e.code, RC_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_untouched), cmocka_unit_test(test_set), cmocka_unit_test(test_delete),
                                       cmocka_unit_test(test_get), cmocka_unit_test(test_fail), cmocka_unit_test(test_reader)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Counts of hashes against an array of counts, through tables, runs and merges of several levels. */
#include "common/io/buf.h"
#include "common/text/rowcount.h"
#include "common/text/rowrun.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* SplitMix64: bijective, so different numbers have different hashes. */
static uint64_t spread(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/* `rows` rows of `kinds` kinds. */
static void counts(size_t places, unsigned kinds, unsigned rows) {
    struct rowcount *c = rowcount_new(places);
    uint32_t *expected = xcalloc(kinds, sizeof *expected), times;
    struct err e = ERR_INIT;
    for (unsigned i = 0; i < rows; i++) {
        unsigned kind = i < kinds ? i : (unsigned)(spread(i) % (i % 5 ? kinds : 7));
        uint64_t hash = kind ? spread(kind) : 0;
        rowcount_ahead(c, hash);
        if (rowcount_add(c, hash, &times, &e) < 0) fail_msg("%s", e.msg);
        if (times != ++expected[kind]) fail_msg("row %u, kind %u: %u times, expected %u", i, kind, times, expected[kind]);
    }
    free(expected);
    rowcount_free(c);
}

static void test_counts(void **state) {
    counts(64, 10, 1000);         /* all in the table */
    counts(64, 2000, 20000);      /* two levels of runs, and more */
    counts(64, 40, 5000);
    counts(1024, 60000, 100000);
    counts(ROWCOUNT_TABLE, 250000, 300000); /* as csv2prompt has it */
}

static void test_find(void **state) {
    enum { N = 5000 };
    struct rowrun_entry *x = xcalloc(N, sizeof *x);
    struct err e = ERR_INIT;
    uint64_t times;
    for (int uneven = 0; uneven < 2; uneven++) { /* slower where hashes are not spread, but right */
        for (uint64_t i = 0; i < N; i++) x[i] = (struct rowrun_entry){uneven ? 3 * i + 5 : UINT64_MAX / N * i + 9, i + 1};
        struct rowrun *r = rowrun_write(x, N, &e);
        assert_non_null(r);
        for (uint64_t i = 0; i < N; i++) {
            assert_int_equal(rowrun_find(r, x[i].hash, &times, &e), 0);
            assert_int_equal(times, i + 1);
            assert_int_equal(rowrun_find(r, x[i].hash + 1, &times, &e), 0);
            assert_int_equal(times, 0);
        }
        const uint64_t outside[] = {1, 4, UINT64_MAX};
        for (int i = 0; i < 3; i++) {
            assert_int_equal(rowrun_find(r, outside[i], &times, &e), 0);
            assert_int_equal(times, 0);
        }
        rowrun_free(r);
    }
    free(x);
}

static void test_merge(void **state) {
    struct rowrun_entry a[] = {{1, 1}, {5, 2}, {9, 1}}, b[] = {{5, 7}}, c[] = {{5, 3}, {10, 1}};
    struct err e = ERR_INIT;
    struct rowrun *runs[] = {rowrun_write(a, 3, &e), rowrun_write(b, 1, &e), rowrun_write(c, 2, &e)}, *all = rowrun_merge(runs, 3, &e);
    const uint64_t expected[] = {0, 1, 0, 0, 0, 7, 0, 0, 0, 1, 1, 0};
    for (uint64_t i = 0; i < 12; i++) {
        uint64_t times;
        assert_int_equal(rowrun_find(all, i, &times, &e), 0);
        assert_int_equal(times, expected[i]);
    }
    for (int i = 0; i < 3; i++) rowrun_free(runs[i]);
    rowrun_free(all);
}

static void test_no_folder(void **state) {
    struct rowcount *c = rowcount_new(64);
    struct err e = ERR_INIT;
    uint32_t times;
    char *was = getenv("TMPDIR") ? xstrdup(getenv("TMPDIR")) : NULL;
    setenv("TMPDIR", "none/such", 1);
    for (unsigned i = 1; i <= 48; i++) assert_int_equal(rowcount_add(c, spread(i), &times, &e), 0);
    assert_int_equal(rowcount_add(c, spread(99), &times, &e), -1);
    assert_int_equal(e.code, RC_IO);
    assert_string_equal(e.msg, "cannot make a temporary file in none/such: No such file or directory");
    if (was) setenv("TMPDIR", was, 1);
    else unsetenv("TMPDIR");
    free(was);
    rowcount_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts), cmocka_unit_test(test_find), cmocka_unit_test(test_merge),
                                       cmocka_unit_test(test_no_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

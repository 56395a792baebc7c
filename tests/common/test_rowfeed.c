/* Rows read ahead: the same rows, ids, lines and errors with a thread and without. */
#include "common/io/buf.h"
#include "common/text/rowfeed.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define ROWS 20000 /* of two lines each, in several batches */

static FILE *rows(const char *last) {
    FILE *f = tmpfile();
    fprintf(f, "a,b\n");
    for (int i = 0; i < ROWS; i++) fprintf(f, "%d,\"%d\n%0*d\"\n", i % (ROWS / 2), i % (ROWS / 2), i % 7 + 1, 0);
    fputs(last, f);
    rewind(f);
    return f;
}

static void feeds(int threads, bool ids, const char *last, int end, const char *message) {
    struct err e = ERR_INIT;
    FILE *f = rows(last);
    struct csv *csv = csv_from(f, "in.csv", ',', &e);
    struct rowfeed *feed = rowfeed_open(csv, ids, threads, &e);
    struct row row;
    int rc, n = 0;
    for (; (rc = rowfeed_next(feed, &row, &e)) > 0; n++) {
        char a[20], b[40];
        snprintf(a, sizeof a, "%d", n % (ROWS / 2));
        snprintf(b, sizeof b, "%s\n%0*d", a, n % 7 + 1, 0);
        assert_string_equal(row.cells[0].p, a);
        assert_string_equal(row.cells[1].p, b);
        assert_int_equal(row.cells[1].n, strlen(b));
        assert_int_equal(row.line, 2 + 2 * n);
        assert_int_equal(!row.id, !ids);
        if (ids) assert_int_equal(strlen(row.id), 16); /* b differs from that of the row with the same a */
    }
    assert_int_equal(n, ROWS);
    assert_int_equal(rc, end);
    assert_int_equal(rowfeed_next(feed, &row, &e), end); /* and again */
    if (end < 0) assert_string_equal(e.msg, message);
    rowfeed_close(feed);
    csv_close(csv);
    fclose(f);
}

static void test_rows(void **state) {
    for (int threads = 1; threads <= 3; threads++) {
        feeds(threads, true, "", 0, NULL);
        feeds(threads, false, "", 0, NULL);
        feeds(threads, true, "x\n", -1, "in.csv:40002: 1 cell, expected 2 as in the header");
    }
}

/* Rows that come again are counted over batches. */
static void test_repeats(void **state) {
    for (int threads = 1; threads <= 2; threads++) {
        struct err e = ERR_INIT;
        FILE *f = tmpfile();
        fputs("a\n", f);
        for (int i = 0; i < 3000; i++) fprintf(f, "%d\n", i % 1000);
        rewind(f);
        struct csv *csv = csv_from(f, "in.csv", ',', &e);
        struct rowfeed *feed = rowfeed_open(csv, true, threads, &e);
        struct row row;
        for (int i = 0; i < 3000; i++) {
            assert_int_equal(rowfeed_next(feed, &row, &e), 1);
            assert_string_equal(row.id + 16, i < 1000 ? "" : i < 2000 ? "-2" : "-3");
        }
        assert_int_equal(rowfeed_next(feed, &row, &e), 0);
        rowfeed_close(feed);
        csv_close(csv);
        fclose(f);
    }
}

/* Closed at once, after a row, amid the rows. */
static void test_early_end(void **state) {
    for (int taken = 0; taken <= ROWS / 2; taken = 10 * taken + 1) {
        struct err e = ERR_INIT;
        FILE *f = rows("");
        struct csv *csv = csv_from(f, "in.csv", ',', &e);
        struct rowfeed *feed = rowfeed_open(csv, true, 2, &e);
        struct row row;
        for (int i = 0; i < taken; i++) assert_int_equal(rowfeed_next(feed, &row, &e), 1);
        rowfeed_close(feed);
        csv_close(csv);
        fclose(f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_repeats), cmocka_unit_test(test_early_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

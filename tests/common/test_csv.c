/* The CSV reader: csv-spectrum, every refusal with its line, and a differential test against Python's csv module. */
#include "common/io/csv.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct csv *from(const char *text, size_t n, char delimiter, FILE **f, struct err *e) {
    *f = n ? fmemopen((void *)(uintptr_t)text, n, "r") : fopen("/dev/null", "r");
    assert_non_null(*f);
    return csv_from(*f, "t.csv", delimiter, e);
}

/* The whole table as one string: cells in <>, records ended by ;, or the error. */
static void table(const char *text, size_t n, char delimiter, struct buf *b) {
    struct err e = ERR_INIT;
    FILE *f;
    int rc;
    struct csv *c = from(text, n, delimiter, &f, &e);
    buf_clear(b);
    for (size_t i = 0; c && i < csv_columns(c); i++) buf_addf(b, "<%s>", csv_names(c)[i].p);
    while (c && (rc = csv_next(c, &e)) > 0) {
        buf_addf(b, ";%d", (int)csv_line(c));
        for (size_t i = 0; i < csv_columns(c); i++) {
            assert_int_equal(strlen(csv_cells(c)[i].p), csv_cells(c)[i].n);
            buf_addf(b, "<%s>", csv_cells(c)[i].p);
        }
    }
    if (e.code) {
        buf_clear(b);
        buf_adds(b, e.msg);
        assert_int_equal(e.code, RC_INPUT);
    }
    csv_close(c);
    fclose(f);
}

static void reads_n(const char *text, size_t n, char delimiter, const char *expected) {
    struct buf b = BUF_INIT;
    table(text, n, delimiter, &b);
    assert_string_equal(b.p, expected);
    buf_release(&b);
}

#define READS(text, expected) reads_n(text, sizeof(text) - 1, ',', expected)

static void test_reads(void **state) {
    READS("a,b\n1,2\n", "<a><b>;2<1><2>");
    READS("a,b\r\n1,2", "<a><b>;2<1><2>");
    READS("\xEF\xBB\xBF" "a,b\n1,2\n", "<a><b>;2<1><2>");
    READS("\xEF\xBB\xBF\"a\",b\n\"\",\n", "<a><b>;2<><>");
    READS("a,b\n\"x\ny\r\n\"\"z\"\"\",2\n3,4\n", "<a><b>;2<x\ny\r\n\"z\"><2>;5<3><4>");
    READS("a,b\n, \n", "<a><b>;2<>< >");
    READS("a,b\n1,", "<a><b>;2<1><>");
    READS("a,b\n\",\",\"\"\"\"\n", "<a><b>;2<,><\">");
    READS("a\n\nx\n", "<a>;2<>;3<x>"); /* one column: an empty line is an empty cell */
    READS("a,b\n", "<a><b>");
    READS("a,b", "<a><b>");
    reads_n("a;b\n1,5;2\n", 10, ';', "<a><b>;2<1,5><2>");
    reads_n("a\tb\n1\t\"\t\"\n", 10, '\t', "<a><b>;2<1><\t>");
    READS("ação,b\né,😀\n", "<ação><b>;2<é><😀>");
}

static void test_refuses(void **state) {
    READS("", "t.csv:1: the file is empty, expected a row of column names");
    READS("\xEF\xBB\xBF", "t.csv:1: the file is empty, expected a row of column names");
    READS("a,b\n1,2,3\n", "t.csv:2: 3 cells, expected 2 as in the header");
    READS("a,b\n\"x\n\",2\n1\n", "t.csv:4: 1 cell, expected 2 as in the header");
    READS("a,b\n1,2\n\n", "t.csv:3: empty line, expected 2 cells as in the header");
    READS("a,b\n1,\n2,\"x\ny\n", "t.csv:3: the quote that opens column 'b' is never closed, expected \" before the end of the file");
    READS("a,b\n\"x\ny\",\"z\n", "t.csv:3: the quote that opens column 'b' is never closed, expected \" before the end of the file");
    READS("a,\"b", "t.csv:1: the quote that opens cell 2 is never closed, expected \" before the end of the file");
    READS("a,b\n\"x\"y,2\n", "t.csv:2: byte 'y' (0x79) after the closing quote of column 'a', expected ',' or the end of the line");
    READS("a,b\n1,2\"3\n", "t.csv:2: quote inside the unquoted column 'b', expected the cell in quotes and its quotes doubled");
    READS("a,b\n1, \"2\"\n", "t.csv:2: quote inside the unquoted column 'b', expected the cell in quotes and its quotes doubled");
    READS("a,b\n1,caf\xE9\n", "t.csv:2: byte 0xe9 of column 'b' is not UTF-8, expected UTF-8 text (Latin-1? iconv -f latin1 -t utf-8)");
    READS("caf\xE9,b\n", "t.csv:1: byte 0xe9 of cell 1 is not UTF-8, expected UTF-8 text (Latin-1? iconv -f latin1 -t utf-8)");
    READS("a,b\n1,\"\xED\xA0\x80\"\n", "t.csv:2: byte 0xed of column 'b' is not UTF-8, expected UTF-8 text (Latin-1? iconv -f latin1 -t utf-8)");
    READS("a,b\n1,\xC3", "t.csv:2: byte 0xc3 of column 'b' is not UTF-8, expected UTF-8 text (Latin-1? iconv -f latin1 -t utf-8)");
    READS("a,b\n1,x\0y\n", "t.csv:2: NUL byte in column 'b', expected text");
    READS("a,b\n\"\0\",y\n", "t.csv:2: NUL byte in column 'a', expected text");
    READS("\xFF\xFE" "a\0,\0", "t.csv:1: UTF-16 text, expected UTF-8");
    READS("a,b\r1,2\r", "t.csv:1: carriage return without a line feed, expected CRLF or LF");
    READS("a,b\n\"1\"\r", "t.csv:2: carriage return without a line feed, expected CRLF or LF");
    READS("a,b,a\n", "t.csv:1: column name 'a' stands twice (columns 1 and 3), expected unique names");
    READS("a,,b\n", "t.csv:1: column 2 has no name, expected unique names");
    READS("\n", "t.csv:1: column 1 has no name, expected unique names");
}

/* Pieces of 64 KiB end anywhere: inside a quote, a doubled quote, a CRLF, a character. */
static void test_piece_borders(void **state) {
    struct buf csv = BUF_INIT, got = BUF_INIT, want = BUF_INIT;
    for (size_t pad = 65536 - 24; pad < 65536; pad++) {
        buf_clear(&csv);
        buf_clear(&want);
        buf_adds(&csv, "a,b\r\n");
        for (size_t i = 0; i < pad; i++) buf_addc(&csv, 'x');
        buf_adds(&want, "<a><b>;2<");
        buf_add(&want, csv.p + 5, pad);
        buf_adds(&csv, ",\"é\"\"\r\né\"\r\nz,😀\r\n");
        buf_adds(&want, "><é\"\r\né>;4<z><😀>");
        table(csv.p, csv.n, ',', &got);
        assert_int_equal(got.n, want.n);
        assert_memory_equal(got.p, want.p, want.n);
    }
    buf_release(&csv);
    buf_release(&got);
    buf_release(&want);
}

static void test_too_large(void **state) {
    struct buf csv = BUF_INIT;
    buf_adds(&csv, "a\n\"");
    char line[1024];
    memset(line, 'x', sizeof line);
    for (size_t i = 0; i <= CSV_MAX_RECORD; i += sizeof line) buf_add(&csv, line, sizeof line);
    reads_n(csv.p, csv.n, ',', "t.csv:2: the record is larger than 64 MiB, expected a quote to close before");
    buf_release(&csv);
}

/* Rows of an open table as JSON must equal: objects by column if `objects`, else lists with the header first. */
static void equal_json(struct csv *c, const struct json *rows, bool objects) {
    struct err e = ERR_INIT;
    const struct json *row = rows->first;
    int rc;
    if (!objects) {
        assert_int_equal(row->count, csv_columns(c));
        const struct json *x = row->first;
        for (size_t i = 0; i < csv_columns(c); i++, x = x->next) assert_true(json_is_str(x, csv_names(c)[i].p));
        row = row->next;
    }
    while ((rc = csv_next(c, &e)) > 0) {
        assert_non_null(row);
        assert_int_equal(row->count, csv_columns(c));
        const struct json *x = row->first;
        for (size_t i = 0; i < csv_columns(c); i++, x = x->next)
            assert_true(json_is_str(objects ? json_get(row, csv_names(c)[i].p) : x, csv_cells(c)[i].p));
        row = row->next;
    }
    if (rc < 0) fail_msg("%s", e.msg);
    assert_null(row);
}

/* csv-spectrum (github maxogden/csv-spectrum), commit b251546d5ccb79217a61aa8ca623ce573977d7e1: 11 tables. */
static void test_spectrum(void **state) {
    static const char *names[] = {"comma_in_quotes", "empty", "empty_crlf", "escaped_quotes", "json", "newlines", "newlines_crlf",
                                  "quotes_and_newlines", "simple", "simple_crlf", "utf8"};
    const char *suites = getenv("SUITES");
    if (!suites || !*suites) {
        print_message("csv-spectrum: set SUITES=DIR to the folder that holds csv-spectrum\n");
        skip();
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct err e = ERR_INIT;
        char path[1000];
        snprintf(path, sizeof path, "%s/csv-spectrum/csvs/%s.csv", suites, names[i]);
        struct csv *c = csv_open(path, ',', &e);
        if (!c) fail_msg("%s", e.msg);
        snprintf(path, sizeof path, "%s/csv-spectrum/json/%s.json", suites, names[i]);
        struct json_doc *d = json_read_file(path, &e);
        if (!d) fail_msg("%s", e.msg);
        equal_json(c, json_root(d), true);
        json_doc_free(d);
        csv_close(c);
    }
}

/* tests/data/csv/python.jsonl: tables written by Python's csv module in several dialects, with their cells
   (tests/oracle/csv_tables.py). */
static void test_python(void **state) {
    struct err e = ERR_INIT;
    struct in in;
    int64_t n;
    int tables = 0;
    assert_int_equal(in_open(&in, "tests/data/csv/python.jsonl", &e), 0);
    while ((n = in_line(&in, &e)) >= 0) {
        struct json_doc *d = json_parse(in.text, (size_t)n, &e);
        if (!d) fail_msg("%s", e.msg);
        const struct json *csv = json_get(json_root(d), "csv"), *delimiter = json_get(json_root(d), "delimiter");
        FILE *f;
        struct csv *c = from(csv->str, csv->len, delimiter->str[0], &f, &e);
        if (!c) fail_msg("table %d: %s", tables, e.msg);
        equal_json(c, json_get(json_root(d), "rows"), false);
        csv_close(c);
        fclose(f);
        json_doc_free(d);
        tables++;
    }
    in_close(&in);
    assert_int_equal(tables, 120);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),     cmocka_unit_test(test_refuses),  cmocka_unit_test(test_piece_borders),
        cmocka_unit_test(test_too_large), cmocka_unit_test(test_spectrum), cmocka_unit_test(test_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

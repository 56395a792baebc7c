/* The JSON scanner: what it refuses and where it says so, what it keeps, round trips, and nst/JSONTestSuite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/io/io.h"
#include "common/io/json.h"
#include "common/io/json_number.h"
#include <dirent.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A small generator of our own, so that a failure repeats anywhere (xorshift64*). */
static uint64_t state = 88172645463325252u;
static uint64_t next_random(void) {
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return state * 2685821657736338717u;
}
static unsigned below(unsigned n) { return (unsigned)(next_random() >> 33) % n; }

static struct json_doc *parse(const char *text) {
    struct err e = ERR_INIT;
    struct json_doc *d = json_parse(text, strlen(text), &e);
    if (!d) fail_msg("%s: %s", text, e.msg);
    return d;
}

static void refuses(const char *text, size_t n, const char *message) {
    struct err e = ERR_INIT;
    char *exact = malloc(n ? n : 1); /* no NUL behind: a sanitizer sees a read too far */
    memcpy(exact, text, n);
    struct json_doc *d = json_doc_new();
    if (json_reparse(d, exact, n, &e) == 0) fail_msg("accepted: %s", text);
    assert_int_equal(e.code, RC_INPUT);
    assert_string_equal(e.msg, message);
    assert_null(json_root(d));
    json_doc_free(d);
    free(exact);
}

static void test_refuses(void **unused) {
    static const char *const cases[][2] = {
        {"", "line 1 column 1: text ends, expected a value"},
        {"  \n ", "line 2 column 2: text ends, expected a value"},
        {"{\"a\":1,}", "line 1 column 8: expected a string as the key of a member"},
        {"{a:1}", "line 1 column 2: expected a string as the key of a member"},
        {"{'a':1}", "line 1 column 2: expected a string as the key of a member"},
        {"{\"a\" 1}", "line 1 column 6: expected : after a key"},
        {"{\"a\":1 \"b\":2}", "line 1 column 8: expected , or } in an object"},
        {"{\"a\":1", "line 1 column 7: text ends inside an object"},
        {"[1", "line 1 column 3: text ends inside an array"},
        {"[1 2]", "line 1 column 4: expected , or ] in an array"},
        {"[1,]", "line 1 column 4: unexpected character, expected a value"},
        {"True", "line 1 column 1: unexpected character, expected a value"},
        {"tru", "line 1 column 1: unknown word, expected a value"},
        {"nul", "line 1 column 1: unknown word, expected a value"},
        {"\"ab", "line 1 column 1: string without its closing quote"},
        {"\"ab\\", "line 1 column 5: text ends inside a string"},
        {"\"a\tb\"", "line 1 column 3: control character in a string, expected an escape"},
        {"\"\xC3\xA9\\q\"", "line 1 column 3: unknown escape in a string"},
        {"\"\\u12G4\"", "line 1 column 4: bad \\u escape, expected four hexadecimal digits"},
        {"\"\\u12", "line 1 column 4: bad \\u escape, expected four hexadecimal digits"},
        {"\"\\uD800\"", "line 1 column 4: lone surrogate in a \\u escape"},
        {"\"\\uD800\\u0041\"", "line 1 column 4: lone surrogate in a \\u escape"},
        {"\"\\uDC00\\uD800\"", "line 1 column 4: lone surrogate in a \\u escape"},
        {"01", "line 1 column 1: bad number, a leading zero"},
        {"-", "line 1 column 2: bad number, expected a digit"},
        {"1.", "line 1 column 3: bad number, expected a digit after the point"},
        {"1e+", "line 1 column 4: bad number, expected a digit in the exponent"},
        {"+1", "line 1 column 1: unexpected character, expected a value"},
        {".5", "line 1 column 1: unexpected character, expected a value"},
        {"0x10", "line 1 column 2: unexpected text after the value"},
        {"1e309", "line 1 column 1: number too large for a double"},
        {"NaN", "line 1 column 1: unexpected character, expected a value"},
        {"{} {}", "line 1 column 4: unexpected text after the value"},
        {"\xEF\xBB\xBF{}", "line 1 column 1: byte order mark, expected a value"},
        {"\"caf\xE9\"", "line 1 column 5: invalid UTF-8"},
        {"\"\xED\xA0\x80\"", "line 1 column 2: invalid UTF-8"},
        {"{\"a\":1,\n \"b\":2, \"a\":3}", "line 2 column 9: duplicate key \"a\""},
        {"{\"a\":1,\"\\u0061\":3}", "line 1 column 8: duplicate key \"a\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) refuses(cases[i][0], strlen(cases[i][0]), cases[i][1]);
    refuses("\"a\0b\"", 5, "line 1 column 3: control character in a string, expected an escape");
    refuses("[1]\0", 4, "line 1 column 4: unexpected text after the value");
}

static void test_large_object(void **unused) {
    struct buf b = BUF_INIT;
    for (int twice = 0; twice < 2; twice++) {
        buf_clear(&b);
        for (int i = 0; i < 5000; i++) buf_addf(&b, "%s\"key%d\": %d", i ? " , " : "{", i, i);
        if (twice) buf_adds(&b, ",\n \"key4711\":0");
        buf_addc(&b, '}');
        if (twice) {
            refuses(b.p, b.n, "line 2 column 2: duplicate key \"key4711\"");
        } else {
            struct json_doc *d = parse(b.p);
            assert_int_equal(json_root(d)->count, 5000);
            assert_true(json_get(json_root(d), "key4711")->number == 4711);
            json_doc_free(d);
        }
    }
    buf_release(&b);
}

static void test_depth(void **unused) {
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    for (int i = 0; i < JSON_MAX_DEPTH; i++) buf_adds(&b, i % 2 ? "{\"a\":" : "[");
    for (int i = JSON_MAX_DEPTH; i-- > 0;) buf_adds(&b, i == JSON_MAX_DEPTH - 1 ? "0}" : i % 2 ? "}" : "]");
    struct json_doc *d = json_parse(b.p, b.n, &e);
    if (!d) fail_msg("%s", e.msg);
    json_doc_free(d);
    buf_clear(&b);
    for (int i = 0; i < 100000; i++) buf_addc(&b, '[');
    refuses(b.p, b.n, "line 1 column 513: nested too deeply, at most 512 levels");
    buf_release(&b);
}

static void test_values(void **unused) {
    struct json_doc *d = parse(" {\"s\" : \"a\\u0000\\n\\ud83d\\ude00\\/\xC3\xA9\", \"n\":[-0,1.50,1E2 ,true,false,null], \"o\":{}} ");
    struct json *v = json_root(d), *s = json_get(v, "s"), *n = json_get(v, "n");
    assert_int_equal(v->count, 3);
    assert_int_equal(s->len, 10);
    assert_memory_equal(s->str, "a\0\n\xF0\x9F\x98\x80/\xC3\xA9", 11);
    assert_memory_equal(s->raw, "\"a\\u0000", 8);
    assert_int_equal(n->count, 6);
    assert_true(n->first->number == 0 && signbit(n->first->number));
    assert_true(n->first->next->number == 1.5);
    assert_int_equal(n->first->next->raw_len, 4);
    assert_int_equal(n->first->next->next->raw_len, 3);
    assert_true(n->first->next->next->next->truth);
    assert_int_equal(json_get(v, "o")->type, JSON_OBJECT);
    assert_null(json_get(v, "S"));
    assert_null(json_get(s, "x"));
    assert_true(!json_is_str(s, "a"));
    json_doc_free(d);
}

static void test_integers(void **unused) {
    static const struct {
        const char *text;
        bool fits;
        int64_t value;
    } cases[] = {
        {"0", true, 0}, {"-0", true, 0}, {"0.0", true, 0}, {"0e99999999999999999999", true, 0}, {"1.0", true, 1}, {"1e2", true, 100},
        {"1500e-2", true, 15}, {"12.50e1", true, 125}, {"0.001e3", true, 1}, {"1.5", false, 0}, {"1e-1", false, 0},
        {"9223372036854775807", true, INT64_MAX}, {"-9223372036854775808", true, INT64_MIN}, {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0}, {"9007199254740993", true, 9007199254740993}, {"1e19", false, 0}, {"1e-99999999999999999999", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_doc *d = parse(cases[i].text);
        int64_t x = 0;
        if (json_int(json_root(d), &x) != cases[i].fits || x != cases[i].value) fail_msg("%s: got %lld", cases[i].text, (long long)x);
        json_doc_free(d);
    }
}

static void test_number_order(void **unused) {
    /* Strictly ascending, most neighbours too close for doubles; after | other spellings of the same. */
    static const char *const rows[] = {
        "-1e300|-10e299", "-9007199254740993", "-9007199254740992|-9007199254740992.0", "-1.00000000000000000001", "-1|-1.0|-10e-1",
        "-1e-400|-0.1e-399", "0|-0|0.000|0e5|-0.0e-5", "1e-401", "1e-400", "0.1|1e-1|0.10", "0.10000000000000000001", "0.2",
        "1|1.0|100e-2|0.01e2", "1.00000000000000000001", "9007199254740992", "9007199254740993", "12345678901234567890123456789",
        "12345678901234567890123456790|1234567890123456789012345679e1",
    };
    enum { N = sizeof rows / sizeof *rows };
    struct json_doc *docs[N][5] = {{0}};
    for (int i = 0; i < N; i++) {
        char copy[100], *rest = copy, *one;
        snprintf(copy, sizeof copy, "%s", rows[i]);
        for (int k = 0; (one = strsep(&rest, "|")); k++) docs[i][k] = parse(one);
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            for (int k = 0; k < 5 && docs[i][k]; k++)
                for (int l = 0; l < 5 && docs[j][l]; l++) {
                    const struct json *a = json_root(docs[i][k]), *b = json_root(docs[j][l]);
                    int c = json_number_cmp(a, b);
                    if ((c > 0) - (c < 0) != (i > j) - (i < j)) fail_msg("%.*s against %.*s: %d", (int)a->raw_len, a->raw, (int)b->raw_len, b->raw, c);
                    assert_int_equal(json_equal(a, b), i == j);
                }
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 5; k++) json_doc_free(docs[i][k]);
}

static void test_multiples(void **unused) {
    static const struct {
        const char *a, *b;
        bool yes;
    } cases[] = {
        {"0", "3", true}, {"10", "5", true}, {"7", "2", false}, {"4.5", "1.5", true}, {"0.3", "0.1", true}, {"19.99", "0.01", true},
        {"35", "1.5", false}, {"0.0075", "0.0001", true}, {"0.00751", "0.0001", false}, {"1e308", "0.5", true}, {"1e308", "3", false},
        {"1e308", "0.123456789", false}, {"-6e2", "0.6e3", true}, {"123456789012345678901234567890", "123456789012345678901234567890", true},
        {"246913578024691357802469135780", "123456789012345678901234567890", true}, {"246913578024691357802469135781", "123456789012345678901234567890", false},
        {"1e300", "1267650600228229401496703205376", true}, {"1e30", "1267650600228229401496703205376", false},
        {"0.1", "1", false}, {"9007199254740993", "2", false}, {"12391239123", "1e-8", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_doc *a = parse(cases[i].a), *b = parse(cases[i].b);
        if (json_multiple_of(json_root(a), json_root(b)) != cases[i].yes) fail_msg("%s by %s", cases[i].a, cases[i].b);
        json_doc_free(a), json_doc_free(b);
    }
}

static void test_equality(void **unused) {
    static const struct {
        const char *a, *b;
        bool yes;
    } cases[] = {
        {"{\"a\":1,\"b\":[1,2]}", "{\"b\":[1.0,2],\"a\":1}", true}, {"[1,2]", "[2,1]", false}, {"[1]", "[1,1]", false},
        {"{\"a\":1}", "{\"a\":1,\"b\":1}", false}, {"{\"a\":1}", "{\"b\":1}", false}, {"0", "false", false}, {"null", "\"\"", false},
        {"\"\\u0041\"", "\"A\"", true}, {"\"a\\u0000b\"", "\"a\\u0000c\"", false}, {"true", "false", false}, {"null", "null", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_doc *a = parse(cases[i].a), *b = parse(cases[i].b);
        if (json_equal(json_root(a), json_root(b)) != cases[i].yes) fail_msg("%s, %s", cases[i].a, cases[i].b);
        json_doc_free(a), json_doc_free(b);
    }
}

static void check_number(struct buf *b, double x) {
    buf_clear(b);
    json_put_number(b, x);
    struct json_doc *d = parse(b->p);
    double y = json_root(d)->number;
    if (memcmp(&x, &y, sizeof x)) fail_msg("%.17g came back from %s", x, b->p);
    json_doc_free(d);
}

static void test_put_number(void **unused) {
    static const struct {
        double x;
        const char *text;
    } cases[] = {{0, "0"}, {-0.0, "-0"}, {1, "1"}, {-150, "-150"}, {0.1, "0.1"}, {1e21, "1e+21"}, {5e-324, "5e-324"}, {4e-4, "0.0004"},
                 {9007199254740991.0, "9007199254740991"}, {1.0 / 3, "0.3333333333333333"}, {0.1 + 0.2, "0.30000000000000004"},
                 {DBL_MAX, "1.7976931348623157e+308"}, {NAN, "null"}, {INFINITY, "null"}};
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&b);
        json_put_number(&b, cases[i].x);
        assert_string_equal(b.p, cases[i].text);
    }
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = next_random();
        double x;
        memcpy(&x, &bits, sizeof x);
        if (isfinite(x)) check_number(&b, x);
        if (i % 4 == 0) check_number(&b, (double)(int)below(2000000) / 1000);
    }
    buf_release(&b);
}

/* Short decimals take a path of their own: both must give the double that strtod gives. */
static void test_read_number(void **unused) {
    char text[64];
    struct buf scratch = BUF_INIT;
    for (int i = 0; i < 300000; i++) {
        double x;
        snprintf(text, sizeof text, "%s%llu.%0*llu%s", i % 2 ? "-" : "", (unsigned long long)(next_random() >> (5 + below(58))), 1 + (int)below(12),
                 (unsigned long long)below(1000000), i % 5 ? "" : i % 3 ? "e-7" : "E+15");
        assert_int_equal(json_number_read(text, strlen(text), &scratch, &x), 0);
        if (x != strtod(text, NULL)) fail_msg("%s read as %.17g", text, x);
    }
    buf_release(&scratch);
}

/* ---- round trips ---- */
static void random_string(struct buf *b) {
    static const char *const bits[] = {"a", "\xC3\xA9", "\\n", "\\u0000", "\\\"", "\\\\", "\xF0\x9F\x98\x80", "\\ud83d\\ude00", "\x7F", "\\u20ac", "longer text", " "};
    buf_addc(b, '"');
    for (unsigned n = below(8); n > 0; n--) buf_adds(b, bits[below(sizeof bits / sizeof *bits)]);
    buf_addc(b, '"');
}

static void random_value(struct buf *b, int depth) {
    static const char *const plain[] = {"null", "true", "false", "0", "-0.0", "1e2", "123456789012345678901234567890", "0.1", "-1.5E-7"};
    static const char *const space[] = {"", "", " ", "\n\t", "\r\n "};
    buf_adds(b, space[below(5)]);
    unsigned kind = below(depth > 0 ? 4 : 2), n = below(11);
    if (kind == 0) {
        buf_adds(b, plain[below(sizeof plain / sizeof *plain)]);
    } else if (kind == 1) {
        random_string(b);
    } else {
        buf_addc(b, kind == 2 ? '[' : '{');
        for (unsigned i = 0; i < n; i++) {
            if (i) buf_addc(b, ',');
            if (kind == 3) buf_addf(b, " \"k\\t%u\" :", i);
            random_value(b, depth - 1);
        }
        buf_addc(b, kind == 2 ? ']' : '}');
    }
    buf_adds(b, space[below(5)]);
}

static void test_round_trip(void **unused) {
    struct buf text = BUF_INIT, again = BUF_INIT, third = BUF_INIT;
    struct json_doc *a = json_doc_new(), *b = json_doc_new();
    struct err e = ERR_INIT;
    for (int i = 0; i < 3000; i++) {
        buf_clear(&text), buf_clear(&again), buf_clear(&third);
        random_value(&text, 4);
        if (json_reparse(a, text.p, text.n, &e) < 0) fail_msg("%s in %s", e.msg, text.p);
        json_put_value(&again, json_root(a));
        if (json_reparse(b, again.p, again.n, &e) < 0) fail_msg("%s in %s", e.msg, again.p);
        assert_true(json_equal(json_root(a), json_root(b)));
        assert_int_equal(json_root(b)->raw_len, again.n);
        json_put_value(&third, json_root(b));
        assert_string_equal(again.p, third.p);
        assert_null(memchr(again.p, '\n', again.n));
    }
    json_doc_free(a), json_doc_free(b);
    buf_release(&text), buf_release(&again), buf_release(&third);
}

/* Every prefix of a text, and every text with one byte changed, is read without harm; prefixes are refused. */
static void test_cut_and_bent(void **unused) {
    static const char text[] = "{\"a\":[1.5e3,\"x\\u00e9\\ud83d\\ude00\xC3\xA9\",null],\"b\":{\"c\":true}}";
    struct json_doc *d = json_doc_new();
    struct err e = ERR_INIT;
    int accepted = 0;
    for (size_t n = 0; n < sizeof text - 1; n++) {
        char *cut = malloc(n ? n : 1);
        memcpy(cut, text, n);
        assert_int_equal(json_reparse(d, cut, n, &e), -1);
        free(cut);
        for (int c = 0; c < 256; c++) {
            char bent[sizeof text];
            memcpy(bent, text, sizeof text);
            bent[n] = (char)c;
            accepted += json_reparse(d, bent, sizeof text - 1, &e) == 0;
        }
    }
    assert_in_range(accepted, sizeof text - 1, 256 * (sizeof text - 1) / 2);
    json_doc_free(d);
}

/* ---- UTF-8 ---- */
static void test_utf8(void **unused) {
    static const char *const bad[] = {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xC3", "\xE2\x82", "\xF0\x9F\x98", "\xED\xBF\xBF"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[32];
        snprintf(text, sizeof text, "0123456789\xC3\xA9%s", bad[i]);
        assert_int_equal(utf8_valid(text, strlen(text)), 12);
    }
    for (unsigned c = 1; c <= 0x10FFFF; c++) {
        char escape[16], text[40];
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        if (c < 0x10000)
            snprintf(escape, sizeof escape, "\\u%04x", c);
        else
            snprintf(escape, sizeof escape, "\\u%04x\\u%04x", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + (c & 0x3FF));
        snprintf(text, sizeof text, "\"%s\"", escape);
        struct json_doc *d = parse(text);
        struct json *v = json_root(d);
        if (v->len != (c < 0x80 ? 1u : c < 0x800 ? 2u : c < 0x10000 ? 3u : 4u) || utf8_valid(v->str, v->len) != v->len) fail_msg("U+%04X", c);
        json_doc_free(d);
        c += c > 0x3000 ? 37 : 0;
    }
    struct buf b = BUF_INIT;
    static const char mixed[] = "a\xF1\x80\x80\xE1\x80\xC2" "b\x80" "c\x80\xBF" "d\xED\xA0\x80\xF0\x9F"; /* Unicode's table 3-8, and on */
    utf8_repair(&b, mixed, sizeof mixed - 1);
#define R "\xEF\xBF\xBD"
    assert_string_equal(b.p, "a" R R R "b" R "c" R R "d" R R R R);
    buf_release(&b);
}

/* ---- nst/JSONTestSuite, commit 1ef36fa01286573e846ac449e8683f8833c5b26a: $SUITES/JSONTestSuite/test_parsing ---- */
static void suite_file(const char *dir, const char *name, int *counts) {
    struct err e = ERR_INIT;
    char *path = io_join(dir, name);
    struct json_doc *d = json_read_file(path, &e);
    bool twice = !strncmp(name, "y_object_duplicated_key", 23);
    if (*name == 'n' && d) fail_msg("%s accepted", name);
    if (*name == 'y' && twice && (d || !strstr(e.msg, "duplicate key \"a\""))) fail_msg("%s: %s", name, d ? "accepted" : e.msg);
    if (*name == 'y' && !twice && !d) fail_msg("%s", e.msg);
    if (!d && e.code != RC_INPUT) fail_msg("%s: code %d, %s", name, e.code, e.msg);
    counts[0] += *name == 'n', counts[1] += *name == 'y', counts[2] += *name == 'i', counts[3] += *name == 'y' && twice;
    json_doc_free(d);
    free(path);
}

/* Sequences of one to four bytes in any order and place, each text whole, then with one byte changed: against the rule byte by byte. */
static size_t plain_valid(const unsigned char *s, size_t n) {
    size_t i = 0, k;
    while (i < n) {
        unsigned c = s[i], len = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
        if (!len || len > n - i) return i;
        for (k = 1; k < len; k++)
            if (s[i + k] < 0x80 || s[i + k] > 0xBF) return i;
        if ((c == 0xE0 && s[i + 1] < 0xA0) || (c == 0xED && s[i + 1] > 0x9F) || (c == 0xF0 && s[i + 1] < 0x90) || (c == 0xF4 && s[i + 1] > 0x8F))
            return i;
        i += len;
    }
    return n;
}

static void test_utf8_blocks(void **unused) {
    static const char *const words[] = {"a", "xyz ", "\xC2\x80", "\xC3\xA3", "\xDF\xBF", "\xE0\xA0\x80", "\xE2\x80\x9C", "\xF0\x9F\x98\x80", "plain and long "};
    unsigned seed = 1;
    for (int round = 0; round < 20000; round++) {
        struct buf b = BUF_INIT;
        buf_add(&b, "", 0);
        for (int n = rand_r(&seed) % 30, only = rand_r(&seed) % 3; n > 0; n--) buf_adds(&b, words[rand_r(&seed) % (only ? 5 : 9)]);
        unsigned char *s = xmalloc(b.n); /* of just that size, for the sanitizer */
        memcpy(s, b.p, b.n);
        assert_int_equal(utf8_valid((char *)s, b.n), b.n);
        if (b.n) s[(unsigned)rand_r(&seed) % b.n] = (unsigned char)rand_r(&seed);
        assert_int_equal(utf8_valid((char *)s, b.n), plain_valid(s, b.n));
        free(s);
        buf_release(&b);
    }
}

/* Strings of every length up to 70 with a byte of each kind at each place. */
static void test_put_strings(void **unused) {
    static const char *const special[][2] = {{"\"", "\\\""}, {"\\", "\\\\"}, {"\n", "\\n"}, {"\x01", "\\u0001"}, {"\x1f", "\\u001f"}, {"\x7f", "\x7f"}, {"\xC3", "\xC3"}};
    for (size_t n = 1; n <= 70; n++)
        for (size_t i = 0; i < n * 7; i++) {
            struct buf b = BUF_INIT, twice = BUF_INIT, once = BUF_INIT;
            char *s = xmalloc(n), expected[100], quoted[110];
            memset(s, 'x', n);
            s[i / 7] = special[i % 7][0][0];
            snprintf(expected, sizeof expected, "%.*s%s%.*s", (int)(i / 7), s, special[i % 7][1], (int)(n - i / 7 - 1), s + i / 7 + 1);
            snprintf(quoted, sizeof quoted, "\"%s\"", expected);
            json_put_string(&b, s, n);
            assert_string_equal(b.p, quoted);
            json_put_string_chars(&twice, s, n);
            json_put_chars(&once, b.p, b.n);
            assert_string_equal(twice.p, once.p);
            buf_release(&b);
            buf_release(&once);
            buf_release(&twice);
            free(s);
        }
}

static void test_suite(void **unused) {
    const char *suites = getenv("SUITES");
    if (!suites || !*suites) {
        print_message("SUITES is not set: no nst/JSONTestSuite\n");
        skip();
    }
    int counts[4] = {0};
    char *dir = io_join(suites, "JSONTestSuite/test_parsing");
    DIR *d = opendir(dir);
    if (!d) fail_msg("no folder %s", dir);
    for (struct dirent *x; (x = readdir(d));)
        if (strchr("nyi", x->d_name[0]) && x->d_name[1] == '_') suite_file(dir, x->d_name, counts);
    closedir(d);
    free(dir);
    assert_int_equal(counts[0], 188);
    assert_int_equal(counts[1], 95);
    assert_int_equal(counts[2], 35);
    assert_int_equal(counts[3], 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses),    cmocka_unit_test(test_large_object), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_values),     cmocka_unit_test(test_integers),     cmocka_unit_test(test_number_order),
        cmocka_unit_test(test_multiples),  cmocka_unit_test(test_equality),     cmocka_unit_test(test_put_number),
        cmocka_unit_test(test_read_number), cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_cut_and_bent),
        cmocka_unit_test(test_utf8),       cmocka_unit_test(test_utf8_blocks),  cmocka_unit_test(test_put_strings),
        cmocka_unit_test(test_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

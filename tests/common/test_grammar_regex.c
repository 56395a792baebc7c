/* Patterns as grammars: random ones against the validator's search (PCRE2), formats, what is refused, whole-text patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/text/grammar.h"
#include "common/text/schema_node.h"
#include "pick.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct grammar_options plain = {.prefix = ""};

static bool accepts(struct grammar *g, const char *s, size_t n) {
    uint32_t state = grammar_start(g);
    for (size_t i = 0; i < n && state != GRAMMAR_DEAD; i++) state = grammar_byte(g, state, (unsigned char)s[i]);
    return state != GRAMMAR_DEAD && grammar_done(g, state);
}

/* ---- random patterns ---- */
static void put_pattern(struct buf *b, int depth) {
    static const char *const atoms[] = {"a", "b", "ab", ".", "[ab]", "[^a]", "\\d", "\\w", "\\s", "\\S", "[a-c\\d]", "\xc3\xa3", "[\xc3\xa3-\xc3\xbf]", "\\u00e3", "\"", "\\\\", "\\n", "[^\\x00-\\x7f]"};
    static const char *const counts[] = {"*", "+", "?", "{2}", "{1,2}", "{0,3}?", "{2,}"};
    unsigned parts = 1 + pick(3);
    for (unsigned i = 0; i < parts; i++) {
        if (depth && pick(3) == 0) {
            buf_adds(b, pick(2) ? "(?:" : "(");
            put_pattern(b, depth - 1);
            if (pick(2)) buf_addc(b, '|'), put_pattern(b, depth - 1);
            buf_addc(b, ')');
        } else {
            buf_adds(b, atoms[pick(18)]);
        }
        if (pick(3) == 0) buf_adds(b, counts[pick(7)]);
    }
}

static void put_text(struct buf *b) {
    static const char *const parts[] = {"a", "b", "c", "1", " ", "\n", "\"", "\\", "\xc3\xa3", "\xc3\xbf", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\x01", "_", "\x7f", "/"};
    for (unsigned n = pick(6); n > 0; n--) buf_adds(b, parts[pick(16)]);
}

static void test_random(void **unused) {
    long hits[2] = {0, 0};
    for (int i = 0; i < 3000; i++) {
        struct buf pattern = BUF_INIT, schema = BUF_INIT;
        struct err e = ERR_INIT;
        pick_seed = (uint64_t)i * 77;
        static const char *const looks[] = {"", "", "", "(?=.*a)", "(?!b)", "(?!.*b$)"};
        bool start = pick(2), end = pick(2);
        if (start) buf_addc(&pattern, '^'), buf_adds(&pattern, looks[pick(6)]);
        put_pattern(&pattern, 2);
        if (end) buf_addc(&pattern, '$');
        if (pick(4) == 0) buf_addc(&pattern, '|'), put_pattern(&pattern, 1);
        buf_adds(&schema, "{\"type\":\"string\",\"pattern\":");
        json_put_string(&schema, pattern.p, pattern.n);
        buf_addc(&schema, '}');
        struct schema *s = schema_compile(schema.p, schema.n, "S", &e);
        struct grammar *g = s ? grammar_from_schema(s, &plain, &e) : NULL;
        if (!g) {
            if (!strstr(e.msg, "no answer fits")) fail_msg("%s: %s", pattern.p, e.msg);
        }
        for (int k = 0; k < 20 && g; k++) {
            struct buf text = BUF_INIT, json = BUF_INIT;
            buf_add(&text, "", 0);
            put_text(&text);
            json_put_string(&json, text.p, text.n);
            int search = pattern_search(s->nodes.v[0]->pattern, text.p, text.n);
            if ((search == 1) != accepts(g, json.p, json.n)) fail_msg("%s on %s: search %d, grammar %d", pattern.p, json.p, search, search != 1);
            hits[search == 1]++;
            buf_release(&text);
            buf_release(&json);
        }
        for (int k = 0; k < 3 && g; k++) { /* what the grammar writes, the search finds */
            struct buf json = BUF_INIT;
            uint32_t state = grammar_start(g);
            for (unsigned n = pick(8); n > 0; n--) {
                unsigned char c = (unsigned char)"\"abc1 \xc3\xa3_"[pick(9)];
                uint32_t to = grammar_byte(g, state, c);
                if (to != GRAMMAR_DEAD) state = to, buf_addc(&json, (char)c);
            }
            grammar_close(g, state, &json);
            struct json_doc *d = json_parse(json.p, json.n, &e);
            if (!d || schema_validate(s, json_root(d), &e) < 0) fail_msg("%s wrote %s: %s", pattern.p, json.p, e.msg);
            json_doc_free(d);
            buf_release(&json);
        }
        grammar_free(g);
        schema_free(s);
        buf_release(&pattern);
        buf_release(&schema);
    }
    print_message("# %ld texts matched, %ld not\n", hits[1], hits[0]);
    assert_true(hits[0] > 5000 && hits[1] > 5000);
}

static void test_formats(void **unused) {
    static const char *const cases[][3] = { /* format, fits, does not */
        {"date", "2024-02-29", "2023-02-29"},
        {"time", "23:59:59.5+01:00", "24:00:00Z"},
        {"date-time", "2024-12-31T23:59:60Z", "2024-12-31 23:59:59Z"},
        {"duration", "P1Y2M3DT4H", "P1D2M"},
        {"uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08aa9811eab4aa73b441d16380"},
        {"email", "a.b+c@example.org", "a..b@example.org"},
        {"hostname", "www.example.com", "-a.com"},
        {"ipv4", "255.0.10.1", "256.0.10.1"},
        {"ipv6", "2001:db8::1:0.0.0.1", "1::2::3"},
        {"uri", "http://a@[::1]:80/b?c#d", "/relative"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf schema = BUF_INIT, text = BUF_INIT;
        struct err e = ERR_INIT;
        buf_addf(&schema, "{\"type\":\"string\",\"format\":\"%s\"}", cases[i][0]);
        struct schema *s = schema_compile(schema.p, schema.n, "S", &e);
        struct grammar *g = s ? grammar_from_schema(s, &plain, &e) : NULL;
        if (!g) fail_msg("%s", e.msg);
        for (int k = 1; k < 3; k++) {
            buf_clear(&text);
            json_put_string(&text, cases[i][k], strlen(cases[i][k]));
            struct json_doc *d = json_parse(text.p, text.n, &e);
            if (accepts(g, text.p, text.n) != (k == 1)) fail_msg("%s: grammar on %s", cases[i][0], text.p);
            if ((schema_validate(s, json_root(d), NULL) == 0) != (k == 1)) fail_msg("%s: validator on %s", cases[i][0], text.p);
            json_doc_free(d);
        }
        grammar_free(g);
        schema_free(s);
        buf_release(&schema);
        buf_release(&text);
    }
}

static void test_refused(void **unused) {
    static const char *const cases[][2] = {
        {"(a)\\1", "regular expression (a)\\1: a back reference cannot be kept"},
        {"a\\b", "regular expression a\\b: \\b cannot be kept"},
        {"(?<=a)b", "regular expression (?<=a)b: look-behind cannot be kept"},
        {"^(?!x)(.{1,63}\\.){1,127}$", "regular expression ^(?!x)(.{1,63}\\.){1,127}$: long counts within long counts beside a look-ahead cannot be kept"},
        {"a{3,2}", "regular expression a{3,2}: counts out of order"},
        {"[b-a]", "regular expression [b-a]: range out of order in a class"},
        {"a)", "regular expression a): ) without ("},
        {"*a", "regular expression *a: nothing to repeat"},
        {"a^b", "regular expression a^b: an anchor inside cannot be kept: the whole text is matched"},
        {"(?=b)a", "regular expression (?=b)a: no answer fits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_INIT;
        assert_null(grammar_from_regex(cases[i][0], &plain, &e));
        assert_string_equal(e.msg, cases[i][1]);
        assert_int_equal(e.code, RC_INPUT);
    }
}

static void test_whole(void **unused) {
    struct err e = ERR_INIT;
    struct buf forced = BUF_INIT;
    struct grammar *g = grammar_from_regex("^(yes|no)\\p{Lu}?$", &(struct grammar_options){0}, &e);
    assert_non_null(g);
    assert_true(accepts(g, "yes", 3) && accepts(g, " no", 3) && accepts(g, "no\xc3\x83", 4));
    assert_false(accepts(g, "yes ", 4) || accepts(g, "ye", 2) || accepts(g, "  no", 4) || accepts(g, "no\xc3\xa3", 4));
    uint32_t state = grammar_byte(g, grammar_byte(g, grammar_start(g), ' '), 'y');
    assert_int_equal(grammar_min_close(g, state), 2);
    grammar_forced(g, state, 100, &forced);
    assert_string_equal(forced.p, "es");
    buf_release(&forced);
    grammar_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_formats), cmocka_unit_test(test_refused), cmocka_unit_test(test_whole)};
    return cmocka_run_group_tests_name("grammar_regex", tests, NULL, NULL);
}

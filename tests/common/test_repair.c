/* Finding JSON in answers: each rule alone, what is not repaired, the order of the search, and that valid JSON is never
   touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/text/repair.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "single_quotes cut_end", as the bits of `rules` say. */
static void put_rules(struct buf *b, unsigned rules) {
    buf_clear(b);
    buf_add(b, "", 0);
    for (int i = 0; i < REPAIR_RULES; i++)
        if (rules >> i & 1) buf_addf(b, "%s%s", b->n ? " " : "", repair_name(i));
}

static void finds_by(const struct schema *s, bool strict, const char *text, const char *expected, const char *rules) {
    struct err e = ERR_INIT;
    struct buf got = BUF_INIT, names = BUF_INIT;
    struct repair *r = repair_new();
    const struct json *v;
    unsigned bits;
    char *exact = malloc(strlen(text) + 1); /* no NUL behind */
    memcpy(exact, text, strlen(text));
    exact = realloc(exact, strlen(text) ? strlen(text) : 1);
    if (repair_find(r, exact, strlen(text), s, strict, &v, &bits, &e) == 0) {
        json_put_value(&got, v);
    } else {
        assert_null(v);
        assert_int_equal(e.code, RC_INPUT);
        buf_adds(&got, e.msg);
    }
    put_rules(&names, bits);
    if (strcmp(got.p, expected) || strcmp(names.p, rules)) fail_msg("%s\n  got      %s [%s]\n  expected %s [%s]", text, got.p, names.p, expected, rules);
    free(exact);
    buf_release(&got);
    buf_release(&names);
    repair_free(r);
}

static void finds(const char *text, const char *expected, const char *rules) { finds_by(NULL, false, text, expected, rules); }

static void test_whole(void **unused) {
    finds(" {\"a\" : [1, 2.50]}\n", "{\"a\":[1,2.50]}", "");
    finds("\"Positivo\"", "\"Positivo\"", "");
    finds("3", "3", "");
    finds("{\"a\":\"```json\\n{'b':1}\\n```\"}", "{\"a\":\"```json\\n{'b':1}\\n```\"}", "");
}

static void test_places(void **unused) {
    finds("```json\n{\"a\":1}\n```", "{\"a\":1}", "fence");
    finds("```\n{\"a\":1}\n```\nDone.", "{\"a\":1}", "fence");
    finds("So [sic]:\n```json\nit is {\"a\":1}\n```", "{\"a\":1}", "fence chatter");
    finds("```json{\"a\":1}```", "{\"a\":1}", "fence");
    finds("```json\n{\"a\":1}", "{\"a\":1}", "fence");
    finds("```python\nx = f(y)\n```\n```json\n{\"a\":1}\n```", "{\"a\":1}", "fence");
    finds("```\nnothing\n``` {\"a\":1}", "{\"a\":1}", "chatter");
    finds("Result: {\"a\":1}", "{\"a\":1}", "chatter");
    finds("{\"a\":1} {\"a\":2}", "{\"a\":1}", "chatter");
    finds("{\"a\":1}}", "{\"a\":1}", "chatter");
    finds("use {braces} and [brackets] so: {\"a\":1}", "{\"a\":1}", "chatter");
    finds("it opens with { and then {\"a\":1}", "{\"a\":1}", "chatter");
    /* a part of a broken whole is not the answer */
    finds("{\"a\": x, \"b\": {\"c\": 1}}", "no JSON, also by repair: line 1 column 7: unexpected text, expected a value", "");
    finds("I do not know.", "no JSON object or array in the text", "");
    finds("", "no JSON object or array in the text", "");
}

static void test_rules(void **unused) {
    finds("{'a': 'x', 'b': [True, False, None]}", "{\"a\":\"x\",\"b\":[true,false,null]}", "single_quotes python_literals");
    finds("{'a': 'say \"oi\"', 'b': 'd\\'agua'}", "{\"a\":\"say \\\"oi\\\"\",\"b\":\"d'agua\"}", "single_quotes");
    finds("{'a': \"d'agua\"}", "{\"a\":\"d'agua\"}", "single_quotes");
    finds("{\xE2\x80\x9C" "a\xE2\x80\x9D: \xE2\x80\x98x\xE2\x80\x99}", "{\"a\":\"x\"}", "smart_quotes");
    finds("{\xE2\x80\x9E" "a\": 1}", "{\"a\":1}", "smart_quotes");
    finds("{\"a\": \"\xE2\x80\x9Cx\xE2\x80\x9D\",}", "{\"a\":\"\xE2\x80\x9Cx\xE2\x80\x9D\"}", "trailing_comma");
    finds("{\"a\": \"o \"bom\" dia\"}", "{\"a\":\"o \\\"bom\\\" dia\"}", "inner_quotes");
    finds("{'a': 'd'agua'}", "{\"a\":\"d'agua\"}", "single_quotes inner_quotes");
    finds("{\"a\": \"x\ny\tz\"}", "{\"a\":\"x\\ny\\tz\"}", "control_chars");
    finds("{\"a\": \"it\\'s \\x41\\xe9\"}", "{\"a\":\"it's A\xC3\xA9\"}", "escapes");
    finds("{a: 1, emo\xC3\xA7\xC3\xA3o: 2, $x_1-y: 3}", "{\"a\":1,\"emo\xC3\xA7\xC3\xA3o\":2,\"$x_1-y\":3}", "bare_keys");
    finds("{\"a\": 1, // one\n /* two } */ \"b\": \"x\" // three\n}", "{\"a\":1,\"b\":\"x\"}", "comments");
    finds("{\"a\": 1 \"b\": \"x\"\n \"c\": [1 2]}", "{\"a\":1,\"b\":\"x\",\"c\":[1,2]}", "missing_comma");
    finds("{\"a\": [1, 2, ], }", "{\"a\":[1,2]}", "trailing_comma");
}

static void test_cut(void **unused) {
    static const char text[] = "{\"a\": \"x\\n\\u00e9y\", \"b\": [1, 25, true], \"c\": {\"d\": null}}";
    static const char *const left[] = {
        "", "", "", "", "", "", "", "{\"a\":\"\"}", "{\"a\":\"x\"}", "{\"a\":\"x\"}", "{\"a\":\"x\\n\"}",
        "{\"a\":\"x\\n\"}", "{\"a\":\"x\\n\"}", "{\"a\":\"x\\n\"}", "{\"a\":\"x\\n\"}", "{\"a\":\"x\\n\"}", "{\"a\":\"x\\n\xC3\xA9\"}", "{\"a\":\"x\\n\xC3\xA9y\"}",
    };
    char cut[sizeof text];
    for (size_t n = 1; n < sizeof text - 1; n++) {
        const char *expected = n < sizeof left / sizeof *left ? left[n] : n < 28 ? left[17] : n < 32 ? "{\"a\":\"x\\n\xC3\xA9y\",\"b\":[1]}" :
                               n < 37 ? "{\"a\":\"x\\n\xC3\xA9y\",\"b\":[1,25]}" : n < 55 ? "{\"a\":\"x\\n\xC3\xA9y\",\"b\":[1,25,true]}" : "{\"a\":\"x\\n\xC3\xA9y\",\"b\":[1,25,true],\"c\":{\"d\":null}}";
        memcpy(cut, text, n);
        cut[n] = 0;
        if (*expected)
            finds(cut, expected, "cut_end");
        else
            finds(cut, "no JSON, also by repair: the text ends before anything whole", "");
    }
    finds("{'a': Tru", "no JSON, also by repair: the text ends before anything whole", "");
    finds("{'a': True", "{\"a\":true}", "single_quotes python_literals cut_end");
    finds("{\"a\": \"\\ud83d\\ude0", "{\"a\":\"\"}", "cut_end");
    finds("```json\n{\"a\": 1, \"b\"\n```", "{\"a\":1}", "fence cut_end");
}

static void test_not_repaired(void **unused) {
    finds("{\"a\":1,\"a\":2}", "no JSON, also by repair: line 1 column 8: duplicate key \"a\"", "");
    finds("{\"a\":1,'a':2}", "no JSON, also by repair: line 1 column 8: duplicate key \"a\"", "");
    finds("{\"a\":1e999}", "no JSON, also by repair: line 1 column 6: number too large for a double", "");
    finds("{\"a\":01}", "no JSON, also by repair: line 1 column 6: bad number, a leading zero", "");
    finds("{\"a\":\"\\ud800 \"}xxxxxxxx", "no JSON, also by repair: line 1 column 7: unknown escape in a string", "");
    finds("{\"a\":\"\\q\"}", "no JSON, also by repair: line 1 column 7: unknown escape in a string", "");
    finds("{\"a\": \"x,\n \"b\": \"y\"}", "no JSON, also by repair: line 1 column 7: string without its closing quote", "");
    finds("{\"a\" = 1}", "no JSON, also by repair: line 1 column 2: string without its closing quote", "");
    finds("{a = 1}", "no JSON, also by repair: line 1 column 4: expected : after a key", "");
    finds("\n {\"a\":\n ?}", "no JSON, also by repair: line 3 column 2: unexpected text, expected a value", "");
    struct buf b = BUF_INIT;
    for (int i = 0; i < 600; i++) buf_adds(&b, "[ ");
    buf_adds(&b, "1,");
    for (int i = 0; i < 600; i++) buf_addc(&b, ']');
    finds(b.p, "no JSON, also by repair: line 1 column 1025: nested too deeply", "");
    buf_release(&b);
}

static void test_schema(void **unused) {
    static const char text[] = "{\"type\":\"object\",\"required\":[\"a\"]}";
    struct schema *s = schema_compile(text, sizeof text - 1, "S", NULL);
    finds_by(s, false, "[1]: {\"b\":1} {'a':1}", "{\"a\":1}", "chatter single_quotes");
    finds_by(s, false, "[1]: {\"b\":1}", "at the top level: expected object, got [1]", "");
    finds_by(s, false, "{\"b\":1}", "at the top level: missing member \"a\"", "");
    finds_by(s, true, " {\"a\":1} ", "{\"a\":1}", "");
    finds_by(s, true, "```{\"a\":1}```", "not JSON: line 1 column 1: unexpected character, expected a value", "");
    finds_by(s, true, "{\"a\":1,}", "not JSON: line 1 column 8: expected a string as the key of a member", "");
    finds_by(s, true, "[1]", "at the top level: expected object, got [1]", "");
    schema_free(s);
}

/* The reader that forgives, set on valid JSON of every odd kind, finds nothing to forgive. */
static void test_valid_untouched(void **unused) {
    static const char *const cases[] = {
        "{}", "[]", "[[],{}]", "{ \"a\" : \"b\" , \"c\":[ ] }", "[\"it's\",\"'\",\"\\\"\",\"\xE2\x80\x9Cx\xE2\x80\x9D\",\"//\",\"/* */\",\"a,b\",\"a:b\",\"}\",\"]\"]",
        "[\"\\u0000\\ud83d\\ude00\\/\"]", "{\"\":\"\",\"a b\":null,\"'\":true,\"True\":false}", "[1,-0.5e+3,0,1E5]", "[\n\"a\"\n,\n\"b\"\n]", "{\"a\"\n:\n\"b\"\n}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_INIT;
        struct buf b = BUF_INIT;
        size_t end;
        unsigned rules;
        struct json_doc *d = json_parse(cases[i], strlen(cases[i]), &e), *again;
        assert_non_null(d);
        if (repair_mend(cases[i], strlen(cases[i]), 0, &b, &end, &rules, &e) < 0) fail_msg("%s: %s", cases[i], e.msg);
        assert_int_equal(rules, 0);
        assert_int_equal(end, strlen(cases[i]));
        again = json_parse(b.p, b.n, &e);
        assert_non_null(again);
        assert_true(json_equal(json_root(d), json_root(again)));
        json_doc_free(d);
        json_doc_free(again);
        buf_release(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_places),       cmocka_unit_test(test_rules),  cmocka_unit_test(test_cut),
                                       cmocka_unit_test(test_not_repaired), cmocka_unit_test(test_schema), cmocka_unit_test(test_valid_untouched)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

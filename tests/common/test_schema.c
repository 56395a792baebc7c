/* JSON Schema: the official suite (every case of the supported keywords agrees, the refused ones are counted), golden
   random cases from python's jsonschema, messages, references, fields, and what is given up rather than answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "suite.h"
#include "common/io/jsonl.h"
#include "common/text/schema.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct schema *compile(const char *text) {
    struct err e = ERR_INIT;
    struct schema *s = schema_compile(text, strlen(text), "S.json", &e);
    if (!s) fail_msg("%s: %s", text, e.msg);
    return s;
}

/* Message "" means valid. */
static void checks(const char *schema, const char *instance, const char *message) {
    struct err e = ERR_INIT;
    struct schema *s = compile(schema);
    struct json_doc *d = json_parse(instance, strlen(instance), &e);
    if (!d) fail_msg("%s: %s", instance, e.msg);
    int rc = schema_validate(s, json_root(d), &e);
    assert_int_equal(rc, *message ? -1 : 0);
    assert_string_equal(e.msg, message);
    assert_int_equal(e.code, *message ? RC_INPUT : 0);
    assert_int_equal(schema_validate(s, json_root(d), NULL), rc);
    json_doc_free(d);
    schema_free(s);
}

static void test_messages(void **unused) {
    static const char *const cases[][3] = {
        {"true", "1", ""},
        {"false", "1", "at the top level: nothing is allowed here, got 1"},
        {"{\"type\":\"integer\"}", "1.0", ""},
        {"{\"type\":[\"integer\",\"null\"]}", "1.5", "at the top level: expected null or integer, got 1.5"},
        {"{\"properties\":{\"f1\":{\"properties\":{\"p\":{\"enum\":[\"a\",\"b\"]}}}}}", "{\"f1\":{\"p\":\"A\"}}", "at /f1/p: expected one of \"a\", \"b\", got \"A\""},
        {"{\"items\":{\"const\":{\"a\":1}}}", "[{\"a\":1.0},{\"a\":2}]", "at /1: expected {\"a\":1}, got {\"a\":2}"},
        {"{\"required\":[\"a\",\"b\"]}", "{\"a\":1}", "at the top level: missing member \"b\""},
        {"{\"additionalProperties\":false,\"properties\":{\"a\":true}}", "{\"a\":1,\"c\":1}", "at the top level: unexpected member \"c\""},
        {"{\"minLength\":2}", "\"\xF0\x9F\x98\x80\"", "at the top level: expected at least 2 characters, got \"\xF0\x9F\x98\x80\""},
        {"{\"maxLength\":1}", "\"\xF0\x9F\x98\x80\"", ""},
        {"{\"maximum\":9007199254740992}", "9007199254740993", "at the top level: expected at most 9007199254740992, got 9007199254740993"},
        {"{\"exclusiveMinimum\":0.1}", "1e-1", "at the top level: expected more than 0.1, got 1e-1"},
        {"{\"multipleOf\":0.01}", "19.999", "at the top level: expected a multiple of 0.01, got 19.999"},
        {"{\"multipleOf\":0.01}", "19.99", ""},
        {"{\"pattern\":\"^a.$\"}", "\"ab\\n\"", "at the top level: expected a match of \"^a.$\", got \"ab\\n\""},
        {"{\"minItems\":2}", "[1]", "at the top level: 1 elements, expected at least 2"},
        {"{\"uniqueItems\":true}", "[{\"a\":1,\"b\":2},0,{\"b\":2,\"a\":1.0}]", "at the top level: elements 0 and 2 are equal, expected all different"},
        {"{\"contains\":{\"const\":1},\"maxContains\":1}", "[1,2,1]", "at the top level: 2 elements fit contains, expected at most 1"},
        {"{\"propertyNames\":{\"pattern\":\"^f\"}}", "{\"g\":1}", "at the top level: the name of member \"g\" does not fit propertyNames"},
        {"{\"maxProperties\":1}", "{\"a\":1,\"b\":2}", "at the top level: 2 members, expected at most 1"},
        {"{\"not\":{\"type\":\"null\"}}", "null", "at the top level: fits the schema of not, got null"},
        {"{\"oneOf\":[{\"minimum\":1},{\"maximum\":3}]}", "2", "at the top level: fits more than one of the 2 schemas of oneOf, got 2"},
        {"{\"anyOf\":[{\"minimum\":3},{\"maximum\":1}]}", "2", "at the top level: fits none of the 2 schemas of anyOf, got 2"},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"$ref\":\"#/$defs/x\"}],\"$defs\":{\"x\":{\"type\":\"object\",\"required\":[\"a\"]}}}", "{}", "at the top level: missing member \"a\""},
        {"{\"anyOf\":[{\"type\":\"object\",\"required\":[\"a\"]},true]}", "{}", ""},
        {"{\"if\":{\"type\":\"string\"},\"then\":{\"minLength\":1},\"else\":{\"minimum\":5}}", "4", "at the top level: expected at least 5, got 4"},
        {"{\"const\":\"a\\u0000b\"}", "\"a\\u0000c\"", "at the top level: expected \"a\\u0000b\", got \"a\\u0000c\""},
        {"{\"type\":\"null\"}", "\"123456789012345678901234567890123456789012345678901234\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\"",
         "at the top level: expected null, got \"123456789012345678901234567890123456789012345678901234\xC3\xA9..."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) checks(cases[i][0], cases[i][1], cases[i][2]);
}

static void test_refused(void **unused) {
    static const char *const cases[][2] = {
        {"{", "S.json:1: column 2: text ends inside an object"},
        {"3", "S.json: at #: not a schema, expected an object, true or false"},
        {"{\"properties\":{\"a/b\":{\"format\":\"color\"}}}", "S.json: at #/properties/a~1b: format \"color\" is not supported, so it could not be kept"},
        {"{\"$vocabulary\":{}}", "S.json: at #: keyword \"$vocabulary\" is not supported, so it could not be kept"},
        {"{\"dependentRequired\":{\"a\":[1]}}", "S.json: at #: dependentRequired: expected arrays of strings"},
        {"{\"dependentSchemas\":{\"a\":3}}", "S.json: at #/dependentSchemas/a: not a schema, expected an object, true or false"},
        {"{\"$dynamicRef\":\"#x\"}", "S.json: at #/$dynamicRef: $ref #x leads nowhere"},
        {"{\"allOf\":[true,{\"typ\":\"string\"}]}", "S.json: at #/allOf/1: keyword \"typ\" is not supported, so it could not be kept"},
        {"{\"type\":\"str\"}", "S.json: at #: type: expected null, boolean, number, integer, string, array, object, or an array of them"},
        {"{\"minLength\":-1}", "S.json: at #: minLength: expected a whole number, zero or more"},
        {"{\"minLength\":1.5}", "S.json: at #: minLength: expected a whole number, zero or more"},
        {"{\"multipleOf\":0}", "S.json: at #: multipleOf: expected a number above zero"},
        {"{\"enum\":\"a\"}", "S.json: at #: enum: expected an array"},
        {"{\"required\":[1]}", "S.json: at #: required: expected an array of strings"},
        {"{\"anyOf\":[]}", "S.json: at #: anyOf: expected a non-empty array of schemas"},
        {"{\"pattern\":\"a(\"}", "S.json: at #: regular expression a(: missing closing parenthesis"},
        {"{\"pattern\":\"\\\\Aa\"}", "S.json: at #: regular expression \\Aa: escape \\A is not ECMA-262's"},
        {"{\"pattern\":\"(?i)a\"}", "S.json: at #: regular expression (?i)a: group (?i is not ECMA-262's"},
        {"{\"pattern\":\"(*LIMIT_MATCH=1)a\"}", "S.json: at #: regular expression (*LIMIT_MATCH=1)a: group (*L is not ECMA-262's"},
        {"{\"$ref\":\"#/$defs/x\"}", "S.json: at #: $ref #/$defs/x leads nowhere"},
        {"{\"$ref\":\"other.json\"}", "S.json: at #: $ref other.json leads out of this file, expected #/…"},
        {"{\"$ref\":\"#\"}", "S.json: at #: $ref comes back to itself without going down in the instance"},
        {"{\"$defs\":{\"a\":{\"allOf\":[{\"$ref\":\"#/$defs/b\"}]},\"b\":{\"not\":{\"$ref\":\"#/$defs/a\"}}}}", "S.json: at #/$defs/a: $ref comes back to itself without going down in the instance"},
        {"{\"$defs\":{\"a\":{\"$anchor\":\"x\"},\"b\":{\"$anchor\":\"x\"}}}", "S.json: at #/$defs/b: $anchor x stands twice"},
        {"{\"$schema\":\"http://json-schema.org/draft-03/schema#\"}", "S.json: at #: $schema \"http://json-schema.org/draft-03/schema#\" is not supported, expected https://json-schema.org/draft/2020-12/schema"},
        {"{\"items\":{\"$id\":\"x\"}}", "S.json: at #/items: $id below the root is not supported"},
        {"{\"type\":\"null\",\"type\":\"null\"}", "S.json:1: column 16: duplicate key \"type\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_INIT;
        struct schema *s = schema_compile(cases[i][0], strlen(cases[i][0]), "S.json", &e);
        if (s) fail_msg("accepted: %s", cases[i][0]);
        assert_string_equal(e.msg, cases[i][1]);
        assert_int_equal(e.code, RC_INPUT);
        assert_null(schema_compile(cases[i][0], strlen(cases[i][0]), "S.json", NULL));
    }
}

static void test_references(void **unused) {
    checks("{\"$id\":\"http://x/s.json\",\"$ref\":\"http://x/s.json#/$defs/a\",\"$defs\":{\"a\":{\"type\":\"null\"}}}", "1", "at the top level: expected null, got 1");
    checks("{\"$ref\":\"#n\",\"definitions\":{\"a\":{\"$anchor\":\"n\",\"type\":\"null\"}}}", "1", "at the top level: expected null, got 1");
    checks("{\"$ref\":\"#/$defs/a~1b%25~0\",\"$defs\":{\"a/b%~\":{\"type\":\"null\"}}}", "1", "at the top level: expected null, got 1");
    checks("{\"$ref\":\"#/x-y/0\",\"x-y\":[{\"type\":\"null\"}]}", "1", "at the top level: expected null, got 1");
    checks("{\"properties\":{\"next\":{\"$ref\":\"#\"},\"v\":{\"type\":\"number\"}}}", "{\"next\":{\"next\":{\"v\":\"x\"}}}", "at /next/next/v: expected number, got \"x\"");
}

/* ECMA-262 and PCRE2 differ here. */
static void test_patterns(void **unused) {
    static const struct {
        const char *pattern, *text;
        bool hit;
    } cases[] = {
        {"^\\\\d$", "\xDF\x80", false}, {"^\\\\w$", "\xC3\xA9", false}, {"^\\\\s$", "\xC2\xA0", true}, {"^\\\\S$", "\xC2\xA0", false},
        {"^[\\\\s]$", "\xEF\xBB\xBF", true}, {"^[^\\\\S]$", "\xE2\x80\xA8", true}, {"^[\\\\s\\\\S]$", "\xE2\x80\xA8", true}, {"^[\\\\S]$", "\xE2\x80\xA8", false},
        {"^.$", "\xE2\x80\xA8", false}, {"^.$", "\xF0\x9F\x98\x80", true}, {"^a$", "a\\n", false}, {"^[[:alpha:]]$", "a", false},
        {"^[[:alpha:]]$", "a]", true}, {"\\\\u00e9", "caf\xC3\xA9", true}, {"^\\\\u{1F600}$", "\xF0\x9F\x98\x80", true}, {"^\\\\p{L}+$", "\xC3\xA9\xC3\xA9", true},
        {"^\\\\v$", "\\n", false}, {"^\\\\v$", "\\u000b", true}, {"a[]", "a", false}, {"a[^]", "a\\n", true}, {"sx|ez", "expression", false}, {"^(?<x>a)\\\\k<x>$", "aa", true}, {"^[.]$", "a", false}, {"^[\\\\]\\\\.]$", "]", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char schema[100], instance[40];
        struct err e = ERR_INIT;
        snprintf(schema, sizeof schema, "{\"pattern\":\"%s\"}", cases[i].pattern);
        snprintf(instance, sizeof instance, "\"%s\"", cases[i].text);
        struct schema *s = compile(schema);
        struct json_doc *d = json_parse(instance, strlen(instance), &e);
        assert_non_null(d);
        if ((schema_validate(s, json_root(d), NULL) == 0) != cases[i].hit) fail_msg("%s on %s", schema, instance);
        json_doc_free(d);
        schema_free(s);
    }
}

/* k arrays inside each other. */
static struct json_doc *nest(int k) {
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    for (int i = 0; i < k; i++) buf_addc(&b, '[');
    for (int i = 0; i < k; i++) buf_addc(&b, ']');
    struct json_doc *d = json_parse(b.p, b.n, &e);
    if (!d) fail_msg("%s", e.msg);
    buf_release(&b);
    return d;
}

static void gives_up(const char *schema, struct json_doc *d, const char *message) {
    struct err e = ERR_INIT;
    struct schema *s = compile(schema);
    assert_int_equal(schema_validate(s, json_root(d), &e), -1);
    assert_string_equal(e.msg, message);
    json_doc_free(d);
    schema_free(s);
}

/* What would take for ever or fill the stack is neither valid nor invalid, also under not. */
static void test_given_up(void **unused) {
    gives_up("{\"anyOf\":[{\"items\":{\"$ref\":\"#\"},\"minItems\":1},{\"items\":{\"$ref\":\"#\"},\"minItems\":1}]}", nest(100), "validation given up: too many steps");
    gives_up("{\"not\":{\"pattern\":\"^(a+)+[bc]$\"}}", json_parse("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", 48, NULL),
             "validation given up: a regular expression backtracks too much");
    struct buf b = BUF_INIT;
    for (int i = 0; i < 20; i++) buf_adds(&b, "{\"allOf\":[");
    buf_adds(&b, "{\"items\":{\"$ref\":\"#\"}}");
    for (int i = 0; i < 20; i++) buf_adds(&b, "]}");
    gives_up(b.p, nest(JSON_MAX_DEPTH), "validation given up: schemas and instance are nested too deeply");
    struct schema *s = compile(b.p);
    struct json_doc *d = nest(200);
    assert_int_equal(schema_validate(s, json_root(d), NULL), 0);
    json_doc_free(d);
    schema_free(s);
    buf_release(&b);
}

/* ---- fields ---- */
static void test_fields(void **unused) {
    struct schema *s = compile("{\"$defs\":{\"pol\":{\"enum\":[\"Positivo\",\"Neutro\"]},\"node\":{\"properties\":{\"again\":{\"$ref\":\"#/$defs/node\"},\"k\":{\"enum\":[\"x\"]}}}},"
                               "\"properties\":{\"f1\":{\"type\":\"object\",\"properties\":{\"polaridade\":{\"$ref\":\"#/$defs/pol\"},\"n\":{\"enum\":[1,\"a\"]},\"emocao\":{\"allOf\":[{\"enum\":[\"Medo\"]}]}}},"
                               "\"why\":{\"type\":\"string\"},\"list\":{\"items\":{\"properties\":{\"z\":{\"enum\":[\"q\"]}}}},\"f2\":{\"$ref\":\"#/$defs/node\"}}}");
    assert_int_equal(schema_n_fields(s), 3);
    assert_string_equal(schema_field(s, 0), "f1.polaridade");
    assert_int_equal(schema_field_n_values(s, 0), 2);
    assert_string_equal(schema_field_value(s, 0, 1), "Neutro");
    assert_string_equal(schema_field(s, 1), "f1.emocao");
    assert_string_equal(schema_field(s, 2), "f2.k");
    schema_free(s);
    struct buf b = BUF_INIT; /* paths double at each step */
    buf_adds(&b, "{\"$ref\":\"#/$defs/0\",\"$defs\":{");
    for (int i = 0; i < 40; i++) buf_addf(&b, "\"%d\":{\"properties\":{\"a\":{\"$ref\":\"#/$defs/%d\"},\"b\":{\"$ref\":\"#/$defs/%d\"}}},", i, i + 1, i + 1);
    buf_adds(&b, "\"40\":true}}");
    struct err e = ERR_INIT;
    assert_null(schema_compile(b.p, b.n, "S.json", &e));
    assert_string_equal(e.msg, "S.json: at #: references make more than 100000 paths of properties");
    buf_release(&b);
}

/* ---- tests/oracle/schema_cases.py ---- */
static void test_oracle(void **unused) {
    struct err e = ERR_INIT;
    struct record *r;
    int rc, n[2] = {0};
    struct jsonl *in = jsonl_open("tests/data/json/schema.jsonl", &e);
    if (!in) fail_msg("%s", e.msg);
    while ((rc = jsonl_next(in, &r, &e)) > 0) {
        const struct json *text = record_get(r, "schema");
        bool valid = record_get(r, "valid")->truth;
        struct schema *s = schema_compile(text->raw, text->raw_len, "S.json", &e);
        if (!s) fail_msg("line %d: %s", (int)record_line(r), e.msg);
        if ((schema_validate(s, record_get(r, "instance"), NULL) == 0) != valid) fail_msg("line %d: expected %s", (int)record_line(r), valid ? "valid" : "invalid");
        n[valid]++;
        schema_free(s);
        record_free(r);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(n[0], 300);
    assert_int_equal(n[1], 300);
    jsonl_close(in);
}

/* ---- json-schema-org/JSON-Schema-Test-Suite, commit 44401e0c046704b476ec9d2e2fccdaee618f259d ---- */
struct counts {
    bool assert_format;
    int stricter; /* valid ones refused, known by known_stricter */
    int agreed, refused, refused_groups;
};

/* Formats refuse what no pattern tells from the wrong: leap seconds beyond Z, host names that are Punycode. */
static bool known_stricter(const char *description, const struct json *data) {
    return strstr(description, "leap second") || (data->type == JSON_STRING && strstr(data->str, "xn--"));
}

static void suite_group(const char *file, const struct json *group, void *arg) {
    struct counts *n = arg;
    struct err e = ERR_INIT;
    const struct json *text = json_get(group, "schema");
    struct schema_options o = {.annotate_format = !n->assert_format};
    struct schema *s = schema_compile_with(text->raw, text->raw_len, file, &o, &e);
    if (!s) {
        print_message("# refused: %s: %s\n", json_get(group, "description")->str, e.msg);
        if (e.code != RC_INPUT || (!strstr(e.msg, "not supported") && !strstr(e.msg, "leads out of") && !strstr(e.msg, "regular expression"))) fail_msg("%s", e.msg);
        n->refused_groups++;
        n->refused += (int)json_get(group, "tests")->count;
        return;
    }
    for (const struct json *t = json_get(group, "tests")->first; t; t = t->next) {
        bool valid = json_get(t, "valid")->truth;
        e = (struct err)ERR_INIT;
        bool known = known_stricter(json_get(t, "description")->str, json_get(t, "data"));
        if (known && valid && n->assert_format && schema_validate(s, json_get(t, "data"), NULL) < 0) {
            n->stricter++;
            continue;
        }
        if ((schema_validate(s, json_get(t, "data"), &e) == 0) != valid)
            fail_msg("%s, %s, %s: expected %s, %s", file, json_get(group, "description")->str, json_get(t, "description")->str, valid ? "valid" : "invalid", e.msg);
        n->agreed++;
    }
    schema_free(s);
}

static void test_suite(void **unused) {
    static const char *const optional[] = {"bignum.json", "float-overflow.json", "non-bmp-regex.json", "ecmascript-regex.json", "no-schema.json", "refOfUnknownKeyword.json", NULL};
    struct counts n = {0}, more = {0}, format = {.assert_format = true};
    char *dir = suite_draft(), *sub = io_join(dir, "optional"), *third = io_join(sub, "format");
    suite_each(dir, NULL, suite_group, &n);
    suite_each(sub, optional, suite_group, &more);
    suite_each(third, suite_formats, suite_group, &format);
    print_message("# %d cases agree, %d refused in %d schemas; optional: %d agree, %d refused in %d\n", n.agreed, n.refused, n.refused_groups, more.agreed, more.refused, more.refused_groups);
    print_message("# formats: %d agree, %d stricter\n", format.agreed, format.stricter);
    assert_int_equal(format.agreed, 591);
    assert_int_equal(format.stricter, 21);
    assert_int_equal(n.agreed, 1182);
    assert_int_equal(n.refused, 117);
    assert_int_equal(more.agreed, 87);
    assert_int_equal(more.refused, 22);
    free(dir);
    free(sub);
    free(third);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_messages), cmocka_unit_test(test_refused), cmocka_unit_test(test_references), cmocka_unit_test(test_patterns),
                                       cmocka_unit_test(test_given_up), cmocka_unit_test(test_fields), cmocka_unit_test(test_oracle), cmocka_unit_test(test_suite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

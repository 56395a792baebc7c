/* YAML trees: shapes, lines, quoting, typed reads, and everything that is refused by name. */
#include "common/io/yaml.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static struct yaml *parse(const char *text) {
    struct err e = ERR_INIT;
    struct yaml *y = yaml_parse(text, strlen(text), "f.yaml", &e);
    if (!y) print_message("%s\n", e.msg);
    assert_non_null(y);
    return y;
}

static void refuses_n(const char *text, size_t n, const char *expected) {
    struct err e = ERR_INIT;
    assert_null(yaml_parse(text, n, "f.yaml", &e));
    assert_string_equal(e.msg, expected);
    assert_int_equal(e.code, RC_INPUT);
}

static void refuses(const char *text, const char *expected) { refuses_n(text, strlen(text), expected); }

static void test_tree(void **state) {
    struct yaml *y = parse("a: 1\nb:\n  - x\n  - {c: 'y', d: }\n# comment\nt: |\n  one\n  two\n\ns: >\n  one\n  two\nq: \"\"\n");
    assert_int_equal(y->type, YAML_MAP);
    assert_int_equal(y->count, 5);
    struct yaml *b = yaml_get(y, "b");
    assert_int_equal(b->type, YAML_LIST);
    assert_int_equal(b->count, 2);
    assert_int_equal(b->key_line, 2);
    assert_int_equal(b->line, 3);
    assert_null(b->first->key);
    struct yaml *c = yaml_get(b->first->next, "c"), *d = yaml_get(b->first->next, "d");
    assert_string_equal(c->text, "y");
    assert_true(c->quoted);
    assert_int_equal(c->line, 4);
    assert_true(yaml_is_null(d));
    assert_string_equal(yaml_get(y, "t")->text, "one\ntwo\n");
    assert_true(yaml_get(y, "t")->quoted);
    assert_int_equal(yaml_get(y, "t")->line, 6);
    assert_string_equal(yaml_get(y, "s")->text, "one two\n");
    assert_false(yaml_is_null(yaml_get(y, "q")));
    assert_null(yaml_get(y, "z"));
    assert_null(yaml_get(b, "a"));
    yaml_free(y);
}

static void test_small(void **state) {
    const char *empties[] = {"", "\n", "# only a comment\n", "\xEF\xBB\xBF"};
    for (int i = 0; i < 4; i++) {
        struct yaml *y = parse(empties[i]);
        assert_int_equal(y->type, YAML_MAP);
        assert_int_equal(y->count, 0);
        yaml_free(y);
    }
    struct yaml *y = parse("\xEF\xBB\xBF" "ação: é\n");
    assert_string_equal(yaml_get(y, "ação")->text, "é");
    yaml_free(y);
    y = parse("--- just a word\n");
    assert_int_equal(y->type, YAML_SCALAR);
    yaml_free(y);
}

static void test_refused(void **state) {
    refuses("a: 1\nb: 2\na: 3\n", "f.yaml:3: key 'a' stands twice, first on line 1");
    refuses("a: &x 1\n", "f.yaml:1: anchor &x: anchors are not supported, expected the value itself");
    refuses("b: 1\na: &x {c: 1}\n", "f.yaml:2: anchor &x: anchors are not supported, expected the value itself");
    refuses("a: *x\n", "f.yaml:1: alias *x: aliases are not supported, expected the value itself");
    refuses("a: !!str 1\n", "f.yaml:1: tag tag:yaml.org,2002:str: tags are not supported, expected a plain value");
    refuses("\n<<: {a: 1}\n", "f.yaml:2: merge key <<: merge keys are not supported, expected the members themselves");
    refuses("[a, b]: 1\n", "f.yaml:1: the key is a list or a map, expected a word");
    refuses("a: 1\n---\nb: 2\n", "f.yaml:2: a second document starts here, expected one");
    refuses("a: \"x\\0y\"\n", "f.yaml:1: NUL inside a string, expected text");
    refuses("a: 1\nb: [1, 2\n", "f.yaml:3: did not find expected ',' or ']' while parsing a flow sequence");
    refuses("a: 1\nb: caf\xE9!!\n", "f.yaml:2: invalid trailing UTF-8 octet, expected UTF-8 text");
    refuses_n("a: 1\nb: \0\n", 10, "f.yaml:2: control characters are not allowed, expected UTF-8 text");
    char deep[200];
    memset(deep, '[', sizeof deep);
    refuses_n(deep, sizeof deep, "f.yaml:1: nested deeper than 64 levels");
}

static void test_typed(void **state) {
    struct err e = ERR_INIT;
    struct yaml *y = parse("i: -12\nbig: 9223372036854775808\nr: 4e-4\nq: '3'\nyes: YES\nno: off\ns: text\nn:\nl: [0x10, inf, nan, 1_0, ' 1']\n");
    int64_t i;
    double r;
    bool b;
    const char *s;
    assert_int_equal(yaml_int(yaml_get(y, "i"), "f", &i, &e), 0);
    assert_int_equal(i, -12);
    assert_int_equal(yaml_real(yaml_get(y, "i"), "f", &r, &e), 0);
    assert_true(r == -12);
    assert_int_equal(yaml_real(yaml_get(y, "r"), "f", &r, &e), 0);
    assert_true(r == 4e-4);
    assert_int_equal(yaml_int(yaml_get(y, "r"), "f", &i, &e), -1);
    assert_string_equal(e.msg, "f:3: r: expected a whole number, found '4e-4'");
    assert_int_equal(yaml_int(yaml_get(y, "big"), "f", &i, &e), -1);
    assert_int_equal(yaml_int(yaml_get(y, "q"), "f", &i, &e), -1);
    assert_string_equal(e.msg, "f:4: q: expected a whole number, found \"3\"");
    assert_int_equal(yaml_bool(yaml_get(y, "yes"), "f", &b, &e), 0);
    assert_true(b);
    assert_int_equal(yaml_bool(yaml_get(y, "no"), "f", &b, &e), 0);
    assert_false(b);
    assert_int_equal(yaml_bool(yaml_get(y, "s"), "f", &b, &e), -1);
    assert_int_equal(yaml_str(yaml_get(y, "s"), "f", &s, &e), 0);
    assert_string_equal(s, "text");
    assert_int_equal(yaml_str(yaml_get(y, "n"), "f", &s, &e), -1);
    assert_int_equal(yaml_str(yaml_get(y, "l"), "f", &s, &e), -1);
    assert_string_equal(e.msg, "f:9: l: expected a string, found a list");
    for (const struct yaml *x = yaml_get(y, "l")->first; x; x = x->next) {
        assert_int_equal(yaml_int(x, "f", &i, &e), -1);
        assert_int_equal(yaml_real(x, "f", &r, &e), -1);
    }
    yaml_free(y);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tree), cmocka_unit_test(test_small),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_typed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

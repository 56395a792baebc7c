/* ${…} as DVC reads it: values, escapes, numbers' text, nesting, what is refused. */
#include "common/flow/vars.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char text[] = "- name: ana\n"
                           "  lr: 4e-4\n"
                           "  a: {b: [x, {c: 'y z'}], n: -3}\n"
                           "  empty:\n"
                           "  blank: ''\n"
                           "- a: {d: true}\n"
                           "  quoted: '1e-5'\n";

static struct vars open_vars(const char *yaml) {
    struct err e = ERR_INIT;
    struct vars v;
    struct yaml *y = yaml_parse(yaml, strlen(yaml), "t.yaml", &e);
    assert_non_null(y);
    vars_init(&v);
    if (vars_merge(&v, y, "t.yaml", false, &e) < 0) fail_msg("%s", e.msg);
    yaml_free(y);
    return v;
}

static void expands(const struct vars *v, const char *from, const char *to) {
    struct err e = ERR_INIT;
    char *s = vars_expand(v, from, NULL, &e);
    if (!s) fail_msg("%s: %s", from, e.msg);
    assert_string_equal(s, to);
    free(s);
}

static void refuses(const struct vars *v, const char *from, const char *why) {
    struct err e = ERR_INIT;
    char *s = vars_expand(v, from, NULL, &e);
    if (s) fail_msg("%s became %s", from, s);
    if (!strstr(e.msg, why)) fail_msg("%s: %s, expected %s", from, e.msg, why);
    assert_int_equal(e.code, RC_INPUT);
}

static void references(void **state) {
    struct vars v = open_vars(text);
    expands(&v, "", "");
    expands(&v, "no reference $x {y} ${", "no reference $x {y} ${");
    expands(&v, "${name}", "ana");
    expands(&v, "a ${name}${name} b", "a anaana b");
    expands(&v, "${ name }", "ana");
    expands(&v, "${a.b[0]}-${a.b.0}-${a[b][0]}", "x-x-x");
    expands(&v, "${a.b[1].c}", "y z");
    expands(&v, "${a.n} ${a.d}", "-3 true");
    expands(&v, "[${blank}]", "[]");
    expands(&v, "\\${name} \\${ \\$ $", "${name} ${ \\$ $");
    expands(&v, "${lr} ${quoted}", "0.0004 1e-5");
    vars_release(&v);
}

static void refused(void **state) {
    static const char *const malformed[] = {"${}", "${.}", "${a..b}", "${a.}", "${.a}", "${a[b}", "${a]}", "${a[}", "${a[]}", "${a[0]b}", "${[a]}"};
    struct vars v = open_vars(text);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) refuses(&v, malformed[i], "expected a name like");
    refuses(&v, "x ${nam}", "${nam}: no such variable");
    refuses(&v, "${a.b[2]}", "no such variable");
    refuses(&v, "${a.b[-1]}", "no such variable");
    refuses(&v, "${name.x}", "no such variable");
    refuses(&v, "${item}", "no such variable");
    refuses(&v, "${a}", "${a} is a map");
    refuses(&v, "${a.b}", "${a.b} has an element that is a map");
    refuses(&v, "${empty}", "${empty} is empty");
    vars_release(&v);
}

/* Texts from Python 3: str(yaml value) under YAML 1.2. */
static void numbers(void **state) {
    static const char *const pairs[][2] = {
        {"0", "0"}, {"-0", "0"}, {"-012", "-12"}, {"+7", "7"}, {"007", "7"}, {"12345678901234567890123", "12345678901234567890123"},
        {"1.0", "1.0"}, {"1.", "1.0"}, {".5", "0.5"}, {"1e3", "1000.0"}, {"1E-4", "0.0001"}, {"1e-5", "1e-05"}, {"-2.5e-7", "-2.5e-07"},
        {"1e15", "1000000000000000.0"}, {"1e16", "1e+16"}, {"1.5e300", "1.5e+300"}, {"0.1", "0.1"}, {"0.30000000000000004", "0.30000000000000004"},
        {"0.0", "0.0"}, {"123456.789", "123456.789"}, {"1e999", "1e999"}, {"1.2.3", "1.2.3"}, {"1e", "1e"}, {".", "."}, {"e5", "e5"},
        {"True", "true"}, {"FALSE", "false"}, {"true", "true"}, {"yes", "yes"}, {"'True'", "True"}, {"'007'", "007"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char yaml[100];
        snprintf(yaml, sizeof yaml, "- x: %s\n", pairs[i][0]);
        struct vars v = open_vars(yaml);
        expands(&v, "${x}", pairs[i][1]);
        vars_release(&v);
    }
}

static void odd_numbers(void **state) {
    static const char *const odd[] = {"0x10", "-0o17", "0b1", "1_000", "1_0.5"}, *const text_[] = {"0xyz", "1_a", "0x", "_1", "0"};
    for (size_t i = 0; i < 5; i++) {
        char yaml[100];
        snprintf(yaml, sizeof yaml, "- odd: %s\n  plain: %s\n", odd[i], text_[i]);
        struct vars v = open_vars(yaml);
        refuses(&v, "${odd}", "another number to DVC");
        expands(&v, "${plain}", text_[i]);
        vars_release(&v);
    }
}

static void merging(void **state) {
    struct vars v = open_vars(text);
    struct err e = ERR_INIT;
    const char more[] = "- name: eva\n  a: {n: [1]}\n  fresh: 1\n";
    struct yaml *y = yaml_parse(more, strlen(more), "m.yaml", &e);
    assert_int_equal(vars_merge(&v, y, "m.yaml", false, &e), -1);
    assert_string_equal(e.msg, "m.yaml:1: variable name is already defined");
    assert_int_equal(vars_merge(&v, y, "m.yaml", true, &e), 0);
    expands(&v, "${name} ${a.n[0]} ${a.d} ${fresh}", "eva 1 true 1");
    yaml_free(y);
    vars_release(&v);
}

static void setting(void **state) {
    struct vars v = open_vars(text);
    struct err e = ERR_INIT;
    assert_int_equal(vars_set(&v, "a.b[1].c=new=1", &e), 0);
    assert_int_equal(vars_set(&v, "lr=1e-5", &e), 0);
    assert_int_equal(vars_set(&v, "name=", &e), 0);
    assert_int_equal(vars_set(&v, "empty=now", &e), 0);
    expands(&v, "${a.b[1].c} ${lr} [${name}] ${empty}", "new=1 1e-05 [] now");
    assert_int_equal(vars_set(&v, "a.b=[7, 'x y', 1e-4]", &e), 0);
    expands(&v, "${a.b} ${a.b[0]} ${a.d}", "7 x y 0.0001 7 true");
    static const char *const wrong[] = {"lr", "=1", "l=1", "a=1", "a.b=1", "a.b=[]", "a.b={c: 1}", "a.b=[1", "lr.x=1", "lr[=1", "name=\xff"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (vars_set(&v, wrong[i], &e) == 0) fail_msg("%s was taken", wrong[i]);
        assert_int_equal(e.code, RC_USAGE);
    }
    vars_release(&v);
}

/* "${x}" alone takes a list or a map over; inside text it is a string. */
static void resolving(void **state) {
    struct vars v = open_vars(text);
    struct err e = ERR_INIT;
    struct var_uses u = {0};
    const char src[] = "all: ${a.b}\nsome: ['pre-${name}', '${lr}', plain]\n";
    struct yaml *y = yaml_parse(src, strlen(src), "s.yaml", &e), *r = y ? vars_resolve(&v, y, &u, &e) : NULL;
    assert_non_null(r);
    struct yaml *all = yaml_get(r, "all"), *some = yaml_get(r, "some");
    assert_int_equal(all->type, YAML_LIST);
    assert_int_equal(all->count, 2);
    assert_int_equal(all->line, 1);
    assert_string_equal(some->first->text, "pre-ana");
    assert_string_equal(some->first->next->text, "4e-4");
    assert_string_equal(some->first->next->next->text, "plain");
    assert_int_equal(u.n, 2); /* name and lr; a list has no text */
    assert_string_equal(u.v[1].value, "0.0004");
    var_uses_release(&u);
    yaml_free(r);
    yaml_free(y);
    vars_release(&v);
}

static void in_foreach(void **state) {
    struct vars v = open_vars("- item: global\n  m: {k: {bits: 4}}\n");
    struct yaml *item = yaml_get(yaml_get(v.root, "m"), "k");
    expands(&v, "${item}", "global");
    v.item = item;
    v.key = "k";
    expands(&v, "${item.bits} ${key} ${m.k.bits}", "4 k 4");
    v.item = NULL;
    v.key = NULL;
    refuses(&v, "${key}", "no such variable");
    vars_release(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references), cmocka_unit_test(refused),   cmocka_unit_test(numbers),    cmocka_unit_test(merging),
        cmocka_unit_test(setting),    cmocka_unit_test(resolving), cmocka_unit_test(in_foreach), cmocka_unit_test(odd_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* GBNF grammars: every construct of llama.cpp's guide (grammars/README.md), texts that fit and that do not, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/text/mask.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct grammar_options plain = {.prefix = ""};

static bool accepts(struct grammar *g, const char *s) {
    uint32_t state = grammar_start(g);
    for (; *s && state != GRAMMAR_DEAD; s++) state = grammar_byte(g, state, (unsigned char)*s);
    return state != GRAMMAR_DEAD && grammar_done(g, state);
}

static struct grammar *make(const char *text) {
    struct err e = ERR_INIT;
    struct grammar *g = grammar_from_gbnf(text, strlen(text), "G.gbnf", &plain, &e);
    if (!g) fail_msg("%s\n%s", text, e.msg);
    return g;
}

#define CHESS                                                                                                              \
    "# the overall output\nroot ::= (\n    # the first move\n    \"1. \" move \" \" move \"\\n\"\n\n    # and more\n"       \
    "    ([1-9] [0-9]? \". \" move \" \" move \"\\n\")+\n)\nmove ::= (pawn | nonpawn | castle) [+#]?\n\n"                   \
    "nonpawn ::= [NBKQR] [a-h]? [1-8]? \"x\"? [a-h] [1-8]\npawn ::= ([a-h] \"x\")? [a-h] [1-8] (\"=\" [NBKQR])?\n"          \
    "castle ::= \"O-O\" \"-O\"?\n"
#define PEOPLE                                                                                                              \
    "char ::= [^\"\\\\\\x7F\\x00-\\x1F] | [\\\\] ([\"\\\\bfnrt] | \"u\" [0-9a-fA-F]{4})\nspace ::= | \" \" | \"\\n\" [ \\t]{0,20}\n" \
    "item ::= \"{\" space \"\\\"name\\\"\" space \":\" space name \"}\" space\nname ::= \"\\\"\" char{1,5} \"\\\"\" space\n"   \
    "root ::= \"[\" space item (\",\" space item){1,2} \"]\" space\n"

static void test_accepts(void **unused) {
    static const struct {
        const char *grammar, *good, *bad; /* texts parted by | */
    } cases[] = {
        {CHESS, "1. e4 e5\n2. Nf3 Nc6\n|1. exd8=Q O-O-O+\n10. Kxe1# a1\n", "1. e4 e5\n|1. e4 e5\n2. Nf3 Nc6|1.e4 e5\n2. a1 a1\n"},
        {PEOPLE, "[{\"name\":\"ab\"},{\"name\": \"\\u00e9\\n\" } ]\n  |[{\"name\":\"a\"}, {\"name\":\"b\"}, {\"name\":\"c\"}]",
         "[{\"name\":\"a\"}]|[{\"name\":\"\"},{\"name\":\"a\"}]|[{\"name\":\"abcdef\"},{\"name\":\"a\"}]|[{\"name\":\"a\x01\"},{\"name\":\"a\"}]"},
        {"root ::= (\"- \" item)+\nitem ::= [^\\n]+ \"\\n\"", "- a\n|- \xc3\xa9;\n- b\n", "- \n|a\n|- a"},
        {"root ::= hiragana\nhiragana ::= [\xe3\x81\x81-\xe3\x82\x9f]{2}", "\xe3\x81\x82\xe3\x82\x9f", "\xe3\x81\x82|a\xe3\x81\x82|\xe3\x82\xa0\xe3\x82\xa0"},
        {"root ::= \"\\x41\\u00e9\\U0001F600\"", "A\xc3\xa9\xf0\x9f\x98\x80", "A\xe9"},
        {"root ::= \"ab\"{2} \"c\"{1,} \"d\"{0,1} \"e\"{ 1 , 2 }", "ababce|ababcccdee", "abce|ababde|ababcddee|ababceee|abbce"},
        {"root ::= [-a] [b-] [a\\-c] [\\]\\[] [x^]", "-ba]^|a--[x", "bba]^|abb]^"},
        {"root ::= . \".\" [.]", "\n..|\xe2\x82\xac..", "..|a.b|ab."},
        {"root ::= \"a\" |\n  # more\n  \"b\" |\r\n\t\"c\"\r\n", "a|b|c", "|d|ab"},
        {"root ::=\n \"a\"", "a", "b"},
        {"root ::= UPPER-CASE rule_123? dataType*\nUPPER-CASE ::= \"U\"\nrule_123 ::= \"1\"\ndataType ::= \"t\"", "U|U1|U1tt|Ut", "1|Utt1"},
        {"root ::= s\ns ::= \"(\" s \")\" s | ", "|()|(())()|((()()))", "(|)|())|(()"},
        {"root ::= list ws\nlist ::= \"a\" (\",\" list)? ws\nws ::= \" \"*", "a|a,a  |a,a,a   ", "a,| a|a ,a"},
        {"root ::= (\"a\"*)* (\"b\"?){2} (\"c\"{0,2}){3,}", "|aab|abb|cccccc|bccccccccc", "abbb|ca"},
        {"root ::= \"a\"?+ # counts upon each other\n# the end", "|a|aaa", "b"},
        {"root ::= \"\" \"x\" (\"\")", "x", "|xx"},
        {"root ::= \"a\" \"b\"# no space\n", "ab", "a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grammar *g = make(cases[i].grammar);
        for (int k = 0; k < 2; k++) {
            char *all = xstrdup(k ? cases[i].bad : cases[i].good), *rest = all, *one;
            while ((one = strsep(&rest, "|")))
                if (accepts(g, one) != !k) fail_msg("%s\non '%s': expected %s", cases[i].grammar, one, k ? "no" : "yes");
            free(all);
        }
        grammar_free(g);
    }
}

static void test_refused(void **unused) {
    static const char *const cases[][2] = {
        {"", "G.gbnf:1: no rule root, expected root ::= …"},
        {"# nothing\n", "G.gbnf:1: no rule root, expected root ::= …"},
        {"a ::= \"x\"", "G.gbnf:1: no rule root, expected root ::= …"},
        {"root ::= x\n\n", "G.gbnf:1: rule x is not defined"},
        {"root ::= \"a\"\n\nroot ::= \"b\"", "G.gbnf:3: rule root is defined a second time, the first is in line 1"},
        {"root = \"a\"", "G.gbnf:1: expected ::= after the name of a rule, at ="},
        {"\nroot ::= \"a", "G.gbnf:2: a text has no end, expected \", at the end"},
        {"root ::= [a\n\n", "G.gbnf:1: a class has no end, expected ], at the end"},
        {"root ::= []", "G.gbnf:1: empty class, at ]"},
        {"root ::= [b-a]", "G.gbnf:1: range out of order in a class, at ]"},
        {"root ::= (\n\"a\"\n", "G.gbnf:3: a group has no end, expected ), at the end"},
        {"root ::= \"a\"\n| \"b\"", "G.gbnf:2: no name of a rule, expected NAME ::= …, at |"},
        {"root ::= \"a\" ) x", "G.gbnf:1: expected a symbol, | or the end of the line, at )"},
        {"root ::= * \"a\"", "G.gbnf:1: nothing to repeat, at *"},
        {"root ::= \"a\"{2,1}", "G.gbnf:1: counts out of order, at the end"},
        {"root ::= \"a\"{,3}", "G.gbnf:1: expected a count up to 1000000, at ,"},
        {"root ::= \"a\"{1", "G.gbnf:1: expected } after a count, at the end"},
        {"root ::= \"\\q\"", "G.gbnf:1: unknown escape, expected \\x \\u \\U \\t \\r \\n \\\\ \\\" \\[ \\] or \\-, at q"},
        {"root ::= \"\\u12\"", "G.gbnf:1: broken escape, expected the hexadecimal digits of a character, at \""},
        {"root ::= \"\\ud800\"", "G.gbnf:1: broken escape, expected the hexadecimal digits of a character, at \""},
        {"root ::= <think> x", "G.gbnf:1: tokens cannot be kept, expected characters, at <"},
        {"root ::= !<[1001]>", "G.gbnf:1: tokens cannot be kept, expected characters, at !"},
        {"root ::= root \"a\" | \"b\"", "G.gbnf:1: rule root begins with itself: left recursion cannot be kept"},
        {"root ::= \"a\" x\nx ::= (y? z)\ny ::= \"b\"\nz ::= \"\" x", "G.gbnf:2: rule x begins with itself: left recursion cannot be kept"},
        {"root ::= \"a\" root", "G.gbnf: no answer fits"},
        {"root ::= \"\xff\"", "G.gbnf:1: not UTF-8, at byte 0xff"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_INIT;
        if (grammar_from_gbnf(cases[i][0], strlen(cases[i][0]), "G.gbnf", &plain, &e)) fail_msg("accepted: %s", cases[i][0]);
        assert_string_equal(e.msg, cases[i][1]);
        assert_int_equal(e.code, RC_INPUT);
        assert_null(grammar_from_gbnf(cases[i][0], strlen(cases[i][0]), "G.gbnf", &plain, NULL));
    }
}

/* Nothing that outside bytes can ask for fills the stack. */
static void test_deep(void **unused) {
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    buf_adds(&b, "root ::= ");
    for (int i = 0; i < 100000; i++) buf_adds(&b, "\"a\"? ");
    struct grammar *g = make(b.p);
    assert_true(accepts(g, "a"));
    grammar_free(g);
    buf_clear(&b);
    for (int i = 0; i < 5000; i++) buf_addf(&b, "r%d ::= r%d\n", i, i + 1);
    buf_adds(&b, "r5000 ::= \"a\"\nroot ::= r0\n");
    assert_null(grammar_from_gbnf(b.p, b.n, "G.gbnf", &plain, &e));
    assert_non_null(strstr(e.msg, "is nested too deeply"));
    buf_clear(&b);
    buf_adds(&b, "root ::= ");
    for (int i = 0; i < 300; i++) buf_addc(&b, '(');
    assert_null(grammar_from_gbnf(b.p, b.n, "G.gbnf", &plain, &e));
    assert_non_null(strstr(e.msg, "groups are nested too deeply"));
    buf_release(&b);
    g = make("root ::= list\nlist ::= \"a\" list? ws\nws ::= \" \"*"); /* a stack of what may be empty */
    uint32_t state = grammar_start(g);
    for (int i = 0; i < 2000; i++) state = grammar_byte(g, state, 'a');
    assert_true(grammar_done(g, grammar_byte(g, state, ' ')));
    grammar_free(g);
}

/* A pattern as long as an argument can be. */
static void test_long_regex(void **unused) {
    char *p = xmalloc(120001);
    memset(p, 'a', 120000);
    p[120000] = 0;
    struct grammar *g = grammar_from_regex(p, &plain, NULL);
    assert_non_null(g);
    assert_true(accepts(g, p));
    grammar_free(g);
    for (int i = 1; i < 120000; i += 2) p[i] = '?';
    g = grammar_from_regex(p, &plain, NULL);
    assert_non_null(g);
    assert_true(accepts(g, "a"));
    grammar_free(g);
    free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_accepts), cmocka_unit_test(test_refused), cmocka_unit_test(test_deep), cmocka_unit_test(test_long_regex)};
    return cmocka_run_group_tests_name("gbnf", tests, NULL, NULL);
}

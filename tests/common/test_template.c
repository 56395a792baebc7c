/* Templates: rendering, and every error with its line and column. */
#include "common/io/json.h"
#include "common/io/template.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static const struct cell names[] = {{"a", 1}, {"long name", 9}, {"ação", 6}, {"x|y", 3}};
static const struct cell cells[] = {{"1", 1}, {"say \"hi\"\n\\", 10}, {"", 0}, {"{a}", 3}};
static const struct alias aliases[] = {{"b", 1}, {"pipe", 3}};
static const struct columns columns = {names, 4, aliases, 2};

static void renders(const char *text, const char *expected) {
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT, chars = BUF_INIT, again = BUF_INIT;
    struct template *t = template_parse(text, strlen(text), "t.txt", &e);
    if (!t || template_bind(t, &columns, &e) < 0) fail_msg("%s", e.msg);
    template_render(t, cells, &b);
    buf_add(&b, "", 0);
    assert_string_equal(b.p, expected);
    assert_int_equal(template_last(t, cells), b.n ? b.p[b.n - 1] : 0);
    json_put_chars(&chars, b.p, b.n);
    template_render_chars(t, cells, &again);
    assert_string_equal(again.p, chars.p);
    buf_release(&b);
    buf_release(&chars);
    buf_release(&again);
    template_free(t);
}

static void refuses_n(const char *text, size_t n, const char *expected) {
    struct err e = ERR_INIT;
    struct template *t = template_parse(text, n, "t.txt", &e);
    if (t) assert_int_equal(template_bind(t, &columns, &e), -1);
    assert_string_equal(e.msg, expected);
    assert_int_equal(e.code, RC_INPUT);
    template_free(t);
}

static void refuses(const char *text, const char *expected) { refuses_n(text, strlen(text), expected); }

static void test_renders(void **state) {
    renders("x", "x");
    renders("{a}", "1");
    renders("{{a}}", "{a}");
    renders("{{{a}}}", "{1}");
    renders("{{{{}}}}", "{{}}");
    renders("<{long name}|{ação}|{b}>", "<say \"hi\"\n\\||say \"hi\"\n\\>");
    renders("{long name|json}{ação|json}{a|json}", "\"say \\\"hi\\\"\\n\\\\\"\"\"\"1\"");
    renders("{pipe}", "{a}"); /* a cell's braces are text */
    renders("x|y {a}|json", "x|y 1|json");
    renders("\xEF\xBB\xBF{a}\n", "1");
    renders("{a}\r\n", "1");
    renders("{a}\n\n", "1\n");
    renders("a\r\nb\n", "a\r\nb");
    renders("{a}{a}", "11");
    renders("a{ação}", "a");
    renders("{ação}{ação}", "");
    renders("\"\\\n{b|json}\t", "\"\\\n\"say \\\"hi\\\"\\n\\\\\"\t");
}

static void test_refuses(void **state) {
    refuses("é {a", "t.txt:1:3: unclosed {, expected } on the same line (a literal brace is written {{)");
    refuses("x\n {", "t.txt:2:2: unclosed {, expected } on the same line (a literal brace is written {{)");
    refuses("{a\n}", "t.txt:1:1: unclosed {, expected } on the same line (a literal brace is written {{)");
    refuses("{\"f1\": {a}}", "t.txt:1:8: { inside a column name, expected } (a literal brace is written {{)");
    refuses("a\nção } b", "t.txt:2:5: lone }, expected }} for a literal brace");
    refuses("{{a}", "t.txt:1:4: lone }, expected }} for a literal brace");
    refuses("{}", "t.txt:1:1: no column name between { and }, expected one (a literal brace is written {{ or }})");
    refuses("{|json}", "t.txt:1:1: no column name between { and }, expected one (a literal brace is written {{ or }})");
    refuses("{a|upper}", "t.txt:1:4: unknown filter 'upper', expected json");
    refuses("{a|}", "t.txt:1:4: unknown filter '', expected json");
    refuses("{x|y}", "t.txt:1:4: unknown filter 'y', expected json");
    refuses("{a}\n {c}", "t.txt:2:2: unknown column 'c', expected one of 'b', 'pipe', 'a', 'long name', 'ação', 'x|y'");
    refuses("{ a }", "t.txt:1:1: unknown column ' a ', expected one of 'b', 'pipe', 'a', 'long name', 'ação', 'x|y'");
    refuses("{A}", "t.txt:1:1: unknown column 'A', expected one of 'b', 'pipe', 'a', 'long name', 'ação', 'x|y'");
    refuses("", "t.txt:1:1: the template is empty, expected text");
    refuses("\n", "t.txt:1:1: the template is empty, expected text");
    refuses("é\nx\xE9y", "t.txt:2:2: byte 0xe9 is not UTF-8, expected UTF-8 text");
    refuses_n("a\0b", 3, "t.txt:1:2: NUL byte, expected text");
}

static void test_used_and_first(void **state) {
    static const struct {
        const char *text;
        char first;
    } table[] = {{" \n {{x", '{'}, {"[{a}]", '['}, {" {a}", 0}, {"{a}{{", 0}, {"  ", 0}, {"x", 'x'}};
    struct err e = ERR_INIT;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct template *t = template_parse(table[i].text, strlen(table[i].text), "t", &e);
        assert_non_null(t);
        assert_int_equal(template_first(t), table[i].first);
        template_free(t);
    }
    bool used[4] = {false};
    struct template *t = template_parse("{b}{ação}", strlen("{b}{ação}"), "t", &e);
    assert_int_equal(template_bind(t, &columns, &e), 0);
    template_used(t, used);
    assert_true(!used[0] && used[1] && used[2] && !used[3]);
    template_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_renders), cmocka_unit_test(test_refuses),
                                       cmocka_unit_test(test_used_and_first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

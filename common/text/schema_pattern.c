/* Regular expressions of schemas. JSON Schema means ECMA-262 with the u flag; PCRE2 reads nearly that. What means another
   thing there (dot, \s, \v, $) is rewritten or set; what only PCRE2 knows (\A, (?i), (*VERB), …) is refused. */
#include "common/text/schema_node.h"
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* ECMA-262's WhiteSpace and LineTerminator as the inside of a class, and all the rest. */
#define SPACES "\\u{9}-\\u{d} \\u{a0}\\u{1680}\\u{2000}-\\u{200a}\\u{2028}\\u{2029}\\u{202f}\\u{205f}\\u{3000}\\u{feff}"
#define NOT_SPACES                                                                                                       \
    "\\u{0}-\\u{8}\\u{e}-\\u{1f}\\u{21}-\\u{9f}\\u{a1}-\\u{167f}\\u{1681}-\\u{1fff}\\u{200b}-\\u{2027}\\u{202a}-\\u{202e}" \
    "\\u{2030}-\\u{205e}\\u{2060}-\\u{2fff}\\u{3001}-\\u{fefe}\\u{ff00}-\\u{10ffff}"

struct pattern {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *limits;
};

static bool escape_known(char c) {
    return strchr("dDwWsSbBfnrtvcxukpP0123456789^$\\.*+?()[]{}|/-", c) != NULL && c;
}

static int rewrite_escape(const char *p, size_t n, bool in_class, struct buf *out, struct err *e) {
    if (n < 2) return err_set(e, RC_INPUT, "ends in a backslash");
    char c = p[1];
    if (!escape_known(c)) return err_set(e, RC_INPUT, "escape \\%c is not ECMA-262's", c >= ' ' && c < 127 ? c : '?');
    if (c == 'v')
        buf_adds(out, "\\u{b}"); /* one character, not PCRE2's vertical space */
    else if (c != 's' && c != 'S')
        buf_add(out, p, 2);
    else
        buf_addf(out, in_class ? "%s" : "[%s]", c == 's' ? SPACES : NOT_SPACES);
    return 0;
}

/* Behind a "(" that is not escaped: (?:, (?=, (?!, (?<=, (?<!, (?<name> or plain. */
static int check_group(const char *p, size_t n, struct err *e) {
    bool known = n < 1 || (*p != '?' && *p != '*') || (n >= 2 && *p == '?' && (p[1] == ':' || p[1] == '=' || p[1] == '!' || p[1] == '<'));
    return known ? 0 : err_set(e, RC_INPUT, "group (%.*s is not ECMA-262's", n < 2 ? 1 : 2, p);
}

static int rewrite(const char *p, size_t n, struct buf *out, struct err *e) {
    bool in_class = false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\\') {
            if (rewrite_escape(p + i, n - i, in_class, out, e) < 0) return -1;
            i++;
        } else if (in_class && p[i] == '[') {
            buf_adds(out, "\\["); /* no POSIX classes */
        } else if (!in_class && p[i] == '.') {
            buf_adds(out, "[^\\n\\r\\u{2028}\\u{2029}]");
        } else {
            if (!in_class && p[i] == '(' && check_group(p + i + 1, n - i - 1, e) < 0) return -1;
            if (!in_class && p[i] == '[') in_class = true;
            else if (in_class && p[i] == ']') in_class = false;
            buf_addc(out, p[i]);
        }
    }
    return 0;
}

static pcre2_code *compile(const struct buf *text, struct err *e) {
    int code;
    PCRE2_SIZE at;
    char message[200];
    pcre2_compile_context *c = pcre2_compile_context_create(NULL);
    if (!c) return err_set(e, RC_IO, "out of memory"), NULL;
    pcre2_set_compile_extra_options(c, PCRE2_EXTRA_ALT_BSUX);
    pcre2_set_parens_nest_limit(c, 200);
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)text->p, text->n,
                                   PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF,
                                   &code, &at, c);
    pcre2_compile_context_free(c);
    if (re) return re;
    pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof message);
    err_set(e, RC_INPUT, "%s", message);
    return NULL;
}

struct pattern *pattern_new(const char *text, size_t n, struct err *e) {
    struct buf out = BUF_INIT;
    struct pattern *p = xcalloc(1, sizeof *p);
    buf_add(&out, "", 0);
    if (rewrite(text, n, &out, e) == 0) p->code = compile(&out, e);
    buf_release(&out);
    if (p->code) {
        pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without it, it only runs slower */
        p->match = pcre2_match_data_create_from_pattern(p->code, NULL);
        p->limits = pcre2_match_context_create(NULL);
        if (p->match && p->limits) {
            pcre2_set_match_limit(p->limits, 1000000);
            return p;
        }
        err_set(e, RC_IO, "out of memory");
    }
    pattern_free(p);
    err_prefix(e, "regular expression %.*s: ", (int)(n < 200 ? n : 200), text);
    return NULL;
}

void pattern_free(struct pattern *p) {
    if (!p) return;
    pcre2_code_free(p->code);
    pcre2_match_data_free(p->match);
    pcre2_match_context_free(p->limits);
    free(p);
}

int pattern_search(const struct pattern *p, const char *s, size_t n) {
    int rc = pcre2_match(p->code, (PCRE2_SPTR)s, n, 0, 0, p->match, p->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = pcre2_match(p->code, (PCRE2_SPTR)s, n, 0, PCRE2_NO_JIT, p->match, p->limits);
    return rc >= 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

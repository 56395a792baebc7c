/* GBNF: from text to a tree of rules; see grammar_gbnf.h. */
#include "common/text/grammar_gbnf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NEST 200
#define MAX_RULES 10000
#define MAX_COUNT 1000000

struct parse {
    const char *p, *end;
    struct bnf_rules *r;
    int line, depth;
    struct err *e;
};

static struct bnf *fail(struct parse *s, const char *what) {
    char got[16] = "the end";
    unsigned char c = s->p < s->end ? (unsigned char)*s->p : 0;
    if (s->p < s->end) snprintf(got, sizeof got, c > ' ' && c < 127 ? "%c" : c == '\n' ? "a line break" : "byte 0x%02x", c);
    err_set(s->e, RC_INPUT, "%s:%d: %s, at %s", s->r->file, s->line, what, got);
    return NULL;
}

static struct bnf *node(enum bnf_kind kind) {
    struct bnf *b = xcalloc(1, sizeof *b);
    b->kind = kind;
    return b;
}

static void bnf_free(struct bnf *b) {
    while (b) {
        struct bnf *next = b->next;
        bnf_free(b->first);
        buf_release(&b->text);
        free(b->set.v);
        free(b);
        b = next;
    }
}

void bnf_release(struct bnf_rules *r) {
    for (size_t i = 0; i < r->n; i++) bnf_free(r->v[i].body);
    free(r->v);
    *r = (struct bnf_rules){0};
}

/* ---- characters ---- */
static bool at(const struct parse *s, char c) { return s->p < s->end && *s->p == c; }

/* White space and comments; line breaks where lines is set. */
static void skip(struct parse *s, bool lines) {
    for (; s->p < s->end; s->p++) {
        if (*s->p == '#')
            while (s->p + 1 < s->end && s->p[1] != '\n') s->p++;
        else if (*s->p == '\n' && lines)
            s->line++;
        else if (!strchr(" \t\r", *s->p) || !*s->p)
            return;
    }
}

static int hex_digit(int c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }

static bool hex(struct parse *s, int n, uint32_t *c) {
    for (*c = 0; n > 0; n--, s->p++) {
        int d = s->p < s->end ? hex_digit(*s->p) : -1;
        if (d < 0) return false;
        *c = *c << 4 | (uint32_t)d;
    }
    return *c <= 0x10ffff && (*c < 0xd800 || *c > 0xdfff);
}

static uint32_t utf8(struct parse *s) { /* the text is valid UTF-8 */
    uint32_t c = (unsigned char)*s->p++;
    int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (c == '\n') s->line++;
    if (more) c &= 0x3fu >> more;
    while (more--) c = c << 6 | ((unsigned char)*s->p++ & 0x3f);
    return c;
}

/* One character of a text or class, escapes read; s->p < s->end. */
static bool character(struct parse *s, uint32_t *c) {
    static const char names[] = "trn\\\"[]-", values[] = "\t\r\n\\\"[]-";
    if (*s->p != '\\') return *c = utf8(s), true;
    s->p++;
    char k = s->p < s->end ? *s->p : 0;
    const char *known = k ? strchr(names, k) : NULL;
    int digits = k == 'x' ? 2 : k == 'u' ? 4 : k == 'U' ? 8 : 0;
    if (known) return s->p++, *c = (uint32_t)values[known - names], true;
    if (!digits) return fail(s, "unknown escape, expected \\x \\u \\U \\t \\r \\n \\\\ \\\" \\[ \\] or \\-"), false;
    s->p++;
    return hex(s, digits, c) || (fail(s, "broken escape, expected the hexadecimal digits of a character"), false);
}

static void put_utf8(struct buf *b, uint32_t c) {
    if (c >= 0x10000) buf_addc(b, (char)(0xf0 | c >> 18)), buf_addc(b, (char)(0x80 | (c >> 12 & 63)));
    else if (c >= 0x800) buf_addc(b, (char)(0xe0 | c >> 12));
    if (c >= 0x800) buf_addc(b, (char)(0x80 | (c >> 6 & 63)));
    else if (c >= 0x80) buf_addc(b, (char)(0xc0 | c >> 6));
    buf_addc(b, (char)(c < 0x80 ? c : 0x80 | (c & 63)));
}

/* ---- symbols ---- */
static struct bnf *text(struct parse *s) {
    struct bnf *b = node(B_TEXT);
    int line = s->line;
    uint32_t c;
    for (s->p++; s->p < s->end && *s->p != '"';) {
        if (!character(s, &c)) return bnf_free(b), NULL;
        put_utf8(&b->text, c);
    }
    if (s->p < s->end) return s->p++, b;
    s->line = line;
    bnf_free(b);
    return fail(s, "a text has no end, expected \"");
}

static bool class_items(struct parse *s, struct spans *to) {
    int line = s->line;
    while (s->p < s->end && *s->p != ']') {
        uint32_t from, last;
        if (!character(s, &from)) return false;
        last = from;
        if (s->end - s->p >= 2 && s->p[0] == '-' && s->p[1] != ']') {
            s->p++;
            if (!character(s, &last)) return false;
        }
        if (last < from) return fail(s, "range out of order in a class"), false;
        spans_add(to, from, last);
    }
    if (s->p == s->end) return s->line = line, fail(s, "a class has no end, expected ]"), false;
    return to->n > 0 || (fail(s, "empty class"), false);
}

static struct bnf *class(struct parse *s) {
    struct bnf *b = node(B_SET);
    s->p++;
    bool invert = at(s, '^');
    s->p += invert;
    if (!class_items(s, &b->set)) return bnf_free(b), NULL;
    s->p++;
    spans_tidy(&b->set);
    if (invert) spans_invert(&b->set);
    return b;
}

static struct bnf *any(struct parse *s) {
    struct bnf *b = node(B_SET);
    s->p++;
    spans_add(&b->set, 0, 0x10ffff);
    return b;
}

static bool of_name(char c) { return ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; }

/* The rule of the name at s->p, a new one if it was not seen; -1 and why. */
static long rule(struct parse *s) {
    const char *name = s->p;
    while (s->p < s->end && of_name(*s->p)) s->p++;
    size_t n = (size_t)(s->p - name), i = 0;
    struct bnf_rules *r = s->r;
    if (!n) return fail(s, "no name of a rule, expected NAME ::= …"), -1;
    while (i < r->n && (r->v[i].len != n || memcmp(r->v[i].name, name, n))) i++;
    if (i < r->n) return (long)i;
    if (i == MAX_RULES) return fail(s, "more than 10000 rules"), -1;
    GROW(r->v, r->n, r->cap);
    r->v[r->n++] = (struct bnf_rule){.name = name, .len = n};
    return (long)i;
}

static struct bnf *call(struct parse *s) {
    long i = rule(s);
    if (i < 0) return NULL;
    if (!s->r->v[i].used) s->r->v[i].used = s->line;
    struct bnf *b = node(B_CALL);
    b->rule = (size_t)i;
    return b;
}

static struct bnf *alternatives(struct parse *s, bool nested);

static struct bnf *group(struct parse *s) {
    s->p++;
    skip(s, true);
    struct bnf *b = alternatives(s, true);
    if (b && !at(s, ')')) return bnf_free(b), fail(s, "a group has no end, expected )");
    s->p += b != NULL;
    return b;
}

/* NULL without an error where no symbol stands. */
static struct bnf *symbol(struct parse *s) {
    char c = s->p < s->end ? *s->p : 0;
    if (c == '"') return text(s);
    if (c == '[') return class(s);
    if (c == '.') return any(s);
    if (c == '(') return group(s);
    if (c && strchr("*+?{", c)) return fail(s, "nothing to repeat");
    if (c && strchr("<!", c)) return fail(s, "tokens cannot be kept, expected characters");
    return of_name(c) ? call(s) : NULL;
}

/* ---- counts and sequences ---- */
static bool number(struct parse *s, uint32_t *n) {
    const char *from = s->p;
    for (*n = 0; s->p < s->end && *s->p >= '0' && *s->p <= '9' && *n <= MAX_COUNT; s->p++) *n = *n * 10 + (uint32_t)(*s->p - '0');
    return (s->p > from && *n <= MAX_COUNT) || (fail(s, "expected a count up to 1000000"), false);
}

static bool braces(struct parse *s, uint32_t *lo, uint32_t *hi) {
    s->p++;
    skip(s, false);
    if (!number(s, lo)) return false;
    *hi = *lo;
    skip(s, false);
    if (at(s, ',')) {
        s->p++;
        skip(s, false);
        *hi = TERM_INF;
        if (!at(s, '}') && !number(s, hi)) return false;
        skip(s, false);
    }
    if (!at(s, '}')) return fail(s, "expected } after a count"), false;
    s->p++;
    return *lo <= *hi || (fail(s, "counts out of order"), false);
}

/* Takes b: gives it with the counts that follow. */
static struct bnf *counted(struct parse *s, struct bnf *b, bool nested) {
    for (int i = 0; b && s->p < s->end && strchr("*+?{", *s->p) && *s->p; i++) {
        struct bnf *rep = node(B_REP);
        rep->first = b;
        b = rep;
        rep->lo = *s->p == '+';
        rep->hi = *s->p == '?' ? 1 : TERM_INF;
        bool good = i < 8 || (fail(s, "more than 8 counts upon each other"), false);
        if (*s->p != '{') s->p++;
        else good = good && braces(s, &rep->lo, &rep->hi);
        if (!good) return bnf_free(b), NULL;
        skip(s, nested);
    }
    return b;
}

static struct bnf *sequence(struct parse *s, bool nested) {
    struct bnf *b = node(B_CAT), **to = &b->first;
    for (;;) {
        struct bnf *one = symbol(s);
        if (one) skip(s, nested), one = counted(s, one, nested);
        if (s->e->code) return bnf_free(one), bnf_free(b), NULL;
        if (!one) return b;
        *to = one;
        to = &one->next;
    }
}

static struct bnf *alternatives(struct parse *s, bool nested) {
    struct bnf *b = node(B_OR), **to = &b->first;
    if (++s->depth > MAX_NEST) fail(s, "groups are nested too deeply");
    while (s->depth <= MAX_NEST && (*to = sequence(s, nested))) {
        to = &(*to)->next;
        if (!at(s, '|')) return s->depth--, b;
        s->p++;
        skip(s, true);
    }
    bnf_free(b);
    return NULL;
}

static int definition(struct parse *s) {
    int line = s->line;
    long i = rule(s);
    if (i < 0) return -1;
    skip(s, false);
    if (s->end - s->p < 3 || memcmp(s->p, "::=", 3)) return fail(s, "expected ::= after the name of a rule"), -1;
    struct bnf_rule *r = &s->r->v[i];
    if (r->defined)
        return err_set(s->e, RC_INPUT, "%s:%d: rule %.*s is defined a second time, the first is in line %d", s->r->file, line, (int)(r->len < 100 ? r->len : 100), r->name, r->defined);
    s->p += 3;
    skip(s, true);
    struct bnf *body = alternatives(s, false);
    if (!body) return -1;
    s->r->v[i].body = body;
    s->r->v[i].defined = line;
    if (s->p < s->end && *s->p != '\n') return fail(s, "expected a symbol, | or the end of the line"), -1;
    skip(s, true);
    return 0;
}

int bnf_parse(struct bnf_rules *r, const char *text, size_t n, const char *file, struct err *e) {
    struct parse s = {text, text + n, r, 1, 0, e};
    size_t good = utf8_valid(text, n);
    *r = (struct bnf_rules){.file = file};
    e->code = 0;
    if (good < n) {
        for (size_t i = 0; i < good; i++) s.line += text[i] == '\n';
        s.p += good;
        return fail(&s, "not UTF-8"), -1;
    }
    skip(&s, true);
    while (s.p < s.end)
        if (definition(&s) < 0) return -1;
    return 0;
}

/* Patterns: from text to a tree; see grammar_regex.h. */
#include "common/text/grammar_regex.h"
#include <stdlib.h>
#include <string.h>

#define MAX_NEST 200
#define MAX_COUNT 1000000

struct parse {
    const unsigned char *p, *end;
    struct err *e;
    int depth;
};

static struct regex *fail(struct parse *s, const char *what) {
    err_set(s->e, RC_INPUT, "%s", what);
    return NULL;
}

static struct regex *new_node(enum regex_kind kind) {
    struct regex *r = xcalloc(1, sizeof *r);
    r->kind = kind;
    return r;
}

void regex_free(struct regex *r) {
    while (r) {
        struct regex *next = r->next;
        regex_free(r->first);
        free(r->set.v);
        free(r);
        r = next;
    }
}

/* ---- single characters ---- */
static int hex_digit(int c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }

static bool hex(struct parse *s, int n, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < n; i++, s->p++) {
        int d = s->p < s->end ? hex_digit(*s->p) : -1;
        if (d < 0) return false;
        *out = *out * 16 + (uint32_t)d;
    }
    return true;
}

/* Behind \u: XXXX, a pair, or {X…}. */
static bool unicode(struct parse *s, uint32_t *c) {
    uint32_t low;
    if (s->p < s->end && *s->p == '{') {
        const unsigned char *from = ++s->p;
        for (*c = 0; s->p < s->end && hex_digit(*s->p) >= 0 && *c <= 0x10ffff; s->p++) *c = *c * 16 + (uint32_t)hex_digit(*s->p);
        return s->p > from && s->p < s->end && *s->p++ == '}' && *c <= 0x10ffff;
    }
    if (!hex(s, 4, c)) return false;
    if (*c < 0xd800 || *c > 0xdbff || s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u') return true;
    const unsigned char *before = s->p;
    s->p += 2;
    if (hex(s, 4, &low) && low >= 0xdc00 && low <= 0xdfff) *c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
    else s->p = before;
    return true;
}

static uint32_t utf8(struct parse *s) { /* the text is valid UTF-8 */
    uint32_t c = *s->p++;
    int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (more) c &= 0x3fu >> more;
    while (more-- && s->p < s->end) c = c << 6 | (*s->p++ & 0x3f);
    return c;
}

/* ---- \d, \w, \s, \p ---- */
static const struct span word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                         space[] = {{9, 13}, {32, 32}, {0xa0, 0xa0}, {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029},
                                    {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};

static void add_all(struct spans *to, const struct span *v, size_t n, bool invert) {
    struct spans s = {0};
    for (size_t i = 0; i < n; i++) spans_add(&s, v[i].from, v[i].to);
    spans_tidy(&s);
    if (invert) spans_invert(&s);
    for (size_t i = 0; i < s.n; i++) spans_add(to, s.v[i].from, s.v[i].to);
    free(s.v);
}

static int property(struct parse *s, struct spans *to, bool invert) {
    const unsigned char *close = s->p < s->end && *s->p == '{' ? memchr(s->p, '}', (size_t)(s->end - s->p)) : NULL;
    struct spans got = {0};
    if (!close) return err_set(s->e, RC_INPUT, "\\p without {…}");
    int rc = spans_property(&got, (const char *)s->p + 1, (size_t)(close - s->p - 1), s->e);
    if (!rc) add_all(to, got.v, got.n, invert);
    free(got.v);
    s->p = close + 1;
    return rc;
}

/* Behind a backslash: adds a class (returns 1), gives one character (0), or fails (-1). */
static int escape(struct parse *s, struct spans *to, uint32_t *c, bool in_class) {
    static const char names[] = "tnvfr0", values[] = "\t\n\v\f\r";
    if (s->p == s->end) return err_set(s->e, RC_INPUT, "ends in a backslash");
    int k = *s->p++;
    const char *at = k ? strchr(names, k) : NULL;
    switch (k | 32) {
    case 'd': return add_all(to, word, 1, k == 'D'), 1;
    case 'w': return add_all(to, word, 4, k == 'W'), 1;
    case 's': return add_all(to, space, sizeof space / sizeof *space, k == 'S'), 1;
    case 'p': return property(s, to, k == 'P') < 0 ? -1 : 1;
    default: break;
    }
    if (k == 'b' && in_class) return *c = 8, 0;
    if (k == 'b' || k == 'B') return err_set(s->e, RC_INPUT, "\\%c cannot be kept", k);
    if ((k >= '1' && k <= '9') || k == 'k') return err_set(s->e, RC_INPUT, "a back reference cannot be kept");
    if (k == '0' && s->p < s->end && *s->p >= '0' && *s->p <= '9') return err_set(s->e, RC_INPUT, "an octal escape cannot be kept");
    if (at) return *c = k == '0' ? 0 : (uint32_t)values[at - names], 0;
    if (k == 'x') return hex(s, 2, c) ? 0 : err_set(s->e, RC_INPUT, "\\x without two digits");
    if (k == 'u') return unicode(s, c) ? 0 : err_set(s->e, RC_INPUT, "broken \\u escape");
    if (k == 'c' && s->p < s->end && ((*s->p | 32) >= 'a' && (*s->p | 32) <= 'z')) return *c = *s->p++ & 31, 0;
    if (strchr("^$\\.*+?()[]{}|/-", k) && k) return *c = (uint32_t)k, 0;
    return err_set(s->e, RC_INPUT, "unknown escape \\%c", k >= ' ' && k < 127 ? k : '?');
}

/* ---- classes ---- */
/* One item of [ ]: 1 a class, 0 a character, -1 an error. */
static int class_item(struct parse *s, struct spans *to, uint32_t *c) {
    if (*s->p != '\\') return *c = utf8(s), 0;
    s->p++;
    return escape(s, to, c, true);
}

static struct regex *class(struct parse *s) {
    struct regex *r = new_node(R_SET);
    bool invert = s->p < s->end && *s->p == '^';
    s->p += invert;
    while (s->p < s->end && *s->p != ']') {
        uint32_t from, to;
        int kind = class_item(s, &r->set, &from);
        if (kind < 0) goto broken;
        if (kind > 0) continue;
        to = from;
        if (s->end - s->p >= 2 && s->p[0] == '-' && s->p[1] != ']') {
            const unsigned char *dash = s->p++;
            kind = class_item(s, &r->set, &to);
            if (kind < 0) goto broken;
            if (kind > 0) to = from, spans_add(&r->set, '-', '-'); /* [a-\d]: a dash among others */
            else if (to < from) {
                s->p = dash;
                fail(s, "range out of order in a class");
                goto broken;
            }
        }
        spans_add(&r->set, from, to);
    }
    if (s->p == s->end) {
        fail(s, "a class has no end");
        goto broken;
    }
    s->p++;
    spans_tidy(&r->set);
    if (invert) spans_invert(&r->set);
    return r;
broken:
    regex_free(r);
    return NULL;
}

/* ---- groups, counts, sequences ---- */
static struct regex *alternatives(struct parse *s);

static struct regex *group(struct parse *s) {
    enum regex_kind look = R_EMPTY;
    if (s->end - s->p >= 2 && s->p[0] == '?') {
        char c = (char)s->p[1];
        if (c == '=' || c == '!') {
            look = c == '=' ? R_LOOK : R_NOT_LOOK;
            s->p += 2;
        } else if (c == ':') {
            s->p += 2;
        } else {
            const unsigned char *close = memchr(s->p, '>', (size_t)(s->end - s->p));
            if (c != '<' || !close || s->p[2] == '=' || s->p[2] == '!') return fail(s, "look-behind cannot be kept");
            s->p = close + 1;
        }
    }
    struct regex *r = alternatives(s);
    if (!r) return NULL;
    if (s->p == s->end) {
        regex_free(r);
        return fail(s, "a group has no end");
    }
    s->p++;
    if (look == R_EMPTY) return r;
    struct regex *l = new_node(look);
    l->first = r;
    return l;
}

static struct regex *dot(void) {
    static const struct span ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
    struct regex *r = new_node(R_SET);
    add_all(&r->set, ends, 3, true);
    spans_tidy(&r->set);
    return r;
}

static struct regex *atom(struct parse *s) {
    uint32_t c;
    int kind = 0;
    switch (*s->p) {
    case '^': return s->p++, new_node(R_START);
    case '$': return s->p++, new_node(R_END);
    case '.': return s->p++, dot();
    case '(': return s->p++, group(s);
    case '[': return s->p++, class(s);
    case '*':
    case '+':
    case '?': return fail(s, "nothing to repeat");
    default: break;
    }
    struct regex *r = new_node(R_SET);
    if (*s->p == '\\') {
        s->p++;
        kind = escape(s, &r->set, &c, false);
    } else {
        c = utf8(s);
    }
    if (kind == 0) spans_add(&r->set, c, c);
    spans_tidy(&r->set);
    if (kind >= 0) return r;
    regex_free(r);
    return NULL;
}

static bool number(struct parse *s, uint32_t *n) {
    const unsigned char *from = s->p;
    for (*n = 0; s->p < s->end && *s->p >= '0' && *s->p <= '9' && *n <= MAX_COUNT; s->p++) *n = *n * 10 + (uint32_t)(*s->p - '0');
    return s->p > from;
}

/* A count behind an atom: true and lo, hi. */
static bool count(struct parse *s, uint32_t *lo, uint32_t *hi) {
    const unsigned char *before = s->p;
    if (s->p == s->end) return false;
    *lo = *s->p == '+';
    *hi = *s->p == '?' ? 1 : TERM_INF;
    if (strchr("*+?", *s->p) && *s->p) return s->p++, true;
    if (*s->p != '{') return false;
    s->p++;
    if (!number(s, lo)) return s->p = before, false;
    *hi = *lo;
    if (s->p < s->end && *s->p == ',' && s->p++ && !number(s, hi)) *hi = TERM_INF;
    if (s->p == s->end || *s->p != '}') return s->p = before, false;
    s->p++;
    return true;
}

static struct regex *counted(struct parse *s) {
    struct regex *r = atom(s);
    uint32_t lo, hi;
    while (r && count(s, &lo, &hi)) {
        if (s->p < s->end && *s->p == '?') s->p++; /* lazy: the same language */
        struct regex *rep = new_node(R_REP);
        rep->first = r;
        rep->lo = lo;
        rep->hi = hi;
        r = rep;
        if (lo > hi || lo > MAX_COUNT || (hi > MAX_COUNT && hi != TERM_INF)) {
            regex_free(r);
            return fail(s, lo > hi ? "counts out of order" : "count too large");
        }
        if (rep->first->kind > R_REP) {
            regex_free(r);
            return fail(s, "a repeated look-ahead or anchor cannot be kept");
        }
    }
    return r;
}

static struct regex *sequence(struct parse *s) {
    struct regex *r = new_node(R_CAT), **to = &r->first;
    while (s->p < s->end && *s->p != '|' && *s->p != ')') {
        if (!(*to = counted(s))) {
            regex_free(r);
            return NULL;
        }
        to = &(*to)->next;
    }
    return r;
}

static struct regex *alternatives(struct parse *s) {
    struct regex *r = new_node(R_OR), **to = &r->first;
    if (++s->depth > MAX_NEST) fail(s, "groups are nested too deeply");
    while (s->depth <= MAX_NEST && (*to = sequence(s))) {
        to = &(*to)->next;
        if (s->p == s->end || *s->p != '|') {
            s->depth--;
            return r;
        }
        s->p++;
    }
    regex_free(r);
    return NULL;
}

struct regex *regex_parse(const char *p, size_t n, struct err *e) {
    struct parse s = {(const unsigned char *)p, (const unsigned char *)p + n, e, 0};
    struct regex *r = alternatives(&s);
    if (r && s.p < s.end) {
        regex_free(r);
        return fail(&s, ") without (");
    }
    return r;
}

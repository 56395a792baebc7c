/* GBNF grammars as rules of terms; see grammar.h and grammar_gbnf.h. */
#include "common/text/grammar_gbnf.h"
#include <stdlib.h>
#include <string.h>

#define MAX_DEEP 1000 /* groups, counts and rules that begin at one character: a step into them is that many calls */

static int bad(const struct bnf_rules *r, size_t i, int line, struct err *e, const char *what) {
    const struct bnf_rule *x = &r->v[i];
    return err_set(e, RC_INPUT, "%s:%d: rule %.*s %s", r->file, line, (int)(x->len < 100 ? x->len : 100), x->name, what);
}

static int find_root(const struct bnf_rules *r, size_t *root, struct err *e) {
    for (size_t i = 0; i < r->n; i++)
        if (!r->v[i].defined) return bad(r, i, r->v[i].used, e, "is not defined");
    for (*root = 0; *root < r->n; ++*root)
        if (r->v[*root].len == 4 && !memcmp(r->v[*root].name, "root", 4)) return 0;
    return err_set(e, RC_INPUT, "%s:1: no rule root, expected root ::= …", r->file);
}

/* ---- which may be empty ---- */
static bool nullable(const struct bnf_rules *r, const struct bnf *b) {
    bool any = false, all = true;
    if (b->kind == B_TEXT) return !b->text.n;
    if (b->kind == B_SET) return false;
    if (b->kind == B_CALL) return r->v[b->rule].nullable;
    if (b->kind == B_REP && !b->lo) return true;
    for (const struct bnf *c = b->first; c; c = c->next) {
        bool k = nullable(r, c);
        any |= k;
        all &= k;
    }
    return b->kind == B_OR ? any : all;
}

static void find_nullable(struct bnf_rules *r) {
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = r->n; i-- > 0;) {
            if (r->v[i].nullable || !nullable(r, r->v[i].body)) continue;
            r->v[i].nullable = changed = true;
        }
    }
}

/* ---- left recursion ---- */
static int deep_rule(struct bnf_rules *r, size_t i, int level, struct err *e);

/* Levels of what a first character may be in; -1 and why. */
static int deep(struct bnf_rules *r, const struct bnf *b, int level, struct err *e) {
    int most = 0;
    if (b->kind == B_TEXT || b->kind == B_SET) return 1;
    if (b->kind == B_CALL) return deep_rule(r, b->rule, level + 1, e);
    for (const struct bnf *c = b->first; c; c = c->next) {
        int d = deep(r, c, level + 1, e);
        if (d < 0) return d;
        if (d > most) most = d;
        if (b->kind == B_CAT && !nullable(r, c)) break;
    }
    return most + 1;
}

static int deep_rule(struct bnf_rules *r, size_t i, int level, struct err *e) {
    struct bnf_rule *x = &r->v[i];
    if (x->mark == 1) return bad(r, i, x->defined, e, "begins with itself: left recursion cannot be kept");
    if (x->mark == 0) {
        x->mark = 1;
        int d = level > MAX_DEEP ? 0 : deep(r, x->body, level, e);
        if (d < 0) return d;
        x->deep = d;
        x->mark = 2;
    }
    return level + x->deep > MAX_DEEP ? bad(r, i, x->defined, e, "is nested too deeply") : x->deep + 1;
}

/* ---- terms ---- */
static term emit(struct terms *x, const struct bnf_rules *r, const struct bnf *b) {
    term *v = NULL, t;
    size_t n = 0, cap = 0;
    for (const struct bnf *c = b->first; c; c = c->next) {
        t = emit(x, r, c);
        GROW(v, n, cap);
        v[n++] = t;
    }
    switch (b->kind) {
    case B_TEXT: t = term_text(x, b->text.p, b->text.n, TERM_EPS); break;
    case B_SET: t = lex_spans_raw(x, b->set.v, b->set.n); break;
    case B_CALL: t = term_call(x, r->v[b->rule].rule); break;
    case B_REP: t = term_rep(x, v[0], b->lo, b->hi); break;
    case B_OR: t = term_or(x, v, n); break;
    default:
        for (t = TERM_EPS; n > 0; n--) t = term_cat(x, v[n - 1], t);
    }
    free(v);
    return t;
}

struct grammar *grammar_from_gbnf(const char *text, size_t n, const char *file, const struct grammar_options *o, struct err *e) {
    struct bnf_rules r;
    struct err own = ERR_INIT;
    size_t root = 0;
    struct grammar *g = NULL;
    int rc = bnf_parse(&r, text, n, file, &own);
    if (!rc) rc = find_root(&r, &root, &own);
    if (!rc) find_nullable(&r);
    for (size_t i = 0; !rc && i < r.n; i++) rc = deep_rule(&r, i, 0, &own) < 0 ? -1 : 0;
    if (!rc) {
        g = grammar_new(o);
        for (size_t i = 0; i < r.n; i++) r.v[i].rule = rule_new(&g->x);
        for (size_t i = 0; i < r.n; i++) {
            term body = emit(&g->x, &r, r.v[i].body);
            g->x.rules[r.v[i].rule].body = body;
        }
        g = grammar_finish(g, term_call(&g->x, r.v[root].rule), o, &own);
        if (!g) err_prefix(&own, "%s: ", file);
    }
    bnf_release(&r);
    if (!g && e) *e = own;
    return g;
}

/* Patterns as terms. A JSON string's quotes do for the anchors: ^ is the opening quote, $ the closing one, since neither
   stands inside a string unescaped. See grammar_regex.h. */
#include "common/text/grammar_regex.h"
#include <stdlib.h>

struct emit {
    struct grammar *g;
    bool json;
    struct err *e;
    term rest; /* whatever may follow a look-ahead: the rest of the text, whole */
};

/* ---- anchors ---- */
static int anchors(const struct regex *r, enum regex_kind kind) {
    int n = r->kind == kind;
    for (const struct regex *c = r->first; c; c = c->next) n += anchors(c, kind);
    return n;
}

/* Anchors at the beginning (end) of every alternative; 0 unless all have one. */
static int edge(const struct regex *r, enum regex_kind kind) {
    int n = 0;
    if (r->kind == R_OR) {
        for (const struct regex *c = r->first; c; c = c->next) {
            int k = edge(c, kind);
            if (!k) return 0;
            n += k;
        }
        return n;
    }
    if (r->kind != R_CAT) return r->kind == kind;
    const struct regex *c = r->first;
    while (c && kind == R_END && c->next) c = c->next;
    return c ? edge(c, kind) : 0;
}

static bool looks(const struct regex *r) { return anchors(r, R_LOOK) || anchors(r, R_NOT_LOOK); }

/* ---- terms ---- */
static term emit(struct emit *m, const struct regex *r, term then);

static term emit_cat(struct emit *m, const struct regex *c, term then) {
    const struct regex **v = NULL;
    size_t n = 0, cap = 0;
    for (; c; c = c->next) {
        GROW(v, n, cap);
        v[n++] = c;
    }
    while (n > 0) then = emit(m, v[--n], then);
    free(v);
    return then;
}

static term emit_rep(struct emit *m, const struct regex *r, term then) {
    if (looks(r->first) || anchors(r->first, R_START) || anchors(r->first, R_END)) {
        err_set(m->e, RC_INPUT, "a repeated look-ahead or anchor cannot be kept");
        return TERM_EMPTY;
    }
    struct terms *x = &m->g->x;
    return term_cat(x, term_rep(x, emit(m, r->first, TERM_EPS), r->lo, r->hi), then);
}

static term emit(struct emit *m, const struct regex *r, term then) {
    struct terms *x = &m->g->x;
    term t = TERM_EMPTY;
    switch (r->kind) {
    case R_EMPTY: return then;
    case R_SET: return term_cat(x, m->json ? lex_spans(x, r->set.v, r->set.n) : lex_spans_raw(x, r->set.v, r->set.n), then);
    case R_CAT: return emit_cat(m, r->first, then);
    case R_REP: return emit_rep(m, r, then);
    case R_START:
    case R_END: return m->json ? term_cat(x, term_byte(x, '"'), then) : then;
    case R_LOOK: return term_and2(x, emit(m, r->first, m->rest), then);
    case R_NOT_LOOK: return term_and2(x, term_not(x, emit(m, r->first, m->rest)), then);
    case R_OR: break;
    }
    bool apart = looks(r);
    for (const struct regex *c = r->first; c; c = c->next) t = term_or2(x, t, emit(m, c, apart ? then : TERM_EPS));
    return apart ? t : term_cat(x, t, then);
}

static int place(struct err *e, const char *p, size_t n) {
    return err_prefix(e, "regular expression %.*s: ", (int)(n < 200 ? n : 200), p);
}

int regex_string_term(struct grammar *g, const char *p, size_t n, term *out, struct err *e) {
    struct terms *x = &g->x;
    struct err own = ERR_INIT;
    struct regex *r = regex_parse(p, n, &own);
    term quote = term_byte(x, '"'), chars = term_rep(x, g->char_plain, 0, TERM_INF);
    term before = term_cat(x, quote, chars), after = term_cat(x, chars, quote);
    if (r) {
        int starts = anchors(r, R_START), ends = anchors(r, R_END), first = edge(r, R_START), last = edge(r, R_END);
        struct emit m = {g, true, &own, ends ? term_opt(x, after) : after};
        term lead = first ? TERM_EPS : starts ? term_opt(x, before) : before;
        term trail = last && !looks(r) ? TERM_EPS : ends ? term_opt(x, after) : after;
        *out = term_cat(x, lead, emit(&m, r, trail));
        if (first != starts || last != ends || looks(r)) *out = term_and2(x, *out, term_cat(x, quote, after));
        regex_free(r);
    }
    if (!own.code) return 0;
    if (e) *e = own;
    return place(e, p, n);
}

int regex_text_term(struct grammar *g, const char *p, size_t n, term *out, struct err *e) {
    static const struct span every[] = {{0, 0x10ffff}};
    struct terms *x = &g->x;
    struct err own = ERR_INIT;
    struct regex *r = regex_parse(p, n, &own);
    if (r) {
        struct emit m = {g, false, &own, term_rep(x, lex_spans_raw(x, every, 1), 0, TERM_INF)};
        if (anchors(r, R_START) != edge(r, R_START) || anchors(r, R_END) != edge(r, R_END))
            err_set(&own, RC_INPUT, "an anchor inside cannot be kept: the whole text is matched");
        *out = emit(&m, r, TERM_EPS);
        regex_free(r);
    }
    if (!own.code) return 0;
    if (e) *e = own;
    return place(e, p, n);
}

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

#define LONG_COUNT 16
/* A long count within a long count. Beside a look-ahead each place in both is a state of a product with the rest:
   ^(?!.*:)(.{1,63}\.){1,127}$ took seconds for a mask. */
static bool counts_in_counts(const struct regex *r, bool inside) {
    bool counts = r->kind == R_REP && r->hi != TERM_INF && r->hi >= LONG_COUNT;
    if (counts && inside) return true;
    for (const struct regex *c = r->first; c; c = c->next)
        if (counts_in_counts(c, inside || counts)) return true;
    return false;
}

static void refuse_tangled(const struct regex *r, struct err *e) {
    if (looks(r) && counts_in_counts(r, false)) err_set(e, RC_INPUT, "long counts within long counts beside a look-ahead cannot be kept");
}

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

/* ---- patterns that match anywhere ---- */
/* x{lo,hi} beside "any characters" is x{lo} beside them: the first (last) parts of r without their upper limits. */
static void ease(struct regex *r, bool end) {
    struct regex *c = r->first;
    if (r->kind == R_REP) r->hi = r->lo;
    if (r->kind == R_OR)
        for (; c; c = c->next) ease(c, end);
    if (r->kind != R_CAT || !c) return;
    while (end && c->next) c = c->next;
    ease(c, end);
}

/* Without the sequences and alternatives of one part around it. */
static const struct regex *only(const struct regex *r) {
    while ((r->kind == R_CAT || r->kind == R_OR) && r->first && !r->first->next) r = r->first;
    return r;
}

/* Characters of one set, how many: what r is as a whole. */
static const struct regex *run_of(const struct regex *r, uint32_t *n) {
    r = only(r);
    *n = r->kind == R_REP ? r->lo : 1;
    if (r->kind == R_REP && r->lo == r->hi) r = only(r->first);
    return r->kind == R_SET ? r : NULL;
}

/* A run of n of the set somewhere, told by its first place: shorter runs, each with another character behind it, then the run.
   Its states are the length of the last run; those of the plain term are sets of places where one may have begun. */
static term run_somewhere(struct terms *x, const struct spans *set, uint32_t n, term after) {
    struct spans others = {0};
    for (size_t i = 0; i < set->n; i++) spans_add(&others, set->v[i].from, set->v[i].to);
    spans_tidy(&others);
    spans_invert(&others);
    term one = lex_spans(x, set->v, set->n), other = lex_spans(x, others.v, others.n);
    free(others.v);
    if (!n) return after;
    term shorter = term_cat(x, term_rep(x, one, 0, n - 1), other);
    return term_cat(x, term_rep(x, shorter, 0, TERM_INF), term_cat(x, term_rep(x, one, n, n), after));
}

int regex_string_term(struct grammar *g, const char *p, size_t n, term *out, struct err *e) {
    struct terms *x = &g->x;
    struct err own = ERR_INIT;
    struct regex *r = regex_parse(p, n, &own);
    term quote = term_byte(x, '"'), chars = term_rep(x, g->char_plain, 0, TERM_INF);
    term before = term_cat(x, quote, chars), after = term_cat(x, chars, quote);
    if (r) {
        refuse_tangled(r, &own);
        int starts = anchors(r, R_START), ends = anchors(r, R_END), first = edge(r, R_START), last = edge(r, R_END);
        struct emit m = {g, true, &own, ends ? term_opt(x, after) : after};
        term lead = first ? TERM_EPS : starts ? term_opt(x, before) : before;
        term trail = last && !looks(r) ? TERM_EPS : ends ? term_opt(x, after) : after;
        uint32_t n_run;
        if (!ends && !looks(r)) ease(r, true);
        if (!starts && !looks(r)) ease(r, false);
        const struct regex *run = starts || ends ? NULL : run_of(r, &n_run);
        *out = run ? term_cat(x, quote, run_somewhere(x, &run->set, n_run, after)) : term_cat(x, lead, emit(&m, r, trail));
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
        refuse_tangled(r, &own);
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

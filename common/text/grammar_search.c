/* Terms: the shortest string of an AND, NOT or REM, which have none that follows from their parts; see grammar_term.h. A* over
   the states: an AND's string is no shorter than that of any of its parts, and of equal promises the deepest is followed first,
   so the way is mostly straight; where a part's own shortest string does for the whole, nothing is searched at all. */
#include "common/text/grammar_term.h"
#include <stdlib.h>
#include <string.h>

#define MAX_SEARCH 200000 /* states looked at */

struct visit {
    term t;
    uint32_t level, from;
};

struct search {
    struct terms *x;
    struct visit *v;
    size_t n, cap;
    term *seen; /* hash set: 1 + index in v */
    size_t n_slots;
    struct open {
        uint32_t promise, visit;
    } *heap; /* the least promise first, the latest visit of equal ones */
    size_t n_heap, cap_heap;
    uint32_t best, best_at; /* length; the visit before its last known step */
};

/* Bytes that t needs at least. */
static uint32_t promise(struct terms *x, term t) {
    const struct term_node n = x->v[t];
    uint32_t most = 0;
    if (n.min != MIN_UNKNOWN) return n.min;
    for (uint32_t i = 0; n.kind == T_AND && i < n.b; i++) {
        term part = x->lists[n.a + i];
        int kind = x->v[part].kind;
        uint32_t m = kind == T_NOT || kind == T_REM ? 0 : term_min(x, part);
        if (m > most) most = m;
    }
    return most;
}

static bool searched(const struct terms *x, term t) {
    int k = x->v[t].kind;
    return k == T_AND || k == T_NOT || k == T_REM;
}

/* ---- the heap ---- */
static bool before(struct open a, struct open b) { return a.promise != b.promise ? a.promise < b.promise : a.visit > b.visit; }

static void push(struct search *s, struct open o) {
    GROW(s->heap, s->n_heap, s->cap_heap);
    size_t i = s->n_heap++;
    for (; i && before(o, s->heap[(i - 1) / 2]); i = (i - 1) / 2) s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = o;
}

static struct open pop(struct search *s) {
    struct open top = s->heap[0], last = s->heap[--s->n_heap];
    size_t i = 0;
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= s->n_heap) break;
        c += c + 1 < s->n_heap && before(s->heap[c + 1], s->heap[c]);
        if (!before(s->heap[c], last)) break;
        s->heap[i] = s->heap[c];
        i = c;
    }
    s->heap[i] = last;
    return top;
}

/* ---- states seen ---- */
static size_t slot(const struct search *s, term t) {
    size_t at = t * 0x9e3779b1u & (s->n_slots - 1);
    while (s->seen[at] && s->v[s->seen[at] - 1].t != t) at = (at + 1) & (s->n_slots - 1);
    return at;
}

static void visit(struct search *s, term t, uint32_t level, uint32_t from) {
    if (s->n * 2 >= s->n_slots) {
        s->n_slots = s->n_slots ? s->n_slots * 2 : 64;
        s->seen = xrealloc(s->seen, s->n_slots, sizeof *s->seen);
        memset(s->seen, 0, s->n_slots * sizeof *s->seen);
        for (size_t i = 0; i < s->n; i++) s->seen[slot(s, s->v[i].t)] = (term)i + 1;
    }
    size_t at = slot(s, t);
    uint32_t far = promise(s->x, t);
    if (far == TERM_INF) return;
    if (!s->seen[at]) {
        GROW(s->v, s->n, s->cap);
        s->v[s->n++] = (struct visit){t, level, from};
        s->seen[at] = (term)s->n;
    } else {
        struct visit *old = &s->v[s->seen[at] - 1];
        if (old->level <= level) return;
        *old = (struct visit){t, level, from};
    }
    push(s, (struct open){min_add(level, far), s->seen[at] - 1});
}

/* Every step out of visit i. */
static void expand(struct search *s, uint32_t i) {
    struct terms *x = s->x;
    term_row(x, s->v[i].t);
    for (int c = 0; c < x->classes; c++) {
        term d = term_derive(x, s->v[i].t, c);
        if (d == TERM_EMPTY) continue;
        uint32_t level = s->v[i].level + 1, m = term_nullable(x, d) ? 0 : searched(x, d) ? x->v[d].min : term_min(x, d);
        if (m == MIN_UNKNOWN) visit(s, d, level, i);
        else if (min_add(m, level) < s->best) s->best = min_add(m, level), s->best_at = i;
    }
}

/* ---- without a search ---- */
/* The class that the shortest string of t begins with. */
static int first_class(struct terms *x, term t, uint32_t min) {
    term_row(x, t);
    for (int c = 0; c < x->classes; c++) {
        term d = term_derive(x, t, c);
        if (d != TERM_EMPTY && term_min(x, d) == min - 1) return c;
    }
    return -1;
}

#define MAX_STRAIGHT 300 /* bytes */

/* Whether the shortest string of the part that needs most does for all of t: then its length. */
static uint32_t straight(struct terms *x, term t) {
    term way[MAX_STRAIGHT + 1], part = TERM_EMPTY;
    uint32_t most = 0;
    for (uint32_t i = 0; i < x->v[t].b; i++) {
        term p = x->lists[x->v[t].a + i];
        if (x->v[p].kind == T_NOT || x->v[p].kind == T_REM) continue;
        uint32_t m = term_min(x, p);
        if (m > most) most = m, part = p;
    }
    if (!most || most > MAX_STRAIGHT) return most == TERM_INF ? TERM_INF : MIN_UNKNOWN;
    way[0] = t;
    for (uint32_t i = 0; i < most; i++) {
        int c = first_class(x, part, most - i);
        if (c < 0) return MIN_UNKNOWN;
        term_row(x, way[i]);
        part = term_derive(x, part, c);
        way[i + 1] = term_derive(x, way[i], c);
        if (way[i + 1] == TERM_EMPTY) return MIN_UNKNOWN;
    }
    if (!term_nullable(x, way[most]) || terms_stuck(x)) return MIN_UNKNOWN;
    for (uint32_t i = 0; i < most; i++) x->v[way[i]].min = most - i;
    return most;
}

uint32_t term_search(struct terms *x, term t) {
    uint32_t m = x->v[t].kind == T_AND ? straight(x, t) : MIN_UNKNOWN;
    if (m != MIN_UNKNOWN) return m;
    struct search s = {.x = x, .best = TERM_INF};
    visit(&s, t, 0, 0);
    while (s.n_heap && s.heap[0].promise < s.best && !terms_stuck(x)) {
        if (s.n > MAX_SEARCH || (x->budget && !--x->budget)) {
            x->overflow = true;
            break;
        }
        expand(&s, pop(&s).visit);
    }
    if (terms_stuck(x)) s.best = TERM_INF; /* nothing is known */
    else if (s.best == TERM_INF)
        for (size_t i = 0; i < s.n; i++) x->v[s.v[i].t].min = TERM_INF;
    else
        for (uint32_t i = s.best_at;; i = s.v[i].from) { /* what lies on the shortest way */
            x->v[s.v[i].t].min = s.best - s.v[i].level;
            if (!i) break;
        }
    free(s.v);
    free(s.seen);
    free(s.heap);
    return s.best;
}

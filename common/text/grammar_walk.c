/* Terms: derivatives, shortest strings, classes of bytes; see grammar_term.h. */
#include "common/text/grammar_term.h"
#include <stdlib.h>
#include <string.h>

uint32_t min_add(uint32_t a, uint32_t b) { return a == TERM_INF || b == TERM_INF ? TERM_INF : a + b < a || a + b >= MIN_UNKNOWN ? MIN_UNKNOWN - 1 : a + b; }

static uint32_t mul_sat(uint32_t a, uint32_t b) {
    uint64_t p = (uint64_t)a * b;
    if (!a) return 0;
    return b == TERM_INF ? TERM_INF : p >= MIN_UNKNOWN ? MIN_UNKNOWN - 1 : (uint32_t)p;
}

/* ---- nullable ---- */
static bool nullable_now(struct terms *x, term t) {
    const struct term_node n = x->v[t];
    switch (n.kind) {
    case T_CAT: /* without recursion: the spine is the stack, and may be long */
        for (; x->v[t].kind == T_CAT; t = x->v[t].b)
            if (!term_nullable(x, x->v[t].a)) return false;
        return term_nullable(x, t);
    case T_OR:
        for (uint32_t i = 0; i < n.b; i++)
            if (term_nullable(x, x->lists[n.a + i])) return true;
        return false;
    case T_AND:
        for (uint32_t i = 0; i < n.b; i++)
            if (!term_nullable(x, x->lists[n.a + i])) return false;
        return true;
    case T_NOT: return !term_nullable(x, n.a);
    case T_REP: return !n.lo || term_nullable(x, n.a);
    case T_CALL: return x->rules[n.a].min == 0;
    default: return n.nullable == 2;
    }
}

bool term_nullable(struct terms *x, term t) {
    if (!x->v[t].nullable) {
        bool yes = nullable_now(x, t);
        if (!x->frozen) return yes; /* rules are still being weighed */
        x->v[t].nullable = yes ? 2 : 1;
    }
    return x->v[t].nullable == 2;
}

/* ---- derivatives ---- */
static term derive_list(struct terms *x, term t, int c) {
    struct term_node n = x->v[t];
    term few[16], *v = n.b <= 16 ? few : xcalloc(n.b, sizeof *v), r;
    size_t many = 0;
    bool dead = false;
    for (uint32_t i = 0; i < n.b && n.kind == T_AND; i++) { /* parts come again in other products */
        const struct term_node *k = &x->v[x->lists[n.a + i]];
        term_row(x, k->kind == T_NOT ? k->a : x->lists[n.a + i]);
    }
    for (uint32_t i = 0; i < n.b && !dead; i++) {
        term d = term_derive(x, x->lists[n.a + i], c);
        if (d != TERM_EMPTY) v[many++] = d;
        dead = d == TERM_EMPTY && n.kind == T_AND;
    }
    r = dead ? TERM_EMPTY : n.kind == T_AND ? term_and(x, v, many) : term_or(x, v, many);
    if (v != few) free(v);
    return r;
}

/* Along the spine as far as it may be empty, without recursion. */
static term derive_cat(struct terms *x, term t, int c) {
    term *v = NULL, r = TERM_EMPTY;
    size_t n = 0, cap = 0;
    for (bool more = true; more;) {
        struct term_node k = x->v[t];
        if (k.kind != T_CAT) {
            more = false;
            r = term_derive(x, t, c);
        } else {
            more = term_nullable(x, k.a);
            r = term_cat(x, term_derive(x, k.a, c), k.b);
            t = k.b;
        }
        if (!more && !n) return r;
        GROW(v, n, cap);
        v[n++] = r;
    }
    r = term_or(x, v, n);
    free(v);
    return r;
}

static term derive_now(struct terms *x, term t, int c) {
    struct term_node n = x->v[t];
    unsigned b = x->first_of[c];
    switch (n.kind) {
    case T_SET: return byteset_has(&x->sets[n.a], b) ? TERM_EPS : TERM_EMPTY;
    case T_CAT: return derive_cat(x, t, c);
    case T_OR:
    case T_AND: return derive_list(x, t, c);
    case T_NOT: return term_not(x, term_derive(x, n.a, c));
    case T_REP: {
        term d = term_derive(x, n.a, c);
        return d == TERM_EMPTY ? d : term_cat(x, d, term_rep(x, n.a, n.lo ? n.lo - 1 : 0, n.hi == TERM_INF ? n.hi : n.hi - 1));
    }
    case T_CALL: return term_derive(x, x->rules[n.a].body, c);
    case T_REM: return b >= '0' && b <= '9' ? term_rem(x, n.a, (uint32_t)(((uint64_t)n.b * 10 + b - '0') % n.a)) : TERM_EMPTY;
    default: return TERM_EMPTY;
    }
}

term term_derive(struct terms *x, term t, int c) {
    uint32_t row = x->v[t].row;
    if (!row) return derive_now(x, t, c);
    size_t at = (size_t)(row - 1) * (size_t)x->classes;
    if (x->rows[at + (size_t)c] != TERM_INF) return x->rows[at + (size_t)c];
    term d = terms_stuck(x) ? TERM_EMPTY : derive_now(x, t, c);
    if (terms_stuck(x)) return TERM_EMPTY;
    struct byteset block;
    term_alike(x, t, c, &block);
    for (int i = 0; i < x->classes; i++)
        if (byteset_has(&block, (unsigned)i)) x->rows[at + (size_t)i] = d;
    return d;
}

void term_row(struct terms *x, term t) {
    if (x->v[t].row) return;
    size_t n = (size_t)x->classes;
    while ((x->n_rows + 1) * n > x->cap_rows) {
        x->cap_rows = x->cap_rows ? x->cap_rows * 2 : 64 * n;
        x->rows = xrealloc(x->rows, x->cap_rows, sizeof *x->rows);
    }
    memset(x->rows + x->n_rows * n, 0xff, n * sizeof *x->rows);
    x->v[t].row = (uint32_t)++x->n_rows;
}

term term_step(struct terms *x, term t, int c) {
    term_row(x, t);
    term d = term_derive(x, t, c);
    if (d != TERM_EMPTY && term_min(x, d) == TERM_INF) {
        d = TERM_EMPTY;
        if (!terms_stuck(x)) x->rows[(size_t)(x->v[t].row - 1) * (size_t)x->classes + (size_t)c] = d;
    }
    return d;
}

static uint32_t min_now(struct terms *x, term t) {
    const struct term_node n = x->v[t];
    uint32_t m = TERM_INF;
    switch (n.kind) {
    case T_OR:
        for (uint32_t i = 0; i < n.b; i++) {
            uint32_t k = term_min(x, x->lists[n.a + i]);
            if (k < m) m = k;
        }
        return m;
    case T_REP: return n.lo ? mul_sat(n.lo, term_min(x, n.a)) : 0;
    case T_CALL: return x->rules[n.a].min;
    default: return term_nullable(x, t) ? 0 : term_search(x, t);
    }
}

/* The spine of CATs without recursion: keys and constants may be long. */
static uint32_t min_of_cat(struct terms *x, term t) {
    size_t mark = x->n_scratch;
    for (; x->v[t].kind == T_CAT && x->v[t].min == MIN_UNKNOWN; t = x->v[t].b) {
        GROW(x->scratch, x->n_scratch, x->cap_scratch);
        x->scratch[x->n_scratch++] = t;
    }
    uint32_t m = term_min(x, t);
    while (x->n_scratch > mark) {
        t = x->scratch[--x->n_scratch];
        m = min_add(m, term_min(x, x->v[t].a));
        if (!terms_stuck(x)) x->v[t].min = m;
    }
    return m;
}

uint32_t term_min(struct terms *x, term t) {
    uint32_t m = x->v[t].min;
    if (m != MIN_UNKNOWN) return m;
    m = terms_stuck(x) ? TERM_INF : x->v[t].kind == T_CAT ? min_of_cat(x, t) : min_now(x, t);
    if (!terms_stuck(x)) x->v[t].min = m;
    return m;
}

/* ---- freezing ---- */
/* What depends on rules is found again in each round. */
static void forget(struct terms *x) {
    for (size_t i = 0; i < x->n; i++) {
        struct term_node *t = &x->v[i];
        if (t->kind == T_AND || t->kind == T_NOT || t->kind == T_REM) continue;
        if (t->kind == T_SET || t->kind == T_EMPTY || t->kind == T_EPS) continue;
        t->min = MIN_UNKNOWN;
    }
}

bool terms_freeze(struct terms *x) {
    terms_classes(x);
    for (size_t i = 0; i < x->n_rules; i++) x->rules[i].min = TERM_INF;
    for (bool changed = true; changed && !x->overflow;) {
        changed = false;
        forget(x);
        for (size_t i = x->n_rules; i-- > 0;) { /* callees mostly stand behind their callers */
            uint32_t m = term_min(x, x->rules[i].body);
            changed |= m != x->rules[i].min;
            x->rules[i].min = m;
        }
    }
    x->frozen = true;
    return !x->overflow;
}

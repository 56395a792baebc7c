/* Terms whose limits are far away: see term_near in grammar_term.h. */
#include "common/text/grammar_term.h"
#include <stdlib.h>

static term nearer(struct terms *x, term t, uint32_t far, struct near *n);

static term nearer_list(struct terms *x, term t, uint32_t far, struct near *n) {
    struct term_node k = x->v[t];
    term few[16], *v = k.b <= 16 ? few : xcalloc(k.b, sizeof *v);
    bool changed = false;
    for (uint32_t i = 0; i < k.b; i++) {
        term old = x->lists[k.a + i];
        v[i] = nearer(x, old, far, n);
        changed |= v[i] != old;
    }
    if (changed) t = k.kind == T_AND ? term_and(x, v, k.b) : term_or(x, v, k.b);
    if (v != few) free(v);
    return t;
}

/* All of t; what stands behind the first part of a sequence is left as it is. */
static term nearer(struct terms *x, term t, uint32_t far, struct near *n) {
    struct term_node k = x->v[t];
    switch (k.kind) {
    case T_OR:
    case T_AND: return nearer_list(x, t, far, n);
    case T_CAT: {
        term a = nearer(x, k.a, far, n);
        return a == k.a ? t : term_cat(x, a, k.b);
    }
    case T_REP: {
        bool limit = k.hi != TERM_INF && k.hi >= far;
        term a = nearer(x, k.a, far, n);
        if (limit && k.hi < n->room) n->room = k.hi;
        return limit || a != k.a ? term_rep(x, a, k.lo, limit ? TERM_INF : k.hi) : t;
    }
    default: return t;
    }
}

/* Bytes that every string of t ends in behind its first part; of alternatives the fewest. */
static uint32_t tail_of(struct terms *x, term t) {
    const struct term_node k = x->v[t];
    if (k.kind == T_CAT) return term_min(x, k.b);
    uint32_t least = k.kind == T_OR ? TERM_INF : 0;
    for (uint32_t i = 0; k.kind == T_OR && i < k.b; i++) {
        uint32_t n = tail_of(x, x->lists[k.a + i]);
        if (n < least) least = n;
    }
    return least;
}

term term_near(struct terms *x, term t, uint32_t far, struct near *n) {
    *n = (struct near){TERM_INF, tail_of(x, t)};
    if (n->tail > (uint32_t)1 << 30) return t;
    term to = nearer(x, t, far, n);
    return x->overflow || to == TERM_EMPTY ? t : to;
}

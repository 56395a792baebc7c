/* The mask of one state, found: token by token along the trie, whole strings at once, limits far away left out. See mask.h. */
#include "common/text/mask_impl.h"
#include <stdlib.h>
#include <string.h>

#define FAR 16 /* a limit on characters so far away is left out, and asked about for the few tokens that may come to it */
#define MAX_LATE 4096
#define STRING_MARGIN 12 /* bytes that a token inside a string can add to the way out: half a pair of \u */

static void add_token(void *arg, int32_t token, uint32_t state) {
    struct masker *m = arg;
    struct entry *e = m->now;
    uint32_t far = term_min(&m->g->x, state);
    if (far > e->farthest) e->farthest = far;
    if (e->near) {
        uint32_t bytes = min_add(m->v->at[token + 1] - m->v->at[token], far);
        if (bytes > e->tail + FAR && e->n_late <= MAX_LATE) {
            GROW(e->late, e->n_late, e->cap_late);
            e->late[e->n_late++] = (struct late){token, bytes - e->tail};
        }
    }
    for (; token >= 0; token = m->v->twin[token], e->n++) {
        if (e->n >= FEW && !e->bits) {
            e->bits = xcalloc(m->words, sizeof *e->bits);
            mask_set_bits(m, e->bits, e->list, FEW);
        }
        if (!e->bits) e->list[e->n] = token;
        else e->bits[token >> 5] |= 1u << (token & 31);
    }
}

/* ---- strings: most tokens may come, and all that stay inside are known ---- */
struct inside {
    const struct string_tokens *tokens;
    uint32_t room; /* characters */
};

static bool ends_in_quote(const struct terms *x, term t) {
    term quote = x->single['"'];
    return quote && (t == quote || (x->v[t].kind == T_CAT && x->v[t].a == quote));
}

/* Characters, then a quote. */
static bool characters(const struct masker *m, term t, struct inside *to) {
    const struct terms *x = &m->g->x;
    const struct term_node *cat = &x->v[t], *rep = cat->kind == T_CAT ? &x->v[cat->a] : cat;
    if (cat->kind != T_CAT || rep->kind != T_REP || !ends_in_quote(x, cat->b)) return false;
    *to = (struct inside){rep->a == m->g->char_free ? &m->v->free : rep->a == m->g->char_plain ? &m->v->plain : NULL, rep->hi};
    return to->tokens != NULL;
}

static bool finite(const struct terms *x, term t) {
    for (;; t = x->v[t].b) {
        const struct term_node *n = &x->v[t];
        if (n->kind == T_OR)
            for (uint32_t i = 0; i < n->b; i++)
                if (!finite(x, x->lists[n->a + i])) return false;
        if (n->kind != T_CAT) return n->kind == T_OR || n->kind == T_SET || n->kind == T_EPS;
        if (!finite(x, n->a)) return false;
    }
}

/* The same, but for a few texts: names that are not taken. Whatever stays inside can still become another one. */
static bool other_names(const struct masker *m, term t, struct inside *to) {
    const struct terms *x = &m->g->x;
    if (x->v[t].kind == T_CAT) t = x->v[t].a;
    const struct term_node *and = &x->v[t];
    bool found = false;
    if (and->kind != T_AND) return false;
    for (uint32_t i = 0; i < and->b; i++) {
        term c = x->lists[and->a + i];
        if (x->v[c].kind == T_NOT && finite(x, x->v[c].a)) continue;
        if (found || !characters(m, c, to) || to->room != TERM_INF) return false;
        found = true;
    }
    return found;
}

static void add_inside(struct masker *m, const struct inside *s, term state) {
    struct entry *e = m->now;
    const struct string_tokens *t = s->tokens;
    int32_t from = 0;
    if (!e->bits) {
        e->bits = xcalloc(m->words, sizeof *e->bits);
        mask_set_bits(m, e->bits, e->list, e->n < FEW ? e->n : FEW);
    }
    while (from < t->n_inside && t->length[from] > s->room) from++;
    if (from < t->n_inside / 2) {
        for (size_t i = 0; i < m->words; i++) m->scratch[i] = t->inside[i];
        for (int32_t i = 0; i < from; i++) m->scratch[t->by_length[i] >> 5] &= ~(1u << (t->by_length[i] & 31));
        for (size_t i = 0; i < m->words; i++) e->bits[i] |= m->scratch[i];
    } else {
        for (int32_t i = from; i < t->n_inside; i++) e->bits[t->by_length[i] >> 5] |= 1u << (t->by_length[i] & 31);
    }
    e->n = FEW; /* counted at the end */
    uint32_t far = term_min(&m->g->x, state);
    far = far > TERM_INF - STRING_MARGIN - 2 ? far : far + STRING_MARGIN;
    if (far > e->farthest) e->farthest = far;
    trie_walk(&t->leaving, m->g, state, add_token, m);
}

/* The alternatives of t, whether they stand at the top or before a tail that they share. */
static void list_alternatives(struct masker *m, term t, int depth) {
    struct terms *x = &m->g->x;
    const struct term_node n = x->v[t];
    term or = n.kind == T_CAT ? n.a : t, tail = n.kind == T_CAT ? n.b : TERM_EPS;
    const struct term_node o = x->v[or];
    for (uint32_t i = 0; o.kind == T_OR && depth && i < o.b; i++) list_alternatives(m, term_cat(x, x->lists[o.a + i], tail), depth - 1);
    if (o.kind == T_OR && depth) return;
    GROW(m->alternatives, m->n_alternatives, m->cap_alternatives);
    m->alternatives[m->n_alternatives++] = t;
}

static bool string_part(const struct masker *m, term t, struct inside *s) { return characters(m, t, s) || other_names(m, t, s); }

/* The union of what each alternative takes, where one of them is a string. */
static bool fill_strings(struct masker *m, uint32_t state) {
    struct inside s;
    bool any = false;
    m->n_alternatives = 0;
    list_alternatives(m, state, 3);
    for (size_t i = 0; i < m->n_alternatives; i++) any |= string_part(m, m->alternatives[i], &s);
    for (size_t i = 0; any && i < m->n_alternatives; i++) {
        term t = m->alternatives[i];
        if (term_min(&m->g->x, t) == TERM_INF) continue;
        if (string_part(m, t, &s)) add_inside(m, &s, t);
        else trie_walk(&m->v->all, m->g, t, add_token, m);
    }
    return any;
}

/* ---- limits far away ----
   A pattern and the characters still allowed are a product, with other states behind every character. While the limit is far it
   is left out: MaskBench's ten schemas of the slowest masks take 58 µs a mask in the mean instead of 153. */
/* Of a state without limits, walked as it is, with the tokens that limits may meet; NULL: beyond bounds. */
static struct entry *near_entry(struct masker *m, uint32_t state, uint32_t tail) {
    struct entry *e = state < m->n_states ? m->entries[state] : NULL;
    if (e && e->near && e->tail == tail) return e;
    e = m->now = xcalloc(1, sizeof *e);
    e->near = true;
    e->tail = tail;
    trie_walk(&m->v->all, m->g, state, add_token, m);
    if (!grammar_beyond(m->g)) return entry_keep(m, state, e);
    entry_free(e);
    return NULL;
}

/* The same mask, but for late tokens, which are tried. NULL where there are too many of them, or no limit is far. */
static struct entry *fill_far(struct masker *m, uint32_t state) {
    struct near how;
    uint32_t near = term_near(&m->g->x, state, FAR, &how);
    bool all_late = term_min(&m->g->x, state) > min_add(how.tail, FAR); /* no answer is shorter than the shortest */
    const struct entry *from = near == state || all_late ? NULL : near_entry(m, near, how.tail);
    if (!from || from->n_late > MAX_LATE) return NULL;
    struct entry *e = m->now = xcalloc(1, sizeof *e);
    e->farthest = from->farthest;
    e->bits = xcalloc(m->words, sizeof *e->bits);
    if (from->bits) memcpy(e->bits, from->bits, m->words * sizeof *e->bits);
    else mask_set_bits(m, e->bits, from->list, from->n);
    for (size_t i = 0; i < from->n_late; i++) {
        int32_t token = from->late[i].token;
        if (from->late[i].bytes <= how.room) continue;
        uint32_t to = mask_step(m, state, token), far = to == GRAMMAR_DEAD ? 0 : term_min(&m->g->x, to);
        if (far > e->farthest) e->farthest = far;
        for (; to == GRAMMAR_DEAD && token >= 0; token = m->v->twin[token]) e->bits[token >> 5] &= ~(1u << (token & 31));
    }
    return e;
}

struct entry *entry_fill(struct masker *m, uint32_t state) {
    struct entry *e = m->now = xcalloc(1, sizeof *e);
    if (fill_strings(m, state)) return e;
    struct entry *far = fill_far(m, state);
    if (far) {
        entry_free(e);
        return far;
    }
    m->now = e;
    trie_walk(&m->v->all, m->g, state, add_token, m);
    return e;
}

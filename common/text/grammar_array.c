/* Schemas as rules: arrays; see grammar_schema.h. uniqueItems is kept where the elements are of a list of values: a rule for
   each set of values that stand already. contains is kept by rules that count, for each number of elements so far and of those
   that fit. */
#include "common/text/grammar_schema.h"
#include <stdlib.h>
#include <string.h>

#define MAX_STATES 20000 /* rules of one array */
#define MAX_CONTAINS 3   /* upon each other: each doubles the kinds of elements */
#define MAX_VALUES 63    /* under uniqueItems */

struct contains {
    const struct node *node;
    uint64_t least, most;
    size_t top; /* hits are counted up to here */
};

struct array {
    struct merged *m;
    struct rest *rest; /* one each unevaluatedItems */
    size_t n_rest;
    uint64_t lo, hi;
    size_t prefix;
    const struct node *unique;
    struct contains contains[MAX_CONTAINS];
    size_t n_contains;
    size_t top; /* elements are counted up to here */
    uint32_t *rules;
};

/* ---- elements ---- */
static bool rest_prefix(const struct rest *r, size_t i, bool behind) {
    bool seen = r->all;
    for (size_t k = 0; k < r->n; k++) seen |= !behind && i < r->v[k]->prefix.n;
    return seen;
}

/* What the element at index i (behind: at any behind all prefixItems) has to satisfy; false: it cannot. */
static bool element_items(const struct array *a, size_t i, bool behind, struct items *s) {
    bool possible = true;
    for (size_t k = 0; k < a->m->n_plain; k++) {
        const struct node *n = a->m->plain[k], *schema = !behind && i < n->prefix.n ? n->prefix.v[i] : n->items;
        if (!schema) continue;
        if (schema->is_bool && !schema->truth) possible = false;
        items_add(s, schema, PART_ALL);
    }
    for (size_t k = 0; k < a->n_rest; k++) {
        const struct node *schema = a->rest[k].schema;
        if (rest_prefix(&a->rest[k], i, behind)) continue;
        if (schema->is_bool && !schema->truth) possible = false;
        items_add(s, schema, PART_ALL);
    }
    return possible;
}

static term element(const struct array *a, size_t i, bool behind, bool *possible) {
    struct items s = {0};
    *possible = element_items(a, i, behind, &s);
    if (*possible) return term_call(a->m->b->x, conj_rule(a->m->b, &s));
    free(s.v);
    return TERM_EMPTY;
}

/* ---- uniqueItems: sets of values ---- */
struct sets {
    uint64_t *set;
    uint32_t *rule;
    size_t n, cap, cap_rule;
    size_t slots[4 * MAX_STATES]; /* 1 + index, by hash */
};

static uint32_t rule_of_set(struct terms *x, struct sets *s, uint64_t set) {
    size_t n = sizeof s->slots / sizeof *s->slots, at = (size_t)((set * 0x9e3779b97f4a7c15u) >> 20) % n;
    for (; s->slots[at]; at = (at + 1) % n)
        if (s->set[s->slots[at] - 1] == set) return s->rule[s->slots[at] - 1];
    GROW(s->set, s->n, s->cap);
    GROW(s->rule, s->n, s->cap_rule);
    s->set[s->n] = set;
    s->rule[s->n++] = rule_new(x);
    s->slots[at] = s->n;
    return s->rule[s->n - 1];
}

static size_t bits(uint64_t set) { return (size_t)__builtin_popcountll(set); }

/* How many sets of at most hi of n values there are, or more than MAX_STATES. */
static double sets_needed(size_t n, uint64_t hi) {
    double all = 0, choose = 1;
    for (size_t k = 0; k <= n && k <= hi && all <= MAX_STATES; k++) {
        all += choose;
        choose = choose * (double)(n - k) / (double)(k + 1);
    }
    return all;
}

static term unique_of(const struct array *a, const struct json **v, size_t n) {
    struct builder *b = a->m->b;
    struct terms *x = b->x;
    struct sets *s = xcalloc(1, sizeof *s);
    term *text = xcalloc(n + 1, sizeof *text), *way = xcalloc(n + 1, sizeof *way);
    for (size_t i = 0; i < n; i++) text[i] = value_text(b, v[i]);
    uint32_t first = rule_of_set(x, s, 0);
    for (size_t i = 0; i < s->n; i++) { /* grows meanwhile */
        uint64_t set = s->set[i];
        size_t ways = 0;
        way[ways++] = bits(set) >= a->lo ? TERM_EPS : TERM_EMPTY;
        for (size_t k = 0; bits(set) < a->hi && k < n; k++) {
            if (set >> k & 1) continue;
            term rest = term_call(x, rule_of_set(x, s, set | (uint64_t)1 << k));
            way[ways++] = term_cat(x, set ? b->comma : TERM_EPS, term_cat(x, text[k], rest));
        }
        x->rules[s->rule[i]].body = term_or(x, way, ways);
    }
    free(s->set);
    free(s->rule);
    free(s);
    free(text);
    free(way);
    return term_call(x, first);
}

/* 1: kept, *out; 0: left out; -1. */
static int unique_term(struct array *a, term *out) {
    struct items s = {0};
    const struct json **v = NULL;
    size_t n = 0;
    bool listed = !a->prefix && !a->n_contains && element_items(a, 0, true, &s) && conj_values(a->m->b, &s, &v, &n);
    listed = listed && n <= MAX_VALUES && sets_needed(n, a->hi) <= MAX_STATES;
    if (listed) *out = unique_of(a, v, n);
    free(s.v);
    free(v);
    if (listed) return 1;
    return left_out(a->m, a->unique, "uniqueItems", "cannot be kept but of few listed values");
}

/* ---- contains: counting ---- */
static size_t combinations(const struct array *a) {
    size_t n = 1;
    for (size_t k = 0; k < a->n_contains; k++) n *= a->contains[k].top + 1;
    return n;
}

/* Behind an element of kind set (a bit each contains that it fits): the hits, packed; -1 where it may not come. */
static long add_hits(const struct array *a, size_t hits, unsigned set) {
    long to = 0, unit = 1;
    for (size_t k = 0; k < a->n_contains; k++) {
        const struct contains *c = &a->contains[k];
        size_t h = hits % (c->top + 1);
        hits /= c->top + 1;
        if (set >> k & 1 && h++ == c->top) return -1; /* as many as may be, or as need be counted */
        to += unit * (long)h;
        unit *= (long)c->top + 1;
    }
    return to;
}

static bool enough(const struct array *a, size_t hits) {
    bool yes = true;
    for (size_t k = 0; k < a->n_contains; k++) {
        yes &= hits % (a->contains[k].top + 1) >= a->contains[k].least;
        hits /= a->contains[k].top + 1;
    }
    return yes;
}

/* An element of a kind: fits those of the set; of the others those that have a most it must not. */
static term element_of(const struct array *a, size_t i, unsigned set) {
    struct items s = {0};
    bool possible = element_items(a, i, i >= a->prefix, &s);
    for (size_t k = 0; k < a->n_contains; k++) {
        const struct contains *c = &a->contains[k];
        if (set >> k & 1) items_add(&s, c->node->contains, PART_ALL);
        else if (c->most != SCHEMA_NO_LIMIT) items_add(&s, c->node->contains, PART_NOT);
    }
    if (possible) return term_call(a->m->b->x, conj_rule(a->m->b, &s));
    free(s.v);
    return TERM_EMPTY;
}

static term counting_body(const struct array *a, size_t i, size_t hits, size_t many) {
    struct terms *x = a->m->b->x;
    term t = i >= a->lo && enough(a, hits) ? TERM_EPS : TERM_EMPTY;
    size_t next = i + 1 > a->top ? a->top : i + 1;
    for (unsigned set = 0; i < a->hi && set < 1u << a->n_contains; set++) {
        long to = add_hits(a, hits, set);
        if (to < 0) continue;
        term rest = term_call(x, a->rules[next * many + (size_t)to]);
        t = term_or2(x, t, term_cat(x, i ? a->m->b->comma : TERM_EPS, term_cat(x, element_of(a, i, set), rest)));
    }
    return t;
}

/* 1: kept, *out; 0: left out; -1. */
static int counting_term(struct array *a, term *out) {
    struct terms *x = a->m->b->x;
    uint64_t top = a->prefix > a->lo ? a->prefix : a->lo;
    if (a->hi != SCHEMA_NO_LIMIT && a->hi > top) top = a->hi;
    if (!top) top = 1;
    size_t many = combinations(a);
    if (top > MAX_STATES || (top + 1) * many > MAX_STATES) return left_out(a->m, a->contains[0].node, "contains", "too many elements to be kept");
    a->top = (size_t)top;
    a->rules = xcalloc((a->top + 1) * many, sizeof *a->rules);
    for (size_t i = 0; i < (a->top + 1) * many; i++) a->rules[i] = rule_new(x);
    for (size_t i = 0; i <= a->top; i++)
        for (size_t h = 0; h < many; h++) {
            term body = counting_body(a, i, h, many);
            x->rules[a->rules[i * many + h]].body = body;
        }
    *out = term_call(x, a->rules[0]);
    free(a->rules);
    return 1;
}

/* ---- neither ---- */
static term plain_elements(const struct array *a) {
    struct terms *x = a->m->b->x;
    bool possible;
    uint64_t lo = a->lo, hi = a->hi;
    size_t prefix = a->prefix;
    term more = element(a, 0, true, &possible), comma = a->m->b->comma, t;
    if (hi > prefix && !possible) hi = prefix;
    uint32_t least = lo > prefix ? (uint32_t)(lo - prefix) : 0;
    uint32_t most = hi >= MIN_UNKNOWN ? TERM_INF : hi > prefix ? (uint32_t)(hi - prefix) : 0;
    if (prefix || !most) {
        t = term_rep(x, term_cat(x, comma, more), least, most);
    } else {
        t = term_cat(x, more, term_rep(x, term_cat(x, comma, more), least ? least - 1 : 0, most == TERM_INF ? most : most - 1));
        if (!least) t = term_opt(x, t);
    }
    for (size_t i = prefix; i-- > 0;) {
        if (i >= hi) {
            t = i >= lo ? TERM_EPS : TERM_EMPTY;
            continue;
        }
        t = term_cat(x, i ? comma : TERM_EPS, term_cat(x, element(a, i, false, &possible), t));
        if (i >= lo) t = term_opt(x, t);
    }
    return t;
}

/* ---- what the conjunction asks ---- */
static int collect(struct array *a) {
    struct merged *m = a->m;
    for (size_t k = 0; k < m->n_plain; k++) {
        const struct node *n = m->plain[k];
        if (n->min_items > a->lo) a->lo = n->min_items;
        if (n->max_items < a->hi) a->hi = n->max_items;
        if (n->prefix.n > a->prefix) a->prefix = n->prefix.n;
        if (n->unique) a->unique = n;
        if (!n->contains || (!n->min_contains && n->max_contains == SCHEMA_NO_LIMIT)) continue;
        if (n->min_contains > n->max_contains) a->hi = 0, a->lo = 1; /* nothing fits */
        uint64_t top = n->max_contains != SCHEMA_NO_LIMIT ? n->max_contains : n->min_contains;
        if (a->n_contains == MAX_CONTAINS || top > MAX_STATES) {
            if (left_out(m, n, "contains", "too many to be kept") < 0) return -1;
            continue;
        }
        a->contains[a->n_contains++] = (struct contains){n, n->min_contains, n->max_contains, (size_t)top};
    }
    if (a->hi <= 1) a->unique = NULL;
    return rests(m, true, &a->rest, &a->n_rest);
}

int array_term(struct merged *m, term *out) {
    struct array a = {.m = m, .hi = SCHEMA_NO_LIMIT};
    struct terms *x = m->b->x;
    int rc = collect(&a), kept = 0;
    term t = TERM_EMPTY;
    *out = TERM_EMPTY;
    if (!rc && a.lo <= a.hi && a.lo < MIN_UNKNOWN) {
        if (a.unique) rc = kept = unique_term(&a, &t);
        if (rc >= 0 && !kept && a.n_contains) rc = kept = counting_term(&a, &t);
        if (rc >= 0 && !kept) t = plain_elements(&a);
        t = term_cat(x, m->b->gap, term_cat(x, t, m->b->gap));
        *out = term_cat(x, term_byte(x, '['), term_cat(x, t, term_byte(x, ']')));
    }
    rests_free(a.rest, a.n_rest);
    return rc < 0 ? -1 : 0;
}

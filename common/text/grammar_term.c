/* Terms: making and interning; see grammar_term.h. */
#include "common/text/grammar_term.h"
#include <stdlib.h>
#include <string.h>

#define MAX_TERMS 4000000

static uint32_t mix(uint32_t h, uint32_t v) {
    h = (h ^ v) * 0x9e3779b1u;
    return h ^ h >> 15;
}

static bool has_list(int kind) { return kind == T_OR || kind == T_AND; }

static uint32_t hash(const struct term_node *k, const term *list) {
    uint32_t h = mix(0x811c9dc5u, k->kind);
    if (has_list(k->kind)) {
        for (uint32_t i = 0; i < k->b; i++) h = mix(h, list[i]);
        return h;
    }
    return mix(mix(mix(mix(h, k->a), k->b), k->lo), k->hi);
}

static bool same(const struct terms *x, const struct term_node *k, const term *list, const struct term_node *t) {
    if (t->kind != k->kind || t->b != k->b) return false;
    if (has_list(k->kind)) return !memcmp(x->lists + t->a, list, k->b * sizeof *list);
    return t->a == k->a && t->lo == k->lo && t->hi == k->hi;
}

static void rehash(struct terms *x) {
    x->n_slots = x->n_slots ? x->n_slots * 2 : 1024;
    x->slots = xrealloc(x->slots, x->n_slots, sizeof *x->slots);
    memset(x->slots, 0xff, x->n_slots * sizeof *x->slots);
    for (size_t i = 0; i < x->n; i++) {
        size_t at = hash(&x->v[i], x->lists + x->v[i].a) & (x->n_slots - 1);
        while (x->slots[at] != UINT32_MAX) at = (at + 1) & (x->n_slots - 1);
        x->slots[at] = (uint32_t)i;
    }
}

/* The term with this key; list: its children, copied when it is new. */
static term intern(struct terms *x, struct term_node k, const term *list) {
    if (x->n * 2 >= x->n_slots) rehash(x);
    size_t at = hash(&k, list) & (x->n_slots - 1);
    for (; x->slots[at] != UINT32_MAX; at = (at + 1) & (x->n_slots - 1))
        if (same(x, &k, list, &x->v[x->slots[at]])) return x->slots[at];
    if (x->n >= x->limit) {
        x->overflow = true;
        return TERM_EMPTY;
    }
    if (has_list(k.kind)) {
        k.a = (uint32_t)x->n_lists;
        for (uint32_t i = 0; i < k.b; i++) {
            GROW(x->lists, x->n_lists, x->cap_lists);
            x->lists[x->n_lists++] = list[i];
        }
    }
    GROW(x->v, x->n, x->cap);
    x->v[x->n] = k;
    x->slots[at] = (uint32_t)x->n;
    return (term)x->n++;
}

static struct term_node key(enum term_kind kind, uint32_t a, uint32_t b) {
    return (struct term_node){.kind = (uint8_t)kind, .a = a, .b = b, .min = MIN_UNKNOWN};
}

void terms_init(struct terms *x, const struct byteset *usable) {
    *x = (struct terms){.limit = MAX_TERMS};
    if (usable)
        x->usable = *usable;
    else
        byteset_add(&x->usable, 0, 255);
    struct term_node empty = key(T_EMPTY, 0, 0), eps = key(T_EPS, 0, 0);
    empty.min = TERM_INF;
    empty.nullable = 1;
    eps.min = 0;
    eps.nullable = 2;
    intern(x, empty, NULL);
    intern(x, eps, NULL);
}

void terms_release(struct terms *x) {
    free(x->v);
    free(x->slots);
    free(x->lists);
    free(x->sets);
    free(x->rules);
    free(x->rows);
    free(x->set_classes);
    free(x->scratch);
    *x = (struct terms){0};
}

/* ---- leaves ---- */
term term_set(struct terms *x, const struct byteset *s) {
    struct byteset u;
    bool any = false;
    for (int i = 0; i < 4; i++) any |= (u.w[i] = s->w[i] & x->usable.w[i]) != 0;
    if (!any) return TERM_EMPTY;
    size_t i = 0;
    while (i < x->n_sets && memcmp(&x->sets[i], &u, sizeof u)) i++;
    if (i == x->n_sets) {
        GROW(x->sets, x->n_sets, x->cap_sets);
        x->sets[x->n_sets++] = u;
    }
    struct term_node k = key(T_SET, (uint32_t)i, 0);
    k.min = 1;
    k.nullable = 1;
    return intern(x, k, NULL);
}

term term_range(struct terms *x, unsigned char from, unsigned char to) {
    struct byteset s = {{0}};
    byteset_add(&s, from, to);
    return term_set(x, &s);
}

term term_byte(struct terms *x, unsigned char b) {
    if (!x->single[b]) x->single[b] = term_range(x, b, b);
    return x->single[b];
}

term term_rem(struct terms *x, uint32_t divisor, uint32_t rest) {
    struct term_node k = key(T_REM, divisor, rest);
    k.nullable = rest ? 1 : 2;
    return intern(x, k, NULL);
}

uint32_t rule_new(struct terms *x) {
    GROW(x->rules, x->n_rules, x->cap_rules);
    x->rules[x->n_rules] = (struct rule){TERM_EMPTY, MIN_UNKNOWN};
    return (uint32_t)x->n_rules++;
}

term term_call(struct terms *x, uint32_t rule) { return intern(x, key(T_CALL, rule, 0), NULL); }

/* ---- CAT ---- */
static term join(struct terms *x, term a, term b) {
    if (a == TERM_EMPTY || b == TERM_EMPTY) return TERM_EMPTY;
    if (a == TERM_EPS) return b;
    if (b == TERM_EPS) return a;
    struct term_node k = key(T_CAT, a, b);
    uint32_t m = x->v[a].min, n = x->v[b].min;
    if (m != MIN_UNKNOWN && n != MIN_UNKNOWN) k.min = m >= TERM_INF - 2 || n >= TERM_INF - 2 - m ? MIN_UNKNOWN : m + n;
    return intern(x, k, NULL);
}

term term_cat(struct terms *x, term a, term b) {
    size_t mark = x->n_scratch;
    for (; x->v[a].kind == T_CAT; a = x->v[a].b) { /* to the right: one shape for one sequence */
        GROW(x->scratch, x->n_scratch, x->cap_scratch);
        x->scratch[x->n_scratch++] = x->v[a].a;
    }
    b = join(x, a, b);
    while (x->n_scratch > mark) b = join(x, x->scratch[--x->n_scratch], b);
    return b;
}

term term_text(struct terms *x, const void *s, size_t n, term then) {
    const unsigned char *p = s;
    while (n--) then = join(x, term_byte(x, p[n]), then);
    return then;
}

term term_str(struct terms *x, const char *s) { return term_text(x, s, strlen(s), TERM_EPS); }

/* ---- OR, AND, NOT ---- */
static int by_id(const void *a, const void *b) {
    term p = *(const term *)a, q = *(const term *)b;
    return (p > q) - (p < q);
}

/* Children of one kind flattened, ascending, each once, onto the scratch from `mark`. */
static void gather(struct terms *x, enum term_kind kind, const term *v, size_t n, size_t mark) {
    for (size_t i = 0; i < n; i++) {
        const struct term_node *t = &x->v[v[i]];
        size_t many = t->kind == kind ? t->b : 1;
        for (size_t k = 0; k < many; k++) {
            GROW(x->scratch, x->n_scratch, x->cap_scratch);
            x->scratch[x->n_scratch++] = t->kind == kind ? x->lists[t->a + k] : v[i];
        }
    }
    qsort(x->scratch + mark, x->n_scratch - mark, sizeof *x->scratch, by_id);
    size_t to = mark;
    for (size_t i = mark; i < x->n_scratch; i++)
        if (i == mark || x->scratch[i] != x->scratch[to - 1]) x->scratch[to++] = x->scratch[i];
    x->n_scratch = to;
}

term term_or(struct terms *x, const term *v, size_t n) {
    size_t mark = x->n_scratch;
    gather(x, T_OR, v, n, mark);
    size_t from = mark + (x->n_scratch > mark && x->scratch[mark] == TERM_EMPTY);
    size_t many = x->n_scratch - from;
    term r = !many ? TERM_EMPTY : many == 1 ? x->scratch[from] : intern(x, key(T_OR, 0, (uint32_t)many), x->scratch + from);
    x->n_scratch = mark;
    return r;
}

term term_or2(struct terms *x, term a, term b) { return term_or(x, (term[]){a, b}, 2); }
term term_opt(struct terms *x, term a) { return term_or2(x, a, TERM_EPS); }

static bool contradicts(const struct terms *x, const term *v, size_t n) {
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n && x->v[v[i]].kind == T_NOT; k++)
            if (v[k] == x->v[v[i]].a) return true;
    return false;
}

term term_and(struct terms *x, const term *v, size_t n) {
    size_t mark = x->n_scratch;
    term all = term_not(x, TERM_EMPTY), r;
    gather(x, T_AND, v, n, mark);
    size_t to = mark;
    for (size_t i = mark; i < x->n_scratch; i++)
        if (x->scratch[i] != all) x->scratch[to++] = x->scratch[i];
    size_t many = to - mark;
    const term *list = x->scratch + mark;
    if (!many) {
        r = all;
    } else if (many == 1) {
        r = *list;
    } else if (*list == TERM_EMPTY || contradicts(x, list, many)) {
        r = TERM_EMPTY;
    } else if (*list == TERM_EPS) {
        r = TERM_EPS;
        for (size_t i = 1; i < many; i++)
            if (!term_nullable(x, x->scratch[mark + i])) r = TERM_EMPTY;
    } else {
        r = intern(x, key(T_AND, 0, (uint32_t)many), list);
    }
    x->n_scratch = mark;
    return r;
}

term term_and2(struct terms *x, term a, term b) { return term_and(x, (term[]){a, b}, 2); }

term term_not(struct terms *x, term a) {
    if (x->v[a].kind == T_NOT) return x->v[a].a;
    return intern(x, key(T_NOT, a, 0), NULL);
}

term term_rep(struct terms *x, term a, uint32_t lo, uint32_t hi) {
    if (lo > hi) return TERM_EMPTY;
    if (!hi || a == TERM_EPS) return TERM_EPS;
    if (a == TERM_EMPTY) return lo ? TERM_EMPTY : TERM_EPS;
    if (lo == 1 && hi == 1) return a;
    struct term_node k = key(T_REP, a, 0);
    k.lo = lo;
    k.hi = hi;
    return intern(x, k, NULL);
}

/* Schemas as rules: conjunctions; see grammar_schema.h. */
#include "common/text/grammar_schema.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define EVERY_TYPE 0x7fu

int cannot(const struct node *n, struct err *e, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(e, RC_INPUT, fmt, ap);
    va_end(ap);
    return err_prefix(e, "at %.300s: ", n->path);
}

int left_out(struct merged *m, const struct node *n, const char *keyword, const char *fmt, ...) {
    struct err why;
    va_list ap;
    va_start(ap, fmt);
    err_vset(&why, RC_INPUT, fmt, ap);
    va_end(ap);
    err_prefix(&why, "at %.300s: %s: ", n->path, keyword);
    if (!m->b->lenient) return *m->e = why, -1;
    GROW(m->b->left, m->b->n_left, m->b->cap_left);
    m->b->left[m->b->n_left++] = (struct left){m->b->now, xstrdup(why.msg)};
    return 0;
}

/* ---- sets of items ---- */
void items_add(struct items *s, const struct node *n, enum part part) {
    uint32_t key = (uint32_t)n->index * 8 + part;
    size_t at = s->n;
    while (at && s->v[at - 1] >= key) at--;
    if (at < s->n && s->v[at] == key) return;
    GROW(s->v, s->n, s->cap);
    memmove(s->v + at + 1, s->v + at, (s->n++ - at) * sizeof *s->v);
    s->v[at] = key;
}

static void items_copy(struct items *to, const struct items *from) {
    *to = (struct items){xcalloc(from->n + 1, sizeof *to->v), from->n, from->n + 1};
    if (from->n) memcpy(to->v, from->v, from->n * sizeof *to->v);
}

static const struct node *item_node(const struct builder *b, uint32_t item) { return b->s->nodes.v[item / 8]; }

static size_t conj_hash(const struct items *s) {
    uint32_t h = 0x811c9dc5u;
    for (size_t i = 0; i < s->n; i++) h = (h ^ s->v[i]) * 0x9e3779b1u, h ^= h >> 15;
    return h;
}

uint32_t conj_rule(struct builder *b, struct items *s) {
    if (b->n_conj * 2 >= b->n_slots) {
        b->n_slots = b->n_slots ? b->n_slots * 2 : 64;
        b->slots = xrealloc(b->slots, b->n_slots, sizeof *b->slots);
        memset(b->slots, 0xff, b->n_slots * sizeof *b->slots);
        for (size_t i = 0; i < b->n_conj; i++) {
            size_t at = conj_hash(&b->conj[i].items) & (b->n_slots - 1);
            while (b->slots[at] != UINT32_MAX) at = (at + 1) & (b->n_slots - 1);
            b->slots[at] = (uint32_t)i;
        }
    }
    size_t at = conj_hash(s) & (b->n_slots - 1);
    for (; b->slots[at] != UINT32_MAX; at = (at + 1) & (b->n_slots - 1)) {
        struct conj *c = &b->conj[b->slots[at]];
        if (c->items.n != s->n || (s->n && memcmp(c->items.v, s->v, s->n * sizeof *s->v))) continue;
        free(s->v);
        *s = (struct items){0};
        return c->rule;
    }
    GROW(b->conj, b->n_conj, b->cap_conj);
    b->slots[at] = (uint32_t)b->n_conj;
    struct conj *c = &b->conj[b->n_conj++];
    *c = (struct conj){.items = *s, .rule = rule_new(b->x)};
    *s = (struct items){0};
    return c->rule;
}

/* ---- from PART_ALL to plain parts and choices ---- */
static void add_parts(struct items *s, const struct node *n) {
    items_add(s, n, PART_PLAIN);
    if (n->any.n) items_add(s, n, PART_ANY);
    if (n->one.n) items_add(s, n, PART_ONE);
    if (n->cond && (n->then || n->otherwise)) items_add(s, n, PART_IF);
    if (n->not) items_add(s, n->not, PART_NOT);
    if (n->ref) items_add(s, n->ref, PART_ALL);
    for (size_t i = 0; i < n->all.n; i++) items_add(s, n->all.v[i], PART_ALL);
    for (size_t i = 0; i < n->also.n; i++) items_add(s, n->also.v[i], PART_ALL);
}

/* -1: an item that nothing satisfies. */
static int flatten(struct builder *b, struct items *s) {
    for (size_t i = 0; i < s->n;) {
        const struct node *n = item_node(b, s->v[i]);
        enum part part = s->v[i] % 8;
        bool negated = part == PART_NOT, seen = part != PART_ALL && !(negated && n->is_bool);
        if (seen) {
            i++;
            continue;
        }
        memmove(s->v + i, s->v + i + 1, (--s->n - i) * sizeof *s->v);
        if (n->is_bool && n->truth == negated) return -1;
        if (!n->is_bool) add_parts(s, n), i = 0;
    }
    return 0;
}

/* The conjunction with item `at` replaced by these parts of nodes. */
static term replaced(struct builder *b, const struct items *s, size_t at, const struct node *p, enum part how, const struct node *q) {
    struct items t;
    items_copy(&t, s);
    memmove(t.v + at, t.v + at + 1, (--t.n - at) * sizeof *t.v);
    if (p) items_add(&t, p, how);
    if (q) items_add(&t, q, PART_ALL);
    return term_call(b->x, conj_rule(b, &t));
}

static unsigned wide_types(const struct node *n) {
    for (int i = 0; i < 50 && n->ref && !n->types && !n->is_bool; i++) n = n->ref;
    unsigned t = n->types ? n->types : EVERY_TYPE;
    if (n->is_bool) return n->truth ? EVERY_TYPE : 0;
    return t & 1u << JSON_NUMBER ? t | TYPE_INTEGER : t;
}

/* Remembers to see that branches i and k of n's oneOf never hold together (with the rest of s). */
static void keep_apart(struct builder *b, const struct items *s, size_t at, const struct node *n, size_t i, size_t k) {
    if (!(wide_types(n->one.v[i]) & wide_types(n->one.v[k]))) return;
    struct items t;
    items_copy(&t, s);
    memmove(t.v + at, t.v + at + 1, (--t.n - at) * sizeof *t.v);
    items_add(&t, n->one.v[i], PART_ALL);
    items_add(&t, n->one.v[k], PART_ALL);
    uint32_t rule = conj_rule(b, &t);
    GROW(b->apart, b->n_apart, b->cap_apart);
    b->apart[b->n_apart++] = (struct apart){rule, n, i, k};
}

static term choice(struct builder *b, const struct items *s, size_t at) {
    const struct node *n = item_node(b, s->v[at]);
    enum part part = s->v[at] % 8;
    term t = TERM_EMPTY;
    if (part == PART_IF)
        return term_or2(b->x, replaced(b, s, at, n->cond, PART_ALL, n->then), replaced(b, s, at, n->cond, PART_NOT, n->otherwise));
    const struct nodes *list = part == PART_ANY ? &n->any : &n->one;
    for (size_t i = 0; i < list->n; i++) {
        t = term_or2(b->x, t, replaced(b, s, at, list->v[i], PART_ALL, NULL));
        for (size_t k = 0; part == PART_ONE && k < i; k++) keep_apart(b, s, at, n, k, i);
    }
    return t;
}

/* ---- plain conjunctions ---- */
static const struct json *first_values(const struct merged *m, const struct json **constant) {
    *constant = NULL;
    for (size_t i = 0; i < m->n_plain && !*constant; i++) *constant = m->plain[i]->constant;
    for (size_t i = 0; i < m->n_plain; i++)
        if (m->plain[i]->values) return m->plain[i]->values;
    return NULL;
}

static int by_type(struct merged *m, term *out) {
    struct terms *x = m->b->x;
    term all[6], t = TERM_EMPTY;
    size_t n = 0;
    if (m->types & 1u << JSON_NULL) all[n++] = term_str(x, "null");
    if (m->types & 1u << JSON_BOOL) all[n++] = term_or2(x, term_str(x, "true"), term_str(x, "false"));
    if (m->types & (1u << JSON_NUMBER | TYPE_INTEGER)) {
        if (plain_number(m, &t) < 0) return -1;
        all[n++] = t;
    }
    if (m->types & 1u << JSON_STRING) {
        if (string_term(m, &t) < 0) return -1;
        all[n++] = t;
    }
    if (m->types & 1u << JSON_ARRAY) {
        if (array_term(m, &t) < 0) return -1;
        all[n++] = t;
    }
    if (m->types & 1u << JSON_OBJECT) {
        if (object_term(m, &t) < 0) return -1;
        all[n++] = t;
    }
    *out = term_or(x, all, n);
    return 0;
}

/* give: m->plain, m->not */
static void merge(struct builder *b, const struct items *s, struct merged *m, struct err *e) {
    *m = (struct merged){.b = b, .types = EVERY_TYPE, .e = e};
    m->plain = xcalloc(s->n, sizeof *m->plain);
    m->not = xcalloc(s->n, sizeof *m->not);
    for (size_t i = 0; i < s->n; i++) {
        const struct node *n = item_node(b, s->v[i]);
        if (s->v[i] % 8 == PART_NOT) {
            m->not[m->n_not++] = n;
            continue;
        }
        m->plain[m->n_plain++] = n;
        unsigned t = n->types ? n->types : EVERY_TYPE;
        m->types &= t & 1u << JSON_NUMBER ? t | TYPE_INTEGER : t;
    }
}

static int plain_body(struct builder *b, const struct items *s, term *out, struct err *e) {
    struct merged m;
    const struct json *constant;
    merge(b, s, &m, e);
    const struct json *values = first_values(&m, &constant);
    int rc = 0;
    if (values || constant) rc = values_term(&m, values, constant, out);
    else if ((rc = opposite_types(&m)) == 0) rc = by_type(&m, out);
    free(m.plain);
    free(m.not);
    return rc;
}

/* The first choice among flattened items. */
static size_t first_choice(const struct items *s) {
    size_t at = 0;
    while (at < s->n && (s->v[at] % 8 == PART_PLAIN || s->v[at] % 8 == PART_NOT)) at++;
    return at;
}

bool conj_values(struct builder *b, const struct items *given, const struct json ***v, size_t *n) {
    struct items s;
    struct merged m;
    const struct json *constant, *values = NULL;
    items_copy(&s, given);
    bool good = flatten(b, &s) == 0 && first_choice(&s) == s.n;
    *v = NULL;
    *n = 0;
    if (good) {
        merge(b, &s, &m, NULL);
        values = first_values(&m, &constant);
        good = values || constant;
        *v = xcalloc((values ? values->count : 0) + 1, sizeof **v);
        for (const struct json *x = constant ? constant : values ? values->first : NULL; x; x = constant ? NULL : x->next) {
            bool again = false;
            for (size_t i = 0; i < *n; i++) again |= json_equal((*v)[i], x);
            if (!again && values_fit(&m, x)) (*v)[(*n)++] = x;
        }
        free(m.plain);
        free(m.not);
    }
    free(s.v);
    return good;
}

int conj_body(struct builder *b, const struct items *given, term *out, struct err *e) {
    struct items s;
    int rc = 0;
    items_copy(&s, given);
    *out = TERM_EMPTY;
    if (flatten(b, &s) == 0) {
        size_t at = first_choice(&s);
        if (at < s.n) *out = choice(b, &s, at);
        else rc = plain_body(b, &s, out, e);
    }
    free(s.v);
    return rc;
}

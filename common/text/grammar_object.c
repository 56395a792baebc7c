/* Schemas as rules: objects; see grammar_schema.h. Members come in the schema's order, others behind them. An
   object is a chain of rules, one for each member still to come and number of members written, as far as that matters. */
#include "common/text/grammar_schema.h"
#include <stdlib.h>
#include <string.h>

#define MAX_STATES 300000 /* (members) × (members written) */
#define MAX_PATTERNS 4    /* patternProperties of one object: each doubles the kinds of names */

struct member {
    const char *name;
    size_t len;
    bool required, forbidden, possible;
    uint32_t value; /* rule */
};

struct object {
    struct merged *m;
    struct member *v;
    size_t n, cap;
    uint64_t least, most;
    struct rest *rest; /* one each unevaluatedProperties */
    size_t n_rest;
    size_t top; /* members are counted up to here */
    uint32_t *chain; /* rules (n + 1, top + 1) */
};

/* ---- which schemas a member meets ---- */
static bool declares(const struct node *n, const char *name, size_t len, const struct node **schema) {
    for (size_t i = 0; i < n->n_members; i++)
        if (n->members[i].name->key_len == len && !memcmp(n->members[i].name->key, name, len)) {
            *schema = n->members[i].schema;
            return true;
        }
    return false;
}

/* propertyNames of all, with the name as an instance. */
static bool name_fits(const struct merged *m, const char *name, size_t len) {
    struct json key = {.type = JSON_STRING, .str = name, .len = len, .raw = name, .raw_len = len};
    for (size_t i = 0; i < m->n_plain; i++)
        if (m->plain[i]->names && !schema_node_holds(m->plain[i]->names, &key)) return false;
    return true;
}

/* Whether one of the schemas beside an unevaluatedProperties names the member. */
static bool rest_names(const struct rest *r, const char *name, size_t len) {
    const struct node *ignored;
    for (size_t i = 0; i < r->n; i++) {
        if (r->v[i]->additional || declares(r->v[i], name, len, &ignored)) return true;
        for (size_t k = 0; k < r->v[i]->n_by_pattern; k++)
            if (pattern_search(r->v[i]->by_pattern[k].pattern, name, len)) return true;
    }
    return r->all;
}

static int member_rule(struct object *o, struct member *d) {
    struct merged *m = o->m;
    struct items s = {0};
    for (size_t i = 0; i < m->n_plain; i++) {
        const struct node *n = m->plain[i], *schema;
        bool seen = declares(n, d->name, d->len, &schema);
        if (seen) items_add(&s, schema, PART_ALL);
        for (size_t k = 0; k < n->n_by_pattern; k++) {
            int hit = pattern_search(n->by_pattern[k].pattern, d->name, d->len);
            if (hit < 0) return cannot(n, m->e, "patternProperties: a pattern backtracks too much");
            if (!hit) continue;
            seen = true;
            items_add(&s, n->by_pattern[k].schema, PART_ALL);
        }
        if (!seen && n->additional) items_add(&s, n->additional, PART_ALL);
    }
    for (size_t i = 0; i < o->n_rest; i++)
        if (!rest_names(&o->rest[i], d->name, d->len)) items_add(&s, o->rest[i].schema, PART_ALL);
    d->possible = name_fits(m, d->name, d->len);
    for (size_t i = 0; i < s.n; i++) {
        const struct node *n = m->b->s->nodes.v[s.v[i] / 8];
        if (n->is_bool && !n->truth) d->possible = false;
    }
    if (d->possible) d->value = conj_rule(m->b, &s);
    free(s.v);
    return 0;
}

static struct member *find_member(struct object *o, const char *name, size_t len) {
    for (size_t i = 0; i < o->n; i++)
        if (o->v[i].len == len && !memcmp(o->v[i].name, name, len)) return &o->v[i];
    return NULL;
}

static struct member *need_member(struct object *o, const char *name, size_t len) {
    struct member *d = find_member(o, name, len);
    if (d) return d;
    GROW(o->v, o->n, o->cap);
    d = &o->v[o->n++];
    *d = (struct member){.name = name, .len = len};
    return d;
}

static int collect(struct object *o) {
    struct merged *m = o->m;
    for (size_t i = 0; i < m->n_plain; i++)
        for (size_t k = 0; k < m->plain[i]->n_members; k++)
            need_member(o, m->plain[i]->members[k].name->key, m->plain[i]->members[k].name->key_len);
    for (size_t i = 0; i < m->n_plain; i++) {
        const struct node *n = m->plain[i];
        for (const struct json *x = n->required ? n->required->first : NULL; x; x = x->next) need_member(o, x->str, x->len)->required = true;
        if (n->min_members > o->least) o->least = n->min_members;
        if (n->max_members < o->most) o->most = n->max_members;
    }
    for (size_t i = 0; i < m->n_not; i++) /* "not": {"required": ["name"]} */
        for (const struct json *x = m->not[i]->required ? m->not[i]->required->first : NULL; x; x = x->next) need_member(o, x->str, x->len)->forbidden = true;
    for (size_t i = 0; i < o->n; i++) {
        if (member_rule(o, &o->v[i]) < 0) return -1;
        o->v[i].possible &= !o->v[i].forbidden;
    }
    return 0;
}

/* ---- members that no schema names ---- */
static term name_text(struct terms *x, const char *s, size_t n) {
    struct buf b = BUF_INIT;
    json_put_string(&b, s, n);
    term t = term_text(x, b.p, b.n, TERM_EPS);
    buf_release(&b);
    return t;
}

struct name_pattern {
    const struct node *owner, *schema;
    term names;
};

static int name_patterns(struct merged *m, struct name_pattern *v, size_t *n) {
    struct err why = ERR_INIT;
    for (size_t i = 0; i < m->n_plain; i++)
        for (size_t k = 0; k < m->plain[i]->n_by_pattern; k++) {
            const struct member_schema *p = &m->plain[i]->by_pattern[k];
            if (*n == MAX_PATTERNS) return left_out(m, m->plain[i], "patternProperties", "more than %d patterns cannot be kept", MAX_PATTERNS);
            v[*n] = (struct name_pattern){m->plain[i], p->schema, TERM_EMPTY};
            if (regex_string_term(m->b->g, p->name->key, p->name->key_len, &v[*n].names, &why) == 0) ++*n;
            else if (left_out(m, m->plain[i], "patternProperties", "%s", why.msg) < 0) return -1;
        }
    return 0;
}

/* Names that every propertyNames allows, as a string schema that stands by itself. */
static int allowed_names(struct merged *m, term *t) {
    for (size_t i = 0; i < m->n_plain; i++) {
        const struct node *n = m->plain[i]->names;
        if (!n || (n->is_bool && n->truth)) continue;
        term names = TERM_EMPTY;
        if (!n->is_bool) {
            while (n->ref && !n->types && !n->pattern) n = n->ref;
            if (n->any.n || n->one.n || n->all.n || n->also.n || n->not || n->cond || n->ref) {
                if (left_out(m, m->plain[i], "propertyNames", "combined schemas cannot be kept") < 0) return -1;
                continue;
            }
            struct merged one = {.b = m->b, .plain = &n, .n_plain = 1, .e = m->e, .types = 1u << JSON_STRING};
            if (n->types && !(n->types & 1u << JSON_STRING)) names = TERM_EMPTY;
            else if ((n->values || n->constant ? values_term(&one, n->values, n->constant, &names) : string_term(&one, &names)) < 0) return -1;
        }
        *t = term_and2(m->b->x, *t, names);
    }
    return 0;
}

/* One more member, by the set of patterns that its name matches. */
static term other_of(struct object *o, term names, const struct name_pattern *v, size_t n, unsigned set) {
    struct merged *m = o->m;
    struct terms *x = m->b->x;
    struct items s = {0};
    for (size_t k = 0; k < n; k++) {
        names = term_and2(x, names, set >> k & 1 ? v[k].names : term_not(x, v[k].names));
        if (set >> k & 1) items_add(&s, v[k].schema, PART_ALL);
    }
    for (size_t i = 0; i < m->n_plain; i++) {
        bool seen = false;
        for (size_t k = 0; k < n; k++) seen |= v[k].owner == m->plain[i] && (set >> k & 1);
        if (!seen && m->plain[i]->additional) items_add(&s, m->plain[i]->additional, PART_ALL);
    }
    for (size_t i = 0; i < o->n_rest; i++) {
        bool seen = o->rest[i].all;
        for (size_t k = 0; k < o->rest[i].n; k++) {
            seen |= o->rest[i].v[k]->additional != NULL;
            for (size_t p = 0; p < n; p++) seen |= v[p].owner == o->rest[i].v[k] && (set >> p & 1);
        }
        if (!seen) items_add(&s, o->rest[i].schema, PART_ALL);
    }
    for (size_t i = 0; i < s.n; i++) {
        const struct node *a = m->b->s->nodes.v[s.v[i] / 8];
        if (a->is_bool && !a->truth) names = TERM_EMPTY;
    }
    if (names == TERM_EMPTY) {
        free(s.v);
        return TERM_EMPTY;
    }
    return term_cat(x, names, term_cat(x, m->b->colon, term_call(x, conj_rule(m->b, &s))));
}

static int others(struct object *o, term *out) {
    struct merged *m = o->m;
    struct terms *x = m->b->x;
    struct name_pattern v[MAX_PATTERNS];
    size_t n = 0;
    term quote = term_byte(x, '"'), known = TERM_EMPTY;
    *out = TERM_EMPTY;
    if (name_patterns(m, v, &n) < 0) return -1;
    term *list = xcalloc(o->n + 1, sizeof *list);
    for (size_t i = 0; i < o->n; i++) list[i] = name_text(x, o->v[i].name, o->v[i].len);
    known = term_or(x, list, o->n);
    free(list);
    term names = term_cat(x, quote, term_cat(x, term_rep(x, m->b->g->char_plain, 0, TERM_INF), quote));
    names = term_and2(x, names, term_not(x, known));
    if (allowed_names(m, &names) < 0) return -1;
    for (unsigned set = 0; set < 1u << n; set++) *out = term_or2(x, *out, other_of(o, names, v, n, set));
    return 0;
}

/* ---- the chain ---- */
static term chain_at(const struct object *o, size_t i, size_t count) {
    if (count > o->top) count = o->top;
    return term_call(o->m->b->x, o->chain[i * (o->top + 1) + count]);
}

static term chain_body(const struct object *o, size_t i, size_t count, term other) {
    struct builder *b = o->m->b;
    struct terms *x = b->x;
    const struct member *d = &o->v[i];
    term comma = count ? b->comma : TERM_EPS, take = TERM_EMPTY;
    if (i == o->n) {
        if (count < o->most) take = term_cat(x, comma, term_cat(x, other, chain_at(o, i, count + 1)));
        return count >= o->least ? term_opt(x, take) : take;
    }
    if (d->possible && count < o->most) {
        term rest = term_cat(x, term_call(x, d->value), chain_at(o, i + 1, count + 1));
        take = term_cat(x, comma, term_cat(x, name_text(x, d->name, d->len), term_cat(x, b->colon, rest)));
    }
    return d->required ? take : term_or2(x, take, chain_at(o, i + 1, count));
}

static int build_chain(struct object *o, term *out) {
    struct builder *b = o->m->b;
    struct terms *x = b->x;
    term other = TERM_EMPTY;
    uint64_t top = o->least > 1 ? o->least : 1;
    if (o->most != SCHEMA_NO_LIMIT && o->most > top) top = o->most;
    if (others(o, &other) < 0) return -1;
    b->g->open |= other != TERM_EMPTY;
    if (other == TERM_EMPTY && top > o->n) top = o->n > 1 ? o->n : 1;
    if (other == TERM_EMPTY && o->least > o->n) return *out = TERM_EMPTY, 0;
    if (top >= MAX_STATES || (top + 1) * (o->n + 1) > MAX_STATES) {
        if (left_out(o->m, o->m->plain[0], "minProperties or maxProperties", "too large to be kept") < 0) return -1;
        o->least = 0;
        o->most = SCHEMA_NO_LIMIT;
        top = 1;
    }
    o->top = (size_t)top;
    o->chain = xcalloc((o->n + 1) * (o->top + 1), sizeof *o->chain);
    for (size_t i = 0; i < (o->n + 1) * (o->top + 1); i++) o->chain[i] = rule_new(x);
    for (size_t i = 0; i <= o->n; i++)
        for (size_t c = 0; c <= o->top; c++) x->rules[o->chain[i * (o->top + 1) + c]].body = chain_body(o, i, c, other);
    term inside = term_cat(x, b->gap, term_cat(x, chain_at(o, 0, 0), b->gap));
    *out = term_cat(x, term_byte(x, '{'), term_cat(x, inside, term_byte(x, '}')));
    return 0;
}

int object_term(struct merged *m, term *out) {
    struct object o = {.m = m, .most = SCHEMA_NO_LIMIT};
    int rc = rests(m, false, &o.rest, &o.n_rest);
    if (!rc) rc = collect(&o);
    if (!rc) rc = build_chain(&o, out);
    rests_free(o.rest, o.n_rest);
    free(o.v);
    free(o.chain);
    return rc;
}

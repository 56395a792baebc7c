/* JSON Schema 2020-12, validating: see schema.h. The first thing that does not hold is told, with its place in the
   instance; inside anyOf, oneOf, not and if, failures are silent. */
#include "common/io/json_number.h"
#include "common/text/schema_check.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bounds for schemas that branch at every level: errors of their own, never "valid" or "invalid". */
#define MAX_STEPS 50000000
#define MAX_DEPTH 6000

/* ---- messages ---- */
static void put_place(struct buf *b, const struct place *at) {
    if (!at) return;
    put_place(b, at->up);
    if (at->key)
        buf_addf(b, "/%.*s", (int)(at->key->key_len < 100 ? at->key->key_len : 100), at->key->key);
    else
        buf_addf(b, "/%zu", at->index);
}

/* The value in a message: its source, at most about 60 bytes, never half a character, line breaks as spaces. */
static void put_value(struct buf *b, const struct json *v) {
    size_t n = v->raw_len;
    if (n > 60)
        for (n = 57; n > 0 && ((unsigned char)v->raw[n] & 0xC0) == 0x80;) n--;
    for (size_t i = 0; i < n; i++) buf_addc(b, (unsigned char)v->raw[i] < ' ' ? ' ' : v->raw[i]);
    if (n < v->raw_len) buf_adds(b, "...");
}

static void blame(struct check *c, const struct place *at, const struct buf *what) {
    struct buf b = BUF_INIT;
    put_place(&b, at);
    err_set(c->e, RC_INPUT, "at %s: %s", b.n ? b.p : "the top level", what->p);
    buf_release(&b);
}

int check_fail(struct check *c, const struct place *at, const struct json *v, const char *fmt, ...) {
    if (c->silent || c->given_up || !c->e) return -1;
    struct buf b = BUF_INIT;
    struct err text;
    va_list ap;
    va_start(ap, fmt);
    err_vset(&text, RC_INPUT, fmt, ap);
    va_end(ap);
    buf_adds(&b, text.msg);
    if (v) buf_adds(&b, ", got "), put_value(&b, v);
    blame(c, at, &b);
    buf_release(&b);
    return -1;
}

/* "expected <what> LIMIT, got V". */
static int fail_limit(struct check *c, const struct place *at, const struct json *v, const char *what, const struct json *limit) {
    if (c->silent || c->given_up || !c->e) return -1;
    struct buf b = BUF_INIT;
    buf_addf(&b, "expected %s", what);
    put_value(&b, limit);
    buf_adds(&b, ", got ");
    put_value(&b, v);
    blame(c, at, &b);
    buf_release(&b);
    return -1;
}

static int give_up(struct check *c, const char *why) {
    if (!c->given_up) c->given_up = why;
    return -1;
}

/* ---- every type ---- */
static unsigned type_bits(const struct json *v) {
    unsigned bits = 1u << v->type;
    return v->type == JSON_NUMBER && json_is_whole(v) ? bits | TYPE_INTEGER : bits;
}

static int check_type(struct check *c, const struct node *n, const struct json *v, const struct place *at) {
    static const char *const names[] = {"null", "boolean", "number", "string", "array", "object", "integer"};
    if (!n->types || n->types & type_bits(v)) return 0;
    if (c->silent) return -1;
    struct buf b = BUF_INIT;
    for (unsigned i = 0; i < 7; i++)
        if (n->types >> i & 1) buf_addf(&b, "%s%s", b.n ? " or " : "", names[i]);
    check_fail(c, at, v, "expected %s", b.p);
    buf_release(&b);
    return -1;
}

static int check_values(struct check *c, const struct node *n, const struct json *v, const struct place *at) {
    if (n->constant && !json_equal(n->constant, v)) return fail_limit(c, at, v, "", n->constant);
    if (!n->values) return 0;
    for (const struct json *x = n->values->first; x; x = x->next)
        if (json_equal(x, v)) return 0;
    if (c->silent) return -1;
    struct buf b = BUF_INIT;
    buf_add(&b, "", 0);
    for (const struct json *x = n->values->first; x; x = x->next) {
        if (b.n) buf_adds(&b, ", ");
        if (b.n > 400) {
            buf_adds(&b, "...");
            break;
        }
        put_value(&b, x);
    }
    check_fail(c, at, v, "expected one of %s", b.p);
    buf_release(&b);
    return -1;
}

/* ---- numbers and strings ---- */
static int check_number(struct check *c, const struct node *n, const struct json *v, const struct place *at) {
    if (n->minimum && json_number_cmp(v, n->minimum) < 0) return fail_limit(c, at, v, "at least ", n->minimum);
    if (n->maximum && json_number_cmp(v, n->maximum) > 0) return fail_limit(c, at, v, "at most ", n->maximum);
    if (n->above && json_number_cmp(v, n->above) <= 0) return fail_limit(c, at, v, "more than ", n->above);
    if (n->below && json_number_cmp(v, n->below) >= 0) return fail_limit(c, at, v, "less than ", n->below);
    if (n->multiple && !json_multiple_of(v, n->multiple)) return fail_limit(c, at, v, "a multiple of ", n->multiple);
    return 0;
}

static uint64_t code_points(const char *s, size_t n) {
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++) count += ((unsigned char)s[i] & 0xC0) != 0x80;
    return count;
}

static int search(struct check *c, const struct pattern *p, const char *s, size_t n) {
    int rc = pattern_search(p, s, n);
    return rc < 0 ? give_up(c, "a regular expression backtracks too much") : rc;
}

static bool is_regex(const struct json *v) {
    struct err e = ERR_INIT;
    struct pattern *p = pattern_new(v->str, v->len, &e);
    pattern_free(p);
    return p;
}

static int check_string(struct check *c, const struct node *n, const struct json *v, const struct place *at) {
    uint64_t len = n->min_length || n->max_length != SCHEMA_NO_LIMIT ? code_points(v->str, v->len) : 0;
    if (len < n->min_length) return check_fail(c, at, v, "expected at least %llu characters", (unsigned long long)n->min_length);
    if (len > n->max_length) return check_fail(c, at, v, "expected at most %llu characters", (unsigned long long)n->max_length);
    if (n->pattern && search(c, n->pattern, v->str, v->len) != 1)
        return fail_limit(c, at, v, "a match of ", json_get(n->source, "pattern"));
    if (n->format && search(c, n->format, v->str, v->len) != 1) return fail_limit(c, at, v, "format ", json_get(n->source, "format"));
    if (n->is_regex && !is_regex(v)) return fail_limit(c, at, v, "format ", json_get(n->source, "format"));
    return 0;
}

/* ---- arrays ---- */
static int check_unique(struct check *c, const struct json *v, const struct place *at) {
    size_t i = 0;
    for (const struct json *x = v->first; x; x = x->next, i++) {
        size_t k = i + 1;
        for (const struct json *y = x->next; y; y = y->next, k++) {
            if (++c->steps > MAX_STEPS) return give_up(c, "too many steps");
            if (json_equal(x, y)) return check_fail(c, at, NULL, "elements %zu and %zu are equal, expected all different", i, k);
        }
    }
    return 0;
}

static int check_contains(struct check *c, const struct node *n, const struct json *v, const struct place *at) {
    uint64_t hits = 0;
    struct place here = {.up = at};
    c->silent++;
    for (const struct json *x = v->first; x; x = x->next, here.index++) hits += check_node(c, n->contains, x, &here) == 0;
    c->silent--;
    if (hits < n->min_contains) return check_fail(c, at, NULL, "%llu elements fit contains, expected at least %llu", (unsigned long long)hits, (unsigned long long)n->min_contains);
    if (hits > n->max_contains) return check_fail(c, at, NULL, "%llu elements fit contains, expected at most %llu", (unsigned long long)hits, (unsigned long long)n->max_contains);
    return 0;
}

static int check_array(struct check *c, const struct node *n, const struct json *v, const struct place *at) {
    struct place here = {.up = at};
    if (v->count < n->min_items) return check_fail(c, at, NULL, "%zu elements, expected at least %llu", v->count, (unsigned long long)n->min_items);
    if (v->count > n->max_items) return check_fail(c, at, NULL, "%zu elements, expected at most %llu", v->count, (unsigned long long)n->max_items);
    for (const struct json *x = v->first; x; x = x->next, here.index++) {
        const struct node *s = here.index < n->prefix.n ? n->prefix.v[here.index] : n->items;
        if (s && check_node(c, s, x, &here) < 0) return -1;
    }
    if (n->contains && check_contains(c, n, v, at) < 0) return -1;
    return n->unique ? check_unique(c, v, at) : 0;
}

/* ---- objects ---- */
static int check_member(struct check *c, const struct node *n, const struct json *m, const struct place *at) {
    struct place here = {.up = at, .key = m};
    bool seen = false;
    for (size_t i = 0; i < n->n_members; i++) {
        const struct json *name = n->members[i].name;
        if (name->key_len != m->key_len || memcmp(name->key, m->key, m->key_len)) continue;
        seen = true;
        if (check_node(c, n->members[i].schema, m, &here) < 0) return -1;
    }
    for (size_t i = 0; i < n->n_by_pattern; i++) {
        int hit = search(c, n->by_pattern[i].pattern, m->key, m->key_len);
        if (hit < 0) return -1;
        if (!hit) continue;
        seen = true;
        if (check_node(c, n->by_pattern[i].schema, m, &here) < 0) return -1;
    }
    if (seen || !n->additional) return 0;
    if (n->additional->is_bool && !n->additional->truth)
        return check_fail(c, at, NULL, "unexpected member \"%.*s\"", (int)(m->key_len < 100 ? m->key_len : 100), m->key);
    return check_node(c, n->additional, m, &here);
}

bool check_names(struct check *c, const struct node *n, const struct json *m) {
    for (size_t i = 0; i < n->n_members; i++) {
        const struct json *name = n->members[i].name;
        if (name->key_len == m->key_len && !memcmp(name->key, m->key, m->key_len)) return true;
    }
    for (size_t i = 0; i < n->n_by_pattern; i++)
        if (search(c, n->by_pattern[i].pattern, m->key, m->key_len) == 1) return true;
    return false;
}

/* propertyNames: the key as an instance; as its source text, the key itself has to do. */
static int check_name(struct check *c, const struct node *n, const struct json *m, const struct place *at) {
    struct json name = {.type = JSON_STRING, .str = m->key, .len = m->key_len, .raw = m->key, .raw_len = m->key_len};
    c->silent++;
    int rc = check_node(c, n->names, &name, at);
    c->silent--;
    return rc < 0 ? check_fail(c, at, NULL, "the name of member \"%.*s\" does not fit propertyNames", (int)(m->key_len < 100 ? m->key_len : 100), m->key) : 0;
}

static int check_object(struct check *c, const struct node *n, const struct json *v, const struct place *at) {
    if (v->count < n->min_members) return check_fail(c, at, NULL, "%zu members, expected at least %llu", v->count, (unsigned long long)n->min_members);
    if (v->count > n->max_members) return check_fail(c, at, NULL, "%zu members, expected at most %llu", v->count, (unsigned long long)n->max_members);
    if (n->required)
        for (const struct json *x = n->required->first; x; x = x->next)
            if (!json_getn(v, x->str, x->len)) return check_fail(c, at, NULL, "missing member \"%.*s\"", (int)(x->len < 100 ? x->len : 100), x->str);
    for (const struct json *m = v->first; m; m = m->next)
        if ((n->names && check_name(c, n, m, at) < 0) || check_member(c, n, m, at) < 0) return -1;
    return 0;
}

/* ---- schemas of the same instance ---- */
static unsigned types_of(const struct node *n) {
    for (int i = 0; i < 20 && n->ref && !n->types; i++) n = n->ref;
    return n->types ? n->types : ~0u;
}

/* The one branch that takes v's type, if there is just one: its complaint is the one that helps. */
static const struct node *likely_branch(const struct nodes *list, const struct json *v) {
    const struct node *hit = NULL;
    for (size_t i = 0; i < list->n; i++) {
        if (!(types_of(list->v[i]) & type_bits(v))) continue;
        if (hit) return NULL;
        hit = list->v[i];
    }
    return hit;
}

/* Branches that hold, at most `enough`; *told: whether the likely branch has filled the error. */
static size_t count_branches(struct check *c, const struct nodes *list, const struct json *v, const struct place *at, size_t enough, bool *told) {
    const struct node *likely = c->silent ? NULL : likely_branch(list, v);
    size_t hits = 0;
    *told = false;
    for (size_t i = 0; i < list->n && hits < enough; i++) {
        c->silent += list->v[i] != likely;
        bool good = check_node(c, list->v[i], v, at) == 0;
        c->silent -= list->v[i] != likely;
        hits += good;
        if (!good && list->v[i] == likely) *told = true;
    }
    if (hits && *told && c->e) *c->e = (struct err)ERR_INIT;
    return hits;
}

static int check_any(struct check *c, const struct node *n, const struct json *v, const struct place *at) {
    bool told;
    if (!n->any.n || count_branches(c, &n->any, v, at, 1, &told)) return 0;
    return told ? -1 : check_fail(c, at, v, "fits none of the %zu schemas of anyOf", n->any.n);
}

static int check_one(struct check *c, const struct node *n, const struct json *v, const struct place *at) {
    bool told;
    if (!n->one.n) return 0;
    size_t hits = count_branches(c, &n->one, v, at, 2, &told);
    if (hits == 1 || (!hits && told)) return hits == 1 ? 0 : -1;
    return check_fail(c, at, v, "fits %s of the %zu schemas of oneOf", hits ? "more than one" : "none", n->one.n);
}

bool check_holds(struct check *c, const struct node *n, const struct json *v, const struct place *at) {
    c->silent++;
    bool good = check_node(c, n, v, at) == 0;
    c->silent--;
    return good;
}

static int check_combined(struct check *c, const struct node *n, const struct json *v, const struct place *at) {
    if (n->ref && check_node(c, n->ref, v, at) < 0) return -1;
    for (size_t i = 0; i < n->all.n; i++)
        if (check_node(c, n->all.v[i], v, at) < 0) return -1;
    for (size_t i = 0; i < n->also.n; i++)
        if (check_node(c, n->also.v[i], v, at) < 0) return -1;
    if (check_any(c, n, v, at) < 0 || check_one(c, n, v, at) < 0) return -1;
    if (n->not && check_holds(c, n->not, v, at)) return check_fail(c, at, v, "fits the schema of not");
    if (!n->cond) return 0;
    const struct node *next = check_holds(c, n->cond, v, at) ? n->then : n->otherwise;
    return next ? check_node(c, next, v, at) : 0;
}

static int check_kind(struct check *c, const struct node *n, const struct json *v, const struct place *at) {
    switch (v->type) {
    case JSON_NUMBER: return check_number(c, n, v, at);
    case JSON_STRING: return check_string(c, n, v, at);
    case JSON_ARRAY: return check_array(c, n, v, at);
    case JSON_OBJECT: return check_object(c, n, v, at);
    default: return 0;
    }
}

int check_node(struct check *c, const struct node *n, const struct json *v, const struct place *at) {
    if (c->given_up) return -1;
    if (n->is_bool) return n->truth ? 0 : check_fail(c, at, v, "nothing is allowed here");
    if (++c->steps > MAX_STEPS) return give_up(c, "too many steps");
    if (++c->depth > MAX_DEPTH) return give_up(c, "schemas and instance are nested too deeply");
    int rc = check_type(c, n, v, at);
    if (!rc) rc = check_values(c, n, v, at);
    if (!rc) rc = check_kind(c, n, v, at);
    if (!rc) rc = check_combined(c, n, v, at);
    if (!rc) rc = check_rest(c, n, v, at);
    c->depth--;
    return rc;
}

bool schema_node_holds(const struct node *n, const struct json *v) {
    struct check c = {.silent = 1};
    return check_node(&c, n, v, NULL) == 0 && !c.given_up;
}

int schema_validate(const struct schema *s, const struct json *v, struct err *e) {
    struct check c = {.e = e};
    int rc = check_node(&c, s->nodes.v[0], v, NULL);
    if (c.given_up) return err_set(e, RC_INPUT, "validation given up: %s", c.given_up);
    return rc;
}

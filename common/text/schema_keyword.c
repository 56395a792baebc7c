/* JSON Schema 2020-12, from keywords to nodes: see schema.h. One row of `keywords` a keyword; whatever has no row is refused, since
   an assertion passed over would call wrong answers right. */
#include "common/text/schema.h"
#include "common/io/json_number.h"
#include "common/text/schema_node.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int keyword_fn(struct compile *c, void *to);

int schema_bad(const struct schema *s, const char *path, struct err *e, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(e, RC_INPUT, fmt, ap);
    va_end(ap);
    return err_prefix(e, "%s: at %s: ", s->name, path);
}

static int expected(struct compile *c, const char *what) {
    return schema_bad(c->s, c->n->path, c->e, "%s: expected %s", c->v->key, what);
}

char *schema_below(const char *path, const char *key, size_t n) {
    struct buf b = BUF_INIT;
    buf_adds(&b, path);
    buf_addc(&b, '/');
    for (size_t i = 0; i < n; i++) {
        if (key[i] == '~' || key[i] == '/')
            buf_adds(&b, key[i] == '~' ? "~0" : "~1");
        else
            buf_addc(&b, key[i]);
    }
    return buf_detach(&b);
}

/* ---- subschemas ---- */
struct node *schema_sub(struct compile *c, const struct json *v, const char *key, size_t n) {
    char *path = schema_below(c->n->path, c->v->key, c->v->key_len);
    if (key) {
        char *longer = schema_below(path, key, n);
        free(path);
        path = longer;
    }
    struct node *x = schema_node(c->s, v, path, c->e);
    free(path);
    return x;
}

static int one_schema(struct compile *c, void *to) {
    struct node **slot = to;
    return (*slot = schema_sub(c, c->v, NULL, 0)) ? 0 : -1;
}

static int list_of_schemas(struct compile *c, void *to) {
    struct nodes *list = to;
    if (c->v->type != JSON_ARRAY || !c->v->count) return expected(c, "a non-empty array of schemas");
    list->v = xcalloc(c->v->count, sizeof *list->v);
    for (const struct json *x = c->v->first; x; x = x->next) {
        char key[24];
        int n = snprintf(key, sizeof key, "%zu", list->n);
        if (!(list->v[list->n] = schema_sub(c, x, key, (size_t)n))) return -1;
        list->n++;
    }
    return 0;
}

static int add_members(struct compile *c, struct member_schema **to, size_t *count, bool patterns) {
    if (c->v->type != JSON_OBJECT) return expected(c, "an object of schemas");
    *to = xcalloc(c->v->count, sizeof **to);
    for (const struct json *m = c->v->first; m; m = m->next) {
        struct member_schema *x = &(*to)[(*count)++];
        x->name = m;
        if (patterns && !(x->pattern = pattern_new(m->key, m->key_len, c->e)))
            return err_prefix(c->e, "%s: at %s: ", c->s->name, c->n->path);
        if (!(x->schema = schema_sub(c, m, m->key, m->key_len))) return -1;
    }
    return 0;
}

static int members(struct compile *c, void *to) { return add_members(c, &c->n->members, &c->n->n_members, false); }

static int by_pattern(struct compile *c, void *to) { return add_members(c, &c->n->by_pattern, &c->n->n_by_pattern, true); }

static int definitions(struct compile *c, void *to) {
    if (c->v->type != JSON_OBJECT) return expected(c, "an object of schemas");
    for (const struct json *m = c->v->first; m; m = m->next)
        if (!schema_sub(c, m, m->key, m->key_len)) return -1;
    return 0;
}

/* ---- assertions ---- */
static const char *const type_names[] = {"null", "boolean", "number", "string", "array", "object", "integer"};

static int add_type(struct compile *c, const struct json *name) {
    for (unsigned i = 0; i < sizeof type_names / sizeof *type_names; i++)
        if (json_is_str(name, type_names[i])) return c->n->types |= 1u << i, 0;
    return expected(c, "null, boolean, number, integer, string, array, object, or an array of them");
}

static int types(struct compile *c, void *to) {
    if (c->v->type != JSON_ARRAY) return add_type(c, c->v);
    if (!c->v->count) return expected(c, "at least one type");
    for (const struct json *x = c->v->first; x; x = x->next)
        if (add_type(c, x) < 0) return -1;
    return 0;
}

static int value(struct compile *c, void *to) {
    *(const struct json **)to = c->v;
    return 0;
}

static int array_of_values(struct compile *c, void *to) {
    return c->v->type == JSON_ARRAY ? value(c, to) : expected(c, "an array");
}

static int array_of_names(struct compile *c, void *to) {
    if (c->v->type != JSON_ARRAY) return expected(c, "an array of strings");
    for (const struct json *x = c->v->first; x; x = x->next)
        if (x->type != JSON_STRING) return expected(c, "an array of strings");
    return value(c, to);
}

static int number(struct compile *c, void *to) { return c->v->type == JSON_NUMBER ? value(c, to) : expected(c, "a number"); }

/* Draft-04's exclusiveMinimum: true makes minimum strict. */
static int strict(struct compile *c, void *to, const char *limit) {
    const struct json *v = json_get(c->n->source, limit);
    if (!c->s->old || c->v->type != JSON_BOOL) return number(c, to);
    if (c->v->truth && v && v->type == JSON_NUMBER) *(const struct json **)to = v;
    return 0;
}
static int above(struct compile *c, void *to) { return strict(c, to, "minimum"); }
static int below(struct compile *c, void *to) { return strict(c, to, "maximum"); }

static int positive(struct compile *c, void *to) {
    if (c->v->type != JSON_NUMBER) return expected(c, "a number above zero");
    struct decimal d = json_decimal(c->v);
    return d.n && !d.negative ? value(c, to) : expected(c, "a number above zero");
}

static int count(struct compile *c, void *to) {
    int64_t x;
    if (c->v->type != JSON_NUMBER || !json_is_whole(c->v) || json_decimal(c->v).negative)
        return expected(c, "a whole number, zero or more");
    *(uint64_t *)to = json_int(c->v, &x) ? (uint64_t)x : SCHEMA_NO_LIMIT; /* larger than any length */
    return 0;
}

static int flag(struct compile *c, void *to) {
    if (c->v->type != JSON_BOOL) return expected(c, "true or false");
    *(bool *)to = c->v->truth;
    return 0;
}

static int regex(struct compile *c, void *to) {
    if (c->v->type != JSON_STRING) return expected(c, "a string");
    c->n->pattern = pattern_new(c->v->str, c->v->len, c->e);
    return c->n->pattern ? 0 : err_prefix(c->e, "%s: at %s: ", c->s->name, c->n->path);
}

static int format(struct compile *c, void *to) {
    if (c->v->type != JSON_STRING) return expected(c, "a string");
    if (c->s->options.annotate_format) return 0;
    c->n->is_regex = !strcmp(c->v->str, "regex");
    if (c->n->is_regex) return 0;
    const char *p = c->n->format_text = schema_format_pattern(c->v->str, c->v->len);
    if (p) return (c->n->format = pattern_new(p, strlen(p), c->e)) ? 0 : -1;
    if (c->s->options.annotate_unknown) return 0;
    return schema_bad(c->s, c->n->path, c->e, "format \"%.100s\" is not supported, so it could not be kept", c->v->str);
}

/* Before 2020-12, an array under items was what prefixItems is, and additionalItems what items is then. */
static int items(struct compile *c, void *to) {
    return c->v->type == JSON_ARRAY && !c->v->count ? 0 : c->v->type == JSON_ARRAY ? list_of_schemas(c, &c->n->prefix) : one_schema(c, &c->n->items);
}

static int more_items(struct compile *c, void *to) {
    const struct json *former = json_get(c->n->source, "items");
    struct node *ignored;
    return one_schema(c, former && former->type == JSON_ARRAY ? &c->n->items : &ignored);
}

/* ---- identity ---- */
static int text(struct compile *c, void *to) { return c->v->type == JSON_STRING ? value(c, to) : expected(c, "a string"); }

static int anchor(struct compile *c, void *to) {
    struct schema *s = c->s;
    if (c->v->type != JSON_STRING || !c->v->len) return expected(c, "a name");
    for (size_t i = 0; i < s->n_anchors; i++)
        if (s->anchors[i].node->source != c->n->source && json_equal(s->anchors[i].name, c->v))
            return schema_bad(s, c->n->path, c->e, "$anchor %s stands twice", c->v->str);
    GROW(s->anchors, s->n_anchors, s->anchors_cap);
    s->anchors[s->n_anchors++] = (struct anchor){c->v, c->n};
    return 0;
}

static int identifier(struct compile *c, void *to) {
    if (c->v->type != JSON_STRING) return expected(c, "a string");
    if (c->n == c->s->nodes.v[0]) return 0;
    if (c->v->len && c->v->str[0] == '#') return 0; /* a former spelling of $anchor: references to it lead nowhere */
    return schema_bad(c->s, c->n->path, c->e, "$id below the root is not supported");
}

static int dialect(struct compile *c, void *to) {
    static const char *const former[] = {"http://json-schema.org/draft-07/schema", "http://json-schema.org/draft-06/schema", "http://json-schema.org/draft-04/schema",
                                         "https://json-schema.org/draft-07/schema", "http://json-schema.org/schema"};
    if (json_is_str(c->v, DIALECT) || json_is_str(c->v, DIALECT "#") || json_is_str(c->v, DIALECT_2019)) return 0;
    for (size_t i = 0; i < sizeof former / sizeof *former; i++) {
        size_t n = strlen(former[i]);
        if (json_is_str(c->v, former[i]) || (c->v->type == JSON_STRING && c->v->len == n + 1 && !memcmp(c->v->str, former[i], n) && c->v->str[n] == '#')) return 0;
    }
    return schema_bad(c->s, c->n->path, c->e, "$schema %.*s is not supported, expected " DIALECT,
                      (int)(c->v->raw_len < 200 ? c->v->raw_len : 200), c->v->raw);
}

static int annotation(struct compile *c, void *to) { return 0; }

/* ---- the table ---- */
#define AT(field) offsetof(struct node, field)
static const struct keyword {
    const char *name;
    keyword_fn *fn;
    size_t at; /* the field that fn fills, where it takes one */
} keywords[] = {
    {"type", types, 0},
    {"enum", array_of_values, AT(values)},
    {"const", value, AT(constant)},
    {"properties", members, 0},
    {"patternProperties", by_pattern, 0},
    {"additionalProperties", one_schema, AT(additional)},
    {"propertyNames", one_schema, AT(names)},
    {"required", array_of_names, AT(required)},
    {"minProperties", count, AT(min_members)},
    {"maxProperties", count, AT(max_members)},
    {"prefixItems", list_of_schemas, AT(prefix)},
    {"items", items, 0},
    {"additionalItems", more_items, 0},
    {"contains", one_schema, AT(contains)},
    {"minContains", count, AT(min_contains)},
    {"maxContains", count, AT(max_contains)},
    {"minItems", count, AT(min_items)},
    {"maxItems", count, AT(max_items)},
    {"uniqueItems", flag, AT(unique)},
    {"minLength", count, AT(min_length)},
    {"maxLength", count, AT(max_length)},
    {"pattern", regex, 0},
    {"format", format, 0},
    {"minimum", number, AT(minimum)},
    {"maximum", number, AT(maximum)},
    {"exclusiveMinimum", above, AT(above)},
    {"exclusiveMaximum", below, AT(below)},
    {"multipleOf", positive, AT(multiple)},
    {"unevaluatedProperties", one_schema, AT(rest_members)},
    {"unevaluatedItems", one_schema, AT(rest_items)},
    {"dependentRequired", schema_dependent_required, 0},
    {"dependentSchemas", schema_dependent_schemas, 0},
    {"dependencies", schema_dependencies, 0}, /* both, before 2019-09 */
    {"$ref", text, AT(ref_source)},
    {"$dynamicRef", schema_dynamic_ref, 0},
    {"$recursiveRef", schema_dynamic_ref, 0},
    {"$dynamicAnchor", anchor, 0},
    {"$recursiveAnchor", annotation, 0},
    {"$defs", definitions, 0},
    {"definitions", definitions, 0}, /* the former name: asserts nothing, and many generators still write it */
    {"$anchor", anchor, 0},
    {"$id", identifier, 0},
    {"$schema", dialect, 0},
    {"allOf", list_of_schemas, AT(all)},
    {"anyOf", list_of_schemas, AT(any)},
    {"oneOf", list_of_schemas, AT(one)},
    {"not", one_schema, AT(not)},
    {"if", one_schema, AT(cond)},
    {"then", one_schema, AT(then)},
    {"else", one_schema, AT(otherwise)},
    {"title", annotation, 0},
    {"description", annotation, 0},
    {"default", annotation, 0},
    {"examples", annotation, 0},
    {"$comment", annotation, 0},
    {"deprecated", annotation, 0},
    {"readOnly", annotation, 0},
    {"writeOnly", annotation, 0},
    {"contentEncoding", annotation, 0}, /* annotations since 2019-09 */
    {"contentMediaType", annotation, 0},
    {"contentSchema", annotation, 0},
};

/* Assertions of some draft that are not kept here: never passed over. */
static bool asserts(const struct json *k) {
    static const char *const known[] = {"$vocabulary", "extends", "disallow", "divisibleBy"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i]) == k->key_len && !memcmp(known[i], k->key, k->key_len)) return true;
    return false;
}

static int compile_keyword(struct compile *c) {
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        const struct keyword *k = &keywords[i];
        if (strlen(k->name) == c->v->key_len && !memcmp(k->name, c->v->key, c->v->key_len)) return k->fn(c, (char *)c->n + k->at);
    }
    if (c->v->key_len > 2 && !memcmp(c->v->key, "x-", 2)) return 0;
    if (c->s->options.annotate_unknown && !asserts(c->v)) return 0;
    return schema_bad(c->s, c->n->path, c->e, "keyword \"%.*s\" is not supported, so it could not be kept",
                      (int)(c->v->key_len < 200 ? c->v->key_len : 200), c->v->key);
}

struct node *schema_add(struct schema *s, const struct json *v, const char *path) {
    struct node *n = xcalloc(1, sizeof *n);
    GROW(s->nodes.v, s->nodes.n, s->nodes_cap);
    n->index = s->nodes.n;
    s->nodes.v[s->nodes.n++] = n;
    n->source = v;
    n->path = xstrdup(path);
    n->max_length = n->max_items = n->max_members = n->max_contains = SCHEMA_NO_LIMIT;
    n->min_contains = 1;
    n->contains_marks = !s->of_2019;
    return n;
}

struct node *schema_node(struct schema *s, const struct json *v, const char *path, struct err *e) {
    struct node *n = schema_add(s, v, path);
    n->is_bool = v->type == JSON_BOOL;
    n->truth = v->truth;
    if (n->is_bool) return n;
    if (v->type != JSON_OBJECT) return schema_bad(s, path, e, "not a schema, expected an object, true or false"), NULL;
    bool hidden = s->old && json_get(v, "$ref"); /* all but the reference */
    for (const struct json *m = v->first; m; m = m->next) {
        struct compile c = {s, n, m, e};
        if (hidden && strcmp(m->key, "$ref") && strcmp(m->key, "$defs") && strcmp(m->key, "definitions")) continue;
        if (compile_keyword(&c) < 0) return NULL;
    }
    return n;
}

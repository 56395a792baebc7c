/* The leaves a classifier fills: property paths whose schema is an enum of strings. See schema.h. */
#include "common/text/schema_node.h"
#include <stdlib.h>
#include <string.h>

static bool all_strings(const struct json *values) {
    for (const struct json *v = values->first; v; v = v->next)
        if (v->type != JSON_STRING) return false;
    return values->count > 0;
}

static void add(struct schema *s, const char *path, const struct json *values) {
    for (size_t i = 0; i < s->n_fields; i++)
        if (!strcmp(s->fields[i].path, path)) return;
    GROW(s->fields, s->n_fields, s->fields_cap);
    s->fields[s->n_fields++] = (struct schema_field){xstrdup(path), values};
}

#define MAX_VISITS 100000 /* references can spell out more paths than anybody classifies */

static void find(struct schema *s, struct node *n, struct buf *path, int *visits);

static void find_member(struct schema *s, const struct member_schema *m, struct buf *path, int *visits) {
    size_t keep = path->n;
    if (keep) buf_addc(path, '.');
    buf_add(path, m->name->key, m->name->key_len);
    find(s, m->schema, path, visits);
    path->n = keep;
    path->p[keep] = 0;
}

/* $ref and allOf speak of the same value, so they are followed; a schema inside itself is not. */
static void find(struct schema *s, struct node *n, struct buf *path, int *visits) {
    if (n->mark || ++*visits > MAX_VISITS) return;
    n->mark = 1;
    if (n->values && path->n && all_strings(n->values)) add(s, path->p, n->values);
    for (size_t i = 0; i < n->n_members; i++) find_member(s, &n->members[i], path, visits);
    if (n->ref) find(s, n->ref, path, visits);
    for (size_t i = 0; i < n->all.n; i++) find(s, n->all.v[i], path, visits);
    n->mark = 0;
}

int schema_find_fields(struct schema *s, struct err *e) {
    struct buf path = BUF_INIT;
    int visits = 0;
    for (size_t i = 0; i < s->nodes.n; i++) s->nodes.v[i]->mark = 0;
    buf_add(&path, "", 0);
    find(s, s->nodes.v[0], &path, &visits);
    buf_release(&path);
    if (visits <= MAX_VISITS) return 0;
    return schema_bad(s, "#", e, "references make more than %d paths of properties", MAX_VISITS);
}

int schema_n_fields(const struct schema *s) { return (int)s->n_fields; }

const char *schema_field(const struct schema *s, int i) { return s->fields[i].path; }

int schema_field_n_values(const struct schema *s, int i) { return (int)s->fields[i].values->count; }

const char *schema_field_value(const struct schema *s, int i, int k) {
    const struct json *v = s->fields[i].values->first;
    while (k-- > 0) v = v->next;
    return v->str;
}

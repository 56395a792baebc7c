/* JSON Schemas, made and read: see schema.h. */
#include "common/text/schema.h"
#include "common/io/io.h"
#include "common/text/schema_node.h"
#include <stdlib.h>
#include <string.h>

/* Draft-07 and older say draft-0N; the bare name meant the newest of them. */
static bool is_old(const struct json *root) {
    const struct json *v = json_get(root, "$schema");
    return v && v->type == JSON_STRING && (strstr(v->str, "/draft-0") || strstr(v->str, "json-schema.org/schema"));
}

static void free_node(struct node *n) {
    for (size_t i = 0; i < n->n_by_pattern; i++) pattern_free(n->by_pattern[i].pattern);
    pattern_free(n->pattern);
    pattern_free(n->format);
    free(n->members);
    free(n->by_pattern);
    free(n->prefix.v);
    free(n->all.v);
    free(n->any.v);
    free(n->one.v);
    free(n->also.v);
    free(n->path);
    free(n);
}

void schema_free(struct schema *s) {
    if (!s) return;
    for (size_t i = 0; i < s->nodes.n; i++) free_node(s->nodes.v[i]);
    for (size_t i = 0; i < s->n_fields; i++) free(s->fields[i].path);
    for (size_t i = 0; i < s->n_made; i++) json_doc_free(s->made[i]);
    free(s->made);
    json_doc_free(s->doc);
    free(s->nodes.v);
    free(s->anchors);
    free(s->fields);
    free((char *)s->text);
    free(s->name);
    free(s);
}

struct schema *schema_compile_with(const char *source, size_t n, const char *name, const struct schema_options *o, struct err *e) {
    struct schema *s = xcalloc(1, sizeof *s);
    struct err own = ERR_INIT;
    if (!e) e = &own; /* messages are built upon each other */
    s->name = xstrdup(name);
    s->options = *o;
    s->text = xmemdup0(source, n);
    s->n = n;
    s->doc = json_parse_named(source, n, name, e);
    s->old = s->doc && is_old(json_root(s->doc));
    s->of_2019 = s->doc && json_is_str(json_get(json_root(s->doc), "$schema"), DIALECT_2019);
    if (s->doc && schema_node(s, json_root(s->doc), "#", e) && schema_resolve(s, e) == 0 && schema_find_fields(s, e) == 0) return s;
    schema_free(s);
    return NULL;
}

struct schema *schema_compile(const char *source, size_t n, const char *name, struct err *e) {
    return schema_compile_with(source, n, name, &(struct schema_options){0}, e);
}

struct schema *schema_read_file_with(const char *path, const struct schema_options *o, struct err *e) {
    struct buf b = BUF_INIT;
    struct schema *s = NULL;
    if (io_read_all(path, 0, &b, e) == 0) s = schema_compile_with(b.p, b.n, path && strcmp(path, "-") ? path : "stdin", o, e);
    buf_release(&b);
    return s;
}

struct schema *schema_read_file(const char *path, struct err *e) { return schema_read_file_with(path, &(struct schema_options){0}, e); }

const char *schema_text(const struct schema *s, size_t *n) {
    *n = s->n;
    return s->text;
}

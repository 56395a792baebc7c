/* JSON Schema: dependentRequired, dependentSchemas and the former dependencies, as what they mean: for each name an if/then on
   objects that have a member of that name. $dynamicRef and $recursiveRef: without $id below the root a document is one
   resource, so they lead where $ref would. */
#include "common/text/schema_node.h"
#include <stdlib.h>
#include <string.h>

static void also(struct node *n, struct node *x) {
    n->also.v = xrealloc(n->also.v, n->also.n + 1, sizeof *n->also.v);
    n->also.v[n->also.n++] = x;
}

/* The node of a schema that stands in no file. */
static struct node *made(struct compile *c, const struct buf *text, const struct json *key) {
    struct schema *s = c->s;
    struct json_doc *d = json_parse(text->p, text->n, c->e);
    if (!d) return NULL;
    GROW(s->made, s->n_made, s->made_cap);
    s->made[s->n_made++] = d;
    char *path = schema_below(c->n->path, c->v->key, c->v->key_len), *longer = schema_below(path, key->key, key->key_len);
    struct node *n = schema_node(s, json_root(d), longer, c->e);
    free(path);
    free(longer);
    return n;
}

static int one(struct compile *c, const struct json *m, bool names) {
    struct buf b = BUF_INIT;
    buf_adds(&b, "{\"if\":{\"type\":\"object\",\"required\":[");
    json_put_string(&b, m->key, m->key_len);
    buf_adds(&b, "]},\"then\":");
    if (names) buf_adds(&b, "{\"required\":"), json_put_value(&b, m), buf_adds(&b, "}}");
    else buf_adds(&b, "true}");
    struct node *n = made(c, &b, m);
    buf_release(&b);
    if (n && !names) n->then = schema_sub(c, m, m->key, m->key_len);
    if (!n || !n->then) return -1;
    also(c->n, n);
    return 0;
}

static int each(struct compile *c, bool names, bool schemas) {
    if (c->v->type != JSON_OBJECT) return schema_bad(c->s, c->n->path, c->e, "%s: expected an object", c->v->key);
    for (const struct json *m = c->v->first; m; m = m->next) {
        bool list = names && m->type == JSON_ARRAY;
        for (const struct json *x = list ? m->first : NULL; x; x = x->next) list &= x->type == JSON_STRING;
        if (!list && (!schemas || m->type == JSON_ARRAY)) return schema_bad(c->s, c->n->path, c->e, "%s: expected arrays of strings", c->v->key);
        if (one(c, m, list) < 0) return -1;
    }
    return 0;
}

int schema_dependent_required(struct compile *c, void *to) { return each(c, true, false); }
int schema_dependent_schemas(struct compile *c, void *to) { return each(c, false, true); }
int schema_dependencies(struct compile *c, void *to) { return each(c, true, true); }

int schema_dynamic_ref(struct compile *c, void *to) {
    if (c->v->type != JSON_STRING) return schema_bad(c->s, c->n->path, c->e, "%s: expected a string", c->v->key);
    char *path = schema_below(c->n->path, c->v->key, c->v->key_len);
    struct node *n = schema_add(c->s, c->n->source, path);
    free(path);
    n->ref_source = c->v;
    also(c->n, n);
    return 0;
}

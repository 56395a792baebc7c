/* JSON Schema: $ref within one document ("#", "#/$defs/x" as RFC 6901 pointers, "#anchor"), and the check that following
   references without going down in the instance always ends. */
#include "common/text/schema_node.h"
#include <stdlib.h>
#include <string.h>

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }

/* Percent decoding; false on a broken escape. */
static bool decode(const char *p, size_t n, struct buf *b) {
    for (size_t i = 0; i < n; i++) {
        if (p[i] != '%') {
            buf_addc(b, p[i]);
            continue;
        }
        if (n - i < 3 || hex(p[i + 1]) < 0 || hex(p[i + 2]) < 0) return false;
        buf_addc(b, (char)(hex(p[i + 1]) * 16 + hex(p[i + 2])));
        i += 2;
    }
    return true;
}

static const struct json *element(const struct json *v, const char *key, size_t n) {
    size_t index = 0;
    if (!n || n > 9 || (n > 1 && *key == '0')) return NULL;
    for (size_t i = 0; i < n; i++) {
        if (key[i] < '0' || key[i] > '9') return NULL;
        index = index * 10 + (size_t)(key[i] - '0');
    }
    const struct json *x = v->first;
    while (x && index--) x = x->next;
    return x;
}

/* One step of a pointer: p[0..n) without its slash. */
static const struct json *step(const struct json *v, const char *p, size_t n) {
    struct buf key = BUF_INIT;
    const struct json *x = NULL;
    bool good = true;
    buf_add(&key, "", 0);
    for (size_t i = 0; i < n && good; i++) {
        if (p[i] != '~')
            buf_addc(&key, p[i]);
        else if (++i < n && (p[i] == '0' || p[i] == '1'))
            buf_addc(&key, p[i] == '0' ? '~' : '/');
        else
            good = false;
    }
    if (good) x = v->type == JSON_OBJECT ? json_getn(v, key.p, key.n) : v->type == JSON_ARRAY ? element(v, key.p, key.n) : NULL;
    buf_release(&key);
    return x;
}

static const struct json *walk(const struct json *v, const char *p, size_t n) {
    while (v && n) {
        const char *stop = memchr(p + 1, '/', n - 1);
        size_t len = stop ? (size_t)(stop - p) : n;
        v = step(v, p + 1, len - 1);
        p += len;
        n -= len;
    }
    return v;
}

/* The fragment behind # of a reference into this document (by its bare # or the root's $id), or NULL. */
static const char *fragment(const struct schema *s, const struct json *ref, size_t *n) {
    const struct json *id = json_get(s->nodes.v[0]->source, "$id");
    const char *p = ref->str, *end = p + ref->len;
    size_t len = id && id->type == JSON_STRING ? id->len : 0;
    if (len && id->str[len - 1] == '#') len--;
    if (len && ref->len >= len && !memcmp(p, id->str, len) && (ref->len == len || p[len] == '#')) p += len;
    if (p < end && *p != '#') return NULL;
    if (p == end && p == ref->str) return NULL; /* "": allowed by RFC 3986, but nobody means it */
    p += p < end;
    *n = (size_t)(end - p);
    return p;
}

static struct node *find_node(const struct schema *s, const struct json *source) {
    for (size_t i = 0; i < s->nodes.n; i++)
        if (s->nodes.v[i]->source == source) return s->nodes.v[i];
    return NULL;
}

static struct node *find_anchor(const struct schema *s, const struct buf *name) {
    for (size_t i = 0; i < s->n_anchors; i++) {
        const struct json *a = s->anchors[i].name;
        if (a->len == name->n && !memcmp(a->str, name->p, name->n)) return s->anchors[i].node;
    }
    return NULL;
}

static int resolve_one(struct schema *s, struct node *n, struct err *e) {
    const struct json *ref = n->ref_source;
    struct buf f = BUF_INIT;
    size_t len;
    const char *p = fragment(s, ref, &len);
    buf_add(&f, "", 0);
    if (p && decode(p, len, &f)) {
        if (f.n && f.p[0] != '/') {
            n->ref = find_anchor(s, &f);
        } else {
            const struct json *v = walk(s->nodes.v[0]->source, f.p, f.n);
            n->ref = v ? find_node(s, v) : NULL;
            if (v && !n->ref) {
                char *path = xstrdup(ref->str);
                n->ref = schema_node(s, v, path, e);
                free(path);
                buf_release(&f);
                return n->ref ? 0 : -1;
            }
        }
    }
    buf_release(&f);
    if (n->ref) return 0;
    return schema_bad(s, n->path, e, p ? "$ref %.200s leads nowhere" : "$ref %.200s leads out of this file, expected #/…", ref->str);
}

/* ---- loops: in-place steps (those that look at the same instance) must not come back ---- */
static int visit(struct schema *s, struct node *n, int depth, struct err *e);

static int visit_list(struct schema *s, const struct nodes *list, int depth, struct err *e) {
    for (size_t i = 0; i < list->n; i++)
        if (visit(s, list->v[i], depth, e) < 0) return -1;
    return 0;
}

#define MAX_CHAIN 2000 /* in-place steps in a row: more than anybody writes, and safe for the stack */

static int visit(struct schema *s, struct node *n, int depth, struct err *e) {
    if (!n || n->mark == 2) return 0;
    if (n->mark == 1) return schema_bad(s, n->path, e, "$ref comes back to itself without going down in the instance");
    if (depth > MAX_CHAIN) return schema_bad(s, n->path, e, "more than %d schemas upon each other", MAX_CHAIN);
    n->mark = 1;
    struct node *single[] = {n->ref, n->not, n->cond, n->then, n->otherwise};
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        if (visit(s, single[i], depth + 1, e) < 0) return -1;
    if (visit_list(s, &n->all, depth + 1, e) < 0 || visit_list(s, &n->any, depth + 1, e) < 0 || visit_list(s, &n->one, depth + 1, e) < 0 ||
        visit_list(s, &n->also, depth + 1, e) < 0)
        return -1;
    n->mark = 2;
    return 0;
}

int schema_resolve(struct schema *s, struct err *e) {
    for (size_t i = 0; i < s->nodes.n; i++) /* grows meanwhile */
        if (s->nodes.v[i]->ref_source && resolve_one(s, s->nodes.v[i], e) < 0) return -1;
    for (size_t i = 0; i < s->nodes.n; i++)
        if (visit(s, s->nodes.v[i], 0, e) < 0) return -1;
    return 0;
}

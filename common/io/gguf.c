/* GGUF reader: see gguf.h. The file is walked once from front to back; every read goes through take(), which
   checks what is left, and every count is held against the bytes that so many entries must occupy before
   anything is allocated for it. */
#include "common/io/gguf_impl.h"
#include <stdlib.h>
#include <string.h>

static const int kind_bytes[N_KINDS] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}; /* 0: of no fixed size */

int gguf_bad(const struct cursor *c, const unsigned char *at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(c->e, RC_INPUT, fmt, ap);
    va_end(ap);
    return err_prefix(c->e, "%s: byte %zu: ", c->path, (size_t)(at - c->start));
}

const unsigned char *gguf_take(struct cursor *c, uint64_t n, const char *what) {
    const unsigned char *p = c->p;
    if (n > left(c)) {
        gguf_bad(c, p, "truncated: %s needs %llu bytes, the file has %zu left", what, (unsigned long long)n, left(c));
        return NULL;
    }
    c->p += n;
    return p;
}

int gguf_take_uint(struct cursor *c, int bytes, uint64_t *v, const char *what) {
    const unsigned char *p = gguf_take(c, (uint64_t)bytes, what);
    if (!p) return -1;
    *v = gguf_load(p, bytes);
    return 0;
}

static int take_str(struct cursor *c, const char **s, size_t *n, const char *what) {
    uint64_t len;
    if (gguf_take_uint(c, 8, &len, what) < 0) return -1;
    *s = (const char *)gguf_take(c, len, what);
    *n = (size_t)len;
    return *s ? 0 : -1;
}

int gguf_take_name(struct cursor *c, const char **s, size_t *n, const char *what) {
    const unsigned char *at = c->p;
    if (take_str(c, s, n, what) < 0) return -1;
    if (!*n || *n > 65535) return gguf_bad(c, at, "%s is %zu bytes long, expected 1 to 65535", what, *n);
    for (size_t i = 0; i < *n; i++)
        if ((*s)[i] < 0x20 || (*s)[i] > 0x7e) return gguf_bad(c, at + 8 + i, "%s is not printable ASCII", what);
    return 0;
}

static int take_kind(struct cursor *c, enum kind *k, const struct entry *x) {
    const unsigned char *at = c->p;
    uint64_t v;
    if (gguf_take_uint(c, 4, &v, "value type") < 0) return -1;
    if (v >= N_KINDS) return gguf_bad(c, at, "%.*s has unknown value type %llu, expected 0 to 12", (int)x->key_len, x->key, (unsigned long long)v);
    *k = (enum kind)v;
    return 0;
}

static int take_array(struct cursor *c, struct entry *x) {
    const unsigned char *at = c->p;
    if (take_kind(c, &x->of, x) < 0 || gguf_take_uint(c, 8, &x->n, "array length") < 0) return -1;
    if (x->of == ARR) return gguf_bad(c, at, "%.*s is an array of arrays, which is not supported", (int)x->key_len, x->key);
    uint64_t least = x->of == STR ? 8 : (uint64_t)kind_bytes[x->of];
    if (x->n > left(c) / least)
        return gguf_bad(c, at, "truncated: array %.*s of %llu elements does not fit in the %zu bytes left", (int)x->key_len, x->key,
                   (unsigned long long)x->n, left(c));
    if (x->of != STR) {
        x->p = gguf_take(c, x->n * least, "array");
        return 0;
    }
    x->strs = xcalloc(x->n ? (size_t)x->n : 1, sizeof *x->strs);
    for (uint64_t i = 0; i < x->n; i++) {
        const char *s;
        size_t n;
        x->strs[i] = c->p;
        if (take_str(c, &s, &n, "string of an array") < 0) return -1;
    }
    return 0;
}

static int take_entry(struct cursor *c, struct entry *x) {
    if (gguf_take_name(c, &x->key, &x->key_len, "metadata key") < 0 || take_kind(c, &x->kind, x) < 0) return -1;
    if (x->kind == ARR) return take_array(c, x);
    if (x->kind == STR) {
        const char *s;
        size_t n;
        if (take_str(c, &s, &n, "metadata string") < 0) return -1;
        x->p = (const unsigned char *)s;
        x->n = n;
        return 0;
    }
    x->p = gguf_take(c, (uint64_t)kind_bytes[x->kind], "metadata value");
    if (!x->p) return -1;
    if (x->kind == BOOL && *x->p > 1) return gguf_bad(c, x->p, "%.*s is a boolean of value %d, expected 0 or 1", (int)x->key_len, x->key, *x->p);
    return 0;
}

/* ---- the file ---- */
/* Magic, version and the two counts; each count is held against the least bytes its entries take. */
static int take_header(struct cursor *c, struct gguf *g) {
    const unsigned char *p = gguf_take(c, 4, "magic");
    uint64_t version, tensors, kv;
    if (!p) return -1;
    if (memcmp(p, "GGUF", 4)) return gguf_bad(c, p, "not a GGUF file, expected the bytes \"GGUF\"");
    p = c->p;
    if (gguf_take_uint(c, 4, &version, "version") < 0) return -1;
    if (version && !(version & 0xffff)) return gguf_bad(c, p, "a big-endian GGUF file, expected little-endian");
    if (version != 2 && version != 3) return gguf_bad(c, p, "GGUF version %llu, expected 2 or 3", (unsigned long long)version);
    p = c->p;
    if (gguf_take_uint(c, 8, &tensors, "number of tensors") < 0 || gguf_take_uint(c, 8, &kv, "number of metadata keys") < 0) return -1;
    if (tensors > left(c) / 32 || kv > left(c) / 13 || tensors > INT32_MAX || kv > INT32_MAX)
        return gguf_bad(c, p, "truncated: %llu tensors and %llu metadata keys cannot fit in %zu bytes", (unsigned long long)tensors,
                   (unsigned long long)kv, left(c));
    g->n_tensors = (int)tensors;
    g->n_kv = (int)kv;
    return 0;
}

static int take_metadata(struct cursor *c, struct gguf *g) {
    g->kv = xcalloc((size_t)g->n_kv + 1, sizeof *g->kv);
    for (int i = 0; i < g->n_kv; i++) {
        struct entry *x = &g->kv[i];
        const unsigned char *at = c->p;
        if (take_entry(c, x) < 0) return -1;
        if (!strmap_put(&g->keys, x->key, x->key_len, i)) return gguf_bad(c, at, "metadata key %.*s stands twice", (int)x->key_len, x->key);
    }
    int64_t a = 32;
    if (gguf_has(g, "general.alignment") && !gguf_get_int(g, "general.alignment", &a)) a = 0;
    if (a <= 0 || a % 8 || a > UINT32_MAX) return gguf_bad(c, c->p, "general.alignment is not a positive multiple of 8");
    g->alignment = (uint64_t)a;
    return 0;
}

static int take_tensors(struct cursor *c, struct gguf *g) {
    g->tensors = xcalloc((size_t)g->n_tensors + 1, sizeof *g->tensors);
    uint64_t *offsets = xcalloc((size_t)g->n_tensors + 1, sizeof *offsets);
    int rc = 0;
    for (int i = 0; !rc && i < g->n_tensors; i++) {
        struct tensor *t = &g->tensors[i];
        const unsigned char *at = c->p;
        rc = gguf_take_tensor(c, t, g->alignment, &offsets[i]);
        if (!rc && !strmap_put(&g->names, t->name, strlen(t->name), i)) rc = gguf_bad(c, at, "tensor %s stands twice", t->name);
    }
    if (!rc) rc = gguf_place_tensors(c, g, offsets);
    free(offsets);
    return rc;
}

struct gguf *gguf_over(const void *p, size_t n, const char *name, struct err *e) {
    static const unsigned char none[1];
    struct gguf *g = xcalloc(1, sizeof *g);
    const unsigned char *start = p ? p : none;
    g->path = xstrdup(name);
    g->bytes = start;
    g->n_bytes = n;
    struct cursor c = {start, start, start + n, g->path, e};
    if (!take_header(&c, g) && !take_metadata(&c, g) && !take_tensors(&c, g)) return g;
    gguf_close(g);
    return NULL;
}

struct gguf *gguf_open(const char *path, struct err *e) {
    struct map m;
    if (map_open(&m, path, e) < 0) return NULL;
    struct gguf *g = gguf_over(m.p, m.n, path, e);
    if (g)
        g->map = m;
    else
        map_close(&m);
    return g;
}

void gguf_close(struct gguf *g) {
    if (!g) return;
    for (int i = 0; g->kv && i < g->n_kv; i++) free(g->kv[i].strs);
    for (int i = 0; g->tensors && i < g->n_tensors; i++) free((char *)g->tensors[i].name);
    free(g->kv);
    free(g->tensors);
    free(g->path);
    strmap_release(&g->keys);
    strmap_release(&g->names);
    map_close(&g->map);
    free(g);
}

void gguf_bytes(const struct gguf *g, const void **p, size_t *n) {
    *p = g->bytes;
    *n = g->n_bytes;
}

int gguf_n_tensors(const struct gguf *g) { return g->n_tensors; }

const struct tensor *gguf_tensor_at(const struct gguf *g, int i) { return &g->tensors[i]; }

const struct tensor *gguf_tensor(const struct gguf *g, const char *name) {
    int i = strmap_get(&g->names, name, strlen(name));
    return i < 0 ? NULL : &g->tensors[i];
}

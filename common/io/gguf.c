/* GGUF reader: see gguf.h. The file is walked once from front to back; every read goes through take(), which
   checks what is left, and every count is held against the bytes that so many entries must occupy before
   anything is allocated for it. */
#include "common/io/gguf.h"
#include "common/io/io.h"
#include "common/io/strmap.h"
#include <stdlib.h>
#include <string.h>

/* Kinds of metadata values, as numbered in the format. */
enum kind { U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64, N_KINDS };
static const int kind_bytes[N_KINDS] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}; /* 0: of no fixed size */

struct entry { /* one key and its value */
    const char *key;
    size_t key_len;
    enum kind kind;              /* ARR: of the array itself */
    enum kind of;                /* ARR: of its elements */
    const unsigned char *p;      /* scalar: its bytes; STR: its text; ARR of fixed size: its elements */
    uint64_t n;                  /* STR: bytes; ARR: elements */
    const unsigned char **strs;  /* ARR of STR: where each element's length stands */
};

struct gguf {
    struct map map; /* empty for gguf_over */
    const unsigned char *bytes;
    size_t n_bytes;
    char *path;
    struct entry *kv;
    int n_kv, n_tensors;
    struct tensor *tensors; /* names owned */
    struct strmap keys, names;
    uint64_t alignment;
};

struct cursor {
    const unsigned char *start, *p, *end;
    const char *path;
    struct err *e;
};

static size_t left(const struct cursor *c) { return (size_t)(c->end - c->p); }

/* "path: byte N: …" (RC_INPUT). */
static int bad(const struct cursor *c, const unsigned char *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int bad(const struct cursor *c, const unsigned char *at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(c->e, RC_INPUT, fmt, ap);
    va_end(ap);
    return err_prefix(c->e, "%s: byte %zu: ", c->path, (size_t)(at - c->start));
}

/* The next n bytes, or NULL with the error set. */
static const unsigned char *take(struct cursor *c, uint64_t n, const char *what) {
    const unsigned char *p = c->p;
    if (n > left(c)) {
        bad(c, p, "truncated: %s needs %llu bytes, the file has %zu left", what, (unsigned long long)n, left(c));
        return NULL;
    }
    c->p += n;
    return p;
}

static uint64_t load(const unsigned char *p, int bytes) {
    uint64_t v = 0;
    for (int i = bytes; i-- > 0;) v = v << 8 | p[i];
    return v;
}

static int take_uint(struct cursor *c, int bytes, uint64_t *v, const char *what) {
    const unsigned char *p = take(c, (uint64_t)bytes, what);
    if (!p) return -1;
    *v = load(p, bytes);
    return 0;
}

static int take_str(struct cursor *c, const char **s, size_t *n, const char *what) {
    uint64_t len;
    if (take_uint(c, 8, &len, what) < 0) return -1;
    *s = (const char *)take(c, len, what);
    *n = (size_t)len;
    return *s ? 0 : -1;
}

/* Keys and tensor names go into messages and look-ups: 1 to 65535 printable ASCII characters. */
static int take_name(struct cursor *c, const char **s, size_t *n, const char *what) {
    const unsigned char *at = c->p;
    if (take_str(c, s, n, what) < 0) return -1;
    if (!*n || *n > 65535) return bad(c, at, "%s is %zu bytes long, expected 1 to 65535", what, *n);
    for (size_t i = 0; i < *n; i++)
        if ((*s)[i] < 0x20 || (*s)[i] > 0x7e) return bad(c, at + 8 + i, "%s is not printable ASCII", what);
    return 0;
}

static int take_kind(struct cursor *c, enum kind *k, const struct entry *x) {
    const unsigned char *at = c->p;
    uint64_t v;
    if (take_uint(c, 4, &v, "value type") < 0) return -1;
    if (v >= N_KINDS) return bad(c, at, "%.*s has unknown value type %llu, expected 0 to 12", (int)x->key_len, x->key, (unsigned long long)v);
    *k = (enum kind)v;
    return 0;
}

static int take_array(struct cursor *c, struct entry *x) {
    const unsigned char *at = c->p;
    if (take_kind(c, &x->of, x) < 0 || take_uint(c, 8, &x->n, "array length") < 0) return -1;
    if (x->of == ARR) return bad(c, at, "%.*s is an array of arrays, which is not supported", (int)x->key_len, x->key);
    uint64_t least = x->of == STR ? 8 : (uint64_t)kind_bytes[x->of];
    if (x->n > left(c) / least)
        return bad(c, at, "truncated: array %.*s of %llu elements does not fit in the %zu bytes left", (int)x->key_len, x->key,
                   (unsigned long long)x->n, left(c));
    if (x->of != STR) {
        x->p = take(c, x->n * least, "array");
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
    if (take_name(c, &x->key, &x->key_len, "metadata key") < 0 || take_kind(c, &x->kind, x) < 0) return -1;
    if (x->kind == ARR) return take_array(c, x);
    if (x->kind == STR) {
        const char *s;
        size_t n;
        if (take_str(c, &s, &n, "metadata string") < 0) return -1;
        x->p = (const unsigned char *)s;
        x->n = n;
        return 0;
    }
    x->p = take(c, (uint64_t)kind_bytes[x->kind], "metadata value");
    if (!x->p) return -1;
    if (x->kind == BOOL && *x->p > 1) return bad(c, x->p, "%.*s is a boolean of value %d, expected 0 or 1", (int)x->key_len, x->key, *x->p);
    return 0;
}

/* ---- tensors ---- */
/* ggml's type numbers, for those that we read and for messages about the others. */
static const struct {
    const char *name;
    int dtype; /* enum dtype, or -1 */
} ggml_types[] = {
    {"F32", DT_F32}, {"F16", DT_F16}, {"Q4_0", DT_Q4_0}, {"Q4_1", DT_Q4_1}, {"4", -1}, {"5", -1}, {"Q5_0", -1}, {"Q5_1", -1},
    {"Q8_0", DT_Q8_0}, {"Q8_1", -1}, {"Q2_K", -1}, {"Q3_K", -1}, {"Q4_K", DT_Q4_K}, {"Q5_K", -1}, {"Q6_K", DT_Q6_K}, {"Q8_K", -1},
    {"IQ2_XXS", -1}, {"IQ2_XS", -1}, {"IQ3_XXS", -1}, {"IQ1_S", -1}, {"IQ4_NL", -1}, {"IQ3_S", -1}, {"IQ2_S", -1}, {"IQ4_XS", -1},
    {"I8", DT_I8}, {"I16", DT_I16}, {"I32", DT_I32}, {"I64", DT_I64}, {"F64", DT_F64}, {"IQ1_M", -1}, {"BF16", DT_BF16},
    {"31", -1}, {"32", -1}, {"33", -1}, {"TQ1_0", -1}, {"TQ2_0", -1}, {"36", -1}, {"37", -1}, {"38", -1}, {"MXFP4", -1},
};
#define N_GGML_TYPES ((int)(sizeof ggml_types / sizeof *ggml_types))

static int tensor_type(struct cursor *c, struct tensor *t) {
    const unsigned char *at = c->p;
    uint64_t v;
    if (take_uint(c, 4, &v, "tensor type") < 0) return -1;
    if (v >= N_GGML_TYPES) return bad(c, at, "tensor %s has unknown type %llu", t->name, (unsigned long long)v);
    if (ggml_types[v].dtype < 0)
        return bad(c, at, "tensor %s has type %s, which is not supported: expected F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K or Q6_K", t->name, ggml_types[v].name);
    t->type = (enum dtype)ggml_types[v].dtype;
    return 0;
}

/* Dimensions stand innermost first in the file. Their product and the bytes must fit an int64. */
static int tensor_shape(struct cursor *c, struct tensor *t) {
    const unsigned char *at = c->p;
    uint64_t v;
    int64_t count = 1;
    if (take_uint(c, 4, &v, "number of dimensions") < 0) return -1;
    if (v < 1 || v > 4) return bad(c, at, "tensor %s has %llu dimensions, expected 1 to 4", t->name, (unsigned long long)v);
    t->dims = (int)v;
    for (int i = t->dims; i-- > 0;) {
        at = c->p;
        if (take_uint(c, 8, &v, "dimension") < 0) return -1;
        if (v < 1 || v > INT64_MAX / 8 || __builtin_mul_overflow(count, (int64_t)v, &count) || count > INT64_MAX / 8)
            return bad(c, at, "tensor %s has a dimension of %llu, which is zero or too large", t->name, (unsigned long long)v);
        t->shape[i] = (int64_t)v;
    }
    return 0;
}

/* Reads one tensor's entry; its data offset (relative to the data part) goes to *offset. */
static int take_tensor(struct cursor *c, struct tensor *t, uint64_t alignment, uint64_t *offset) {
    const char *name;
    size_t n;
    const unsigned char *start = c->p;
    if (take_name(c, &name, &n, "tensor name") < 0) return -1;
    t->name = xmemdup0(name, n);
    if (tensor_shape(c, t) < 0 || tensor_type(c, t) < 0) return -1;
    int64_t row = t->shape[t->dims - 1], count = 1;
    if (row % dtype_block(t->type))
        return bad(c, start, "tensor %s has rows of %lld values, expected a multiple of %d for %s", t->name, (long long)row,
                   dtype_block(t->type), dtype_name(t->type));
    for (int i = 0; i < t->dims; i++) count *= t->shape[i];
    t->bytes = dtype_bytes(t->type, count);
    const unsigned char *at = c->p;
    if (take_uint(c, 8, offset, "tensor offset") < 0) return -1;
    if (*offset % alignment)
        return bad(c, at, "tensor %s lies at offset %llu, expected a multiple of %llu", t->name, (unsigned long long)*offset,
                   (unsigned long long)alignment);
    return 0;
}

static int by_place(const void *a, const void *b) {
    const struct tensor *x = *(const struct tensor *const *)a, *y = *(const struct tensor *const *)b;
    return x->data < y->data ? -1 : x->data > y->data;
}

static int check_overlap(struct cursor *c, const struct gguf *g) {
    const struct tensor **t = xcalloc((size_t)g->n_tensors + 1, sizeof *t);
    int rc = 0;
    for (int i = 0; i < g->n_tensors; i++) t[i] = &g->tensors[i];
    qsort(t, (size_t)g->n_tensors, sizeof *t, by_place);
    for (int i = 1; !rc && i < g->n_tensors; i++)
        if ((const unsigned char *)t[i]->data < (const unsigned char *)t[i - 1]->data + t[i - 1]->bytes)
            rc = bad(c, t[i]->data, "tensors %s and %s overlap", t[i - 1]->name, t[i]->name);
    free(t);
    return rc;
}

/* Turns offsets into pointers, once the data part is known to start behind the entries. */
static int place_tensors(struct cursor *c, struct gguf *g, const uint64_t *offsets) {
    uint64_t head = (uint64_t)(c->p - c->start), pad = (g->alignment - head % g->alignment) % g->alignment;
    if (!g->n_tensors) return 0;
    const unsigned char *data = take(c, pad, "padding before the data");
    if (!data) return -1;
    data += pad;
    for (int i = 0; i < g->n_tensors; i++) {
        struct tensor *t = &g->tensors[i];
        if (offsets[i] > left(c) || t->bytes > left(c) - offsets[i])
            return bad(c, data, "truncated: tensor %s needs %zu bytes at offset %llu, the data part has %zu", t->name, t->bytes,
                       (unsigned long long)offsets[i], left(c));
        t->data = data + offsets[i];
    }
    return check_overlap(c, g);
}

/* ---- the file ---- */
/* Magic, version and the two counts; each count is held against the least bytes its entries take. */
static int take_header(struct cursor *c, struct gguf *g) {
    const unsigned char *p = take(c, 4, "magic");
    uint64_t version, tensors, kv;
    if (!p) return -1;
    if (memcmp(p, "GGUF", 4)) return bad(c, p, "not a GGUF file, expected the bytes \"GGUF\"");
    p = c->p;
    if (take_uint(c, 4, &version, "version") < 0) return -1;
    if (version && !(version & 0xffff)) return bad(c, p, "a big-endian GGUF file, expected little-endian");
    if (version != 2 && version != 3) return bad(c, p, "GGUF version %llu, expected 2 or 3", (unsigned long long)version);
    p = c->p;
    if (take_uint(c, 8, &tensors, "number of tensors") < 0 || take_uint(c, 8, &kv, "number of metadata keys") < 0) return -1;
    if (tensors > left(c) / 32 || kv > left(c) / 13 || tensors > INT32_MAX || kv > INT32_MAX)
        return bad(c, p, "truncated: %llu tensors and %llu metadata keys cannot fit in %zu bytes", (unsigned long long)tensors,
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
        if (!strmap_put(&g->keys, x->key, x->key_len, i)) return bad(c, at, "metadata key %.*s stands twice", (int)x->key_len, x->key);
    }
    int64_t a = 32;
    if (gguf_has(g, "general.alignment") && !gguf_get_int(g, "general.alignment", &a)) a = 0;
    if (a <= 0 || a % 8 || a > UINT32_MAX) return bad(c, c->p, "general.alignment is not a positive multiple of 8");
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
        rc = take_tensor(c, t, g->alignment, &offsets[i]);
        if (!rc && !strmap_put(&g->names, t->name, strlen(t->name), i)) rc = bad(c, at, "tensor %s stands twice", t->name);
    }
    if (!rc) rc = place_tensors(c, g, offsets);
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

/* ---- metadata ---- */
static const struct entry *entry_of(const struct gguf *g, const char *key) {
    int i = strmap_get(&g->keys, key, strlen(key));
    return i < 0 ? NULL : &g->kv[i];
}

bool gguf_has(const struct gguf *g, const char *key) { return entry_of(g, key) != NULL; }

bool gguf_get_int(const struct gguf *g, const char *key, int64_t *out) {
    const struct entry *x = entry_of(g, key);
    if (!x) return false;
    switch (x->kind) {
    case U8: case U16: case U32: *out = (int64_t)load(x->p, kind_bytes[x->kind]); return true;
    case I8: *out = (int8_t)*x->p; return true;
    case I16: *out = (int16_t)load(x->p, 2); return true;
    case I32: *out = (int32_t)load(x->p, 4); return true;
    case I64: *out = (int64_t)load(x->p, 8); return true;
    case U64: {
        uint64_t v = load(x->p, 8);
        if (v > INT64_MAX) return false;
        *out = (int64_t)v;
        return true;
    }
    default: return false;
    }
}

bool gguf_get_real(const struct gguf *g, const char *key, double *out) {
    const struct entry *x = entry_of(g, key);
    if (!x || (x->kind != F32 && x->kind != F64)) return false;
    if (x->kind == F64) {
        memcpy(out, x->p, 8);
    } else {
        float f;
        memcpy(&f, x->p, 4);
        *out = f;
    }
    return true;
}

bool gguf_get_bool(const struct gguf *g, const char *key, bool *out) {
    const struct entry *x = entry_of(g, key);
    if (!x || x->kind != BOOL) return false;
    *out = *x->p;
    return true;
}

bool gguf_get_str(const struct gguf *g, const char *key, const char **s, size_t *n) {
    const struct entry *x = entry_of(g, key);
    if (!x || x->kind != STR) return false;
    *s = (const char *)x->p;
    *n = (size_t)x->n;
    return true;
}

int64_t gguf_arr_strs(const struct gguf *g, const char *key) {
    const struct entry *x = entry_of(g, key);
    return x && x->kind == ARR && x->of == STR ? (int64_t)x->n : -1;
}

void gguf_arr_str(const struct gguf *g, const char *key, int64_t i, const char **s, size_t *n) {
    const struct entry *x = entry_of(g, key);
    if (!x || x->kind != ARR || x->of != STR || i < 0 || (uint64_t)i >= x->n) BUG("element %lld of %s asked for", (long long)i, key);
    *n = (size_t)load(x->strs[i], 8);
    *s = (const char *)x->strs[i] + 8;
}

int64_t gguf_arr_ints(const struct gguf *g, const char *key, const void **data) {
    const struct entry *x = entry_of(g, key);
    if (!x || x->kind != ARR || (x->of != I32 && x->of != U32)) return -1;
    *data = x->p;
    return (int64_t)x->n;
}

int64_t gguf_arr_f32(const struct gguf *g, const char *key, const void **data) {
    const struct entry *x = entry_of(g, key);
    if (!x || x->kind != ARR || x->of != F32) return -1;
    *data = x->p;
    return (int64_t)x->n;
}

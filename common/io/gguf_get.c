/* The metadata of a GGUF file: see gguf.h. */
#include "common/io/gguf_impl.h"
#include <string.h>

static const struct entry *entry_of(const struct gguf *g, const char *key) {
    int i = strmap_get(&g->keys, key, strlen(key));
    return i < 0 ? NULL : &g->kv[i];
}

bool gguf_has(const struct gguf *g, const char *key) { return entry_of(g, key) != NULL; }

bool gguf_get_int(const struct gguf *g, const char *key, int64_t *out) {
    const struct entry *x = entry_of(g, key);
    if (!x) return false;
    switch (x->kind) {
    case U8: *out = *x->p; return true;
    case U16: *out = (int64_t)gguf_load(x->p, 2); return true;
    case U32: *out = (int64_t)gguf_load(x->p, 4); return true;
    case I8: *out = (int8_t)*x->p; return true;
    case I16: *out = (int16_t)gguf_load(x->p, 2); return true;
    case I32: *out = (int32_t)gguf_load(x->p, 4); return true;
    case I64: *out = (int64_t)gguf_load(x->p, 8); return true;
    case U64: {
        uint64_t v = gguf_load(x->p, 8);
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
    *n = (size_t)gguf_load(x->strs[i], 8);
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

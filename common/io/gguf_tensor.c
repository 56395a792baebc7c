/* The tensors of a GGUF file: entries, shapes, places; see gguf.h. */
#include "common/io/gguf_impl.h"
#include <stdlib.h>
#include <string.h>

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
    if (gguf_take_uint(c, 4, &v, "tensor type") < 0) return -1;
    if (v >= N_GGML_TYPES) return gguf_bad(c, at, "tensor %s has unknown type %llu", t->name, (unsigned long long)v);
    if (ggml_types[v].dtype < 0)
        return gguf_bad(c, at, "tensor %s has type %s, which is not supported: expected F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K or Q6_K", t->name, ggml_types[v].name);
    t->type = (enum dtype)ggml_types[v].dtype;
    return 0;
}

/* Dimensions stand innermost first in the file. Their product and the bytes must fit an int64. */
static int tensor_shape(struct cursor *c, struct tensor *t) {
    const unsigned char *at = c->p;
    uint64_t v;
    int64_t count = 1;
    if (gguf_take_uint(c, 4, &v, "number of dimensions") < 0) return -1;
    if (v < 1 || v > 4) return gguf_bad(c, at, "tensor %s has %llu dimensions, expected 1 to 4", t->name, (unsigned long long)v);
    t->dims = (int)v;
    for (int i = t->dims; i-- > 0;) {
        at = c->p;
        if (gguf_take_uint(c, 8, &v, "dimension") < 0) return -1;
        if (v < 1 || v > INT64_MAX / 8 || __builtin_mul_overflow(count, (int64_t)v, &count) || count > INT64_MAX / 8)
            return gguf_bad(c, at, "tensor %s has a dimension of %llu, which is zero or too large", t->name, (unsigned long long)v);
        t->shape[i] = (int64_t)v;
    }
    return 0;
}

int gguf_take_tensor(struct cursor *c, struct tensor *t, uint64_t alignment, uint64_t *offset) {
    const char *name;
    size_t n;
    const unsigned char *start = c->p;
    if (gguf_take_name(c, &name, &n, "tensor name") < 0) return -1;
    t->name = xmemdup0(name, n);
    if (tensor_shape(c, t) < 0 || tensor_type(c, t) < 0) return -1;
    int64_t row = t->shape[t->dims - 1], count = 1;
    if (row % dtype_block(t->type))
        return gguf_bad(c, start, "tensor %s has rows of %lld values, expected a multiple of %d for %s", t->name, (long long)row,
                   dtype_block(t->type), dtype_name(t->type));
    for (int i = 0; i < t->dims; i++) count *= t->shape[i];
    t->bytes = dtype_bytes(t->type, count);
    const unsigned char *at = c->p;
    if (gguf_take_uint(c, 8, offset, "tensor offset") < 0) return -1;
    if (*offset % alignment)
        return gguf_bad(c, at, "tensor %s lies at offset %llu, expected a multiple of %llu", t->name, (unsigned long long)*offset,
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
            rc = gguf_bad(c, t[i]->data, "tensors %s and %s overlap", t[i - 1]->name, t[i]->name);
    free(t);
    return rc;
}

int gguf_place_tensors(struct cursor *c, struct gguf *g, const uint64_t *offsets) {
    uint64_t head = (uint64_t)(c->p - c->start), pad = (g->alignment - head % g->alignment) % g->alignment;
    if (!g->n_tensors) return 0;
    const unsigned char *data = gguf_take(c, pad, "padding before the data");
    if (!data) return -1;
    data += pad;
    for (int i = 0; i < g->n_tensors; i++) {
        struct tensor *t = &g->tensors[i];
        if (offsets[i] > left(c) || t->bytes > left(c) - offsets[i])
            return gguf_bad(c, data, "truncated: tensor %s needs %zu bytes at offset %llu, the data part has %zu", t->name, t->bytes,
                       (unsigned long long)offsets[i], left(c));
        t->data = data + offsets[i];
    }
    return check_overlap(c, g);
}

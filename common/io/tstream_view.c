/* What the tensors of a stream are: see tstream.h. Everything here is decided by the header alone, so that a reader of a
   pipe knows types and shapes before the bytes come; tstream_check then holds the bytes against it. */
#include "common/io/json.h"
#include "common/io/tstream.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STATE ".quant_state.coador__"

static bool is_file(const struct tensor *t) { return !strncmp(t->name, TSTREAM_FILE_PREFIX, strlen(TSTREAM_FILE_PREFIX)); }

const char *tstream_file_name(const struct tensor *t) { return t->name + strlen(TSTREAM_FILE_PREFIX); }

/* A decimal without sign or leading zero. */
static bool parse_length(const char *s, size_t *n) {
    char again[24], *end;
    unsigned long long x = strtoull(s, &end, 10);
    snprintf(again, sizeof again, "%llu", x);
    *n = (size_t)x;
    return !strcmp(again, s);
}

size_t tstream_file_length(const struct safetensors *s, const struct tensor *t) {
    const char *text = safetensors_meta(s, t->name);
    size_t n;
    if (!text || !parse_length(text, &n)) BUG("%s was not checked", t->name);
    return n;
}

static int check_file(const struct safetensors *s, const struct tensor *t, struct err *e) {
    const char *name = tstream_file_name(t), *text = safetensors_meta(s, t->name);
    size_t n;
    if (!name[0] || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
        return err_set(e, RC_INPUT, "tensor %s is no file's name", t->name);
    if (t->type != DT_U8 || t->dims != 1) return err_set(e, RC_INPUT, "file %s is no U8 tensor of one dimension", name);
    if (!text || !parse_length(text, &n)) return err_set(e, RC_INPUT, "file %s has no length in __metadata__", name);
    if (n > t->bytes || t->bytes - n >= 64 || t->bytes % 64)
        return err_set(e, RC_INPUT, "file %s has length %zu and %zu bytes, expected the next multiple of 64", name, n, t->bytes);
    return 0;
}

/* ---- block types ---- */
bool tstream_is_block(enum dtype t) { return dtype_block(t) >= 32; }

static int block_type(const char *name) {
    for (int t = 0; t < DT_COUNT; t++)
        if (tstream_is_block((enum dtype)t) && !strcmp(dtype_name((enum dtype)t), name)) return t;
    return -1;
}

/* The tensor that description `t` stands for gets its type and shape. */
static int apply_state(const struct safetensors *s, struct tensor *view, const struct tensor *t, const char *suffix, struct err *e) {
    char *name = xmemdup0(t->name, (size_t)(suffix - t->name));
    const struct tensor *u8 = safetensors_get(s, name);
    int type = block_type(suffix + strlen(STATE));
    free(name);
    if (type < 0) return err_set(e, RC_INPUT, "tensor %s names a block type that is not known", t->name);
    if (!u8) return err_set(e, RC_INPUT, "tensor %s describes a tensor that is not there", t->name);
    struct tensor *v = &view[u8 - safetensors_at(s, 0)];
    size_t block = dtype_block_bytes((enum dtype)type);
    if (v->type != DT_U8 || !v->dims || v->shape[v->dims - 1] % (int64_t)block)
        return err_set(e, RC_INPUT, "tensor %s is not U8 with rows of %zu-byte blocks, as %s has it", v->name, block, t->name);
    if (v->shape[v->dims - 1] / (int64_t)block > INT64_MAX / 8 / dtype_block((enum dtype)type))
        return err_set(e, RC_INPUT, "tensor %s has a shape too large to hold", v->name);
    v->type = (enum dtype)type;
    v->shape[v->dims - 1] = v->shape[v->dims - 1] / (int64_t)block * dtype_block((enum dtype)type);
    return 0;
}

int tstream_view(const struct safetensors *s, struct tensor *view, enum tstream_kind *kind, struct err *e) {
    int n = safetensors_count(s), files = 0;
    for (int i = 0; i < n; i++) {
        view[i] = *safetensors_at(s, i);
        kind[i] = is_file(&view[i]) ? TSTREAM_PACKED : TSTREAM_TENSOR;
        if (kind[i] == TSTREAM_PACKED && check_file(s, &view[i], e) < 0) return -1;
        if (kind[i] == TSTREAM_PACKED && files++ != i) return err_set(e, RC_INPUT, "file %s lies behind a tensor, expected before all", tstream_file_name(&view[i]));
    }
    for (int i = 0; i < n; i++) {
        const struct tensor *t = safetensors_at(s, i);
        const char *suffix = strstr(t->name, STATE);
        if (kind[i] != TSTREAM_TENSOR || !suffix) continue;
        if (t->type != DT_U8 || t->dims != 1) return err_set(e, RC_INPUT, "tensor %s is no U8 tensor of one dimension", t->name);
        kind[i] = TSTREAM_STATE;
        if (apply_state(s, view, t, suffix, e) < 0) return -1;
    }
    return 0;
}

/* ---- content ---- */
static bool is_padding(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] != '\n') return false;
    return true;
}

/* {"type":"q4_1","shape":[576,1536]}, equal to what the names and the U8 shape say. */
static bool state_matches(const struct tensor *v, const struct json *o) {
    const struct json *shape = json_get(o, "shape"), *x = shape ? shape->first : NULL;
    int64_t size;
    if (o->count != 2 || !json_is_str(json_get(o, "type"), dtype_name(v->type))) return false;
    if (!shape || shape->type != JSON_ARRAY || shape->count != (size_t)v->dims) return false;
    for (int i = 0; i < v->dims; i++, x = x->next)
        if (!json_int(x, &size) || size != v->shape[i]) return false;
    return true;
}

static int check_state(const struct safetensors *s, const struct tensor *t, const char *bytes, struct err *e) {
    const char *suffix = strstr(t->name, STATE);
    char *name = xmemdup0(t->name, (size_t)(suffix - t->name));
    struct tensor v = *safetensors_get(s, name); /* tstream_view has found it */
    int type = block_type(suffix + strlen(STATE));
    free(name);
    v.type = (enum dtype)type;
    v.shape[v.dims - 1] = v.shape[v.dims - 1] / (int64_t)dtype_block_bytes(v.type) * dtype_block(v.type);
    struct json_doc *d = json_parse(bytes, t->bytes, e);
    if (!d) return err_prefix(e, "tensor %s: ", t->name);
    bool good = state_matches(&v, json_root(d));
    json_doc_free(d);
    return good ? 0 : err_set(e, RC_INPUT, "tensor %s does not describe its neighbour", t->name);
}

int tstream_check(const struct safetensors *s, const struct tensor *t, enum tstream_kind kind, const void *bytes, struct err *e) {
    if (kind == TSTREAM_STATE) return check_state(s, t, bytes, e);
    if (kind == TSTREAM_TENSOR) return 0;
    size_t n = tstream_file_length(s, t);
    if (is_padding((const char *)bytes + n, t->bytes - n)) return 0;
    return err_set(e, RC_INPUT, "file %s has something else than newlines behind its %zu bytes", tstream_file_name(t), n);
}

/* safetensors: see safetensors.h. The header goes through the strict JSON scanner (duplicate keys, UTF-8), then every
   entry is checked by itself, then all together: sorted by offset they must tile the data part exactly. */
#include "common/io/safetensors.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/io/strmap.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER 100000000u /* bytes, the reference implementation's limit */

struct safetensors {
    struct map map;
    char *name;
    struct json_doc *doc; /* names and metadata live in it */
    struct json *meta;
    struct tensor *t;     /* in data order */
    int n;
    struct strmap names;
};

static const struct {
    const char *name;
    enum dtype type;
} dtypes[] = {{"F32", DT_F32}, {"F16", DT_F16}, {"BF16", DT_BF16}, {"F64", DT_F64}, {"I8", DT_I8},
              {"U8", DT_U8},   {"I16", DT_I16}, {"I32", DT_I32},   {"I64", DT_I64}, {"BOOL", DT_BOOL}};
#define N_DTYPES (sizeof dtypes / sizeof *dtypes)

/* ---- one entry ---- */
static int entry_dtype(struct tensor *t, const struct json *v, struct err *e) {
    if (!v || v->type != JSON_STRING) return err_set(e, RC_INPUT, "tensor %s has no dtype, expected a string", t->name);
    for (size_t i = 0; i < N_DTYPES; i++)
        if (json_is_str(v, dtypes[i].name)) {
            t->type = dtypes[i].type;
            return 0;
        }
    return err_set(e, RC_INPUT, "tensor %s has dtype %.*s, expected F32, F16, BF16, F64, I8, U8, I16, I32, I64 or BOOL", t->name,
                   (int)(v->raw_len < 60 ? v->raw_len : 60), v->raw);
}

/* Shape, and the bytes it takes: products are checked, a size of 0 is allowed. */
static int entry_shape(struct tensor *t, const struct json *v, struct err *e) {
    int64_t count = 1, size;
    if (!v || v->type != JSON_ARRAY) return err_set(e, RC_INPUT, "tensor %s has no shape, expected an array", t->name);
    if (v->count > TENSOR_MAX_DIMS)
        return err_set(e, RC_INPUT, "tensor %s has %zu dimensions, expected at most %d", t->name, v->count, TENSOR_MAX_DIMS);
    for (const struct json *x = v->first; x; x = x->next) {
        if (!json_int(x, &size) || size < 0)
            return err_set(e, RC_INPUT, "tensor %s has a size of %.*s in its shape, expected an integer from 0", t->name,
                           (int)(x->raw_len < 60 ? x->raw_len : 60), x->raw);
        if (__builtin_mul_overflow(count, size, &count) || count > INT64_MAX / 8)
            return err_set(e, RC_INPUT, "tensor %s has a shape too large to hold", t->name);
        t->shape[t->dims++] = size;
    }
    t->bytes = dtype_bytes(t->type, count);
    return 0;
}

static int entry_place(struct tensor *t, const struct json *v, const unsigned char *data, size_t n, struct err *e) {
    int64_t begin, end;
    if (!v || v->type != JSON_ARRAY || v->count != 2 || !json_int(v->first, &begin) || !json_int(v->first->next, &end))
        return err_set(e, RC_INPUT, "tensor %s has no data_offsets, expected two integers", t->name);
    if (begin < 0 || end < begin || (uint64_t)end > n)
        return err_set(e, RC_INPUT, "tensor %s has data_offsets %" PRId64 " to %" PRId64 ", expected a range within the %zu bytes of data", t->name,
                       begin, end, n);
    if ((uint64_t)(end - begin) != t->bytes)
        return err_set(e, RC_INPUT, "tensor %s has %" PRId64 " bytes of data, expected %zu for its dtype and shape", t->name, end - begin, t->bytes);
    t->data = data + begin;
    return 0;
}

static int read_entry(struct tensor *t, const struct json *v, const unsigned char *data, size_t n, struct err *e) {
    *t = (struct tensor){.name = v->key};
    if (strlen(v->key) != v->key_len) return err_set(e, RC_INPUT, "tensor %s has a NUL in its name", t->name);
    if (v->type != JSON_OBJECT) return err_set(e, RC_INPUT, "tensor %s is not described by an object", t->name);
    for (const struct json *x = v->first; x; x = x->next)
        if (strcmp(x->key, "dtype") && strcmp(x->key, "shape") && strcmp(x->key, "data_offsets"))
            return err_set(e, RC_INPUT, "tensor %s has the unknown key \"%s\"", t->name, x->key);
    return entry_dtype(t, json_get(v, "dtype"), e) < 0 || entry_shape(t, json_get(v, "shape"), e) < 0 ? -1
           : entry_place(t, json_get(v, "data_offsets"), data, n, e);
}

/* ---- the whole ---- */
static int by_place(const void *a, const void *b) {
    const struct tensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1; /* empty ones before what starts at the same byte */
    return strcmp(x->name, y->name);
}

static int check_tiling(const struct safetensors *s, const unsigned char *data, size_t n, struct err *e) {
    const unsigned char *at = data;
    for (int i = 0; i < s->n; i++) {
        const struct tensor *t = &s->t[i];
        const unsigned char *p = t->data;
        if (p < at) return err_set(e, RC_INPUT, "tensor %s starts at byte %zu of the data, inside tensor %s", t->name, (size_t)(p - data), s->t[i - 1].name);
        if (p > at) return err_set(e, RC_INPUT, "tensor %s starts at byte %zu of the data, expected %zu: a hole", t->name, (size_t)(p - data), (size_t)(at - data));
        at = p + t->bytes;
    }
    if (at != data + n) return err_set(e, RC_INPUT, "%zu bytes behind the last tensor", (size_t)(data + n - at));
    return 0;
}

static int read_meta(struct safetensors *s, struct json *v, struct err *e) {
    if (v->type != JSON_OBJECT) return err_set(e, RC_INPUT, "__metadata__ is not an object");
    for (const struct json *x = v->first; x; x = x->next)
        if (x->type != JSON_STRING || strlen(x->str) != x->len)
            return err_set(e, RC_INPUT, "__metadata__ \"%s\" is not a string without NUL", x->key);
    s->meta = v;
    return 0;
}

static int read_entries(struct safetensors *s, const unsigned char *data, size_t n, struct err *e) {
    struct json *root = json_root(s->doc);
    s->t = xcalloc(root->count + 1, sizeof *s->t);
    for (struct json *v = root->first; v; v = v->next) {
        if (v->key_len == 12 && !memcmp(v->key, "__metadata__", 12)) {
            if (read_meta(s, v, e) < 0) return -1;
        } else if (read_entry(&s->t[s->n++], v, data, n, e) < 0) {
            return -1;
        }
    }
    qsort(s->t, (size_t)s->n, sizeof *s->t, by_place);
    for (int i = 0; i < s->n; i++) strmap_put(&s->names, s->t[i].name, strlen(s->t[i].name), i);
    return check_tiling(s, data, n, e);
}

static int read_file(struct safetensors *s, const unsigned char *p, size_t n, struct err *e) {
    uint64_t len = 0;
    if (n < 8) return err_set(e, RC_INPUT, "%zu bytes, expected a header length of 8 bytes: not a safetensors file", n);
    for (int i = 8; i-- > 0;) len = len << 8 | p[i];
    if (len > MAX_HEADER) return err_set(e, RC_INPUT, "header length %" PRIu64 ", expected at most %u: not a safetensors file", len, MAX_HEADER);
    if (len > n - 8) return err_set(e, RC_INPUT, "truncated: the header needs %" PRIu64 " bytes, the file has %zu left", len, n - 8);
    if (!len || p[8] != '{') return err_set(e, RC_INPUT, "header does not start with '{': not a safetensors file");
    s->doc = json_parse((const char *)p + 8, (size_t)len, e);
    if (!s->doc) return err_prefix(e, "header: ");
    return read_entries(s, p + 8 + len, n - 8 - (size_t)len, e);
}

struct safetensors *safetensors_over(const void *p, size_t n, const char *name, struct err *e) {
    static const unsigned char none[1];
    struct safetensors *s = xcalloc(1, sizeof *s);
    s->name = xstrdup(name);
    if (read_file(s, p ? p : none, n, e) == 0) return s;
    err_prefix(e, "%s: ", name);
    safetensors_close(s);
    return NULL;
}

struct safetensors *safetensors_open(const char *path, struct err *e) {
    struct map m;
    if (map_open(&m, path, e) < 0) return NULL;
    struct safetensors *s = safetensors_over(m.p, m.n, path, e);
    if (s)
        s->map = m;
    else
        map_close(&m);
    return s;
}

void safetensors_close(struct safetensors *s) {
    if (!s) return;
    if (s->doc) json_doc_free(s->doc);
    free(s->t);
    free(s->name);
    strmap_release(&s->names);
    map_close(&s->map);
    free(s);
}

int safetensors_count(const struct safetensors *s) { return s->n; }

const struct tensor *safetensors_at(const struct safetensors *s, int i) { return &s->t[i]; }

const struct tensor *safetensors_get(const struct safetensors *s, const char *name) {
    int i = strmap_get(&s->names, name, strlen(name));
    return i < 0 ? NULL : &s->t[i];
}

const char *safetensors_meta(const struct safetensors *s, const char *key) {
    const struct json *v = s->meta ? json_get(s->meta, key) : NULL;
    return v ? v->str : NULL;
}

/* ---- writing ---- */
static int put_entry(struct buf *b, const struct tensor *t, uint64_t *offset, struct err *e) {
    int64_t count = 1;
    const char *type = NULL;
    for (size_t i = 0; i < N_DTYPES; i++)
        if (dtypes[i].type == t->type) type = dtypes[i].name;
    if (!type) return err_set(e, RC_INPUT, "tensor %s has type %s, which safetensors cannot hold", t->name, dtype_name(t->type));
    if (utf8_valid(t->name, strlen(t->name)) != strlen(t->name)) return err_set(e, RC_INPUT, "tensor %s has a name that is not UTF-8", t->name);
    json_put_string(b, t->name, strlen(t->name));
    buf_addf(b, ":{\"dtype\":\"%s\",\"shape\":[", type);
    for (int i = 0; i < t->dims; i++) {
        buf_addf(b, "%s%" PRId64, i ? "," : "", t->shape[i]);
        count *= t->shape[i];
    }
    if (dtype_bytes(t->type, count) != t->bytes) BUG("tensor %s: %zu bytes do not fit its shape", t->name, t->bytes);
    buf_addf(b, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", *offset, *offset + t->bytes);
    *offset += t->bytes;
    return 0;
}

static void put_meta(struct buf *b, const char *const *meta) {
    buf_adds(b, "\"__metadata__\":{");
    for (int i = 0; meta[i]; i += 2) {
        if (i) buf_addc(b, ',');
        json_put_string(b, meta[i], strlen(meta[i]));
        buf_addc(b, ':');
        json_put_string(b, meta[i + 1], strlen(meta[i + 1]));
    }
    buf_addc(b, '}');
}

/* Header length and header, padded with spaces so that the data starts at a multiple of 8. */
static int put_header(struct buf *b, const struct tensor *t, int n, const char *const *meta, struct err *e) {
    struct strmap names = STRMAP_INIT;
    uint64_t offset = 0;
    int rc = 0;
    buf_addc(b, '{');
    if (meta && meta[0]) put_meta(b, meta);
    for (int i = 0; !rc && i < n; i++) {
        if (!strmap_put(&names, t[i].name, strlen(t[i].name), i)) rc = err_set(e, RC_INPUT, "tensor %s stands twice", t[i].name);
        if (i || (meta && meta[0])) buf_addc(b, ',');
        if (!rc) rc = put_entry(b, &t[i], &offset, e);
    }
    buf_addc(b, '}');
    while (b->n % 8) buf_addc(b, ' ');
    if (!rc && b->n > MAX_HEADER) rc = err_set(e, RC_INPUT, "a header of %zu bytes is too long, expected at most %u", b->n, MAX_HEADER);
    strmap_release(&names);
    return rc;
}

int safetensors_write(const char *path, const struct tensor *t, int n, const char *const *meta, struct err *e) {
    struct buf b = BUF_INIT;
    struct out o;
    int rc = put_header(&b, t, n, meta, e);
    if (rc < 0) {
        err_prefix(e, "%s: ", path);
    } else if ((rc = out_open(&o, path, e)) == 0) {
        unsigned char len[8];
        for (int i = 0; i < 8; i++) len[i] = (unsigned char)(b.n >> 8 * i);
        fwrite(len, 1, 8, o.f);
        fwrite(b.p, 1, b.n, o.f);
        for (int i = 0; i < n; i++) fwrite(t[i].data, 1, t[i].bytes, o.f);
        rc = out_commit(&o, e);
    }
    buf_release(&b);
    return rc;
}

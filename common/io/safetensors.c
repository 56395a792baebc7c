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
    struct json_doc *doc; /* names and metadata live in it */
    struct json *meta;
    struct tensor *t;     /* in data order */
    uint64_t *begin;      /* where each starts in the data, and where the last ends */
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

/* n: bytes of data there are, NO_LIMIT while they have not come. */
#define NO_LIMIT UINT64_MAX
static int entry_place(const struct tensor *t, uint64_t *at, const struct json *v, uint64_t n, struct err *e) {
    int64_t begin, end;
    if (!v || v->type != JSON_ARRAY || v->count != 2 || !json_int(v->first, &begin) || !json_int(v->first->next, &end))
        return err_set(e, RC_INPUT, "tensor %s has no data_offsets, expected two integers", t->name);
    if (begin < 0 || end < begin) return err_set(e, RC_INPUT, "tensor %s has data_offsets %" PRId64 " to %" PRId64 ", expected a range within the data", t->name, begin, end);
    if ((uint64_t)end > n)
        return err_set(e, RC_INPUT, "tensor %s has data_offsets %" PRId64 " to %" PRId64 ", expected a range within the %" PRIu64 " bytes of data", t->name,
                       begin, end, n);
    if ((uint64_t)(end - begin) != t->bytes)
        return err_set(e, RC_INPUT, "tensor %s has %" PRId64 " bytes of data, expected %zu for its dtype and shape", t->name, end - begin, t->bytes);
    *at = (uint64_t)begin;
    return 0;
}

struct entry { /* a tensor while the header is read */
    struct tensor t;
    uint64_t begin;
};

static int read_entry(struct entry *x, const struct json *v, uint64_t n, struct err *e) {
    struct tensor *t = &x->t;
    *t = (struct tensor){.name = v->key};
    if (strlen(v->key) != v->key_len) return err_set(e, RC_INPUT, "tensor %s has a NUL in its name", t->name);
    if (v->type != JSON_OBJECT) return err_set(e, RC_INPUT, "tensor %s is not described by an object", t->name);
    for (const struct json *k = v->first; k; k = k->next)
        if (strcmp(k->key, "dtype") && strcmp(k->key, "shape") && strcmp(k->key, "data_offsets"))
            return err_set(e, RC_INPUT, "tensor %s has the unknown key \"%s\"", t->name, k->key);
    return entry_dtype(t, json_get(v, "dtype"), e) < 0 || entry_shape(t, json_get(v, "shape"), e) < 0 ? -1
           : entry_place(t, &x->begin, json_get(v, "data_offsets"), n, e);
}

/* ---- the whole ---- */
static int by_place(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->t.bytes != y->t.bytes) return x->t.bytes < y->t.bytes ? -1 : 1; /* empty ones before what starts at the same byte */
    return strcmp(x->t.name, y->t.name);
}

static int check_tiling(const struct entry *x, int count, uint64_t n, struct err *e) {
    uint64_t at = 0;
    for (int i = 0; i < count; i++) {
        const char *name = x[i].t.name;
        if (x[i].begin < at)
            return err_set(e, RC_INPUT, "tensor %s starts at byte %" PRIu64 " of the data, inside tensor %s", name, x[i].begin, x[i - 1].t.name);
        if (x[i].begin > at) return err_set(e, RC_INPUT, "tensor %s starts at byte %" PRIu64 " of the data, expected %" PRIu64 ": a hole", name, x[i].begin, at);
        at += x[i].t.bytes;
    }
    if (n != NO_LIMIT && at != n) return err_set(e, RC_INPUT, "%" PRIu64 " bytes behind the last tensor", n - at);
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

/* Keeps the sorted entries. */
static void keep_entries(struct safetensors *s, const struct entry *x, int n) {
    s->t = xcalloc((size_t)n + 1, sizeof *s->t);
    s->begin = xcalloc((size_t)n + 1, sizeof *s->begin);
    s->n = n;
    for (int i = 0; i < n; i++) {
        s->t[i] = x[i].t;
        s->begin[i + 1] = s->begin[i] + x[i].t.bytes;
        strmap_put(&s->names, s->t[i].name, strlen(s->t[i].name), i);
    }
}

static int read_entries(struct safetensors *s, uint64_t data_bytes, struct err *e) {
    struct json *root = json_root(s->doc);
    struct entry *x = xcalloc(root->count + 1, sizeof *x);
    int n = 0, rc = 0;
    for (struct json *v = root->first; !rc && v; v = v->next)
        rc = v->key_len == 12 && !memcmp(v->key, "__metadata__", 12) ? read_meta(s, v, e) : read_entry(&x[n++], v, data_bytes, e);
    if (!rc) {
        qsort(x, (size_t)n, sizeof *x, by_place);
        rc = check_tiling(x, n, data_bytes, e);
    }
    if (!rc) keep_entries(s, x, n);
    free(x);
    return rc;
}

static int read_header(struct safetensors *s, const unsigned char *p, size_t len, uint64_t data_bytes, struct err *e) {
    if (!len || p[0] != '{') return err_set(e, RC_INPUT, "header does not start with '{': not a safetensors file");
    s->doc = json_parse((const char *)p, len, e);
    if (!s->doc) return err_prefix(e, "header: ");
    return read_entries(s, data_bytes, e);
}

int safetensors_length(const unsigned char p[8], size_t *len, struct err *e) {
    uint64_t n = 0;
    for (int i = 8; i-- > 0;) n = n << 8 | p[i];
    if (n > MAX_HEADER) return err_set(e, RC_INPUT, "header length %" PRIu64 ", expected at most %u: not a safetensors file", n, MAX_HEADER);
    *len = (size_t)n;
    return 0;
}

static int read_file(struct safetensors *s, const unsigned char *p, size_t n, struct err *e) {
    size_t len = 0;
    if (n < 8) return err_set(e, RC_INPUT, "%zu bytes, expected a header length of 8 bytes: not a safetensors file", n);
    if (safetensors_length(p, &len, e) < 0) return -1;
    if (len > n - 8) return err_set(e, RC_INPUT, "truncated: the header needs %zu bytes, the file has %zu left", len, n - 8);
    if (read_header(s, p + 8, len, n - 8 - len, e) < 0) return -1;
    for (int i = 0; i < s->n; i++) s->t[i].data = p + 8 + len + s->begin[i];
    return 0;
}

struct safetensors *safetensors_over(const void *p, size_t n, const char *name, struct err *e) {
    static const unsigned char none[1];
    struct safetensors *s = xcalloc(1, sizeof *s);
    if (read_file(s, p ? p : none, n, e) == 0) return s;
    err_prefix(e, "%s: ", name);
    safetensors_close(s);
    return NULL;
}

struct safetensors *safetensors_of_header(const void *json, size_t len, struct err *e) {
    struct safetensors *s = xcalloc(1, sizeof *s);
    if (read_header(s, json, len, NO_LIMIT, e) == 0) return s;
    safetensors_close(s);
    return NULL;
}

uint64_t safetensors_begin(const struct safetensors *s, int i) { return s->begin[i]; }

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
    free(s->begin);
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

/* The JSON, padded with spaces so that the data starts at a multiple of 8. */
static int put_json(struct buf *b, const struct tensor *t, int n, const char *const *meta, struct err *e) {
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

int safetensors_put_header(struct buf *b, const struct tensor *t, int n, const char *const *meta, struct err *e) {
    struct buf json = BUF_INIT;
    int rc = put_json(&json, t, n, meta, e);
    if (!rc) {
        for (int i = 0; i < 8; i++) buf_addc(b, (char)(json.n >> 8 * i));
        buf_add(b, json.p, json.n);
    }
    buf_release(&json);
    return rc;
}

int safetensors_write(const char *path, const struct tensor *t, int n, const char *const *meta, struct err *e) {
    struct buf b = BUF_INIT;
    struct out o;
    int rc = safetensors_put_header(&b, t, n, meta, e);
    if (rc < 0) {
        err_prefix(e, "%s: ", path);
    } else if ((rc = out_open(&o, path, e)) == 0) {
        fwrite(b.p, 1, b.n, o.f);
        for (int i = 0; i < n; i++) fwrite(t[i].data, 1, t[i].bytes, o.f);
        rc = out_commit(&o, e);
    }
    buf_release(&b);
    return rc;
}

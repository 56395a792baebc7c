/* Records and their reader: see jsonl.h. A record keeps its source line and a list of its fields; what nobody set
   is written from the line's own bytes, white space included. */
#include "common/io/jsonl.h"
#include "common/io/json_scan.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct field {
    const struct json *source; /* the member in the line, NULL for a new field */
    char *key;                 /* set since: name, raw value; NULL: as in the source */
    size_t key_len;
    char *raw;
    size_t raw_len;
    bool deleted;
    struct json_doc *doc; /* raw parsed, once somebody asked */
};

struct record {
    char *line;
    size_t n;
    int64_t number; /* of the line in its input, 0 if made here */
    struct json_doc *doc;
    struct field *fields; /* source members in order, then the new ones */
    size_t n_fields, cap;
    bool changed;
};

struct jsonl {
    struct in in;
    char *name;
};

/* ---- making ---- */
static void add_fields(struct record *r, const struct json *object) {
    r->cap = object->count + 4;
    r->fields = xmalloc(r->cap * sizeof *r->fields);
    for (const struct json *m = object->first; m; m = m->next) r->fields[r->n_fields++] = (struct field){.source = m};
}

struct record *record_parse(const char *line, size_t n, struct err *e) {
    struct record *r = xcalloc(1, sizeof *r);
    r->line = xmemdup0(line, n);
    r->n = n;
    r->doc = json_doc_new();
    if (json_reparse(r->doc, r->line, n, e) == 0) {
        const struct json *v = json_root(r->doc);
        if (v->type == JSON_OBJECT) {
            add_fields(r, v);
            return r;
        }
        err_set(e, RC_INPUT, "line 1 column 1: not an object, expected a record");
    }
    record_free(r);
    return NULL;
}

struct record *record_new(void) { return record_parse("{}", 2, NULL); }

static void clear_field(struct field *f) {
    free(f->key);
    free(f->raw);
    json_doc_free(f->doc);
    f->key = f->raw = NULL;
    f->doc = NULL;
}

void record_free(struct record *r) {
    if (!r) return;
    for (size_t i = 0; i < r->n_fields; i++) clear_field(&r->fields[i]);
    json_doc_free(r->doc);
    free(r->fields);
    free(r->line);
    free(r);
}

int64_t record_line(const struct record *r) { return r->number; }

/* ---- reading ---- */
static struct field *find(const struct record *r, const char *key) {
    size_t n = strlen(key);
    for (size_t i = 0; i < r->n_fields; i++) {
        struct field *f = &r->fields[i];
        const char *name = f->key ? f->key : f->source->key;
        size_t len = f->key ? f->key_len : f->source->key_len;
        if (len == n && !memcmp(name, key, n)) return f;
    }
    return NULL;
}

static struct json *parse_field(struct field *f) {
    struct err e = ERR_INIT;
    if (!f->doc) {
        f->doc = json_doc_new();
        if (json_reparse(f->doc, f->raw, f->raw_len, &e) < 0) BUG("field %s set to what is not JSON: %s", f->key, e.msg);
        struct json *v = json_root(f->doc);
        v->key = f->key;
        v->key_len = f->key_len;
    }
    return json_root(f->doc);
}

struct json *record_get(const struct record *r, const char *key) {
    struct field *f = find(r, key);
    if (!f || f->deleted) return NULL;
    return f->raw ? parse_field(f) : (struct json *)f->source;
}

const char *record_str(const struct record *r, const char *key, size_t *n) {
    const struct json *v = record_get(r, key);
    if (!v || v->type != JSON_STRING) return NULL;
    if (n) *n = v->len;
    return v->str;
}

/* ---- setting ---- */
/* Takes raw. */
static void set(struct record *r, const char *key, char *raw, size_t n) {
    struct field *f = find(r, key);
    if (!f) {
        GROW(r->fields, r->n_fields, r->cap);
        f = &r->fields[r->n_fields++];
        *f = (struct field){0};
    }
    clear_field(f);
    f->key = xstrdup(key);
    f->key_len = strlen(key);
    f->raw = raw;
    f->raw_len = n;
    f->deleted = false;
    r->changed = true;
}

/* Line breaks may stand between tokens of JSON but not inside a record. */
static char *compact(const char *raw, size_t n, size_t *len) {
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT;
    struct json_doc *d = json_doc_new();
    if (json_reparse(d, raw, n, &e) < 0) BUG("field set to what is not JSON: %s", e.msg);
    json_put_value(&b, json_root(d));
    json_doc_free(d);
    *len = b.n;
    return buf_detach(&b);
}

void record_set_raw(struct record *r, const char *key, const char *raw, size_t n) {
    bool breaks = memchr(raw, '\n', n) || memchr(raw, '\r', n);
    char *copy = breaks ? compact(raw, n, &n) : xmemdup0(raw, n);
    set(r, key, copy, n);
}

void record_set_str(struct record *r, const char *key, const char *s, size_t n) {
    struct buf b = BUF_INIT, clean = BUF_INIT;
    size_t good = utf8_valid(s, n);
    if (good < n) {
        utf8_repair(&clean, s, n);
        s = clean.p;
        n = clean.n;
    }
    json_put_string(&b, s, n);
    buf_release(&clean);
    n = b.n;
    set(r, key, buf_detach(&b), n);
}

void record_set_number(struct record *r, const char *key, double x) {
    struct buf b = BUF_INIT;
    json_put_number(&b, x);
    size_t n = b.n;
    set(r, key, buf_detach(&b), n);
}

void record_set_null(struct record *r, const char *key) { record_set_raw(r, key, "null", 4); }

void record_del(struct record *r, const char *key) {
    struct field *f = find(r, key);
    if (!f || f->deleted) return;
    f->deleted = true;
    r->changed = true;
}

void record_fail(struct record *r, const char *null_field, const char *fmt, ...) {
    struct err e = ERR_INIT;
    va_list ap;
    va_start(ap, fmt);
    err_vset(&e, RC_INPUT, fmt, ap);
    va_end(ap);
    if (null_field) record_set_null(r, null_field);
    record_set_str(r, "error", e.msg, strlen(e.msg));
}

/* ---- writing ---- */
static void put_new(struct buf *b, const struct field *f) {
    json_put_string(b, f->key, f->key_len);
    buf_addc(b, ':');
    buf_add(b, f->raw, f->raw_len);
}

/* The line again with its changed fields spliced in: a member goes with the comma and white space before it. */
static void put_changed(const struct record *r, struct buf *b) {
    const char *end = r->line + r->n;
    const char *at = json_skip_space(r->line, end) + 1; /* behind the brace, later behind the member before */
    bool any = false;
    buf_add(b, r->line, (size_t)(at - r->line));
    for (size_t i = 0; i < r->n_fields; i++) {
        const struct field *f = &r->fields[i];
        const struct json *m = f->source;
        const char *key = at;
        if (m) {
            key = json_skip_space(at, end);
            if (*key == ',') key = json_skip_space(key + 1, end);
        }
        if (!f->deleted) {
            if (any && (!m || i == 0)) buf_addc(b, ',');
            if (m && (any || i == 0)) buf_add(b, at, (size_t)(key - at));
            any = true;
            if (!m)
                put_new(b, f);
            else
                buf_add(b, key, (size_t)(m->raw - key)), buf_add(b, f->raw ? f->raw : m->raw, f->raw ? f->raw_len : m->raw_len);
        }
        if (m) at = m->raw + m->raw_len;
    }
    buf_add(b, at, (size_t)(end - at));
}

void record_put(const struct record *r, struct buf *b) {
    if (r->changed)
        put_changed(r, b);
    else
        buf_add(b, r->line, r->n);
    buf_addc(b, '\n');
}

void record_write(const struct record *r, FILE *f) {
    struct buf b = BUF_INIT;
    record_put(r, &b);
    fwrite(b.p, 1, b.n, f);
    buf_release(&b);
}

/* ---- the reader ---- */
struct jsonl *jsonl_open(const char *path, struct err *e) {
    struct jsonl *r = xcalloc(1, sizeof *r);
    if (in_open(&r->in, path, e) < 0) {
        free(r);
        return NULL;
    }
    r->name = xstrdup(r->in.name);
    r->in.name = r->name;
    return r;
}

void jsonl_close(struct jsonl *r) {
    if (!r) return;
    in_close(&r->in);
    free(r->name);
    free(r);
}

const char *jsonl_name(const struct jsonl *r) { return r->name; }

/* "line 1 column 5: what" is about the record's own text: its line in the file is ours to say. */
static int place_error(const struct jsonl *r, struct err *e) {
    static const char own[] = "line 1 ";
    if (e && !strncmp(e->msg, own, sizeof own - 1)) {
        size_t n = sizeof own - 1;
        memmove(e->msg, e->msg + n, strlen(e->msg + n) + 1);
    }
    return err_prefix(e, "%s:%lld: ", r->name, (long long)r->in.line);
}

int jsonl_next(struct jsonl *r, struct record **rec, struct err *e) {
    *rec = NULL;
    int64_t n = in_line(&r->in, e);
    if (n == -1) return 0;
    if (n < 0) return -1;
    const char *text = r->in.text, *end = text + n;
    if (json_skip_space(text, end) == end) {
        err_set(e, RC_INPUT, "empty line, expected a record");
        return place_error(r, e);
    }
    *rec = record_parse(text, (size_t)n, e);
    if (!*rec) return place_error(r, e);
    (*rec)->number = r->in.line;
    return 1;
}

/* The JSON scanner: see json.h. One pass over the text after one over its UTF-8. Nodes come from chunks; decoded
   strings from one block as long as the text, which always suffices: a string's two quotes pay for its NUL. */
#include "common/io/json.h"
#include "common/io/io.h"
#include "common/io/json_number.h"
#include "common/io/json_scan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUOTE(x) QUOTE_(x)
#define QUOTE_(x) #x
#define FEW_MEMBERS 8 /* objects up to here are checked for duplicate keys pair by pair, larger ones by a hash table */

struct chunk {
    struct chunk *next;
    size_t used, cap; /* nodes */
    struct json nodes[];
};

struct json_doc {
    struct chunk *chunks; /* newest and largest first */
    char *strings;        /* decoded strings of this text */
    size_t strings_cap;
    char *text; /* json_parse's copy, else NULL */
    struct json *root;
    const struct json **table; /* for duplicate keys; size a power of two */
    size_t table_cap;
    struct buf number; /* a number's text with a NUL, for strtod */
};

struct scan {
    struct json_doc *d;
    const char *begin, *p, *end;
    char *out;        /* next free byte of d->strings */
    const char *what; /* the first error and its place */
    const char *at;
    const struct json *twice; /* member whose key is a duplicate, if that is the error */
};

/* ---- memory ---- */
static struct json *new_node(struct json_doc *d) {
    struct chunk *c = d->chunks;
    if (!c || c->used == c->cap) {
        size_t cap = c ? c->cap * 2 : 32;
        c = xmalloc(sizeof *c + cap * sizeof *c->nodes);
        *c = (struct chunk){.next = d->chunks, .cap = cap};
        d->chunks = c;
    }
    struct json *v = &c->nodes[c->used++];
    memset(v, 0, sizeof *v);
    return v;
}

static void reset(struct json_doc *d, size_t n) {
    struct chunk *c = d->chunks;
    d->root = NULL;
    if (c) {
        for (struct chunk *old = c->next, *next; old; old = next) next = old->next, free(old);
        c->next = NULL;
        c->used = 0;
    }
    if (n + 1 > d->strings_cap) {
        free(d->strings);
        d->strings = xmalloc(n + 1);
        d->strings_cap = n + 1;
    }
}

struct json_doc *json_doc_new(void) { return xcalloc(1, sizeof(struct json_doc)); }

void json_doc_free(struct json_doc *d) {
    if (!d) return;
    for (struct chunk *c = d->chunks, *next; c; c = next) next = c->next, free(c);
    buf_release(&d->number);
    free(d->strings);
    free(d->text);
    free(d->table);
    free(d);
}

struct json *json_root(struct json_doc *d) { return d->root; }

/* ---- scanning ---- */
static int fail(struct scan *s, const char *at, const char *what) {
    s->at = at;
    s->what = what;
    return -1;
}

/* \uXXXX, s->p at its first digit; a high surrogate must be followed by the escape of a low one. */
static int scan_unicode(struct scan *s) {
    int32_t c = json_unicode(&s->p, s->end);
    if (c == JSON_BAD_HEX) return fail(s, s->p, "bad \\u escape, expected four hexadecimal digits");
    if (c == JSON_LONE_SURROGATE) return fail(s, s->p, "lone surrogate in a \\u escape");
    s->out += json_utf8(s->out, (uint32_t)c);
    return 0;
}

static int scan_escape(struct scan *s) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (++s->p == s->end) return fail(s, s->p, "text ends inside a string");
    char c = *s->p++;
    if (c == 'u') return scan_unicode(s);
    const char *hit = c ? strchr(from, c) : NULL;
    if (!hit) return fail(s, s->p - 2, "unknown escape in a string");
    *s->out++ = to[hit - from];
    return 0;
}

/* A string, s->p at its opening quote. */
static int scan_string(struct scan *s, const char **str, size_t *len) {
    const char *open = s->p++;
    *str = s->out;
    for (;;) {
        size_t run = json_copy_run(s->out, s->p, s->end); /* the strings' block is as long as the text: it has the room */
        s->p += run;
        s->out += run;
        if (s->p == s->end) return fail(s, open, "string without its closing quote");
        if (*s->p == '"') break;
        if (*s->p != '\\') return fail(s, s->p, "control character in a string, expected an escape");
        if (scan_escape(s) < 0) return -1;
    }
    s->p++;
    *len = (size_t)(s->out - *str);
    *s->out++ = 0;
    return 0;
}

static int scan_number(struct scan *s, struct json *v) {
    const char *what = NULL, *end = json_number_end(s->p, s->end, &what);
    if (what) return fail(s, end, what);
    if (json_number_read(s->p, (size_t)(end - s->p), &s->d->number, &v->number) < 0)
        return fail(s, s->p, "number too large for a double");
    v->type = JSON_NUMBER;
    s->p = end;
    return 0;
}

static int scan_word(struct scan *s, struct json *v, const char *word, enum json_type type, bool truth) {
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n)) return fail(s, s->p, "unknown word, expected a value");
    v->type = type;
    v->truth = truth;
    s->p += n;
    return 0;
}

static size_t key_hash(const struct json *m) {
    uint64_t h = m->key_len * 0x9E3779B97F4A7C15u, x;
    const char *p = m->key;
    size_t n = m->key_len;
    for (; n >= 8; p += 8, n -= 8) h = (h ^ json_load8(p)) * 0x9E3779B97F4A7C15u, h ^= h >> 29;
    x = 0;
    memcpy(&x, p, n);
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    return (size_t)(h ^ h >> 32);
}

static bool same_key(const struct json *a, const struct json *b) {
    return a->key_len == b->key_len && !memcmp(a->key, b->key, a->key_len);
}

static int fail_twice(struct scan *s, const char *at, const struct json *m) {
    s->twice = m;
    return fail(s, at, "duplicate key");
}

/* Whether every key of a large object, read in full, stands once. */
static int check_keys(struct scan *s, const struct json *object) {
    struct json_doc *d = s->d;
    const char *end = object->first->raw; /* of the member before */
    size_t size = 32;
    while (size < object->count * 2) size *= 2;
    if (size > d->table_cap) {
        free(d->table);
        d->table = xmalloc(size * sizeof *d->table);
        d->table_cap = size;
    }
    memset(d->table, 0, size * sizeof *d->table);
    for (const struct json *m = object->first; m; m = m->next) {
        size_t i = key_hash(m) & (size - 1);
        for (; d->table[i]; i = (i + 1) & (size - 1))
            if (same_key(d->table[i], m)) return fail_twice(s, json_skip_space(json_skip_space(end, s->end) + 1, s->end), m);
        d->table[i] = m;
        end = m->raw + m->raw_len;
    }
    return 0;
}

static int scan_value(struct scan *s, struct json *v, int depth);

static int scan_array(struct scan *s, struct json *v, int depth) {
    struct json **tail = &v->first;
    v->type = JSON_ARRAY;
    s->p = json_skip_space(s->p + 1, s->end);
    if (s->p < s->end && *s->p == ']') return s->p++, 0;
    for (;;) {
        struct json *x = new_node(s->d);
        if (scan_value(s, x, depth + 1) < 0) return -1;
        *tail = x;
        tail = &x->next;
        v->count++;
        s->p = json_skip_space(s->p, s->end);
        if (s->p == s->end) return fail(s, s->p, "text ends inside an array");
        if (*s->p == ']') return s->p++, 0;
        if (*s->p++ != ',') return fail(s, s->p - 1, "expected , or ] in an array");
    }
}

/* A member's key and colon; small objects find their duplicates here, the error standing at the key. */
static int scan_key(struct scan *s, const struct json *object, struct json *m) {
    const char *at = s->p = json_skip_space(s->p, s->end);
    if (at == s->end) return fail(s, at, "text ends inside an object");
    if (*at != '"') return fail(s, at, "expected a string as the key of a member");
    if (scan_string(s, &m->key, &m->key_len) < 0) return -1;
    if (object->count < FEW_MEMBERS)
        for (const struct json *x = object->first; x; x = x->next)
            if (same_key(x, m)) return fail_twice(s, at, m);
    s->p = json_skip_space(s->p, s->end);
    if (s->p == s->end || *s->p != ':') return fail(s, s->p, "expected : after a key");
    s->p++;
    return 0;
}

static int scan_object(struct scan *s, struct json *v, int depth) {
    struct json **tail = &v->first;
    v->type = JSON_OBJECT;
    s->p = json_skip_space(s->p + 1, s->end);
    if (s->p < s->end && *s->p == '}') return s->p++, 0;
    for (;;) {
        struct json *m = new_node(s->d);
        if (scan_key(s, v, m) < 0 || scan_value(s, m, depth + 1) < 0) return -1;
        *tail = m;
        tail = &m->next;
        v->count++;
        s->p = json_skip_space(s->p, s->end);
        if (s->p == s->end) return fail(s, s->p, "text ends inside an object");
        if (*s->p == '}') break;
        if (*s->p++ != ',') return fail(s, s->p - 1, "expected , or } in an object");
    }
    s->p++;
    return v->count > FEW_MEMBERS ? check_keys(s, v) : 0;
}

static int scan_value(struct scan *s, struct json *v, int depth) {
    const char *start = s->p = json_skip_space(s->p, s->end);
    int rc;
    if (start == s->end) return fail(s, start, "text ends, expected a value");
    switch (*start) {
    case '"':
        v->type = JSON_STRING;
        rc = scan_string(s, &v->str, &v->len);
        break;
    case '{':
    case '[':
        if (depth > JSON_MAX_DEPTH) return fail(s, start, "nested too deeply, at most " QUOTE(JSON_MAX_DEPTH) " levels");
        rc = *start == '{' ? scan_object(s, v, depth) : scan_array(s, v, depth);
        break;
    case 't': rc = scan_word(s, v, "true", JSON_BOOL, true); break;
    case 'f': rc = scan_word(s, v, "false", JSON_BOOL, false); break;
    case 'n': rc = scan_word(s, v, "null", JSON_NULL, false); break;
    case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
        rc = scan_number(s, v);
        break;
    default: return fail(s, start, "unexpected character, expected a value");
    }
    v->raw = start;
    v->raw_len = (size_t)(s->p - start);
    return rc;
}

static int scan_text(struct scan *s) {
    size_t n = (size_t)(s->end - s->begin), good = utf8_valid(s->begin, n);
    if (good < n) return fail(s, s->begin + good, "invalid UTF-8");
    if (n >= 3 && !memcmp(s->begin, "\xEF\xBB\xBF", 3)) return fail(s, s->begin, "byte order mark, expected a value");
    s->d->root = new_node(s->d);
    if (scan_value(s, s->d->root, 1) < 0) return -1;
    s->p = json_skip_space(s->p, s->end);
    return s->p < s->end ? fail(s, s->p, "unexpected text after the value") : 0;
}

/* Line and column (characters, both from 1) of the error, in text[0..n) from `begin`. */
static void locate(const struct scan *s, size_t *line, size_t *column) {
    *line = *column = 1;
    for (const char *p = s->begin; p < s->at; p++) {
        if (*p == '\n')
            ++*line, *column = 1;
        else if (((unsigned char)*p & 0xC0) != 0x80)
            ++*column;
    }
}

/* name: NULL, or the file that the message begins with. */
static int parse_into(struct json_doc *d, const char *text, size_t n, const char *name, struct err *e) {
    struct scan s = {.d = d, .begin = text, .p = text, .end = text + n};
    size_t line, column;
    reset(d, n);
    s.out = d->strings;
    if (!scan_text(&s)) return 0;
    d->root = NULL;
    locate(&s, &line, &column);
    if (name)
        err_set(e, RC_INPUT, "%s:%zu: column %zu: %s", name, line, column, s.what);
    else
        err_set(e, RC_INPUT, "line %zu column %zu: %s", line, column, s.what);
    if (e && s.twice) {
        size_t used = strlen(e->msg);
        snprintf(e->msg + used, sizeof e->msg - used, " \"%.*s\"", (int)(s.twice->key_len < 60 ? s.twice->key_len : 60), s.twice->key);
    }
    return -1;
}

int json_reparse(struct json_doc *d, const char *text, size_t n, struct err *e) {
    return parse_into(d, n ? text : "", n, NULL, e);
}

/* Takes text. */
static struct json_doc *parse_own(char *text, size_t n, const char *name, struct err *e) {
    struct json_doc *d = json_doc_new();
    d->text = text;
    if (parse_into(d, text, n, name, e) == 0) return d;
    json_doc_free(d);
    return NULL;
}

struct json_doc *json_parse(const char *text, size_t n, struct err *e) { return parse_own(xmemdup0(text, n), n, NULL, e); }

struct json_doc *json_parse_named(const char *text, size_t n, const char *name, struct err *e) {
    return parse_own(xmemdup0(text, n), n, name, e);
}

struct json_doc *json_read_file(const char *path, struct err *e) {
    struct buf b = BUF_INIT;
    const char *name = !path || !strcmp(path, "-") ? "stdin" : path;
    if (io_read_all(path, 0, &b, e) < 0) {
        buf_release(&b);
        return NULL;
    }
    size_t n = b.n;
    return parse_own(buf_detach(&b), n, name, e);
}

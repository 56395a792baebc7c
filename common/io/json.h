/* Strict JSON (RFC 8259): a small scanner into a tree of nodes that keep their place in the source text.
   Refuses: invalid UTF-8, lone surrogates in \u escapes, duplicate keys, control characters in strings,
   nesting deeper than JSON_MAX_DEPTH, numbers that overflow a double, bytes after the value. Keeps: NUL
   in strings (lengths everywhere), exact integers (raw span), member order.
   Reads everything that is JSON: records, schemas, instances, configs, headers. */
#ifndef COADOR_JSON_H
#define COADOR_JSON_H
#include "common/io/buf.h"
#include "common/io/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_MAX_DEPTH 512

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json { /* one value; lives as long as its document */
    enum json_type type;
    bool truth;              /* JSON_BOOL */
    double number;           /* JSON_NUMBER, nearest double */
    const char *str;         /* JSON_STRING: decoded UTF-8 and a NUL behind it; may contain NULs */
    size_t len;              /* bytes in str */
    const char *key;         /* member of an object: its decoded name, else NULL */
    size_t key_len;
    const char *raw;         /* the value's own bytes in the source text */
    size_t raw_len;
    size_t count;            /* elements or members */
    struct json *first;      /* first element or member */
    struct json *next;       /* next sibling */
};

struct json_doc; /* arena of nodes and strings, and (for json_parse) a copy of the text */

/* Parses text[0..n). On failure NULL and e: "line L column C: what" (code RC_INPUT). give: json_doc_free. */
struct json_doc *json_parse(const char *text, size_t n, struct err *e);
/* The same; messages begin with "name:line: ". */
struct json_doc *json_parse_named(const char *text, size_t n, const char *name, struct err *e);
/* The same into a document used before (its memory is kept, its old nodes are gone): 0 or -1. Borrows text: it must
   stay as long as the nodes are used. */
struct json_doc *json_doc_new(void);
int json_reparse(struct json_doc *d, const char *text, size_t n, struct err *e);
void json_doc_free(struct json_doc *d);
struct json *json_root(struct json_doc *d);
/* A whole file ("-": stdin); messages carry "path:line:". */
struct json_doc *json_read_file(const char *path, struct err *e);

/* Member by name, NULL if absent or v is not an object (case-sensitive). */
struct json *json_get(const struct json *v, const char *key);
struct json *json_getn(const struct json *v, const char *key, size_t n);
bool json_is_str(const struct json *v, const char *s); /* v is a string equal to s */
/* Exact integer: the number has no fraction (1.0 and 1e2 count) and fits int64. */
bool json_int(const struct json *v, int64_t *out);
/* Deep equality as JSON Schema's: objects unordered, numbers by exact value (1 = 1.0; big integers exact). */
bool json_equal(const struct json *a, const struct json *b);
/* Exact comparison of two numbers by their raw text: <0, 0, >0. */
int json_number_cmp(const struct json *a, const struct json *b);

/* ---- writing ---- */
/* Appends a quoted string: escapes ", \ and control characters (\n \t \r \b \f, else \u00XX), all else as is. */
void json_put_string(struct buf *b, const char *s, size_t n);
/* Its content: the same without the quotes. */
void json_put_chars(struct buf *b, const char *s, size_t n);
/* The quoted string as the content of another: json_put_chars of what json_put_string writes. */
void json_put_string_chars(struct buf *b, const char *s, size_t n);
/* Shortest decimal that reads back as x; integers without a fraction; non-finite as null. */
void json_put_number(struct buf *b, double x);
/* v again, compact (no white space), numbers as they stood. */
void json_put_value(struct buf *b, const struct json *v);
/* Index of the first byte of s[0..n) that is not valid UTF-8 (RFC 3629), or n. */
size_t utf8_valid(const char *s, size_t n);
/* Appends s[0..n) with each ill-formed part replaced by U+FFFD (one per maximal subpart, Unicode 3.9). */
void utf8_repair(struct buf *b, const char *s, size_t n);
#endif

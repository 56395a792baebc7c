/* Records: JSONL in and out (coador-records.5). One JSON object a line, UTF-8; empty lines are errors.
   Fields that a tool does not set are copied byte for byte, in their order. */
#ifndef COADOR_JSONL_H
#define COADOR_JSONL_H
#include "common/io/io.h"
#include "common/io/json.h"

struct record; /* one record: its source line, parsed, and the fields set since */

struct jsonl; /* a reader */
struct jsonl *jsonl_open(const char *path, struct err *e); /* "-": stdin; give: jsonl_close */
void jsonl_close(struct jsonl *r);
/* 1 and a new record (give: record_free), 0 at the end, -1 on an error ("name:line: what", RC_INPUT/RC_IO). */
int jsonl_next(struct jsonl *r, struct record **rec, struct err *e);
const char *jsonl_name(const struct jsonl *r); /* for messages */

struct record *record_new(void);                                        /* {} */
struct record *record_parse(const char *line, size_t n, struct err *e); /* an object, else RC_INPUT */
void record_free(struct record *r);
int64_t record_line(const struct record *r); /* line number in its input, 0 if made here */
/* The field as it stands now (set or from the source), NULL if absent; borrowed until the next set. */
struct json *record_get(const struct record *r, const char *key);
/* A string field: its bytes and *n, or NULL if absent or not a string. */
const char *record_str(const struct record *r, const char *key, size_t *n);
/* Sets or replaces a field: `raw` is n bytes of valid JSON (copied; line breaks between its tokens go). New fields go to
   the end. Ill-formed UTF-8 in a string becomes U+FFFD. */
void record_set_raw(struct record *r, const char *key, const char *raw, size_t n);
void record_set_str(struct record *r, const char *key, const char *s, size_t n);
void record_set_number(struct record *r, const char *key, double x);
void record_set_null(struct record *r, const char *key);
void record_del(struct record *r, const char *key);
/* Marks a failed record: error = text, and the field `null_field` (may be NULL) = null. */
void record_fail(struct record *r, const char *null_field, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* One line with its \n appended to b; and straight to a file (errors show at close or out_commit). */
void record_put(const struct record *r, struct buf *b);
void record_write(const struct record *r, FILE *f);
#endif

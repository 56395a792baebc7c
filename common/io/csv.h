/* CSV as RFC 4180 has it, read strictly and one record at a time: a BOM, CRLF or LF, quoted cells with
   delimiters, line breaks and doubled quotes. The first record names the columns.
   Errors are "file:line: what, what was expected", the line being the physical one where the record begins
   (for an unclosed quote: where the quote stands): ragged rows, empty lines, unclosed or stray quotes, bytes
   after a closing quote, a CR without LF, invalid UTF-8, NUL, an empty file, duplicate or empty column names. */
#ifndef COADOR_CSV_H
#define COADOR_CSV_H
#include "common/io/err.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CSV_MAX_RECORD ((size_t)64 << 20) /* bytes; one unclosed quote must not swallow the memory */

struct cell {
    const char *p; /* UTF-8, without NULs inside, and a NUL behind it */
    size_t n;      /* bytes */
};

struct csv;
/* Opens path ("-": stdin) and reads the header. `delimiter` is an ASCII byte other than ", CR, LF, NUL. give: csv_close. */
struct csv *csv_open(const char *path, char delimiter, struct err *e);
/* The same from an open stream (borrowed), called `name` in messages. */
struct csv *csv_from(FILE *f, const char *name, char delimiter, struct err *e);
void csv_close(struct csv *c);

size_t csv_columns(const struct csv *c);
const struct cell *csv_names(const struct csv *c); /* csv_columns of them; live as long as c */
const char *csv_name(const struct csv *c);         /* the file's, for messages */
/* 1: csv_cells are the next record's, 0: the end, -1: error. */
int csv_next(struct csv *c, struct err *e);
const struct cell *csv_cells(const struct csv *c); /* csv_columns of them, one behind the other's NUL; valid until the next csv_next */
int64_t csv_line(const struct csv *c);             /* physical line where that record begins, from 1 */
#endif

/* Ids of rows: seen before or not, and how often. Ids that are given are all kept; content ids take memory up to a bound,
   then temporary files (rowcount.h). */
#ifndef COADOR_ROWIDS_H
#define COADOR_ROWIDS_H
#include "common/io/buf.h"
#include "common/io/csv.h"
#include <stdbool.h>
#include <stdint.h>

struct rowids;
struct rowids *rowids_new(void); /* give: rowids_free */
void rowids_free(struct rowids *r);
/* Notes the id of the row on `line`. Returns the line where it first stood, 0 if it is new. */
int64_t rowids_first(struct rowids *r, const char *id, size_t n, int64_t line);
/* Content ids: 16 hex digits of SHA-256 over the cells, then "-2", "-3", … for repeats. In two steps, so that a batch of
   hashes is on its way from memory before the first is counted: */
#define ROWID_SIZE 32
uint64_t rowids_hash(struct rowids *r, const struct cell *cells, size_t n);
int rowids_put(struct rowids *r, uint64_t hash, char id[ROWID_SIZE], struct err *e); /* counts a row of that hash */
/* First 8 bytes of SHA-256 over the chosen cells (chosen NULL: all), each behind its length. */
uint64_t cells_hash(const struct cell *cells, size_t n, const bool *chosen, struct buf *scratch);
#endif

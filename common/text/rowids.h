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
/* Content ids: the 16 hex digits of cells_hash over all cells, then "-2", "-3", … for repeats. Counts a row of that hash: 0, or -1
   when a temporary file fails. rowids_ahead fetches what it will look at. */
#define ROWID_SIZE 32
int rowids_put(struct rowids *r, uint64_t hash, char id[ROWID_SIZE], struct err *e);
void rowids_ahead(const struct rowids *r, uint64_t hash);
/* First 8 bytes of SHA-256 over the chosen cells (chosen NULL: all), each behind its length. */
uint64_t cells_hash(const struct cell *cells, size_t n, const bool *chosen, struct buf *scratch);
#endif

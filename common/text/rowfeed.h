/* The rows of a CSV, read ahead in batches by a thread of their own where there are two, each with its content id. Rows and
   errors come in the file's order: what is made of them does not depend on the threads. */
#ifndef COADOR_ROWFEED_H
#define COADOR_ROWFEED_H
#include "common/io/csv.h"
#include <stdbool.h>

struct row {
    const struct cell *cells; /* csv_columns of them */
    const char *id;           /* rowids.h's, NULL if none is wanted */
    int64_t line;             /* where it begins */
};

struct rowfeed;
/* Borrows csv, which only the feed reads from now on; its name, columns and their names stay free to ask for.
   give: rowfeed_close. */
struct rowfeed *rowfeed_open(struct csv *csv, bool want_ids, int threads, struct err *e);
/* 1: *row is the next, valid until the next call; 0: the end; -1: csv_next's error. */
int rowfeed_next(struct rowfeed *f, struct row *row, struct err *e);
/* Also before the end, and before a program that ends early: a thread that then waits for input is left where it is after
   a second, with the memory it uses, csv's among it. */
void rowfeed_close(struct rowfeed *f);
#endif

/* Sorted runs of counted hashes, each in a nameless file: what rowcount.c keeps of old hashes. */
#ifndef COADOR_ROWRUN_H
#define COADOR_ROWRUN_H
#include "common/io/err.h"
#include <stddef.h>
#include <stdint.h>

struct rowrun_entry {
    uint64_t hash, times;
};

struct rowrun;
/* The n entries, sorted by hash, each hash once. NULL when the file cannot be made or written (RC_IO). give: rowrun_free. */
struct rowrun *rowrun_write(const struct rowrun_entry *x, size_t n, struct err *e);
/* One run of all the n (at most 8), the largest count of each hash. */
struct rowrun *rowrun_merge(struct rowrun *const *runs, int n, struct err *e);
void rowrun_free(struct rowrun *r);
/* *times: that of hash, 0 if it is not there; -1 when the file cannot be read. */
int rowrun_find(const struct rowrun *r, uint64_t hash, uint64_t *times, struct err *e);
#endif

/* Few-shot examples: k rows of the training part before each prompt, chosen by seed and row id alone among those
   that share neither text nor group with the row. */
#ifndef COADOR_SHOTS_H
#define COADOR_SHOTS_H
#include "common/io/buf.h"
#include "common/io/err.h"
#include <stdint.h>

struct row_key {
    uint64_t text, group; /* hashes; rows of equal text or equal group never teach each other */
};

struct shots;
/* Borrows separator, which follows every example. give: shots_free. */
struct shots *shots_new(int64_t k, uint64_t seed, const char *separator);
void shots_free(struct shots *s);
/* Adds an example (copied), n bytes. */
void shots_add(struct shots *s, struct row_key key, const char *text, size_t n);
/* Appends the k examples for the row `id`, each with its separator; fewer than k to choose from is an error. */
int shots_put(struct shots *s, const char *id, struct row_key key, struct buf *out, struct err *e);
#endif

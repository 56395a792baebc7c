/* Splits by content: which part a row falls into depends on its key and the seed alone, so that adding,
   removing or reordering rows moves no other row. */
#ifndef COADOR_SPLIT_H
#define COADOR_SPLIT_H
#include "common/io/err.h"
#include <stddef.h>
#include <stdint.h>

#define SPLIT_MAX 16
struct split {
    int n;                    /* parts */
    char name[SPLIT_MAX][32]; /* letters, digits, _ and -; unique */
    double upto[SPLIT_MAX];   /* running sums of the fractions; the last is 1 */
    uint64_t seed;
};
/* "train=0.7,test=0.3": fractions above 0 that sum to 1 (within 1e-9). Errors have code RC_USAGE. */
int split_parse(struct split *s, const char *spec, uint64_t seed, struct err *e);
int split_find(const struct split *s, const char *name); /* index of a part, or -1 */
/* Part of the row with this key: the fraction of 2^64 that SHA-256(seed, key) is. */
int split_part(const struct split *s, uint64_t key);
/* SHA-256 of two integers as 16 little-endian bytes: its first 8 bytes. Base of all content-keyed choices. */
uint64_t split_hash(uint64_t a, uint64_t b);
#endif

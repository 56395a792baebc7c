/* Intervals and tests by resampling whole units (rows, or clusters of rows: an article's sentences are not independent).
   Everything is a function of the seed. */
#ifndef COADOR_RESAMPLE_H
#define COADOR_RESAMPLE_H
#include "common/stats/units.h"

/* Statistics of summed counts: sets out[0..n). The cells of several tables stand one behind another. */
typedef void statistics_fn(const int64_t *cells, const void *arg, double *out);

struct interval {
    double low, high; /* percentile bootstrap (Efron and Tibshirani 1993, ch. 13) */
};
/* Draws U units, the same of all the tables, with replacement `times` times: 95 % intervals ci[n] of the n statistics of the
   summed cells. The same seed and U draw the same units, whatever the tables. */
void bootstrap(const struct units *const *x, int tables, statistics_fn *f, const void *arg, int n, int times, uint64_t seed, struct interval *ci);

/* Paired permutation tests of f(a) - f(b): within each unit the cells of a's and b's tables are swapped or not.
   Two-sided p[n] = (1 + #{|d*| >= |d|}) / (1 + times), for the observed d in difference[n]. */
struct swaps {
    int tables;                     /* of a, and of b */
    const int64_t *a, *b;           /* sums over units, one table behind another */
    const struct units *const *gap; /* of each table: b's counts less a's */
};
void permutation_tests(const struct swaps *s, statistics_fn *f, const void *arg, int n, int times, uint64_t seed, double *difference, double *p);

/* Holm's step-down correction of n p-values (Scand. J. Statist. 6, 1979): adjusted[i] belongs to p[i]. */
void holm(const double *p, int n, double *adjusted);

/* Exact McNemar test: only_a items right in the first system alone, only_b in the second alone; two-sided binomial p. */
double mcnemar(int64_t only_a, int64_t only_b);

/* A stream of numbers from a seed (splitmix64). */
uint64_t random_next(uint64_t *state);
/* Uniform over 0..n-1 without bias. */
uint64_t random_below(uint64_t *state, uint64_t n);
#endif

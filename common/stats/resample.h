/* Intervals and tests by resampling whole units (rows, or clusters of rows: an article's sentences are not independent).
   Everything is a function of the seed. */
#ifndef COADOR_RESAMPLE_H
#define COADOR_RESAMPLE_H
#include <stdint.h>

/* Statistics of summed counts: sets out[0..n). Counts of one table by unit: U × cells int64, summed over the unit's items. */
typedef void statistics_fn(const int64_t *cells, const void *arg, double *out);

struct interval {
    double low, high; /* percentile bootstrap (Efron and Tibshirani 1993, ch. 13) */
};
/* Draws U units with replacement `times` times: 95 % intervals ci[n] of the n statistics of the summed cells. The same seed
   and U draw the same units, whatever the table. */
void bootstrap(const int64_t *by_unit, int U, int cells, statistics_fn *f, const void *arg, int n, int times, uint64_t seed, struct interval *ci);

/* Paired permutation tests of f(a) - f(b): within each unit the two tables' cells are swapped or not.
   Two-sided p[n] = (1 + #{|d*| >= |d|}) / (1 + times), for the observed d in difference[n]. */
void permutation_tests(const int64_t *a, const int64_t *b, int U, int cells, statistics_fn *f, const void *arg, int n, int times, uint64_t seed, double *difference, double *p);

/* Holm's step-down correction of n p-values (Scand. J. Statist. 6, 1979): adjusted[i] belongs to p[i]. */
void holm(const double *p, int n, double *adjusted);

/* Exact McNemar test: only_a items right in the first system alone, only_b in the second alone; two-sided binomial p. */
double mcnemar(int64_t only_a, int64_t only_b);

/* A stream of numbers from a seed (splitmix64). */
uint64_t random_next(uint64_t *state);
/* Uniform over 0..n-1 without bias. */
uint64_t random_below(uint64_t *state, uint64_t n);
#endif

/* Intervals and tests by resampling whole units (rows, or clusters of rows: an article's sentences are not independent).
   Everything is a function of the seed. */
#ifndef COADOR_RESAMPLE_H
#define COADOR_RESAMPLE_H
#include <stdint.h>

/* Counts of one system by unit: U × cells int64, summed over the unit's items. */
typedef double statistic_fn(const int64_t *cells, const void *arg);

struct interval {
    double low, high; /* percentile bootstrap (Efron and Tibshirani 1993, ch. 13) */
};
/* Draws U units with replacement `times` times; 95 % interval of the statistic of the summed cells. */
struct interval bootstrap(const int64_t *by_unit, int U, int cells, statistic_fn *f, const void *arg, int times, uint64_t seed);

/* Paired permutation test of f(a) - f(b): within each unit the two systems' cells are swapped or not.
   Two-sided p = (1 + #{|d*| >= |d|}) / (1 + times); *difference is the observed d. */
double permutation_test(const int64_t *a, const int64_t *b, int U, int cells, statistic_fn *f, const void *arg, int times, uint64_t seed, double *difference);

/* Exact McNemar test: only_a items right in the first system alone, only_b in the second alone; two-sided binomial p. */
double mcnemar(int64_t only_a, int64_t only_b);

/* A stream of numbers from a seed (splitmix64). */
uint64_t random_next(uint64_t *state);
/* Uniform over 0..n-1 without bias. */
uint64_t random_below(uint64_t *state, uint64_t n);
#endif

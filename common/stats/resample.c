/* Resampling: see resample.h. */
#include "common/stats/resample.h"
#include "common/io/buf.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014) */
uint64_t random_next(uint64_t *state) {
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t random_below(uint64_t *state, uint64_t n) {
    uint64_t limit = UINT64_MAX - UINT64_MAX % n, x;
    do x = random_next(state);
    while (x >= limit);
    return x % n;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Linear interpolation between order statistics, as numpy.percentile's default. */
static double quantile(const double *sorted, int n, double q) {
    double at = q * (n - 1);
    int i = (int)at;
    return i + 1 < n ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

static void add_cells(int64_t *sum, const int64_t *unit, int cells) {
    for (int k = 0; k < cells; k++) sum[k] += unit[k];
}

struct interval bootstrap(const int64_t *by_unit, int U, int cells, statistic_fn *f, const void *arg, int times, uint64_t seed) {
    double *value = xcalloc((size_t)times, sizeof *value);
    int64_t *sum = xcalloc((size_t)cells, sizeof *sum);
    for (int t = 0; t < times; t++) {
        memset(sum, 0, (size_t)cells * sizeof *sum);
        for (int u = 0; u < U; u++) add_cells(sum, by_unit + (int64_t)random_below(&seed, (uint64_t)U) * cells, cells);
        value[t] = f(sum, arg);
    }
    qsort(value, (size_t)times, sizeof *value, by_value);
    struct interval i = {quantile(value, times, 0.025), quantile(value, times, 0.975)};
    free(value);
    free(sum);
    return i;
}

/* The statistic's difference when the units whose bit is set are swapped. */
static double difference(const int64_t *a, const int64_t *b, int U, int cells, statistic_fn *f, const void *arg, uint64_t *seed, int64_t *sums) {
    uint64_t bits = 0;
    memset(sums, 0, 2 * (size_t)cells * sizeof *sums);
    for (int u = 0; u < U; u++) {
        if (seed && u % 64 == 0) bits = random_next(seed);
        int swap = bits >> u % 64 & 1;
        add_cells(sums + (swap ? cells : 0), a + (int64_t)u * cells, cells);
        add_cells(sums + (swap ? 0 : cells), b + (int64_t)u * cells, cells);
    }
    return f(sums, arg) - f(sums + cells, arg);
}

double permutation_test(const int64_t *a, const int64_t *b, int U, int cells, statistic_fn *f, const void *arg, int times, uint64_t seed, double *diff) {
    int64_t *sums = xcalloc(2 * (size_t)cells, sizeof *sums);
    double d = *diff = difference(a, b, U, cells, f, arg, NULL, sums);
    int beyond = 0;
    for (int t = 0; t < times; t++) /* 1e-12: sums of the same counts in another order must tie */
        beyond += fabs(difference(a, b, U, cells, f, arg, &seed, sums)) >= fabs(d) - 1e-12;
    free(sums);
    return (1.0 + beyond) / (1.0 + times);
}

double mcnemar(int64_t only_a, int64_t only_b) {
    int64_t n = only_a + only_b, k = only_a < only_b ? only_a : only_b;
    double p = 0;
    for (int64_t i = 0; i <= k; i++)
        p += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) - (double)n * M_LN2);
    return fmin(1, 2 * p);
}

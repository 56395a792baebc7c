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

/* (cells of all tables) set to their units' counts, each times[unit] times. */
static void sum_tables(const struct units *const *x, int tables, const int32_t *times, int64_t *sum) {
    for (int k = 0; k < tables; sum += x[k++]->cells) {
        memset(sum, 0, (size_t)x[k]->cells * sizeof *sum);
        units_sum(x[k], times, sum);
    }
}

static size_t all_cells(const struct units *const *x, int tables) {
    size_t n = 0;
    for (int k = 0; k < tables; k++) n += (size_t)x[k]->cells;
    return n;
}

/* How often each of U units comes when U are drawn with replacement: units are then gone through in order, not at random. */
static void draw(int32_t *drawn, int U, uint64_t *seed) {
    memset(drawn, 0, (size_t)U * sizeof *drawn);
    for (int u = 0; u < U; u++) drawn[random_below(seed, (uint64_t)U)]++;
}

void bootstrap(const struct units *const *x, int tables, statistics_fn *f, const void *arg, int n, int times, uint64_t seed, struct interval *ci) {
    int U = x[0]->U;
    double *value = xcalloc((size_t)times * (size_t)n, sizeof *value), *now = xcalloc((size_t)n, sizeof *now);
    int64_t *sum = xcalloc(all_cells(x, tables), sizeof *sum);
    int32_t *drawn = xcalloc((size_t)U, sizeof *drawn);
    for (int t = 0; t < times; t++) {
        draw(drawn, U, &seed);
        sum_tables(x, tables, drawn, sum);
        f(sum, arg, now);
        for (int k = 0; k < n; k++) value[(size_t)k * (size_t)times + (size_t)t] = now[k];
    }
    for (int k = 0; k < n; k++) {
        double *v = value + (size_t)k * (size_t)times;
        qsort(v, (size_t)times, sizeof *v, by_value);
        ci[k] = (struct interval){quantile(v, times, 0.025), quantile(v, times, 0.975)};
    }
    free(value);
    free(now);
    free(sum);
    free(drawn);
}

/* Which units are swapped: 1 or 0, as the next bits say. */
static void draw_swaps(int32_t *swapped, int U, uint64_t *seed) {
    uint64_t bits = 0;
    for (int u = 0; u < U; u++) {
        if (u % 64 == 0) bits = random_next(seed);
        swapped[u] = (int32_t)(bits >> u % 64 & 1);
    }
}

/* The statistics' differences when the swapped units' cells change sides (sums: 2 · cells, d: 2 · n, of which the first n are it). */
static void differences(const struct swaps *s, size_t cells, statistics_fn *f, const void *arg, int n, const int32_t *swapped, int64_t *sums, double *d) {
    int64_t *a = sums, *b = sums + cells;
    sum_tables(s->gap, s->tables, swapped, a);
    for (size_t k = 0; k < cells; k++) {
        b[k] = s->b[k] - a[k];
        a[k] += s->a[k];
    }
    f(a, arg, d);
    f(b, arg, d + n);
    for (int k = 0; k < n; k++) d[k] -= d[n + k];
}

void permutation_tests(const struct swaps *s, statistics_fn *f, const void *arg, int n, int times, uint64_t seed, double *difference, double *p) {
    int U = s->gap[0]->U;
    size_t cells = all_cells(s->gap, s->tables);
    int32_t *swapped = xcalloc((size_t)U, sizeof *swapped);
    int64_t *sums = xcalloc(2 * cells, sizeof *sums);
    double *d = xcalloc(2 * (size_t)n, sizeof *d);
    differences(s, cells, f, arg, n, swapped, sums, d);
    for (int k = 0; k < n; k++) difference[k] = d[k], p[k] = 1;
    for (int i = 0; i < times; i++) {
        draw_swaps(swapped, U, &seed);
        differences(s, cells, f, arg, n, swapped, sums, d);
        for (int k = 0; k < n; k++) p[k] += fabs(d[k]) >= fabs(difference[k]) - 1e-12; /* sums of the same counts in another order must tie */
    }
    for (int k = 0; k < n; k++) p[k] /= 1.0 + times;
    free(swapped);
    free(sums);
    free(d);
}

void holm(const double *p, int n, double *adjusted) {
    int *order = xcalloc((size_t)n, sizeof *order);
    double least = 0;
    for (int i = 0; i < n; i++) { /* insertion sort: as many p-values as pairs of systems */
        int k = i;
        for (; k > 0 && p[order[k - 1]] > p[i]; k--) order[k] = order[k - 1];
        order[k] = i;
    }
    for (int i = 0; i < n; i++) {
        least = fmax(least, fmin(1, (n - i) * p[order[i]]));
        adjusted[order[i]] = least;
    }
    free(order);
}

double mcnemar(int64_t only_a, int64_t only_b) {
    int64_t n = only_a + only_b, k = only_a < only_b ? only_a : only_b;
    double p = 0;
    for (int64_t i = 0; i <= k; i++)
        p += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) - (double)n * M_LN2);
    return fmin(1, 2 * p);
}

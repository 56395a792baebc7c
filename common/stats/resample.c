/* Resampling: see resample.h. */
#include "common/stats/resample.h"
#include "common/io/buf.h"
#include "common/io/err.h"
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

/* The cells of units that are not zero: few, where an answer counts in one cell of a field's many. */
struct sparse {
    struct { int32_t cell, count; } *x;
    size_t *from; /* of each unit in x, and the end */
};

static struct sparse sparse(const int64_t *by_unit, int U, int cells) {
    struct sparse s = {.from = xcalloc((size_t)U + 1, sizeof *s.from)};
    size_t n = 0, cap = 0;
    for (int u = 0; u < U; u++) {
        for (int k = 0; k < cells; k++) {
            int64_t count = by_unit[(int64_t)u * cells + k];
            if (!count) continue;
            if (count != (int32_t)count) BUG("a unit counts %lld", (long long)count);
            GROW(s.x, n, cap);
            s.x[n].cell = k;
            s.x[n++].count = (int32_t)count;
        }
        s.from[u + 1] = n;
    }
    return s;
}

/* The sums of U units drawn with replacement. First how often each is drawn: then they are gone through in order, not at random. */
static void resample(const struct sparse *s, int U, uint64_t *seed, int32_t *drawn, int64_t *sum) {
    memset(drawn, 0, (size_t)U * sizeof *drawn);
    for (int u = 0; u < U; u++) drawn[random_below(seed, (uint64_t)U)]++;
    for (int u = 0; u < U; u++)
        for (size_t i = s->from[u]; i < s->from[u + 1]; i++) sum[s->x[i].cell] += (int64_t)drawn[u] * s->x[i].count;
}

void bootstrap(const int64_t *by_unit, int U, int cells, statistics_fn *f, const void *arg, int n, int times, uint64_t seed, struct interval *ci) {
    double *value = xcalloc((size_t)times * (size_t)n, sizeof *value), *now = xcalloc((size_t)n, sizeof *now);
    int64_t *sum = xcalloc((size_t)cells, sizeof *sum);
    int32_t *drawn = xcalloc((size_t)U, sizeof *drawn);
    struct sparse s = sparse(by_unit, U, cells);
    for (int t = 0; t < times; t++) {
        memset(sum, 0, (size_t)cells * sizeof *sum);
        resample(&s, U, &seed, drawn, sum);
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
    free(s.x);
    free(s.from);
}

struct swap_table { /* what the swaps of units change */
    int64_t *sum_a, *total, *gap; /* (cells); a + b, (cells); b - a, (U, cells) */
    int U, cells;
};

static struct swap_table swap_table(const int64_t *a, const int64_t *b, int U, int cells) {
    struct swap_table t = {.U = U, .cells = cells};
    t.sum_a = xcalloc((size_t)cells, sizeof *t.sum_a);
    t.total = xcalloc((size_t)cells, sizeof *t.total);
    t.gap = xcalloc((size_t)U * (size_t)cells, sizeof *t.gap);
    for (int64_t i = 0; i < (int64_t)U * cells; i++) {
        t.sum_a[i % cells] += a[i];
        t.total[i % cells] += a[i] + b[i];
        t.gap[i] = b[i] - a[i];
    }
    return t;
}

/* The statistics' differences when the units whose bit is set are swapped (seed NULL: none). */
static void differences(const struct swap_table *t, statistics_fn *f, const void *arg, int n, uint64_t *seed, int64_t *sums, double *d) {
    int64_t *a = sums, *b = sums + t->cells;
    uint64_t bits = 0;
    memcpy(a, t->sum_a, (size_t)t->cells * sizeof *a);
    for (int u = 0; seed && u < t->U; u++) {
        if (u % 64 == 0) bits = random_next(seed);
        if (bits >> u % 64 & 1) add_cells(a, t->gap + (int64_t)u * t->cells, t->cells);
    }
    for (int k = 0; k < t->cells; k++) b[k] = t->total[k] - a[k];
    f(a, arg, d);
    f(b, arg, d + n);
    for (int k = 0; k < n; k++) d[k] -= d[n + k];
}

void permutation_tests(const int64_t *a, const int64_t *b, int U, int cells, statistics_fn *f, const void *arg, int n, int times, uint64_t seed, double *difference, double *p) {
    struct swap_table t = swap_table(a, b, U, cells);
    int64_t *sums = xcalloc(2 * (size_t)cells, sizeof *sums);
    double *d = xcalloc(2 * (size_t)n, sizeof *d);
    differences(&t, f, arg, n, NULL, sums, d);
    for (int k = 0; k < n; k++) difference[k] = d[k], p[k] = 1;
    for (int i = 0; i < times; i++) {
        differences(&t, f, arg, n, &seed, sums, d);
        for (int k = 0; k < n; k++) p[k] += fabs(d[k]) >= fabs(difference[k]) - 1e-12; /* sums of the same counts in another order must tie */
    }
    for (int k = 0; k < n; k++) p[k] /= 1.0 + times;
    free(t.sum_a);
    free(t.total);
    free(t.gap);
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

/* Scores against scikit-learn on 1,000 random label sets (tests/oracle/scores.py), and the resampling tests. */
#include "common/stats/confusion.h"
#include "common/stats/resample.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static uint64_t lcg(uint64_t *x) { return (*x = *x * 6364136223846793005u + 1442695040888963407u) >> 33; }

/* The oracle's label set number s as counts. */
static int make_counts(uint64_t s, int64_t *c) {
    uint64_t x = s;
    int K = 2 + (int)(lcg(&x) % 7), n = 1 + (int)(lcg(&x) % 120);
    int skill = (int)(lcg(&x) % 100), unparsed = (int)(lcg(&x) % 3);
    memset(c, 0, sizeof *c * (size_t)(K * (K + 1)));
    for (int i = 0; i < n; i++) {
        int t = (int)(lcg(&x) % (uint64_t)K);
        t = lcg(&x) % 2 ? t : 0;
        int p = (int)(lcg(&x) % 100) < skill ? t : (int)(lcg(&x) % (uint64_t)(K + (unparsed == 0)));
        c[t * (K + 1) + p]++;
    }
    return K;
}

/* Both sides add doubles of at most 8 classes: 1e-12 leaves room for the order of the sums only. */
static void near(double got, double want, int s, const char *what) {
    if (!(isfinite(got) && fabs(got - want) <= 1e-12)) fail_msg("set %d: %s is %.17g, scikit-learn says %.17g", s, what, got, want);
}

static void test_sklearn(void **state) {
    (void)state;
    FILE *f = fopen("tests/data/eval/scores.txt", "r");
    char line[512];
    int64_t c[8 * 9];
    int s = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        double w[8];
        struct scores x;
        if (line[0] == '#') continue;
        assert_int_equal(8, sscanf(line, "%lf %lf %lf %lf %lf %lf %lf %lf", w, w + 1, w + 2, w + 3, w + 4, w + 5, w + 6, w + 7));
        int K = make_counts((uint64_t)s, c);
        scores_from(&x, c, K);
        near(x.accuracy, w[0], s, "accuracy");
        near(x.macro_precision, w[1], s, "macro precision");
        near(x.macro_recall, w[2], s, "macro recall");
        near(x.macro_f1, w[3], s, "macro F1");
        near(x.weighted_precision, w[4], s, "weighted precision");
        near(x.weighted_recall, w[5], s, "weighted recall");
        near(x.weighted_f1, w[6], s, "weighted F1");
        near(x.kappa, w[7], s, "kappa");
        near(macro_f1_from(c, K), w[3], s, "macro F1 alone");
        s++;
    }
    fclose(f);
    assert_int_equal(s, 1000);
}

/* scipy 1.x binomtest(k, n, 0.5).pvalue */
static void test_mcnemar(void **state) {
    (void)state;
    near(mcnemar(3, 9), 0.14599609375, 0, "mcnemar 3 9");
    near(mcnemar(0, 5), 0.0625, 0, "mcnemar 0 5");
    near(mcnemar(7, 7), 1, 0, "mcnemar 7 7");
    near(mcnemar(0, 0), 1, 0, "mcnemar 0 0");
    assert_true(fabs(mcnemar(40, 61) - 0.046044066929342785) < 1e-10);
}

static void share(const int64_t *c, const void *arg, double *out) {
    (void)arg;
    *out = c[1] ? (double)c[0] / (double)c[1] : 0;
}

/* 12 units, all right in a, none in b. */
static void test_permutation(void **state) {
    (void)state;
    const int64_t a[2] = {12, 12}, b[2] = {0, 12};
    struct units none, all;
    const struct units *no_gap = &none, *gap = &all;
    double d, p, again;
    units_init(&none, 2);
    units_init(&all, 2);
    for (int i = 0; i < 12; i++) {
        units_end(&none);
        units_put(&all, 0, -1);
        units_end(&all);
    }
    permutation_tests(&(struct swaps){1, a, a, &no_gap}, share, NULL, 1, 1000, 1, &d, &p);
    assert_true(p == 1 && d == 0);
    /* all 2^12 swaps but the two extreme ones give a smaller difference: p near 2/4096 */
    permutation_tests(&(struct swaps){1, a, b, &gap}, share, NULL, 1, 200000, 1, &d, &p);
    assert_true(d == 1);
    assert_true(fabs(p - 2.0 / 4096) < 2.5e-4); /* five standard errors of 200,000 draws */
    permutation_tests(&(struct swaps){1, a, b, &gap}, share, NULL, 1, 200000, 1, &d, &again);
    assert_true(p == again);
    units_release(&none);
    units_release(&all);
}

/* Packed counts against plain ones: entries of both widths, zeros, units of nothing, counts that take several entries. */
static void check_units(int cells, uint64_t seed) {
    enum { U = 300 };
    struct units s;
    int64_t *sum = calloc((size_t)cells, sizeof *sum), *want = calloc((size_t)cells, sizeof *want);
    int32_t times[U];
    uint64_t x = seed;
    units_init(&s, cells);
    for (int u = 0; u < U; u++) {
        times[u] = (int32_t)(lcg(&x) % 4);
        for (uint64_t i = lcg(&x) % 6; i; i--) {
            int cell = (int)(lcg(&x) % 3 ? lcg(&x) % (uint64_t)cells : (uint64_t)cells - 1);
            int64_t count = (int64_t)(lcg(&x) % (i % 2 ? 5 : 20001)) - (i % 2 ? 2 : 10000);
            units_put(&s, cell, count);
            want[cell] += times[u] * count;
        }
        units_end(&s);
    }
    assert_int_equal(s.U, U);
    units_sum(&s, times, sum);
    assert_memory_equal(sum, want, (size_t)cells * sizeof *sum);
    units_release(&s);
    free(sum);
    free(want);
}

static void test_units(void **state) {
    (void)state;
    const int cells[] = {1, 2, 3, 64, 65, 1024, 1025, 4163, 70000, 1 << 24};
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) check_units(cells[i], i);
}

/* Mean of 0/1 units: the bootstrap interval agrees with the binomial's normal one. */
static void test_bootstrap(void **state) {
    (void)state;
    struct units c;
    const struct units *table = &c;
    struct interval x;
    units_init(&c, 2);
    for (int i = 0; i < 400; i++) {
        units_put(&c, 0, i % 4 == 0);
        units_put(&c, 1, 1);
        units_end(&c);
    }
    bootstrap(&table, 1, share, NULL, 1, 20000, 3, &x);
    double half = 1.96 * sqrt(0.25 * 0.75 / 400);
    assert_true(fabs(x.low - (0.25 - half)) < 0.005 && fabs(x.high - (0.25 + half)) < 0.005);
    units_release(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sklearn), cmocka_unit_test(test_mcnemar),
        cmocka_unit_test(test_permutation), cmocka_unit_test(test_units), cmocka_unit_test(test_bootstrap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

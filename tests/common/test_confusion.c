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

static void test_permutation(void **state) {
    (void)state;
    int64_t a[2 * 12], b[2 * 12];
    double d, p, again;
    for (int i = 0; i < 12; i++) {
        a[2 * i] = 1, b[2 * i] = 0;
        a[2 * i + 1] = b[2 * i + 1] = 1;
    }
    permutation_tests(a, a, 12, 2, share, NULL, 1, 1000, 1, &d, &p);
    assert_true(p == 1 && d == 0);
    /* all 2^12 swaps but the two extreme ones give a smaller difference: p near 2/4096 */
    permutation_tests(a, b, 12, 2, share, NULL, 1, 200000, 1, &d, &p);
    assert_true(d == 1);
    assert_true(fabs(p - 2.0 / 4096) < 2.5e-4); /* five standard errors of 200,000 draws */
    permutation_tests(a, b, 12, 2, share, NULL, 1, 200000, 1, &d, &again);
    assert_true(p == again);
}

/* Mean of 0/1 units: the bootstrap interval agrees with the binomial's normal one. */
static void test_bootstrap(void **state) {
    (void)state;
    int64_t c[2 * 400];
    struct interval x;
    for (int i = 0; i < 400; i++) c[2 * i] = i % 4 == 0, c[2 * i + 1] = 1;
    bootstrap(c, 400, 2, share, NULL, 1, 20000, 3, &x);
    double half = 1.96 * sqrt(0.25 * 0.75 / 400);
    assert_true(fabs(x.low - (0.25 - half)) < 0.005 && fabs(x.high - (0.25 + half)) < 0.005);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sklearn), cmocka_unit_test(test_mcnemar),
        cmocka_unit_test(test_permutation), cmocka_unit_test(test_bootstrap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

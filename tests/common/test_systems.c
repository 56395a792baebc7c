/* Comparing systems: Holm against statsmodels, calibration against scikit-learn (tests/oracle/holm_ece.py), seeds drawn together,
   charts and escaping. */
#include "common/stats/chart.h"
#include "common/stats/markup.h"
#include "common/stats/resample.h"
#include "common/stats/tally.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Both sides do a handful of double operations on numbers up to 30: 1e-12 leaves room for their order only. */
static void near(double got, double want, int line, const char *what) {
    if (!(isfinite(got) && fabs(got - want) <= 1e-12)) fail_msg("line %d: %s is %.17g, the oracle says %.17g", line, what, got, want);
}

static double number(char **at) {
    char *end;
    double x = strtod(*at, &end);
    assert_true(end != *at);
    *at = end;
    return x;
}

static void test_holm(void **state) {
    (void)state;
    static char text[8192];
    FILE *f = fopen("tests/data/eval/holm.txt", "r");
    int lines = 0;
    assert_non_null(f);
    while (fgets(text, sizeof text, f)) {
        char *at = text;
        double p[30], adjusted[30];
        if (text[0] == '#') continue;
        int n = (int)number(&at);
        assert_true(n > 0 && n <= 30);
        for (int i = 0; i < n; i++) p[i] = number(&at);
        holm(p, n, adjusted);
        for (int i = 0; i < n; i++) near(adjusted[i], number(&at), lines, "Holm p");
        lines++;
    }
    fclose(f);
    assert_int_equal(lines, 60);
}

static void test_ece(void **state) {
    (void)state;
    static char text[8192];
    FILE *f = fopen("tests/data/eval/ece.txt", "r");
    int lines = 0;
    assert_non_null(f);
    while (fgets(text, sizeof text, f)) {
        char *at = text;
        struct calibration c = {0};
        if (text[0] == '#') continue;
        for (int n = (int)number(&at), i = 0; i < n; i++) {
            double confidence = number(&at);
            assert_int_equal(*at++, ':');
            calibration_add(&c, confidence, number(&at) > 0);
        }
        near(calibration_ece(&c), number(&at), lines, "calibration error");
        lines++;
    }
    fclose(f);
    assert_int_equal(lines, 60);
    assert_true(isnan(calibration_ece(&(struct calibration){0})));
}

/* Ten answers by hand: bin (0.5, 0.6] has 4 of 0.6 with 1 right, (0.9, 1] has 6 of 1.0 with 5 right:
   0.4·|0.25 - 0.6| + 0.6·|5/6 - 1| = 0.14 + 0.1. */
static void test_ece_by_hand(void **state) {
    (void)state;
    struct calibration c = {0};
    for (int i = 0; i < 4; i++) calibration_add(&c, 0.6, i == 0);
    for (int i = 0; i < 6; i++) calibration_add(&c, 1, i > 0);
    assert_int_equal(c.count[5], 4);
    assert_int_equal(c.count[9], 6);
    near(calibration_ece(&c), 0.24, 0, "calibration error");
    near(calibration_accuracy(&c), 0.6, 0, "accuracy");
    near(calibration_confidence(&c), 0.84, 0, "confidence");
}

/* Two classes, one field, one row a unit; two runs of one system. */
enum { ROWS = 40 };
struct world {
    struct group group;
    struct task task;
    struct reference ref;
    struct tally tally;
    int group_of[1];
    uint8_t truth[ROWS], pred[2][ROWS], valid[ROWS];
    struct run runs[2];
    struct units units[2]; /* count's */
};

static void make_world(struct world *w) {
    memset(w, 0, sizeof *w);
    w->group = (struct group){.K = 2, .n_fields = 1};
    w->task = (struct task){.n_fields = 1, .n_groups = 1, .group_of = w->group_of, .groups = &w->group};
    w->ref = (struct reference){.truth = w->truth, .rows = ROWS, .n_units = ROWS};
    for (int i = 0; i < ROWS; i++) {
        w->truth[i] = (uint8_t)(i % 2);
        w->pred[0][i] = (uint8_t)(i % 5 ? i % 2 : 1 - i % 2);
        w->pred[1][i] = w->pred[0][i];
        w->valid[i] = ANSWER_VALID;
    }
    for (int k = 0; k < 2; k++) w->runs[k].answers = (struct answers){.pred = w->pred[k], .state = w->valid};
    tally_init(&w->tally, &w->task, &w->ref);
}

static void count(struct world *w) {
    for (int k = 0; k < 2; k++) w->units[k] = tally_run(&w->tally, &w->runs[k].answers);
}

static void release_world(struct world *w) {
    for (int k = 0; k < 2; k++) units_release(&w->units[k]);
    tally_release(&w->tally);
}

/* Two runs that answer alike are worth one: were the runs drawn apart, the interval would shrink by the root of 2. */
static void test_seeds_are_drawn_together(void **state) {
    (void)state;
    struct world w;
    make_world(&w);
    struct interval one[6], two[6];
    struct tally_arg arg = {&w.tally, 2, 0};
    assert_int_equal(system_statistics_n(&w.tally), 6);
    count(&w);
    const struct units *tables[] = {&w.units[0], &w.units[1]};
    bootstrap(tables, 2, system_statistics, &arg, 6, 1000, 1, two);
    arg.runs = 1;
    bootstrap(tables, 1, system_statistics, &arg, 6, 1000, 1, one);
    assert_true(one[STAT_SCORE].high - one[STAT_SCORE].low > 0.1);
    near(two[STAT_SCORE].low, one[STAT_SCORE].low, 0, "lower end");
    near(two[STAT_SCORE].high, one[STAT_SCORE].high, 0, "upper end");
    release_world(&w);
}

/* Mean over runs, not the score of the pooled counts; and a repeated run changes nothing. */
static void test_mean_over_seeds(void **state) {
    (void)state;
    struct world w;
    make_world(&w);
    for (int i = 0; i < ROWS; i++) w.pred[1][i] = 0; /* recall 1 and 0: F1 2/3 and 0, macro 1/3 */
    double v[2];
    struct tally_arg one = {&w.tally, 1, 0}, two = {&w.tally, 2, 0}, four = {&w.tally, 4, 0};
    count(&w);
    int64_t *sum = tally_total(w.units, 2);
    score_statistics(sum, &one, v);
    double first = v[0];
    score_statistics(sum + w.tally.cells, &one, v);
    near(v[0], 1.0 / 3, 0, "macro-F1 of the second run");
    score_statistics(sum, &two, v);
    near(v[0], (first + 1.0 / 3) / 2, 0, "mean");
    free(sum);
    sum = tally_total((struct units[]){w.units[0], w.units[1], w.units[0], w.units[1]}, 4);
    score_statistics(sum, &four, v);
    near(v[0], (first + 1.0 / 3) / 2, 0, "mean of the runs twice");
    free(sum);
    release_world(&w);
}

static void test_escaping(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    put_escaped(&b, "<a href='x'>\"&\x01\xff\n");
    assert_string_equal(b.p, "&lt;a href=&#39;x&#39;&gt;&quot;&amp;\xef\xbf\xbd\xef\xbf\xbd\n");
    buf_release(&b);
}

/* What cannot be drawn is left out, and numbers that a step does not change do not hang the axes. */
static void test_charts(void **state) {
    (void)state;
    const struct chart_point p[] = {{NAN, 1, 0, 1, 1, 0}, {1e18, 0.5, NAN, NAN, 2, 1}, {nextafter(1e18, INFINITY), INFINITY, 0, 1, 3, 2}, {nextafter(1e18, INFINITY), 0.6, 0.5, 0.7, 4, 9}};
    struct chart c = {"a <title>", "x", "y", p, 4, NULL, 0};
    struct buf b = BUF_INIT;
    chart_xy(&b, &c);
    chart_alone(&b);
    assert_null(strstr(b.p, "nan"));
    assert_null(strstr(b.p, "inf"));
    assert_non_null(strstr(b.p, "a &lt;title&gt;"));
    assert_non_null(strstr(b.p, "xmlns=\"http://www.w3.org/2000/svg\""));
    assert_null(strstr(b.p, ">3</text>"));
    assert_non_null(strstr(b.p, ">4</text>"));
    buf_release(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_holm), cmocka_unit_test(test_ece), cmocka_unit_test(test_ece_by_hand), cmocka_unit_test(test_seeds_are_drawn_together),
        cmocka_unit_test(test_mean_over_seeds), cmocka_unit_test(test_escaping), cmocka_unit_test(test_charts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

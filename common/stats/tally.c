/* Counts by unit and their statistics: see tally.h. */
#include "common/stats/tally.h"
#include "common/stats/confusion.h"
#include <stdlib.h>
#include <string.h>

/* The rows sorted by unit, in their order within each: a counting sort. */
static void sort_rows(struct tally *t) {
    t->rows = xcalloc((size_t)t->ref->rows, sizeof *t->rows);
    t->from = xcalloc((size_t)t->U + 2, sizeof *t->from);
    int32_t *next = t->from + 1;
    for (int64_t row = 0; row < t->ref->rows; row++) next[t->ref->unit[row] + 1]++;
    for (int u = 0; u < t->U; u++) next[u + 1] += next[u];
    for (int64_t row = 0; row < t->ref->rows; row++) t->rows[next[t->ref->unit[row]]++] = (int32_t)row;
}

void tally_init(struct tally *t, const struct task *task, const struct reference *ref) {
    *t = (struct tally){.task = task, .ref = ref, .U = (int)ref->n_units, .cells = TALLY_GROUPS};
    t->at = xcalloc((size_t)task->n_groups, sizeof *t->at);
    for (int g = 0; g < task->n_groups; g++) {
        t->at[g] = t->cells;
        t->cells += task->groups[g].K * (task->groups[g].K + 1);
    }
    if (ref->unit) sort_rows(t);
}

void tally_release(struct tally *t) {
    free(t->at);
    free(t->rows);
    free(t->from);
}

/* ---- counting one unit ---- */
struct counter {
    int64_t *count; /* (cells), zero but for those in `touched` */
    int *touched;   /* some more than once */
    size_t n, cap;
};

static void count(struct counter *c, int cell, int sign) {
    if (!c->count[cell]) {
        GROW(c->touched, c->n, c->cap);
        c->touched[c->n++] = cell;
    }
    c->count[cell] += sign;
}

static void count_row(struct counter *c, const struct tally *t, const struct answers *a, int64_t row, int sign) {
    const struct task *task = t->task;
    const uint8_t *truth = t->ref->truth + row * task->n_fields, *pred = a->pred + row * task->n_fields;
    count(c, TALLY_ROWS, sign);
    if (a->state[row] == ANSWER_VALID) count(c, TALLY_VALID, sign);
    if (!memcmp(truth, pred, (size_t)task->n_fields)) count(c, TALLY_EXACT, sign);
    for (int f = 0; f < task->n_fields; f++) {
        int g = task->group_of[f];
        count(c, t->at[g] + truth[f] * (task->groups[g].K + 1) + pred[f], sign);
    }
}

/* The counted cells become the next unit, and zero. */
static void end_unit(struct counter *c, struct units *to) {
    for (size_t i = 0; i < c->n; i++) {
        units_put(to, c->touched[i], c->count[c->touched[i]]);
        c->count[c->touched[i]] = 0;
    }
    units_end(to);
    c->n = 0;
}

static struct units tally(const struct tally *t, const struct answers *a, const struct answers *less) {
    struct counter c = {.count = xcalloc((size_t)t->cells, sizeof *c.count)};
    struct units x;
    units_init(&x, t->cells);
    for (int u = 0; u < t->U; u++) {
        for (int32_t i = t->from ? t->from[u] : u; i < (t->from ? t->from[u + 1] : u + 1); i++) {
            int64_t row = t->rows ? t->rows[i] : i;
            count_row(&c, t, a, row, 1);
            if (less) count_row(&c, t, less, row, -1);
        }
        end_unit(&c, &x);
    }
    free(c.count);
    free(c.touched);
    return x;
}

struct units tally_run(const struct tally *t, const struct answers *a) { return tally(t, a, NULL); }
struct units tally_gap(const struct tally *t, const struct answers *a, const struct answers *b) { return tally(t, b, a); }

int64_t *tally_total(const struct units *runs, int n) {
    int64_t *sum = xcalloc((size_t)n * (size_t)runs->cells, sizeof *sum);
    for (int k = 0; k < n; k++) units_sum(&runs[k], NULL, sum + (int64_t)k * runs->cells);
    return sum;
}

/* ---- statistics ---- */
static double share(int64_t a, int64_t b) { return b ? (double)a / (double)b : 0; }

int system_statistics_n(const struct tally *t) { return STAT_GROUPS + STATS_A_GROUP * t->task->n_groups; }

static void run_statistics(const struct tally *t, const int64_t *c, double weight, double *out) {
    out[STAT_VALID] += weight * share(c[TALLY_VALID], c[TALLY_ROWS]);
    out[STAT_EXACT] += weight * share(c[TALLY_EXACT], c[TALLY_ROWS]);
    for (int g = 0; g < t->task->n_groups; g++) {
        struct scores s;
        double *o = out + STAT_GROUPS + STATS_A_GROUP * g;
        scores_from(&s, c + t->at[g], t->task->groups[g].K);
        o[STAT_ACCURACY] += weight * s.accuracy;
        o[STAT_MACRO_F1] += weight * s.macro_f1;
        o[STAT_WEIGHTED_F1] += weight * s.weighted_f1;
        out[STAT_SCORE] += weight * s.macro_f1 / t->task->n_groups;
    }
}

void system_statistics(const int64_t *cells, const void *arg, double *out) {
    const struct tally_arg *a = arg;
    memset(out, 0, (size_t)system_statistics_n(a->tally) * sizeof *out);
    for (int k = 0; k < a->runs; k++) run_statistics(a->tally, cells + (int64_t)k * a->tally->cells, 1.0 / a->runs, out);
}

int score_statistics_n(const struct tally *t) { return 1 + t->task->n_groups; }

static void add_scores(const struct tally *t, const int64_t *cells, int runs, double sign, double *out) {
    for (int k = 0; k < runs; k++)
        for (int g = 0; g < t->task->n_groups; g++) {
            double f1 = sign * macro_f1_from(cells + (int64_t)k * t->cells + t->at[g], t->task->groups[g].K) / runs;
            out[1 + g] += f1;
            out[0] += f1 / t->task->n_groups;
        }
}

void score_statistics(const int64_t *cells, const void *arg, double *out) {
    const struct tally_arg *a = arg;
    memset(out, 0, (size_t)score_statistics_n(a->tally) * sizeof *out);
    add_scores(a->tally, cells, a->runs, 1, out);
}

void difference_statistics(const int64_t *cells, const void *arg, double *out) {
    const struct tally_arg *a = arg;
    memset(out, 0, (size_t)score_statistics_n(a->tally) * sizeof *out);
    add_scores(a->tally, cells, a->runs, 1, out);
    add_scores(a->tally, cells + (int64_t)a->runs * a->tally->cells, a->second, -1, out);
}

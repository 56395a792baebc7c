/* Counts by unit and their statistics: see tally.h. */
#include "common/stats/tally.h"
#include "common/stats/confusion.h"
#include <stdlib.h>
#include <string.h>

void tally_init(struct tally *t, const struct task *task, const struct reference *ref) {
    *t = (struct tally){.task = task, .U = (int)ref->units.n, .cells = TALLY_GROUPS};
    t->at = xcalloc((size_t)task->n_groups, sizeof *t->at);
    for (int g = 0; g < task->n_groups; g++) {
        t->at[g] = t->cells;
        t->cells += task->groups[g].K * (task->groups[g].K + 1);
    }
}

void tally_release(struct tally *t) { free(t->at); }

/* One row of one run into the run's cells of its unit. */
static void count_row(const struct tally *t, const struct reference *ref, const struct answers *a, int64_t row, int64_t *c) {
    const struct task *task = t->task;
    c[TALLY_ROWS]++;
    c[TALLY_VALID] += a->valid[row];
    c[TALLY_EXACT] += a->exact[row];
    for (int f = 0; f < task->n_fields; f++) {
        int g = task->group_of[f];
        int64_t i = row * task->n_fields + f;
        c[t->at[g] + ref->truth[i] * (task->groups[g].K + 1) + a->pred[i]]++;
    }
}

int64_t *tally_system(const struct tally *t, const struct reference *ref, const struct system *s, int repeat) {
    int64_t wide = (int64_t)repeat * s->n_runs * t->cells;
    int64_t *c = xcalloc((size_t)t->U * (size_t)wide, sizeof *c);
    for (int64_t row = 0; row < ref->rows; row++)
        for (int k = 0; k < repeat * s->n_runs; k++)
            count_row(t, ref, &s->runs[k % s->n_runs].answers, row, c + ref->unit[row] * wide + (int64_t)k * t->cells);
    return c;
}

int64_t *tally_total(const int64_t *by_unit, int U, int cells) {
    int64_t *sum = xcalloc((size_t)cells, sizeof *sum);
    for (int64_t i = 0; i < (int64_t)U * cells; i++) sum[i % cells] += by_unit[i];
    return sum;
}

int64_t *tally_join(const int64_t *a, int ca, const int64_t *b, int cb, int U) {
    int64_t *c = xcalloc((size_t)U * (size_t)(ca + cb), sizeof *c);
    for (int64_t u = 0; u < U; u++) {
        memcpy(c + u * (ca + cb), a + u * ca, (size_t)ca * sizeof *c);
        memcpy(c + u * (ca + cb) + ca, b + u * cb, (size_t)cb * sizeof *c);
    }
    return c;
}

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

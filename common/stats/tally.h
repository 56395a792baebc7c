/* Counts of answers by unit, and the statistics that resampling draws from them.
   A run's cells in one unit: rows, valid rows, exact rows, then each group's confusion counts (confusion.h). A system's are its
   runs' one behind another, and a unit is drawn with all its runs: seeds are not independent articles. */
#ifndef COADOR_TALLY_H
#define COADOR_TALLY_H
#include "common/stats/resample.h"
#include "common/stats/systems.h"

enum { TALLY_ROWS, TALLY_VALID, TALLY_EXACT, TALLY_GROUPS };
struct tally {
    const struct task *task;   /* borrowed, as ref */
    const struct reference *ref;
    int U, cells;              /* units; cells of a run */
    int *at;                   /* of each group's counts in them */
    int32_t *rows, *from;      /* private: the rows by unit, and where each unit's begin (U + 1); NULL: each row is its own */
};
void tally_init(struct tally *t, const struct task *task, const struct reference *ref);
void tally_release(struct tally *t);
/* A run's counts; give: units_release. */
struct units tally_run(const struct tally *t, const struct answers *a);
struct units tally_gap(const struct tally *t, const struct answers *a, const struct answers *b); /* b's less a's */
int64_t *tally_total(const struct units *runs, int n); /* (n·cells), one run behind another; give: free(3) */

/* The arg of the statistics: how many runs there are; of a difference, also those of its second part. */
struct tally_arg {
    const struct tally *tally;
    int runs, second;
};
/* Means over runs. STAT_SCORE: the mean over groups of macro-F1, by which systems are ranked. */
enum { STAT_VALID, STAT_EXACT, STAT_SCORE, STAT_GROUPS };
enum { STAT_ACCURACY, STAT_MACRO_F1, STAT_WEIGHTED_F1, STATS_A_GROUP }; /* of group g: STAT_GROUPS + g·STATS_A_GROUP + this */
int system_statistics_n(const struct tally *t);
void system_statistics(const int64_t *cells, const void *arg, double *out);
/* out[0]: STAT_SCORE; out[1 + g]: macro-F1 of group g. */
int score_statistics_n(const struct tally *t);
void score_statistics(const int64_t *cells, const void *arg, double *out);
/* The first part's minus the second's. */
void difference_statistics(const int64_t *cells, const void *arg, double *out);
#endif

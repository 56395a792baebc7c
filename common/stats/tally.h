/* Counts of answers by unit, and the statistics that resampling draws from them.
   A run's cells in one unit: rows, valid rows, exact rows, then each group's confusion counts (confusion.h). A system's cells
   are its runs' one behind another, so that a unit is drawn with all its runs: seeds are not independent articles. */
#ifndef COADOR_TALLY_H
#define COADOR_TALLY_H
#include "common/stats/resample.h"
#include "common/stats/systems.h"

enum { TALLY_ROWS, TALLY_VALID, TALLY_EXACT, TALLY_GROUPS };
struct tally {
    const struct task *task;
    int U, cells;              /* units; cells of a run */
    int *at;                   /* of each group's counts in them */
};
void tally_init(struct tally *t, const struct task *task, const struct reference *ref);
void tally_release(struct tally *t);
/* (U, repeat·n_runs·cells), the runs in order and so over again `repeat` times; give: free(3). */
int64_t *tally_system(const struct tally *t, const struct reference *ref, const struct system *s, int repeat);
int64_t *tally_total(const int64_t *by_unit, int U, int cells); /* (cells); give: free(3) */

/* The arg of the statistics: how many runs a table holds; of a joined table, also those of its second part. */
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
/* (U, ca + cb): tables side by side; give: free(3). */
int64_t *tally_join(const int64_t *a, int ca, const int64_t *b, int cb, int U);
#endif

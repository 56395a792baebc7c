/* Everything eval knows about systems on one task: computed once, then printed as a table or as JSON. */
#ifndef COADOR_REPORT_H
#define COADOR_REPORT_H
#include "common/stats/answers.h"
#include "common/stats/confusion.h"
#include "common/stats/resample.h"

struct measured {
    double value;
    struct interval ci; /* 95 %, bootstrap over units */
};
struct group_result {
    struct scores s;
    int64_t *counts;    /* K·(K+1) */
    struct measured accuracy, macro_f1, weighted_f1;
};
struct system_result {
    const char *name;
    bool classified;    /* has parsed answers */
    struct measured valid, exact;
    double perplexity;  /* NaN without token_logprobs */
    int64_t scored_tokens;
    struct group_result *g; /* n_groups */
};
struct pair_result {    /* system a against system b on one group */
    int a, b, group;
    double difference, p;      /* macro-F1 of a - of b; paired permutation test over units */
    int64_t only_a, only_b;    /* items right in one alone */
    double mcnemar_p;
};
struct report {
    const struct task *task;
    const struct reference *ref;
    int n_systems, n_pairs;
    struct system_result *systems;
    struct pair_result *pairs;
};
struct report_options {
    int bootstrap, permutations; /* resamples */
    uint64_t seed;
};
void report_make(struct report *r, const struct task *t, const struct reference *ref, const struct answers *a, int n, const struct report_options *o);
void report_release(struct report *r);
void report_text(const struct report *r, struct buf *b);
void report_json(const struct report *r, struct buf *b);
/* Value of a metric of the first system, pooled over groups by mean: valid_rate, exact, accuracy, macro_f1, weighted_f1, kappa,
   perplexity. False: no such metric. */
bool report_metric(const struct report *r, const char *name, double *value);
#endif

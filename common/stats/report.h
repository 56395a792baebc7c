/* Everything eval knows about systems on one task: computed once, then printed as a table, JSON, HTML or Markdown. */
#ifndef COADOR_REPORT_H
#define COADOR_REPORT_H
#include "common/stats/calibration.h"
#include "common/stats/confusion.h"
#include "common/stats/differ.h"
#include "common/stats/facts.h"
#include "common/stats/resample.h"
#include "common/stats/svg.h"
#include "common/stats/systems.h"

struct measured {
    double value;       /* mean over runs */
    struct interval ci; /* 95 %, bootstrap over units, each drawn with all runs */
};
/* Of b - a, where d is of a - b; 0 - x rather than -x, so that no difference is never "-0.000". */
static inline struct measured measured_reversed(struct measured d) { return (struct measured){0 - d.value, {0 - d.ci.high, 0 - d.ci.low}}; }
struct group_result {
    struct scores s;    /* scores_mean of the runs */
    int64_t *counts;    /* K·(K+1), summed over runs */
    struct measured accuracy, macro_f1, weighted_f1;
};
struct run_result {
    double valid, exact, score; /* score: mean over groups of macro-F1 */
    double *macro_f1;           /* n_groups */
};
struct system_result {
    const char *name;
    int n_runs;
    bool classified;    /* has parsed answers */
    struct run_result *runs;
    struct measured valid, exact, score;
    double perplexity;  /* NaN without token_logprobs */
    int64_t scored_tokens;
    double tokens_in, tokens_out; /* an answer's, mean of those with usage; NaN without */
    struct group_result *g; /* n_groups */
    struct facts facts;
    struct calibration calibration;
};
struct pair_result {    /* system a against system b, a < b */
    int a, b;
    int group;          /* -1: the score */
    struct measured difference; /* of macro-F1, a - b */
    double p, holm;     /* paired permutation test over units; corrected over all pairs of the same group */
    int64_t only_a, only_b;     /* items right in one alone */
    double mcnemar_p;   /* NaN where a system has several runs */
};

enum verdict_kind { VERDICT_YES, VERDICT_YES_SMALL, VERDICT_NO, VERDICT_NO_REVERSE, VERDICT_OPEN };
struct verdict {        /* the answer to "is a better than b?" */
    int a, b;
    const char *question;  /* borrowed; NULL: none was worded */
    enum verdict_kind kind;
    struct measured difference; /* a - b */
    double holm;
    int seeds, wins;    /* seeds that both have, and those of them in which a scores higher */
    char *sentence;
};
struct learning {       /* one system at several sizes of training */
    char *name;
    int n, *systems;    /* by rows, ascending */
};

struct report_options {
    int bootstrap, permutations; /* resamples */
    uint64_t seed;
    const char *cluster;   /* field, NULL: rows */
    double margin;         /* smallest difference of the score that matters */
    const char *title;     /* NULL: none */
    const char *const *notes;
    int n_notes;
};
struct report {
    const struct task *task;
    const struct reference *ref;
    const struct systems *in;
    struct report_options o;
    int n_systems, n_pairs, main_group; /* main_group: of the pairs on the score: -1, or 0 when that is the only group */
    struct system_result *systems;
    struct pair_result *pairs;
    int n_verdicts;
    struct verdict *verdicts;
    int n_learning;
    struct learning *learning;
    struct differing differing;
    int n_losses;
    struct curve *losses;  /* borrowed: training losses, may be NULL */
};
void report_make(struct report *r, const struct task *t, const struct reference *ref, const struct systems *s, const struct report_options *o);
void report_release(struct report *r);
/* The pair of two systems on the score; *sign is -1 if it stands the other way round. NULL: one has no parsed answers. */
const struct pair_result *report_pair(const struct report *r, int a, int b, double *sign);
/* "A>B[=TEXT]": answers the question whether A is better than B. */
int report_ask(struct report *r, const char *question, struct err *e);
/* "NAME=SYSTEM,SYSTEM,…": needs their rows. */
int report_learning(struct report *r, const char *line, struct err *e);
/* Value of a metric of the first system, pooled over groups by mean: valid_rate, exact, accuracy, macro_f1, weighted_f1, kappa,
   perplexity. False: no such metric. */
bool report_metric(const struct report *r, const char *name, double *value);
/* "article clusters" or "rows": what is resampled, and how many, for people; appended. */
void report_units(const struct report *r, struct buf *b);

void report_text(const struct report *r, struct buf *b);
void report_json(const struct report *r, struct buf *b);
void report_html(const struct report *r, struct buf *b);
void report_markdown(const struct report *r, struct buf *b);
#endif

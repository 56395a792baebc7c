/* Asks: single questions to single teachers, many under way at once. Each goes to the cache first, then out: paced, retried,
   counted, checked, and saved before its slot is free again. One thread drives everything (asker_run). */
#ifndef COADOR_LABEL_ASK_H
#define COADOR_LABEL_ASK_H
#include "common/io/http.h"
#include "common/label/batchfile.h"
#include "common/label/openai.h"
#include "common/label/teacher.h"
#include <stdio.h>

enum fault { /* what went wrong, counted by try */
    FAULT_CONNECTION, FAULT_TIMEOUT, FAULT_TOO_LARGE, FAULT_BUSY, FAULT_SERVER, FAULT_REFUSED, FAULT_MALFORMED, FAULT_UNFIT, FAULTS
};
extern const char *const fault_names[FAULTS];

enum ask_end {
    ASK_OPEN,
    ASK_ANSWERED, /* value fits the schema */
    ASK_FAILED,   /* error says why: no answer, or none that fits */
    ASK_UNASKED,  /* the budget was spent before */
    ASK_EXPORTED  /* written to a batch file */
};
struct ask {
    /* the caller's; messages are borrowed until it has ended */
    int teacher, sample;
    const char *messages;
    size_t n_messages;
    /* the result */
    enum ask_end end;
    struct buf value;      /* compact JSON */
    char *error;
    int64_t tokens_in, tokens_out; /* of all its attempts; unknown ones count 0 */
    /* private */
    char key[SHA256_HEX];
    int attempt, tries;
    uint64_t number, saved_as;
    struct buf body, raw;
    struct ids ids;
    enum { ASK_QUEUED, ASK_FLYING, ASK_BACKING_OFF, ASK_SAVING } state;
    double until, guessed; /* end of the wait; tokens that the pace was told */
    struct ask *next;
};
void ask_release(struct ask *q);

/* Whether an answer's text is one: fills value, or gives -1 and why. cut: the limit on tokens ended it. */
typedef int answer_fits(void *arg, const char *text, size_t n, bool cut, struct buf *value, struct err *e);

struct asker_options {
    struct openai_params params;
    struct http_options http;
    int concurrency;        /* requests under way, answers that are being saved included */
    int retries, reasks;    /* after a failed try; after an answer that does not fit */
    double backoff, longest_backoff; /* seconds */
    double budget;          /* 0: none */
    const char *cache;      /* path or NULL */
    FILE *export;           /* write requests there instead of sending them, or NULL */
    bool offline;           /* answers come from the cache and the batches alone */
    const struct batchfile_results *batches; /* or NULL */
    answer_fits *fits;
    void *arg;
};
struct asker_counts {
    int64_t asked, cached;  /* answers that came in this run, and that the cache had */
    int64_t tokens_in, tokens_out, unknown_tokens; /* of both; answers whose tokens are not known */
    double cost, cost_new;  /* of both; of this run's alone */
    int64_t faults[FAULTS];
    bool stopped;           /* by the budget */
};
struct asker;
/* Borrows teachers[0..n) and o->params' task and sets; opens the cache. give: asker_free. */
struct asker *asker_new(struct teacher *teachers, int n, const struct asker_options *o, struct err *e);
struct cache *asker_cache(struct asker *a);
void asker_submit(struct asker *a, struct ask *q);
/* One round, waiting at most `patience` seconds for something to happen. -1: it makes no sense to go on (a wrong key, a
   refused response format, a full disk, …); what has come is saved by asker_free. */
int asker_run(struct asker *a, double patience, struct err *e);
bool asker_idle(const struct asker *a); /* nothing is queued or under way */
const struct asker_counts *asker_counts(const struct asker *a);
int asker_free(struct asker *a, struct err *e);
#endif

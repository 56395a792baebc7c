/* Continuous batching: requests join and leave a running batch; each pass of the model feeds one token of every
   answering request and pieces of the prompts of new ones. What a request answers does not depend on its company. */
#ifndef COADOR_GENERATE_H
#define COADOR_GENERATE_H
#include "common/model/decode.h"
#include "common/model/sampler.h"
#include "common/text/constraint.h"

enum finish { FINISH_STOP, FINISH_LENGTH, FINISH_SCHEMA, FINISH_FAILED }; /* SCHEMA: whole, but shorter than it might be, for max_new */

struct gen_options {
    int slots;              /* requests at once */
    int64_t max_cached;     /* tokens of key/value cache in all: of requests and of kept prefixes (prefixes.h) */
    int max_new;            /* tokens an answer may take */
    const char *const *stop; /* n_stop strings that end an answer; borrowed */
    int n_stop;
    struct sampling sampling;
    const int32_t *eos;     /* n_eos ids that end an answer; borrowed */
    int n_eos;
    enum compute compute;
    struct constraint *constraint; /* what answers must be, or NULL; borrowed. max_new is at least constraint_shortest() */
};

struct gen_answer {
    uint64_t number;        /* as submitted */
    struct ids ids;         /* generated, the ending id included */
    struct buf text;        /* decoded, without special tokens, cut before a stop string */
    size_t n_prompt, n_shared; /* tokens; those of a beginning that was computed for an earlier prompt */
    int calls;              /* passes of the model that chose a token: fewer than ids where a constraint left no choice */
    enum finish finish;
    const char *why;        /* FINISH_FAILED: the reason; not the caller's */
};
void gen_answer_free(struct gen_answer *a);

struct generator;
struct generator *generator_new(const struct model *m, const struct lora *const *a, int n, const struct gen_options *o, struct err *e);
void generator_free(struct generator *g);
/* 0 when a request of n_prompt tokens can ever be served, else RC_INPUT and why (context, cache). */
int generator_fits(const struct generator *g, size_t n_prompt, struct err *e);
/* Whether this one can start now; prefixes that would leave it no room are given up. */
bool generator_ready(struct generator *g, const int32_t *prompt, size_t n_prompt);
/* Starts a request (generator_ready said yes of it); copies the ids. `number` also keys its random numbers. */
int generator_submit(struct generator *g, const int32_t *prompt, size_t n_prompt, uint64_t number, struct err *e);
int generator_active(const struct generator *g);
/* One pass of the model over all active requests. */
int generator_step(struct generator *g, struct err *e);
/* An answer that has ended, in no particular order, or NULL; give: gen_answer_free. */
struct gen_answer *generator_take(struct generator *g);
#endif

/* Peak memory of a training by part, from the model's header and the settings alone. */
#ifndef COADOR_ESTIMATE_H
#define COADOR_ESTIMATE_H
#include "common/model/llama.h"
#include "common/train/settings.h"
#include <stdio.h>

struct estimate { /* bytes */
    size_t weights;     /* the frozen base */
    size_t adapter;     /* parameters, gradients and both moments */
    size_t activations; /* kept for the backward, and scratch, of one pass */
    size_t logits;      /* of one chunk of trained tokens (not in activations) */
    size_t saving;      /* copies while a checkpoint is written */
    size_t runtime;     /* program, libraries, threads, tokenizer, the rows themselves */
    size_t total;
};
/* A training whose passes are still to be chosen. */
struct estimate_of {
    struct model_config c;
    struct lora_config a;
    int seqs;              /* rows of a step: at most so many share a pass */
    struct estimate fixed; /* activations, logits and total still 0 */
};
struct pass_plan {
    int rows; /* tokens of a pass that is full (--tokens-per-pass, or the longest row where that is more) */
    enum kept kept;
};
int estimate_training(struct estimate_of *of, const char *model, enum base_dtype base, const struct settings *s, int threads, struct err *e);
struct estimate estimate_pass(const struct estimate_of *of, const struct pass_plan *plan);
/* Of the passes of at most plan->rows tokens and at least `longest` that fit into `limit` bytes, the fastest: a small pass
   decodes the weights more often, what is not kept is computed twice. plan->kept says the least that may be computed twice.
   -1, RC_IO: none fits; the message says how much the smallest takes. */
int estimate_fit(const struct estimate_of *of, size_t limit, int longest, struct pass_plan *plan, struct err *e);
void estimate_put(const struct estimate *x, struct buf *out);
#endif

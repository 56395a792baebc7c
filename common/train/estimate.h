/* Peak memory of a training by part, from the model's header and the settings alone. */
#ifndef COADOR_ESTIMATE_H
#define COADOR_ESTIMATE_H
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
/* rows: tokens of a pass that is full (--tokens-per-pass, or the longest row where that is more). */
int estimate_training(struct estimate *x, const char *model, enum base_dtype base, const struct settings *s, int rows, int threads, struct err *e);
void estimate_put(const struct estimate *x, struct buf *out);
#endif

/* Peak memory of a training by part, from the model's header and the settings alone: of the process on a CPU, of the card's
   memory on a card. Which passes fit is plan.h's question. */
#ifndef COADOR_ESTIMATE_H
#define COADOR_ESTIMATE_H
#include "common/model/llama.h"
#include "common/train/settings.h"

struct estimate { /* bytes */
    size_t weights;     /* the frozen base */
    size_t adapter;     /* parameters, gradients and, unless they are paged, both moments */
    size_t activations; /* kept for the backward, and scratch, of one pass */
    size_t logits;      /* of one chunk of trained tokens (not in activations) */
    size_t scratch;     /* of a card's kernels */
    size_t saving;      /* copies while a checkpoint is written: of a CPU's memory */
    size_t runtime;     /* program, libraries, threads, tokenizer, the rows themselves; on a card its context and code */
    size_t total;
};
/* A training whose passes are still to be chosen. */
struct estimate_of {
    const struct dev *d;   /* borrowed */
    struct model_config c;
    struct lora_config a;
    int seqs;              /* rows of a step: at most so many share a pass */
    int64_t packed;        /* model.h, as are these */
    int plain, other;
    size_t moments;        /* both */
    bool paged;            /* the moments are the host's: the caller's to say, false at first */
    struct estimate fixed; /* activations, logits, scratch and total still 0 */
    size_t room;           /* what the total may be: of a card what was free when asked, without limit on a CPU */
};
/* Reads the model's header, once; before anything is on the device. */
int estimate_training(struct estimate_of *of, struct dev *d, const char *model, enum base_dtype base, const struct settings *s, struct err *e);
/* Of passes that are full; size->S and trains are not read. */
struct estimate estimate_pass(const struct estimate_of *of, const struct pass_size *size);
void estimate_put(const struct estimate_of *of, const struct estimate *x, struct buf *out);
/* Of a card: what this program holds when so much is free. */
size_t estimate_held(const struct estimate_of *of, size_t free_bytes);
#endif

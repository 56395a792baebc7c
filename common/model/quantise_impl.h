/* Inside of quantise*.c: the plan. */
#ifndef COADOR_QUANTISE_IMPL_H
#define COADOR_QUANTISE_IMPL_H
#include "common/model/quantise.h"
#include "common/model/weights.h"

struct step { /* what is written once all[at] is there: a linear, or a tensor by itself */
    int at;
    struct matrix *m; /* NULL: the tensor itself */
    int heads;        /* head size where rows must be put in order */
    int first, n;     /* of the tensors written */
};

struct quantise {
    struct quantise_options o;
    struct weights *w;
    struct step *steps;
    int n_steps, cap_steps;
    struct tensor *t; /* to be written; names are owned */
    int n, cap;
    int tail;         /* first of the tensors that come after all steps: int8's weight_format */
    enum dtype rest;  /* type of what is not a linear, as config.json says it */
    int n_linears;
    struct hf_files files;
};

#define QUANTISE_STATE_ROOM 224 /* bytes at least for the JSON of quant_state */
#define QUANTISE_PIECES 7       /* tensors of a linear, at most */

enum dtype quantise_type(enum quant_to to); /* of the linears */
/* The tensors that the linear NAME.weight becomes, appended to q->t. */
void quantise_plan_linear(struct quantise *q, const char *name, int64_t rows, int64_t cols);
/* x(rows,cols) into what was planned: pieces[i] (owned by the callee until the next call with the same buf) are the bytes
   of tensor first + i; w describes them, for decoding. */
struct encoded {
    struct weight w;
    const void *pieces[QUANTISE_PIECES];
    void *memory[5];
    char state[QUANTISE_STATE_ROOM + 8];
    float map[256], unit;
};
int quantise_encode(struct quantise *q, const struct step *s, const float *x, struct encoded *out, struct err *e);
void encoded_release(struct encoded *x);
#endif

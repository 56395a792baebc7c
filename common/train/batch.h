/* Rows of one step packed end to end for passes of a bounded number of tokens (sequences stay whole). */
#ifndef COADOR_BATCH_H
#define COADOR_BATCH_H
#include "common/model/llama.h"
#include "common/train/rows.h"

struct batch {
    struct packed packed; /* what llama_* reads; points into the arrays below */
    int max_rows, max_seqs;
    int64_t tokens;       /* of the rows' sequences, unfed last ones included */
    int32_t *ids, *pos, *seq, *cu, *sel, *target;
    float *scale;
    struct soft_labels soft; /* of the trained tokens, where the rows have some; arrays of ours */
    int32_t *soft_id;
    float *soft_logp, *soft_tail;
};
/* Room for passes of at most R tokens and S sequences. give: batch_release. */
void batch_init(struct batch *b, int R, int S);
void batch_release(struct batch *b);
/* Room for the soft labels of rows that have some, which weigh `alpha`; before batch_fill sees such rows. */
void batch_soft(struct batch *b, const struct soft_file *f, double alpha);
/* Packs rows order[from], order[from+1], … below order[n] while they fit; returns how many (at least 1: every row fits
   alone). A row's number in the step is its place in order. Tokens behind a row's last trained one are not fed. Each
   trained token's scale is its row's weight · norm (norm: 1 / trained tokens of the whole step). Soft labels of the rows go along. */
int batch_fill(struct batch *b, const struct rows *r, const int64_t *order, int from, int n, double norm);
/* Trained tokens of rows order[0..n). */
int64_t batch_trained(const struct rows *r, const int64_t *order, int n);
#endif

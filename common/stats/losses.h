/* Loss curves from the metrics.jsonl of trainings. */
#ifndef COADOR_LOSSES_H
#define COADOR_LOSSES_H
#include "common/io/err.h"
#include "common/stats/svg.h"

struct losses {
    struct curve *v;           /* names and points are owned */
    int n;
};
/* "[NAME=]FILE": the training loss by step, and the loss on held-out rows where there is one. */
int losses_read(struct losses *l, const char *operand, struct err *e);
void losses_release(struct losses *l);
#endif

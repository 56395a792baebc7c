/* Which passes a training takes: as asked for, or the fastest that fit into memory. */
#ifndef COADOR_PLAN_H
#define COADOR_PLAN_H
#include "common/train/estimate.h"

/* Of the passes of at most size->R tokens and at least `longest` (tokens of the longest row; 1: not known yet) that fit into `limit` bytes, the
   fastest: a small pass decodes the weights more often, what is not kept is computed twice. size says the least that is
   computed twice, and receives the choice; of->paged is set where the device can page the moments and that is the faster way.
   -1, RC_IO: none fits; the message says what the smallest takes. */
int plan_fit(struct estimate_of *of, size_t limit, int longest, struct pass_size *size, struct err *e);
/* Whether *size, with passes of `longest` tokens at least, has room on the device; else -1, RC_IO: what needs how much, what is
   free and what to change. */
int plan_check(const struct estimate_of *of, int longest, const struct pass_size *size, struct err *e);
/* "passes of 2048 tokens; not kept for the backward: gate and up of 4 of 16 layers; moments on the host" */
void plan_put(const struct estimate_of *of, const struct pass_size *size, struct buf *out);
#endif

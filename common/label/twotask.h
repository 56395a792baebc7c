/* The second of two tasks (Hsieh et al., "Distilling step-by-step!", arXiv 2305.02301): from a row whose completion is the labels,
   one whose completion is the reasoning alone, asked for by a prefix of the prompt and weighed by lambda. */
#ifndef COADOR_LABEL_TWOTASK_H
#define COADOR_LABEL_TWOTASK_H
#include "common/io/jsonl.h"

/* Turns a labelled record, with its `reasoning`, into the row of the other task: `prompt` (or the user's last message) gains the
   prefix, `completion` (or the assistant's message) becomes lead and reasoning, `weight` is multiplied by lambda, and `id` gains
   "#reasoning". False where the reasoning is empty: there is nothing to train. */
bool twotask_turn(struct record *r, const char *prefix, const char *lead, double lambda);
#endif

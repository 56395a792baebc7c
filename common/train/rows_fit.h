/* Whether what is trained is what constrained decoding would write. */
#ifndef COADOR_ROWS_FIT_H
#define COADOR_ROWS_FIT_H
#include "common/text/grammar.h"
#include "common/train/rows.h"

/* Every run of trained tokens of row i, without the special tokens among them, against g, made from s: 0, or -1 and
   "name:line: …", which tells a completion that does not fit s from one that fits but is written in another way. */
int rows_fit(const struct rows *r, int64_t i, const char *name, const struct tokenizer *tok, struct grammar *g, const struct schema *s, struct err *e);
#endif

/* Soft labels of records' completions (common/train/soft.h), from a model. */
#ifndef COADOR_INFER_SOFT_H
#define COADOR_INFER_SOFT_H
#include "common/infer/flight.h"

struct soft_records; /* records waiting for their soft labels */
struct soft_records *soft_records_new(void); /* give: soft_records_free */
void soft_records_free(struct soft_records *s);
/* Takes the record and its ids: nothing else of it is needed any more. One that failed has no tokens. */
void soft_records_add(struct soft_records *s, struct pending *p);
/* The K likeliest tokens at temperature T of every token of all records, as a stream on f->out; after the last record, since it
   begins with how many tokens there are. */
int soft_records_write(struct soft_records *s, struct flight *f, int K, double T, struct err *e);
#endif

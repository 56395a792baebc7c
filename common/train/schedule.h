/* Learning rate over steps, as transformers' get_scheduler. */
#ifndef COADOR_SCHEDULE_H
#define COADOR_SCHEDULE_H
#include <stdint.h>

enum schedule_kind { SCHEDULE_CONSTANT, SCHEDULE_CONSTANT_WITH_WARMUP, SCHEDULE_LINEAR, SCHEDULE_COSINE };
struct schedule {
    enum schedule_kind kind;
    double lr;      /* the peak */
    int64_t warmup; /* steps that rise from 0; not used by SCHEDULE_CONSTANT */
    int64_t total;  /* steps of the whole training */
};
/* Rate of the update that comes after `done` updates (0 for the first one: with a warm-up its rate is 0). */
double schedule_lr(const struct schedule *s, int64_t done);
/* Warm-up steps as TrainingArguments counts them: `steps` when it is at least 1; below 1 it is a share of the total,
   and `ratio` is that share where steps is 0. */
int64_t schedule_warmup(double steps, double ratio, int64_t total);
#endif

/* metrics.jsonl: one line a logged step and one an evaluation (coador-lora-train(1) names the fields). */
#ifndef COADOR_METRICS_H
#define COADOR_METRICS_H
#include "common/io/err.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct metrics {
    FILE *f;
    char *path;
};
/* Opens dir/metrics.jsonl for what comes after step `done`: lines of later steps, which a killed run may have left, go. */
int metrics_open(struct metrics *m, const char *dir, int64_t done, struct err *e);
int metrics_close(struct metrics *m, struct err *e);
struct metrics_step {
    int64_t step;
    double epoch, loss, grad_norm, lr;
    int64_t tokens; /* seen in all */
    double tok_s;   /* since the last line */
    double loss_scale; /* 0: none, and no such fields */
    int64_t skipped;   /* steps without an update, in all */
};
int metrics_step(struct metrics *m, const struct metrics_step *s, struct err *e);
int metrics_eval(struct metrics *m, int64_t step, double epoch, double eval_loss, int64_t trained, double seconds, struct err *e);
/* Memory of this process in bytes: what is resident now, and the most that ever was. 0 where /proc does not say. */
size_t memory_resident(void);
size_t memory_peak(void);
#endif

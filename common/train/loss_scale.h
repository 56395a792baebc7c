/* Dynamic loss scaling (arXiv 1710.03740) as torch.amp.GradScaler: where activations are fp16, the gradient of the loss is taken times
   `scale`, so that small gradients keep their digits, and divided by it in f32 before anything looks at it. A step whose gradient is not
   finite then does not update, and halves the scale; 2,000 updates one after the other double it. Powers of two: nothing is rounded. */
#ifndef COADOR_LOSS_SCALE_H
#define COADOR_LOSS_SCALE_H
#include "common/io/err.h"
#include "kernels/dtype.h"
#include <stdbool.h>
#include <stdint.h>

#define LOSS_SCALE_START 65536.0
enum { LOSS_SCALE_GROWS_AFTER = 2000, LOSS_SCALE_SKIPS = 20 };
struct loss_scale {
    double scale;     /* 0: the activations need none */
    int64_t updates;  /* since it changed */
    int64_t skipped;  /* steps without an update, in all */
    int64_t in_a_row; /* of them the last ones */
};
struct loss_scale loss_scale_start(enum dtype act);
/* What the loss is taken times: 1 where it is off. */
double loss_scale_factor(const struct loss_scale *s);
/* After a step that has a finite loss, whether its gradient was finite too. -1: LOSS_SCALE_SKIPS in a row were not, or the scale would
   fall below 1, where it no longer is what makes them infinite. */
int loss_scale_after(struct loss_scale *s, int64_t step, bool finite, struct err *e);
#endif

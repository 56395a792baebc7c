/* Dynamic loss scaling: see loss_scale.h. */
#include "common/train/loss_scale.h"
#include <math.h>

struct loss_scale loss_scale_start(enum dtype act) { return (struct loss_scale){.scale = act == DT_F16 ? LOSS_SCALE_START : 0}; }
double loss_scale_factor(const struct loss_scale *s) { return s->scale > 0 ? s->scale : 1; }

static void grow(struct loss_scale *s) {
    s->in_a_row = 0;
    if (++s->updates < LOSS_SCALE_GROWS_AFTER) return;
    s->updates = 0;
    if (isfinite((float)(2 * s->scale))) s->scale *= 2;
}

int loss_scale_after(struct loss_scale *s, int64_t step, bool finite, struct err *e) {
    if (finite) return grow(s), 0;
    s->skipped++;
    s->updates = 0;
    if (++s->in_a_row == LOSS_SCALE_SKIPS)
        return err_set(e, RC_NEGATIVE, "the gradients of %d steps up to step %lld are not finite, whatever the loss scale (%g now)", LOSS_SCALE_SKIPS, (long long)step, s->scale);
    if (s->scale < 2) return err_set(e, RC_NEGATIVE, "the gradient of step %lld is not finite at a loss scale of %g", (long long)step, s->scale);
    s->scale /= 2;
    return 0;
}

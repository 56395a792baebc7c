/* Learning rate schedules: see schedule.h. */
#include "common/train/schedule.h"
#include <math.h>

static double at_least_one(int64_t n) { return n < 1 ? 1.0 : (double)n; }

double schedule_lr(const struct schedule *s, int64_t done) {
    if (s->kind == SCHEDULE_CONSTANT) return s->lr;
    if (done < s->warmup) return s->lr * ((double)done / at_least_one(s->warmup));
    if (s->kind == SCHEDULE_CONSTANT_WITH_WARMUP) return s->lr;
    double span = at_least_one(s->total - s->warmup), factor;
    if (s->kind == SCHEDULE_LINEAR)
        factor = (double)(s->total - done) / span;
    else
        factor = 0.5 * (1.0 + cos(M_PI * ((double)(done - s->warmup) / span)));
    return s->lr * (factor > 0 ? factor : 0);
}

int64_t schedule_warmup(double steps, double ratio, int64_t total) {
    if (steps >= 1) return (int64_t)steps;
    return (int64_t)ceil((double)total * (steps > 0 ? steps : ratio));
}

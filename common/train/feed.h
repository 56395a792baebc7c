/* The passes of a training's steps, in their order, each packed while the one before is at work. */
#ifndef COADOR_FEED_H
#define COADOR_FEED_H
#include "common/train/batch.h"
#include "common/train/order.h"

struct feed_of {
    const struct rows *rows;    /* borrowed */
    enum sampling sampling;
    uint64_t seed;
    int64_t step_rows, done, total; /* rows a step, steps done before, steps in all */
    int max_rows, max_seqs;     /* of a pass */
    double distill_alpha;
    bool beside;                /* packed on a thread, beside the caller's work; else when asked for */
};
struct feed_pass {
    struct batch b;
    int64_t step; /* from 1 */
    bool last;    /* of its step */
};
struct feed;
/* give: feed_close */
struct feed *feed_open(const struct feed_of *of, struct err *e);
/* The next pass, until the next call; not to be asked for behind the last step's last. */
const struct feed_pass *feed_next(struct feed *f);
void feed_close(struct feed *f);
#endif

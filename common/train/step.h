/* Steps of a training: queued on the device, and settled when the device is through with them, which on a card is a step later, so that
   it never waits for the host. What went wrong in a step keeps it and all later ones from updating (kernels/adamw.h), so the adapter is
   what the last good one left, whenever the host learns of it. */
#ifndef COADOR_STEP_H
#define COADOR_STEP_H
#include "common/train/checkpoint.h"
#include "common/train/feed.h"
#include "common/train/settings.h"

struct steps_of { /* all borrowed */
    const struct settings *settings;
    const struct schedule *schedule;
    struct training_tensors tensors;
    struct llama_pass *pass;
    struct feed *feed;
    int64_t done; /* steps done before */
    const struct loss_scale *loss_scale; /* where it is on it changes between steps, so the next is queued when the last is settled */
};
struct step_result {
    int64_t step, tokens; /* tokens of its rows */
    double loss, grad_norm;
};
struct steps;
/* Memory for gradients (f32, as many as the adapter has) and what comes back from the device. give: steps_close, which waits for what
   is queued. */
struct steps *steps_open(const struct steps_of *of, struct err *e);
void steps_close(struct steps *s);
/* Queues the next step. RC_IO: the device's memory. */
int steps_queue(struct steps *s, struct err *e);
int64_t steps_queued(const struct steps *s); /* number of the last one */
/* Waits for the oldest step that is queued. */
int steps_settle(struct steps *s, struct step_result *r, struct err *e);
#endif

/* Steps queued and settled: see step.h. */
#include "common/train/step.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_QUEUED = 2 };
enum { GRAD_SQ, LOSS_SQ, ADMITTED, N_SUMS }; /* f64 on the device: squared norm, squared losses, what the update goes by */

struct queued_pass { /* its losses come into host memory that the device gave */
    float *losses, *scale; /* (rows of a pass) */
    int M;
};
struct queued {
    struct queued_pass *pass;
    int n, cap;
    double *grad_sq; /* host memory that the device gave */
    int64_t tokens;
    struct kevent *end;
};
struct steps {
    struct steps_of of;
    struct dev *d;
    int max_rows;
    float *grad;
    double *sums;
    struct queued q[MOST_QUEUED];
    int64_t settled, queued; /* steps; q[step % MOST_QUEUED] */
};

static int alloc(struct steps *s, void *p, size_t bytes, const char *what, struct err *e) {
    struct dev *d = s->d;
    enum kerr k = d->alloc(d->ctx, p, bytes);
    if (!k) k = d->zero(d->ctx, *(void **)p, bytes);
    return dev_err(d, k, e, what, bytes);
}
static int host_alloc(struct steps *s, void *p, size_t bytes, struct err *e) {
    return dev_err(s->d, s->d->host_alloc(s->d->ctx, p, bytes), e, "host memory for losses", bytes);
}

struct steps *steps_open(const struct steps_of *of, struct err *e) {
    struct steps *s = xcalloc(1, sizeof *s);
    *s = (struct steps){.of = *of, .d = of->tensors.m->d, .settled = of->done, .queued = of->done};
    int rc = alloc(s, &s->grad, (size_t)of->tensors.a->n * sizeof *s->grad, "gradients", e);
    if (!rc) rc = alloc(s, &s->sums, N_SUMS * sizeof *s->sums, "gradient norm", e);
    for (int i = 0; i < MOST_QUEUED && !rc; i++) rc = host_alloc(s, &s->q[i].grad_sq, sizeof(double), e);
    if (!rc) return s;
    steps_close(s);
    return NULL;
}

static void release(struct steps *s, struct queued *q) {
    for (int i = 0; i < q->cap; i++) {
        s->d->host_free(s->d->ctx, q->pass[i].losses);
        free(q->pass[i].scale);
    }
    s->d->host_free(s->d->ctx, q->grad_sq);
    free(q->pass);
}

void steps_close(struct steps *s) {
    if (!s) return;
    s->d->sync(s->d->ctx);
    for (int i = 0; i < MOST_QUEUED; i++) {
        if (s->q[i].end) s->d->event_wait(s->d->ctx, s->q[i].end);
        release(s, &s->q[i]);
    }
    s->d->free(s->d->ctx, s->grad);
    s->d->free(s->d->ctx, s->sums);
    free(s);
}

/* ---- queueing ---- */
/* Room for one more pass of q; its memory serves later steps. */
static struct queued_pass *add_pass(struct steps *s, struct queued *q, const struct batch *b, struct err *e) {
    if (q->n == q->cap) {
        q->pass = xrealloc(q->pass, (size_t)(q->cap + 1), sizeof *q->pass);
        struct queued_pass *p = &q->pass[q->cap];
        *p = (struct queued_pass){0};
        if (host_alloc(s, &p->losses, (size_t)b->max_rows * sizeof *p->losses, e) < 0) return NULL;
        p->scale = xcalloc((size_t)b->max_rows, sizeof *p->scale);
        q->cap++;
    }
    struct queued_pass *p = &q->pass[q->n++];
    p->M = b->packed.M;
    for (int i = 0; i < p->M; i++) p->scale[i] = b->packed.scale[i] * (float)loss_scale_factor(s->of.loss_scale);
    return p;
}

static int queue_pass(struct steps *s, struct queued *q, const struct feed_pass *f, struct err *e) {
    const struct settings *set = s->of.settings;
    struct dropout_run drop = {(uint64_t)set->seed, (uint32_t)f->step};
    struct queued_pass *p = add_pass(s, q, &f->b, e);
    if (!p) return -1;
    struct packed b = f->b.packed;
    b.scale = p->scale;
    q->tokens += f->b.tokens;
    return llama_train_queued(s->of.pass, s->of.tensors.a, &b, set->lora_dropout > 0 ? &drop : NULL, s->grad, p->losses, s->sums + LOSS_SQ, e);
}

static void queue_update(struct steps *s, int64_t step) {
    const struct settings *set = s->of.settings;
    const struct training_tensors *t = &s->of.tensors;
    const struct loss_scale *scale = s->of.loss_scale;
    struct dev *d = s->d;
    int64_t update = step - scale->skipped;
    struct adamw_step u = {(float)schedule_lr(s->of.schedule, update - 1), (float)set->beta1, (float)set->beta2, (float)set->eps, (float)set->weight_decay,
        (float)set->max_grad_norm, (int)update};
    if (scale->scale > 0) d->unscale(d->ctx, s->grad, t->a->n, scale->scale);
    d->sumsq(d->ctx, s->sums + GRAD_SQ, s->grad, t->a->n, 0);
    d->admit(d->ctx, s->sums + ADMITTED, s->sums + GRAD_SQ, s->sums + LOSS_SQ);
    d->adamw(d->ctx, t->a->p, t->exp_avg, t->exp_avg_sq, s->grad, t->a->n, &u, s->sums + ADMITTED);
}

int steps_queue(struct steps *s, struct err *e) {
    struct dev *d = s->d;
    struct queued *q = &s->q[(s->queued + 1) % MOST_QUEUED];
    size_t bytes = (size_t)s->of.tensors.a->n * sizeof *s->grad;
    const struct feed_pass *f;
    if (s->queued - s->settled == MOST_QUEUED) BUG("a step behind %d that are queued", MOST_QUEUED);
    q->n = 0;
    q->tokens = 0;
    enum kerr k = d->zero(d->ctx, s->grad, bytes);
    int sums = s->of.loss_scale->scale > 0 ? 2 : 1; /* ADMITTED too: a step that was skipped is no end */
    if (!k) k = d->zero(d->ctx, s->sums + LOSS_SQ, (size_t)sums * sizeof *s->sums);
    if (dev_err(d, k, e, "gradients", bytes) < 0) return -1;
    do {
        f = feed_next(s->of.feed);
        if (queue_pass(s, q, f, e) < 0) return -1;
    } while (!f->last);
    queue_update(s, f->step);
    if (dev_err(d, d->fetch(d->ctx, q->grad_sq, s->sums + GRAD_SQ, sizeof *q->grad_sq), e, "the gradient norm", 0) < 0) return -1;
    q->end = d->event_record(d->ctx);
    s->queued = f->step;
    return 0;
}

int64_t steps_queued(const struct steps *s) { return s->queued; }

/* ---- settling ---- */
int steps_settle(struct steps *s, struct step_result *r, struct err *e) {
    struct dev *d = s->d;
    if (s->settled == s->queued) BUG("no step is queued behind %lld", (long long)s->settled);
    struct queued *q = &s->q[++s->settled % MOST_QUEUED];
    enum kerr k = d->event_wait(d->ctx, q->end);
    q->end = NULL;
    if (dev_err(d, k, e, "the pass", 0) < 0) return -1;
    *r = (struct step_result){.step = s->settled, .tokens = q->tokens, .grad_norm = sqrt(*q->grad_sq)};
    for (int i = 0; i < q->n; i++)
        for (int m = 0; m < q->pass[i].M; m++) r->loss += (double)q->pass[i].scale[m] * (double)q->pass[i].losses[m];
    r->loss /= loss_scale_factor(s->of.loss_scale);
    return 0;
}

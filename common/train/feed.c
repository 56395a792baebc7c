/* Passes packed ahead: see feed.h. Two of them, in turn: one is used, the other filled. */
#include "common/train/feed.h"
#include <pthread.h>
#include <stdlib.h>

enum { SLOTS = 2 };
struct feed {
    struct feed_of of;
    int64_t *order, epoch, per_epoch; /* epoch -1: not made yet */
    /* where the next pass begins */
    int64_t step;           /* done */
    const int64_t *rows;    /* of the step, n; NULL: it has not begun */
    int n, at;
    double norm;
    struct feed_pass slot[SLOTS];
    int used; /* -1: none yet */
    /* of the thread: slots filled and not taken */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool running, full[SLOTS], stop;
};

/* A slice of the epoch's order. */
static void begin_step(struct feed *f) {
    const struct feed_of *o = &f->of;
    int64_t epoch = f->step / f->per_epoch, from = f->step % f->per_epoch * o->step_rows, n = o->rows->n;
    if (epoch != f->epoch) order_epoch(f->order, n, o->sampling, o->seed, epoch, o->rows->length, o->step_rows);
    f->epoch = epoch;
    f->n = (int)(n - from < o->step_rows ? n - from : o->step_rows);
    f->rows = f->order + from;
    f->at = 0;
    f->norm = 1.0 / (double)batch_trained(o->rows, f->rows, f->n);
}

static void fill(struct feed *f, struct feed_pass *p) {
    if (!f->rows) begin_step(f);
    f->at += batch_fill(&p->b, f->of.rows, f->rows, f->at, f->n, f->norm);
    p->step = f->step + 1;
    p->last = f->at == f->n;
    if (!p->last) return;
    f->rows = NULL;
    f->step++;
}

static void *fill_ahead(void *arg) {
    struct feed *f = arg;
    for (int i = 0; f->step < f->of.total; i = (i + 1) % SLOTS) {
        pthread_mutex_lock(&f->lock);
        while (f->full[i] && !f->stop) pthread_cond_wait(&f->change, &f->lock);
        bool stop = f->stop;
        pthread_mutex_unlock(&f->lock);
        if (stop) break;
        fill(f, &f->slot[i]);
        pthread_mutex_lock(&f->lock);
        f->full[i] = true;
        pthread_cond_signal(&f->change);
        pthread_mutex_unlock(&f->lock);
    }
    return NULL;
}

struct feed *feed_open(const struct feed_of *of, struct err *e) {
    struct feed *f = xcalloc(1, sizeof *f);
    *f = (struct feed){.of = *of, .epoch = -1, .per_epoch = (of->rows->n + of->step_rows - 1) / of->step_rows, .step = of->done, .used = -1};
    f->order = xcalloc((size_t)of->rows->n, sizeof *f->order);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->change, NULL);
    for (int i = 0; i < (of->beside ? SLOTS : 1); i++) {
        batch_init(&f->slot[i].b, of->max_rows, of->max_seqs);
        if (of->rows->soft) batch_soft(&f->slot[i].b, of->rows->soft, of->distill_alpha);
    }
    if (!of->beside) return f;
    f->running = !pthread_create(&f->thread, NULL, fill_ahead, f);
    if (f->running) return f;
    err_set(e, RC_IO, "cannot start a thread");
    feed_close(f);
    return NULL;
}

const struct feed_pass *feed_next(struct feed *f) {
    if (!f->of.beside) {
        fill(f, &f->slot[0]);
        return &f->slot[0];
    }
    int next = (f->used + 1) % SLOTS;
    pthread_mutex_lock(&f->lock);
    if (f->used >= 0) f->full[f->used] = false;
    pthread_cond_signal(&f->change);
    while (!f->full[next]) pthread_cond_wait(&f->change, &f->lock);
    pthread_mutex_unlock(&f->lock);
    f->used = next;
    return &f->slot[next];
}

void feed_close(struct feed *f) {
    if (!f) return;
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_signal(&f->change);
    pthread_mutex_unlock(&f->lock);
    if (f->running) pthread_join(f->thread, NULL);
    for (int i = 0; i < SLOTS; i++) batch_release(&f->slot[i].b);
    pthread_cond_destroy(&f->change);
    pthread_mutex_destroy(&f->lock);
    free(f->order);
    free(f);
}

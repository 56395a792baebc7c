/* Records read ahead by a thread: see queue.h. */
#include "common/io/queue.h"
#include <pthread.h>
#include <stdlib.h>

struct record_queue {
    struct jsonl *in;
    struct record **ring;
    int depth, head, n;
    int end;           /* 0 open, 1 end of input, -1 error */
    struct err error;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
};

static void push(struct record_queue *q, struct record *r) {
    pthread_mutex_lock(&q->lock);
    while (q->n == q->depth) pthread_cond_wait(&q->not_full, &q->lock);
    q->ring[(q->head + q->n++) % q->depth] = r;
    pthread_cond_signal(&q->not_empty);
    pthread_mutex_unlock(&q->lock);
}

static void *read_all(void *arg) {
    struct record_queue *q = arg;
    struct record *r;
    struct err e = ERR_INIT;
    int rc;
    while ((rc = jsonl_next(q->in, &r, &e)) > 0) push(q, r);
    pthread_mutex_lock(&q->lock);
    q->error = e;
    q->end = rc < 0 ? -1 : 1;
    pthread_cond_signal(&q->not_empty);
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

struct record_queue *record_queue_open(const char *path, int depth, struct err *e) {
    struct jsonl *in = jsonl_open(path, e);
    if (!in) return NULL;
    struct record_queue *q = xcalloc(1, sizeof *q);
    q->in = in;
    q->depth = depth;
    q->ring = xcalloc((size_t)depth, sizeof *q->ring);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->not_empty, NULL);
    pthread_cond_init(&q->not_full, NULL);
    if (!pthread_create(&q->thread, NULL, read_all, q)) return q;
    err_set(e, RC_IO, "cannot start a thread to read %s", jsonl_name(in));
    jsonl_close(in);
    free(q->ring);
    free(q);
    return NULL;
}

int record_queue_take(struct record_queue *q, bool wait, struct record **r, struct err *e) {
    pthread_mutex_lock(&q->lock);
    while (wait && !q->n && !q->end) pthread_cond_wait(&q->not_empty, &q->lock);
    int rc = q->n ? 1 : q->end == 1 ? 0 : q->end < 0 ? -1 : 2;
    if (rc == 1) {
        *r = q->ring[q->head];
        q->head = (q->head + 1) % q->depth;
        q->n--;
        pthread_cond_signal(&q->not_full);
    }
    if (rc == -1 && e) *e = q->error;
    pthread_mutex_unlock(&q->lock);
    return rc;
}

void record_queue_close(struct record_queue *q) {
    if (!q) return;
    pthread_mutex_lock(&q->lock);
    bool ended = q->end;
    pthread_mutex_unlock(&q->lock);
    if (!ended) return; /* the thread may sit in read(2) and cannot be woken: it goes with the program */
    pthread_join(q->thread, NULL);
    for (; q->n; q->n--, q->head = (q->head + 1) % q->depth) record_free(q->ring[q->head]);
    jsonl_close(q->in);
    free(q->ring);
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->not_empty);
    pthread_cond_destroy(&q->not_full);
    free(q);
}

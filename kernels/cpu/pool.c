/* Threads that claim pieces of work: see pool.h.
   A job is open while `job` holds its number. A worker enters by raising `inside` and then looks at `job` again; the
   caller closes by clearing `job` and then waits for `inside` to fall to 0. Both orders are sequentially consistent, so
   either the worker sees the job closed or the caller sees the worker: nobody reads a job that is being replaced. */
#include "kernels/cpu/pool.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#define SPINS 2000 /* looks at `job`, some 30 µs, before a worker sleeps: about the pause between two ops of a token */

struct worker { struct pool *pool; pthread_t thread; int index; };
struct pool {
    int workers; /* beside the caller */
    struct worker *w;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_uint_fast64_t job; /* number of the open job, 0: none */
    uint64_t jobs;            /* numbers given out */
    atomic_int inside, asleep;
    atomic_bool stop;
    /* the open job */
    atomic_int_fast64_t next;
    int64_t n, grain;
    pool_fn *f;
    void *arg;
};

static inline void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void claim(struct pool *p, int thread) {
    int64_t i;
    while ((i = atomic_fetch_add(&p->next, p->grain)) < p->n) p->f(p->arg, i, p->n - i < p->grain ? p->n : i + p->grain, thread);
}

/* Waits until a job other than `seen` is open, and gives its number; 0 at the end of the pool */
static uint64_t next_job(struct pool *p, uint64_t seen) {
    uint64_t job;
    for (int i = 0; i < SPINS; i++) {
        if ((job = atomic_load(&p->job)) && job != seen) return job;
        if (atomic_load(&p->stop)) return 0;
        pause_briefly();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->asleep, 1); /* before the last look: the caller opens first and then looks for sleepers */
    while (!(job = atomic_load(&p->job)) || job == seen) {
        if (atomic_load(&p->stop)) {
            job = 0;
            break;
        }
        pthread_cond_wait(&p->wake, &p->lock);
    }
    atomic_fetch_sub(&p->asleep, 1);
    pthread_mutex_unlock(&p->lock);
    return job;
}

static void *work(void *arg) {
    struct worker *w = arg;
    struct pool *p = w->pool;
    uint64_t seen = 0;
    while ((seen = next_job(p, seen))) {
        atomic_fetch_add(&p->inside, 1);
        if (atomic_load(&p->job) == seen) claim(p, w->index);
        atomic_fetch_sub(&p->inside, 1);
    }
    return NULL;
}

static void wake_all(struct pool *p) {
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

void pool_run(struct pool *p, int64_t n, int64_t grain, pool_fn *f, void *arg) {
    if (p->workers == 0 || n <= grain) {
        if (n > 0) f(arg, 0, n, 0);
        return;
    }
    p->n = n;
    p->grain = grain;
    p->f = f;
    p->arg = arg;
    atomic_store(&p->next, 0);
    atomic_store(&p->job, ++p->jobs);
    if (atomic_load(&p->asleep)) wake_all(p);
    claim(p, 0);
    atomic_store(&p->job, 0);
    for (int i = 0; atomic_load(&p->inside); i++) i < SPINS ? pause_briefly() : (void)sched_yield();
}

struct pool *pool_new(int threads) {
    struct pool *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->w = calloc((size_t)threads, sizeof *p->w);
    for (; p->w && p->workers < threads - 1; p->workers++) {
        struct worker *w = &p->w[p->workers];
        *w = (struct worker){.pool = p, .index = p->workers + 1};
        if (pthread_create(&w->thread, NULL, work, w)) break;
    }
    if (p->w && p->workers == threads - 1) return p;
    pool_free(p);
    return NULL;
}

void pool_free(struct pool *p) {
    if (!p) return;
    atomic_store(&p->stop, true);
    wake_all(p);
    for (int i = 0; i < p->workers; i++) pthread_join(p->w[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->w);
    free(p);
}

/* The CPU device's threads. Work is claimed piece by piece and the caller works too, so a worker that is not scheduled
   (other programs want the processor) delays nobody: the caller waits only for pieces that were begun. A barrier over
   all threads, as OpenMP has it, then costs a time slice of 4 to 16 ms a call; here it costs nothing. */
#ifndef COADOR_POOL_H
#define COADOR_POOL_H
#include <stdint.h>

struct pool;
/* threads >= 1, the caller included. give: pool_free; NULL where the threads cannot be had */
struct pool *pool_new(int threads);
void pool_free(struct pool *p);
/* f over [0, n) in pieces of `grain` (the last one shorter), in any order, on threads 0..threads-1; returns when all are done.
   Only one caller at a time, and not from within f. */
typedef void pool_fn(void *arg, int64_t begin, int64_t end, int thread);
void pool_run(struct pool *p, int64_t n, int64_t grain, pool_fn *f, void *arg);
#endif

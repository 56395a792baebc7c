/* The pool: every piece exactly once, whatever the sizes; many short jobs; pauses long enough for workers to sleep. */
#include "tests/kernels/ktest.h"
#include <unistd.h>

struct count { int *done; int threads; int64_t grain; bool bad; };
static void mark(void *arg, int64_t i, int64_t end, int thread) {
    struct count *c = arg;
    if (thread < 0 || thread >= c->threads || i >= end || (c->threads > 1 && i % c->grain)) c->bad = true;
    for (; i < end; i++) c->done[i]++;
}

static void run(struct pool *p, int threads, int64_t n, int64_t grain) {
    static int done[5000];
    memset(done, 0, sizeof done);
    struct count c = {done, threads, grain, false};
    pool_run(p, n, grain, mark, &c);
    assert_false(c.bad);
    for (int64_t i = 0; i < 5000; i++) assert_int_equal(done[i], i < n);
}

static void test_each_once(void **state) {
    static const int sizes[] = {0, 1, 2, 3, 7, 64, 1000, 4999};
    for (int threads = 1; threads <= 5; threads++) {
        struct pool *p = pool_new(threads);
        assert_non_null(p);
        for (int s = 0; s < 8; s++)
            for (int64_t grain = 1; grain < 6000; grain = grain * 3 + 1) run(p, threads, sizes[s], grain);
        pool_free(p);
    }
}

/* Plain additions of two jobs in a row meet in memory: what a job wrote, the next one sees. */
static void add_one(void *arg, int64_t i, int64_t end, int thread) {
    for (; i < end; i++) ((int *)arg)[(i * 7) % 64]++;
}
static void test_many_short_jobs(void **state) {
    enum { JOBS = 20000 };
    struct pool *p = pool_new(3);
    int sum[64] = {0};
    for (int j = 0; j < JOBS; j++) {
        pool_run(p, 64, 16, add_one, sum);
        if (j % 4000 == 0) usleep(2000); /* workers fall asleep */
    }
    for (int i = 0; i < 64; i++) assert_int_equal(sum[i], JOBS);
    pool_free(p);
}

static void test_idle_pools_end(void **state) {
    for (int i = 0; i < 50; i++) {
        struct pool *p = pool_new(1 + i % 4);
        if (i % 3 == 0) usleep(500);
        pool_free(p);
    }
    pool_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_once), cmocka_unit_test(test_many_short_jobs), cmocka_unit_test(test_idle_pools_end)};
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}

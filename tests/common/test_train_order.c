/* Row order and learning rates. Rates are transformers' (tests/oracle/train_schedules.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/train/order.h"
#include "common/train/schedule.h"
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_schedules(void **state) {
    static const char *const names[] = {"constant", "constant_with_warmup", "linear", "cosine"};
    char path[4096], line[200], kind[40];
    double steps, factor;
    long long total, done;
    int n = 0;
    snprintf(path, sizeof path, "%s/tests/data/train/schedules.csv", getenv("SRC") ? getenv("SRC") : ".");
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    while (fgets(line, sizeof line, f)) {
        assert_int_equal(sscanf(line, "%39[^,],%lf,%lld,%lld,%lf", kind, &steps, &total, &done, &factor), 5);
        struct schedule s = {SCHEDULE_CONSTANT, 4e-4, schedule_warmup(steps, 0, total), total};
        while (strcmp(kind, names[s.kind])) s.kind++;
        double rate = schedule_lr(&s, done);
        if (!(fabs(rate - 4e-4 * factor) <= 1e-15 * 4e-4)) fail_msg("%s got %.17g", line, rate);
        n++;
    }
    fclose(f);
    assert_true(n > 200);
}

static void test_warmup_ratio(void **state) {
    assert_int_equal(schedule_warmup(0, 0.03, 100), 3);
    assert_int_equal(schedule_warmup(0, 0.03, 101), 4);
    assert_int_equal(schedule_warmup(7, 0.03, 100), 7);
    assert_int_equal(schedule_warmup(0, 0, 100), 0);
}

static bool is_permutation(const int64_t *order, int n) {
    bool *seen = calloc((size_t)n, sizeof *seen), good = true;
    for (int i = 0; i < n; i++) {
        if (order[i] < 0 || order[i] >= n || seen[order[i]]) good = false;
        else seen[order[i]] = true;
    }
    free(seen);
    return good;
}

enum { N = 1003 };
static void test_shuffle(void **state) {
    static int64_t a[N], b[N];
    order_epoch(a, N, SAMPLING_RANDOM, 42, 0, NULL, 16);
    assert_true(is_permutation(a, N));
    order_epoch(b, N, SAMPLING_RANDOM, 42, 0, NULL, 16);
    assert_memory_equal(a, b, sizeof a);
    order_epoch(b, N, SAMPLING_RANDOM, 42, 1, NULL, 16);
    assert_true(is_permutation(b, N) && memcmp(a, b, sizeof a));
    order_epoch(b, N, SAMPLING_RANDOM, 43, 0, NULL, 16);
    assert_true(memcmp(a, b, sizeof a));
    order_epoch(a, N, SAMPLING_SEQUENTIAL, 42, 0, NULL, 16);
    for (int i = 0; i < N; i++) assert_int_equal(a[i], i);
    order_epoch(a, 1, SAMPLING_RANDOM, 42, 0, NULL, 16);
    assert_int_equal(a[0], 0);
}

/* Each of 6 orders of 3 rows about as often: 6,000 draws, expected 1,000 each, sd 29. */
static void test_shuffle_is_fair(void **state) {
    int count[27] = {0};
    int64_t o[3];
    for (int epoch = 0; epoch < 6000; epoch++) {
        order_epoch(o, 3, SAMPLING_RANDOM, 9, epoch, NULL, 1);
        count[o[0] * 9 + o[1] * 3 + o[2]]++;
    }
    const int orders[] = {5, 7, 11, 15, 19, 21};
    for (int i = 0; i < 6; i++) assert_in_range(count[orders[i]], 870, 1130);
}

static void test_groups(void **state) {
    static int64_t o[N], plain[N];
    static int32_t length[N];
    int64_t step = 16, run = N / (step * 4) * step;
    for (int i = 0; i < N; i++) length[i] = 10 + (i * 7919) % 301;
    length[500] = 1000;
    order_epoch(o, N, SAMPLING_GROUP_BY_LENGTH, 42, 3, length, step);
    assert_true(is_permutation(o, N));
    assert_int_equal(o[0], 500); /* the longest first */
    order_epoch(plain, N, SAMPLING_RANDOM, 42, 3, length, step);
    assert_true(memcmp(o, plain, sizeof o));
    for (int i = 0, swapped = 0; i + 1 < N; i++) {
        if ((i + 1) % run == 0 || i == 0) continue;     /* a new run starts, or the row swapped to the front */
        if (length[o[i]] < length[o[i + 1]]) swapped++; /* where the longest came from */
        assert_in_range(swapped, 0, 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_schedules), cmocka_unit_test(test_warmup_ratio), cmocka_unit_test(test_shuffle),
        cmocka_unit_test(test_shuffle_is_fair), cmocka_unit_test(test_groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* For C tests of training: a run's metrics.jsonl against golden losses and gradient norms. */
#ifndef STEPS_H
#define STEPS_H
#include "common/io/io.h"
#include "common/io/jsonl.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Each of the 20 steps in dir: losses within 1e-5, gradient norms within 1e-4, relative. */
static void check_steps(const char *dir, const struct json *golden) {
    char *path = io_join(dir, "metrics.jsonl");
    struct err e = ERR_INIT;
    struct jsonl *in = jsonl_open(path, &e);
    assert_non_null(in);
    const struct json *loss = json_get(golden, "loss")->first, *norm = json_get(golden, "grad_norm")->first;
    double worst[2] = {0, 0};
    struct record *rec;
    int rc, n = 0;
    for (; (rc = jsonl_next(in, &rec, &e)) > 0; record_free(rec), loss = loss->next, norm = norm->next, n++) {
        assert_non_null(loss);
        double a = fabs(record_get(rec, "loss")->number / loss->number - 1), b = fabs(record_get(rec, "grad_norm")->number / norm->number - 1);
        if (!(a <= 1e-5)) fail_msg("step %d: loss %.9g, expected %.9g", n + 1, record_get(rec, "loss")->number, loss->number);
        if (!(b <= 1e-4)) fail_msg("step %d: gradient norm %.9g, expected %.9g", n + 1, record_get(rec, "grad_norm")->number, norm->number);
        worst[0] = fmax(worst[0], a);
        worst[1] = fmax(worst[1], b);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(n, 20);
    printf("# largest difference: loss %.1e, gradient norm %.1e\n", worst[0], worst[1]);
    jsonl_close(in);
    free(path);
}
#endif

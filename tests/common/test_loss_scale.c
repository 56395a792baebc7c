/* Dynamic loss scaling against torch.amp.GradScaler's rules. */
#include "common/train/loss_scale.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void after(struct loss_scale *s, int n, bool finite) {
    struct err e = ERR_INIT;
    for (int i = 0; i < n; i++) assert_int_equal(loss_scale_after(s, 1, finite, &e), 0);
}

static void test_off(void **state) {
    struct loss_scale s = loss_scale_start(DT_F32), t = loss_scale_start(DT_BF16);
    assert_true(s.scale == 0 && t.scale == 0 && loss_scale_factor(&s) == 1);
}

/* Doubled by 2,000 updates without a skip between them; a skip halves it and the count begins anew. */
static void test_rules(void **state) {
    struct loss_scale s = loss_scale_start(DT_F16);
    assert_true(s.scale == 65536 && loss_scale_factor(&s) == 65536);
    after(&s, 1999, true);
    assert_true(s.scale == 65536);
    after(&s, 1, true);
    assert_true(s.scale == 131072 && s.updates == 0);
    after(&s, 1999, true);
    after(&s, 3, false);
    assert_true(s.scale == 16384 && s.skipped == 3 && s.in_a_row == 3);
    after(&s, 1999, true);
    assert_true(s.scale == 16384 && s.in_a_row == 0 && s.skipped == 3);
    after(&s, 1, true);
    assert_true(s.scale == 32768);
}

/* A scale that f32 does not hold is not taken. */
static void test_largest(void **state) {
    struct loss_scale s = {.scale = 0x1p127};
    after(&s, 2000, true);
    assert_true(s.scale == 0x1p127);
}

static void test_alarms(void **state) {
    struct err e = ERR_INIT;
    struct loss_scale s = {.scale = 0x1p60};
    after(&s, LOSS_SCALE_SKIPS - 1, false);
    assert_int_equal(loss_scale_after(&s, 31, false, &e), -1);
    assert_int_equal(e.code, RC_NEGATIVE);
    assert_non_null(strstr(e.msg, "20 steps up to step 31"));
    s = loss_scale_start(DT_F16);
    after(&s, 16, false);
    assert_true(s.scale == 1);
    assert_int_equal(loss_scale_after(&s, 17, false, &e), -1);
    assert_non_null(strstr(e.msg, "step 17 is not finite at a loss scale of 1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_off), cmocka_unit_test(test_rules), cmocka_unit_test(test_largest), cmocka_unit_test(test_alarms)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

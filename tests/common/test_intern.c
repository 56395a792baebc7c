/* Strings to numbers: many, long ones among short ones, empty, with NUL bytes inside. */
#include "common/io/intern.h"
#include "common/io/buf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void test_numbers(void **state) {
    (void)state;
    struct intern t = {0};
    struct buf b = BUF_INIT;
    int is_new;
    enum { MANY = 20000 };
    assert_int_equal(intern_find(&t, "a", 1), -1);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < MANY; i++) {
            buf_clear(&b);
            buf_addf(&b, "row-%d", i);
            while (i % 5000 == 4999 && b.n < 40000) buf_addc(&b, 'x'); /* more than a block */
            assert_int_equal(intern_add(&t, b.p, b.n, &is_new), i);
            assert_int_equal(is_new, !round);
            assert_true(intern_is(&t, i, b.p, b.n));
            assert_false(intern_is(&t, i, b.p, b.n - 1));
            assert_string_equal(t.key[i], b.p);
        }
    assert_int_equal(t.n, MANY);
    assert_int_equal(intern_find(&t, "row-20000", 9), -1);
    assert_false(intern_is(&t, MANY, "row-0", 5));
    assert_false(intern_is(&t, -1, "row-0", 5));
    buf_release(&b);
    intern_release(&t);
    assert_int_equal(t.n, 0);
}

static void test_any_bytes(void **state) {
    (void)state;
    struct intern t = {0};
    assert_int_equal(intern_add(&t, "a", 1, NULL), 0);
    assert_int_equal(intern_add(&t, "a\0", 2, NULL), 1);
    assert_int_equal(intern_add(&t, "", 0, NULL), 2);
    assert_int_equal(intern_add(&t, "\0", 1, NULL), 3);
    assert_int_equal(intern_find(&t, "a\0b", 2), 1);
    assert_int_equal(intern_find(&t, "a\0b", 3), -1);
    assert_int_equal(intern_find(&t, "", 0), 2);
    intern_release(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_any_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Splits by content, few-shot choice, ids. */
#include "common/io/buf.h"
#include "common/text/rowids.h"
#include "common/text/shots.h"
#include "common/text/split.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void refuses(const char *spec, const char *expected) {
    struct split s;
    struct err e = ERR_INIT;
    assert_int_equal(split_parse(&s, spec, 0, &e), -1);
    assert_string_equal(e.msg, expected);
    assert_int_equal(e.code, RC_USAGE);
}

static void test_parse(void **state) {
    struct split s;
    struct err e = ERR_INIT;
    assert_int_equal(split_parse(&s, "train=0.7,dev-1=0.1,test=0.2", 3, &e), 0);
    assert_int_equal(s.n, 3);
    assert_int_equal(split_find(&s, "dev-1"), 1);
    assert_int_equal(split_find(&s, "dev"), -1);
    assert_int_equal(split_parse(&s, "all=1", 0, &e), 0);
    refuses("train=0.7,test=0.2", "--split train=0.7,test=0.2: the fractions sum to 0.9, expected 1");
    refuses("a=0.7,b=0.3000001", "--split a=0.7,b=0.3000001: the fractions sum to 1.0000001, expected 1");
    refuses("a=0.5,a=0.5", "--split a=0.5,a=0.5: part a stands twice");
    refuses("a=nan", "--split a=nan: a=nan: expected a fraction above 0 and up to 1");
    refuses("a=0,b=1", "--split a=0,b=1: a=0: expected a fraction above 0 and up to 1");
    refuses("a=-1,b=2", "--split a=-1,b=2: a=-1: expected a fraction above 0 and up to 1");
    refuses("a=,b=1", "--split a=,b=1: a=: expected a fraction above 0 and up to 1");
    refuses("a=1,", "--split a=1,: '' is not a part, expected NAME=FRACTION");
    refuses("0.7", "--split 0.7: '0.7' is not a part, expected NAME=FRACTION");
    refuses("", "--split : '' is not a part, expected NAME=FRACTION");
    refuses("a=0.5x,b=0.5", "--split a=0.5x,b=0.5: a=0.5x: expected a fraction above 0 and up to 1");
}

/* Binomial bounds of 5 sigma; other seeds give other splits; pinned values keep splits as they are across versions. */
static void test_parts(void **state) {
    struct split s, other;
    struct err e = ERR_INIT;
    int count[3] = {0}, moved = 0;
    assert_int_equal(split_parse(&s, "a=0.7,b=0.2,c=0.1", 1, &e), 0);
    assert_int_equal(split_parse(&other, "a=0.7,b=0.2,c=0.1", 2, &e), 0);
    for (uint64_t key = 0; key < 20000; key++) {
        count[split_part(&s, key)]++;
        moved += split_part(&s, key) != split_part(&other, key);
    }
    assert_in_range(count[0], 14000 - 324, 14000 + 324);
    assert_in_range(count[1], 4000 - 283, 4000 + 283);
    assert_in_range(count[2], 2000 - 212, 2000 + 212);
    assert_in_range(moved, 20000 * 0.46 - 353, 20000 * 0.46 + 353);
    /* python3 -c "import hashlib; print(hashlib.sha256((1).to_bytes(8,'little')+(2).to_bytes(8,'little')).hexdigest()[:16])" */
    assert_true(split_hash(1, 2) == 0x0c730b69905c5ef7u);
}

static void test_shots(void **state) {
    struct shots *s = shots_new(2, 7, "\n");
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT, again = BUF_INIT;
    int seen[6] = {0};
    for (uint64_t i = 0; i < 6; i++) shots_add(s, (struct row_key){i, i / 2}, (char[]){(char)('0' + i)}, 1);
    for (int i = 0; i < 300; i++) {
        char id[20];
        int n = snprintf(id, sizeof id, "row%d", i);
        assert_true(n > 0);
        struct row_key key = {(uint64_t)i % 6, (uint64_t)i % 6 / 2};
        buf_clear(&b);
        buf_clear(&again);
        assert_int_equal(shots_put(s, id, key, &b, &e), 0);
        assert_int_equal(shots_put(s, id, key, &again, &e), 0);
        assert_int_equal(b.n, 4);
        assert_memory_equal(b.p, again.p, 4);
        int x = b.p[0] - '0', y = b.p[2] - '0';
        assert_true(x != y && x / 2 != (i % 6) / 2 && y / 2 != (i % 6) / 2);
        seen[x]++, seen[y]++;
    }
    for (int i = 0; i < 6; i++) assert_in_range(seen[i], 60, 140); /* 100 expected, sigma 7 */
    /* Equal text in another group is still the row's own. */
    struct shots *few = shots_new(1, 0, "");
    shots_add(few, (struct row_key){1, 1}, "x", 1);
    assert_int_equal(shots_put(few, "id", (struct row_key){1, 2}, &b, &e), -1);
    assert_string_equal(e.msg, "only 0 labelled training rows of other text and group, expected the 1 of --shots");
    assert_int_equal(shots_put(few, "id", (struct row_key){2, 2}, &b, &e), 0);
    shots_free(few);
    shots_free(s);
    buf_release(&b);
    buf_release(&again);
}

static void test_ids(void **state) {
    struct rowids *r = rowids_new();
    struct cell a[] = {{"ab", 2}, {"c", 1}}, b[] = {{"a", 1}, {"bc", 2}};
    char first[ROWID_SIZE], id[ROWID_SIZE];
    struct buf scratch = BUF_INIT;
    uint64_t hash = cells_hash(a, 2, NULL, &scratch);
    assert_int_equal(rowids_put(r, hash, first, NULL), 0);
    assert_int_equal(strlen(first), 16);
    /* python3 -c "import hashlib; print(hashlib.sha256(b'2:ab1:c').hexdigest()[:16])" */
    assert_string_equal(first, "430fb1b4ac43316e");
    assert_int_equal(rowids_put(r, cells_hash(b, 2, NULL, &scratch), id, NULL), 0);
    assert_string_not_equal(id, first);
    for (int i = 2; i < 12; i++) {
        char expected[80];
        snprintf(expected, sizeof expected, "%s-%d", first, i);
        assert_int_equal(rowids_put(r, hash, id, NULL), 0);
        assert_string_equal(id, expected);
    }
    buf_release(&scratch);
    assert_int_equal(rowids_first(r, "x", 1, 5), 0);
    assert_int_equal(rowids_first(r, "y", 1, 6), 0);
    assert_int_equal(rowids_first(r, "x", 1, 7), 5);
    rowids_free(r);
    r = rowids_new();
    for (int i = 0; i < 5000; i++) {
        int n = snprintf(id, sizeof id, "%d", i);
        assert_int_equal(rowids_first(r, id, (size_t)n, i + 1), 0);
    }
    assert_int_equal(rowids_first(r, "4321", 4, 9999), 4322);
    rowids_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parse), cmocka_unit_test(test_parts), cmocka_unit_test(test_shots),
                                       cmocka_unit_test(test_ids)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

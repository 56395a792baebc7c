/* Records under way: order of numbers, a full window, slots used again, and what comes before a broken line. */
#include "common/io/window.h"
#include "scratch.h"

struct slot {
    struct record *r;
    bool done;
    int used; /* times */
};

static const char *file_of(const char *text) { return scratch_file("records.jsonl", text, strlen(text)); }

static int take(struct window *w, struct err *e) {
    struct record *r;
    int rc = window_take(w, true, &r, e);
    if (rc != 1) return rc;
    struct slot *s = window_at(w, w->next - 1);
    *s = (struct slot){r, false, s->used + 1};
    return 1;
}

/* The `a`s of the oldest records that are done, which go out. */
static void emit(struct window *w, struct buf *b) {
    for (struct slot *s; (s = window_oldest(w)) && s->done; window_drop(w)) {
        buf_addf(b, "%g ", record_get(s->r, "a")->number);
        record_free(s->r);
    }
}

static void finish(struct window *w, uint64_t number) { ((struct slot *)window_at(w, number))->done = true; }

static void test_order(void **unused) {
    struct window w;
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT;
    assert_int_equal(window_open(&w, file_of("{\"a\":0}\n{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n"), 8, 3, sizeof(struct slot), &e), 0);
    assert_true(window_empty(&w) && !window_oldest(&w));
    for (int i = 0; i < 3; i++) assert_int_equal(take(&w, &e), 1);
    assert_true(window_full(&w));
    assert_int_equal(take(&w, &e), 0); /* although a fourth is there */
    assert_false(w.ended);
    finish(&w, 2);
    emit(&w, &b);
    assert_int_equal(b.n, 0); /* the first is not done */
    finish(&w, 0);
    emit(&w, &b);
    assert_string_equal(b.p, "0 ");
    assert_int_equal(take(&w, &e), 1);
    assert_int_equal(((struct slot *)window_at(&w, 3))->used, 2); /* the slot of record 0 */
    finish(&w, 3);
    finish(&w, 1);
    emit(&w, &b);
    assert_string_equal(b.p, "0 1 2 3 ");
    assert_int_equal(take(&w, &e), 0);
    assert_true(w.ended && window_empty(&w));
    assert_int_equal(w.next, 4);
    buf_release(&b);
    window_close(&w);
}

static void test_broken(void **unused) {
    struct window w;
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT;
    assert_int_equal(window_open(&w, file_of("{\"a\":0}\n{\"a\":\n"), 8, 3, sizeof(struct slot), &e), 0);
    assert_int_equal(take(&w, &e), 1); /* what came before is given first */
    assert_int_equal(take(&w, &e), -1);
    assert_err(&e, RC_INPUT, ":2: ");
    finish(&w, 0);
    emit(&w, &b);
    assert_string_equal(b.p, "0 ");
    buf_release(&b);
    window_close(&w);
    assert_int_equal(window_open(&w, scratch("absent"), 8, 3, sizeof(struct slot), &e), -1);
    assert_err(&e, RC_IO, "absent");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_broken)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

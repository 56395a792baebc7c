/* The cache of answers: what was saved is found again, a cut last line goes, anything else that is broken is an error. */
#include "common/label/cache.h"
#include "scratch.h"
#include <stdatomic.h>
#include <sys/stat.h>

static void key_of(int i, char key[SHA256_HEX]) { sha256_hex(&i, sizeof i, key); }

static struct cache *open_cache(const char *path) {
    struct err e = ERR_INIT;
    struct cache *c = cache_open(path, NULL, NULL, &e);
    if (!c) fail_msg("%s", e.msg);
    return c;
}

static void close_cache(struct cache *c) {
    struct err e = ERR_INIT;
    if (cache_close(c, &e)) fail_msg("%s", e.msg);
}

static void add(struct cache *c, int i, const char *raw) {
    char key[SHA256_HEX];
    key_of(i, key);
    cache_add(c, key, raw, strlen(raw));
}

static void finds(struct cache *c, int i, const char *expected) {
    char key[SHA256_HEX];
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    key_of(i, key);
    int rc = cache_find(c, key, &b, &e);
    if (rc < 0) fail_msg("%s", e.msg);
    assert_int_equal(rc, expected != NULL);
    if (expected) assert_string_equal(b.p, expected);
    buf_release(&b);
}

static void test_round_trip(void **state) {
    char raw[64];
    const char *path = scratch("round");
    struct cache *c = open_cache(path);
    for (int i = 0; i < 500; i++) {
        snprintf(raw, sizeof raw, "{\"text\":\"é %d\"}", i);
        add(c, i, raw);
        finds(c, i, raw); /* at once: also before the thread has written it */
    }
    add(c, 3, "{\"text\":\"later\"}"); /* the first stays */
    finds(c, 3, "{\"text\":\"é 3\"}");
    finds(c, 500, NULL);
    close_cache(c);
    c = open_cache(path);
    assert_int_equal(cache_count(c), 500);
    finds(c, 499, "{\"text\":\"é 499\"}");
    finds(c, 3, "{\"text\":\"é 3\"}");
    close_cache(c);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 077, 0); /* answers are nobody else's business */
}

static atomic_int wakes;
static void wake(void *arg) { atomic_fetch_add(&wakes, 1); }

static void test_saved(void **state) {
    struct err e = ERR_INIT;
    uint64_t saved = 0, last = 0;
    char key[SHA256_HEX];
    struct cache *c = cache_open(scratch("saved"), wake, NULL, &e);
    for (int i = 0; i < 20; i++) {
        key_of(i, key);
        last = cache_add(c, key, "{}", 2);
        assert_int_equal(last, (uint64_t)i + 1);
    }
    for (int i = 0; i < 5000 && saved < last; i++) {
        assert_int_equal(cache_saved(c, &saved, &e), 0);
        usleep(1000);
    }
    assert_int_equal(saved, last);
    assert_in_range(atomic_load(&wakes), 1, 20);
    close_cache(c);
}

/* Whatever is cut from the end: the whole lines before it are there, the file is as long as they are, and grows soundly. */
static void test_cut_anywhere(void **state) {
    const char *path = scratch("cut");
    struct cache *c = open_cache(path);
    for (int i = 0; i < 3; i++) add(c, i, "{\"text\":\"abc\"}");
    close_cache(c);
    struct buf whole = slurp(path);
    size_t line = whole.n / 3;
    for (size_t n = 0; n <= whole.n; n++) {
        scratch_file("cut", whole.p, n);
        c = open_cache(scratch("cut"));
        assert_int_equal(cache_count(c), n / line);
        add(c, 7, "{\"text\":\"new\"}");
        close_cache(c);
        c = open_cache(scratch("cut"));
        assert_int_equal(cache_count(c), n / line + 1);
        finds(c, 7, "{\"text\":\"new\"}");
        close_cache(c);
    }
    buf_release(&whole);
}

static void refused(const char *text, const char *part) {
    struct err e = ERR_INIT;
    assert_null(cache_open(scratch_file("bad", text, strlen(text)), NULL, NULL, &e));
    assert_err(&e, RC_INPUT, part);
}

static void test_broken(void **state) {
    refused("{}\n", "bad:1: not an answer");
    refused("\n", "bad:1: ");
    refused("{\"key\":\"0123\",\"answer\":{}}\n", "bad:1: not an answer");
    refused("{\"answer\":{},\"key\":\"0123456789012345678901234567890123456789012345678901234567890123\"}\n", "bad:1: not an answer");
    refused("{\"key\":\"0123456789012345678901234567890123456789012345678901234567890123\",\"answer\":[1]}\n", "bad:1: not an answer");
    refused("{\"key\":\"0123456789012345678901234567890123456789012345678901234567890123\",\"answer\":{},\"more\":1}\n", "bad:1: not an answer");
    refused("{\"key\":\"0123456789012345678901234567890123456789012345678901234567890123\",\"answer\":{}}\n{\"key\":\n", "bad:2: ");
}

static void test_one_at_a_time(void **state) {
    struct err e = ERR_INIT;
    struct cache *c = open_cache(scratch("held"));
    assert_null(cache_open(scratch("held"), NULL, NULL, &e));
    assert_err(&e, RC_IO, "in use by another run");
    close_cache(c);
    close_cache(open_cache(scratch("held")));
    assert_null(cache_open(scratch("no/such/folder"), NULL, NULL, &e));
    assert_err(&e, RC_IO, "cannot open");
}

static void test_full_disk(void **state) {
    struct err e = ERR_INIT;
    if (access("/dev/full", W_OK)) skip();
    struct cache *c = cache_open("/dev/full", NULL, NULL, &e);
    if (!c) { /* a device cannot be mapped: it is refused before anything is written */
        assert_err(&e, RC_IO, "/dev/full");
        return;
    }
    add(c, 1, "{}");
    assert_int_equal(cache_close(c, &e), -1);
    assert_err(&e, RC_IO, "cannot write");
}

static void test_nameless(void **state) {
    struct cache *c = open_cache(NULL);
    add(c, 1, "{\"text\":\"x\"}");
    finds(c, 1, "{\"text\":\"x\"}");
    close_cache(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_saved), cmocka_unit_test(test_cut_anywhere), cmocka_unit_test(test_broken),
                                       cmocka_unit_test(test_one_at_a_time), cmocka_unit_test(test_full_disk), cmocka_unit_test(test_nameless)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

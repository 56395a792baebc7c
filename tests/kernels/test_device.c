/* The device verbs, and the poison device: host code that touches its memory must die, its ops must not. */
#include "tests/kernels/ktest.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct dev *open_dev(const char *name) {
    struct dev *d;
    const char *why;
    assert_int_equal(dev_open(&d, name, 2, &why), K_OK);
    return d;
}

static void test_open(void **state) {
    struct dev *d;
    const char *why = NULL;
    static const char *const none[] = {"tpu", "cuda:", "cuda:x", "cuda:1x", "cudart", "cuda:99999"};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(dev_open(&d, none[i], 1, &why), K_DEVICE);
        assert_true(d == NULL && strstr(why, "no such device"));
    }
    assert_int_equal(dev_open(&d, "cuda:9999", 1, &why), K_DEVICE); /* no CUDA part, no driver, or fewer cards */
    assert_true(d == NULL && strlen(why) > 10);
    setenv("COADOR_CUDA", "/nowhere/libcoador-cuda.so", 1);
    assert_int_equal(dev_open(&d, "cuda", 1, &why), K_DEVICE);
    assert_true(d == NULL && strstr(why, "no CUDA part") && strstr(why, "/nowhere/"));
    unsetenv("COADOR_DEVICE");
    assert_int_equal(dev_open(&d, "auto", 3, &why), K_OK);
    assert_string_equal(d->name, "cpu");
    d->close(d);
    setenv("COADOR_DEVICE", "ref", 1);
    assert_int_equal(dev_open(&d, "auto", 1, &why), K_OK);
    assert_string_equal(d->name, "ref");
    d->close(d);
    d = open_dev("cpu");
    assert_string_equal(d->name, "cpu");
    assert_int_equal(dev_threads(d), 2);
    assert_int_equal(d->act, DT_F32);
    assert_true(dev_cpu_features()[0]);
    d->close(d);
    assert_int_equal(dev_open(&d, "ref", 0, &why), K_OK);
    assert_true(dev_threads(d) >= 1);
    d->close(d);
}

static void verbs(const char *name) {
    struct dev *d = open_dev(name);
    struct kctx *c = d->ctx;
    char host[100], back[100];
    void *p[300], *q;
    const void *view;
    for (int i = 0; i < 100; i++) host[i] = (char)i;
    for (int i = 0; i < 300; i++) { /* small and large */
        assert_int_equal(d->alloc(c, &p[i], i % 100 ? (size_t)i * 8 : (size_t)3 << 20), K_OK);
        assert_int_equal((uintptr_t)p[i] % 64, 0);
    }
    assert_int_equal(d->upload(c, p[50], host, 100), K_OK);
    assert_int_equal(d->copy(c, p[51], p[50], 100), K_OK);
    assert_int_equal(d->download(c, back, p[51], 100), K_OK);
    assert_memory_equal(host, back, 100);
    assert_int_equal(d->zero(c, (char *)p[51] + 10, 20), K_OK);
    d->download(c, back, p[51], 100);
    assert_true(back[9] == 9 && back[10] == 0 && back[29] == 0 && back[30] == 30);
    for (int i = 0; i < 300; i += 2) d->free(c, p[i]);
    assert_int_equal(d->alloc(c, &q, 0), K_OK); /* nothing, but a pointer of its own */
    assert_non_null(q);
    assert_int_equal(d->map_host(c, &view, host, 100), K_OK);
    d->download(c, back, view, 100);
    assert_memory_equal(host, back, 100);
    d->unmap_host(c, view);
    d->free(c, NULL);
    assert_null(d->alloc_paged); /* there is no other side to page to */
    struct kgraph *g = NULL;
    assert_int_equal(d->event_wait(c, d->event_record(c)), K_OK);
    assert_int_equal(d->graph_begin(c), K_UNSUPPORTED);
    assert_int_equal(d->graph_end(c, &g), K_UNSUPPORTED);
    assert_int_equal(d->sync(c), K_OK);
    d->close(d); /* what was not freed goes with the device: the leak checkers watch */
}

static void test_verbs(void **state) {
    verbs("cpu");
    verbs("ref");
    verbs("poison");
}

/* More than the machine has: an answer, not a promise that ends in a kill. The same under a limit on address space. */
static void test_no_memory(void **state) {
    struct dev *d = open_dev("cpu");
    size_t left, total;
    void *p;
    assert_int_equal(d->memory_info(d->ctx, &left, &total), K_OK);
    assert_true(left > 0 && left <= total * 2 && total > 1 << 20);
    assert_int_equal(d->alloc(d->ctx, &p, left + ((size_t)1 << 30)), K_NOMEM);
    assert_null(p);
    assert_int_equal(d->alloc(d->ctx, &p, SIZE_MAX - 10), K_NOMEM);
    assert_int_equal(d->alloc(d->ctx, &p, (size_t)1 << 45), K_NOMEM);
    d->close(d);
#if !defined(__SANITIZE_ADDRESS__) /* its shadow alone is terabytes */
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {(rlim_t)1 << 30, (rlim_t)1 << 30};
        const char *why;
        if (dev_open(&d, "cpu", 2, &why) != K_OK || setrlimit(RLIMIT_AS, &limit)) _exit(1);
        _exit(d->alloc(d->ctx, &p, (size_t)2 << 30) == K_NOMEM ? 0 : 2);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#endif
}

/* Runs what in a child: true if it died of SIGSEGV. */
static bool dies(void (*what)(struct dev *)) {
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer would answer it */
        signal(SIGBUS, SIG_DFL);
        struct dev *d;
        const char *why;
        if (dev_open(&d, "poison", 1, &why) != K_OK) _exit(3);
        what(d);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static float *some(struct dev *d) {
    void *p;
    return d->alloc(d->ctx, &p, 64 * sizeof(float)) == K_OK ? p : NULL;
}
static void nothing(struct dev *d) { d->zero(d->ctx, some(d), 256); }
static void reads(struct dev *d) {
    volatile float *p = some(d);
    if (p[3] > 0) _exit(4);
}
static void writes_after_op(struct dev *d) {
    float *p = some(d), *q = some(d);
    d->add(d->ctx, p, q, 64);
    *(volatile float *)p = 1;
}
static void reads_mapping(struct dev *d) {
    static const float host[4] = {1, 2, 3, 4};
    const void *p;
    if (d->map_host(d->ctx, &p, host, sizeof host) != K_OK) _exit(4);
    if (*(volatile const float *)p > 5) _exit(4);
}
static void reads_after_download(struct dev *d) {
    float back[64], *p = some(d);
    d->download(d->ctx, back, p, sizeof back);
    if (*(volatile float *)p > 5) _exit(4);
}

static void test_poison(void **state) {
    assert_false(dies(nothing));
    assert_true(dies(reads));
    assert_true(dies(writes_after_op));
    assert_true(dies(reads_mapping));
    assert_true(dies(reads_after_download));
}

/* Its ops are those of the cpu. */
static void test_poison_ops(void **state) {
    struct dev *d[2] = {open_dev("cpu"), open_dev("poison")};
    float host[64], y[2][64];
    for (int i = 0; i < 64; i++) host[i] = normal();
    for (int i = 0; i < 2; i++) {
        struct kctx *c = d[i]->ctx;
        float *a = some(d[i]), *b = some(d[i]), *w = some(d[i]);
        struct weight m = weight_plain(DT_F32, 8, 8, w);
        d[i]->upload(c, a, host, sizeof host);
        d[i]->upload(c, w, host, sizeof host);
        d[i]->linear(c, 0, b, a, &m, 8);
        d[i]->swiglu(c, b, b, a, 64);
        d[i]->rmsnorm(c, b, NULL, b, w, 1e-5f, 8, 8);
        d[i]->download(c, y[i], b, sizeof y[i]);
        assert_int_equal(d[i]->sync(c), K_OK);
        d[i]->close(d[i]);
    }
    assert_memory_equal(y[0], y[1], sizeof y[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_open), cmocka_unit_test(test_verbs), cmocka_unit_test(test_no_memory), cmocka_unit_test(test_poison), cmocka_unit_test(test_poison_ops)};
    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}

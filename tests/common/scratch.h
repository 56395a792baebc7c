/* For C tests: a scratch folder that goes at exit, whole files in and out, and "this fails, and says so". */
#ifndef SCRATCH_H
#define SCRATCH_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "common/io/io.h"

static char scratch_dir[200];

__attribute__((unused)) static void scratch_remove(void) {
    struct err e;
    if (scratch_dir[0]) io_remove_tree(scratch_dir, &e);
}

/* Path of `name` in the scratch folder; one of four static buffers. */
__attribute__((unused)) static const char *scratch(const char *name) {
    static char path[4][400];
    static int turn;
    if (!scratch_dir[0]) {
        const char *t = getenv("TMPDIR");
        snprintf(scratch_dir, sizeof scratch_dir, "%s/coador-test-XXXXXX", t ? t : "/tmp");
        assert_non_null(mkdtemp(scratch_dir));
        atexit(scratch_remove);
    }
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", scratch_dir, name);
    return path[turn];
}

/* Writes without fsync: tests write thousands of small files. */
__attribute__((unused)) static const char *scratch_file(const char *name, const void *p, size_t n) {
    const char *path = scratch(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    if (n) assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return path;
}

__attribute__((unused)) static struct buf slurp(const char *path) {
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    if (io_read_all(path, 0, &b, &e) < 0) fail_msg("%s", e.msg);
    return b;
}

/* The error has this code and its text contains `part`. */
__attribute__((unused)) static void assert_err(const struct err *e, int code, const char *part) {
    if (e->code != code || !strstr(e->msg, part)) fail_msg("got %d \"%s\", expected %d \"…%s…\"", e->code, e->msg, code, part);
}
#endif

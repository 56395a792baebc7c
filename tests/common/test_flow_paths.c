/* Clean paths of dependencies and outs; hashes of files and folders with their memory. */
#include "common/flow/flow.h"
#include "common/flow/hashes.h"
#include "common/io/io.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static void cleaning(void **state) {
    static const char *const pairs[][2] = {
        {"a", "a"}, {"./a", "a"}, {"a/", "a"}, {"a//b/./c", "a/b/c"}, {"a/../b", "b"}, {"a/b/../../c", "c"}, {"../x", "../x"}, {"../../x/../y", "../../y"},
        {"a/../../x", "../x"}, {"../nyt/a", "a"}, {"../../p/nyt/d/a", "d/a"}, {"../nyt2/a", "../nyt2/a"}, {"/etc/x", "/etc/x"}, {"/r/p/nyt/a", "a"},
        {"/r/p/../p/nyt/a", "a"}, {"/../etc", "/etc"}, {"..a", "..a"}, {"a/..b", "a/..b"}, {"../../../../x", "../../../../x"}, {"../../../..//r/p/nyt/z", "z"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct err e = ERR_INIT;
        char *p = flow_clean("/r/p/nyt", pairs[i][0], false, &e);
        if (!p || strcmp(p, pairs[i][1])) fail_msg("%s: %s, expected %s", pairs[i][0], p ? p : e.msg, pairs[i][1]);
        free(p);
    }
}

static void cleaning_refuses(void **state) {
    static const char *const itself[] = {".", "./", "a/..", "../nyt", "/r/p/nyt/", "", "../../p/nyt/."};
    static const char *const outside[] = {"..", "../x", "/x", "/r/p", "a/../../b", "/r/p/nyt2"};
    struct err e = ERR_INIT;
    for (size_t i = 0; i < sizeof itself / sizeof *itself; i++) {
        assert_null(flow_clean("/r/p/nyt", itself[i], i & 1, &e));
        assert_non_null(strstr(e.msg, "folder itself"));
    }
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        assert_null(flow_clean("/r/p/nyt", outside[i], true, &e));
        assert_non_null(strstr(e.msg, "outside the pipeline's folder"));
    }
}

static void inside(void **state) {
    assert_true(flow_inside("a/b", "a"));
    assert_true(flow_inside("a", "a"));
    assert_true(flow_inside("/x", "/"));
    assert_false(flow_inside("ab", "a"));
    assert_false(flow_inside("a", "a/b"));
    assert_true(flow_outside("../x"));
    assert_true(flow_outside("/x"));
    assert_false(flow_outside("..x"));
}

/* ---- hashes ---- */
static char *dir;

static int make_dir(void **state) {
    char template[] = "/tmp/flow-hashes-XXXXXX";
    dir = strdup(mkdtemp(template));
    return chdir(dir);
}

static int remove_dir(void **state) {
    struct err e;
    int rc = chdir("/");
    rc |= io_remove_tree(dir, &e);
    free(dir);
    return rc;
}

static void put(const char *path, const char *content) {
    struct err e;
    assert_int_equal(io_write_file(path, content, strlen(content), &e), 0);
}

static void hash(const char *path, char hex[SHA256_HEX]) {
    struct err e = ERR_INIT;
    struct hashes *h = hashes_open("memory");
    if (hashes_path(h, path, hex, NULL, &e) < 0) fail_msg("%s", e.msg);
    hashes_close(h);
}

static void files_and_folders(void **state) {
    char a[SHA256_HEX], b[SHA256_HEX];
    struct err e = ERR_INIT;
    put("f", "abc");
    hash("f", a);
    assert_string_equal(a, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); /* FIPS 180-2, B.1 */
    io_mkdirs("d/sub", &e);
    put("d/x", "1");
    put("d/sub/y", "2");
    hash("d", a);
    io_mkdirs("e/sub", &e);
    put("e/sub/y", "2");
    put("e/x", "1");
    hash("e", b);
    assert_string_equal(a, b); /* names and content, not order or times */
    rename("e/x", "e/z");
    hash("e", b);
    assert_string_not_equal(a, b);
    rename("e/z", "e/x");
    put("e/sub/y", "3");
    hash("e", b);
    assert_string_not_equal(a, b);
    put("e/sub/y", "2");
    io_mkdirs("e/empty", &e);
    hash("e", b);
    assert_string_not_equal(a, b);
    assert_int_equal(symlink("../../d/x", "e/empty/link"), 0); /* links are followed */
    hash("e", a);
    assert_string_not_equal(a, b);
    assert_int_equal(symlink(".", "e/circle"), 0);
    struct hashes *h = hashes_open("memory");
    assert_int_equal(hashes_path(h, "e", a, NULL, &e), -1);
    assert_int_equal(hashes_path(h, "nowhere", a, NULL, &e), -1);
    assert_int_equal(hashes_path(h, "/dev/null", a, NULL, &e), -1);
    hashes_close(h);
}

/* Memory is used (a planted hash comes back), but never for a file whose time changed. */
static void memory(void **state) {
    char a[SHA256_HEX];
    struct stat st;
    put("m", "abc");
    assert_int_equal(stat("m", &st), 0);
    char line[300], planted[65];
    memset(planted, 'a', 64);
    planted[64] = 0;
    snprintf(line, sizeof line, "garbage\n%llu %llu %lld %lld %lld %s\n", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino, (long long)st.st_size,
             (long long)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec, planted);
    put("memory", line);
    hash("m", a);
    assert_string_equal(a, planted);
    struct timeval back[2] = {{st.st_atim.tv_sec, 0}, {st.st_mtim.tv_sec, st.st_mtim.tv_nsec / 1000}};
    put("m", "xyz");
    utimes("m", back); /* the old time again, as an archive tool does */
    hash("m", a);
    assert_string_not_equal(a, planted);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cleaning),
        cmocka_unit_test(cleaning_refuses),
        cmocka_unit_test(inside),
        cmocka_unit_test_setup_teardown(files_and_folders, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(memory, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

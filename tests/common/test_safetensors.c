/* safetensors: round trip, a file of the reference implementation, and one broken file a rule. */
#include "scratch.h"
#include "common/io/safetensors.h"
#include <fcntl.h>

#define GOOD "tests/data/adapters/peft/adapter_model.safetensors"

/* A file of this header (its length in front) and n bytes of data. */
static struct buf make(const char *header, size_t n) {
    struct buf b = BUF_INIT;
    size_t len = strlen(header);
    for (int i = 0; i < 8; i++) buf_addc(&b, (char)(len >> 8 * i));
    buf_adds(&b, header);
    for (size_t i = 0; i < n; i++) buf_addc(&b, (char)i);
    return b;
}

static struct safetensors *over(const struct buf *b, struct err *e) { return safetensors_over(b->p, b->n, "x.st", e); }

#define T(name, dtype, shape, offsets) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void reads_reference_file(void **state) {
    struct err e = ERR_INIT;
    struct safetensors *s = safetensors_open(GOOD, &e);
    if (!s) fail_msg("%s", e.msg);
    assert_int_equal(safetensors_count(s), 28);
    assert_string_equal(safetensors_meta(s, "format"), "pt");
    assert_null(safetensors_meta(s, "Format"));
    const struct tensor *t = safetensors_get(s, "base_model.model.model.layers.1.mlp.up_proj.lora_B.weight");
    assert_non_null(t);
    assert_true(t->type == DT_F32 && t->dims == 2 && t->shape[0] == 64 && t->shape[1] == 4 && t->bytes == 1024);
    assert_null(safetensors_get(s, "base_model"));
    safetensors_close(s);
}

static void reads_any_order_and_shape(void **state) {
    struct buf b = make("{" T("b", "BF16", "[2,0,3]", "[4,4]") ", " T("c", "F32", "[]", "[5,9]") "," T("a", "U8", "[4]", "[0,4]") ","
                        T("d", "BOOL", "[1,1]", "[4,5]") "}   ", 9);
    struct err e = ERR_INIT;
    struct safetensors *s = over(&b, &e);
    if (!s) fail_msg("%s", e.msg);
    assert_int_equal(safetensors_count(s), 4);
    const char *order[] = {"a", "b", "d", "c"}; /* by place; the empty one before what starts where it does */
    for (int i = 0; i < 4; i++) assert_string_equal(safetensors_at(s, i)->name, order[i]);
    assert_int_equal(safetensors_get(s, "b")->bytes, 0);
    assert_int_equal(safetensors_get(s, "c")->dims, 0);
    assert_null(safetensors_meta(s, "format"));
    safetensors_close(s);
    buf_release(&b);
}

static void reads_empty(void **state) {
    struct buf b = make("{}", 0);
    struct err e = ERR_INIT;
    struct safetensors *s = over(&b, &e);
    assert_non_null(s);
    assert_int_equal(safetensors_count(s), 0);
    safetensors_close(s);
    buf_release(&b);
}

static void refuses_bad_files(void **state) {
    static const struct {
        const char *header;
        size_t data;
        const char *says;
    } bad[] = {
        {"", 0, "does not start with '{'"},
        {"[]", 0, "does not start with '{'"},
        {" {}", 0, "does not start with '{'"},
        {"{", 0, "header: "},
        {"{}x", 0, "header: "},
        {"{}", 1, "1 bytes behind the last tensor"},
        {"{\"a\xff\":1}", 0, "header: "},
        {"{" T("a", "F32", "[1]", "[0,4]") "," T("a", "F32", "[1]", "[4,8]") "}", 8, "header: "},
        {"{" T("a\\u0000b", "F32", "[1]", "[0,4]") "}", 4, "NUL in its name"},
        {"{\"a\":3}", 0, "tensor a is not described by an object"},
        {"{" T("a", "F8_E4M3", "[4]", "[0,4]") "}", 4, "tensor a has dtype \"F8_E4M3\", expected F32"},
        {"{" T("a", "f32", "[1]", "[0,4]") "}", 4, "tensor a has dtype \"f32\""},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "has no dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "has no shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "has no data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, "unknown key \"x\""},
        {"{" T("a", "F32", "[-1]", "[0,4]") "}", 4, "size of -1"},
        {"{" T("a", "F32", "[1.5]", "[0,4]") "}", 4, "size of 1.5"},
        {"{" T("a", "F32", "[\"1\"]", "[0,4]") "}", 4, "expected an integer from 0"},
        {"{" T("a", "F32", "[4294967296,4294967296]", "[0,4]") "}", 4, "shape too large"},
        {"{" T("a", "F32", "[4611686018427387904]", "[0,4]") "}", 4, "shape too large"},
        {"{" T("a", "F32", "[9223372036854775808]", "[0,4]") "}", 4, "expected an integer from 0"},
        {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "9 dimensions, expected at most 8"},
        {"{" T("a", "F32", "[2]", "[0,4]") "}", 4, "has 4 bytes of data, expected 8"},
        {"{" T("a", "F32", "[1]", "[0]") "}", 4, "has no data_offsets"},
        {"{" T("a", "F32", "[1]", "[4,0]") "}", 4, "4 to 0, expected a range within the data"},
        {"{" T("a", "F32", "[1]", "[-4,0]") "}", 4, "expected a range"},
        {"{" T("a", "F32", "[1]", "[0,4]") "}", 3, "expected a range within the 3 bytes"},
        {"{" T("a", "F32", "[1]", "[4,8]") "}", 4, "expected a range within the 4 bytes"},
        {"{" T("a", "F32", "[1]", "[4,8]") "}", 8, "expected 0: a hole"},
        {"{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[1]", "[8,12]") "}", 12, "tensor b starts at byte 8 of the data, expected 4: a hole"},
        {"{" T("a", "F32", "[2]", "[0,8]") "," T("b", "F32", "[2]", "[4,12]") "}", 12, "tensor b starts at byte 4 of the data, inside tensor a"},
        {"{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[1]", "[0,4]") "}", 4, "inside tensor a"},
        {"{" T("a", "F32", "[1]", "[0,4]") "}", 5, "1 bytes behind the last tensor"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ is not an object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ \"a\" is not a string"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf b = make(bad[i].header, bad[i].data);
        struct err e = ERR_INIT;
        struct safetensors *s = over(&b, &e);
        if (s) fail_msg("case %zu opened: %s", i, bad[i].header);
        assert_err(&e, RC_INPUT, bad[i].says);
        assert_err(&e, RC_INPUT, "x.st: ");
        buf_release(&b);
    }
}

static void refuses_bad_lengths(void **state) {
    static const struct {
        unsigned char len[8];
        const char *says;
    } bad[] = {{{3}, "the header needs 3 bytes, the file has 2 left"},
               {{0, 0xe1, 0xf5, 0x05}, "truncated: the header needs 100000000 bytes"},
               {{1, 0xe1, 0xf5, 0x05}, "header length 100000001, expected at most 100000000"},
               {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "header length 18446744073709551615"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf b = make("{}", 0);
        struct err e = ERR_INIT;
        memcpy(b.p, bad[i].len, 8);
        assert_null(over(&b, &e));
        assert_err(&e, RC_INPUT, bad[i].says);
        buf_release(&b);
    }
}

static void refuses_every_cut(void **state) {
    struct buf b = slurp(GOOD);
    for (size_t n = 0; n < b.n; n++) {
        struct err e = ERR_INIT;
        struct safetensors *s = safetensors_over(b.p, n, "x.st", &e);
        if (s) fail_msg("opened with %zu of %zu bytes", n, b.n);
        assert_err(&e, RC_INPUT, "x.st: ");
    }
    buf_release(&b);
}

static void survives_garble(void **state) {
    static const unsigned char change[] = {0xff, 0x80, 0x01, 0x10};
    struct buf b = slurp(GOOD);
    for (size_t at = 0; at < 4200; at++)
        for (int k = 0; k < 4; k++) {
            struct err e = ERR_INIT;
            b.p[at] ^= (char)change[k];
            struct safetensors *s = over(&b, &e);
            b.p[at] ^= (char)change[k];
            if (!s) assert_int_equal(e.code, RC_INPUT);
            for (int i = 0; s && i < safetensors_count(s); i++) {
                const struct tensor *t = safetensors_at(s, i);
                const char *p = t->data;
                assert_true(p >= b.p && p + t->bytes <= b.p + b.n);
            }
            safetensors_close(s);
        }
    buf_release(&b);
}

static const struct tensor sample[] = {
    {"x", DT_F32, 2, {1, 2}, "\0\0\x80\x3f\0\0\0\x40", 8}, {"olá \"q\"", DT_BF16, 1, {3}, "abcdef", 6}, {"e", DT_I64, 2, {0, 7}, "", 0}};

static void writes_what_it_reads(void **state) {
    static const char *const meta[] = {"format", "pt", "key", "a \"value\"\n", NULL};
    struct err e = ERR_INIT;
    char path[400];
    snprintf(path, sizeof path, "%s", scratch("w.safetensors"));
    if (safetensors_write(path, sample, 3, meta, &e) < 0) fail_msg("%s", e.msg);
    struct buf one = slurp(path);
    assert_int_equal(((unsigned char)one.p[0] | (unsigned char)one.p[1] << 8) % 8, 0);
    struct safetensors *s = safetensors_open(path, &e);
    if (!s) fail_msg("%s", e.msg);
    assert_int_equal(safetensors_count(s), 3);
    assert_string_equal(safetensors_meta(s, "key"), meta[3]);
    for (int i = 0; i < 3; i++) {
        const struct tensor *t = safetensors_get(s, sample[i].name);
        assert_non_null(t);
        assert_true(t->type == sample[i].type && t->dims == sample[i].dims && t->bytes == sample[i].bytes);
        assert_memory_equal(t->shape, sample[i].shape, sizeof(int64_t) * (size_t)t->dims);
        assert_memory_equal(t->data, sample[i].data, t->bytes);
    }
    safetensors_close(s);
    if (safetensors_write(path, sample, 3, meta, &e) < 0) fail_msg("%s", e.msg);
    struct buf two = slurp(path);
    assert_int_equal(one.n, two.n);
    assert_memory_equal(one.p, two.p, one.n);
    buf_release(&one);
    buf_release(&two);
}

static void writer_refuses(void **state) {
    struct err e = ERR_INIT;
    struct tensor t[2] = {{"a", DT_Q4_1, 1, {32}, "", 20}, {"a", DT_U8, 1, {0}, "", 0}};
    assert_int_equal(safetensors_write(scratch("no"), t, 1, NULL, &e), -1);
    assert_err(&e, RC_INPUT, "tensor a has type q4_1, which safetensors cannot hold");
    t[0] = t[1];
    assert_int_equal(safetensors_write(scratch("no"), t, 2, NULL, &e), -1);
    assert_err(&e, RC_INPUT, "tensor a stands twice");
    t[0].name = "\xff";
    assert_int_equal(safetensors_write(scratch("no"), t, 1, NULL, &e), -1);
    assert_err(&e, RC_INPUT, "not UTF-8");
    assert_false(io_exists(scratch("no")));
    assert_int_equal(safetensors_write("/dev/full/no", sample, 1, NULL, &e), -1);
    assert_err(&e, RC_IO, "cannot create");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_reference_file), cmocka_unit_test(reads_any_order_and_shape), cmocka_unit_test(reads_empty),
        cmocka_unit_test(refuses_bad_files), cmocka_unit_test(refuses_bad_lengths), cmocka_unit_test(refuses_every_cut),
        cmocka_unit_test(survives_garble), cmocka_unit_test(writes_what_it_reads), cmocka_unit_test(writer_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

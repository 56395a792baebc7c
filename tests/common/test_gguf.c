/* GGUF reader: a file made by the gguf package (tests/oracle/files.py), the same one cut and garbled, and small files
   made here that break one rule each. */
#include "scratch.h"
#include "common/io/gguf.h"
#include <fcntl.h>

#define GOOD "tests/data/gguf/good-mixed.gguf"

static struct gguf *open_good(void) {
    struct err e = ERR_INIT;
    struct gguf *g = gguf_open(GOOD, &e);
    if (!g) fail_msg("%s", e.msg);
    return g;
}

static void reads_numbers(void **state) {
    static const struct {
        const char *key;
        int64_t value;
    } ints[] = {{"test.u8", 200}, {"test.i8", -5}, {"test.u16", 60000}, {"test.i16", -300}, {"test.u32", 4000000000}, {"test.i32", -70000}, {"test.i64", -1099511627776}};
    struct gguf *g = open_good();
    int64_t v;
    double r;
    bool b = false;
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        assert_true(gguf_get_int(g, ints[i].key, &v));
        assert_int_equal(v, ints[i].value);
    }
    assert_false(gguf_get_int(g, "test.u64", &v)); /* 2^63 + 1 does not fit */
    assert_false(gguf_get_int(g, "test.f32", &v));
    assert_false(gguf_get_int(g, "test.bool", &v));
    assert_false(gguf_get_int(g, "test.none", &v));
    assert_true(gguf_get_real(g, "test.f32", &r) && r == 0.5);
    assert_true(gguf_get_real(g, "test.f64", &r) && r == 0.1);
    assert_false(gguf_get_real(g, "test.i32", &r));
    assert_true(gguf_get_bool(g, "test.bool", &b) && b);
    assert_false(gguf_get_bool(g, "test.u8", &b));
    gguf_close(g);
}

static void reads_strings_and_arrays(void **state) {
    struct gguf *g = open_good();
    const char *s;
    const void *p;
    size_t n;
    int32_t v[3];
    assert_true(gguf_get_str(g, "test.str", &s, &n));
    assert_int_equal(n, 4);
    assert_memory_equal(s, "ol\xc3\xa1", 4);
    assert_false(gguf_get_str(g, "test.ints", &s, &n));
    assert_int_equal(gguf_arr_strs(g, "tokenizer.ggml.tokens"), 260);
    gguf_arr_str(g, "tokenizer.ggml.tokens", 2, &s, &n);
    assert_int_equal(n, 10);
    assert_memory_equal(s, "<|im_end|>", 10);
    assert_int_equal(gguf_arr_strs(g, "test.ints"), -1);
    assert_int_equal(gguf_arr_ints(g, "test.ints", &p), 3);
    memcpy(v, p, sizeof v);
    assert_true(v[0] == 1 && v[1] == -2 && v[2] == 3);
    assert_int_equal(gguf_arr_ints(g, "test.reals", &p), -1);
    assert_int_equal(gguf_arr_ints(g, "test.none", &p), -1);
    assert_true(gguf_has(g, "test.reals"));
    assert_false(gguf_has(g, "test.real"));
    gguf_close(g);
}

static void reads_tensors(void **state) {
    struct gguf *g = open_good();
    const void *p;
    size_t n;
    gguf_bytes(g, &p, &n);
    assert_int_equal(gguf_n_tensors(g), 20);
    const struct tensor *t = gguf_tensor(g, "blk.0.attn_k.weight");
    assert_non_null(t);
    assert_int_equal(t->type, DT_Q4_0);
    assert_int_equal(t->dims, 2);
    assert_int_equal(t->shape[0], 16);
    assert_int_equal(t->shape[1], 32);
    assert_int_equal(t->bytes, 16 * 18);
    assert_int_equal(((const char *)t->data - (const char *)p) % 32, 0);
    assert_null(gguf_tensor(g, "blk.0.attn_k"));
    for (int i = 0; i < gguf_n_tensors(g); i++) assert_ptr_equal(gguf_tensor(g, gguf_tensor_at(g, i)->name), gguf_tensor_at(g, i));
    gguf_close(g);
}

/* Version 2 has the same layout as 3. */
static void reads_version_2(void **state) {
    struct buf b = slurp(GOOD);
    struct err e = ERR_INIT;
    b.p[4] = 2;
    struct gguf *g = gguf_open(scratch_file("v2.gguf", b.p, b.n), &e);
    assert_non_null(g);
    assert_int_equal(gguf_n_tensors(g), 20);
    gguf_close(g);
    buf_release(&b);
}

/* Every cut gives an error that names the file, and no cut opens. From the end, so that one file is enough. */
static void refuses_every_cut(void **state) {
    struct buf b = slurp(GOOD);
    const char *path = scratch_file("cut.gguf", b.p, b.n);
    for (size_t n = b.n; n;) {
        struct err e = ERR_INIT;
        n -= n > 16384 ? 61 : 1;
        assert_int_equal(truncate(path, (off_t)n), 0);
        struct gguf *g = gguf_open(path, &e);
        if (g) fail_msg("opened with %zu of %zu bytes", n, b.n);
        assert_err(&e, RC_INPUT, "cut.gguf: byte ");
    }
    buf_release(&b);
}

/* An error, or a file whose tensors can be read to their ends. */
static void walk(const char *path) {
    struct err e = ERR_INIT;
    volatile unsigned char sum = 0;
    struct gguf *g = gguf_open(path, &e);
    if (!g) assert_true(e.code == RC_INPUT && e.msg[0]);
    for (int i = 0; g && i < gguf_n_tensors(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        sum += *(const unsigned char *)t->data + ((const unsigned char *)t->data)[t->bytes - 1];
    }
    gguf_close(g);
}

/* Each byte of the header changed in three ways: never a crash. */
static void survives_garble(void **state) {
    static const unsigned char change[] = {0xff, 0x80, 0x01};
    struct buf b = slurp(GOOD);
    const char *path = scratch_file("garbled.gguf", b.p, b.n);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    for (size_t at = 0; at < 9000 && at < b.n; at++) {
        for (int k = 0; k < 3; k++) {
            unsigned char c = (unsigned char)b.p[at] ^ change[k];
            assert_int_equal(pwrite(fd, &c, 1, (off_t)at), 1);
            walk(path);
        }
        assert_int_equal(pwrite(fd, b.p + at, 1, (off_t)at), 1);
    }
    close(fd);
    buf_release(&b);
}

/* ---- files made here ---- */
static void put(struct buf *b, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) buf_addc(b, (char)(v >> 8 * i));
}

static void put_str(struct buf *b, const char *s) {
    put(b, strlen(s), 8);
    buf_adds(b, s);
}

static void put_head(struct buf *b, uint64_t tensors, uint64_t kv) {
    buf_adds(b, "GGUF");
    put(b, 3, 4);
    put(b, tensors, 8);
    put(b, kv, 8);
}

static void put_tensor(struct buf *b, const char *name, int dims, uint64_t d0, uint64_t d1, int type, uint64_t offset) {
    put_str(b, name);
    put(b, (uint64_t)dims, 4);
    put(b, d0, 8);
    if (dims > 1) put(b, d1, 8);
    for (int i = 2; i < dims; i++) put(b, 1, 8);
    put(b, (uint64_t)type, 4);
    put(b, offset, 8);
}

static void put_data(struct buf *b, size_t n) {
    while (b->n % 32) buf_addc(b, 0);
    for (size_t i = 0; i < n; i++) buf_addc(b, (char)i);
}

static void refuses(struct buf *b, const char *part) {
    struct err e = ERR_INIT;
    struct gguf *g = gguf_open(scratch_file("bad.gguf", b->p, b->n), &e);
    if (g) fail_msg("opened, expected \"%s\"", part);
    assert_err(&e, RC_INPUT, part);
    buf_release(b);
}

static void refuses_bad_tensors(void **state) {
    static const struct {
        int dims;
        uint64_t d0, d1;
        int type;
        uint64_t offset;
        const char *says;
    } bad[] = {
        {2, 256, 2, 13, 0, "tensor t has type Q5_K, which is not supported"},
        {1, 4, 0, 99, 0, "tensor t has unknown type 99"},
        {0, 4, 0, 0, 0, "has 0 dimensions"},
        {5, 4, 1, 0, 0, "has 5 dimensions"},
        {2, 4, 0, 0, 0, "zero or too large"},
        {2, UINT64_MAX, 1, 0, 0, "zero or too large"},
        {2, (uint64_t)1 << 40, (uint64_t)1 << 40, 0, 0, "zero or too large"},
        {2, 33, 2, 8, 0, "rows of 33 values, expected a multiple of 32 for q8_0"},
        {1, 4, 0, 0, 8, "offset 8, expected a multiple of 32"},
        {1, 4, 0, 0, 64, "tensor t needs 16 bytes at offset 64"},
        {1, 4, 0, 0, (uint64_t)0 - 32, "tensor t needs 16 bytes"},
        {1, 17, 0, 0, 0, "tensor t needs 68 bytes"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf b = BUF_INIT;
        put_head(&b, 1, 0);
        put_tensor(&b, "t", bad[i].dims, bad[i].d0, bad[i].d1, bad[i].type, bad[i].offset);
        put_data(&b, 64);
        refuses(&b, bad[i].says);
    }
}

static void refuses_overlap_and_duplicates(void **state) {
    struct buf b = BUF_INIT;
    put_head(&b, 2, 0);
    put_tensor(&b, "a", 1, 12, 0, 0, 0);
    put_tensor(&b, "b", 1, 4, 0, 0, 32);
    put_data(&b, 64);
    refuses(&b, "tensors a and b overlap");
    put_head(&b, 2, 0);
    put_tensor(&b, "a", 1, 4, 0, 0, 0);
    put_tensor(&b, "a", 1, 4, 0, 0, 32);
    put_data(&b, 64);
    refuses(&b, "tensor a stands twice");
    put_head(&b, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_str(&b, "k");
        put(&b, 0, 4);
        put(&b, 1, 1);
    }
    refuses(&b, "metadata key k stands twice");
}

static void refuses_bad_headers(void **state) {
    struct buf b = BUF_INIT;
    buf_adds(&b, "GGML");
    put(&b, 3, 4);
    refuses(&b, "not a GGUF file");
    buf_adds(&b, "GGUF");
    put(&b, 1, 4);
    refuses(&b, "byte 4: GGUF version 1, expected 2 or 3");
    buf_adds(&b, "GGUF");
    put(&b, 0x03000000, 4);
    refuses(&b, "big-endian");
    put_head(&b, UINT64_MAX, 0);
    refuses(&b, "cannot fit");
    put_head(&b, 0, UINT64_MAX / 13);
    refuses(&b, "cannot fit");
}

static void put_key(struct buf *b, const char *key, int kind) {
    put_head(b, 0, 1);
    put_str(b, key);
    put(b, (uint64_t)kind, 4);
}

static void refuses_bad_metadata(void **state) {
    struct buf b = BUF_INIT;
    put_key(&b, "k", 13);
    refuses(&b, "unknown value type 13");
    put_key(&b, "k", 7);
    put(&b, 2, 1);
    refuses(&b, "boolean of value 2");
    put_key(&b, "k", 8);
    put(&b, UINT64_MAX, 8);
    refuses(&b, "truncated: metadata string");
    put_key(&b, "k", 9);
    put(&b, 9, 4);
    put(&b, 1, 8);
    put(&b, 0, 8);
    refuses(&b, "array of arrays");
    put_key(&b, "k", 9);
    put(&b, 10, 4);
    put(&b, (uint64_t)1 << 61, 8);
    refuses(&b, "truncated: array k of 2305843009213693952 elements");
    put_key(&b, "k\n", 0);
    put(&b, 1, 1);
    refuses(&b, "not printable ASCII");
    put_key(&b, "", 0);
    put(&b, 1, 1);
    refuses(&b, "metadata key is 0 bytes long");
    put_key(&b, "general.alignment", 4);
    put(&b, 12, 4);
    refuses(&b, "general.alignment is not a positive multiple of 8");
    put_key(&b, "general.alignment", 8);
    put_str(&b, "32");
    refuses(&b, "general.alignment is not a positive multiple of 8");
}

static void refuses_missing_file(void **state) {
    struct err e = ERR_INIT;
    assert_null(gguf_open(scratch("nothing"), &e));
    assert_err(&e, RC_IO, "cannot open");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_numbers), cmocka_unit_test(reads_strings_and_arrays), cmocka_unit_test(reads_tensors),
        cmocka_unit_test(reads_version_2), cmocka_unit_test(refuses_every_cut), cmocka_unit_test(survives_garble),
        cmocka_unit_test(refuses_bad_tensors), cmocka_unit_test(refuses_overlap_and_duplicates), cmocka_unit_test(refuses_bad_headers),
        cmocka_unit_test(refuses_bad_metadata), cmocka_unit_test(refuses_missing_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tensor streams: round trips through pipes and files at several levels, frame sizes and thread counts; every cut and
   every flipped byte is found, and no reader ever gets a wrong byte. */
#include "scratch.h"
#include "common/io/json.h"
#include "common/io/tstream.h"
#include "common/io/xxh64.h"
#include <omp.h>
#include <zstd.h>

static uint64_t rng = 0x9E3779B97F4A7C15u;
static uint64_t next_rand(void) { /* xorshift64 (Marsaglia 2003) */
    rng ^= rng << 13;
    rng ^= rng >> 7;
    return rng ^= rng << 17;
}

/* ---- a small model-like stream ---- */
static unsigned char data[3 * 4 * 100 + 5 * 64 + 2 * 40 + 4096];
static const struct tensor tensors[] = {
    {"a", DT_F32, 2, {3, 100}, NULL, 1200}, {"b.weight", DT_Q4_1, 2, {2, 64}, NULL, 80}, {"empty", DT_BF16, 2, {0, 9}, NULL, 0},
    {"c", DT_BF16, 1, {160}, NULL, 320},    {"d", DT_U8, 1, {4096}, NULL, 4096}};
#define N_TENSORS 5
static const size_t total = 1200 + 80 + 320 + 4096;
static const struct tstream_file files[] = {{"config.json", "{}", 2}, {"exact", "0123456789012345678901234567890123456789012345678901234567890123", 64}, {"nothing", "", 0}};

static struct buf write_stream(int level, size_t frame, size_t piece) {
    static const char *const meta[] = {"made", "by a test", NULL};
    struct tstream_spec spec = {.t = tensors, .n = N_TENSORS, .files = files, .n_files = 3, .meta = meta, .level = level, .frame = frame};
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    char *p = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&p, &n);
    struct tstream_writer *w = tstream_create(f, &spec, &e);
    if (!w) fail_msg("%s", e.msg);
    for (size_t at = 0; at < total; at += piece)
        if (tstream_push(w, data + at, at + piece < total ? piece : total - at, &e) < 0) fail_msg("%s", e.msg);
    if (tstream_finish(w, &e) < 0) fail_msg("%s", e.msg);
    fclose(f);
    buf_add(&b, p, n);
    free(p);
    return b;
}

static struct tstream *open_pipe(const struct buf *b, size_t n, FILE **f, struct err *e) {
    *f = n ? fmemopen(b->p, n, "rb") : fopen("/dev/null", "rb");
    assert_non_null(*f);
    return tstream_from(*f, "pipe", e);
}

/* Reads tensor by tensor; whatever is given must be right. 0 when all of it came. */
static int read_all(struct tstream *s, struct err *e) {
    const struct safetensors *h = tstream_header(s);
    static unsigned char got[8192];
    struct tensor view[16];
    enum tstream_kind kind[16];
    size_t at = 0;
    assert_int_equal(safetensors_count(h), N_TENSORS + 3 + 1);
    if (tstream_view(h, view, kind, e) < 0) fail_msg("%s", e->msg);
    for (int i = 0; i < safetensors_count(h); i++) {
        assert_true(view[i].bytes <= sizeof got);
        if (tstream_read(s, got, view[i].bytes, e) < 0) return -1;
        if (tstream_check(h, &view[i], kind[i], got, e) < 0) fail_msg("%s", e->msg);
        if (kind[i] == TSTREAM_PACKED) assert_memory_equal(got, files[i].p, tstream_file_length(h, &view[i]));
        if (kind[i] != TSTREAM_TENSOR) continue;
        assert_memory_equal(got, data + at, view[i].bytes);
        at += view[i].bytes;
    }
    assert_int_equal(at, total);
    return 0;
}

static void knows_xxh64(void **state) {
    assert_true(xxh64("", 0) == 0xEF46DB3751D8E999u);
    for (size_t n = 1; n < 200; n += 3) { /* zstd's own content checksum is the oracle */
        char packed[600];
        ZSTD_CCtx *c = ZSTD_createCCtx();
        ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
        size_t got = ZSTD_compress2(c, packed, sizeof packed, data, n);
        uint32_t h = (uint32_t)xxh64(data, n);
        assert_memory_equal(packed + got - 4, &h, 4);
        ZSTD_freeCCtx(c);
    }
}

static void round_trips(void **state) {
    static const size_t frames[] = {1, 100, 1000, 0};
    static const int levels[] = {TSTREAM_STORE, 1, 19};
    for (size_t k = 0; k < 4; k++)
        for (size_t l = 0; l < 3; l++) {
            if (frames[k] == 1 && l == 2) continue;
            struct buf b = write_stream(levels[l], frames[k], 37 + 1000 * l);
            struct err e = ERR_INIT;
            FILE *f;
            struct tstream *s = open_pipe(&b, b.n, &f, &e);
            if (!s || read_all(s, &e) < 0) fail_msg("pipe: %s", e.msg);
            assert_false(tstream_seekable(s));
            assert_string_equal(safetensors_meta(tstream_header(s), "made"), "by a test");
            tstream_close(s);
            fclose(f);
            s = tstream_over(b.p, b.n, "file", &e);
            if (!s || read_all(s, &e) < 0) fail_msg("file: %s", e.msg);
            tstream_close(s);
            buf_release(&b);
        }
}

static void views_block_types(void **state) {
    struct buf b = write_stream(1, 0, 999);
    struct err e = ERR_INIT;
    struct tstream *s = tstream_over(b.p, b.n, "file", &e);
    assert_non_null(s);
    struct tensor view[16];
    enum tstream_kind kind[16];
    assert_int_equal(tstream_view(tstream_header(s), view, kind, &e), 0);
    assert_true(kind[0] == TSTREAM_PACKED && kind[2] == TSTREAM_PACKED && kind[3] == TSTREAM_TENSOR && kind[4] == TSTREAM_STATE);
    assert_string_equal(view[4].name, "b.weight.quant_state.coador__q4_1");
    assert_string_equal(view[5].name, "b.weight");
    assert_true(view[5].type == DT_Q4_1 && view[5].dims == 2 && view[5].shape[0] == 2 && view[5].shape[1] == 64);
    const struct tensor *raw = safetensors_get(tstream_header(s), "b.weight");
    assert_true(raw->type == DT_U8 && raw->shape[0] == 2 && raw->shape[1] == 40);
    tstream_close(s);
    buf_release(&b);
}

/* Data as zstd's own decoder gives it is the safetensors file, leading and last frame skipped. */
static void is_what_zstd_reads(void **state) {
    struct buf b = write_stream(1, 500, 64), out = BUF_INIT;
    struct err e = ERR_INIT;
    char piece[4096];
    ZSTD_DStream *z = ZSTD_createDStream();
    ZSTD_inBuffer in = {b.p, b.n, 0};
    while (in.pos < in.size) {
        ZSTD_outBuffer o = {piece, sizeof piece, 0};
        assert_false(ZSTD_isError(ZSTD_decompressStream(z, &o, &in)));
        buf_add(&out, piece, o.pos);
    }
    ZSTD_freeDStream(z);
    struct safetensors *s = safetensors_over(out.p, out.n, "x", &e);
    if (!s) fail_msg("%s", e.msg);
    assert_memory_equal(safetensors_get(s, "c")->data, data + 1280, 320);
    assert_memory_equal(safetensors_get(s, "__file__/config.json")->data, "{}\n\n", 4);
    safetensors_close(s);
    buf_release(&out);
    buf_release(&b);
}

static void same_bytes_for_any_threads(void **state) {
    int most = omp_get_max_threads();
    omp_set_num_threads(1);
    struct buf one = write_stream(3, 300, 50);
    omp_set_num_threads(5);
    struct buf five = write_stream(3, 300, 5000);
    assert_int_equal(one.n, five.n);
    assert_memory_equal(one.p, five.p, one.n);
    omp_set_num_threads(most);
    buf_release(&one);
    buf_release(&five);
}

/* ---- broken ones ---- */
/* Opens and reads, as a pipe and as a file: how many of the two refuse it, with RC_INPUT and their name in front. What was
   given before, or all of it, must be right: read_all sees to it. */
static int refusals(const struct buf *b, size_t n) {
    struct err e = ERR_INIT;
    FILE *f;
    int refused = 0;
    struct tstream *s = open_pipe(b, n, &f, &e);
    if (!s || read_all(s, &e) < 0) {
        assert_err(&e, RC_INPUT, "pipe: ");
        refused++;
    }
    tstream_close(s);
    fclose(f);
    s = tstream_over(b->p, n, "file", &e);
    if (!s || read_all(s, &e) < 0) {
        assert_err(&e, RC_INPUT, "file: ");
        refused++;
    }
    tstream_close(s);
    return refused;
}

static void must_refuse(const struct buf *b, size_t n, const char *what, size_t at) {
    int refused = refusals(b, n);
    if (refused != 2) fail_msg("%s %zu: refused by %d of 2 readers", what, at, refused);
}

static void refuses_every_cut(void **state) { /* so at each frame's boundary, too */
    static const int levels[] = {TSTREAM_STORE, 3};
    for (int l = 0; l < 2; l++) {
        struct buf b = write_stream(levels[l], 700, 100);
        for (size_t n = 0; n < b.n; n++) must_refuse(&b, n, "cut at", n);
        buf_release(&b);
    }
}

/* In stored frames every bit counts; in compressed ones a few mean nothing to zstd (padding of its tables), and the data
   that comes out is then right. */
static void finds_flipped_bits(void **state) {
    static const int levels[] = {TSTREAM_STORE, 3};
    for (int l = 0; l < 2; l++) {
        struct buf b = write_stream(levels[l], 700, 100);
        size_t harmless = 0;
        for (size_t at = 0; at < b.n; at++) {
            char bit = (char)(1u << (next_rand() >> 20 & 7));
            b.p[at] ^= bit;
            int refused = refusals(&b, b.n);
            if (refused != 2 && (refused || levels[l] == TSTREAM_STORE)) fail_msg("bit %d of byte %zu: refused by %d of 2 readers", bit, at, refused);
            harmless += !refused;
            b.p[at] ^= bit;
        }
        if (harmless > b.n / 200) fail_msg("%zu of %zu flips were not found", harmless, b.n);
        buf_release(&b);
    }
}

/* The same on a stream of some megabytes, with bf16 weights as models have them. */
enum { BIG = 1 << 19, BIG_FRAME = 1 << 16 };
static uint16_t big[BIG];

static struct buf write_big(void) {
    struct tensor t[16];
    char names[16][8];
    struct tstream_spec spec = {.t = t, .n = 16, .level = 1, .frame = BIG_FRAME};
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    char *p = NULL;
    size_t n = 0;
    for (int i = 0; i < BIG; i++) { /* a sum of uniform values is nearly normal */
        float x = 0;
        for (int k = 0; k < 4; k++) x += (float)(next_rand() >> 40) * 0x1p-24f - 0.5f;
        big[i] = f32_to_bf16(0.02f * x);
    }
    for (int i = 0; i < 16; i++) {
        snprintf(names[i], sizeof names[i], "w%d", i);
        t[i] = (struct tensor){.name = names[i], .type = DT_BF16, .dims = 2, .shape = {256, BIG / 16 / 256}, .bytes = BIG / 8};
    }
    FILE *f = open_memstream(&p, &n);
    struct tstream_writer *w = tstream_create(f, &spec, &e);
    assert_non_null(w);
    assert_int_equal(tstream_push(w, big, sizeof big, &e), 0);
    assert_int_equal(tstream_finish(w, &e), 0);
    fclose(f);
    buf_add(&b, p, n);
    free(p);
    return b;
}

/* Reads tensor by tensor; each one that comes must be right. Whether all came. */
static bool read_big(struct tstream *s, struct err *e) {
    static uint16_t got[BIG / 16];
    for (int i = 0; i < 16; i++) {
        if (tstream_read(s, got, sizeof got, e) < 0) return false;
        assert_false(memcmp(got, big + i * (BIG / 16), sizeof got)); /* assert_memory_equal goes byte by byte */
    }
    return true;
}

static void big_must_refuse(const struct buf *b, size_t n, const char *what, size_t at) {
    for (int pipe = 0; pipe < 2; pipe++) {
        struct err e = ERR_INIT;
        FILE *f = NULL;
        struct tstream *s = pipe ? open_pipe(b, n, &f, &e) : tstream_over(b->p, n, "file", &e);
        if (s && read_big(s, &e)) fail_msg("%s %zu was not found", what, at);
        assert_int_equal(e.code, RC_INPUT);
        tstream_close(s);
        if (f) fclose(f);
    }
}

static void big_stream_cut_and_flipped(void **state) {
    struct buf b = write_big();
    size_t n = b.n, frames = 0;
    struct err e = ERR_INIT;
    struct tstream *s = tstream_over(b.p, n, "file", &e);
    if (!s || !read_big(s, &e)) fail_msg("%s", e.msg);
    assert_int_equal(tstream_frames(s), 1 + sizeof big / BIG_FRAME);
    tstream_close(s);
    for (size_t at = 0; at + 4 < n; at++) /* boundaries: where a magic stands (more places than frames do no harm) */
        if (!memcmp(b.p + at, "\x28\xb5\x2f\xfd", 4) || !memcmp(b.p + at, "\x5e\x2a\x4d\x18", 4)) {
            big_must_refuse(&b, at, "cut at", at);
            frames++;
        }
    assert_true(frames >= 2 + sizeof big / BIG_FRAME);
    for (int k = 0; k < 200; k++) {
        size_t at = next_rand() % n;
        char bit = (char)(1u << k % 8);
        big_must_refuse(&b, at, "cut at", at);
        b.p[at] ^= bit;
        big_must_refuse(&b, n, "bit flipped at", at);
        b.p[at] ^= bit;
    }
    buf_release(&b);
}

static void refuses_additions(void **state) {
    struct buf b = write_stream(3, 700, 100);
    size_t n = b.n;
    buf_addc(&b, '\n');
    must_refuse(&b, b.n, "trailing byte", n);
    b.n = n;
    struct buf two = BUF_INIT;
    buf_add(&two, b.p, n);
    buf_add(&two, b.p, n);
    must_refuse(&two, two.n, "two streams", n);
    buf_release(&two);
    struct err e = ERR_INIT;
    b.p[16] = 2;
    assert_null(tstream_over(b.p, n, "f", &e));
    assert_err(&e, RC_INPUT, "f: tensor stream of version 2, expected 1");
    assert_null(tstream_over("GGUF\3\0\0\0", 8, "f", &e));
    assert_err(&e, RC_INPUT, "f: not a tensor stream");
    assert_null(tstream_over(b.p + 20, n - 20, "f", &e));
    assert_err(&e, RC_INPUT, "f: not a tensor stream");
    buf_release(&b);
}

static void same_error_for_any_threads(void **state) {
    struct buf b = write_stream(3, 200, 100);
    int most = omp_get_max_threads();
    size_t given[2];
    b.p[b.n / 2] ^= 1;
    for (int k = 0; k < 2; k++) {
        struct err e = ERR_INIT;
        FILE *f;
        unsigned char c;
        omp_set_num_threads(k ? 7 : 1);
        struct tstream *s = open_pipe(&b, b.n, &f, &e);
        assert_non_null(s);
        for (given[k] = 0; tstream_read(s, &c, 1, &e) == 0;) given[k]++;
        assert_int_equal(tstream_read(s, &c, 1, &e), -1); /* it stays so */
        tstream_close(s);
        fclose(f);
    }
    omp_set_num_threads(most);
    assert_int_equal(given[0], given[1]);
    assert_true(given[0] > 200);
    buf_release(&b);
}

static void seeks(void **state) {
    struct buf b = write_stream(3, 300, 100);
    struct err e = ERR_INIT;
    FILE *f;
    struct tstream *s = tstream_over(b.p, b.n, "file", &e);
    const struct safetensors *h = tstream_header(s);
    int d = safetensors_count(h) - 1;
    unsigned char got[300];
    assert_string_equal(safetensors_at(h, d)->name, "d");
    for (int k = 0; k < 300; k++) {
        size_t at = next_rand() % 4096, n = next_rand() % 300;
        if (n > 4096 - at) n = 4096 - at;
        if (tstream_seek(s, safetensors_begin(h, d) + at, &e) < 0 || tstream_read(s, got, n, &e) < 0) fail_msg("%s", e.msg);
        assert_memory_equal(got, data + 1600 + at, n);
    }
    if (tstream_seek(s, 0, &e) < 0 || read_all(s, &e) < 0) fail_msg("%s", e.msg);
    tstream_close(s);
    s = open_pipe(&b, b.n, &f, &e);
    if (tstream_seek(s, safetensors_begin(h = tstream_header(s), d) + 7, &e) < 0 || tstream_read(s, got, 9, &e) < 0) fail_msg("%s", e.msg);
    assert_memory_equal(got, data + 1607, 9);
    assert_int_equal(tstream_seek(s, 0, &e), -1);
    assert_err(&e, RC_IO, "pipe: cannot go back in a pipe");
    tstream_close(s);
    fclose(f);
    buf_release(&b);
}

/* ---- names ---- */
#define T(name, dtype, shape, offsets) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void view_refuses(void **state) {
    static const struct {
        const char *json, *says;
    } bad[] = {
        {"{" T("__file__/x", "U8", "[64]", "[0,64]") "}", "file x has no length in __metadata__"},
        {"{\"__metadata__\":{\"__file__/x\":\"65\"}," T("__file__/x", "U8", "[64]", "[0,64]") "}", "file x has length 65 and 64 bytes"},
        {"{\"__metadata__\":{\"__file__/x\":\"0\"}," T("__file__/x", "U8", "[64]", "[0,64]") "}", "file x has length 0 and 64 bytes"},
        {"{\"__metadata__\":{\"__file__/x\":\"9\"}," T("__file__/x", "U8", "[10]", "[0,10]") "}", "expected the next multiple of 64"},
        {"{\"__metadata__\":{\"__file__/x\":\"+9\"}," T("__file__/x", "U8", "[64]", "[0,64]") "}", "file x has no length"},
        {"{\"__metadata__\":{\"__file__/x\":\"18446744073709551625\"}," T("__file__/x", "U8", "[64]", "[0,64]") "}", "file x has no length"},
        {"{\"__metadata__\":{\"__file__/x\":\"60\"}," T("__file__/x", "I8", "[64]", "[0,64]") "}", "file x is no U8 tensor"},
        {"{" T("__file__/a/b", "U8", "[64]", "[0,64]") "}", "is no file's name"},
        {"{" T("__file__/..", "U8", "[64]", "[0,64]") "}", "is no file's name"},
        {"{" T("__file__/", "U8", "[64]", "[0,64]") "}", "is no file's name"},
        {"{\"__metadata__\":{\"__file__/x\":\"60\"}," T("w", "U8", "[1]", "[0,1]") "," T("__file__/x", "U8", "[64]", "[1,65]") "}", "file x lies behind a tensor"},
        {"{" T("w.quant_state.coador__q9_9", "U8", "[2]", "[0,2]") "}", "names a block type that is not known"},
        {"{" T("w.quant_state.coador__f32", "U8", "[2]", "[0,2]") "}", "names a block type that is not known"},
        {"{" T("w.quant_state.coador__nf4", "U8", "[2]", "[0,2]") "}", "names a block type that is not known"},
        {"{" T("w.quant_state.coador__q4_1", "U8", "[2]", "[0,2]") "}", "describes a tensor that is not there"},
        {"{" T("w.quant_state.coador__q4_1", "U8", "[2]", "[0,2]") "," T("w", "U8", "[19]", "[2,21]") "}", "tensor w is not U8 with rows of 20-byte blocks"},
        {"{" T("w.quant_state.coador__q4_1", "U8", "[2]", "[0,2]") "," T("w", "I8", "[20]", "[2,22]") "}", "tensor w is not U8"},
        {"{" T("w.quant_state.coador__q4_1", "U8", "[2]", "[0,2]") "," T("w", "U8", "[]", "[2,3]") "}", "tensor w is not U8"},
        {"{" T("w.quant_state.coador__q4_1", "I8", "[2]", "[0,2]") "," T("w", "U8", "[20]", "[2,22]") "}", "is no U8 tensor of one dimension"},
        {"{" T("w.quant_state.coador__q4_1", "U8", "[2]", "[0,2]") "," T("w.quant_state.coador__q4_0", "U8", "[2]", "[2,4]") "," T("w", "U8", "[180]", "[4,184]") "}",
         "tensor w is not U8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = ERR_INIT;
        struct tensor view[4];
        enum tstream_kind kind[4];
        struct safetensors *s = safetensors_of_header(bad[i].json, strlen(bad[i].json), &e);
        if (!s) fail_msg("case %zu: %s", i, e.msg);
        if (tstream_view(s, view, kind, &e) == 0) fail_msg("case %zu passed", i);
        assert_err(&e, RC_INPUT, bad[i].says);
        safetensors_close(s);
    }
}

static void checks_content(void **state) {
    static const char head[] = "{\"__metadata__\":{\"__file__/x\":\"62\"}," T("__file__/x", "U8", "[64]", "[0,64]") ","
        T("w.quant_state.coador__q4_1", "U8", "[64]", "[64,128]") "," T("w", "U8", "[2,40]", "[128,208]") "}";
    static const char *const wrong[] = {"{\"type\":\"q4_0\",\"shape\":[2,64]}", "{\"type\":\"q4_1\",\"shape\":[2,32]}", "{\"type\":\"q4_1\",\"shape\":[2]}",
        "{\"type\":\"q4_1\",\"shape\":[2,64,1]}", "{\"type\":\"q4_1\"}", "{\"type\":\"q4_1\",\"shape\":[2,64],\"x\":1}", "[]", "{", "{\"shape\":3,\"type\":\"q4_1\"}"};
    struct err e = ERR_INIT;
    struct tensor view[4];
    enum tstream_kind kind[4];
    char text[65];
    struct safetensors *s = safetensors_of_header(head, sizeof head - 1, &e);
    if (!s || tstream_view(s, view, kind, &e) < 0) fail_msg("%s", e.msg);
    memset(text, '\n', 64);
    assert_int_equal(tstream_check(s, &view[0], kind[0], text, &e), 0);
    text[62] = ' ';
    assert_int_equal(tstream_check(s, &view[0], kind[0], text, &e), -1);
    assert_err(&e, RC_INPUT, "file x has something else than newlines behind its 62 bytes");
    snprintf(text, sizeof text, "%-64s", "{\"shape\":[2,64],\"type\":\"q4_1\"}");
    assert_int_equal(tstream_check(s, &view[1], kind[1], text, &e), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(text, sizeof text, "%-64s", wrong[i]);
        if (tstream_check(s, &view[1], kind[1], text, &e) == 0) fail_msg("%s passed", wrong[i]);
        assert_int_equal(e.code, RC_INPUT);
    }
    safetensors_close(s);
}

static void writer_refuses(void **state) {
    static const struct {
        struct tensor t;
        const char *says;
    } bad[] = {{{"x", DT_Q4_1, 2, {2, 33}, NULL, 40}, "rows that are not whole blocks"},
               {{"x", DT_NF4, 1, {64}, NULL, 32}, "type nf4, which safetensors cannot hold"},
               {{"__file__/x", DT_U8, 1, {64}, NULL, 64}, "a name that is kept for files"}};
    struct err e = ERR_INIT;
    FILE *f = fopen("/dev/null", "wb");
    for (int i = 0; i < 3; i++) {
        struct tstream_spec spec = {.t = &bad[i].t, .n = 1};
        assert_null(tstream_create(f, &spec, &e));
        assert_err(&e, RC_INPUT, bad[i].says);
    }
    struct tstream_file dir = {"a/b", "", 0};
    struct tstream_spec spec = {.files = &dir, .n_files = 1};
    assert_null(tstream_create(f, &spec, &e));
    assert_err(&e, RC_INPUT, "\"a/b\" cannot travel along");
    fclose(f);
    f = fopen("/dev/full", "wb");
    setvbuf(f, NULL, _IONBF, 0);
    spec.n_files = 0;
    assert_null(tstream_create(f, &spec, &e));
    assert_err(&e, RC_IO, "cannot write the stream: No space left");
    fclose(f);
}

int main(void) {
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i % 3 ? next_rand() >> 30 : i >> 6);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_xxh64), cmocka_unit_test(round_trips), cmocka_unit_test(views_block_types), cmocka_unit_test(is_what_zstd_reads),
        cmocka_unit_test(same_bytes_for_any_threads), cmocka_unit_test(refuses_every_cut), cmocka_unit_test(finds_flipped_bits),
        cmocka_unit_test(big_stream_cut_and_flipped), cmocka_unit_test(refuses_additions), cmocka_unit_test(same_error_for_any_threads), cmocka_unit_test(seeks), cmocka_unit_test(view_refuses),
        cmocka_unit_test(checks_content), cmocka_unit_test(writer_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

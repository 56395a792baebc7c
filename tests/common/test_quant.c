/* Encoders against bitsandbytes: the SHA-256 of what both make of the same input (tests/oracle/bnb.py). */
#include "tests/common/scratch.h"
#include "common/io/gguf.h"
#include "common/io/json.h"
#include "common/io/sha256.h"
#include "common/model/quant.h"
#include <math.h>

static struct json_doc *doc;
static struct gguf *model; /* NULL: not fetched */

static int setup(void **state) {
    struct err e = ERR_INIT;
    const char *src = getenv("SRC"), *fetched = getenv("FETCHED");
    char path[1000];
    snprintf(path, sizeof path, "%s/tests/data/quant/bnb.json", src ? src : ".");
    doc = json_read_file(path, &e);
    if (!doc) fprintf(stderr, "%s\n", e.msg);
    snprintf(path, sizeof path, "%s/SmolLM2-135M-Instruct.Q4_1.gguf", fetched ? fetched : ".fetched");
    if (io_exists(path)) model = gguf_open(path, &e);
    return doc ? 0 : -1;
}

static int teardown(void **state) {
    json_doc_free(doc);
    gguf_close(model);
    return 0;
}

/* ---- the oracle's inputs ---- */
static void hashed(float *x, uint32_t seed, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t v = (uint32_t)i * 0x85EBCA77u + seed * 0x9E3779B1u;
        v ^= v >> 16, v *= 0x7FEB352Du, v ^= v >> 15, v *= 0x846CA68Bu, v ^= v >> 16;
        x[i] = (float)(v >> 8) * 0x1p-23f - 1;
    }
}

static void normal(float *x, uint32_t seed, int64_t n) {
    float *t = xmalloc((size_t)n * 3 * sizeof *t);
    hashed(x, seed, n);
    for (int i = 0; i < 3; i++) hashed(t + i * n, seed + 1 + (uint32_t)i, n);
    for (int64_t i = 0; i < n; i++) x[i] = ((x[i] + t[i]) + (t[n + i] + t[2 * n + i])) * 0.02f;
    free(t);
}

static int ascending(const void *a, const void *b) { return (*(const float *)a > *(const float *)b) - (*(const float *)a < *(const float *)b); }

static void midpoints(float *x, const char *type, float scale) {
    float code[16];
    memcpy(code, strcmp(type, "nf4") ? dtype_fp4 : dtype_nf4, sizeof code);
    qsort(code, 16, sizeof *code, ascending);
    memset(x, 0, 64 * sizeof *x);
    x[0] = 1;
    for (int i = 0; i < 15; i++) {
        float m = (code[i] + code[i + 1]) / 2;
        x[1 + i] = m;
        x[16 + i] = nextafterf(m, 2);
        x[31 + i] = nextafterf(m, -2);
    }
    for (int i = 0; i < 64; i++) x[i] *= scale;
}

static bool from_model(float *x, const char *name, int64_t n) {
    const struct tensor *t = model ? gguf_tensor(model, name) : NULL;
    if (t) dtype_to_f32(x, t->type, t->data, n);
    return t;
}

static bool input(float *x, const char *name, const char *type, int64_t n) {
    if (!strcmp(name, "uniform")) return hashed(x, 1, n), true;
    if (!strcmp(name, "normal")) return normal(x, 2, n), true;
    if (!strcmp(name, "zeros") || !strcmp(name, "rest of zeros")) return memset(x, 0, (size_t)n * sizeof *x), true;
    if (!strcmp(name, "denormal") || !strcmp(name, "near 1e-38")) {
        hashed(x, name[0] == 'd' ? 6 : 7, n);
        for (int64_t i = 0; i < n; i++) x[i] *= name[0] == 'd' ? 1e-39f : 1.1e-38f;
        return true;
    }
    if (!strcmp(name, "outlier")) {
        hashed(x, 5, n);
        for (int64_t i = 0; i < n; i++) x[i] *= 1e-3f;
        x[77] = 1000;
        return true;
    }
    if (!strncmp(name, "midpoints ", 10)) return midpoints(x, type, strtof(name + 10, NULL)), true;
    if (!strcmp(name, "rest")) return normal(x, 8, n), true;
    if (!strcmp(name, "odd")) return normal(x, 9, n), true;
    if (!strcmp(name, "small")) return normal(x, 10, n), true;
    return from_model(x, name, n);
}

/* ---- comparisons ---- */
static void same(const struct json *c, const char *field, const void *p, size_t bytes) {
    char hex[65];
    sha256_hex(p, bytes, hex);
    const struct json *want = json_get(c, field), *name = json_get(c, "case"), *type = json_get(c, "type");
    if (!json_is_str(want, hex)) fail_msg("%s %s: other bytes than bitsandbytes' in %s", name ? name->str : "", type ? type->str : "", field);
}

static void same_values(const struct json *c, const char *field, const struct weight *w) {
    float *v = xmalloc((size_t)w->cols * sizeof *v);
    weight_to_f32(v, w, 0, 0, w->cols);
    for (int64_t i = 0; i < w->cols; i++) v[i] += 0; /* −0 is 0 */
    same(c, field, v, (size_t)w->cols * sizeof *v);
    free(v);
}

static int64_t number(const struct json *c, const char *field) {
    int64_t n;
    assert_true(json_get(c, field) && json_int(json_get(c, field), &n));
    return n;
}

static void nested(const struct json *c, struct weight *w, const float *absmax, int64_t blocks) {
    float map[256], offset = (float)json_get(c, "offset")->number, mean = quant_mean(absmax, blocks);
    int64_t n2 = (blocks + QUANT_NESTED - 1) / QUANT_NESTED;
    uint8_t *codes = xmalloc((size_t)blocks);
    float *second = xmalloc((size_t)n2 * sizeof *second);
    if (!(fabsf(mean - offset) <= 2 * (nextafterf(fabsf(offset), INFINITY) - fabsf(offset)))) fail_msg("%s: mean %.9g, bitsandbytes' %.9g", json_get(c, "case")->str, (double)mean, (double)offset);
    quant_nested(codes, second, absmax, blocks, offset);
    same(c, "codes", codes, (size_t)blocks);
    same(c, "second", second, (size_t)n2 * sizeof *second);
    quant_dynamic_map(map);
    w->scale = second, w->scale_q = codes, w->scale_map = map, w->offset = offset, w->nested = QUANT_NESTED;
    same_values(c, "nested_values", w);
    free(codes);
    free(second);
}

static bool four_bits(const struct json *c) {
    int64_t n = number(c, "n"), blocks = (n + 63) / 64;
    const char *type = json_get(c, "type")->str;
    enum dtype t = strcmp(type, "nf4") ? DT_FP4 : DT_NF4;
    float *x = xmalloc((size_t)n * sizeof *x), *absmax = xmalloc((size_t)blocks * sizeof *absmax);
    uint8_t *packed = xmalloc((size_t)(n + 1) / 2);
    bool there = input(x, json_get(c, "case")->str, type, n);
    if (there) {
        quant_4bit(t, packed, absmax, x, n, 64);
        same(c, "packed", packed, (size_t)(n + 1) / 2);
        same(c, "absmax", absmax, (size_t)blocks * sizeof *absmax);
        struct weight w = {.type = t, .rows = 1, .cols = n, .data = packed, .scale = absmax, .block = 64};
        same_values(c, "values", &w);
        nested(c, &w, absmax, blocks);
    }
    free(x);
    free(absmax);
    free(packed);
    return there;
}

static void test_tables(void **state) {
    float map[256];
    const struct json *root = json_root(doc);
    quant_dynamic_map(map);
    same(root, "dynamic_map", map, sizeof map);
    same(root, "nf4", dtype_nf4, sizeof dtype_nf4);
    same(root, "fp4", dtype_fp4, sizeof dtype_fp4);
}

/* made: inputs made here; else tensors of the model */
static void each_four_bits(bool made) {
    int n = 0, absent = 0;
    for (const struct json *c = json_get(json_root(doc), "four_bits")->first; c; c = c->next)
        if (made == !strstr(json_get(c, "case")->str, ".weight")) n++, absent += !four_bits(c);
    if (absent && !made) skip();
    assert_true(n > 5 && !absent);
}
static void test_four_bits(void **state) { each_four_bits(true); }
static void test_four_bits_of_model(void **state) { each_four_bits(false); }

static bool int8_input(float *x, const char *name, int64_t rows, int64_t cols) {
    if (strstr(name, ".weight")) return from_model(x, name, rows * cols);
    if (!strcmp(name, "rows")) {
        normal(x, 20, rows * cols);
        memset(x + 3 * cols, 0, (size_t)cols * sizeof *x);
        x[5 * cols + 7] = 900;
        for (int64_t i = 0; i < cols; i++) x[6 * cols + i] *= 1e-7f;
        return true;
    }
    hashed(x, 21, rows * cols);
    for (int64_t i = 0; i < rows * cols; i++) x[i] = i % cols ? rintf(x[i] * 254) / 2 : 127;
    return true;
}

static void test_int8(void **state) {
    int absent = 0;
    for (const struct json *c = json_get(json_root(doc), "int8")->first; c; c = c->next) {
        int64_t rows = number(c, "rows"), cols = number(c, "cols");
        float *x = xmalloc((size_t)(rows * cols) * sizeof *x), *scale = xmalloc((size_t)rows * sizeof *scale);
        int8_t *q = xmalloc((size_t)(rows * cols));
        if (int8_input(x, json_get(c, "case")->str, rows, cols)) {
            assert_int_equal(quant_int8(q, scale, x, rows, cols), -1);
            same(c, "q", q, (size_t)(rows * cols));
            same(c, "scale", scale, (size_t)rows * sizeof *scale);
        } else {
            absent++;
        }
        free(x);
        free(scale);
        free(q);
    }
    if (absent) skip();
}

/* Beyond f16 there is no int8 row: the place is told. */
static void test_int8_range(void **state) {
    float x[8] = {1, 2, 65519, 3, 4, 65520, 6, 7}, scale[2];
    int8_t q[8];
    assert_int_equal(quant_int8(q, scale, x, 2, 4), 5);
    assert_true(scale[0] == 65504 && q[2] == 127);
}

static void test_finite(void **state) {
    int64_t n = 200001;
    float *x = xcalloc((size_t)n, sizeof *x);
    assert_int_equal(quant_finite(x, n), -1);
    x[200000] = -INFINITY;
    x[150000] = NAN;
    x[3] = 3e38f, x[4] = 3e38f;
    assert_int_equal(quant_finite(x, n), 150000);
    x[0] = INFINITY;
    assert_int_equal(quant_finite(x, n), 0);
    free(x);
}

static void test_ternary(void **state) {
    enum { ROWS = 8, COLS = 5 };
    float x[ROWS * COLS], back[COLS], mean = 0;
    uint8_t packed[ROWS / 4 * COLS];
    normal(x, 30, ROWS * COLS);
    for (int i = 0; i < ROWS * COLS; i++) mean += fabsf(x[i]) / (ROWS * COLS);
    float unit = quant_ternary(packed, x, ROWS, COLS);
    assert_true(fabsf(unit - mean) < 1e-6f * mean * 4);
    struct weight w = {.type = DT_TERNARY, .rows = ROWS, .cols = COLS, .data = packed, .unit = unit};
    for (int r = 0; r < ROWS; r++) {
        weight_to_f32(back, &w, r, 0, COLS);
        for (int c = 0; c < COLS; c++) {
            float v = x[r * COLS + c] / unit, want = v > 0.5f ? unit : v < -0.5f ? -unit : 0;
            if (back[c] != want) fail_msg("(%d,%d): %g from %g", r, c, (double)back[c], (double)x[r * COLS + c]);
        }
    }
    memset(x, 0, sizeof x);
    assert_true(quant_ternary(packed, x, ROWS, COLS) == 1e-5f);
    for (size_t i = 0; i < sizeof packed; i++) assert_int_equal(packed[i], 0x55);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables), cmocka_unit_test(test_four_bits), cmocka_unit_test(test_four_bits_of_model), cmocka_unit_test(test_int8),
                                       cmocka_unit_test(test_int8_range), cmocka_unit_test(test_finite), cmocka_unit_test(test_ternary)};
    return cmocka_run_group_tests_name("quant", tests, setup, teardown);
}

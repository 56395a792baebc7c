/* GGUF's 256-value blocks against the gguf package (tests/oracle/kquants.py), ternary packing against transformers'
   (tests/oracle/bitnet.py). */
#include "tests/common/scratch.h"
#include "common/io/json.h"
#include "common/io/sha256.h"
#include "common/model/quant.h"
#include <math.h>

static struct json_doc *golden(const char *name) {
    struct err e = ERR_INIT;
    const char *src = getenv("SRC");
    char path[1000];
    snprintf(path, sizeof path, "%s/tests/data/quant/%s", src ? src : ".", name);
    struct json_doc *doc = json_read_file(path, &e);
    if (!doc) fail_msg("%s", e.msg);
    return doc;
}

static int64_t number(const struct json *c, const char *field) {
    int64_t n;
    assert_true(json_get(c, field) && json_int(json_get(c, field), &n));
    return n;
}

static uint32_t hash(uint32_t i, uint32_t seed) {
    uint32_t v = i * 0x85EBCA77u + seed * 0x9E3779B1u;
    v ^= v >> 16, v *= 0x7FEB352Du, v ^= v >> 15, v *= 0x846CA68Bu, v ^= v >> 16;
    return v;
}

static void same_floats(const struct json *c, const char *field, float *v, int64_t n) {
    char hex[65];
    for (int64_t i = 0; i < n; i++) v[i] += 0; /* −0 is 0 */
    sha256_hex(v, (size_t)n * sizeof *v, hex);
    assert_string_equal(json_get(c, field)->str, hex);
}

static void k_case(const struct json *root, const char *name, enum dtype t, const int *halves) {
    const struct json *c = json_get(root, name);
    int64_t blocks = number(c, "blocks"), n = blocks * 256;
    size_t size = dtype_block_bytes(t), bytes = (size_t)blocks * size;
    uint8_t *p = xmalloc(bytes);
    float *v = xmalloc((size_t)n * sizeof *v);
    for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)(hash((uint32_t)i, (uint32_t)number(c, "seed")) >> 16);
    for (size_t i = 0; i < bytes; i += size)
        for (int h = 0; halves[h] >= 0; h++) p[i + (size_t)halves[h] + 1] &= 0xBB;
    dtype_to_f32(v, t, p, n);
    same_floats(c, "values", v, n);
    free(p);
    free(v);
}

static void test_k(void **state) {
    struct json_doc *doc = golden("kquants.json");
    k_case(json_root(doc), "q4_K", DT_Q4_K, (const int[]){0, 2, -1});
    k_case(json_root(doc), "q6_K", DT_Q6_K, (const int[]){208, -1});
    json_doc_free(doc);
}

static float normal(uint32_t i, uint32_t seed) {
    float x[4];
    for (uint32_t k = 0; k < 4; k++) x[k] = (float)(hash(i, seed + k) >> 8) * 0x1p-23f - 1;
    return ((x[0] + x[1]) + (x[2] + x[3])) * 0.02f;
}

static void test_bitnet(void **state) {
    struct json_doc *doc = golden("bitnet.json");
    for (const struct json *c = json_get(json_root(doc), "cases")->first; c; c = c->next) {
        int64_t rows = number(c, "rows"), cols = number(c, "cols"), n = rows * cols;
        char hex[65];
        float *x = xmalloc((size_t)n * sizeof *x);
        uint8_t *packed = xmalloc((size_t)n / 4);
        for (int64_t i = 0; i < n; i++) x[i] = normal((uint32_t)i, (uint32_t)number(c, "seed"));
        float unit = quant_ternary(packed, x, rows, cols);
        assert_true(fabsf(unit - (float)json_get(c, "mean")->number) <= 1e-6f * unit);
        sha256_hex(packed, (size_t)n / 4, hex);
        assert_string_equal(json_get(c, "packed")->str, hex);
        struct weight w = {.type = DT_TERNARY, .rows = rows, .cols = cols, .data = packed, .unit = 1};
        for (int64_t r = 0; r < rows; r++) weight_to_f32(x + r * cols, &w, r, 0, cols);
        same_floats(c, "ternary", x, n);
        free(x);
        free(packed);
    }
    json_doc_free(doc);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_k), cmocka_unit_test(test_bitnet)};
    return cmocka_run_group_tests_name("quant_formats", tests, NULL, NULL);
}

/* Weights with their scales beside them, and GGUF's 256-value blocks: decoding against plain code written here from the
   layouts, products of every device against the reference, and one row against many. */
#include "tests/kernels/ktest.h"

enum kind { I8, NF4, NF4_NESTED, FP4, FP4_NESTED, TERNARY, Q4_K, Q6_K, N_KINDS };
static const char *const names[N_KINDS] = {"i8", "nf4", "nf4 nested", "fp4", "fp4 nested", "ternary", "q4_K", "q6_K"};

static float *scales_of(int64_t n) {
    float *p = buf((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++) p[i] = fabsf(normal()) * 0.1f + 0.01f;
    return p;
}

static void four_bit_scales(struct weight *w, bool nested) {
    int64_t n = weight_blocks(w);
    w->scale = scales_of(nested ? weight_nested(w) : n);
    if (!nested) return;
    uint8_t *q = buf((size_t)n);
    for (int64_t i = 0; i < n; i++) q[i] = (uint8_t)(rng() >> 20);
    float *map = buf(256 * sizeof *map);
    for (int i = 0; i < 256; i++) map[i] = ((float)i - 127) / 128;
    w->scale_q = q;
    w->scale_map = map;
    w->offset = 0.07f;
}

/* Blocks whose f16 fields are of a moderate size (random bytes may be an infinity) */
static void k_blocks(uint8_t *p, size_t bytes, enum dtype t) {
    for (size_t i = 0; i < bytes; i += dtype_block_bytes(t)) {
        uint16_t d = f32_to_f16(normal() * 0.01f), m = f32_to_f16(normal() * 0.01f);
        memcpy(p + i + (t == DT_Q4_K ? 0 : 208), &d, 2);
        if (t == DT_Q4_K) memcpy(p + i + 2, &m, 2);
    }
}

static struct weight weight_of(enum kind k, int64_t rows, int64_t cols) {
    static const enum dtype types[N_KINDS] = {DT_I8, DT_NF4, DT_NF4, DT_FP4, DT_FP4, DT_TERNARY, DT_Q4_K, DT_Q6_K};
    struct weight w = {.type = types[k], .rows = rows, .cols = cols, .block = 64, .nested = 256};
    size_t bytes = weight_data_bytes(&w);
    uint8_t *p = buf(bytes);
    for (size_t i = 0; i < bytes; i++) {
        p[i] = (uint8_t)(rng() >> 20);
        for (int s = 0; k == TERNARY && s < 8; s += 2)
            if ((p[i] >> s & 3) == 3) p[i] ^= (uint8_t)(1 << s);
    }
    w.data = p;
    if (k == I8) w.scale = scales_of(rows);
    if (k >= NF4 && k <= FP4_NESTED) four_bit_scales(&w, k == NF4_NESTED || k == FP4_NESTED);
    if (k == TERNARY) w.unit = 0.0123f;
    if (k >= Q4_K) k_blocks(p, bytes, w.type);
    return w;
}

/* ---- decoding, value by value ---- */
static float f16_at(const uint8_t *p) { return f16_to_f32((uint16_t)(p[0] | p[1] << 8)); }

static double q4_k_value(const uint8_t *b, int i) {
    int j = i / 32, low = b[4 + j % 4], mid = b[8 + j % 4], high = b[12 + j % 4];
    int sc = j < 4 ? low & 63 : (high & 15) + (low >> 6) * 16, mn = j < 4 ? mid & 63 : (high >> 4) + (mid >> 6) * 16;
    int byte = b[16 + i / 64 * 32 + i % 32], q = i / 32 % 2 ? byte / 16 : byte % 16;
    return (double)f16_at(b) * sc * q - (double)f16_at(b + 2) * mn;
}

static double q6_k_value(const uint8_t *b, int i) {
    int half = i / 128, r = i % 128;
    int low = b[half * 64 + r % 64], high = b[128 + half * 32 + r % 32] >> r / 32 * 2 & 3;
    return (double)f16_at(b + 208) * (int8_t)b[192 + i / 16] * ((r < 64 ? low % 16 : low / 16) + 16 * high - 32);
}

static double value(const struct weight *w, int64_t r, int64_t c) {
    const uint8_t *p = w->data;
    int64_t at = r * w->cols + c;
    switch (w->type) {
    case DT_I8: return (double)((const int8_t *)p)[at] * w->scale[r] / 127;
    case DT_TERNARY: return ((p[r % (w->rows / 4) * w->cols + c] >> r / (w->rows / 4) * 2 & 3) - 1) * (double)w->unit;
    case DT_Q4_K: return q4_k_value(p + at / 256 * 144, (int)(at % 256));
    case DT_Q6_K: return q6_k_value(p + at / 256 * 210, (int)(at % 256));
    default: {
        double s = w->scale[w->scale_q ? at / 64 / 256 : at / 64];
        if (w->scale_q) s = s * w->scale_map[w->scale_q[at / 64]] + w->offset;
        return (w->type == DT_NF4 ? dtype_nf4 : dtype_fp4)[at % 2 ? p[at / 2] % 16 : p[at / 2] / 16] * s;
    }
    }
}

static void test_values(void **state) {
    enum { ROWS = 8, COLS = 768 };
    for (int k = 0; k < N_KINDS; k++) {
        struct weight w = weight_of((enum kind)k, ROWS, COLS);
        static const int cuts[][2] = {{0, COLS}, {1, 5}, {31, 2}, {32, 64}, {255, 258}, {767, 1}, {17, 700}};
        for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
            for (int r = 0; r < ROWS; r++) {
                float got[COLS];
                weight_to_f32(got, &w, r, cuts[i][0], cuts[i][1]);
                for (int c = 0; c < cuts[i][1]; c++) {
                    double want = value(&w, r, cuts[i][0] + c);
                    if (!(fabs(got[c] - want) <= 4e-7 * fabs(want) + 1e-8)) fail_msg("%s (%d,%d): %.9g, expected %.9g", names[k], r, cuts[i][0] + c, (double)got[c], want);
                }
            }
        end_bufs(names[k]);
    }
}

/* The fast panels hold the reference's bytes: a product with one column of the identity is the weight itself. */
static void test_bytes(void **state) {
    enum { N = 48, K = 512 };
    for (int k = 0; k < N_KINDS; k++)
        for (int d = CPU1; d < CARD; d++) {
            struct weight w = weight_of((enum kind)k, N, K);
            float *x = buf(K * K * sizeof *x), *y = buf(K * N * sizeof *y), *row = buf(K * sizeof *row), *dx = buf(N * K * sizeof *dx), *dy = buf(N * N * sizeof *dy);
            for (int i = 0; i < K * K; i++) x[i] = i / K == i % K;
            for (int i = 0; i < N * N; i++) dy[i] = i / N == i % N;
            devs[d]->linear(devs[d]->ctx, 0, y, x, &w, K);
            devs[d]->linear_dx(devs[d]->ctx, 0, dx, dy, &w, N);
            for (int n = 0; n < N; n++) {
                weight_to_f32(row, &w, n, 0, K);
                for (int c = 0; c < K; c++)
                    if (y[c * N + n] != row[c] || dx[n * K + c] != row[c]) fail_msg("%s device %d (%d,%d): %.9g and %.9g, expected %.9g", names[k], d, n, c, (double)y[c * N + n], (double)dx[n * K + c], (double)row[c]);
            }
            end_bufs(names[k]);
        }
}

/* ---- products ---- */
static double bound(int64_t K, int64_t n) { return 2 * EPS32 * sqrt((double)K + 4) * (1 + 6 / sqrt((double)n)); }
/* A card rounds a decoded weight to 16 bits. */
static double card_bound(int64_t n) { return CARD_BOUND * (1 + 6 / sqrt((double)n)); }

static void product(enum kind k, int R, int K, int N, float beta) {
    struct weight w = weight_of(k, N, K);
    const float *x = values((int64_t)R * K), *y0 = values((int64_t)R * N);
    float *y[NDEV], *dx[NDEV];
    char what[100];
    snprintf(what, sizeof what, "linear %s R %d K %d N %d beta %g", names[k], R, K, N, (double)beta);
    outputs(y, beta != 0 ? y0 : NULL, (int64_t)R * N);
    for (int i = 0; i < n_devs; i++) devs[i]->linear(devs[i]->ctx, beta, y[i], x, &w, R);
    check_act_within(y, (int64_t)R * N, bound(K, (int64_t)R * N), card_bound((int64_t)R * N), what);
    outputs(dx, beta != 0 ? x : NULL, (int64_t)R * K);
    for (int i = 0; i < n_devs; i++) devs[i]->linear_dx(devs[i]->ctx, beta, dx[i], y0, &w, R);
    check_act_within(dx, (int64_t)R * K, bound(N, (int64_t)R * K), card_bound((int64_t)R * K), what);
    end_bufs(what);
}

static void test_products(void **state) {
    static const int shapes[][3] = {{1, 256, 4}, {1, 512, 16}, {2, 256, 20}, {3, 768, 36}, {5, 256, 48}, {13, 512, 64}, {1, 1536, 32}, {260, 256, 40}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int k = 0; k < N_KINDS; k++)
            for (int beta = 0; beta < 2; beta++) product((enum kind)k, shapes[s][0], shapes[s][1], shapes[s][2], (float)beta);
}

/* Blocks of nf4 and fp4 that run on from row to row, and odd rows that share a byte */
static void test_odd_columns(void **state) {
    static const int cols[] = {1, 3, 33, 48, 80, 96, 100, 257, 400, 579};
    for (int c = 0; c < 10; c++)
        for (int k = 0; k < Q4_K; k++) product((enum kind)k, 1 + 2 * c, cols[c], 24, (float)(c % 2));
}

/* The same of few rows, whose values go from the registers into the sums: 192 rows, so that two panels of ternary lie in two
   quarters; 200, whose last panel is narrow. */
static void test_few_rows(void **state) {
    enum { K = 96, N = 200 };
    for (int k = 0; k < Q4_K; k++)
        for (int d = CPU1; d < CARD; d++)
            for (int R = 1; R <= 5; R++) {
                int rows = R % 2 ? 192 : N;
                struct weight w = weight_of((enum kind)k, rows, K);
                float *x = buf((size_t)R * K * sizeof *x), *y = buf((size_t)R * N * sizeof *y), want[K];
                for (int c = 0; c + R <= K; c += R) {
                    for (int i = 0; i < R * K; i++) x[i] = i % K == c + i / K;
                    devs[d]->linear(devs[d]->ctx, 0, y, x, &w, R);
                    for (int n = 0; n < rows; n++) {
                        weight_to_f32(want, &w, n, 0, K);
                        for (int r = 0; r < R; r++)
                            if (y[r * rows + n] != want[c + r]) fail_msg("%s device %d row %d of %d (%d,%d): %.9g, expected %.9g", names[k], d, r, R, n, c + r, (double)y[r * rows + n], (double)want[c + r]);
                    }
                }
                end_bufs(names[k]);
            }
}

static void rows_alone(int N) {
    enum { R = 40, K = 768 };
    for (int k = 0; k < N_KINDS; k++)
        for (int d = CPU1; d < CARD; d++) {
            struct weight w = weight_of((enum kind)k, N, K);
            const float *x = values(R * K), *dy = values(R * N);
            float *all = buf(R * K * sizeof *all), *some = buf(R * K * sizeof *some);
            assert_true(N <= K);
            devs[d]->linear(devs[d]->ctx, 0, all, x, &w, R);
            for (int n = 1; n <= 9; n++) {
                devs[d]->linear(devs[d]->ctx, 0, some, x + 5 * K, &w, n);
                assert_memory_equal(some, all + 5 * N, (size_t)n * N * sizeof *some);
            }
            devs[d]->linear_dx(devs[d]->ctx, 0, all, dy, &w, R);
            devs[d]->linear_dx(devs[d]->ctx, 0, some, dy + 7 * N, &w, 3);
            assert_memory_equal(some, all + 7 * K, 3 * K * sizeof *some);
            end_bufs(names[k]);
        }
}

static void test_rows_alone(void **state) {
    rows_alone(80);
    rows_alone(192);
}

/* Embeddings may be GGUF's larger blocks */
static void test_embed(void **state) {
    static const int32_t ids[] = {0, 99, 5, 5, 42};
    for (int k = Q4_K; k < N_KINDS; k++) {
        struct weight w = weight_of((enum kind)k, 100, 512);
        float *y[NDEV], *row = buf(512 * sizeof *row);
        outputs(y, NULL, 5 * 512);
        for (int i = 0; i < n_devs; i++) devs[i]->embed(devs[i]->ctx, y[i], &w, ids, 5);
        check_act(y, 5 * 512, 0, names[k]);
        weight_to_f32(row, &w, 99, 0, 512);
        assert_memory_equal(row, y[CPU2] + 512, 512 * sizeof *row);
        end_bufs(names[k]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_bytes), cmocka_unit_test(test_few_rows), cmocka_unit_test(test_products), cmocka_unit_test(test_odd_columns), cmocka_unit_test(test_rows_alone), cmocka_unit_test(test_embed)};
    return cmocka_run_group_tests_name("weight", tests, open_devs, close_devs);
}

/* linear, linear_dx and embed over every weight type: fast paths against the reference, and one row against many. */
#include "tests/kernels/ktest.h"

static const enum dtype types[] = {DT_F32, DT_F16, DT_BF16, DT_Q8_0, DT_Q4_0, DT_Q4_1};

/* Random bytes with f16 scales of a moderate size (a random one may be an infinity). */
static struct weight weight(enum dtype t, int64_t rows, int64_t cols) {
    size_t bytes = dtype_bytes(t, rows * cols), blk = dtype_block_bytes(t);
    uint8_t *p = buf(bytes);
    for (int64_t i = 0; i < rows * cols && dtype_block(t) == 1; i++) {
        float v = normal();
        uint16_t h = t == DT_F16 ? f32_to_f16(v) : f32_to_bf16(v);
        memcpy(p + (size_t)i * blk, t == DT_F32 ? (void *)&v : (void *)&h, blk);
    }
    for (size_t i = 0; i < bytes && dtype_block(t) > 1; i += blk) {
        for (size_t j = 0; j < blk; j++) p[i + j] = (uint8_t)(rng() >> 20);
        uint16_t d = f32_to_f16(normal() * (t == DT_Q8_0 ? 0.01f : 0.1f)), m = f32_to_f16(normal());
        memcpy(p + i, &d, 2);
        if (t == DT_Q4_1) memcpy(p + i + 2, &m, 2);
    }
    return weight_plain(t, rows, cols, p);
}

/* A sum of K products rounds about sqrt(K) times in random directions: 2^-24·sqrt(K), doubled for K small; beta adds one.
   Where there are few outputs n, all of them may be small by cancellation. */
static double bound(int64_t K, int64_t n) { return 2 * EPS32 * sqrt((double)K + 4) * (1 + 6 / sqrt((double)n)); }
/* A card rounds a decoded weight to 16 bits. */
static double card_bound(int64_t n) { return CARD_BOUND * (1 + 6 / sqrt((double)n)); }

static void linear_case(enum dtype t, int R, int K, int N, float beta) {
    struct weight w = weight(t, N, K);
    const float *x = values((int64_t)R * K), *y0 = values((int64_t)R * N);
    float *y[NDEV], *dx[NDEV];
    char what[100];
    snprintf(what, sizeof what, "linear %s R %d K %d N %d beta %g", dtype_name(t), R, K, N, (double)beta);
    outputs(y, beta != 0 ? y0 : NULL, (int64_t)R * N);
    for (int i = 0; i < n_devs; i++) devs[i]->linear(devs[i]->ctx, beta, y[i], x, &w, R);
    check_act_within(y, (int64_t)R * N, bound(K, (int64_t)R * N), card_bound((int64_t)R * N), what);
    snprintf(what, sizeof what, "linear_dx %s R %d K %d N %d beta %g", dtype_name(t), R, K, N, (double)beta);
    outputs(dx, beta != 0 ? x : NULL, (int64_t)R * K);
    for (int i = 0; i < n_devs; i++) devs[i]->linear_dx(devs[i]->ctx, beta, dx[i], y0, &w, R);
    check_act_within(dx, (int64_t)R * K, bound(N, (int64_t)R * K), card_bound((int64_t)R * K), what);
    end_bufs(what);
}

static void test_linear(void **state) {
    static const int shapes[][3] = {{1, 32, 1}, {1, 32, 16}, {2, 64, 17}, {3, 96, 31}, {5, 32, 48}, {7, 288, 33}, {13, 576, 64}, {1, 576, 192}, {4, 1536, 32}, {6, 320, 16}, {17, 576, 576}, {260, 64, 40}, {256, 288, 96}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++)
            for (int beta = 0; beta < 2; beta++) linear_case(types[t], shapes[s][0], shapes[s][1], shapes[s][2], (float)beta);
}

/* Plain types take any number of columns. */
static void test_odd_columns(void **state) {
    static const int cols[] = {1, 3, 7, 9, 33, 257, 511, 579};
    for (int c = 0; c < 8; c++)
        for (int t = 0; t < 3; t++) linear_case(types[t], 1 + 2 * c, cols[c], 21 - c, (float)(c % 2));
}

/* The head of SmolLM2 has 49,152 rows: a row pitch that falls on the same cache sets */
static void test_wide(void **state) {
    linear_case(DT_Q8_0, 9, 64, 4096, 0);
    linear_case(DT_Q4_1, 3, 32, 49152, 1);
}

/* A row's result does not depend on the rows beside it: decoding in batches gives the tokens of decoding alone. */
static void test_rows_alone(void **state) {
    enum { R = 300, K = 576, N = 80 };
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (int d = CPU1; d < CARD; d++) {
            struct weight w = weight(types[t], N, K);
            const float *x = values(R * K);
            float *all = buf(R * N * sizeof *all), *some = buf(R * N * sizeof *some);
            devs[d]->linear(devs[d]->ctx, 0, all, x, &w, R);
            for (int n = 1; n <= 20; n++) {
                devs[d]->linear(devs[d]->ctx, 0, some, x + 5 * K, &w, n);
                assert_memory_equal(some, all + 5 * N, (size_t)n * N * sizeof *some);
            }
            devs[d]->linear_dx(devs[d]->ctx, 0, all, x, &(struct weight){.type = types[t], .rows = K, .cols = 64, .data = w.data}, R);
            devs[d]->linear_dx(devs[d]->ctx, 0, some, x + 7 * K, &(struct weight){.type = types[t], .rows = K, .cols = 64, .data = w.data}, 3);
            assert_memory_equal(some, all + 7 * 64, 3 * 64 * sizeof *some);
            end_bufs("rows alone");
        }
}

/* An infinite input makes infinite sums of the right sign, a NaN makes NaN, and only in its own row. */
static void test_not_finite(void **state) {
    enum { R = 8, K = 64, N = 32 };
    struct weight w = weight(DT_F32, N, K);
    for (int d = 0; d < CARD; d++) {
        float *x = values(R * K), *y = buf(R * N * sizeof *y);
        x[1 * K + 40] = INFINITY;
        x[6 * K + 3] = NAN;
        devs[d]->linear(devs[d]->ctx, 0, y, x, &w, R);
        for (int r = 0; r < R; r++)
            for (int n = 0; n < N; n++) {
                float v = y[r * N + n], wv = ((const float *)w.data)[n * K + 40];
                if (r == 1 && !(isinf(v) && (v > 0) == (wv > 0))) fail_msg("device %d: infinity lost: %g", d, (double)v);
                if (r == 6 ? !isnan(v) : r != 1 && !isfinite(v)) fail_msg("device %d: row %d: %g", d, r, (double)v);
            }
    }
    end_bufs("not finite");
}

static void test_embed(void **state) {
    static const int32_t ids[] = {0, 99, 5, 5, 42, 98, 1};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        struct weight w = weight(types[t], 100, 96);
        float *y[NDEV];
        outputs(y, NULL, 7 * 96);
        for (int i = 0; i < n_devs; i++) devs[i]->embed(devs[i]->ctx, y[i], &w, ids, 7);
        check_act(y, 7 * 96, 0, "embed");
        float *row = buf(96 * sizeof *row);
        dtype_to_f32(row, types[t], (const char *)w.data + dtype_bytes(types[t], 42 * 96), 96);
        assert_memory_equal(row, y[CPU2] + 4 * 96, 96 * sizeof *row);
        end_bufs("embed");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_linear), cmocka_unit_test(test_odd_columns), cmocka_unit_test(test_wide), cmocka_unit_test(test_rows_alone), cmocka_unit_test(test_not_finite), cmocka_unit_test(test_embed)};
    return cmocka_run_group_tests_name("linear", tests, open_devs, close_devs);
}

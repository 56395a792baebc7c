/* linear_int8 over every weight type: each path against the reference, the error bound of kernels/linear.h against the exact
   product, one row against many, and what is not finite. */
#include "tests/kernels/ktest.h"
#include "kernels/cpu/int8.h"

static const enum dtype types[] = {DT_Q8_0, DT_Q4_0, DT_Q4_1, DT_Q4_K, DT_Q6_K, DT_I8, DT_NF4, DT_FP4, DT_TERNARY};
#define N_TYPES (int)(sizeof types / sizeof *types)

/* Half-precision numbers lie at these bytes of a block, which is otherwise random. */
static void put_scales(uint8_t *p, enum dtype t) {
    uint16_t d = f32_to_f16(normal() * (t == DT_Q8_0 || t == DT_Q6_K || t == DT_Q4_K ? 0.01f : 0.1f)), m = f32_to_f16(normal() * (t == DT_Q4_K ? 0.01f : 1));
    memcpy(p + (t == DT_Q6_K ? 208 : 0), &d, 2);
    if (t == DT_Q4_1 || t == DT_Q4_K) memcpy(p + 2, &m, 2);
}

static struct weight weight(enum dtype t, int64_t rows, int64_t cols, bool twice) {
    struct weight w = {.type = t, .rows = rows, .cols = cols, .unit = 0.03f, .block = 64, .nested = 8, .offset = 0.01f};
    size_t bytes = weight_data_bytes(&w), blk = dtype_block_bytes(t);
    uint8_t *p = buf(bytes);
    for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)(rng() >> 20);
    for (size_t i = 0; i < bytes && dtype_block(t) > 4; i += blk) put_scales(p + i, t);
    w.data = p;
    if (t == DT_I8) w.scale = values(rows);
    if (t != DT_NF4 && t != DT_FP4) return w;
    if (twice) {
        uint8_t *q = buf((size_t)weight_blocks(&w));
        for (int64_t i = 0; i < weight_blocks(&w); i++) q[i] = (uint8_t)(rng() >> 20);
        w.scale_q = q;
        w.scale_map = values(256);
    }
    w.scale = values(twice ? weight_nested(&w) : weight_blocks(&w));
    return w;
}

static void run(int dev, float beta, float *y, const float *x, const struct weight *w, int R) { devs[dev]->linear_int8(devs[dev]->ctx, beta, (void *[]){y}, x, w, 1, R); }

/* Half a step of each block of x times the magnitudes it meets, and what the tables of nf4 and fp4 are off by */
static double allowed(const struct weight *w, int64_t n, const float *x) {
    double sum = 0, table = w->type == DT_NF4 ? 0.0039 : w->type == DT_FP4 ? 0.0032 : 0;
    for (int64_t b = 0; b < w->cols / 32; b++) {
        float v[32];
        double most = 0, mag = 0, in = 0;
        weight_to_f32(v, w, n, b * 32, 32);
        for (int i = 0; i < 32; i++) most = fmax(most, fabsf(x[b * 32 + i])), mag += fabsf(v[i]), in += fabsf(x[b * 32 + i]);
        double lost = table ? table * fabsf(weight_scale(w, (n * w->cols + b * 32) / w->block)) : 0;
        sum += most / 254 * (mag + 32 * lost) + in * lost;
    }
    return sum * 1.0001;
}

static void int8_case(enum dtype t, int R, int K, int N, float beta, bool twice) {
    struct weight w = weight(t, N, K, twice);
    const float *x = values((int64_t)R * K), *y0 = values((int64_t)R * N);
    float *y[NDEV], *exact = beta != 0 ? copy_of(y0, (int64_t)R * N) : buf((size_t)R * (size_t)N * sizeof(float));
    char what[100];
    snprintf(what, sizeof what, "%s R %d K %d N %d beta %g", dtype_name(t), R, K, N, (double)beta);
    outputs(y, beta != 0 ? y0 : NULL, (int64_t)R * N);
    for (int i = 0; i < CARD; i++) run(i, beta, y[i], x, &w, R);
    /* Sums of K/32 terms, each of at most three roundings */
    int all = n_devs;
    n_devs = CARD;
    check_outputs(y, (int64_t)R * N, 8 * EPS32 * sqrt((double)K / 32 + 4) * (1 + 6 / sqrt((double)R * N)), what);
    n_devs = all;
    devs[REF]->linear(devs[REF]->ctx, beta, exact, x, &w, R);
    for (int r = 0; r < R; r++)
        for (int n = 0; n < N; n++) {
            double off = fabs((double)y[REF][r * N + n] - exact[r * N + n]), most = allowed(&w, n, x + r * K) + 1e-5 * fabs((double)exact[r * N + n]) + 1e-6;
            if (!(off <= most)) fail_msg("%s: output %d of row %d is off by %.3g, allowed %.3g", what, n, r, off, most);
        }
    end_bufs(what);
}

static void test_against_reference(void **state) {
    static const int shapes[][3] = {{1, 256, 16}, {1, 512, 64}, {2, 256, 60}, {3, 256, 20}, {7, 512, 132}, {64, 256, 64}, {65, 256, 192}, {130, 256, 32}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int t = 0; t < N_TYPES; t++)
            for (int beta = 0; beta < 2; beta++) int8_case(types[t], shapes[s][0], shapes[s][1], shapes[s][2], (float)beta, s % 2);
}

/* One block a row, and few rows: what has no panel */
static void test_small(void **state) {
    for (int t = 0; t < N_TYPES; t++)
        if (types[t] != DT_Q4_K && types[t] != DT_Q6_K) int8_case(types[t], 3, 32, 4, 0, false), int8_case(types[t], 2, 96, 36, 1, false);
}

/* VNNI and AVX2 add the same integers and round the same sums. */
static void test_paths_agree(void **state) {
    enum { R = 5, K = 512, N = 96 };
    struct kctx *k = devs[CPU2]->ctx;
    if (!k->vnni) skip();
    for (int t = 0; t < N_TYPES; t++) {
        struct weight w = weight(types[t], N, K, true);
        const float *x = values(R * K);
        float *a = buf(R * N * sizeof *a), *b = buf(R * N * sizeof *b);
        for (int rows = 1; rows <= R; rows += R - 1) {
            run(CPU2, 0, a, x, &w, rows);
            k->vnni = false;
            run(CPU2, 0, b, x, &w, rows);
            k->vnni = true;
            if (memcmp(a, b, (size_t)rows * N * sizeof *a)) fail_msg("%s: %d rows: AVX2 and VNNI differ", dtype_name(types[t]), rows);
        }
        end_bufs("paths");
    }
}

/* The extremes of both operands: no sum may saturate. */
static void test_extremes(void **state) {
    enum { K = 256, N = 32 };
    for (int t = 0; t < N_TYPES; t++)
        for (int way = 0; way < 4; way++) {
            struct weight w = weight(types[t], N, K, false);
            float *x = values(K), *y[NDEV];
            for (int i = 0; i < K; i++) x[i] = way & 1 ? -2 : 2;
            uint8_t *p = (uint8_t *)(uintptr_t)w.data;
            size_t blk = dtype_block_bytes(types[t]);
            memset(p, way & 2 ? 0xff : types[t] == DT_Q8_0 || types[t] == DT_I8 ? 0x80 : 0, weight_data_bytes(&w));
            for (size_t i = 0; i < weight_data_bytes(&w) && dtype_block(types[t]) > 4; i += blk) put_scales(p + i, types[t]);
            outputs(y, NULL, N);
            for (int vnni = 0; vnni < 2; vnni++) {
                for (int i = 0; i < CARD; i++) {
                    bool had = devs[i]->ctx->vnni;
                    devs[i]->ctx->vnni = had && vnni;
                    run(i, 0, y[i], x, &w, 1);
                    devs[i]->ctx->vnni = had;
                }
                int all = n_devs;
                n_devs = CARD;
                check_outputs(y, N, 1e-5, dtype_name(types[t]));
                n_devs = all;
            }
            end_bufs("extremes");
        }
}

/* A row's result does not depend on the rows beside it, nor on the weights beside its own. */
static void test_alone(void **state) {
    enum { R = 150, K = 256, N = 48 };
    for (int t = 0; t < N_TYPES; t++)
        for (int d = CPU1; d < CARD; d++) {
            struct weight w[3] = {weight(types[t], N, K, false), weight(types[(t + 1) % N_TYPES], 2 * N, K, true), weight(types[t], N, K, true)};
            const float *x = values(R * K);
            float *y[3], *one = buf(2 * N * sizeof *one);
            for (int j = 0; j < 3; j++) y[j] = buf((size_t)R * (size_t)w[j].rows * sizeof *one);
            devs[d]->linear_int8(devs[d]->ctx, 0, (void *const *)y, x, w, 3, R);
            for (int r = 0; r < R; r += 37)
                for (int j = 0; j < 3; j++) {
                    run(d, 0, one, x + r * K, &w[j], 1);
                    assert_memory_equal(one, y[j] + r * w[j].rows, (size_t)w[j].rows * sizeof *one);
                }
            end_bufs("alone");
        }
}

/* What is not finite makes its row NaN, and no other; zeros and denormal rows make zeros. */
static void test_not_finite(void **state) {
    enum { R = 5, K = 256, N = 33 };
    for (int d = 0; d < CARD; d++) {
        struct weight w = weight(DT_Q8_0, N, K, false);
        float *x = values(R * K), *y = buf(R * N * sizeof *y);
        x[1 * K + 40] = INFINITY;
        x[3 * K + 3] = NAN;
        for (int i = 0; i < K; i++) x[4 * K + i] = i % 2 ? 0 : 1e-40f;
        run(d, 0, y, x, &w, R);
        for (int r = 0; r < R; r++)
            for (int n = 0; n < N; n++) {
                float v = y[r * N + n];
                if (r == 4 ? v != 0 : (r == 1 || r == 3) ? !isnan(v) : !isfinite(v)) fail_msg("device %d: row %d: %g", d, r, (double)v);
            }
        end_bufs("not finite");
    }
}

/* Plain types, and columns that are no multiple of 32, go to linear. */
static void test_not_covered(void **state) {
    enum { R = 3, N = 20 };
    for (int t = 0; t < 2; t++) {
        int K = t ? 72 : 64;
        struct weight w = t ? weight(DT_I8, N, K, false) : weight_plain(DT_F32, N, K, values(N * K));
        const float *x = values(R * K);
        float *y[NDEV], *want = buf(R * N * sizeof *want);
        outputs(y, NULL, R * N);
        for (int i = 0; i < CARD; i++) {
            run(i, 0, y[i], x, &w, R);
            devs[i]->linear(devs[i]->ctx, 0, want, x, &w, R);
            assert_memory_equal(y[i], want, R * N * sizeof *want);
        }
        end_bufs("not covered");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_reference), cmocka_unit_test(test_small), cmocka_unit_test(test_paths_agree), cmocka_unit_test(test_extremes),
                                       cmocka_unit_test(test_alone), cmocka_unit_test(test_not_finite), cmocka_unit_test(test_not_covered)};
    return cmocka_run_group_tests_name("int8", tests, open_devs, close_devs);
}

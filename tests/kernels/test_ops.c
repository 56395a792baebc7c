/* Every other op against its reference: norms, rotations, activations, losses, optimiser, rows, LoRA, dropout. */
#include "kernels/cpu/philox.h"
#include "tests/kernels/ktest.h"

#define EACH(call) for (int i = 0; i < n_devs; i++) { struct dev *d = devs[i]; struct kctx *c = d->ctx; call; }
static const int odd[] = {1, 2, 7, 8, 9, 31, 64, 100, 575, 576, 1536};
#define N_ODD ((int)(sizeof odd / sizeof *odd))

/* A row's sum of squares takes sqrt(C) roundings, the rest a few. */
static void test_rmsnorm(void **state) {
    for (int s = 0; s < N_ODD; s++) {
        int C = odd[s], R = s % 3 ? 2 * s + 1 : 40, n = R * C;
        const float *x = values(n), *w = values(C), *dy = values(n), *dx0 = values(n);
        float *y[NDEV], *r[NDEV], *dx[NDEV];
        outputs(y, NULL, n);
        outputs(r, NULL, R);
        EACH(d->rmsnorm(c, y[i], r[i], x, w, 1e-5f, R, C))
        check_act(y, n, EPS32 * (4 + sqrt(C)), "rmsnorm");
        check_outputs(r, R, EPS32 * (4 + sqrt(C)), "rmsnorm rstd");
        outputs(dx, dx0, n);
        EACH(d->rmsnorm_bwd(c, dx[i], dy, x, w, r[REF], R, C))
        check_act(dx, n, EPS32 * (20 + sqrt(C)), "rmsnorm_bwd");
        EACH(d->rmsnorm(c, y[i], NULL, x, w, 1e-5f, R, C)) /* rstd not wanted */
        check_act(y, n, EPS32 * (4 + sqrt(C)), "rmsnorm without rstd");
        end_bufs("rmsnorm");
    }
}

/* cos and sin come rounded to f32, then two products and a sum */
static void test_rope(void **state) {
    static const int D[] = {2, 6, 16, 64, 130, 256};
    for (int s = 0; s < 6; s++) {
        int H = 1 + s, R = 17, n = R * H * D[s];
        float *x = values(n), *f = buf((size_t)D[s] / 2 * 4), *y[NDEV], *back = copy_of(x, n);
        int32_t *pos = buf((size_t)R * 4);
        for (int i = 0; i < D[s] / 2; i++) f[i] = powf(10000, -2 * (float)i / (float)D[s]);
        for (int i = 0; i < R; i++) pos[i] = i < 5 ? i : (int32_t)(rng() % 131072);
        for (int sign = -1; sign < 2; sign += 2) {
            outputs(y, x, n);
            EACH(d->rope(c, y[i], pos, f, sign, R, H, D[s]))
            check_act(y, n, EPS32 * 4, "rope");
        }
        devs[CPU2]->rope(devs[CPU2]->ctx, back, pos, f, 1, R, H, D[s]);
        devs[CPU2]->rope(devs[CPU2]->ctx, back, pos, f, -1, R, H, D[s]);
        assert_true(distance(back, x, n) < EPS32 * 8); /* the backward turns back */
        end_bufs("rope");
    }
}

static void test_swiglu(void **state) {
    for (int s = 0; s < N_ODD + 1; s++) {
        int n = s < N_ODD ? odd[s] : 20001;
        float *g = values(n), *u = values(n), *dy = values(n), *y[NDEV], *dg[NDEV], *du[NDEV];
        for (int i = 0; i < n; i++) g[i] = rounded(g[i] * (i % 5 ? 3 : 60)); /* both tails of the sigmoid */
        outputs(y, NULL, n);
        EACH(d->swiglu(c, y[i], g, u, n))
        check_act(y, n, EPS32 * 8, "swiglu");
        outputs(y, g, n);
        EACH(d->swiglu(c, y[i], y[i], u, n)) /* in place */
        check_act(y, n, EPS32 * 8, "swiglu in place");
        outputs(dg, NULL, n);
        outputs(du, NULL, n);
        EACH(d->swiglu_bwd(c, dg[i], du[i], dy, g, u, n))
        check_act(dg, n, EPS32 * 12, "swiglu_bwd gate");
        check_act(du, n, EPS32 * 12, "swiglu_bwd up");
        EACH((memcpy(dg[i], g, (size_t)n * 4), memcpy(du[i], u, (size_t)n * 4), d->swiglu_bwd(c, dg[i], du[i], dy, dg[i], du[i], n))) /* over gate and up */
        check_act(dg, n, EPS32 * 12, "swiglu_bwd gate in place");
        check_act(du, n, EPS32 * 12, "swiglu_bwd up in place");
        end_bufs("swiglu");
    }
}

/* e^x over the whole range of f32, through silu: x/(1+e^-x) for x from -110 to 100. Where e^-x overflows (x < -88.7) silu
   is 0 instead of up to 89·2^-128. */
static void test_exponential(void **state) {
    enum { N = 420001 };
    float *x = values(N), *one = values(N), *y = values(N);
    for (int i = 0; i < N; i++) x[i] = -110 + (float)i * 0.0005f, one[i] = 1;
    for (int d = CPU1; d < CARD; d++) {
        devs[d]->swiglu(devs[d]->ctx, y, x, one, N);
        for (int i = 0; i < N; i++) {
            double want = x[i] / (1 + exp(-(double)x[i])), off = fabs(y[i] - want);
            if (!(off <= fabs(want) * EPS32 * 8 + 0x1p-121)) fail_msg("silu(%.9g) = %.9g, not %.9g", (double)x[i], (double)y[i], want);
        }
    }
    end_bufs("exponential");
}

static void test_cross_entropy(void **state) {
    static const int V[] = {1, 2, 7, 8, 100, 513, 1032, 49152, 128256}; /* from 1,024 on a card may hold rows, in one block or several */
    for (int s = 0; s < 9; s++) {
        int M = V[s] > 1000 ? 3 : 9;
        int64_t n = (int64_t)M * V[s];
        float *z = values(n), *scale = values(M), *loss[NDEV], *g[NDEV];
        int32_t *t = buf((size_t)M * 4);
        for (int64_t i = 0; i < n; i++) z[i] *= 8;
        for (int i = 0; i < M; i++) t[i] = i ? (int32_t)(rng() % (uint64_t)V[s]) : V[s] - 1;
        outputs(loss, NULL, M);
        outputs(g, z, n);
        EACH(d->cross_entropy(c, loss[i], g[i], t, NULL, M, V[s]))
        check_outputs(loss, M, V[s] > 1 ? 1e-6 : 0, "cross_entropy");
        check_outputs(g, n, 0, "cross_entropy: logits must stay");
        EACH(d->cross_entropy(c, loss[i], g[i], t, scale, M, V[s]))
        check_outputs(loss, M, V[s] > 1 ? 1e-6 : 0, "cross_entropy with gradient");
        if (V[s] > 1) check_act(g, n, EPS32 * 16, "cross_entropy gradient");
        end_bufs("cross_entropy");
    }
}

static void test_cross_entropy_extremes(void **state) {
    enum { V = 40 };
    for (int d = 0; d < CARD; d++) {
        float *z = values(3 * V), loss[3], scale[3] = {1, 1, 1};
        int32_t t[3] = {3, 3, 3};
        for (int v = 0; v < V; v++) z[v] = v == 3 ? 3e38f : -3e38f, z[V + v] = v % 2 ? -INFINITY : 1;
        z[2 * V + 17] = NAN;
        devs[d]->cross_entropy(devs[d]->ctx, loss, z, t, scale, 3, V);
        assert_true(loss[0] == 0 && z[3] == 0 && z[4] == 0);
        assert_true(isinf(loss[1]) && loss[1] > 0 && z[V + 1] == 0 && fabsf(z[V] - 1.0f / 20) < 1e-7f); /* its target has no probability */
        assert_true(isnan(loss[2]));
        end_bufs("extremes");
    }
}

static void test_rows(void **state) {
    enum { R = 50, C = 19, M = 5 };
    static const int32_t idx[] = {0, 3, 4, 30, 49};
    const float *x = values(R * C);
    float *y[NDEV], *back[NDEV], *sum[NDEV];
    outputs(y, NULL, M * C);
    EACH(d->gather_rows(c, y[i], x, idx, M, C))
    check_act(y, M * C, 0, "gather_rows");
    assert_memory_equal(y[CPU2] + 3 * C, x + 30 * C, C * 4);
    outputs(back, NULL, R * C);
    EACH(d->scatter_rows(c, back[i], y[REF], idx, M, R, C))
    check_act(back, R * C, 0, "scatter_rows");
    for (int r = 0, m = 0; r < R; r++)
        for (int j = 0, here = m < M && idx[m] == r; j < C; j++, m += here && j == C) assert_true(back[CPU2][r * C + j] == (here ? x[r * C + j] : 0));
    EACH(d->scatter_rows(c, back[i], y[REF], idx, 0, R, C)) /* no row chosen */
    assert_true(back[CPU1][5] == 0 && back[CPU1][R * C - 1] == 0);
    outputs(sum, x, R * C);
    EACH(d->add(c, sum[i], x, R * C - 1))
    check_act(sum, R * C, 0, "add");
    assert_true(sum[CPU1][7] == 2 * x[7] && sum[CPU1][R * C - 1] == x[R * C - 1]);
    end_bufs("rows");
}

static double bound(int K) { return 2 * EPS32 * sqrt(K + 8.0); }

static void test_lora(void **state) {
    static const int shapes[][4] = {{1, 1, 1, 1}, {3, 4, 32, 20}, {7, 16, 576, 192}, {65, 8, 100, 33}, {300, 16, 64, 96}, {12, 5, 37, 19}, {5, 64, 48, 40}}; /* R r K N */
    for (int s = 0; s < 7; s++) {
        int R = shapes[s][0], r = shapes[s][1], K = shapes[s][2], N = shapes[s][3];
        const float *x = values(R * K), *A = values(r * K), *B = values(N * r), *y0 = values(R * N), *dA0 = values(r * K), *dB0 = values(N * r), *h0 = values(R * r);
        float *h[NDEV], *y[NDEV], *dh[NDEV], *dB[NDEV], *dA[NDEV], *dx[NDEV];
        double few = R * r < 50 ? 20 : 1; /* few outputs may all be small by cancellation */
        outputs(h, NULL, R * r);
        EACH(d->lora_down(c, h[i], x, A, R, r, K))
        check_act(h, R * r, few * bound(K), "lora_down");
        outputs(y, y0, R * N);
        EACH(d->lora_up(c, y[i], h0, B, 1.7f, R, r, N))
        check_act(y, R * N, few * bound(r), "lora_up");
        outputs(dh, NULL, R * r);
        outputs(dB, dB0, N * r);
        EACH(d->lora_up_bwd(c, dh[i], dB[i], y0, h0, B, 0.3f, R, r, N))
        check_act(dh, R * r, few * bound(N), "lora_up_bwd dh");
        check_outputs(dB, N * r, few * bound(R), "lora_up_bwd dB");
        for (int beta = 0; beta < 3; beta++) { /* 2: dx not wanted */
            outputs(dA, dA0, r * K);
            outputs(dx, beta ? x : NULL, R * K);
            EACH(d->lora_down_bwd(c, (float)(beta == 1), beta < 2 ? dx[i] : NULL, dA[i], h0, x, A, R, r, K))
            check_outputs(dA, r * K, few * bound(R), "lora_down_bwd dA");
            if (beta < 2) check_act(dx, R * K, few * bound(r), "lora_down_bwd dx");
        }
        end_bufs("lora");
    }
}

/* Known answers of Random123's kat_vectors for philox4x32, 10 rounds (Salmon et al.) */
static void test_philox(void **state) {
    static const uint32_t kat[][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t c[4];
        memcpy(c, kat[i], sizeof c);
        philox4x32_10(c, kat[i] + 4);
        assert_memory_equal(c, kat[i] + 6, sizeof c);
    }
}

static void test_dropout(void **state) {
    static const float p[] = {0, 0.1f, 0.5f, 0.97f};
    for (int s = 0; s < N_ODD; s++) {
        int C = odd[s], R = 13, n = R * C;
        const float *x = values(n), *y0 = values(n);
        int32_t *seq = buf((size_t)R * 4), *pos = buf((size_t)R * 4);
        for (int i = 0; i < R; i++) seq[i] = i / 4 + 7, pos[i] = i % 4 + (i == 9) * 100000;
        const uint32_t step = 41;
        struct dropout_key key = {0xfedcba9876543210u, &step, 29, 3, p[s % 4]};
        float *y[NDEV];
        for (int beta = 0; beta < 2; beta++) {
            outputs(y, beta ? y0 : NULL, n);
            EACH(d->dropout(c, (float)beta, y[i], x, seq, pos, &key, R, C))
            check_act(y, n, EPS32 * 3, "dropout");
        }
        outputs(y, x, n);
        EACH(d->dropout(c, 0, y[i], y[i], seq, pos, &key, R, C)) /* in place */
        check_act(y, n, EPS32 * 3, "dropout in place");
        for (int i = 0; i < n; i++) assert_true((y[REF][i] == 0) == (y[n_devs - 1][i] == 0)); /* the very same mask */
        end_bufs("dropout");
    }
}

/* Kept shares lie within 5 standard deviations of 1 − p, masks of other rows, sites, layers, steps and seeds differ,
   and a row's mask follows (sequence, position), not its place in the batch. */
static void test_dropout_masks(void **state) {
    enum { R = 64, C = 512, N = R * C };
    struct dev *d = devs[CPU2];
    float *one = values(N), *y = values(N), *z = values(N);
    int32_t *seq = buf(R * 4), *pos = buf(R * 4), moved_seq = 5, moved_pos = 21;
    for (int i = 0; i < N; i++) one[i] = 1;
    for (int i = 0; i < R; i++) seq[i] = i / 32, pos[i] = i % 32;
    const uint32_t s3 = 3, s4 = 4;
    const struct dropout_key key = {1234, &s3, 2, 1, 0.1f}, others[] = {{1235, &s3, 2, 1, 0.1f}, {1234 + (1ull << 32), &s3, 2, 1, 0.1f}, {1234, &s4, 2, 1, 0.1f}, {1234, &s3, 3, 1, 0.1f}, {1234, &s3, 2, 2, 0.1f}};
    d->dropout(d->ctx, 0, y, one, seq, pos, &key, R, C);
    int kept = 0;
    for (int i = 0; i < N; i++) kept += y[i] != 0;
    assert_true(fabs(kept - 0.9 * N) < 5 * sqrt(N * 0.1 * 0.9));
    for (int o = 0; o < 5; o++) {
        int both = 0;
        d->dropout(d->ctx, 0, z, one, seq, pos, &others[o], R, C);
        for (int i = 0; i < N; i++) both += y[i] == 0 && z[i] == 0;
        assert_true(fabs(both - 0.01 * N) < 5 * sqrt(N * 0.01)); /* independent masks drop both with probability p² */
    }
    seq[37] = moved_seq, pos[37] = moved_pos;
    d->dropout(d->ctx, 0, y, one, seq, pos, &key, R, C);
    d->dropout(d->ctx, 0, z, one, &moved_seq, &moved_pos, &key, 1, C);
    assert_memory_equal(z, y + 37 * C, C * 4);
    end_bufs("dropout masks");
}

static void test_sumsq(void **state) {
    static const int64_t n[] = {0, 1, 7, 4095, 4097, 100001};
    for (int s = 0; s < 6; s++) {
        const float *x = values(n[s] + 1) + 1;
        double out[NDEV], plus[NDEV];
        EACH((d->sumsq(c, &out[i], x - (n[s] == 0), n[s], 0), plus[i] = 10, d->sumsq(c, &plus[i], x - (n[s] == 0), n[s] ? n[s] - (s > 1) : 0, 1)))
        for (int i = CPU1; i < n_devs; i++) {
            assert_true(fabs(out[i] - out[REF]) <= 1e-13 * out[REF]);
            assert_true(fabs(plus[i] - plus[REF]) <= 1e-13 * plus[REF]);
        }
        assert_true(out[CPU1] == out[CPU2] && out[CPU1] == out[CPU3] && plus[REF] >= 10);
        end_bufs("sumsq");
    }
}

/* A step that went wrong, in its gradient or its losses, keeps all later ones from being admitted. */
static void test_admit(void **state) {
    static const double grad[] = {4, 0, INFINITY, NAN, 4, 4}, loss[] = {9, 9, 9, 9, INFINITY, 0}, fine = 25;
    for (int s = 0; s < 6; s++) {
        double norm[NDEV] = {0};
        EACH(d->admit(c, &norm[i], &grad[s], &loss[s]))
        for (int i = 0; i < n_devs; i++) assert_true(s % 5 ? isnan(norm[i]) : norm[i] == 4);
        EACH(d->admit(c, &norm[i], &fine, &fine))
        for (int i = 0; i < n_devs; i++) assert_true(s % 5 ? isnan(norm[i]) : norm[i] == 25);
    }
}

/* Ten updates; clipping active, weight decay on. Then a norm that is not finite must change nothing. */
static void test_adamw(void **state) {
    static const int sizes[] = {1, 9, 576, 20000};
    for (int s = 0; s < 4; s++) {
        int n = sizes[s];
        const float *p0 = values(n), *zero = memset(buf((size_t)n * 4), 0, (size_t)n * 4);
        float *p[NDEV], *m[NDEV], *v[NDEV];
        outputs(p, p0, n);
        outputs(m, zero, n);
        outputs(v, zero, n);
        for (int t = 1; t <= 10; t++) {
            struct adamw_step step = {4e-4, 0.9, 0.999, 1e-8, 0.01, t % 2 ? 0.3 : 0, t};
            const float *g = values(n);
            double norm[NDEV];
            EACH((d->sumsq(c, &norm[i], g, n, 0), d->adamw(c, p[i], m[i], v[i], g, n, &step, &norm[i])))
        }
        check_outputs(p, n, EPS32 * 16, "adamw p");
        check_outputs(m, n, EPS32 * 40, "adamw m");
        check_outputs(v, n, EPS32 * 40, "adamw v");
        struct adamw_step step = {4e-4, 0.9, 0.999, 1e-8, 0.01, 0.3, 11};
        const double bad[] = {INFINITY, NAN};
        for (int b = 0; b < 2; b++)
            EACH(float *before = copy_of(p[i], n); d->adamw(c, p[i], m[i], v[i], p0, n, &step, &bad[b]); assert_memory_equal(before, p[i], (size_t)n * 4))
        end_bufs("adamw");
    }
}

/* Exactly; what is not finite stays so. */
static void test_unscale(void **state) {
    enum { N = 1001 };
    if (n_devs != NDEV) skip();
    float *g = values(N), *was = copy_of(g, N);
    g[7] = was[7] = INFINITY;
    g[9] = NAN;
    devs[CARD]->unscale(devs[CARD]->ctx, g, N, 65536);
    for (int i = 0; i < N; i++) assert_true(i == 9 ? isnan(g[i]) : g[i] == was[i] * 0x1p-16f);
    end_bufs("unscale");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rmsnorm), cmocka_unit_test(test_rope), cmocka_unit_test(test_swiglu), cmocka_unit_test(test_exponential), cmocka_unit_test(test_cross_entropy),
        cmocka_unit_test(test_cross_entropy_extremes), cmocka_unit_test(test_rows), cmocka_unit_test(test_lora), cmocka_unit_test(test_philox), cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_dropout_masks), cmocka_unit_test(test_sumsq), cmocka_unit_test(test_admit), cmocka_unit_test(test_adamw), cmocka_unit_test(test_unscale)};
    return cmocka_run_group_tests_name("ops", tests, open_devs, close_devs);
}

/* SwiGLU with LoRA's thin products that read what it makes, which only cards have, against the reference's single ops; with dropout between
   them and without, and the same bytes twice. */
#include "tests/kernels/ktest.h"

#define SCALE 2

static float *scaled(int64_t n, float by) {
    float *p = values(n);
    for (int64_t i = 0; i < n; i++) p[i] *= by;
    return p;
}
static float *zeros(int64_t n) { return memset(buf((size_t)n * sizeof(float)), 0, (size_t)n * sizeof(float)); }
static void within(const float *got, const float *want, int64_t n, double bound, const char *what) {
    double d = distance(got, want, n);
    if (!(d <= bound)) fail_msg("%s: off by %.3g, allowed %.3g", what, d, bound);
}

/* Of (R, n·r) the columns of one linear, or back */
static float *piece(float *all, float *one, int R, int n, int r, int j, bool back) {
    for (int i = 0; i < R; i++) memcpy(back ? all + (i * n + j) * r : one + i * r, back ? one + i * r : all + (i * n + j) * r, (size_t)r * sizeof(float));
    return back ? all : one;
}

/* A mask for R rows of some sequences; NULL for i 0 */
static const struct dropped *mask_of(struct dropped *d, int i, int R) {
    static const uint32_t step = 5;
    int32_t *seq = buf((size_t)R * 4), *pos = buf((size_t)R * 4);
    for (int j = 0; j < R; j++) seq[j] = j / 37, pos[j] = j % 37;
    *d = (struct dropped){{77, &step, 3, 3, 0.25f}, seq, pos};
    return i ? d : NULL;
}
static void drop_by(const struct dropped *d, float *y, int R, int F) {
    if (d) devs[REF]->dropout(devs[REF]->ctx, 0, y, y, d->seq, d->pos, &d->key, R, F);
}

struct mlp {
    int R, F, r;
    struct weight w[2];
    float *A[2], *B[2];
    float *gate, *up, *dy, *h, *dh, *dA, *dB[2];
};
static struct mlp mlp_of(int R, int F, int r) {
    struct mlp m = {.R = R, .F = F, .r = r};
    for (int j = 0; j < 2; j++) {
        m.w[j] = weight_plain(DT_BF16, F, 8, buf((size_t)F * 16));
        m.A[j] = scaled(r * 8, 0.25f);
        m.B[j] = scaled((int64_t)F * r, 0.25f);
        m.dB[j] = values((int64_t)F * r);
    }
    m.gate = values((int64_t)R * F);
    m.up = values((int64_t)R * F);
    m.dy = values((int64_t)R * F);
    m.h = values((int64_t)R * 2 * r);
    m.dh = values((int64_t)R * 2 * r);
    m.dA = values((int64_t)F * r);
    return m;
}

/* The single ops on the reference: everything that m names becomes what the op must make of it. */
static void mlp_reference(struct mlp *m, const struct dropped *drop) {
    struct dev *d = devs[REF];
    int R = m->R, r = m->r, F = m->F;
    int64_t n = (int64_t)R * F;
    float *y = buf((size_t)n * 4), *zero = zeros((int64_t)F * r), *h = zeros((int64_t)R * r), *dh = zeros((int64_t)R * r);
    d->swiglu(d->ctx, y, m->gate, m->up, n);
    drop_by(drop, y, R, F);
    d->swiglu_bwd(d->ctx, m->gate, m->up, m->dy, m->gate, m->up, n);
    d->lora_down_bwd(d->ctx, 0, NULL, m->dA, m->dh, y, zero, R, r, F); /* (R,r) lies first */
    for (int j = 0; j < 2; j++) {
        d->lora_up_bwd(d->ctx, dh, m->dB[j], j ? m->up : m->gate, piece(m->h, h, R, 2, r, j, false), m->B[j], SCALE, R, r, F);
        piece(m->dh, dh, R, 2, r, j, true);
    }
}

static void test_swiglu_adapted(void **state) {
    static const struct { int R, F, r; } cases[] = {{700, 1096, 16}, {64, 520, 8}, {5001, 1544, 16}, {130, 64, 16}, {300, 64, 32}};
    int taken = 0;
    if (n_devs != NDEV) skip();
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
        struct mlp m = mlp_of(cases[i / 2].R, cases[i / 2].F, cases[i / 2].r), got = m, same;
        struct dropped mask;
        const struct dropped *drop = mask_of(&mask, i % 2, m.R);
        struct adapted a = {.n = 2, .r = m.r, .s = SCALE, .w = m.w, .A = {m.A[0], m.A[1]}, .B = {m.B[0], m.B[1]}};
        int64_t n = (int64_t)m.R * m.F, of_h = (int64_t)m.R * 2 * m.r, of_b = (int64_t)m.F * m.r;
        float **const each[] = {&got.gate, &got.up, &got.dh, &got.dA, &got.dB[0], &got.dB[1]};
        float *const *const want[] = {&m.gate, &m.up, &m.dh, &m.dA, &m.dB[0], &m.dB[1]};
        float **const second[] = {&same.gate, &same.up, &same.dh, &same.dA, &same.dB[0], &same.dB[1]};
        const int64_t sizes[] = {n, n, of_h, of_b, of_b, of_b};
        static const char *const what[] = {"gradient of gate", "gradient of up", "dh", "gradient of A", "gradient of gate's B", "gradient of up's B"};
        same = m;
        for (int j = 0; j < 6; j++) *each[j] = copy_of(*want[j], sizes[j]), *second[j] = copy_of(*want[j], sizes[j]);
        bool done = devs[CARD]->swiglu_adapted_bwd(devs[CARD]->ctx, got.gate, got.up, m.dy, got.gate, got.up, got.dA, got.dh, got.dB, m.h, drop, &a, m.R);
        devs[CARD]->swiglu_adapted_bwd(devs[CARD]->ctx, same.gate, same.up, m.dy, same.gate, same.up, same.dA, same.dh, same.dB, m.h, drop, &a, m.R);
        if (devs[CARD]->sync(devs[CARD]->ctx) != K_OK) fail_msg("card: %s", devs[CARD]->error_text(devs[CARD]->ctx));
        if (done) mlp_reference(&m, drop);
        for (int j = 0; j < 6; j++) {
            assert_memory_equal(*each[j], *second[j], (size_t)sizes[j] * sizeof(float));
            within(*each[j], *want[j], sizes[j], done ? 2 * CARD_BOUND : 0, what[j]);
        }
        assert_true(!done || m.r <= 16);
        taken += done;
        end_bufs("swiglu_adapted_bwd");
    }
    if (!taken) print_message("# SKIP no shape is for it on this card\n"), skip();
}

static void test_swiglu_forward(void **state) {
    static const struct { int R, F, r; } cases[] = {{700, 1096, 16}, {64, 520, 8}, {5001, 1544, 16}, {130, 64, 16}};
    int taken = 0;
    if (n_devs != NDEV) skip();
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
        int R = cases[i / 2].R, F = cases[i / 2].F, r = cases[i / 2].r;
        struct dropped mask;
        const struct dropped *drop = mask_of(&mask, i % 2, R);
        int64_t n = (int64_t)R * F;
        float *gate = values(n), *up = values(n), *A = scaled((int64_t)r * F, 0.25f), *y[3], *yd, *h[3];
        for (int j = 0; j < 3; j++) y[j] = zeros(n), h[j] = zeros((int64_t)R * r);
        devs[REF]->swiglu(devs[REF]->ctx, y[0], gate, up, n);
        drop_by(drop, yd = copy_of(y[0], n), R, F);
        devs[REF]->lora_down(devs[REF]->ctx, h[0], yd, A, R, r, F);
        for (int j = 1; j < 3; j++) taken += devs[CARD]->swiglu_adapted(devs[CARD]->ctx, y[j], h[j], gate, up, A, drop, F, r, R);
        if (devs[CARD]->sync(devs[CARD]->ctx) != K_OK) fail_msg("card: %s", devs[CARD]->error_text(devs[CARD]->ctx));
        if (!taken) print_message("# SKIP it is not for this card\n"), skip();
        within(y[1], y[0], n, CARD_BOUND, "swiglu");
        within(h[1], h[0], (int64_t)R * r, 2 * CARD_BOUND, "h");
        assert_memory_equal(y[1], y[2], (size_t)n * sizeof(float));
        assert_memory_equal(h[1], h[2], (size_t)R * (size_t)r * sizeof(float));
        end_bufs("swiglu_adapted");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_swiglu_adapted), cmocka_unit_test(test_swiglu_forward)};
    return cmocka_run_group_tests_name("thin", tests, open_devs, close_devs);
}

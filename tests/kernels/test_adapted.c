/* adapted and its backward, which only cards have, against the reference's single ops. Rows, columns and ranks on both sides of what
   the wide product of Hopper takes, tiles that are cut on every side, one to three linears of an input. */
#include "tests/kernels/ktest.h"

struct work {
    int n, r, R, K, N[ADAPTED_MOST];
    float s;
    struct weight w[ADAPTED_MOST];
    float *A[ADAPTED_MOST], *B[ADAPTED_MOST], *y[ADAPTED_MOST], *dy[ADAPTED_MOST], *x, *xd, *onto, *h, *dh;
};

static float *scaled(int64_t n, float by) {
    float *p = values(n);
    for (int64_t i = 0; i < n; i++) p[i] *= by;
    return p;
}
static struct weight weight(enum dtype t, int N, int K) {
    size_t blk = dtype_block_bytes(t), bytes = dtype_bytes(t, (int64_t)N * K);
    uint8_t *p = buf(bytes);
    for (size_t i = 0; i < bytes; i += blk) {
        uint16_t d = t == DT_BF16 ? f32_to_bf16(normal()) : f32_to_f16(normal() * 0.1f), m = f32_to_f16(normal());
        for (size_t j = 0; j < blk; j++) p[i + j] = (uint8_t)(rng() >> 20);
        memcpy(p + i, &d, 2);
        if (t == DT_Q4_1) memcpy(p + i + 2, &m, 2);
    }
    return weight_plain(t, N, K, p);
}

static void make(struct work *w, enum dtype t, bool drop) {
    w->x = values((int64_t)w->R * w->K);
    w->xd = drop ? values((int64_t)w->R * w->K) : w->x;
    w->h = buf((size_t)w->n * (size_t)w->R * (size_t)w->r * sizeof(float));
    w->dh = buf((size_t)w->n * (size_t)w->R * (size_t)w->r * sizeof(float));
    for (int j = 0; j < w->n; j++) {
        w->w[j] = weight(t, w->N[j], w->K);
        w->A[j] = scaled((int64_t)w->r * w->K, 0.25f);
        w->B[j] = scaled((int64_t)w->N[j] * w->r, 0.25f);
        w->y[j] = buf((size_t)w->R * (size_t)w->N[j] * sizeof(float));
        w->dy[j] = values((int64_t)w->R * w->N[j]);
    }
    w->onto = w->n == 1 ? values((int64_t)w->R * w->N[0]) : NULL;
}

static struct adapted described(const struct work *w) {
    struct adapted a = {.n = w->n, .r = w->r, .s = w->s, .w = w->w};
    for (int j = 0; j < w->n; j++) a.A[j] = w->A[j], a.B[j] = w->B[j];
    return a;
}

static void within(const float *got, const float *want, int64_t n, double bound, const char *what) {
    double d = distance(got, want, n);
    if (!(d <= bound)) fail_msg("%s: off by %.3g, allowed %.3g", what, d, bound);
}

static void forward(const struct work *w, const struct adapted *a) {
    struct dev *d = devs[REF];
    devs[CARD]->adapted(devs[CARD]->ctx, w->onto, (void *const *)w->y, w->x, w->xd, w->h, a, w->R);
    for (int j = 0; j < w->n; j++) {
        int64_t n = (int64_t)w->R * w->N[j];
        float *want = w->onto && j == 0 ? copy_of(w->onto, n) : buf((size_t)n * sizeof(float)), *h = buf((size_t)w->R * (size_t)w->r * sizeof(float));
        d->linear(d->ctx, w->onto && j == 0, want, w->x, &w->w[j], w->R);
        d->lora_down(d->ctx, h, w->xd, w->A[j], w->R, w->r, w->K);
        d->lora_up(d->ctx, want, h, w->B[j], w->s, w->R, w->r, w->N[j]);
        within(w->y[j], want, n, CARD_BOUND, "forward");
    }
}

static float *zeros(int64_t n) { return memset(buf((size_t)n * sizeof(float)), 0, (size_t)n * sizeof(float)); }

/* The same bytes a second time */
static void again(const struct work *w, const struct adapted *a, const float *dx, const float *dxd, float *const *dA, float *const *dB) {
    size_t nx = (size_t)w->R * (size_t)w->K * sizeof(float);
    float *dx2 = buf(nx), *dxd2 = dxd ? buf(nx) : NULL, *dA2[ADAPTED_MOST], *dB2[ADAPTED_MOST];
    for (int j = 0; j < w->n; j++) dA2[j] = zeros((int64_t)w->r * w->K), dB2[j] = zeros((int64_t)w->N[j] * w->r);
    devs[CARD]->adapted_bwd(devs[CARD]->ctx, dx2, dxd2, dA2, dB2, (const void *const *)w->dy, w->xd, w->h, w->dh, a, w->R);
    assert_memory_equal(dx, dx2, nx);
    if (dxd) assert_memory_equal(dxd, dxd2, nx);
    for (int j = 0; j < w->n; j++) {
        assert_memory_equal(dA[j], dA2[j], (size_t)w->r * (size_t)w->K * sizeof(float));
        assert_memory_equal(dB[j], dB2[j], (size_t)w->N[j] * (size_t)w->r * sizeof(float));
    }
}

static void backward(const struct work *w, const struct adapted *a, bool drop) {
    struct dev *d = devs[REF];
    int64_t nx = (int64_t)w->R * w->K;
    float *dA[ADAPTED_MOST], *dB[ADAPTED_MOST], *dx = buf((size_t)nx * sizeof(float)), *dxd = drop ? buf((size_t)nx * sizeof(float)) : NULL;
    float *want = zeros(nx), *want_d = drop ? zeros(nx) : want, *h = buf((size_t)w->R * (size_t)w->r * sizeof(float)), *dh = buf((size_t)w->R * (size_t)w->r * sizeof(float));
    for (int j = 0; j < w->n; j++) dA[j] = zeros((int64_t)w->r * w->K), dB[j] = zeros((int64_t)w->N[j] * w->r);
    devs[CARD]->adapted_bwd(devs[CARD]->ctx, dx, dxd, dA, dB, (const void *const *)w->dy, w->xd, w->h, w->dh, a, w->R);
    again(w, a, dx, dxd, dA, dB);
    for (int j = 0; j < w->n; j++) {
        float *wA = zeros((int64_t)w->r * w->K), *wB = zeros((int64_t)w->N[j] * w->r);
        d->linear_dx(d->ctx, 1, want, w->dy[j], &w->w[j], w->R);
        d->lora_down(d->ctx, h, w->xd, w->A[j], w->R, w->r, w->K);
        d->lora_up_bwd(d->ctx, dh, wB, w->dy[j], h, w->B[j], w->s, w->R, w->r, w->N[j]);
        d->lora_down_bwd(d->ctx, 1, want_d, wA, dh, w->xd, w->A[j], w->R, w->r, w->K);
        within(dA[j], wA, (int64_t)w->r * w->K, 2 * CARD_BOUND, "gradient of A");
        within(dB[j], wB, (int64_t)w->N[j] * w->r, 2 * CARD_BOUND, "gradient of B");
    }
    within(dx, want, nx, 2 * CARD_BOUND, "gradient of x");
    if (drop) within(dxd, want_d, nx, 2 * CARD_BOUND, "gradient of dropped x");
}

static void test_adapted(void **state) {
    static const struct shape { int n, r, R, K, N[ADAPTED_MOST]; float s; } cases[] = {
        {1, 16, 130, 64, {40}, 2}, {1, 16, 128, 128, {256}, 4}, {3, 16, 300, 576, {576, 192, 192}, 1.7f}, {2, 8, 515, 72, {264, 520}, 1},
        {3, 32, 256, 64, {64, 8, 16}, 2}, {1, 64, 200, 192, {80}, 2}, {2, 4, 140, 64, {32, 32}, 2}, {1, 16, 40, 64, {40}, 2}, {1, 16, 150, 96, {41}, 2}, {1, 16, 3000, 64, {1000}, 2},
        {2, 16, 5001, 64, {2056, 1032}, 2}, {3, 24, 1500, 64, {1096, 520, 8}, 2}, /* shares of several slabs */
    };
    if (n_devs != NDEV) skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int t = 0; t < 4; t++) {
            const struct shape *c = &cases[i];
            struct work w = {.n = c->n, .r = c->r, .R = c->R, .K = c->K, .N = {c->N[0], c->N[1], c->N[2]}, .s = c->s};
            if (t & 1 && w.K % 32) continue;
            make(&w, t & 1 ? DT_Q4_1 : DT_BF16, t & 2);
            struct adapted a = described(&w);
            forward(&w, &a);
            backward(&w, &a, t & 2);
            if (devs[CARD]->sync(devs[CARD]->ctx) != K_OK) fail_msg("card: %s", devs[CARD]->error_text(devs[CARD]->ctx));
            end_bufs("adapted");
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_adapted)};
    return cmocka_run_group_tests_name("adapted", tests, open_devs, close_devs);
}

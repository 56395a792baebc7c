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

struct shape { int n, r, R, K, N[ADAPTED_MOST]; float s; };
/* Of both types of weights, with and without dropout; false: there is no such case. */
static bool make_case(struct work *w, const struct shape *c, int t) {
    *w = (struct work){.n = c->n, .r = c->r, .R = c->R, .K = c->K, .N = {c->N[0], c->N[1], c->N[2]}, .s = c->s};
    if (t & 1 && w->K % 32) return false;
    make(w, t & 1 ? DT_Q4_1 : DT_BF16, t & 2);
    return true;
}

static void test_adapted(void **state) {
    static const struct shape cases[] = {
        {1, 16, 130, 64, {40}, 2}, {1, 16, 128, 128, {256}, 4}, {3, 16, 300, 576, {576, 192, 192}, 1.7f}, {2, 8, 515, 72, {264, 520}, 1},
        {3, 32, 256, 64, {64, 8, 16}, 2}, {1, 64, 200, 192, {80}, 2}, {2, 4, 140, 64, {32, 32}, 2}, {1, 16, 40, 64, {40}, 2}, {1, 16, 150, 96, {41}, 2}, {1, 16, 3000, 64, {1000}, 2},
        {2, 16, 5001, 64, {2056, 1032}, 2}, {3, 24, 1500, 64, {1096, 520, 8}, 2}, /* shares of several slabs */
        {1, 16, 600, 2888, {72}, 2}, {2, 8, 1030, 2056, {40, 16}, 2}, /* the wide product backward */
        {1, 16, 130, 1504, {200}, 2}, {2, 16, 200, 192, {1416, 1096}, 1}, /* steps shared out */
    };
    if (n_devs != NDEV) skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int t = 0; t < 4; t++) {
            struct work w;
            if (!make_case(&w, &cases[i], t)) continue;
            struct adapted a = described(&w);
            forward(&w, &a);
            backward(&w, &a, t & 2);
            if (devs[CARD]->sync(devs[CARD]->ctx) != K_OK) fail_msg("card: %s", devs[CARD]->error_text(devs[CARD]->ctx));
            end_bufs("adapted");
        }
}

/* ---- in e4m3: against the reference on factors that were rounded in the same way ---- */
/* To the nearest of e4m3 (bias 7, steps of 2^-9 at least, 448 at most), ties to even */
static float e4m3(float x) {
    int e;
    frexpf(x, &e);
    float step = ldexpf(1, (e - 1 > -6 ? e - 1 : -6) - 3), q = nearbyintf(x / step) * step;
    return q > 448 ? 448 : q < -448 ? -448 : q;
}
/* n values `stride` apart and in several runs: over 448 of their greatest magnitude, rounded */
struct line { float *p[ADAPTED_MOST]; int64_t n[ADAPTED_MOST], stride; int runs; };
static void to_e4m3(const struct line *l) {
    float top = 0x1p-100f;
    for (int j = 0; j < l->runs; j++)
        for (int64_t i = 0; i < l->n[j]; i++) top = fmaxf(top, fabsf(l->p[j][i * l->stride]));
    float scale = top / 448;
    uint32_t bits;
    memcpy(&bits, &scale, 4);
    bits = (bits + 0xffff) & 0xffff0000u;
    memcpy(&scale, &bits, 4);
    float by = 1 / scale;
    for (int j = 0; j < l->runs; j++)
        for (int64_t i = 0; i < l->n[j]; i++) l->p[j][i * l->stride] = e4m3(l->p[j][i * l->stride] * by) * scale;
}
/* The weights as f32, unrounded */
static void plain(struct weight *to, const struct work *w) {
    for (int j = 0; j < w->n; j++) {
        float *p = buf((size_t)w->N[j] * (size_t)w->K * sizeof(float));
        for (int64_t i = 0; i < w->N[j]; i++) {
            weight_to_f32(p + i * w->K, &w->w[j], i, 0, w->K);
            for (int64_t c = 0; c < w->K; c++) p[i * w->K + c] = bf16_to_f32(f32_to_bf16(p[i * w->K + c])); /* as decoded on the card */
        }
        to[j] = weight_plain(DT_F32, w->N[j], w->K, p);
    }
}
static void rounded_forward(struct weight *W, float *x, const struct work *w) {
    for (int i = 0; i < w->R; i++) to_e4m3(&(struct line){{x + (int64_t)i * w->K}, {w->K}, 1, 1});
    for (int j = 0; j < w->n; j++)
        for (int i = 0; i < w->N[j]; i++) to_e4m3(&(struct line){{(float *)(uintptr_t)W[j].data + (int64_t)i * w->K}, {w->K}, 1, 1});
}
static void rounded_backward(struct weight *W, float **dy, const struct work *w) {
    for (int i = 0; i < w->R; i++) {
        struct line l = {.stride = 1, .runs = w->n};
        for (int j = 0; j < w->n; j++) l.p[j] = dy[j] + (int64_t)i * w->N[j], l.n[j] = w->N[j];
        to_e4m3(&l);
    }
    for (int i = 0; i < w->K; i++) {
        struct line l = {.stride = w->K, .runs = w->n};
        for (int j = 0; j < w->n; j++) l.p[j] = (float *)(uintptr_t)W[j].data + i, l.n[j] = w->N[j];
        to_e4m3(&l);
    }
}

/* Tensor cores cut the sums of products of e4m3 off after some 14 bits: no more than a result's rounding to bf16. */
static double worst[2]; /* seen: forward, backward */
static void e4m3_within(const float *got, const float *want, int64_t n, int which) {
    double d = distance(got, want, n);
    worst[which] = d > worst[which] ? d : worst[which];
    within(got, want, n, CARD_BOUND, which ? "gradient of x in e4m3" : "forward in e4m3");
}

static void e4m3_forward(const struct work *w, const struct adapted *a) {
    struct dev *d = devs[REF];
    struct weight W[ADAPTED_MOST];
    float *x = copy_of(w->x, (int64_t)w->R * w->K), *h = buf((size_t)w->R * (size_t)w->r * sizeof(float));
    devs[CARD]->adapted(devs[CARD]->ctx, w->onto, (void *const *)w->y, w->x, w->xd, w->h, a, w->R);
    plain(W, w);
    rounded_forward(W, x, w);
    for (int j = 0; j < w->n; j++) {
        int64_t n = (int64_t)w->R * w->N[j];
        float *want = w->onto ? copy_of(w->onto, n) : buf((size_t)n * sizeof(float));
        d->linear(d->ctx, w->onto != NULL, want, x, &W[j], w->R);
        d->lora_down(d->ctx, h, w->xd, w->A[j], w->R, w->r, w->K);
        d->lora_up(d->ctx, want, h, w->B[j], w->s, w->R, w->r, w->N[j]);
        e4m3_within(w->y[j], want, n, 0);
    }
}

static void e4m3_backward(const struct work *w, const struct adapted *a, bool drop) {
    struct dev *d = devs[REF];
    struct weight W[ADAPTED_MOST];
    int64_t nx = (int64_t)w->R * w->K;
    float *dA[ADAPTED_MOST], *dB[ADAPTED_MOST], *dy[ADAPTED_MOST], *dx = buf((size_t)nx * sizeof(float)), *dxd = drop ? buf((size_t)nx * sizeof(float)) : NULL;
    float *want = zeros(nx), *want_d = drop ? zeros(nx) : want, *h = buf((size_t)w->R * (size_t)w->r * sizeof(float)), *dh = buf((size_t)w->R * (size_t)w->r * sizeof(float));
    for (int j = 0; j < w->n; j++) dA[j] = zeros((int64_t)w->r * w->K), dB[j] = zeros((int64_t)w->N[j] * w->r), dy[j] = copy_of(w->dy[j], (int64_t)w->R * w->N[j]);
    devs[CARD]->adapted_bwd(devs[CARD]->ctx, dx, dxd, dA, dB, (const void *const *)w->dy, w->xd, w->h, w->dh, a, w->R);
    plain(W, w);
    rounded_backward(W, dy, w);
    for (int j = 0; j < w->n; j++) {
        d->linear_dx(d->ctx, 1, want, dy[j], &W[j], w->R);
        d->lora_down(d->ctx, h, w->xd, w->A[j], w->R, w->r, w->K);
        d->lora_up_bwd(d->ctx, dh, dB[j], w->dy[j], h, w->B[j], w->s, w->R, w->r, w->N[j]);
        d->lora_down_bwd(d->ctx, 1, want_d, dA[j], dh, w->xd, w->A[j], w->R, w->r, w->K);
    }
    e4m3_within(dx, want, nx, 1);
    if (drop) within(dxd, want_d, nx, 2 * CARD_BOUND, "gradient of dropped x");
}

static bool has_e4m3(void) { return n_devs == NDEV && devs[CARD]->e4m3; }

/* Columns of less than a step, of a step cut, rows and columns of less than a tile, ranks of several steps; gradients of very different size. */
static void test_e4m3(void **state) {
    static const struct shape cases[] = {
        {1, 16, 130, 64, {48}, 2}, {1, 16, 128, 128, {256}, 4}, {3, 16, 300, 576, {576, 192, 192}, 1.7f}, {2, 8, 515, 80, {272, 528}, 1},
        {3, 32, 256, 64, {64, 16, 16}, 2}, {1, 64, 200, 192, {80}, 2}, {1, 16, 140, 2064, {320}, 2}, {2, 16, 140, 272, {2064, 48}, 2}, {1, 16, 1500, 64, {1008}, 2},
    };
    if (!has_e4m3()) skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int t = 0; t < 4; t++) {
            struct work w;
            if (!make_case(&w, &cases[i], t)) continue;
            for (int k = 0; k < w.N[0] * 7; k++) w.dy[0][k] *= 0x1p-10f;
            for (int k = 0; k < w.K; k++) w.x[2 * w.K + k] = 0;
            struct adapted a = described(&w);
            a.e4m3 = true;
            e4m3_forward(&w, &a);
            e4m3_backward(&w, &a, t & 2);
            if (devs[CARD]->sync(devs[CARD]->ctx) != K_OK) fail_msg("card: %s", devs[CARD]->error_text(devs[CARD]->ctx));
            end_bufs("adapted in e4m3");
        }
    print_message("# e4m3: off by %.3g forward, %.3g backward at most\n", worst[0], worst[1]);
}

/* What is not finite, which saturation would hide, makes its row NaN, and no other. */
static void test_e4m3_not_finite(void **state) {
    if (!has_e4m3()) skip();
    struct work w = {.n = 1, .r = 16, .R = 140, .K = 96, .N = {64}, .s = 1};
    make(&w, DT_BF16, true);
    w.x[3 * w.K + 5] = INFINITY;
    w.x[70 * w.K] = NAN;
    struct adapted a = described(&w);
    a.e4m3 = true;
    devs[CARD]->adapted(devs[CARD]->ctx, w.onto, (void *const *)w.y, w.x, w.xd, w.h, &a, w.R);
    for (int i = 0; i < w.R * w.N[0]; i++) assert_int_equal(isnan(w.y[0][i]) != 0, i / w.N[0] == 3 || i / w.N[0] == 70);
    end_bufs("not finite");
}

static float *unset(int64_t n) { return memset(buf((size_t)n * sizeof(float)), 0xff, (size_t)n * sizeof(float)); }

/* The forward, or the gradient of x, of what was rounded as it was written, and of the same rounded now: the same bytes. */
static void same_rounding(const struct work *w, bool back) {
    struct dev *d = devs[CARD];
    int64_t n[2] = {(int64_t)w->R * w->N[0], (int64_t)w->R * w->K};
    float *dA[2], *dB[2], *dx[2];
    for (int j = 0; j < 2; j++) dA[j] = zeros((int64_t)w->r * w->K), dB[j] = zeros((int64_t)w->N[j] * w->r);
    for (int now = 0; now < 2; now++) {
        struct adapted a = described(w);
        a.e4m3 = true;
        a.rounded = !now;
        dx[now] = unset(n[back]);
        if (back) d->adapted_bwd(d->ctx, dx[now], NULL, dA, dB, (const void *const *)w->dy, w->x, w->h, w->dh, &a, w->R);
        else d->adapted(d->ctx, NULL, (void *[]){dx[now], w->y[1]}, w->x, w->x, w->h, &a, w->R);
    }
    assert_memory_equal(dx[0], dx[1], (size_t)n[back] * sizeof(float));
}

/* The ops that round what they write: it is what the plain ones write. */
static void test_rounded(void **state) {
    static const struct { int R, K, N; } cases[] = {{300, 576, 1536}, {130, 2048, 64}, {129, 1040, 4096}};
    if (!has_e4m3()) skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dev *c = devs[CARD], *d = devs[REF];
        struct work w = {.n = 2, .r = 16, .R = cases[i].R, .K = cases[i].K, .N = {cases[i].N, cases[i].N}, .s = 2};
        int64_t n = (int64_t)w.R * w.K, m = (int64_t)w.R * w.N[0];
        make(&w, DT_BF16, false);
        float *in = values(n), *up = values(n), *norm = values(w.K), *rstd[2] = {zeros(w.R), zeros(w.R)}, *want = buf((size_t)n * sizeof(float));
        c->rmsnorm_e4m3(c->ctx, w.x, rstd[0], in, norm, 1e-5f, w.R, w.K);
        d->rmsnorm(d->ctx, want, rstd[1], in, norm, 1e-5f, w.R, w.K);
        within(w.x, want, n, CARD_BOUND, "rmsnorm");
        within(rstd[0], rstd[1], w.R, 0x1p-20, "rmsnorm's deviations");
        same_rounding(&w, false);
        c->swiglu_e4m3(c->ctx, w.x, in, up, w.R, w.K);
        d->swiglu(d->ctx, want, in, up, n);
        within(w.x, want, n, CARD_BOUND, "swiglu");
        same_rounding(&w, false);
        float *dy = values(m), *gate = values(m), *up2 = values(m), *y = zeros(m), *g[3] = {zeros(m), zeros(m), zeros(m)};
        c->swiglu_bwd_e4m3(c->ctx, w.dy[0], w.dy[1], y, dy, gate, up2, w.R, w.N[0]);
        d->swiglu_bwd(d->ctx, g[0], g[1], dy, gate, up2, m);
        d->swiglu(d->ctx, g[2], gate, up2, m);
        within(w.dy[0], g[0], m, CARD_BOUND, "gradient of gate");
        within(w.dy[1], g[1], m, CARD_BOUND, "gradient of up");
        within(y, g[2], m, CARD_BOUND, "swiglu again");
        same_rounding(&w, true);
        end_bufs("rounded");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_adapted), cmocka_unit_test(test_e4m3), cmocka_unit_test(test_e4m3_not_finite), cmocka_unit_test(test_rounded)};
    return cmocka_run_group_tests_name("adapted", tests, open_devs, close_devs);
}

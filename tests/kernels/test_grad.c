/* Every backward against its forward, on the reference ops (the fast ones are held to those elsewhere): central
   differences with one Richardson step for what is not linear, <y, f(x)> = <fᵀ(y), x> for what is. */
#include "tests/kernels/ktest.h"

/* Outputs are f32, so a difference over 2h carries 2^-24·|y|·sqrt(n)/h, some 5e-5 with h = 2^-7; truncation is h^4. */
#define STEP 0x1p-7f
#define TOLERANCE 1e-3

typedef double loss_fn(void *ctx);
static double slope(loss_fn *f, void *ctx, float *x, float h) {
    float old = *x, hi = old + h, lo = old - h;
    *x = hi;
    double up = f(ctx);
    *x = lo;
    double down = f(ctx);
    *x = old;
    return (up - down) / ((double)hi - lo);
}

/* grad(n) against differences of f over x(n), relative to the largest gradient */
static void check_grad(loss_fn *f, void *ctx, float *x, const float *grad, int n, const char *what) {
    double top = 0;
    for (int i = 0; i < n; i++) top = fmax(top, fabs((double)grad[i]));
    assert_true(top > 0);
    for (int i = 0; i < n; i++) {
        double d = (4 * slope(f, ctx, x + i, STEP / 2) - slope(f, ctx, x + i, STEP)) / 3;
        if (!(fabs(d - grad[i]) <= TOLERANCE * top)) fail_msg("%s: gradient %d is %g, differences give %g", what, i, (double)grad[i], d);
    }
}

static double inner(const float *a, const float *b, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += (double)a[i] * b[i];
    return s;
}

static void check_adjoint(double a, double b, const char *what) {
    if (!(fabs(a - b) <= 1e-5 * (fabs(a) + fabs(b)))) fail_msg("%s: <y, f(x)> is %.9g, <f'(y), x> %.9g", what, a, b);
}

#define REFDEV devs[REF]->ctx
struct norm { float *x, *w, *y, *dy; };
enum { NR = 3, NC = 21 };
static double norm_loss(void *p) {
    struct norm *n = p;
    rmsnorm_ref(REFDEV, n->y, NULL, n->x, n->w, 1e-2f, NR, NC);
    return inner(n->y, n->dy, NR * NC);
}
static void test_rmsnorm(void **state) {
    struct norm n = {values(NR * NC), values(NC), values(NR * NC), values(NR * NC)};
    float *rstd = values(NR), *dx = memset(values(NR * NC), 0, NR * NC * 4);
    rmsnorm_ref(REFDEV, n.y, rstd, n.x, n.w, 1e-2f, NR, NC);
    rmsnorm_bwd_ref(REFDEV, dx, n.dy, n.x, n.w, rstd, NR, NC);
    check_grad(norm_loss, &n, n.x, dx, NR * NC, "rmsnorm");
    end_bufs("rmsnorm");
}

struct glu { float *g, *u, *y, *dy; };
static double glu_loss(void *p) {
    struct glu *s = p;
    swiglu_ref(REFDEV, s->y, s->g, s->u, 40);
    return inner(s->y, s->dy, 40);
}
static void test_swiglu(void **state) {
    struct glu s = {values(40), values(40), values(40), values(40)};
    float *dg = values(40), *du = values(40);
    for (int i = 0; i < 40; i++) s.g[i] *= 3;
    swiglu_bwd_ref(REFDEV, dg, du, s.dy, s.g, s.u, 40);
    check_grad(glu_loss, &s, s.g, dg, 40, "swiglu gate");
    check_grad(glu_loss, &s, s.u, du, 40, "swiglu up");
    end_bufs("swiglu");
}

struct ce { float *z, *scratch, *loss, *scale; int32_t t[4]; };
static double ce_loss(void *p) {
    struct ce *c = p;
    cross_entropy_ref(REFDEV, c->loss, c->z, c->t, NULL, 4, 13);
    return inner(c->loss, c->scale, 4);
}
static void test_cross_entropy(void **state) {
    struct ce c = {values(52), NULL, values(4), values(4), {0, 12, 5, 5}};
    float *grad = copy_of(c.z, 52);
    cross_entropy_ref(REFDEV, c.loss, grad, c.t, c.scale, 4, 13);
    check_grad(ce_loss, &c, c.z, grad, 52, "cross_entropy");
    end_bufs("cross_entropy");
}

enum { T0 = 3, T1 = 8, TR = T0 + T1, AH = 4, AG = 2, AD = 6 };
static const int32_t cu[] = {0, T0, TR};
struct att { float *q, *k, *v, *o, *lse, *dout; };
static double att_loss(void *p) {
    struct att *a = p;
    attention_ref(REFDEV, a->o, a->lse, a->q, a->k, a->v, cu, cu, 2, AH, AG, AD, 0.7f);
    return inner(a->o, a->dout, TR * AH * AD);
}
static void test_attention(void **state) {
    enum { NQ = TR * AH * AD, NK = TR * AG * AD };
    struct att a = {values(NQ), values(NK), values(NK), values(NQ), values(TR * AH), values(NQ)};
    float *dq = values(NQ), *dk = values(NK), *dv = values(NK), *o, *lse;
    att_loss(&a);
    o = copy_of(a.o, NQ);
    lse = copy_of(a.lse, TR * AH);
    attention_bwd_ref(REFDEV, dq, dk, dv, a.dout, a.q, a.k, a.v, o, lse, cu, cu, 2, AH, AG, AD, 0.7f);
    check_grad(att_loss, &a, a.q, dq, NQ, "attention q");
    check_grad(att_loss, &a, a.k, dk, NK, "attention k");
    check_grad(att_loss, &a, a.v, dv, NK, "attention v");
    end_bufs("attention");
}

/* y += s·(x·Aᵀ)·Bᵀ as a whole: gradients of x, A and B */
enum { LR = 5, Lr = 3, LK = 9, LN = 7 };
struct lora { float *x, *A, *B, *h, *y, *dy; };
static double lora_loss(void *p) {
    struct lora *l = p;
    memset(l->y, 0, LR * LN * 4);
    lora_down_ref(REFDEV, l->h, l->x, l->A, LR, Lr, LK);
    lora_up_ref(REFDEV, l->y, l->h, l->B, 1.3f, LR, Lr, LN);
    return inner(l->y, l->dy, LR * LN);
}
static void test_lora(void **state) {
    struct lora l = {values(LR * LK), values(Lr * LK), values(LN * Lr), values(LR * Lr), values(LR * LN), values(LR * LN)};
    float *dh = values(LR * Lr), *dx = values(LR * LK), *dA = memset(values(Lr * LK), 0, Lr * LK * 4), *dB = memset(values(LN * Lr), 0, LN * Lr * 4);
    lora_loss(&l);
    lora_up_bwd_ref(REFDEV, dh, dB, l.dy, l.h, l.B, 1.3f, LR, Lr, LN);
    lora_down_bwd_ref(REFDEV, 0, dx, dA, dh, l.x, l.A, LR, Lr, LK);
    check_grad(lora_loss, &l, l.x, dx, LR * LK, "lora x");
    check_grad(lora_loss, &l, l.A, dA, Lr * LK, "lora A");
    check_grad(lora_loss, &l, l.B, dB, LN * Lr, "lora B");
    end_bufs("lora");
}

static void test_linear(void **state) {
    enum { R = 4, K = 64, N = 10 };
    static const enum dtype types[] = {DT_F32, DT_Q8_0, DT_Q4_1};
    for (int t = 0; t < 3; t++) {
        size_t bytes = dtype_bytes(types[t], N * K), blk = dtype_block_bytes(types[t]);
        uint8_t *data = types[t] == DT_F32 ? (uint8_t *)values(N * K) : buf(bytes);
        for (size_t i = 0; i < bytes && types[t] != DT_F32; i++) data[i] = i % blk == 1 || (types[t] == DT_Q4_1 && i % blk == 3) ? 0x2c : (uint8_t)rng();
        struct weight w = weight_plain(types[t], N, K, data);
        float *x = values(R * K), *y = values(R * N), *fx = values(R * N), *fy = values(R * K);
        linear_ref(REFDEV, 0, fx, x, &w, R);
        linear_dx_ref(REFDEV, 0, fy, y, &w, R);
        check_adjoint(inner(fx, y, R * N), inner(fy, x, R * K), dtype_name(types[t]));
        end_bufs("linear");
    }
}

static void test_linear_maps(void **state) {
    enum { R = 6, H = 3, D = 8, N = R * H * D, M = 4 };
    static const int32_t pos[R] = {0, 1, 2, 500, 3, 9}, seq[R] = {0}, idx[M] = {0, 2, 3, 5};
    float f[D / 2] = {1, 0.3f, 0.1f, 0.01f}, *x = values(N), *y = values(N), *fx = copy_of(x, N), *fy = copy_of(y, N);
    rope_ref(REFDEV, fx, pos, f, 1, R, H, D);
    rope_ref(REFDEV, fy, pos, f, -1, R, H, D);
    check_adjoint(inner(fx, y, N), inner(fy, x, N), "rope");
    const uint32_t step = 1;
    const struct dropout_key key = {7, &step, 2, 3, 0.3f};
    dropout_ref(REFDEV, 0, fx, x, seq, pos, &key, R, H * D);
    dropout_ref(REFDEV, 0, fy, y, seq, pos, &key, R, H * D);
    check_adjoint(inner(fx, y, N), inner(fy, x, N), "dropout");
    gather_rows_ref(REFDEV, fx, x, idx, M, H * D);
    scatter_rows_ref(REFDEV, fy, y, idx, M, R, H * D);
    check_adjoint(inner(fx, y, M * H * D), inner(fy, x, N), "rows");
    end_bufs("linear maps");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rmsnorm), cmocka_unit_test(test_swiglu), cmocka_unit_test(test_cross_entropy), cmocka_unit_test(test_attention), cmocka_unit_test(test_lora), cmocka_unit_test(test_linear), cmocka_unit_test(test_linear_maps)};
    return cmocka_run_group_tests_name("grad", tests, open_devs, close_devs);
}

/* topk and distill: each device against the reference, the backward against differences, and numbers computed by hand. */
#include "kernels/distill.h"
#include "tests/kernels/ktest.h"

#define EACH(call) for (int i = 0; i < n_devs; i++) { struct dev *d = devs[i]; struct kctx *c = d->ctx; call; }

struct shape { int M, V, K; float T, alpha; };
static const struct shape shapes[] = {{9, 2, 1, 1, 0.5f}, {9, 7, 3, 2, 1}, {9, 8, 7, 0.5f, 0}, {9, 100, 64, 1, 1}, {9, 513, 64, 3, 0.3f}, {3, 5000, 9, 1, 0.7f}, {2, 49152, 64, 2, 0.5f}};
#define N_SHAPES (int)(sizeof shapes / sizeof *shapes)

static void test_topk(void **state) {
    for (int s = 0; s < N_SHAPES; s++) {
        const int M = shapes[s].M, V = shapes[s].V, K = shapes[s].K;
        float *z = values((int64_t)M * V), *logp[NDEV], *tail[NDEV], *id[NDEV];
        for (int64_t i = 0; i < (int64_t)M * V; i++) z[i] = s % 2 ? roundf(z[i] * 8) : z[i] * 8; /* with and without ties */
        outputs(logp, NULL, (int64_t)M * K);
        outputs(tail, NULL, M);
        outputs(id, NULL, (int64_t)M * K);
        EACH(d->topk(c, (int32_t *)(void *)id[i], logp[i], tail[i], z, shapes[s].T, M, V, K))
        for (int i = 1; i < n_devs; i++) assert_memory_equal(id[i], id[REF], (size_t)M * (size_t)K * 4);
        check_outputs(logp, (int64_t)M * K, 1e-6, "topk logp");
        check_outputs(tail, M, 1e-6, "topk tail");
        end_bufs("topk");
    }
}

static void test_topk_by_hand(void **state) {
    const float z[] = {0, 1, 1, 0.5f, 1}; /* of three equal ones the first two; the rest are e^0, e^0.5, e^1 at T 1 */
    for (int i = 0; i < n_devs; i++) {
        int32_t id[2];
        float logp[2], tail;
        devs[i]->topk(devs[i]->ctx, id, logp, &tail, z, 2, 1, 5, 2);
        double sum = 1 + 3 * exp(0.5) + exp(0.25);
        assert_true(id[0] == 1 && id[1] == 2);
        assert_true(fabs(logp[0] - (0.5 - log(sum))) < 1e-6 && logp[0] == logp[1]);
        assert_true(fabs(tail - log((1 + exp(0.5) + exp(0.25)) / sum)) < 1e-6);
    }
}

/* A NaN anywhere shows; a tail of hardly any probability keeps its logarithm. */
static void test_topk_extremes(void **state) {
    enum { V = 40 };
    for (int i = 0; i < n_devs; i++) {
        for (int at = 0; at < V; at += 13) {
            float *z = values(V), logp[3], tail;
            int32_t id[3];
            z[at] = NAN;
            devs[i]->topk(devs[i]->ctx, id, logp, &tail, z, 1, 1, V, 3);
            assert_true(isnan(tail));
            end_bufs("a NaN");
        }
        float z[V] = {[5] = 300}, logp[1], tail;
        int32_t id[1];
        devs[i]->topk(devs[i]->ctx, id, logp, &tail, z, 1, 1, V, 1);
        assert_true(id[0] == 5 && logp[0] == 0 && fabs(tail - (log(39) - 300)) < 1e-4);
    }
}

/* Soft labels of M rows: from other logits, by the reference. */
static struct soft_labels teacher(const struct shape *s) {
    int64_t n = (int64_t)s->M * s->V, m = (int64_t)s->M * s->K;
    float *z = values(n), *logp = buf((size_t)m * 4), *tail = buf((size_t)s->M * 4);
    int32_t *id = buf((size_t)m * 4);
    for (int64_t i = 0; i < n; i++) z[i] *= 4;
    topk_ref(devs[REF]->ctx, id, logp, tail, z, s->T, s->M, s->V, s->K);
    return (struct soft_labels){s->K, s->T, s->alpha, id, logp, tail};
}

static int32_t *targets(const struct shape *s) {
    int32_t *t = buf((size_t)s->M * 4);
    for (int i = 0; i < s->M; i++) t[i] = i ? (int32_t)(rng() % (uint64_t)s->V) : s->V - 1;
    return t;
}

static void test_distill(void **state) {
    for (int s = 0; s < N_SHAPES; s++) {
        const struct shape *p = &shapes[s];
        int64_t n = (int64_t)p->M * p->V;
        float *z = values(n), *scale = values(p->M), *loss[NDEV], *g[NDEV];
        struct soft_labels soft = teacher(p);
        const int32_t *t = targets(p);
        for (int64_t i = 0; i < n; i++) z[i] *= 4;
        outputs(loss, NULL, p->M);
        outputs(g, z, n);
        EACH(d->distill(c, loss[i], g[i], t, NULL, &soft, p->M, p->V))
        check_outputs(loss, p->M, 2e-6, "distill");
        check_outputs(g, n, 0, "distill: logits must stay");
        EACH(d->distill(c, loss[i], g[i], t, scale, &soft, p->M, p->V))
        check_outputs(loss, p->M, 2e-6, "distill with gradient");
        check_act(g, n, 2e-6, "distill gradient");
        end_bufs("distill");
    }
}

/* alpha 0 is the cross-entropy; a student that agrees with its teacher has neither loss nor gradient at alpha 1. */
static void test_distill_ends(void **state) {
    const struct shape p = {4, 200, 16, 2, 0};
    int64_t n = (int64_t)p.M * p.V;
    for (int i = 0; i < CARD; i++) {
        float *z = values(n), *scale = values(p.M), *a = copy_of(z, n), *b = copy_of(z, n), la[4], lb[4];
        struct soft_labels soft = teacher(&p);
        const int32_t *t = targets(&p);
        struct kctx *c = devs[i]->ctx;
        devs[i]->cross_entropy(c, la, a, t, scale, p.M, p.V);
        devs[i]->distill(c, lb, b, t, scale, &soft, p.M, p.V);
        assert_true(distance(lb, la, p.M) < 1e-6 && distance(b, a, n) < 2e-6);
        soft.alpha = 1;
        devs[i]->topk(c, (int32_t *)soft.id, (float *)soft.logp, (float *)soft.tail, z, p.T, p.M, p.V, p.K);
        devs[i]->distill(c, lb, memcpy(b, z, (size_t)n * 4), t, scale, &soft, p.M, p.V);
        for (int r = 0; r < p.M; r++) assert_true(fabsf(lb[r]) < 1e-5f);
        for (int64_t v = 0; v < n; v++) assert_true(fabsf(b[v]) < 1e-6f);
        end_bufs("distill: its ends");
    }
}

/* The gradient against central differences with one Richardson step, on the reference and on the fast op. */
static double loss_at(struct dev *d, float *z, const int32_t *t, const float *scale, const struct soft_labels *soft, const struct shape *p) {
    float loss[4];
    double sum = 0;
    d->distill(d->ctx, loss, z, t, NULL, soft, p->M, p->V);
    for (int r = 0; r < p->M; r++) sum += (double)scale[r] * loss[r];
    return sum;
}

static double slope(struct dev *d, float *z, int64_t v, float h, const int32_t *t, const float *scale, const struct soft_labels *soft, const struct shape *p) {
    float old = z[v], hi = old + h, lo = old - h;
    z[v] = hi;
    double up = loss_at(d, z, t, scale, soft, p);
    z[v] = lo;
    double down = loss_at(d, z, t, scale, soft, p);
    z[v] = old;
    return (up - down) / ((double)hi - lo);
}

static void test_gradient(void **state) {
    static const struct shape cases[] = {{4, 13, 3, 1, 1}, {4, 13, 5, 2.5f, 0.6f}, {4, 13, 12, 0.7f, 0.5f}, {4, 13, 1, 1, 0.25f}};
    double worst = 0;
    for (int s = 0; s < 4; s++)
        for (int i = REF; i < CARD; i += PLAIN) {
            const struct shape *p = &cases[s];
            int n = p->M * p->V;
            float *z = values(n), *scale = values(p->M), *g = copy_of(z, n), loss[4], top = 0;
            struct soft_labels soft = teacher(p);
            const int32_t *t = targets(p);
            devs[i]->distill(devs[i]->ctx, loss, g, t, scale, &soft, p->M, p->V);
            for (int v = 0; v < n; v++) top = fmaxf(top, fabsf(g[v]));
            assert_true(top > 0);
            for (int v = 0; v < n; v++) {
                double d = (4 * slope(devs[i], z, v, 0x1p-8f, t, scale, &soft, p) - slope(devs[i], z, v, 0x1p-7f, t, scale, &soft, p)) / 3;
                worst = fmax(worst, fabs(d - g[v]) / top);
                if (!(fabs(d - g[v]) <= 1e-3 * top)) fail_msg("case %d, device %d: gradient %d is %g, differences give %g", s, i, v, (double)g[v], d);
            }
            end_bufs("distill differences");
        }
    print_message("# largest difference %.1e of the largest gradient\n", worst);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_topk), cmocka_unit_test(test_topk_by_hand), cmocka_unit_test(test_topk_extremes),
        cmocka_unit_test(test_distill), cmocka_unit_test(test_distill_ends), cmocka_unit_test(test_gradient)};
    return cmocka_run_group_tests_name("distill", tests, open_devs, close_devs);
}

/* Llama's forward and backward on a tiny model: gradients against finite differences, packed against separate, devices
   against each other. The real model against transformers and PEFT: test_parity_*.c. */
#include "tests/model/tiny.h"
#include <math.h>
#include <stdio.h>

#define ALL_SITES 127u

/* One model, one adapter, one training pass. */
struct rig {
    struct dev *d;
    struct tiny *t;
    struct lora *a;
    struct llama_pass *p;
    float *grad_dev, *grad, *param; /* a->n; the last two on the host */
};

static struct rig rig_keeping(enum kept kept, const char *dev, unsigned sites, double dropout, bool per_module, int chunk) {
    struct err e = ERR_INIT;
    struct rig g = {.d = tiny_dev(dev)};
    g.t = tiny_new(g.d);
    g.a = tiny_lora(&g.t->m, 3, sites, 99);
    g.a->cfg.dropout = dropout;
    g.a->cfg.per_module = per_module;
    g.p = llama_pass_new(&g.t->m, &g.a->cfg, TINY_R + 5, 4, kept, chunk, &e);
    if (!g.p) fail_msg("%s", e.msg);
    size_t bytes = (size_t)g.a->n * sizeof(float);
    g.grad = xcalloc((size_t)g.a->n, sizeof(float));
    g.param = xcalloc((size_t)g.a->n, sizeof(float));
    g.grad_dev = tiny_to_dev(g.d, g.grad, bytes);
    tiny_to_host(g.d, g.param, g.a->p, bytes);
    return g;
}

static struct rig rig_new(const char *dev, unsigned sites, double dropout, bool per_module, int chunk) {
    return rig_keeping(KEEP_ALL, dev, sites, dropout, per_module, chunk);
}

static void rig_free(struct rig *g) {
    g->d->free(g->d->ctx, g->grad_dev);
    llama_pass_free(g->p);
    tiny_lora_free(g->a);
    tiny_free(g->t);
    g->d->close(g->d);
    free(g->grad);
    free(g->param);
}

/* Σ scale·loss; the gradient is added to what grad_dev holds. */
static double rig_step(struct rig *g, const struct packed *b, float *loss) {
    struct err e = ERR_INIT;
    struct dropout_run drop = {.seed = 0x123456789abcdef0u, .step = 5};
    if (llama_train(g->p, g->a, b, &drop, g->grad_dev, loss, &e) < 0) fail_msg("%s", e.msg);
    double sum = 0;
    for (int i = 0; i < b->M; i++) sum += (double)b->scale[i] * loss[i];
    return sum;
}

static void rig_grad(struct rig *g) { tiny_to_host(g->d, g->grad, g->grad_dev, (size_t)g->a->n * sizeof(float)); }

/* Loss with parameters moved by step·dir(n) from offset `at`. */
static double loss_at(struct rig *g, const struct packed *b, int64_t at, int64_t n, const double *dir, double step) {
    float loss[TINY_R], *p = xcalloc((size_t)g->a->n, sizeof *p);
    memcpy(p, g->param, (size_t)g->a->n * sizeof *p);
    for (int64_t i = 0; i < n; i++) p[at + i] += (float)(step * dir[i]);
    assert_int_equal(g->d->upload(g->d->ctx, g->a->p, p, (size_t)g->a->n * sizeof *p), K_OK);
    free(p);
    return rig_step(g, b, loss);
}

/* Central difference along dir against the gradient's projection. The loss is f32 with an error near 1e-6 and the step
   1e-2, so the difference carries 1e-4; its third-order term is below that here. */
static void check_direction(struct rig *g, const struct packed *b, int64_t at, int64_t n, const double *dir, const char *what) {
    const double step = 1e-2;
    double want = 0, got = (loss_at(g, b, at, n, dir, step) - loss_at(g, b, at, n, dir, -step)) / (2 * step);
    for (int64_t i = 0; i < n; i++) want += dir[i] * g->grad[at + i];
    if (!(fabs(want - got) <= 2e-4 + 2e-3 * fabs(want))) fail_msg("%s: gradient %.6g, finite difference %.6g", what, want, got);
}

/* Of one tensor: along its own gradient, and two entries. */
static void check_tensor(struct rig *g, const struct packed *b, int64_t at, int64_t n, const char *what) {
    double dir[512] = {0}, norm = 0;
    assert_true(n <= 512);
    for (int64_t i = 0; i < n; i++) norm += (double)g->grad[at + i] * g->grad[at + i];
    norm = sqrt(norm);
    if (!(norm > 1e-4)) fail_msg("%s: gradient norm %g", what, norm);
    for (int64_t i = 0; i < n; i++) dir[i] = g->grad[at + i] / norm;
    check_direction(g, b, at, n, dir, what);
    for (int k = 0; k < 2; k++) {
        memset(dir, 0, sizeof dir);
        dir[k ? n - 2 : n / 3] = 1;
        check_direction(g, b, at, n, dir, what);
    }
}

static void differences(unsigned sites, double dropout, bool per_module) {
    struct rig g = rig_new("ref", sites, dropout, per_module, 7);
    struct packed b;
    float loss[TINY_R];
    tiny_batch(&b);
    rig_step(&g, &b, loss);
    rig_grad(&g);
    for (int i = 0; i < g.a->L * N_SITES; i++) {
        const struct weight *w = &g.t->layers[i / N_SITES].w[i % N_SITES];
        char what[64];
        if (g.a->a_off[i] < 0) continue;
        snprintf(what, sizeof what, "layer %d site %d A", i / N_SITES, i % N_SITES);
        check_tensor(&g, &b, g.a->a_off[i], g.a->cfg.r * w->cols, what);
        what[strlen(what) - 1] = 'B';
        check_tensor(&g, &b, g.a->b_off[i], g.a->cfg.r * w->rows, what);
    }
    rig_free(&g);
}

static void test_differences(void **state) { differences(ALL_SITES, 0, false); }
static void test_differences_dropout(void **state) { differences(ALL_SITES, 0.3, false); }
static void test_differences_dropout_per_module(void **state) { differences(ALL_SITES, 0.3, true); }
/* Each place where the backward may stop in layer 0, with and without the mask. */
static void test_differences_few_sites(void **state) {
    static const enum site sites[] = {SITE_V, SITE_O, SITE_UP, SITE_DOWN};
    for (int i = 0; i < 4; i++) {
        differences(1u << sites[i], 0, false);
        differences(1u << sites[i], 0.3, false);
    }
    differences(1u << SITE_Q | 1u << SITE_UP, 0.3, true);
}

/* What is computed again in the backward gives the same bytes, and takes less memory. */
static void test_kept(void **state) {
    struct packed b;
    float loss[3][TINY_R];
    tiny_batch(&b);
    for (int drop = 0; drop < 3; drop++) {
        struct rig g[3];
        for (int k = 0; k < 3; k++) {
            g[k] = rig_keeping(KEEP_ALL + k, "poison", drop == 2 ? 1u << SITE_O : ALL_SITES, drop ? 0.3 : 0, false, 7);
            rig_step(&g[k], &b, loss[k]);
            rig_grad(&g[k]);
            assert_memory_equal(loss[k], loss[0], (size_t)b.M * sizeof(float));
            assert_memory_equal(g[k].grad, g[0].grad, (size_t)g[0].a->n * sizeof(float));
        }
        for (int k = 0; k < 3; k++) rig_free(&g[k]);
    }
    struct tiny *t = tiny_new(tiny_dev("cpu"));
    struct lora_config c = {.r = 3, .sites = {true, true, true, true, true, true, true}};
    size_t bytes[3];
    for (int k = 0; k < 3; k++) {
        struct pass_size size = pass_size(&t->m.cfg, 100, 5, KEEP_ALL + k, 1);
        bytes[k] = llama_pass_bytes(&t->m.cfg, &c, &size, DT_F32);
    }
    assert_true(bytes[0] > bytes[1] && bytes[1] > bytes[2]);
    struct dev *d = t->m.d;
    tiny_free(t);
    d->close(d);
}

/* The same of some layers only: any pair of numbers gives the same bytes. */
static void test_kept_by_layers(void **state) {
    struct err e = ERR_INIT;
    struct packed b;
    float loss[2][TINY_R];
    size_t most = SIZE_MAX;
    tiny_batch(&b);
    struct rig all = rig_keeping(KEEP_ALL, "poison", ALL_SITES, 0.3, false, 7);
    int L = all.t->m.cfg.L;
    rig_step(&all, &b, loss[0]);
    rig_grad(&all);
    for (int mlp = 0; mlp <= L; mlp++)
        for (int whole = 0; whole <= mlp; whole++) {
            struct rig g = rig_keeping(KEEP_ALL, "poison", ALL_SITES, 0.3, false, 7);
            struct pass_size size = {.R = TINY_R + 5, .S = 4, .chunk = 7, .trains = true, .layers_again = whole, .mlp_again = mlp};
            size_t bytes = llama_pass_bytes(&g.t->m.cfg, &g.a->cfg, &size, DT_F32);
            llama_pass_free(g.p);
            if (!(g.p = llama_pass_sized(&g.t->m, &g.a->cfg, &size, &e))) fail_msg("%s", e.msg);
            rig_step(&g, &b, loss[1]);
            rig_grad(&g);
            assert_memory_equal(loss[1], loss[0], (size_t)b.M * sizeof(float));
            assert_memory_equal(g.grad, all.grad, (size_t)g.a->n * sizeof(float));
            if (whole > 1) assert_true(bytes < most); /* of one layer alone nothing is shared */
            if (whole != 1) most = bytes;
            rig_free(&g);
        }
    rig_free(&all);
}

/* The keys under which a step drops, by layer and site: what dropout.h promises, one mask an input or one a module. */
static dropout_fn *real_dropout;
static int dropped[2][16];
static void note_dropout(struct kctx *k, float beta, void *y, const void *x, const int32_t *seq, const int32_t *pos, const struct dropout_key *key, int R, int C) {
    assert_true(key->layer < 2 && key->site < 16 && *key->step == 5 && key->seed == 0x123456789abcdef0u && key->p == 0.25f);
    dropped[key->layer][key->site]++;
    real_dropout(k, beta, y, x, seq, pos, key, R, C);
}
static void test_dropout_keys(void **state) {
    struct packed b;
    float loss[TINY_R];
    tiny_batch(&b);
    for (int per_module = 0; per_module < 2; per_module++) {
        struct rig g = rig_new("cpu", ALL_SITES & ~(1u << SITE_K), 0.25, per_module, 0);
        real_dropout = g.d->dropout;
        g.d->dropout = note_dropout;
        memset(dropped, 0, sizeof dropped);
        rig_step(&g, &b, loss);
        for (int l = 0; l < 2; l++)
            for (int s = 0; s < 16; s++) {
                bool used = per_module ? s >= 8 && s < 8 + N_SITES && s != 8 + SITE_K : s < 4;
                bool masks_dx = used && (l > 0 || (per_module ? s > 8 + SITE_V : s > 0)); /* nothing below layer 0's norm */
                assert_int_equal(dropped[l][s], 2 * used + masks_dx);                    /* x twice, and its gradient */
            }
        rig_free(&g);
    }
}

/* A batch of one sequence out of b. */
static struct packed one_of(const struct packed *b, int s, int32_t *cu, int32_t *sel) {
    struct packed one = {.S = 1, .R = b->cu[s + 1] - b->cu[s], .ids = b->ids + b->cu[s], .pos = b->pos + b->cu[s], .seq = b->seq + b->cu[s], .cu = cu, .sel = sel};
    int first = 0;
    while (first < b->M && b->sel[first] < b->cu[s]) first++;
    one.target = b->target + first;
    one.scale = b->scale + first;
    while (first + one.M < b->M && b->sel[first + one.M] < b->cu[s + 1]) {
        sel[one.M] = b->sel[first + one.M] - b->cu[s];
        one.M++;
    }
    cu[0] = 0;
    cu[1] = one.R;
    return one;
}

static void assert_close(const float *a, const float *b, int64_t n, double tol, const char *what) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(b[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= tol * most)) fail_msg("%s %d: %.9g, expected %.9g", what, (int)i, a[i], b[i]);
}

/* Sequences packed in one pass give the losses and gradients of one pass each, masks included. */
static void test_packed_is_separate(void **state) {
    struct rig g = rig_new("cpu", ALL_SITES, 0.2, false, 0), h = rig_new("cpu", ALL_SITES, 0.2, false, 4);
    struct packed b;
    float together[TINY_R], apart[TINY_R];
    int32_t cu[2], sel[TINY_R];
    tiny_batch(&b);
    rig_step(&g, &b, together);
    int n = 0;
    for (int s = 0; s < b.S; s++) {
        struct packed one = one_of(&b, s, cu, sel);
        rig_step(&h, &one, apart + n);
        n += one.M;
    }
    assert_int_equal(n, b.M);
    rig_grad(&g);
    rig_grad(&h);
    assert_close(together, apart, b.M, 1e-5, "loss");
    assert_close(g.grad, h.grad, g.a->n, 1e-5, "gradient");
    rig_free(&g);
    rig_free(&h);
}

/* The CPU's kernels against the references; and with memory that the host may not touch, the same bytes. */
static void test_devices_agree(void **state) {
    const char *name[] = {"ref", "cpu", "poison"};
    struct rig g[3];
    struct packed b;
    float loss[3][TINY_R], scored[TINY_R];
    struct err e = ERR_INIT;
    tiny_batch(&b);
    for (int i = 0; i < 3; i++) {
        g[i] = rig_new(name[i], ALL_SITES, 0.3, false, 8);
        rig_step(&g[i], &b, loss[i]);
        rig_grad(&g[i]);
    }
    assert_close(loss[1], loss[0], b.M, 1e-5, "loss");
    assert_close(g[1].grad, g[0].grad, g[0].a->n, 2e-5, "gradient");
    assert_memory_equal(loss[1], loss[2], (size_t)b.M * sizeof(float));
    assert_memory_equal(g[1].grad, g[2].grad, (size_t)g[1].a->n * sizeof(float));
    const struct lora *a = g[2].a;
    assert_int_equal(llama_score(g[2].p, &a, 1, &b, scored, &e), 0);
    for (int i = 0; i < 3; i++) rig_free(&g[i]);
}

/* A second step adds to the gradient; scoring in a training pass gives the losses of training without dropout. */
static void test_gradient_adds_and_score(void **state) {
    struct rig g = rig_new("cpu", ALL_SITES, 0, false, 0);
    struct packed b;
    float loss[TINY_R], again[TINY_R], *once = xcalloc((size_t)g.a->n, sizeof *once);
    struct err e = ERR_INIT;
    const struct lora *a = g.a;
    tiny_batch(&b);
    rig_step(&g, &b, loss);
    rig_grad(&g);
    memcpy(once, g.grad, (size_t)g.a->n * sizeof *once);
    rig_step(&g, &b, again);
    rig_grad(&g);
    for (int64_t i = 0; i < g.a->n; i++) once[i] *= 2;
    assert_close(g.grad, once, g.a->n, 1e-6, "gradient");
    assert_memory_equal(loss, again, (size_t)b.M * sizeof *loss);
    assert_int_equal(llama_score(g.p, &a, 1, &b, again, &e), 0);
    assert_memory_equal(loss, again, (size_t)b.M * sizeof *loss);
    free(once);
    rig_free(&g);
}

/* Losses from scoring, and from the logits by hand. */
static void test_score_and_logits(void **state) {
    struct err e = ERR_INIT;
    struct dev *d = tiny_dev("ref");
    struct tiny *t = tiny_new(d);
    struct packed b;
    float loss[TINY_R], logits[TINY_R * 50];
    tiny_batch(&b);
    struct llama_pass *p = llama_pass_new(&t->m, NULL, b.R, b.S, false, 6, &e);
    assert_non_null(p);
    assert_int_equal(llama_score(p, NULL, 0, &b, loss, &e), 0);
    assert_int_equal(llama_logits(p, NULL, 0, &b, logits, &e), 0);
    for (int i = 0; i < b.M; i++) {
        double sum = 0;
        for (int v = 0; v < 50; v++) sum += exp(logits[i * 50 + v]);
        double want = log(sum) - logits[i * 50 + b.target[i]];
        if (!(fabs(want - loss[i]) < 1e-5)) fail_msg("row %d: loss %g, by its logits %g", i, loss[i], want);
    }
    llama_pass_free(p);
    tiny_free(t);
    d->close(d);
}

/* Two adapters of ranks 2 and 3 are one of rank 5 with A stacked and B side by side. */
static void test_adapters_sum(void **state) {
    struct err e = ERR_INIT;
    struct dev *d = tiny_dev("ref");
    struct tiny *t = tiny_new(d);
    struct packed b;
    static float two[TINY_R * 50], both[TINY_R * 50];
    tiny_batch(&b);
    struct lora *x = tiny_lora(&t->m, 2, ALL_SITES, 5), *y = tiny_lora(&t->m, 3, ALL_SITES, 6), *z = tiny_lora(&t->m, 5, ALL_SITES, 7);
    float *px = xcalloc((size_t)x->n, sizeof *px), *py = xcalloc((size_t)y->n, sizeof *py), *pz = xcalloc((size_t)z->n, sizeof *pz);
    tiny_to_host(d, px, x->p, (size_t)x->n * sizeof *px);
    tiny_to_host(d, py, y->p, (size_t)y->n * sizeof *py);
    y->scale = 0.5f;
    z->scale = 1;
    for (int i = 0; i < z->L * N_SITES; i++) {
        int64_t K = t->layers[i / N_SITES].w[i % N_SITES].cols, N = t->layers[i / N_SITES].w[i % N_SITES].rows;
        memcpy(pz + z->a_off[i], px + x->a_off[i], (size_t)(2 * K) * sizeof *pz);
        memcpy(pz + z->a_off[i] + 2 * K, py + y->a_off[i], (size_t)(3 * K) * sizeof *pz);
        for (int64_t n = 0; n < N; n++)
            for (int k = 0; k < 5; k++) pz[z->b_off[i] + n * 5 + k] = k < 2 ? 2 * px[x->b_off[i] + n * 2 + k] : 0.5f * py[y->b_off[i] + n * 3 + k - 2];
    }
    assert_int_equal(d->upload(d->ctx, z->p, pz, (size_t)z->n * sizeof *pz), K_OK);
    struct llama_pass *p = llama_pass_new(&t->m, &z->cfg, b.R, b.S, false, 0, &e);
    assert_non_null(p);
    assert_int_equal(llama_logits(p, (const struct lora *[]){x, y}, 2, &b, two, &e), 0);
    assert_int_equal(llama_logits(p, (const struct lora *[]){z}, 1, &b, both, &e), 0);
    assert_close(two, both, b.M * 50, 1e-5, "logit");
    llama_pass_free(p);
    tiny_lora_free(x);
    tiny_lora_free(y);
    tiny_lora_free(z);
    tiny_free(t);
    d->close(d);
    free(px);
    free(py);
    free(pz);
}

static size_t asked;
static enum kerr count_alloc(struct kctx *k, void **p, size_t bytes) {
    asked += bytes;
    *p = calloc(1, bytes);
    return K_OK;
}
static void count_free(struct kctx *k, void *p) { free(p); }
static enum kerr no_alloc(struct kctx *k, void **p, size_t bytes) { return K_NOMEM; }

/* llama_pass_bytes is what a pass asks for; a device without that much is an error that says so. */
static void test_bytes(void **state) {
    struct err e = ERR_INIT;
    struct dev *d = tiny_dev("cpu");
    struct tiny *t = tiny_new(d);
    struct lora *a = tiny_lora(&t->m, 4, ALL_SITES, 1);
    struct dev counting = *d;
    counting.alloc = count_alloc;
    counting.free = count_free;
    t->m.d = &counting;
    for (int i = 0; i < 8; i++) {
        a->cfg.dropout = i & 1 ? 0.1 : 0;
        enum kept train = i & 2 ? KEEP_ALL + i / 3 % 3 : KEEP_NOTHING;
        const struct lora_config *cfg = train || i & 4 ? &a->cfg : NULL;
        asked = 0;
        struct llama_pass *p = llama_pass_new(&t->m, cfg, 100 + i, 5, train, i * 10, &e);
        assert_non_null(p);
        struct pass_size size = pass_size(&t->m.cfg, 100 + i, 5, train, i * 10);
        assert_int_equal(asked, llama_pass_bytes(&t->m.cfg, cfg, &size, DT_F32));
        llama_pass_free(p);
        counting.act = DT_BF16;
        asked = 0;
        assert_non_null(p = llama_pass_sized(&t->m, cfg, &size, &e));
        assert_int_equal(asked, llama_pass_bytes(&t->m.cfg, cfg, &size, DT_BF16));
        llama_pass_free(p);
        counting.act = DT_F32;
    }
    counting.alloc = no_alloc;
    assert_null(llama_pass_new(&t->m, &a->cfg, 100, 5, true, 0, &e));
    assert_true(e.code == RC_IO || e.code == RC_DEVICE);
    assert_non_null(strstr(e.msg, "activations"));
    t->m.d = d;
    tiny_lora_free(a);
    tiny_free(t);
    d->close(d);
}

static void test_bad_ids(void **state) {
    struct err e = ERR_INIT;
    struct rig g = rig_new("cpu", ALL_SITES, 0, false, 0);
    struct packed b;
    float loss[TINY_R];
    int32_t ids[TINY_R];
    tiny_batch(&b);
    memcpy(ids, b.ids, sizeof ids);
    b.ids = ids;
    ids[20] = 50;
    assert_int_equal(llama_train(g.p, g.a, &b, NULL, g.grad_dev, loss, &e), -1);
    assert_int_equal(e.code, RC_INPUT);
    assert_string_equal(e.msg, "token id 50, the model has 0..49");
    ids[20] = 4;
    int32_t target[TINY_R];
    memcpy(target, b.target, sizeof target);
    target[3] = -1;
    b.target = target;
    assert_int_equal(llama_train(g.p, g.a, &b, NULL, g.grad_dev, loss, &e), -1);
    assert_string_equal(e.msg, "target id -1, the model has 0..49");
    b.M = 0; /* nothing trained: no gradient either */
    assert_int_equal(llama_train(g.p, g.a, &b, NULL, g.grad_dev, loss, &e), 0);
    rig_grad(&g);
    for (int64_t i = 0; i < g.a->n; i++) assert_true(g.grad[i] == 0);
    rig_free(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_differences),          cmocka_unit_test(test_differences_dropout), cmocka_unit_test(test_differences_dropout_per_module),
        cmocka_unit_test(test_differences_few_sites), cmocka_unit_test(test_kept), cmocka_unit_test(test_kept_by_layers), cmocka_unit_test(test_dropout_keys),
        cmocka_unit_test(test_packed_is_separate),  cmocka_unit_test(test_devices_agree),
        cmocka_unit_test(test_gradient_adds_and_score), cmocka_unit_test(test_score_and_logits), cmocka_unit_test(test_adapters_sum),
        cmocka_unit_test(test_bytes),                cmocka_unit_test(test_bad_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

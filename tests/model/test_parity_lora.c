/* Twenty LoRA steps of SmolLM2 against transformers + PEFT in fp32 (tests/oracle/lora_steps.py): the same first adapter,
   batches, masks, clipping and AdamW. Losses within 1e-5, global gradient norms and each tensor's first norm within 1e-4
   relative: fp32 itself differs from fp64 there by 2e-7 and 1e-6. */
#include "tests/model/parity.h"
#include <stdio.h>

#define LOSS_TOLERANCE 1e-5
#define NORM_TOLERANCE 1e-4
#define MAX_ROWS 256
#define MAX_SEQS 8

/* Value i of tensor t: the oracle's `hashed` (Wellons' lowbias32 of a counter), in [−1, 1) with 24 bits. */
static float hashed(uint32_t t, uint32_t i) {
    uint32_t x = i * 0x85EBCA77u + t * 0x9E3779B1u;
    x ^= x >> 16;
    x *= 0x7FEB352Du;
    x ^= x >> 15;
    x *= 0x846CA68Bu;
    x ^= x >> 16;
    return (float)(x >> 8) * 0x1p-23f - 1;
}

/* Everything a run needs on both sides. */
struct rig {
    struct parity p;
    struct lora *a;
    struct llama_pass *pass;
    float *grad, *m, *v;  /* (n) device */
    double *norm_sq;      /* device */
    float *host;          /* (n) */
};

static void *device_zeros(struct dev *d, size_t bytes) {
    void *p;
    assert_int_equal(d->alloc(d->ctx, &p, bytes), K_OK);
    assert_int_equal(d->zero(d->ctx, p, bytes), K_OK);
    return p;
}

/* Where tensor 2·(layer·N_SITES + site) + is_b lies in the adapter's buffer, and its length. */
static int64_t tensor_at(const struct rig *g, int t, int64_t *n) {
    const struct weight *w = &g->p.m->layers[t / 2 / N_SITES].w[t / 2 % N_SITES];
    *n = g->a->cfg.r * (t % 2 ? w->rows : w->cols);
    return t % 2 ? g->a->b_off[t / 2] : g->a->a_off[t / 2];
}

static void rig_open(struct rig *g, const struct json *run) {
    struct err e = ERR_INIT;
    struct dev *d = g->p.d;
    struct lora_config cfg = {.r = (int)parity_number(run, "r"), .alpha = parity_number(run, "alpha"), .dropout = parity_number(run, "dropout")};
    for (int s = 0; s < N_SITES; s++) cfg.sites[s] = true;
    g->a = lora_new(g->p.m, &cfg, 1, &e);
    if (!g->a) fail_msg("%s", e.msg);
    size_t bytes = (size_t)g->a->n * sizeof(float);
    g->host = xmalloc(bytes);
    for (int t = 0; t < 2 * N_SITES * g->p.m->cfg.L; t++) {
        int64_t n, at = tensor_at(g, t, &n);
        for (int64_t i = 0; i < n; i++) g->host[at + i] = hashed((uint32_t)t, (uint32_t)i) * (t % 2 ? 0x1p-7f : 0x1p-5f);
    }
    if (lora_upload(g->a, g->host, &e) < 0) fail_msg("%s", e.msg);
    g->grad = device_zeros(d, bytes);
    g->m = device_zeros(d, bytes);
    g->v = device_zeros(d, bytes);
    g->norm_sq = device_zeros(d, sizeof(double));
    g->pass = llama_pass_new(g->p.m, &cfg, MAX_ROWS, MAX_SEQS, true, 0, &e);
    if (!g->pass) fail_msg("%s", e.msg);
}

static void rig_close(struct rig *g) {
    void *mem[] = {g->grad, g->m, g->v, g->norm_sq};
    for (int i = 0; i < 4; i++) g->p.d->free(g->p.d->ctx, mem[i]);
    llama_pass_free(g->pass);
    lora_free(g->a);
    free(g->host);
}

static const struct json *nth(const struct json *v, int i) {
    const struct json *x = v->first;
    while (x && i-- > 0) x = x->next;
    assert_non_null(x);
    return x;
}

/* The batch of a step: sequences step·batch … of the list, around its end. */
static void pack(struct packed *b, const struct json *data, int step) {
    static int32_t ids[MAX_ROWS], pos[MAX_ROWS], seq[MAX_ROWS], cu[MAX_SEQS + 1], sel[MAX_ROWS], target[MAX_ROWS];
    static float scale[MAX_ROWS];
    const struct json *all = parity_get(data, "sequences");
    int batch = (int)parity_number(data, "batch");
    assert_true(batch <= MAX_SEQS);
    *b = (struct packed){.S = batch, .ids = ids, .pos = pos, .seq = seq, .cu = cu, .sel = sel, .target = target, .scale = scale};
    for (int s = 0; s < batch; s++) {
        const struct json *x = nth(all, (step * batch + s) % (int)all->count);
        int prompt = (int)parity_number(x, "prompt"), t = 0;
        for (const struct json *i = parity_get(x, "ids")->first; i; i = i->next, t++) {
            assert_true(b->R < MAX_ROWS);
            if (t >= prompt) sel[b->M] = b->R - 1, target[b->M++] = (int32_t)i->number;
            ids[b->R] = (int32_t)i->number, pos[b->R] = t, seq[b->R++] = s;
        }
        cu[s + 1] = b->R;
    }
    for (int i = 0; i < b->M; i++) scale[i] = 1.0f / (float)b->M;
}

static double relative(double got, double want) { return fabs(got - want) / fabs(want); }

/* One step: loss and global norm of the gradient before clipping; the update. */
static double train_step(struct rig *g, const struct json *run, int step, double *norm) {
    struct err e = ERR_INIT;
    struct dev *d = g->p.d;
    struct packed b;
    float loss[MAX_ROWS];
    double mean = 0;
    pack(&b, g->p.data, step);
    struct dropout_run drop = {.seed = (uint64_t)parity_number(g->p.data, "seed"), .step = (uint32_t)step};
    d->zero(d->ctx, g->grad, (size_t)g->a->n * sizeof(float));
    if (llama_train(g->pass, g->a, &b, &drop, g->grad, loss, &e) < 0) fail_msg("%s", e.msg);
    for (int i = 0; i < b.M; i++) mean += loss[i] / (double)b.M;
    struct adamw_step s = {.lr = (float)parity_number(g->p.data, "lr"), .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f,
        .weight_decay = (float)parity_number(run, "weight_decay"), .max_norm = (float)parity_number(g->p.data, "max_grad_norm"), .t = step + 1};
    d->sumsq(d->ctx, g->norm_sq, g->grad, g->a->n, 0);
    d->adamw(d->ctx, g->a->p, g->m, g->v, g->grad, g->a->n, &s, g->norm_sq);
    assert_int_equal(d->download(d->ctx, norm, g->norm_sq, sizeof *norm), K_OK);
    assert_int_equal(d->sync(d->ctx), K_OK);
    *norm = sqrt(*norm);
    return mean;
}

/* Norm of each tensor's gradient; gives the largest relative difference. */
static double check_tensors(struct rig *g, const struct json *run) {
    struct dev *d = g->p.d;
    const struct json *want = parity_get(run, "tensor_norm");
    int t = 0;
    double worst = 0;
    assert_int_equal(want->count, 2 * N_SITES * g->p.m->cfg.L);
    assert_int_equal(d->download(d->ctx, g->host, g->grad, (size_t)g->a->n * sizeof(float)), K_OK);
    for (const struct json *x = want->first; x; x = x->next, t++) {
        int64_t n, at = tensor_at(g, t, &n);
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)g->host[at + i] * g->host[at + i];
        double r = relative(sqrt(sum), x->number);
        if (!(r <= NORM_TOLERANCE)) fail_msg("%s %c: gradient norm %.9g, expected %.9g", lora_module_name(t / 2 / N_SITES, (enum site)(t / 2 % N_SITES)), "AB"[t % 2], sqrt(sum), x->number);
        worst = fmax(worst, r);
    }
    return worst;
}

static void run_steps(const char *name) {
    struct rig g = {.p = parity_open("lora_steps.json")};
    const struct json *run = parity_get(g.p.data, "runs")->first;
    while (run && !json_is_str(parity_get(run, "name"), name)) run = run->next;
    assert_non_null(run);
    rig_open(&g, run);
    int n, steps = (int)parity_number(g.p.data, "steps"), clipped = 0;
    double *loss = parity_reals(parity_get(run, "loss"), &n), *norm = parity_reals(parity_get(run, "norm"), &n), tensors = 0, dl = 0, dn = 0;
    assert_int_equal(n, steps);
    for (int i = 0; i < steps; i++) {
        double got_norm, got = train_step(&g, run, i, &got_norm), r = relative(got_norm, norm[i]);
        if (i == 0) tensors = check_tensors(&g, run);
        if (!(fabs(got - loss[i]) <= LOSS_TOLERANCE)) fail_msg("%s step %d: loss %.9g, expected %.9g", name, i, got, loss[i]);
        if (!(r <= NORM_TOLERANCE)) fail_msg("%s step %d: gradient norm %.9g, expected %.9g", name, i, got_norm, norm[i]);
        clipped += norm[i] > parity_number(g.p.data, "max_grad_norm");
        dl = fmax(dl, fabs(got - loss[i]));
        dn = fmax(dn, r);
    }
    assert_true(clipped > 0);
    print_message("# %s: loss within %.2g, norm within %.2g, tensors' norms within %.2g, %d of %d steps clipped\n", name, dl, dn, tensors, clipped, steps);
    free(loss);
    free(norm);
    rig_close(&g);
    parity_close(&g.p);
}

static void test_r4(void **state) { run_steps("r4"); }
static void test_r16(void **state) { run_steps("r16"); }
static void test_r16_dropout(void **state) { run_steps("r16-dropout"); }

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_r4), cmocka_unit_test(test_r16), cmocka_unit_test(test_r16_dropout)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

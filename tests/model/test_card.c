/* Training on a card (bf16) beside the CPU (f32): the same model, adapter with A and B not zero, batches and dropout masks.
   Every adapter tensor's gradient must point the same way, and the losses of a run stay together. Only where COADOR_DEVICE is
   cuda; CARD_MODEL names another model than the fetched one (a machine with a card may have a shortened one). */
#include "tests/model/parity.h"
#include <stdio.h>

/* What holds for every tensor: the queries and keys of the first layers are worst. The aim is 0.9995: the tensors below it are
   named. */
#define MIN_COSINE 0.97
#define AIM 0.9995
#define LOSS_TOLERANCE 0.01 /* relative, of one pass */
/* Of a run's steps. The aim is LOSS_TOLERANCE: what is above is named; kernels/cuda/NOTES.md says where it comes from. */
#define STEPS_TOLERANCE 0.1
#define STEPS 60
enum { MAX_ROWS = 1024, MAX_SEQS = 32, TEXTS = 24, CPU = 0, CARD = 1 };

struct side {
    struct dev *d;
    struct model *m;
    struct lora *a;
    struct llama_pass *pass;
    float *grad, *m1, *m2; /* (n) device */
    double *norm_sq;       /* device */
};
struct pair {
    struct side s[2];
    struct json_doc *doc;
    int64_t n;
};

static void *zeros(struct dev *d, size_t bytes) {
    void *p;
    assert_int_equal(d->alloc(d->ctx, &p, bytes), K_OK);
    assert_int_equal(d->zero(d->ctx, p, bytes), K_OK);
    return p;
}

static void side_open(struct side *s, const char *device, const char *path, double dropout, bool live) {
    struct err e = ERR_INIT;
    const char *why = "";
    struct lora_config cfg = {.r = 16, .alpha = 32, .dropout = dropout};
    for (int i = 0; i < N_SITES; i++) cfg.sites[i] = true;
    if (dev_open(&s->d, device, 0, &why) != K_OK) fail_msg("%s: %s", device, why);
    if (!(s->m = model_open(path, s->d, BASE_KEEP, &e)) || !(s->a = lora_new(s->m, &cfg, 1, &e))) fail_msg("%s: %s", device, e.msg);
    float *p = xmalloc((size_t)s->a->n * sizeof *p);
    if (lora_download(s->a, p, &e) < 0) fail_msg("%s", e.msg);
    for (int64_t i = 0; live && i < s->a->n; i++) /* B is zero: give it small values of both signs */
        if (p[i] == 0) p[i] = (float)((int64_t)((uint64_t)i * 2654435761u >> 8 & 0xffff) - 32768) * 0x1p-25f;
    if (lora_upload(s->a, p, &e) < 0) fail_msg("%s", e.msg);
    free(p);
    size_t bytes = (size_t)s->a->n * sizeof(float);
    s->grad = zeros(s->d, bytes);
    s->m1 = zeros(s->d, bytes);
    s->m2 = zeros(s->d, bytes);
    s->norm_sq = zeros(s->d, sizeof(double));
    if (!(s->pass = llama_pass_new(s->m, &cfg, MAX_ROWS, MAX_SEQS, true, 0, &e))) fail_msg("%s: %s", device, e.msg);
}

static void side_close(struct side *s) {
    void *mem[] = {s->grad, s->m1, s->m2, s->norm_sq};
    for (int i = 0; i < 4; i++) s->d->free(s->d->ctx, mem[i]);
    llama_pass_free(s->pass);
    lora_free(s->a);
    model_close(s->m);
    s->d->close(s->d);
}

static void pair_open(struct pair *p, double dropout, bool live) {
    const char *device = getenv("COADOR_DEVICE"), *given = getenv("CARD_MODEL"), *src = getenv("SRC");
    struct err e = ERR_INIT;
    if (!device || strncmp(device, "cuda", 4)) {
        print_message("# SKIP not on a card: COADOR_DEVICE=cuda asks for it\n");
        skip();
    }
    char *path = given ? xstrdup(given) : parity_model_path(), *file = io_join(src ? src : ".", "tests/data/model/lora_steps.json");
    if (!io_exists(path)) {
        print_message("# SKIP %s is not here: make model\n", path);
        skip();
    }
    side_open(&p->s[CPU], "cpu", path, dropout, live);
    side_open(&p->s[CARD], device, path, dropout, live);
    p->n = p->s[CPU].a->n;
    if (!(p->doc = json_read_file(file, &e))) fail_msg("%s", e.msg);
    free(path);
    free(file);
}

static void pair_close(struct pair *p) {
    side_close(&p->s[CPU]);
    side_close(&p->s[CARD]);
    json_doc_free(p->doc);
}

/* Texts of the golden data, from the step's on: some 600 tokens, all trained. Few tokens would show the roundings of each. */
static void pack(struct packed *b, const struct json *all, int step) {
    static int32_t ids[MAX_ROWS], pos[MAX_ROWS], seq[MAX_ROWS], cu[MAX_SEQS + 1], sel[MAX_ROWS], target[MAX_ROWS];
    static float scale[MAX_ROWS];
    *b = (struct packed){.S = 0, .ids = ids, .pos = pos, .seq = seq, .cu = cu, .sel = sel, .target = target, .scale = scale};
    for (int s = 0; s < TEXTS; s++) {
        const struct json *x = all->first;
        for (int i = (step * 4 + s) % (int)all->count; i-- > 0;) x = x->next;
        const struct json *list = parity_get(x, "ids");
        int t = 0;
        if (b->R + (int)list->count > MAX_ROWS) break;
        for (const struct json *i = list->first; i; i = i->next, t++) {
            if (t > 0) sel[b->M] = b->R - 1, target[b->M++] = (int32_t)i->number;
            ids[b->R] = (int32_t)i->number, pos[b->R] = t, seq[b->R++] = s;
        }
        cu[++b->S] = b->R;
    }
    for (int i = 0; i < b->M; i++) scale[i] = 1.0f / (float)b->M;
}

static double pass(struct side *s, const struct packed *b, int step, bool update) {
    struct err e = ERR_INIT;
    struct dev *d = s->d;
    float loss[MAX_ROWS];
    double mean = 0;
    struct dropout_run drop = {7, (uint32_t)step};
    d->zero(d->ctx, s->grad, (size_t)s->a->n * sizeof(float));
    if (llama_train(s->pass, s->a, b, s->a->cfg.dropout > 0 ? &drop : NULL, s->grad, loss, &e) < 0) fail_msg("%s: %s", d->name, e.msg);
    for (int i = 0; i < b->M; i++) mean += loss[i] / (double)b->M;
    if (!update) return mean;
    struct adamw_step u = {.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .max_norm = 0.3, .t = step + 1};
    d->sumsq(d->ctx, s->norm_sq, s->grad, s->a->n, 0);
    d->adamw(d->ctx, s->a->p, s->m1, s->m2, s->grad, s->a->n, &u, s->norm_sq);
    assert_int_equal(d->sync(d->ctx), K_OK);
    return mean;
}

/* Smallest cosine between the two sides' gradients of a tensor. */
static void check_cosines(struct pair *p, const char *what) {
    size_t bytes = (size_t)p->n * sizeof(float);
    float *g[2] = {xmalloc(bytes), xmalloc(bytes)};
    double worst = 1;
    int below = 0;
    for (int i = 0; i < 2; i++) assert_int_equal(p->s[i].d->download(p->s[i].d->ctx, g[i], p->s[i].grad, bytes), K_OK);
    const struct lora *a = p->s[CPU].a;
    for (int t = 0; t < 2 * N_SITES * a->L; t++) {
        const struct weight *w = &p->s[CPU].m->layers[t / 2 / N_SITES].w[t / 2 % N_SITES];
        int64_t at = t % 2 ? a->b_off[t / 2] : a->a_off[t / 2], n = a->cfg.r * (t % 2 ? w->rows : w->cols);
        double xy = 0, xx = 0, yy = 0;
        for (int64_t i = at; i < at + n; i++) xy += (double)g[0][i] * g[1][i], xx += (double)g[0][i] * g[0][i], yy += (double)g[1][i] * g[1][i];
        double cosine = xy / sqrt(xx * yy), length = sqrt(yy / xx);
        below += !(cosine >= AIM);
        if (!(cosine >= AIM)) print_message("# %s: %s %c: cosine %.6f, length %.4f of the CPU's\n", what, lora_module_name(t / 2 / N_SITES, (enum site)(t / 2 % N_SITES)), "AB"[t % 2], cosine, length);
        worst = cosine < worst || isnan(cosine) ? cosine : worst;
    }
    print_message("# %s: smallest cosine %.6f of %d tensors, %d below %g\n", what, worst, 2 * N_SITES * a->L, below, AIM);
    assert_true(worst >= MIN_COSINE);
    free(g[0]);
    free(g[1]);
}

static void gradients(double dropout, const char *what) {
    struct pair p;
    struct packed b;
    pair_open(&p, dropout, true);
    pack(&b, parity_get(json_root(p.doc), "sequences"), 0);
    double cpu = pass(&p.s[CPU], &b, 0, false), card = pass(&p.s[CARD], &b, 0, false);
    print_message("# %s: loss %.5f, on the card %.5f\n", what, cpu, card);
    assert_true(fabs(card - cpu) <= LOSS_TOLERANCE * cpu);
    check_cosines(&p, what);
    pair_close(&p);
}
static void test_gradients(void **state) { gradients(0, "gradients"); }
static void test_gradients_dropout(void **state) { gradients(0.1, "gradients with dropout"); }

/* As a training begins: B zero. */
static void test_steps(void **state) {
    struct pair p;
    double worst = 0, cpu = 0, card = 0;
    pair_open(&p, 0.1, false);
    for (int i = 0; i < STEPS; i++) {
        struct packed b;
        pack(&b, parity_get(json_root(p.doc), "sequences"), i);
        cpu = pass(&p.s[CPU], &b, i, true), card = pass(&p.s[CARD], &b, i, true);
        double off = fabs(card - cpu) / cpu;
        if (!(off <= LOSS_TOLERANCE)) print_message("# step %d: loss %.5f, on the card %.5f\n", i, cpu, card);
        worst = off > worst || isnan(off) ? off : worst;
    }
    print_message("# %d steps: losses within %.2g, the last %.4f and %.4f\n", STEPS, worst, cpu, card);
    assert_true(worst <= STEPS_TOLERANCE);
    pair_close(&p);
}

/* The same bytes twice: nothing is summed in an order that changes. */
static void test_same_bytes(void **state) {
    struct pair p;
    struct packed b;
    pair_open(&p, 0.1, true);
    struct side *s = &p.s[CARD];
    size_t bytes = (size_t)p.n * sizeof(float);
    float *g[2] = {xmalloc(bytes), xmalloc(bytes)};
    pack(&b, parity_get(json_root(p.doc), "sequences"), 1);
    for (int i = 0; i < 2; i++) {
        pass(s, &b, 0, false);
        assert_int_equal(s->d->download(s->d->ctx, g[i], s->grad, bytes), K_OK);
    }
    assert_memory_equal(g[0], g[1], bytes);
    free(g[0]);
    free(g[1]);
    pair_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradients), cmocka_unit_test(test_gradients_dropout), cmocka_unit_test(test_steps), cmocka_unit_test(test_same_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

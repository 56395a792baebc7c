/* Soft labels from end to end on a tiny model, against PyTorch (tests/oracle/soft_steps.py): a teacher's are the same, twenty steps
   of learning from them lose the same, and the adapter's gradient is that of differences. Bounds: labels 3e-5
   (f32 there against f64 in the oracle); loss 1e-5 and gradient norm 1e-4, relative, as for training without a teacher. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/model/llama.h"
#include "common/model/score.h"
#include "common/train/batch.h"
#include "common/train/trainer.h"
#include "steps.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOP 64
static volatile sig_atomic_t stop;
static void say(const char *text) { printf("# %s\n", text); }

struct kit {
    struct dev *d;
    struct model *m;
    struct lora *teacher;
    struct rows rows;
    struct json_doc *golden;
    char dir[40];
};

static int setup(void **state) {
    struct err e = ERR_INIT;
    const char *why;
    struct kit *k = *state = xcalloc(1, sizeof *k);
    strcpy(k->dir, "/tmp/coador-soft-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    assert_int_equal(dev_open(&k->d, "cpu", 1, &why), K_OK);
    if (!(k->m = model_open("tests/data/train/tiny", k->d, BASE_KEEP, &e)) || !(k->teacher = lora_read(k->m, "tests/data/train/teacher", true, &e))) fail_msg("%s", e.msg);
    struct row_rules u = {.tok = k->m->tok, .bos = -1, .end = k->m->cfg.eos[0], .vocab = k->m->cfg.V, .max_length = k->m->cfg.context};
    if (rows_read(&k->rows, "tests/data/train/rows.jsonl", &u, &e) < 0) fail_msg("%s", e.msg);
    if (!(k->golden = json_read_file("tests/data/train/soft.json", &e))) fail_msg("%s", e.msg);
    return 0;
}

static int teardown(void **state) {
    struct kit *k = *state;
    struct err e = ERR_INIT;
    io_remove_tree(k->dir, &e);
    json_doc_free(k->golden);
    rows_release(&k->rows);
    lora_free(k->teacher);
    model_close(k->m);
    k->d->close(k->d);
    free(k);
    return 0;
}

static int put(void *arg, int64_t n, const int32_t *id, const float *logp, const float *tail, struct err *e) { return soft_put(arg, n, id, logp, tail, e); }

/* The teacher's labels of all rows in a file, and read back. */
static void make_labels(struct kit *k, double T, struct soft_file *soft) {
    struct err e = ERR_INIT;
    const struct rows *r = &k->rows;
    const struct lora *adapters[] = {k->teacher};
    char *path = io_join(k->dir, "soft.st.zst");
    struct score_item *items = xcalloc((size_t)r->n, sizeof *items);
    int64_t *offset = xcalloc((size_t)r->n + 1, sizeof *offset);
    struct ids tokens = {0};
    for (int64_t i = 0; i < r->n; i++) {
        for (int t = 0; t < r->length[i]; t++) ids_add(&items[i].ids, r->ids[r->start[i] + t]);
        items[i].n_prompt = (size_t)(r->length[i] - r->trained[i]);
        for (size_t t = items[i].n_prompt; t < items[i].ids.n; t++) ids_add(&tokens, items[i].ids.v[t]);
        offset[i + 1] = (int64_t)tokens.n;
    }
    FILE *f = fopen(path, "wb");
    struct soft_spec spec = {r->n, offset, tokens.v, TOP, T, tokenizer_hash(k->m->tok), r->ids_hash};
    struct soft_writer *w = soft_create(f, &spec, &e);
    struct scorer *s = scorer_new(k->m, adapters, 1, 256, TOP, &e);
    if (!w || !s || scorer_soft(s, items, (int)r->n, (float)T, put, w, &e) < 0 || soft_finish(w, &e) < 0 || fclose(f)) fail_msg("%s", e.msg);
    if (soft_read(soft, path, r, "rows.jsonl", k->m->tok, k->m->cfg.V, &e) < 0) fail_msg("%s", e.msg);
    scorer_free(s);
    for (int64_t i = 0; i < r->n; i++) ids_release(&items[i].ids);
    ids_release(&tokens);
    free(items);
    free(offset);
    free(path);
}

static void check_labels(const struct soft_file *soft, const struct json *golden) {
    double worst = 0;
    int64_t t = 0;
    assert_non_null(golden);
    for (const struct json *x = golden->first; x; x = x->next, t++) {
        int64_t sum = 0;
        double top = -INFINITY;
        for (int j = 0; j < TOP; j++) {
            sum += soft->id[t * TOP + j];
            top = fmax(top, soft->logp[t * TOP + j]);
        }
        assert_true(sum == (int64_t)x->first->number);
        worst = fmax(worst, fmax(fabs(top - x->first->next->number), fabs(soft->tail[t] - x->first->next->next->number)));
        if (!(worst <= 3e-5)) fail_msg("token %lld: %.7g and %.7g", (long long)t, top, (double)soft->tail[t]);
    }
    assert_int_equal(t, 120);
    printf("# labels differ by %.1e at most\n", worst);
}

static void test_labels(void **state) {
    struct kit *k = *state;
    struct soft_file soft;
    const struct json *labels = json_get(json_root(k->golden), "labels");
    make_labels(k, 1, &soft);
    check_labels(&soft, json_get(labels, "1"));
    soft_release(&soft);
    make_labels(k, 2, &soft);
    assert_true(soft.T == 2 && soft.K == TOP && soft.records == 40);
    check_labels(&soft, json_get(labels, "2"));
    soft_release(&soft);
}

/* ---- twenty steps ---- */
static void train(struct kit *k, const struct json *run) {
    char text[500];
    struct settings s;
    struct err e = ERR_INIT;
    struct soft_file soft;
    double dropout = json_get(run, "dropout")->number, alpha = json_get(run, "alpha")->number;
    struct lora_config c = {.r = 4, .alpha = 16, .dropout = dropout};
    struct train_result result;
    snprintf(text, sizeof text, "r: 4\nlora_alpha: 16\nlora_dropout: %g\ntarget_modules: all-linear\nper_device_train_batch_size: 4\nlearning_rate: 4e-3\ndistill_alpha: %g\n"
        "lr_scheduler_type: constant\nweight_decay: 0.01\nmax_grad_norm: 0.3\nmax_steps: 20\nseed: 7\nlogging_steps: 1\ntrain_sampling_strategy: sequential\n", dropout, alpha);
    settings_init(&s);
    if (settings_parse(&s, text, strlen(text), "settings", &e) < 0 || settings_targets(&s, k->m->cfg.L, c.sites, &e) < 0) fail_msg("%s", e.msg);
    struct lora *a = lora_new(k->m, &c, 7, &e);
    char *dir = io_join(k->dir, "run");
    assert_non_null(a);
    assert_int_equal(io_mkdirs(dir, &e), 0);
    make_labels(k, json_get(run, "T")->number, &soft);
    k->rows.soft = &soft;
    struct train_job j = {.settings = &s, .m = k->m, .a = a, .rows = &k->rows, .dir = dir, .tokens_per_pass = 256, .base_dtype = "keep", .base_name = "test", .stop = &stop, .say = say};
    if (train_run(&j, &result, &e) < 0) fail_msg("%s", e.msg);
    check_steps(dir, run);
    k->rows.soft = NULL;
    soft_release(&soft);
    assert_int_equal(io_remove_tree(dir, &e), 0);
    free(dir);
    lora_free(a);
    settings_release(&s);
}

static void test_steps(void **state) {
    struct kit *k = *state;
    int n = 0;
    for (const struct json *run = json_get(json_root(k->golden), "steps")->first; run; run = run->next, n++) train(k, run);
    assert_int_equal(n, 3);
}

/* ---- differences, through the whole model ---- */
static double loss_at(struct llama_pass *p, struct lora *a, const float *at, const struct packed *b, float *grad, float *losses) {
    struct err e = ERR_INIT;
    double sum = 0;
    if (lora_upload(a, at, &e) < 0 || llama_train(p, a, b, NULL, grad, losses, &e) < 0) fail_msg("%s", e.msg);
    for (int i = 0; i < b->M; i++) sum += (double)b->scale[i] * losses[i];
    return sum;
}

/* Along random directions: the slope of the loss is the gradient's share there. f32 losses of about 1 leave 1e-7/h. */
static void test_gradient(void **state) {
    struct kit *k = *state;
    struct err e = ERR_INIT;
    struct lora_config c = {.r = 4, .alpha = 16};
    for (int s = 0; s < N_SITES; s++) c.sites[s] = true;
    struct lora *a = lora_new(k->m, &c, 3, &e);
    size_t n = (size_t)a->n;
    float *at = xcalloc(n, sizeof *at), *moved = xcalloc(n, sizeof *moved), *way = xcalloc(n, sizeof *way), *host = xcalloc(n, sizeof *host), losses[256];
    struct soft_file soft;
    struct batch b;
    int64_t order[] = {0, 1, 2, 3};
    void *grad;
    make_labels(k, 2, &soft);
    k->rows.soft = &soft;
    batch_init(&b, 256, 4);
    batch_soft(&b, &soft, 0.7);
    int rows = batch_fill(&b, &k->rows, order, 0, 4, 0.05);
    assert_true(rows >= 3 && b.packed.soft);
    struct llama_pass *p = llama_pass_new(k->m, &c, 256, 4, true, 7, &e); /* chunks of 7 logits, the last one shorter */
    if (!p || llama_pass_soft(p, TOP, &e) < 0) fail_msg("%s", e.msg);
    assert_int_equal(k->d->alloc(k->d->ctx, &grad, n * 4), K_OK);
    srand(1);
    for (size_t i = 0; i < n; i++) at[i] = (float)(rand() % 2001 - 1000) * 1e-4f;
    k->d->zero(k->d->ctx, grad, n * 4);
    loss_at(p, a, at, &b.packed, grad, losses);
    k->d->download(k->d->ctx, host, grad, n * 4);
    double worst = 0;
    for (int trial = 0; trial < 8; trial++) {
        double share = 0, slope[2];
        for (size_t i = 0; i < n; i++) {
            way[i] = (float)(rand() % 2001 - 1000) * 1e-3f + 4 * host[i];
            share += (double)way[i] * host[i];
        }
        for (int half = 0; half < 2; half++) {
            float h = half ? 2e-4f : 4e-4f;
            double side[2];
            for (int up = 0; up < 2; up++) {
                for (size_t i = 0; i < n; i++) moved[i] = at[i] + (up ? h : -h) * way[i];
                side[up] = loss_at(p, a, moved, &b.packed, grad, losses);
            }
            slope[half] = (side[1] - side[0]) / (2 * (double)h);
        }
        double d = (4 * slope[1] - slope[0]) / 3;
        worst = fmax(worst, fabs(d / share - 1));
        if (!(fabs(d / share - 1) <= 2e-3)) fail_msg("direction %d: gradient %.7g, differences %.7g", trial, share, d);
    }
    printf("# differences part by %.1e at most\n", worst);
    k->rows.soft = NULL;
    k->d->free(k->d->ctx, grad);
    llama_pass_free(p);
    batch_release(&b);
    soft_release(&soft);
    lora_free(a);
    free(at);
    free(moved);
    free(way);
    free(host);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_labels), cmocka_unit_test(test_steps), cmocka_unit_test(test_gradient)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

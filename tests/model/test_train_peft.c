/* Twenty steps of the whole training loop on a tiny model against transformers + PEFT in f32 (tests/oracle/train_tiny.py)
   from the same initial adapter, with clipping active, and with the same dropout masks in both. The real model's forward
   and backward are compared in test_llama.c.
   Bounds: loss 1e-5, gradient norm 1e-4, relative (issue "The spine"; PEFT's own f32 differs from f64 by 2e-7 and 1e-6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/train/trainer.h"
#include "steps.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stop;
static void say(const char *text) { printf("# %s\n", text); }

struct kit { /* a model with its rows */
    struct dev *d;
    struct model *m;
    struct rows rows;
};

static void open_kit(struct kit *k, const char *model) {
    struct err e = ERR_INIT;
    const char *why;
    assert_int_equal(dev_open(&k->d, "cpu", 1, &why), K_OK);
    k->m = model_open(model, k->d, BASE_KEEP, &e);
    if (!k->m) fail_msg("%s", e.msg);
    struct row_rules u = {.tok = k->m->tok, .bos = -1, .end = k->m->cfg.eos[0], .vocab = k->m->cfg.V, .max_length = k->m->cfg.context};
    if (rows_read(&k->rows, "tests/data/train/rows.jsonl", &u, &e) < 0) fail_msg("%s", e.msg);
}

static void close_kit(struct kit *k) {
    rows_release(&k->rows);
    model_close(k->m);
    k->d->close(k->d);
}

static void train(const struct kit *k, int r, double dropout, int batch, double lr, const struct json *golden) {
    char text[400], dir[] = "/tmp/coador-peft-XXXXXX";
    struct settings s;
    struct err e = ERR_INIT;
    struct lora_config c = {.r = r, .alpha = 4 * r, .dropout = dropout};
    struct train_result result;
    assert_non_null(golden);
    snprintf(text, sizeof text, "r: %d\nlora_alpha: %d\nlora_dropout: %g\ntarget_modules: all-linear\nper_device_train_batch_size: %d\nlearning_rate: %g\n"
        "lr_scheduler_type: constant\nweight_decay: 0.01\nmax_grad_norm: 0.3\nmax_steps: 20\nseed: 7\nlogging_steps: 1\ntrain_sampling_strategy: sequential\n",
        r, 4 * r, dropout, batch, lr);
    settings_init(&s);
    if (settings_parse(&s, text, strlen(text), "settings", &e) < 0 || settings_targets(&s, k->m->cfg.L, c.sites, &e) < 0) fail_msg("%s", e.msg);
    struct lora *a = lora_new(k->m, &c, 7, &e);
    assert_non_null(a);
    assert_non_null(mkdtemp(dir));
    struct train_job j = {.settings = &s, .m = k->m, .a = a, .rows = &k->rows, .dir = dir, .tokens_per_pass = 256, .base_dtype = "keep", .base_name = "test", .stop = &stop, .say = say};
    if (train_run(&j, &result, &e) < 0) fail_msg("%s", e.msg);
    check_steps(dir, golden);
    assert_int_equal(io_remove_tree(dir, &e), 0);
    lora_free(a);
    settings_release(&s);
}

static void test_tiny(void **state) {
    struct kit k;
    struct err e = ERR_INIT;
    struct json_doc *golden = json_read_file("tests/data/train/peft.json", &e);
    assert_non_null(golden);
    open_kit(&k, "tests/data/train/tiny");
    train(&k, 4, 0, 4, 4e-3, json_get(json_root(golden), "r4-dropout0"));
    train(&k, 4, 0.1, 4, 4e-3, json_get(json_root(golden), "r4-dropout0.1"));
    train(&k, 16, 0, 4, 4e-3, json_get(json_root(golden), "r16-dropout0"));
    train(&k, 16, 0.1, 4, 4e-3, json_get(json_root(golden), "r16-dropout0.1"));
    close_kit(&k);
    json_doc_free(golden);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tiny)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

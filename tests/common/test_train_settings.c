/* Training settings: the notebook's values paste in, every broken field is named with its line, options override. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/train/settings.h"

static int parse(struct settings *s, const char *text, struct err *e) {
    *e = (struct err)ERR_INIT;
    settings_init(s);
    return settings_parse(s, text, strlen(text), "c.yaml", e);
}

static const char notebook[] =
    "r: 16\nlora_alpha: 64\nlora_dropout: 0.1\nbias: none\ntask_type: CAUSAL_LM\n"
    "target_modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]\n"
    "per_device_train_batch_size: 4\ngradient_accumulation_steps: 4\noptim: paged_adamw_32bit\nnum_train_epochs: 3\n"
    "learning_rate: 4e-4\nlr_scheduler_type: constant\nwarmup_ratio: 0.03\nmax_grad_norm: 0.3\ngroup_by_length: true\n"
    "bf16: true\npadding_side: right\nsave_steps: 25\neval_steps: 25\nlogging_steps: 5\nreport_to: none\nseed: 1\n";

static void test_notebook(void **state) {
    struct settings s;
    struct err e;
    struct buf remarks = BUF_INIT;
    bool sites[N_SITES];
    assert_int_equal(parse(&s, notebook, &e), 0);
    assert_int_equal(s.r, 16);
    assert_true(s.lora_alpha == 64 && s.lora_dropout == 0.1 && s.learning_rate == 4e-4 && s.max_grad_norm == 0.3);
    assert_int_equal(s.batch * s.accumulation, 16);
    assert_int_equal(s.schedule, SCHEDULE_CONSTANT);
    assert_int_equal(s.sampling, SAMPLING_GROUP_BY_LENGTH);
    assert_int_equal(settings_targets(&s, 2, sites, &e), 0);
    for (int i = 0; i < N_SITES; i++) assert_true(sites[i]);
    assert_int_equal(settings_check(&s, true, true, &remarks, &e), 0);
    assert_non_null(strstr(remarks.p, "warmup_ratio has no effect under lr_scheduler_type constant"));
    assert_non_null(strstr(remarks.p, "paged_adamw_32bit: plain AdamW"));
    assert_non_null(strstr(remarks.p, "bf16: computed in f32"));
    buf_release(&remarks);
    settings_release(&s);
}

static void test_groups(void **state) {
    struct settings s;
    struct err e;
    assert_int_equal(parse(&s, "lora:\n  r: 3\ntraining:\n  learning_rate: 1e-3\nseed: 5\n", &e), 0);
    assert_true(s.r == 3 && s.learning_rate == 1e-3 && s.seed == 5);
    settings_release(&s);
}

/* Text, and what the message must say; all in line 2. */
static void test_errors(void **state) {
    static const struct { const char *line, *says; } bad[] = {
        {"lr: 3", "c.yaml:2: unknown field lr"},
        {"r: 0", "c.yaml:2: r: expected a number of at least 1"},
        {"r: 1.5", "c.yaml:2: r: expected"},
        {"lora_alpha: 0", "c.yaml:2: lora_alpha: expected a number above 0"},
        {"lora_dropout: 1", "c.yaml:2: lora_dropout: expected a number of at least 0 and below 1"},
        {"lora_dropout: nan", "c.yaml:2: lora_dropout: expected"},
        {"bias: all", "c.yaml:2: bias: expected none, found all"},
        {"task_type: SEQ_CLS", "c.yaml:2: task_type: expected CAUSAL_LM"},
        {"target_modules: []", "c.yaml:2: target_modules: expected a list"},
        {"target_modules: {q_proj: 1}", "c.yaml:2: target_modules: expected a list"},
        {"target_modules: [[q_proj]]", "c.yaml:2: "},
        {"per_device_train_batch_size: 0", "c.yaml:2: per_device_train_batch_size: expected"},
        {"gradient_accumulation_steps: many", "c.yaml:2: gradient_accumulation_steps: expected"},
        {"num_train_epochs: 0", "c.yaml:2: num_train_epochs: expected a number above 0"},
        {"max_steps: -2", "c.yaml:2: max_steps: expected"},
        {"learning_rate: 0", "c.yaml:2: learning_rate: expected a number above 0"},
        {"learning_rate: 4e-4x", "c.yaml:2: learning_rate: expected"},
        {"lr_scheduler_type: polynomial", "c.yaml:2: lr_scheduler_type: expected one of constant|"},
        {"warmup_ratio: 2", "c.yaml:2: warmup_ratio: expected"},
        {"max_grad_norm: -1", "c.yaml:2: max_grad_norm: expected"},
        {"adam_beta2: 1", "c.yaml:2: adam_beta2: expected"},
        {"adam_epsilon: 0", "c.yaml:2: adam_epsilon: expected"},
        {"optim: adafactor", "c.yaml:2: optim: expected one of"},
        {"group_by_length: maybe", "c.yaml:2: group_by_length: expected"},
        {"logging_steps: 0", "c.yaml:2: logging_steps: expected"},
        {"save_steps: 0", "c.yaml:2: save_steps: expected"},
        {"seed: -1", "c.yaml:2: seed: expected"},
        {"report_to: wandb", "c.yaml:2: report_to: expected none, found wandb"},
        {"padding_side: both", "c.yaml:2: padding_side: expected one of"},
        {"use_rslora: 2", "c.yaml:2: use_rslora: expected"},
        {"lora: {r: 0}", "c.yaml:2: r: expected"},
        {"lora: {training: {r: 1}}", "c.yaml:2: unknown field training"},
        {"training: {bf16: true}", "c.yaml:2: bf16 stands in line 1 already"},
    };
    struct settings s;
    struct err e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[200];
        snprintf(text, sizeof text, "bf16: false\n%s\n", bad[i].line);
        assert_int_equal(parse(&s, text, &e), -1);
        assert_int_equal(e.code, RC_INPUT);
        if (strncmp(e.msg, bad[i].says, strlen(bad[i].says))) fail_msg("%s: %s", bad[i].line, e.msg);
        settings_release(&s);
    }
}

static void test_contradictions(void **state) {
    static const struct { const char *text, *says; bool eval; } bad[] = {
        {"bf16: true\nfp16: true\n", "bf16 and fp16", false},
        {"max_steps: 0\n", "max_steps is 0", false},
        {"early_stopping_patience: 2\n", "early_stopping_patience needs rows", false},
        {"load_best_model_at_end: true\n", "load_best_model_at_end needs rows", false},
        {"eval_steps: 5\n", "eval_steps needs rows", false},
        {"early_stopping_patience: 2\nload_best_model_at_end: false\n", "early_stopping_patience keeps the best", true},
        {"per_device_train_batch_size: 100000\ngradient_accumulation_steps: 100000\n", "per_device_train_batch_size times", false},
    };
    struct settings s;
    struct err e;
    struct buf remarks = BUF_INIT;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(&s, bad[i].text, &e), 0);
        assert_int_equal(settings_check(&s, true, bad[i].eval, &remarks, &e), -1);
        if (strncmp(e.msg, bad[i].says, strlen(bad[i].says))) fail_msg("%s: %s", bad[i].text, e.msg);
        settings_release(&s);
    }
    assert_int_equal(parse(&s, "group_by_length: true\ntrain_sampling_strategy: random\n", &e), -1);
    assert_string_equal(e.msg, "c.yaml:1: group_by_length: contradicts train_sampling_strategy in line 2");
    settings_release(&s);
    buf_release(&remarks);
}

static void test_options(void **state) {
    struct settings s;
    struct err e;
    assert_int_equal(parse(&s, notebook, &e), 0);
    assert_int_equal(settings_set(&s, "learning_rate", "1e-5", "--lr", &e), 0);
    assert_int_equal(settings_set(&s, "target_modules", "[v_proj]", "--targets", &e), 0);
    assert_int_equal(settings_set(&s, "train_sampling_strategy", "sequential", "--no-shuffle", &e), 0);
    assert_true(s.learning_rate == 1e-5 && s.targets.n == 1 && s.sampling == SAMPLING_SEQUENTIAL);
    assert_true(settings_given(&s, "learning_rate") && !settings_given(&s, "weight_decay"));
    assert_int_equal(settings_set(&s, "learning_rate", "fast", "--lr", &e), -1);
    assert_int_equal(e.code, RC_USAGE);
    assert_int_equal(strncmp(e.msg, "--lr: expected", 14), 0);
    assert_int_equal(settings_set(&s, "r", "0", "--rank", &e), -1);
    assert_int_equal(strncmp(e.msg, "--rank: expected a number of at least 1", 39), 0);
    assert_int_equal(settings_set(&s, "no_such", "1", "--set", &e), -1);
    assert_int_equal(strncmp(e.msg, "--set: unknown field no_such", 28), 0);
    settings_release(&s);
}

/* Every field but those that do not touch the trained bytes shows in the identity. */
static void test_identity(void **state) {
    struct settings s;
    struct buf a = BUF_INIT, b = BUF_INIT;
    bool sites[N_SITES] = {true, false, true};
    settings_init(&s);
    settings_put(&s, sites, &a);
    assert_non_null(strstr(a.p, "\"target_modules\":\"q_proj,v_proj\""));
    s.logging_steps = s.save_steps = s.save_total_limit = 77;
    settings_put(&s, sites, &b);
    assert_string_equal(a.p, b.p);
    buf_clear(&b);
    s.beta2 = 0.95;
    settings_put(&s, sites, &b);
    assert_string_not_equal(a.p, b.p);
    buf_release(&a);
    buf_release(&b);
    settings_release(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_notebook), cmocka_unit_test(test_groups), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_contradictions), cmocka_unit_test(test_options), cmocka_unit_test(test_identity)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

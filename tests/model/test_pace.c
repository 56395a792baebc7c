/* Training with a step queued before the one before it is settled, and on a card (COADOR_DEVICE=cuda) as graphs, beside training step by
   step and launch by launch: the same metrics, adapters, checkpoints and alarms, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/io/io.h"
#include "common/model/random_write.h"
#include "common/train/trainer.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 50, VOCAB = 8000, TOP = 4, PER_ROW = 96 };
static const char config_text[] = "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":128,\"intermediate_size\":256,\"num_hidden_layers\":3,"
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":64,\"vocab_size\":8000,\"tie_word_embeddings\":true,\"rms_norm_eps\":1e-05,"
    "\"rope_theta\":10000.0,\"max_position_embeddings\":4096,\"hidden_act\":\"silu\",\"bos_token_id\":1,\"eos_token_id\":2,\"initializer_range\":0.05,\"torch_dtype\":\"bfloat16\"}";
static volatile sig_atomic_t stop;
static void say(const char *text) { printf("# %s\n", text); }
static void say_nothing(const char *text) { (void)text; }

struct kit {
    char dir[40];
    struct dev *d;
    struct model *m;
    struct rows rows, eval;
    struct soft_file soft;
};

static void must(int rc, const struct err *e) {
    if (rc < 0) fail_msg("%s", e->msg);
}

static void write_model(const char *dir, const char *to) {
    struct err e = ERR_INIT;
    struct model_config c;
    struct random_model r;
    struct hf_files x;
    float std;
    char *config = io_join(dir, "config.json");
    must(io_write_file(config, config_text, strlen(config_text), &e), &e);
    must(config_from_json(&c, config, &e), &e);
    must(random_files(&x, config, "tests/data/adapters/base/tokenizer.json", &e), &e);
    must(random_spread(&x, config, &std, &e), &e);
    random_model_init(&r, &c, DT_BF16, 3, std);
    must(random_write_dir(&r, &x, to, &e), &e);
    random_model_release(&r);
    hf_files_release(&x);
    free(config);
}

/* Rows of 6 to 96 tokens, the second half of each trained. */
static void read_some(struct kit *k, struct rows *r, int n, int first) {
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT;
    for (int i = first; i < first + n; i++) {
        int length = 6 + (i * 7919 + i * i) % 91;
        buf_adds(&b, "{\"input_ids\":[");
        for (int t = 0; t < length; t++) buf_addf(&b, "%s%d", t ? "," : "", 3 + (i * 131 + t * t * 17 + t) % (VOCAB - 3));
        buf_adds(&b, "],\"labels\":[");
        for (int t = 0; t < length; t++) buf_addf(&b, "%s%d", t ? "," : "", t < length / 2 ? LABEL_NONE : 3 + (i * 131 + t * t * 17 + t) % (VOCAB - 3));
        buf_adds(&b, "]}\n");
    }
    char *path = io_join(k->dir, "rows.jsonl");
    struct row_rules u = {.tok = k->m->tok, .bos = -1, .end = 2, .vocab = VOCAB, .max_length = k->m->cfg.context};
    must(io_write_file(path, b.p, b.n, &e), &e);
    must(rows_read(r, path, &u, &e), &e);
    free(path);
    buf_release(&b);
}

/* A teacher's view of the trained tokens, made up. */
static void make_soft(struct kit *k) {
    struct soft_file *s = &k->soft;
    int64_t n = k->rows.all_trained, *offset = xcalloc(ROWS + 1, sizeof *offset);
    int32_t *id = xcalloc((size_t)n * TOP, sizeof *id);
    float *logp = xcalloc((size_t)n * TOP, sizeof *logp), *tail = xcalloc((size_t)n, sizeof *tail);
    for (int i = 0; i < ROWS; i++) offset[i + 1] = offset[i] + k->rows.trained[i];
    for (int64_t t = 0; t < n; t++) {
        tail[t] = logf(0.2f);
        for (int j = 0; j < TOP; j++) id[t * TOP + j] = (int32_t)((t * 31 + j * 1000 + j) % VOCAB), logp[t * TOP + j] = logf(0.1f + 0.0666f * (float)j);
    }
    *s = (struct soft_file){.records = ROWS, .tokens = n, .K = TOP, .T = 2, .hash = "made up", .offset = offset, .id = id, .logp = logp, .tail = tail};
}

static int setup(void **state) {
    struct err e = ERR_INIT;
    const char *why, *device = getenv("COADOR_DEVICE");
    struct kit *k = *state = xcalloc(1, sizeof *k);
    strcpy(k->dir, "/tmp/coador-pace-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    if (dev_open(&k->d, device && *device ? device : "cpu", 1, &why) != K_OK) fail_msg("%s", why);
    char *model = io_join(k->dir, "model");
    write_model(k->dir, model);
    if (!(k->m = model_open(model, k->d, BASE_KEEP, &e))) fail_msg("%s", e.msg);
    free(model);
    read_some(k, &k->rows, ROWS, 0);
    read_some(k, &k->eval, 9, ROWS);
    make_soft(k);
    return 0;
}

static int teardown(void **state) {
    struct kit *k = *state;
    struct err e = ERR_INIT;
    io_remove_tree(k->dir, &e);
    free((void *)(uintptr_t)k->soft.offset), free((void *)(uintptr_t)k->soft.id), free((void *)(uintptr_t)k->soft.logp), free((void *)(uintptr_t)k->soft.tail);
    rows_release(&k->rows);
    rows_release(&k->eval);
    model_close(k->m);
    k->d->close(k->d);
    free(k);
    return 0;
}

struct outcome {
    int rc;
    char msg[1000];
    struct train_result result;
    struct buf metrics, files; /* without times; of the checkpoints, adapters and moments one behind the other */
    float *p;                  /* the adapter */
    int64_t n;
};
static void outcome_release(struct outcome *o) {
    buf_release(&o->metrics);
    buf_release(&o->files);
    free(o->p);
}

static void add_file(struct buf *b, const char *dir, const char *name) {
    char *path = io_join(dir, name);
    FILE *f = fopen(path, "rb");
    char piece[4096];
    if (!f) fail_msg("%s is not there", path);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) buf_add(b, piece, n);
    fclose(f);
    free(path);
}

/* metrics.jsonl up to what is time or memory */
static void take_metrics(struct buf *to, const char *dir) {
    struct buf b = BUF_INIT;
    add_file(&b, dir, "metrics.jsonl");
    buf_addc(&b, 0);
    for (char *line = b.p, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        char *cut = strstr(line, ",\"tok_s\"");
        if (!cut) cut = strstr(line, ",\"eval_seconds\"");
        if (cut) *cut = 0;
        buf_addf(to, "%s\n", line);
    }
    buf_release(&b);
}

static void take_checkpoints(struct buf *to, const char *dir) {
    struct err e = ERR_INIT;
    int64_t *steps;
    int n;
    must(checkpoint_list(dir, &steps, &n, &e), &e);
    for (int i = 0; i < n; i++) {
        char *path = checkpoint_path(dir, steps[i]);
        buf_addf(to, "step %lld\n", (long long)steps[i]);
        add_file(to, path, "adapter_model.safetensors");
        add_file(to, path, "optimizer.safetensors");
        free(path);
    }
    free(steps);
}

struct how {
    const char *more; /* settings */
    int tokens_per_pass, layers_again, mlp_again;
    bool soft, resume;
    void (*ready)(void);
};

static void run(struct kit *k, const struct how *h, enum pace pace, struct outcome *o) {
    struct settings s;
    struct err e = ERR_INIT;
    struct lora_config c = {.r = 8, .alpha = 32};
    struct buf text = BUF_INIT;
    buf_addf(&text, "r: 8\nlora_alpha: 32\ntarget_modules: all-linear\nper_device_train_batch_size: 4\nlearning_rate: 4e-3\nlr_scheduler_type: cosine\nwarmup_ratio: 0.1\nweight_decay: 0.01\n"
        "max_grad_norm: 0.3\nseed: 7\nlogging_steps: 2\nsave_total_limit: 3\n%s", h->more);
    settings_init(&s);
    must(settings_parse(&s, text.p, text.n, "settings", &e), &e);
    must(settings_targets(&s, k->m->cfg.L, c.sites, &e), &e);
    c.dropout = s.lora_dropout;
    c.per_module = s.lora_dropout_per_module;
    struct lora *a = lora_new(k->m, &c, 7, &e);
    assert_non_null(a);
    char *dir = io_join(k->dir, "run");
    if (!h->resume) must(io_remove_tree(dir, &e), &e);
    must(io_mkdirs(dir, &e), &e);
    k->rows.soft = h->soft ? &k->soft : NULL;
    struct train_job j = {.settings = &s, .m = k->m, .a = a, .rows = &k->rows, .eval = &k->eval, .dir = dir, .tokens_per_pass = h->tokens_per_pass, .layers_again = h->layers_again,
        .mlp_again = h->mlp_again, .base_dtype = "keep", .base_name = "test", .resume = h->resume, .ready = h->ready, .stop = &stop, .say = h->resume ? say_nothing : say, .pace = pace};
    *o = (struct outcome){.n = a->n, .p = xcalloc((size_t)a->n, sizeof(float))};
    o->rc = train_run(&j, &o->result, &e);
    snprintf(o->msg, sizeof o->msg, "%s", o->rc < 0 ? e.msg : "");
    take_metrics(&o->metrics, dir);
    take_checkpoints(&o->files, dir);
    must(lora_download(a, o->p, &e), &e);
    lora_free(a);
    settings_release(&s);
    buf_release(&text);
    free(dir);
}

static bool same_text(const struct buf *a, const struct buf *b) { return a->n == b->n && (!a->n || !memcmp(a->p, b->p, a->n)); }

static void same(const struct outcome *a, const struct outcome *b, const char *what) {
    if (a->rc != b->rc || strcmp(a->msg, b->msg)) fail_msg("%s: %d \"%s\", and %d \"%s\"", what, a->rc, a->msg, b->rc, b->msg);
    if (!same_text(&a->metrics, &b->metrics)) fail_msg("%s: metrics\n%.*s\nand\n%.*s", what, (int)a->metrics.n, a->metrics.p, (int)b->metrics.n, b->metrics.p);
    if (memcmp(a->p, b->p, (size_t)a->n * sizeof *a->p)) fail_msg("%s: the adapters differ", what);
    if (!same_text(&a->files, &b->files)) fail_msg("%s: the checkpoints differ (%zu and %zu bytes)", what, a->files.n, b->files.n);
}

static struct outcome both(struct kit *k, const struct how *h, const char *what) {
    struct outcome plain, ahead;
    run(k, h, PACE_AT_ONCE, &plain);
    run(k, h, PACE_AHEAD, &ahead);
    same(&plain, &ahead, what);
    outcome_release(&plain);
    return ahead;
}

/* Passes of several shapes, each often enough to be met again; steps of one pass and of several. */
static void test_same_bytes(void **state) {
    struct kit *k = *state;
    static const struct how how[] = {
        {"num_train_epochs: 4\neval_steps: 13\nsave_steps: 20\nlora_dropout: 0.1\n", 1024, 0, 0, false, false, NULL},
        {"num_train_epochs: 2\neval_steps: 7\nsave_steps: 5\ngradient_accumulation_steps: 2\n", 160, 0, 2, false, false, NULL},
        {"num_train_epochs: 2\neval_steps: 50\nsave_steps: 50\nlora_dropout: 0.1\nlora_dropout_per_module: true\n", 300, 2, 3, false, false, NULL},
        {"num_train_epochs: 2\neval_steps: 50\nsave_steps: 50\nlora_dropout: 0.1\n", 250, 0, 0, true, false, NULL},
        {"max_steps: 40\neval_steps: 3\nsave_steps: 3\nearly_stopping_patience: 1\nload_best_model_at_end: true\nearly_stopping_threshold: 10\n", 1024, 0, 0, false, false, NULL}};
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        struct outcome o = both(k, &how[i], how[i].more);
        if (o.rc < 0) fail_msg("%s", o.msg);
        if (i == 4) assert_true(o.result.early);
        outcome_release(&o);
    }
}

/* A step that goes wrong ends the training; what the one before left is kept, whatever was queued behind. */
static void test_alarms(void **state) {
    struct kit *k = *state;
    static const struct how how = {"max_steps: 12\nsave_steps: 50\neval_steps: 50\ntrain_sampling_strategy: sequential\nlora_dropout: 0.1\n", 1024, 0, 0, false, false, NULL};
    static const struct { float weight; int step; const char *text; } bad[] = {
        {0, 1, "training alarm: the gradient norm of step 1 is zero"}, {0, 6, "training alarm: the gradient norm of step 6 is zero"},
        {0, 12, "the gradient norm of step 12 is zero"}, {NAN, 7, "the loss of step 7 is not finite"}, {INFINITY, 3, "the loss of step 3 is not finite"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char kept[80];
        for (int r = 0; r < 4; r++) k->rows.weight[4 * (bad[i].step - 1) + r] = bad[i].weight;
        struct outcome o = both(k, &how, bad[i].text);
        snprintf(kept, sizeof kept, "the adapter of step %d stands in ", bad[i].step - 1);
        if (o.rc == 0 || !strstr(o.msg, bad[i].text) || (bad[i].step > 1 && !strstr(o.msg, kept))) fail_msg("expected an alarm of step %d, but: %s", bad[i].step, o.msg);
        for (int r = 0; r < ROWS; r++) k->rows.weight[r] = 1;
        outcome_release(&o);
    }
}

static void stop_now(void) { stop = 1; }

/* Stopped after its first step, and gone on with: the bytes of a run that was not. */
static void test_stopped(void **state) {
    struct kit *k = *state;
    struct how how = {"max_steps: 30\nsave_steps: 11\neval_steps: 13\nlora_dropout: 0.1\n", 1024, 0, 0, false, false, NULL};
    struct outcome whole = both(k, &how, "unbroken"), first, rest;
    how.ready = stop_now;
    run(k, &how, PACE_AHEAD, &first);
    assert_true(first.rc == 0 && first.result.end == TRAIN_STOPPED && first.result.steps == 1);
    stop = 0;
    how.ready = NULL;
    how.resume = true;
    run(k, &how, PACE_AHEAD, &rest);
    assert_true(rest.rc == 0 && rest.result.ran == 29);
    assert_true(same_text(&rest.metrics, &whole.metrics));
    assert_memory_equal(rest.p, whole.p, (size_t)whole.n * sizeof *whole.p);
    outcome_release(&whole), outcome_release(&first), outcome_release(&rest);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_alarms), cmocka_unit_test(test_stopped)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

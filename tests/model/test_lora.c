/* Adapters: PEFT's files both ways, initial values, target_modules, identity, and what is refused. */
#include "tests/common/scratch.h"
#include "common/io/json.h"
#include "common/io/safetensors.h"
#include "common/io/sha256.h"
#include "common/model/lora.h"
#include <math.h>

#define BASE "tests/data/adapters/base"
#define PEFT "tests/data/adapters/peft"

static struct dev *cpu;
static struct model *model;

static int setup(void **state) {
    const char *why;
    struct err e = ERR_INIT;
    if (dev_open(&cpu, "poison", 1, &why) != K_OK) return -1;
    model = model_open(BASE, cpu, BASE_KEEP, &e);
    if (!model) print_error("%s\n", e.msg);
    return model ? 0 : -1;
}

static int teardown(void **state) {
    model_close(model);
    cpu->close(cpu);
    return 0;
}

static struct lora *read_adapter(const char *dir) {
    struct err e = ERR_INIT;
    struct lora *a = lora_read(model, dir, false, &e);
    if (!a) fail_msg("%s", e.msg);
    return a;
}

static float *values_of(const struct lora *a) {
    struct err e = ERR_INIT;
    float *p = malloc((size_t)a->n * 4);
    if (lora_download(a, p, &e) < 0) fail_msg("%s", e.msg);
    return p;
}

static struct json_doc *golden(void) {
    struct err e = ERR_INIT;
    struct json_doc *doc = json_read_file("tests/data/adapters/peft.json", &e);
    if (!doc) fail_msg("%s", e.msg);
    return doc;
}

/* SHA-256 of one tensor: part 0 is A, 1 is B; its name in PEFT goes to name. */
static void hash_of(const struct lora *a, const float *p, int i, int part, char *name, size_t n, char hex[SHA256_HEX]) {
    int rows, cols;
    site_shape(&model->cfg, (enum site)(i % N_SITES), &rows, &cols);
    snprintf(name, n, "base_model.model.%s.lora_%c.weight", lora_module_name(i / N_SITES, (enum site)(i % N_SITES)), "AB"[part]);
    sha256_hex(p + (part ? a->b_off[i] : a->a_off[i]), (size_t)a->cfg.r * (size_t)(part ? rows : cols) * 4, hex);
}

static void assert_adapter(const struct lora *a, const struct json *want) {
    float *p = values_of(a);
    size_t seen = 0;
    for (int i = 0; i < a->L * N_SITES; i++)
        for (int part = 0; part < 2 && a->a_off[i] >= 0; part++, seen++) {
            char name[200], hex[SHA256_HEX];
            hash_of(a, p, i, part, name, sizeof name, hex);
            if (!json_is_str(json_get(want, name), hex)) fail_msg("%s has SHA-256 %s", name, hex);
        }
    assert_int_equal(seen, want->count);
    free(p);
}

static void reads_peft(void **state) {
    struct json_doc *doc = golden();
    struct lora *a = read_adapter(PEFT);
    assert_adapter(a, json_get(json_root(doc), "peft"));
    assert_true(a->cfg.r == 4 && a->cfg.alpha == 6 && a->cfg.dropout == 0.25 && !a->cfg.rslora && a->scale == 1.5f);
    lora_free(a);
    a = read_adapter("tests/data/adapters/peft-rs");
    assert_adapter(a, json_get(json_root(doc), "peft-rs"));
    assert_true(a->cfg.r == 3 && a->cfg.rslora && a->scale == (float)(5.5 / sqrt(3)));
    for (int s = 0; s < N_SITES; s++) assert_int_equal(a->cfg.sites[s], s == SITE_Q || s == SITE_DOWN);
    lora_free(a);
    json_doc_free(doc);
}

static void make_dir(const char *name) {
    struct err e = ERR_INIT;
    assert_int_equal(io_remove_tree(scratch(name), &e), 0);
    assert_int_equal(io_mkdirs(scratch(name), &e), 0);
}

static struct buf file_in(const char *dir, const char *name) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return slurp(path);
}

static void writes_what_it_reads(void **state) {
    struct err e = ERR_INIT;
    struct json_doc *doc = golden();
    struct lora *a = read_adapter(PEFT);
    struct buf first[2];
    for (int k = 0; k < 2; k++) {
        make_dir("w");
        if (lora_write(a, scratch("w"), "some/base", &e) < 0) fail_msg("%s", e.msg);
        if (lora_write_identity(model, scratch("w"), NULL, &e) < 0) fail_msg("%s", e.msg);
        struct buf tensors = file_in(scratch("w"), "adapter_model.safetensors"), config = file_in(scratch("w"), "adapter_config.json");
        if (k) {
            assert_int_equal(tensors.n, first[0].n);
            assert_memory_equal(tensors.p, first[0].p, tensors.n);
            assert_string_equal(config.p, first[1].p);
            buf_release(&tensors);
            buf_release(&config);
        } else {
            first[0] = tensors;
            first[1] = config;
        }
    }
    struct buf theirs = slurp(PEFT "/adapter_model.safetensors"); /* same names, order and header as PEFT's own */
    assert_int_equal(theirs.n, first[0].n);
    assert_memory_equal(theirs.p, first[0].p, theirs.n);
    struct lora *b = read_adapter(scratch("w"));
    assert_adapter(b, json_get(json_root(doc), "peft"));
    assert_true(b->cfg.r == 4 && b->cfg.alpha == 6 && b->cfg.dropout == 0.25 && !b->cfg.rslora);
    assert_non_null(strstr(first[1].p, "\"base_model_name_or_path\": \"some/base\""));
    lora_free(a);
    lora_free(b);
    buf_release(&first[0]);
    buf_release(&first[1]);
    buf_release(&theirs);
    json_doc_free(doc);
}

/* Runs tests/oracle/peft_load.py over what we wrote; its lines must be our config and our hashes. */
static void peft_reads_ours(void **state) {
    const char *python = getenv("PEERS_PYTHON");
    struct err e = ERR_INIT;
    if (!python) {
        print_message("# PEERS_PYTHON is not set: no Python with torch and peft\n");
        skip();
    }
    struct lora_config cfg = {.r = 5, .alpha = 7.5, .dropout = 0.125, .rslora = true, .sites = {[SITE_K] = true, [SITE_UP] = true, [SITE_DOWN] = true}};
    struct lora *a = lora_new(model, &cfg, 11, &e);
    assert_non_null(a);
    make_dir("ours");
    if (lora_write(a, scratch("ours"), NULL, &e) < 0) fail_msg("%s", e.msg);
    char command[1000], line[400];
    snprintf(command, sizeof command, "%s tests/oracle/peft_load.py %s %s 2>%s", python, BASE, scratch("ours"), scratch("stderr"));
    FILE *f = popen(command, "r");
    assert_non_null(f);
    float *p = values_of(a);
    int found = 0, lines = 0;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (!lines++) {
            assert_string_equal(line, "config 5 7.5 0.125 True none CAUSAL_LM");
            continue;
        }
        for (int i = 0; i < a->L * N_SITES; i++)
            for (int part = 0; part < 2 && a->a_off[i] >= 0; part++) {
                char want[400], name[200], hex[SHA256_HEX];
                hash_of(a, p, i, part, name, sizeof name, hex);
                snprintf(want, sizeof want, "%s %s", name, hex);
                found += !strcmp(line, want);
            }
    }
    assert_int_equal(pclose(f), 0);
    assert_int_equal(found, 2 * 3 * 2);
    assert_int_equal(lines, 1 + found);
    free(p);
    lora_free(a);
}

/* ---- initial values ---- */
static void initial_values(void **state) {
    struct err e = ERR_INIT;
    struct lora_config cfg = {.r = 8, .alpha = 16, .sites = {[SITE_Q] = true, [SITE_DOWN] = true}};
    struct lora *a = lora_new(model, &cfg, 42, &e), *b = lora_new(model, &cfg, 42, &e), *c = lora_new(model, &cfg, 43, &e);
    assert_true(a && b && c);
    assert_int_equal(a->n, 2 * (8 * 32 + 32 * 8 + 8 * 64 + 32 * 8));
    assert_true(a->scale == 2);
    float *p = values_of(a), *q = values_of(b), *r = values_of(c);
    assert_memory_equal(p, q, (size_t)a->n * 4);
    for (int i = 0; i < a->L * N_SITES; i++) {
        int rows, cols;
        site_shape(&model->cfg, (enum site)(i % N_SITES), &rows, &cols);
        if (a->a_off[i] < 0) continue;
        float bound = (float)(1 / sqrt(cols)), least = 1, most = -1;
        double sum = 0, sq = 0;
        int n = 8 * cols, same = 0;
        for (int k = 0; k < n; k++) {
            float v = p[a->a_off[i] + k];
            sum += v;
            sq += (double)v * v;
            least = v < least ? v : least;
            most = v > most ? v : most;
            same += v == r[a->a_off[i] + k];
        }
        assert_true(least >= -bound && most < bound && least < -0.9f * bound && most > 0.9f * bound);
        assert_true(fabs(sum / n) < 4 * bound / sqrt(3 * n));          /* 4 sigma of the mean of n uniforms */
        assert_true(fabs(sq / n / (bound * bound / 3) - 1) < 4 * 0.9 / sqrt(n)); /* variance bound²/3; x² has deviation 0.894 of its mean */
        assert_true(same < 3);
        for (int k = 0; k < 8 * rows; k++) assert_true(p[a->b_off[i] + k] == 0);
    }
    assert_true(memcmp(p + a->a_off[0], p + a->a_off[N_SITES], 8 * 32 * 4) != 0); /* layers differ */
    /* The generator is part of what a seed means: this value, also computed from its description in Python, may not change. */
    assert_true(p[a->a_off[0]] == -0.0554046854f);
    free(p);
    free(q);
    free(r);
    lora_free(a);
    lora_free(b);
    lora_free(c);
}

static void new_refuses(void **state) {
    struct err e = ERR_INIT;
    struct lora_config cfg = {.r = 0, .alpha = 1, .sites = {true}};
    assert_null(lora_new(model, &cfg, 0, &e));
    assert_err(&e, RC_INPUT, "rank r is 0");
    cfg = (struct lora_config){.r = 4, .alpha = 1};
    assert_null(lora_new(model, &cfg, 0, &e));
    assert_err(&e, RC_INPUT, "no module carries an adapter");
}

/* ---- target_modules ---- */
static void matches_targets(void **state) {
    struct err e = ERR_INIT;
    bool s[N_SITES];
    const char *names[] = {"q_proj", "mlp.down_proj"};
    assert_int_equal(lora_match_names(s, 12, names, 2, &e), 0);
    for (int i = 0; i < N_SITES; i++) assert_int_equal(s[i], i == SITE_Q || i == SITE_DOWN);
    assert_int_equal(lora_match_regex(s, 12, "all-linear", &e), 0);
    for (int i = 0; i < N_SITES; i++) assert_true(s[i]);
    assert_int_equal(lora_match_regex(s, 12, ".*self_attn\\.[qv]_proj", &e), 0);
    for (int i = 0; i < N_SITES; i++) assert_int_equal(s[i], i == SITE_Q || i == SITE_V);
    assert_int_equal(lora_match_regex(s, 12, "model\\.layers\\.\\d+\\.(self_attn\\.k_proj|mlp\\.up_proj)", &e), 0);
    for (int i = 0; i < N_SITES; i++) assert_int_equal(s[i], i == SITE_K || i == SITE_UP);
}

static void refuses_targets(void **state) {
    static const struct {
        const char *list, *regex, *says;
    } bad[] = {
        {"query", NULL, "\"query\" matches no module, expected one of q_proj"},
        {"proj", NULL, "\"proj\" matches no module"},
        {"lm_head", NULL, "\"lm_head\" matches lm_head, which cannot carry an adapter"},
        {"embed_tokens", NULL, "matches model.embed_tokens"},
        {"layers.1.self_attn.q_proj", NULL, "matches q_proj in 1 of 3 layers"},
        {NULL, "q_proj", "matches no module"}, /* the whole name must match, as in PEFT */
        {NULL, ".*layers\\.[01]\\..*q_proj", "matches q_proj in 2 of 3 layers"},
        {NULL, ".*", "matches lm_head"},
        {NULL, ".*self_attn.*", "matches model.layers.0.self_attn, which cannot"},
        {NULL, "(", "is not a regular expression: "},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = ERR_INIT;
        bool s[N_SITES];
        int rc = bad[i].list ? lora_match_names(s, 3, &bad[i].list, 1, &e) : lora_match_regex(s, 3, bad[i].regex, &e);
        if (rc == 0) fail_msg("case %zu taken", i);
        assert_err(&e, RC_INPUT, bad[i].says);
    }
    struct err e = ERR_INIT;
    bool s[N_SITES];
    assert_int_equal(lora_match_names(s, 3, NULL, 0, &e), -1);
    assert_err(&e, RC_INPUT, "target_modules is empty");
}

/* ---- bad directories ---- */
static void refuses(const char *says) {
    struct err e = ERR_INIT;
    struct lora *a = lora_read(model, scratch("a"), false, &e);
    if (a) fail_msg("taken, expected %s", says);
    assert_err(&e, RC_INPUT, says);
}

#define CONFIG "\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":6,\"target_modules\":\"all-linear\""

static void write_config(const char *fields) {
    struct buf b = BUF_INIT;
    buf_addf(&b, "{%s}", fields);
    scratch_file("a/adapter_config.json", b.p, b.n);
    buf_release(&b);
}

static void refuses_configs(void **state) {
    static const char *const bad[][2] = {
        {CONFIG ",\"use_dora\":true", "use_dora is true, expected it to be off"},
        {CONFIG ",\"modules_to_save\":[\"lm_head\"]", "modules_to_save is [\"lm_head\"]"},
        {CONFIG ",\"rank_pattern\":{\"q_proj\":8}", "rank_pattern is {\"q_proj\":8}"},
        {CONFIG ",\"alpha_pattern\":{\"q_proj\":8}", "alpha_pattern is "},
        {CONFIG ",\"bias\":\"lora_only\"", "bias is \"lora_only\", expected \"none\""},
        {CONFIG ",\"layers_to_transform\":[0]", "layers_to_transform is [0]"},
        {CONFIG ",\"lora_bias\":true", "lora_bias is true"},
        {CONFIG ",\"fan_in_fan_out\":true", "fan_in_fan_out is true"},
        {CONFIG ",\"trainable_token_indices\":[1]", "trainable_token_indices is [1]"},
        {CONFIG ",\"init_lora_weights\":\"pissa\"", "init_lora_weights is \"pissa\""},
        {CONFIG ",\"task_type\":\"SEQ_CLS\"", "task_type is \"SEQ_CLS\""},
        {CONFIG ",\"some_new_thing\":3", "some_new_thing is 3, expected it to be off"},
        {CONFIG ",\"lora_dropout\":1", "lora_dropout is 1, expected"},
        {"\"peft_type\":\"IA3\"", "peft_type is \"IA3\", expected \"LORA\""},
        {"\"r\":4", "field peft_type is missing"},
        {"\"peft_type\":\"LORA\",\"r\":0", "r is 0, expected an integer of 1"},
        {"\"peft_type\":\"LORA\",\"r\":4", "field lora_alpha is missing"},
        {"\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8", "field target_modules is missing"},
        {"\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8,\"target_modules\":[3]", "target_modules is [3]"},
        {"\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8,\"target_modules\":[\"w\"]", "a/adapter_config.json: target_modules \"w\" matches no module"},
        {"\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":8,\"target_modules\":\"w\"", "a/adapter_config.json: target_modules \"w\" matches no module"},
        {"x", "adapter_config.json"},
    };
    make_dir("a");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_config(bad[i][0]);
        refuses(bad[i][1]);
    }
}

/* The good adapter's tensors, each case with one of them changed. */
static void refuses_tensors(void **state) {
    struct err e = ERR_INIT;
    struct safetensors *s = safetensors_open(PEFT "/adapter_model.safetensors", &e);
    struct tensor t[32], good;
    float values[64 * 64] = {0};
    int n = safetensors_count(s);
    make_dir("a");
    write_config(CONFIG);
    for (int i = 0; i < n; i++) t[i] = *safetensors_at(s, i);
    good = t[0]; /* layers.0.mlp.down_proj.lora_A */
    assert_int_equal(safetensors_write(scratch("a/adapter_model.safetensors"), t, n - 1, NULL, &e), 0);
    refuses("tensor base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight is missing");
    t[0].shape[0] = 8;
    t[0].bytes *= 2;
    t[0].data = values;
    assert_int_equal(safetensors_write(scratch("a/adapter_model.safetensors"), t, n, NULL, &e), 0);
    refuses("adapter_model.safetensors: tensor base_model.model.model.layers.0.mlp.down_proj.lora_A.weight has shape 8x64, expected 4x64");
    t[0] = good;
    t[0].type = DT_I32;
    assert_int_equal(safetensors_write(scratch("a/adapter_model.safetensors"), t, n, NULL, &e), 0);
    refuses("has type i32, expected f32, f16 or bf16");
    t[0] = good;
    t[0].data = values;
    values[7] = NAN;
    assert_int_equal(safetensors_write(scratch("a/adapter_model.safetensors"), t, n, NULL, &e), 0);
    refuses("has a value that is not finite at place 7");
    t[0] = good;
    t[n] = good;
    t[n].name = "base_model.model.model.layers.2.mlp.down_proj.lora_A.weight";
    assert_int_equal(safetensors_write(scratch("a/adapter_model.safetensors"), t, n + 1, NULL, &e), 0);
    refuses("tensor base_model.model.model.layers.2.mlp.down_proj.lora_A.weight has no place in this model of 2 layers");
    assert_int_equal(safetensors_write(scratch("a/adapter_model.safetensors"), t, n, NULL, &e), 0);
    write_config("\"peft_type\":\"LORA\",\"r\":60000,\"lora_alpha\":6,\"target_modules\":\"all-linear\""); /* the file bounds memory */
    refuses("expected 60000x64");
    write_config("\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":6,\"target_modules\":[\"q_proj\"]");
    refuses("has no place in this model");
    safetensors_close(s);
}

/* Names of a state dict (".default."), and half precision. */
static void reads_other_spellings(void **state) {
    struct err e = ERR_INIT;
    struct safetensors *s = safetensors_open(PEFT "/adapter_model.safetensors", &e);
    struct tensor t[32];
    int n = safetensors_count(s);
    make_dir("a");
    write_config(CONFIG ",\"lora_dropout\":0.25");
    for (int i = 0; i < n; i++) {
        struct buf b = BUF_INIT;
        t[i] = *safetensors_at(s, i);
        buf_add(&b, t[i].name, strlen(t[i].name) - 7);
        buf_adds(&b, ".default.weight");
        t[i].name = buf_detach(&b);
    }
    float first[4 * 64];
    uint16_t half[4 * 64];
    memcpy(first, t[0].data, sizeof first);
    for (int i = 0; i < 4 * 64; i++) half[i] = f32_to_bf16(first[i]);
    t[0].type = DT_BF16;
    t[0].bytes /= 2;
    t[0].data = half;
    assert_int_equal(safetensors_write(scratch("a/adapter_model.safetensors"), t, n, NULL, &e), 0);
    struct lora *a = read_adapter(scratch("a")), *b = read_adapter(PEFT);
    float *p = values_of(a), *q = values_of(b);
    for (int i = 0; i < 4 * 64; i++) q[a->a_off[SITE_DOWN] + i] = bf16_to_f32(half[i]);
    assert_memory_equal(p, q, (size_t)a->n * 4);
    for (int i = 0; i < n; i++) free((char *)t[i].name);
    free(p);
    free(q);
    lora_free(a);
    lora_free(b);
    safetensors_close(s);
}

/* ---- coador.json ---- */
static void checks_identity(void **state) {
    struct err e = ERR_INIT;
    struct lora *a = read_adapter(PEFT);
    char *name;
    make_dir("a");
    assert_int_equal(lora_write(a, scratch("a"), NULL, &e), 0);
    lora_free(a);
    assert_int_equal(lora_read_template(scratch("a"), &name, &e), 0);
    assert_null(name);
    assert_int_equal(lora_write_identity(model, scratch("a"), "chatml-smollm2", &e), 0);
    lora_free(read_adapter(scratch("a")));
    assert_int_equal(lora_read_template(scratch("a"), &name, &e), 0);
    assert_string_equal(name, "chatml-smollm2");
    free(name);
    struct buf b = slurp(scratch("a/coador.json"));
    char *at = strstr(b.p, model_hash(model));
    assert_non_null(at);
    *at = *at == '0' ? '1' : '0';
    scratch_file("a/coador.json", b.p, b.n);
    refuses("the adapter was trained on another base: its SHA-256 is ");
    a = lora_read(model, scratch("a"), true, &e); /* told otherwise */
    assert_non_null(a);
    lora_free(a);
    *at = model_hash(model)[0];
    at = strstr(b.p, tokenizer_hash(model->tok));
    assert_non_null(at);
    *at = *at == '0' ? '1' : '0';
    scratch_file("a/coador.json", b.p, b.n);
    refuses("another tokenizer");
    scratch_file("a/coador.json", "{\"format\":2}", 12);
    refuses("format is not 1");
    assert_int_equal(lora_read_template(scratch("a"), &name, &e), -1);
    scratch_file("a/coador.json", "{\"format\":1}", 12);
    refuses("field base_sha256 is missing");
    scratch_file("a/coador.json", "{", 1);
    refuses("coador.json");
    buf_release(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_peft), cmocka_unit_test(writes_what_it_reads), cmocka_unit_test(peft_reads_ours), cmocka_unit_test(initial_values),
        cmocka_unit_test(new_refuses), cmocka_unit_test(matches_targets), cmocka_unit_test(refuses_targets), cmocka_unit_test(refuses_configs),
        cmocka_unit_test(refuses_tensors), cmocka_unit_test(reads_other_spellings), cmocka_unit_test(checks_identity),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* Twenty LoRA steps over a packed NF4 base, against transformers + PEFT over bitsandbytes' dequantised weights
   (tests/oracle/qlora_steps.py): losses and gradient norms within 1e-4; over the same base made f32, the same. The base is a
   tiny model that bitsandbytes saved, and SmolLM2 as `coador quantize` packs it. */
#include "tests/common/scratch.h"
#include "common/io/json.h"
#include "common/model/llama.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#define MAX_ROWS 64
#define TOLERANCE 1e-4

static uint32_t lowbias(uint32_t seed, uint32_t i) {
    uint32_t x = i * 0x85EBCA77u + seed * 0x9E3779B1u;
    x ^= x >> 16, x *= 0x7FEB352Du, x ^= x >> 15, x *= 0x846CA68Bu, x ^= x >> 16;
    return x;
}

struct rig {
    struct dev *d;
    struct model *m;
    struct lora *a;
    struct llama_pass *pass;
    float *grad, *moment[2];
    double *norm_sq;
    const struct json *data;
};

static double number(const struct rig *g, const char *field) {
    const struct json *v = json_get(g->data, field);
    assert_true(v && v->type == JSON_NUMBER);
    return v->number;
}

static void copy_file(const char *from, const char *to) {
    struct buf b = slurp(from);
    scratch_file(to, b.p, b.n);
    buf_release(&b);
}

static void *zeros(struct rig *g, size_t bytes) {
    void *p;
    assert_int_equal(g->d->alloc(g->d->ctx, &p, bytes), K_OK);
    assert_int_equal(g->d->zero(g->d->ctx, p, bytes), K_OK);
    return p;
}

/* Tensor t is 2·(layer·N_SITES + site) + is_b */
static void first_adapter(struct rig *g) {
    struct err e = ERR_INIT;
    float *host = xcalloc((size_t)g->a->n, sizeof *host);
    for (int t = 0; t < 2 * N_SITES * g->m->cfg.L; t++) {
        const struct weight *w = &g->m->layers[t / 2 / N_SITES].w[t / 2 % N_SITES];
        int64_t n = g->a->cfg.r * (t % 2 ? w->rows : w->cols), at = t % 2 ? g->a->b_off[t / 2] : g->a->a_off[t / 2];
        for (int64_t i = 0; i < n; i++) host[at + i] = ((float)(lowbias((uint32_t)t, (uint32_t)i) >> 8) * 0x1p-23f - 1) * (float)number(g, t % 2 ? "spread_b" : "spread_a");
    }
    if (lora_upload(g->a, host, &e) < 0) fail_msg("%s", e.msg);
    free(host);
}

static void make_tiny(void) {
    struct err e = ERR_INIT;
    assert_int_equal(io_mkdirs(scratch("m"), &e), 0);
    copy_file("tests/data/quant/nf4/config.json", "m/config.json");
    copy_file("tests/data/quant/nf4/model.safetensors", "m/model.safetensors");
    copy_file("tests/data/adapters/base/tokenizer.json", "m/tokenizer.json");
}

static void make_smollm2(void) {
    char command[4096];
    const char *fetched = getenv("FETCHED"), *coador = getenv("COADOR");
    if (getenv("COADOR_FAST") || !fetched || !coador) skip();
    int n = snprintf(command, sizeof command, "test -e '%s/SmolLM2-135M-Instruct.Q4_1.gguf' || exit 77; "
        "exec '%s' quantize --to nf4 --double-quant --allow-requantize --quiet -o '%s' '%s/SmolLM2-135M-Instruct.Q4_1.gguf'", fetched, coador, scratch("m"), fetched);
    assert_true(n > 0 && (size_t)n < sizeof command);
    int rc = system(command);
    if (WIFEXITED(rc) && WEXITSTATUS(rc) == 77) skip();
    assert_int_equal(rc, 0);
}

static void open_rig(struct rig *g, const char *device, enum base_dtype base) {
    struct err e = ERR_INIT;
    const char *why = "";
    if (dev_open(&g->d, device, 2, &why) != K_OK) fail_msg("%s: %s", device, why);
    if (!(g->m = model_open(scratch("m"), g->d, base, &e))) fail_msg("%s", e.msg);
    struct lora_config cfg = {.r = (int)number(g, "r"), .alpha = number(g, "alpha")};
    for (int s = 0; s < N_SITES; s++) cfg.sites[s] = true;
    if (!(g->a = lora_new(g->m, &cfg, 1, &e))) fail_msg("%s", e.msg);
    first_adapter(g);
    g->grad = zeros(g, (size_t)g->a->n * sizeof(float));
    for (int i = 0; i < 2; i++) g->moment[i] = zeros(g, (size_t)g->a->n * sizeof(float));
    g->norm_sq = zeros(g, sizeof(double));
    if (!(g->pass = llama_pass_new(g->m, &cfg, MAX_ROWS, 8, true, 0, &e))) fail_msg("%s", e.msg);
}

static void close_rig(struct rig *g) {
    void *mem[] = {g->grad, g->moment[0], g->moment[1], g->norm_sq};
    for (int i = 0; i < 4; i++) g->d->free(g->d->ctx, mem[i]);
    llama_pass_free(g->pass);
    lora_free(g->a);
    model_close(g->m);
    g->d->close(g->d);
}

static void pack(const struct rig *g, struct packed *b, int step) {
    static int32_t ids[MAX_ROWS], pos[MAX_ROWS], seq[MAX_ROWS], cu[9], sel[MAX_ROWS], target[MAX_ROWS];
    static float scale[MAX_ROWS];
    int length = (int)number(g, "length"), prompt = (int)number(g, "prompt");
    const struct json *batch = json_get(g->data, "ids")->first;
    for (int i = 0; i < step; i++) batch = batch->next;
    const struct json *id = batch->first;
    *b = (struct packed){.S = (int)number(g, "batch"), .ids = ids, .pos = pos, .seq = seq, .cu = cu, .sel = sel, .target = target, .scale = scale};
    assert_true(b->S * length <= MAX_ROWS);
    for (int s = 0; s < b->S; s++) {
        for (int t = 0; t < length; t++, b->R++, id = id->next) {
            ids[b->R] = (int32_t)id->number;
            pos[b->R] = t, seq[b->R] = s;
            if (t >= prompt) sel[b->M] = b->R - 1, target[b->M++] = ids[b->R];
        }
        cu[s + 1] = b->R;
    }
    for (int i = 0; i < b->M; i++) scale[i] = 1.0f / (float)b->M;
}

static double train_step(struct rig *g, int step, double *norm) {
    struct err e = ERR_INIT;
    struct dev *d = g->d;
    struct packed b;
    float loss[MAX_ROWS];
    double mean = 0;
    pack(g, &b, step);
    d->zero(d->ctx, g->grad, (size_t)g->a->n * sizeof(float));
    if (llama_train(g->pass, g->a, &b, NULL, g->grad, loss, &e) < 0) fail_msg("%s", e.msg);
    for (int i = 0; i < b.M; i++) mean += loss[i] / (double)b.M;
    struct adamw_step s = {.lr = number(g, "lr"), .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = number(g, "weight_decay"), .max_norm = number(g, "max_norm"), .t = step + 1};
    d->sumsq(d->ctx, g->norm_sq, g->grad, g->a->n, 0);
    d->adamw(d->ctx, g->a->p, g->moment[0], g->moment[1], g->grad, g->a->n, &s, g->norm_sq);
    assert_int_equal(d->download(d->ctx, norm, g->norm_sq, sizeof *norm), K_OK);
    assert_int_equal(d->sync(d->ctx), K_OK);
    *norm = sqrt(*norm);
    return mean;
}

static void run(const char *steps_of, const char *device, enum base_dtype base) {
    struct err e = ERR_INIT;
    struct json_doc *doc = json_read_file(steps_of, &e);
    if (!doc) fail_msg("%s", e.msg);
    struct rig g = {.data = json_root(doc)};
    open_rig(&g, device, base);
    assert_int_equal(g.m->layers[0].w[SITE_DOWN].type, base == BASE_KEEP ? DT_NF4 : DT_F32);
    const struct json *loss = json_get(g.data, "loss")->first, *norm = json_get(g.data, "norm")->first;
    double worst = 0;
    int steps = 0;
    for (; loss && norm; loss = loss->next, norm = norm->next, steps++) {
        double got_norm, got = train_step(&g, steps, &got_norm), off = fmax(fabs(got - loss->number), fabs(got_norm / norm->number - 1));
        if (!(off <= TOLERANCE)) fail_msg("step %d: loss %.8g and norm %.8g, expected %.8g and %.8g", steps + 1, got, got_norm, loss->number, norm->number);
        worst = fmax(worst, off);
    }
    assert_int_equal(steps, 20);
    print_message("# %s: off by at most %.2g\n", device, worst);
    close_rig(&g);
    json_doc_free(doc);
}

static void tiny(const char *device, enum base_dtype base) {
    make_tiny();
    run("tests/data/quant/qlora.json", device, base);
}

static void packed_cpu(void **state) { tiny("cpu", BASE_KEEP); }
static void packed_poison(void **state) { tiny("poison", BASE_KEEP); }
static void packed_ref(void **state) { tiny("ref", BASE_KEEP); }
static void dequantised(void **state) { tiny("cpu", BASE_F32); }
static void smollm2(void **state) {
    make_smollm2();
    run("tests/data/quant/qlora-smollm2.json", "cpu", BASE_KEEP);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(packed_cpu), cmocka_unit_test(packed_poison), cmocka_unit_test(packed_ref), cmocka_unit_test(dequantised),
        cmocka_unit_test(smollm2)};
    return cmocka_run_group_tests_name("qlora", tests, NULL, NULL);
}

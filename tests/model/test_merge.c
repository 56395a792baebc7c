/* Merging: values, logits, types, shards, packed bases, what is refused. The adapters are PEFT's own. */
#include "tests/common/scratch.h"
#include "common/io/safetensors.h"
#include "common/model/merge.h"
#include <math.h>

#define BASE "tests/data/adapters/base"
#define PEFT "tests/data/adapters/peft"
#define PEFT_RS "tests/data/adapters/peft-rs"

static struct dev *cpu;
static struct model *base;

static struct model *open_at(const char *dir) {
    struct err e = ERR_INIT;
    struct model *m = model_open(dir, cpu, BASE_KEEP, &e);
    if (!m) fail_msg("%s", e.msg);
    return m;
}

static int setup(void **state) {
    const char *why;
    struct err e = ERR_INIT;
    if (dev_open(&cpu, "poison", 1, &why) != K_OK) return -1;
    base = model_open(BASE, cpu, BASE_KEEP, &e);
    if (!base) print_error("%s\n", e.msg);
    return base ? 0 : -1;
}

static int teardown(void **state) {
    model_close(base);
    cpu->close(cpu);
    return 0;
}

static struct lora *adapter(const struct model *m, const char *dir, float scale) {
    struct err e = ERR_INIT;
    struct lora *a = lora_read(m, dir, true, &e);
    if (!a) fail_msg("%s", e.msg);
    a->scale *= scale;
    return a;
}

static void copy_file(const char *from, const char *to, const char *name) {
    char *a = io_join(from, name), *b = io_join(to, name);
    struct buf x = slurp(a);
    struct err e = ERR_INIT;
    assert_int_equal(io_write_file(b, x.p, x.n, &e), 0);
    buf_release(&x);
    free(a);
    free(b);
}

/* Merges into a fresh directory. */
static int merge_to(const char *dir, const struct model *m, const struct lora *const *a, int n, enum dtype to, uint64_t shard, int threads, struct merge_report *r, struct err *e) {
    assert_int_equal(io_remove_tree(dir, e), 0);
    assert_int_equal(io_mkdirs(dir, e), 0);
    return merge_write(m, a, n, to, shard, dir, threads, NULL, NULL, r, e);
}

static struct merge_report must_merge(const char *dir, const struct model *m, const struct lora *const *a, int n, enum dtype to) {
    struct err e = ERR_INIT;
    struct merge_report r;
    if (merge_to(dir, m, a, n, to, HF_SHARD, 1, &r, &e) < 0) fail_msg("%s", e.msg);
    return r;
}

static struct merge_diff differ(const struct model *m, const struct lora *const *a, int n, const char *merged) {
    static int32_t v[2][80];
    struct ids probe[2] = {{v[0], 80, 80}, {v[1], 5, 80}};
    struct merge_diff d = {0};
    struct err e = ERR_INIT;
    for (int i = 0; i < 80; i++) v[0][i] = v[1][i] = (i * 37 + 11) % m->cfg.V;
    struct model *x = open_at(merged);
    if (merge_compare(m, a, n, x, probe, 2, &d, &e) < 0) fail_msg("%s", e.msg);
    assert_int_equal(d.rows, MERGE_ROWS + 5);
    assert_true(d.max_logit > 0);
    model_close(x);
    return d;
}

static void assert_within(const struct merge_diff *d, double limit) {
    if (!(merge_relative(d) <= limit)) fail_msg("%g of %g, expected at most %g", d->max_abs, d->max_logit, limit);
}

/* ---- values ---- */
static struct safetensors *tensors_in(const char *dir) {
    struct err e = ERR_INIT;
    char *p = io_join(dir, "model.safetensors");
    struct safetensors *s = safetensors_open(p, &e);
    if (!s) fail_msg("%s", e.msg);
    free(p);
    return s;
}

static float at(const struct tensor *t, int64_t i) {
    float x;
    dtype_to_f32(&x, t->type, (const char *)t->data + (size_t)i * dtype_block_bytes(t->type), 1);
    return x;
}

/* W + s·B·A of one module, from the files alone. */
static void assert_module(const struct safetensors *w, const struct safetensors *ad, const struct safetensors *merged, const char *module, double s) {
    char name[200];
    snprintf(name, sizeof name, "%s.weight", module);
    const struct tensor *W = safetensors_get(w, name), *M = safetensors_get(merged, name);
    snprintf(name, sizeof name, "base_model.model.%s.lora_A.weight", module);
    const struct tensor *A = safetensors_get(ad, name);
    snprintf(name, sizeof name, "base_model.model.%s.lora_B.weight", module);
    const struct tensor *B = safetensors_get(ad, name);
    assert_true(W && M && A && B && M->type == DT_F32);
    bool moved = false;
    for (int64_t n = 0; n < W->shape[0]; n++)
        for (int64_t k = 0; k < W->shape[1]; k++) {
            double want = (double)at(W, n * W->shape[1] + k);
            for (int64_t r = 0; r < A->shape[0]; r++) want += s * (double)at(B, n * A->shape[0] + r) * (double)at(A, r * W->shape[1] + k);
            float got = at(M, n * W->shape[1] + k);
            moved |= got != at(W, n * W->shape[1] + k);
            if (!(fabs((double)got - want) <= 1e-7 * (1 + fabs(want)))) fail_msg("%s at %d,%d: %.9g, expected %.9g", module, (int)n, (int)k, (double)got, want);
        }
    assert_true(moved);
}

static void adds_b_a(void **state) {
    struct lora *a = adapter(base, PEFT, -0.5f);
    must_merge(scratch("m"), base, (const struct lora *[]){a}, 1, DT_F32);
    struct safetensors *w = tensors_in(BASE), *m = tensors_in(scratch("m"));
    struct err e = ERR_INIT;
    struct safetensors *ad = safetensors_open(PEFT "/adapter_model.safetensors", &e);
    assert_module(w, ad, m, "model.layers.1.self_attn.k_proj", -0.75);
    assert_module(w, ad, m, "model.layers.0.mlp.down_proj", -0.75);
    assert_string_equal(safetensors_meta(m, "format"), "pt");
    safetensors_close(ad);
    safetensors_close(m);
    safetensors_close(w);
    lora_free(a);
}

/* Without anything to add, the base comes out as it was, bit for bit. */
static void keeps_the_rest(void **state) {
    struct lora_config c = {.r = 2, .alpha = 4, .sites[SITE_Q] = true};
    struct err e = ERR_INIT;
    struct lora *zero = lora_new(base, &c, 1, &e); /* B is zero */
    assert_int_equal(merge_type(base), DT_BF16);
    struct merge_report r = must_merge(scratch("m"), base, (const struct lora *[]){zero}, 1, DT_BF16);
    struct model *m = open_at(scratch("m"));
    assert_string_equal(model_hash(m), model_hash(base));
    assert_int_equal(r.files, 1);
    model_close(m);
    lora_free(zero);
}

/* ---- logits ---- */
static void logits_agree(void **state) {
    struct lora *a = adapter(base, PEFT, 1), *b = adapter(base, PEFT_RS, 0.25f);
    const struct lora *both[] = {a, b};
    must_merge(scratch("m"), base, both, 2, DT_F32);
    struct merge_diff d = differ(base, both, 2, scratch("m"));
    assert_within(&d, 1e-5);
    assert_int_equal(d.same, d.rows);
    struct merge_diff one = differ(base, both, 1, scratch("m")); /* the second adapter counts */
    assert_true(merge_relative(&one) > 1e-3);
    lora_free(a);
    lora_free(b);
}

static void rounds_to_fewer_bits(void **state) {
    struct lora *a = adapter(base, PEFT, 1);
    const struct lora *one[] = {a};
    static const struct {
        enum dtype to;
        double above, below;
    } cases[] = {{DT_F16, 1e-6, 1e-2}, {DT_BF16, 1e-4, 5e-2}};
    for (int i = 0; i < 2; i++) {
        struct merge_report r = must_merge(scratch("m"), base, one, 1, cases[i].to);
        struct merge_diff d = differ(base, one, 1, scratch("m"));
        assert_within(&d, cases[i].below);
        assert_true(merge_relative(&d) > cases[i].above);
        struct safetensors *s = tensors_in(scratch("m"));
        uint64_t bytes = 0;
        for (int k = 0; k < safetensors_count(s); k++) {
            assert_int_equal(safetensors_at(s, k)->type, cases[i].to);
            bytes += safetensors_at(s, k)->bytes;
        }
        assert_true(r.bytes == bytes && r.tensors == safetensors_count(s));
        safetensors_close(s);
    }
    lora_free(a);
}

static void a_nan_is_a_difference(void **state) {
    struct lora *a = adapter(base, PEFT, 1);
    const struct lora *one[] = {a};
    must_merge(scratch("m"), base, one, 1, DT_F32);
    char *path = io_join(scratch("m"), "model.safetensors");
    struct safetensors *s = tensors_in(scratch("m"));
    struct buf b = slurp(path);
    const float nan = NAN;
    size_t data = b.n - (size_t)safetensors_begin(s, safetensors_count(s));
    int norm = 0;
    while (strcmp(safetensors_at(s, norm)->name, "model.norm.weight")) norm++;
    memcpy(b.p + data + safetensors_begin(s, norm), &nan, 4);
    safetensors_close(s);
    struct err e = ERR_INIT;
    assert_int_equal(io_write_file(path, b.p, b.n, &e), 0);
    struct merge_diff d = differ(base, one, 1, scratch("m"));
    assert_true(isnan(d.max_abs) && isnan(merge_relative(&d)));
    buf_release(&b);
    free(path);
    lora_free(a);
}

/* ---- packed bases ---- */
static void unpacks(const char *kind, enum dtype type) {
    char dir[100];
    struct err e = ERR_INIT;
    const char *name;
    enum dtype packed;
    snprintf(dir, sizeof dir, "tests/data/quant/%s", kind);
    assert_int_equal(io_remove_tree(scratch("p"), &e), 0);
    assert_int_equal(io_mkdirs(scratch("p"), &e), 0);
    copy_file(dir, scratch("p"), "config.json");
    copy_file(dir, scratch("p"), "model.safetensors");
    copy_file(BASE, scratch("p"), "tokenizer.json");
    struct model *m = open_at(scratch("p"));
    assert_true(merge_packed(m, &name, &packed) && packed == type);
    assert_string_equal(name, "model.layers.0.self_attn.q_proj.weight");
    assert_int_equal(merge_type(m), DT_F32);
    struct lora *a = adapter(m, PEFT, 1);
    const struct lora *one[] = {a};
    must_merge(scratch("m"), m, one, 1, DT_F32);
    struct merge_diff d = differ(m, one, 1, scratch("m"));
    assert_within(&d, 1e-5);
    lora_free(a);
    model_close(m);
}

static void unpacks_nf4(void **state) { unpacks("nf4", DT_NF4); }
static void unpacks_fp4(void **state) { unpacks("fp4", DT_FP4); }
static void unpacks_int8(void **state) { unpacks("int8", DT_I8); }
static void unpacks_ternary(void **state) { unpacks("autobitlinear", DT_TERNARY); }

static void plain_is_not_packed(void **state) {
    const char *name;
    enum dtype type;
    assert_false(merge_packed(base, &name, &type));
}

/* ---- files ---- */
static void shards(void **state) {
    struct lora *a = adapter(base, PEFT, 1);
    const struct lora *one[] = {a};
    struct err e = ERR_INIT;
    struct merge_report r;
    must_merge(scratch("m"), base, one, 1, DT_F32);
    if (merge_to(scratch("s"), base, one, 1, DT_F32, 20000, 1, &r, &e) < 0) fail_msg("%s", e.msg);
    assert_true(r.files > 3 && r.files < r.tensors);
    assert_false(io_exists(scratch("s/model.safetensors")));
    char last[60];
    snprintf(last, sizeof last, "s/model-%05d-of-%05d.safetensors", r.files, r.files);
    assert_true(io_exists(scratch(last)));
    struct model *whole = open_at(scratch("m")), *parts = open_at(scratch("s"));
    assert_string_equal(model_hash(whole), model_hash(parts));
    model_close(whole);
    model_close(parts);
    lora_free(a);
}

static void same_bytes_on_any_threads(void **state) {
    struct lora *a = adapter(base, PEFT, 1);
    const struct lora *one[] = {a};
    struct err e = ERR_INIT;
    struct merge_report r;
    must_merge(scratch("m"), base, one, 1, DT_BF16);
    if (merge_to(scratch("t"), base, one, 1, DT_BF16, HF_SHARD, 3, &r, &e) < 0) fail_msg("%s", e.msg);
    struct buf x = slurp(scratch("m/model.safetensors")), y = slurp(scratch("t/model.safetensors"));
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.p, y.p, x.n);
    buf_release(&x);
    buf_release(&y);
    lora_free(a);
}

static void refuses_what_does_not_fit(void **state) {
    struct lora *a = adapter(base, PEFT, 1e9f);
    const struct lora *one[] = {a};
    struct err e = ERR_INIT;
    struct merge_report r;
    assert_int_equal(merge_to(scratch("m"), base, one, 1, DT_F16, HF_SHARD, 2, &r, &e), -1);
    assert_err(&e, RC_INPUT, "is not finite as f16");
    lora_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_b_a),        cmocka_unit_test(keeps_the_rest),  cmocka_unit_test(logits_agree),
        cmocka_unit_test(rounds_to_fewer_bits), cmocka_unit_test(a_nan_is_a_difference), cmocka_unit_test(unpacks_nf4),
        cmocka_unit_test(unpacks_fp4),     cmocka_unit_test(unpacks_int8),    cmocka_unit_test(unpacks_ternary),
        cmocka_unit_test(plain_is_not_packed), cmocka_unit_test(shards),      cmocka_unit_test(same_bytes_on_any_threads),
        cmocka_unit_test(refuses_what_does_not_fit)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

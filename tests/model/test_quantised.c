/* Directories that bitsandbytes and transformers saved (tests/oracle/quant_dirs.py): their linears stay packed, the logits are
   those of their dequantised weights, and what does not fit is refused by name. */
#include "tests/common/scratch.h"
#include "common/io/json.h"
#include "common/io/safetensors.h"
#include "common/model/llama.h"
#include <math.h>

#define BASE "tests/data/adapters/base/"
static const struct {
    const char *name;
    enum dtype type;
} dirs[] = {{"nf4", DT_NF4}, {"fp4", DT_FP4}, {"int8", DT_I8}, {"bitlinear", DT_TERNARY}, {"autobitlinear", DT_TERNARY}};
#define N_DIRS ((int)(sizeof dirs / sizeof *dirs))

static void copy_file(const char *from, const char *to) {
    struct buf b = slurp(from);
    scratch_file(to, b.p, b.n);
    buf_release(&b);
}

/* tests/data/quant/NAME as a whole model in the scratch folder m */
static void take_dir(const char *name) {
    char path[200];
    struct err e = ERR_INIT;
    assert_int_equal(io_mkdirs(scratch("m"), &e), 0);
    snprintf(path, sizeof path, "tests/data/quant/%s/config.json", name);
    copy_file(path, "m/config.json");
    snprintf(path, sizeof path, "tests/data/quant/%s/model.safetensors", name);
    copy_file(path, "m/model.safetensors");
    copy_file(BASE "tokenizer.json", "m/tokenizer.json");
}

static struct dev *device(const char *name) {
    struct dev *d;
    const char *why = "";
    if (dev_open(&d, name, 2, &why) != K_OK) fail_msg("%s: %s", name, why);
    return d;
}

static struct model *open_model(struct dev *d, enum base_dtype base) {
    struct err e = ERR_INIT;
    struct model *m = model_open(scratch("m"), d, base, &e);
    if (!m) fail_msg("%s", e.msg);
    return m;
}

/* ---- logits ---- */
static void check_logits(struct model *m, const struct json *root, const char *name, double bound) {
    int32_t ids[64], pos[64], seq[64] = {0}, sel[2] = {3, 0};
    int n = 0, V = m->cfg.V;
    for (const struct json *v = json_get(root, "ids")->first; v; v = v->next, n++) ids[n] = (int32_t)v->number, pos[n] = n;
    sel[1] = n - 1;
    struct packed b = {.R = n, .S = 1, .M = 2, .ids = ids, .pos = pos, .seq = seq, .cu = (const int32_t[]){0, n}, .sel = sel};
    struct err e = ERR_INIT;
    struct llama_pass *p = llama_pass_new(m, NULL, n, 1, false, 0, &e);
    float *logits = xcalloc(2 * (size_t)V, sizeof *logits);
    if (!p || llama_logits(p, NULL, 0, &b, logits, &e) < 0) fail_msg("%s", e.msg);
    double most = 0, worst = 0;
    int i = 0;
    for (const struct json *row = json_get(json_get(root, "logits"), name)->first; row; row = row->next)
        for (const struct json *v = row->first; v; v = v->next, i++) {
            most = fmax(most, fabs(v->number));
            double d = fabs(logits[i] - v->number);
            worst = !isfinite(d) ? INFINITY : fmax(worst, d);
        }
    assert_int_equal(i, 2 * V);
    if (!(worst <= bound * most)) fail_msg("%s: off by %.3g of the largest logit, allowed %.3g", name, worst / most, bound);
    free(logits);
    llama_pass_free(p);
}

static void logits_are_those_of_dequantised(void **state) {
    static const char *const devs[] = {"ref", "poison", "cpu"};
    struct err e = ERR_INIT;
    struct json_doc *doc = json_read_file("tests/data/quant/logits.json", &e);
    if (!doc) fail_msg("%s", e.msg);
    for (int i = 0; i < N_DIRS; i++) {
        take_dir(dirs[i].name);
        for (int k = 0; k < 3; k++)
            for (int base = BASE_KEEP; base <= (k ? BASE_KEEP : BASE_F32); base++) {
                struct dev *d = device(devs[k]);
                struct model *m = open_model(d, (enum base_dtype)base);
                for (int s = 0; s < N_SITES; s++) assert_int_equal(m->layers[1].w[s].type, base == BASE_F32 ? DT_F32 : dirs[i].type);
                check_logits(m, json_root(doc), dirs[i].name, 2e-5);
                model_close(m);
                d->close(d);
            }
    }
    json_doc_free(doc);
}

static void estimate_is_what_it_takes(void **state) {
    struct dev *d = device("cpu");
    for (int i = 0; i < N_DIRS; i++)
        for (int base = BASE_KEEP; base <= BASE_BF16; base++) {
            struct model_size size;
            struct err e = ERR_INIT;
            take_dir(dirs[i].name);
            struct model *m = open_model(d, (enum base_dtype)base);
            assert_int_equal(model_estimate(scratch("m"), (enum base_dtype)base, d, &size, &e), 0);
            assert_int_equal(size.bytes, m->weight_bytes);
            model_close(m);
        }
    d->close(d);
}

/* ---- what does not fit ---- */
enum change { DROP, CUT, SET, TEXT }; /* leave the tensor out; one value less; byte `at` = value; other bytes, as long as they are */

static const struct tensor *changed(const struct safetensors *s, struct tensor *t, int *n, const char *name, enum change how, size_t at, const char *bytes, char *room) {
    const struct tensor *hit = NULL;
    *n = 0;
    for (int i = 0; i < safetensors_count(s); i++) {
        t[*n] = *safetensors_at(s, i);
        struct tensor *x = &t[*n];
        if (strcmp(x->name, name)) {
            ++*n;
            continue;
        }
        hit = x;
        if (how == DROP) continue;
        memcpy(room, x->data, x->bytes);
        x->data = room;
        if (how == CUT) x->bytes -= dtype_block_bytes(x->type), x->shape[0]--;
        if (how == SET) memcpy(room + at, bytes, 4);
        if (how == TEXT) memcpy(room, bytes, strlen(bytes)), x->bytes = strlen(bytes), x->shape[0] = (int64_t)x->bytes;
        ++*n;
    }
    return hit;
}

static void refuses(void **state) {
#define Q "model.layers.0.self_attn.q_proj."
#define STATE Q "weight.quant_state.bitsandbytes__nf4"
    static const struct {
        const char *dir, *tensor;
        enum change how;
        size_t at;
        const char *bytes, *says;
    } bad[] = {
        {"nf4", Q "weight", DROP, 0, "", Q "weight: it is missing"},
        {"nf4", Q "weight", CUT, 0, "", Q "weight: 511 bytes, expected 512 for 32x32"},
        {"nf4", Q "weight.absmax", DROP, 0, "", "absmax beside it is missing"},
        {"nf4", Q "weight.absmax", CUT, 0, "", "absmax beside it has 15 values of type u8, expected 16 of u8"},
        {"nf4", Q "weight.quant_map", DROP, 0, "", "quant_map beside it is missing"},
        {"nf4", Q "weight.quant_map", SET, 8, "\0\0\0\x3f", "quant_map has 0.5 at 2, expected nf4's -0.525"},
        {"nf4", Q "weight.nested_absmax", DROP, 0, "", "nested_absmax beside it is missing"},
        {"nf4", Q "weight.nested_absmax", SET, 0, "\0\0\xc0\x7f", "nested_absmax beside it is nan at 0"},
        {"nf4", Q "weight.nested_quant_map", CUT, 0, "", "nested_quant_map beside it has 255 values"},
        {"nf4", STATE, DROP, 0, "", "expected one quant_state"},
        {"nf4", STATE, TEXT, 0, "{\"quant_type\": \"nf4\"", "quant_state: line 1"},
        {"nf4", STATE, TEXT, 0, "[]", "quant_state is no object"},
        {"nf4", STATE, TEXT, 0, "{\"quant_type\":\"fp4\"}", "another quant_type"},
        {"nf4", STATE, TEXT, 0, "{\"quant_type\":\"nf4\",\"shape\":[16,64],\"blocksize\":64}", "shape [16,64], expected [32, 32]"},
        {"nf4", STATE, TEXT, 0, "{\"quant_type\":\"nf4\",\"shape\":[32,32],\"blocksize\":48}", "no usable blocksize"},
        {"nf4", STATE, TEXT, 0, "{\"quant_type\":\"nf4\",\"shape\":[32,32],\"blocksize\":64}", "nested scales lie beside it, but"},
        {"nf4", STATE, TEXT, 0, "{\"quant_type\":\"nf4\",\"shape\":[32,32],\"blocksize\":64,\"nested_offset\":\"a\"}", "nested_offset \"a\""},
        {"nf4", STATE, TEXT, 0, "{\"quant_type\":\"nf4\",\"shape\":[32,32],\"blocksize\":64,\"nested_offset\":1e39,\"nested_blocksize\":256}", "nested_offset 1e39"},
        {"nf4", STATE, TEXT, 0, "{\"quant_type\":\"nf4\",\"shape\":[32,32],\"blocksize\":64,\"nested_offset\":1,\"nested_blocksize\":0}", "no usable nested_blocksize"},
        {"fp4", Q "weight.absmax", SET, 4, "\0\0\x80\x7f", "absmax beside it is inf at 1"},
        {"int8", Q "SCB", DROP, 0, "", "SCB beside it is missing"},
        {"int8", Q "SCB", CUT, 0, "", "SCB beside it has 31 values"},
        {"int8", Q "SCB", SET, 0, "\0\0\xc0\x7f", "SCB beside it is nan at 0"},
        {"int8", Q "weight", CUT, 0, "", Q "weight"},
        {"bitlinear", Q "weight_scale", DROP, 0, "", "weight_scale beside it is missing"},
        {"bitlinear", Q "weight", SET, 100, "\x01\x30\x01\x01", "byte 101 is 0x30"},
    };
    char room[4096];
    struct tensor t[200];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = ERR_INIT;
        int n;
        take_dir(bad[i].dir);
        char path[200];
        snprintf(path, sizeof path, "tests/data/quant/%s/model.safetensors", bad[i].dir);
        struct safetensors *s = safetensors_open(path, &e);
        assert_non_null(s);
        assert_non_null(changed(s, t, &n, bad[i].tensor, bad[i].how, bad[i].at, bad[i].bytes, room));
        if (!strcmp(bad[i].tensor, Q "weight") && bad[i].how == CUT && !strcmp(bad[i].dir, "int8"))
            for (int k = 0; k < n; k++)
                if (!strcmp(t[k].name, Q "weight")) t[k].bytes = 31 * 32;
        if (safetensors_write(scratch("m/model.safetensors"), t, n, NULL, &e) < 0) fail_msg("%s: %s", bad[i].says, e.msg);
        struct dev *d = device("cpu");
        struct model *m = model_open(scratch("m"), d, BASE_KEEP, &e);
        if (m) fail_msg("opened, expected: %s", bad[i].says);
        assert_err(&e, RC_INPUT, bad[i].says);
        d->close(d);
        safetensors_close(s);
    }
}

/* Packed tensors under a configuration that does not speak of them, and a tensor that nothing asks for */
static void refuses_strangers(void **state) {
    struct err e = ERR_INIT;
    struct dev *d = device("cpu");
    take_dir("nf4");
    copy_file(BASE "config.json", "m/config.json");
    assert_null(model_open(scratch("m"), d, BASE_KEEP, &e));
    assert_err(&e, RC_INPUT, "has shape 512x1, expected 32x32");
    take_dir("int8");
    copy_file("tests/data/quant/nf4/config.json", "m/config.json");
    assert_null(model_open(scratch("m"), d, BASE_KEEP, &e));
    assert_err(&e, RC_INPUT, "expected one quant_state");
    take_dir("nf4");
    copy_file("tests/data/quant/int8/config.json", "m/config.json");
    assert_null(model_open(scratch("m"), d, BASE_KEEP, &e));
    assert_err(&e, RC_INPUT, "type u8 is not what quantization_config promises");
    d->close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(logits_are_those_of_dequantised), cmocka_unit_test(estimate_is_what_it_takes), cmocka_unit_test(refuses), cmocka_unit_test(refuses_strangers)};
    return cmocka_run_group_tests_name("quantised", tests, NULL, NULL);
}

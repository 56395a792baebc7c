/* Models from GGUF files and Hugging Face directories, against values decoded by the gguf package and saved by
   transformers (tests/oracle/files.py). Every check runs on the cpu and the poison device. */
#include "tests/common/scratch.h"
#include "common/io/json.h"
#include "common/io/safetensors.h"
#include "common/io/sha256.h"
#include "common/model/model.h"

#define DIR_BASE "tests/data/adapters/base"
static const char *const devices[] = {"cpu", "poison"};

static struct dev *device(const char *name) {
    const char *why;
    struct dev *d;
    if (dev_open(&d, name, 1, &why) != K_OK) fail_msg("%s: %s", name, why);
    return d;
}

static struct model *open_model(const char *path, struct dev *d, enum base_dtype base) {
    struct err e = ERR_INIT;
    struct model *m = model_open(path, d, base, &e);
    if (!m) fail_msg("%s", e.msg);
    return m;
}

static struct json_doc *golden(const char *path) {
    struct err e = ERR_INIT;
    struct json_doc *doc = json_read_file(path, &e);
    if (!doc) fail_msg("%s", e.msg);
    return doc;
}

/* Values of a weight, decoded to f32; free. */
static float *values_of(struct dev *d, const struct weight *w) {
    size_t bytes = dtype_bytes(w->type, w->rows * w->cols);
    void *raw = malloc(bytes);
    float *x = malloc((size_t)(w->rows * w->cols) * 4);
    assert_int_equal(d->download(d->ctx, raw, w->data, bytes), K_OK);
    dtype_to_f32(x, w->type, raw, w->rows * w->cols);
    free(raw);
    return x;
}

/* The weight by Hugging Face's name; a norm as a matrix of one row. */
static struct weight by_name(const struct model *m, const char *name) {
    const struct weight none = {0};
    char want[100];
    if (!strcmp(name, "model.embed_tokens.weight")) return m->embed;
    if (!strcmp(name, "model.norm.weight")) return weight_plain(DT_F32, 1, m->cfg.C, m->norm);
    for (int l = 0; l < m->cfg.L; l++) {
        for (int s = 0; s < N_SITES; s++) {
            snprintf(want, sizeof want, "model.layers.%d.%s.weight", l, site_paths[s]);
            if (!strcmp(name, want)) return m->layers[l].w[s];
        }
        snprintf(want, sizeof want, "model.layers.%d.input_layernorm.weight", l);
        if (!strcmp(name, want)) return weight_plain(DT_F32, 1, m->cfg.C, m->layers[l].attn_norm);
        snprintf(want, sizeof want, "model.layers.%d.post_attention_layernorm.weight", l);
        if (!strcmp(name, want)) return weight_plain(DT_F32, 1, m->cfg.C, m->layers[l].mlp_norm);
    }
    fail_msg("no weight %s", name);
    return none;
}

/* Every tensor of the model has the SHA-256 of the golden object. */
static void assert_tensors(const struct model *m, const struct json *want) {
    assert_int_equal(want->count, 2 + m->cfg.L * (N_SITES + 2));
    for (const struct json *v = want->first; v; v = v->next) {
        struct weight w = by_name(m, v->key);
        char hex[SHA256_HEX];
        float *x = values_of(m->d, &w);
        sha256_hex(x, (size_t)(w.rows * w.cols) * 4, hex);
        free(x);
        if (strcmp(hex, v->str)) fail_msg("%s on %s: SHA-256 %s, expected %s", v->key, m->d->name, hex, v->str);
    }
}

static void tiny_gguf_decodes_exactly(void **state) {
    static const char *const files[] = {"good-mixed.gguf", "good-llama3.gguf"};
    struct json_doc *doc = golden("tests/data/gguf/tiny.json");
    for (int f = 0; f < 2; f++)
        for (int k = 0; k < 4; k++) {
            char path[100];
            struct dev *d = device(devices[k % 2]);
            enum base_dtype base = k < 2 ? BASE_KEEP : f ? BASE_BF16 : BASE_F32;
            snprintf(path, sizeof path, "tests/data/gguf/%s", files[f]);
            struct model *m = open_model(path, d, base);
            assert_tensors(m, json_get(json_root(doc), files[f]));
            assert_true(m->cfg.tied && m->head.data == m->embed.data);
            model_close(m);
            d->close(d);
        }
    json_doc_free(doc);
}

static void mixed_gguf_keeps_its_types(void **state) {
    static const enum dtype layer0[] = {DT_Q8_0, DT_Q4_0, DT_Q4_1, DT_F16, DT_BF16, DT_F32, DT_Q8_0};
    struct dev *d = device("cpu");
    struct model *m = open_model("tests/data/gguf/good-mixed.gguf", d, BASE_KEEP);
    for (int s = 0; s < N_SITES; s++) assert_int_equal(m->layers[0].w[s].type, layer0[s]);
    model_close(m);
    m = open_model("tests/data/gguf/good-mixed.gguf", d, BASE_BF16);
    for (int s = 0; s < N_SITES; s++) assert_int_equal(m->layers[1].w[s].type, DT_BF16);
    assert_int_equal(m->embed.type, DT_Q8_0);
    model_close(m);
    d->close(d);
}

/* bf16 of a packed tensor is its f32 value rounded. */
static void conversion_rounds(void **state) {
    struct dev *d = device("cpu");
    struct model *full = open_model("tests/data/gguf/good-mixed.gguf", d, BASE_F32), *half = open_model("tests/data/gguf/good-mixed.gguf", d, BASE_BF16);
    for (int s = 0; s < N_SITES; s++) {
        struct weight *w = &full->layers[1].w[s];
        float *a = values_of(d, w), *b = values_of(d, &half->layers[1].w[s]);
        for (int64_t i = 0; i < w->rows * w->cols; i++) assert_true(bf16_to_f32(f32_to_bf16(a[i])) == b[i]);
        free(a);
        free(b);
    }
    model_close(full);
    model_close(half);
    d->close(d);
}

static void estimate_is_what_it_takes(void **state) {
    static const char *const paths[] = {"tests/data/gguf/good-mixed.gguf", DIR_BASE};
    struct dev *d = device("cpu");
    for (int p = 0; p < 2; p++)
        for (int base = 0; base < 3; base++) {
            struct err e = ERR_INIT;
            struct model_size size;
            struct model *m = open_model(paths[p], d, (enum base_dtype)base);
            if (model_estimate(paths[p], (enum base_dtype)base, d, &size, &e) < 0) fail_msg("%s", e.msg);
            assert_int_equal(size.bytes, m->weight_bytes);
            assert_int_equal(size.cfg.L, m->cfg.L);
            model_close(m);
        }
    d->close(d);
}

/* The directory holds the same bf16 weights as good-llama3.gguf. */
static void directory_equals_gguf(void **state) {
    struct json_doc *doc = golden("tests/data/gguf/tiny.json");
    for (int k = 0; k < 2; k++) {
        struct dev *d = device(devices[k]);
        struct model *m = open_model(DIR_BASE, d, BASE_KEEP), *g = open_model("tests/data/gguf/good-llama3.gguf", d, BASE_KEEP);
        float a[4], b[4];
        assert_tensors(m, json_get(json_root(doc), "good-llama3.gguf"));
        assert_int_equal(d->download(d->ctx, a, m->inv_freq, sizeof a), K_OK);
        assert_int_equal(d->download(d->ctx, b, g->inv_freq, sizeof b), K_OK);
        assert_memory_equal(a, b, sizeof a);
        assert_true(m->cfg.n_eos == 2 && m->cfg.eos[0] == 2 && m->cfg.eos[1] == 0 && m->cfg.bos == 1);
        assert_int_equal(tokenizer_id(m->tok, "<|im_end|>"), 2);
        model_close(m);
        model_close(g);
        d->close(d);
    }
    json_doc_free(doc);
}

/* ---- directories made here from the good one ---- */
struct dir { /* its tensors, and a scratch folder with its config and tokenizer */
    struct safetensors *file;
    struct tensor t[32];
    int n;
};

static void copy_to(const char *name, const char *to) {
    char from[200];
    snprintf(from, sizeof from, DIR_BASE "/%s", name);
    struct buf b = slurp(from);
    scratch_file(to, b.p, b.n);
    buf_release(&b);
}

static struct dir dir_start(void) {
    struct dir x = {0};
    struct err e = ERR_INIT;
    assert_int_equal(io_remove_tree(scratch("m"), &e), 0);
    assert_int_equal(io_mkdirs(scratch("m"), &e), 0);
    copy_to("config.json", "m/config.json");
    copy_to("tokenizer.json", "m/tokenizer.json");
    x.file = safetensors_open(DIR_BASE "/model.safetensors", &e);
    assert_non_null(x.file);
    for (x.n = 0; x.n < safetensors_count(x.file); x.n++) x.t[x.n] = *safetensors_at(x.file, x.n);
    return x;
}

static struct tensor *dir_tensor(struct dir *x, const char *name) {
    for (int i = 0; i < x->n; i++)
        if (!strcmp(x->t[i].name, name)) return &x->t[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static void dir_write(const struct dir *x, const char *name, int from, int to) {
    struct err e = ERR_INIT;
    char path[300];
    snprintf(path, sizeof path, "m/%s", name);
    if (safetensors_write(scratch(path), x->t + from, to - from, NULL, &e) < 0) fail_msg("%s", e.msg);
}

static void opens_as_base(void) {
    struct dev *d = device("cpu");
    struct json_doc *doc = golden("tests/data/gguf/tiny.json");
    struct model *m = open_model(scratch("m"), d, BASE_KEEP), *base = open_model(DIR_BASE, d, BASE_KEEP);
    assert_tensors(m, json_get(json_root(doc), "good-llama3.gguf"));
    assert_string_equal(model_hash(m), model_hash(base));
    model_close(m);
    model_close(base);
    json_doc_free(doc);
    d->close(d);
}

static void refuses(int code, const char *says) {
    struct err e = ERR_INIT;
    struct dev *d = device("cpu");
    struct model *m = model_open(scratch("m"), d, BASE_KEEP, &e);
    if (m) fail_msg("opened, expected %s", says);
    assert_err(&e, code, says);
    d->close(d);
}

static void write_index(const struct dir *x, int cut, const char *first, const char *extra) {
    struct buf b = BUF_INIT;
    buf_adds(&b, "{\"weight_map\":{");
    for (int i = 0; i < x->n; i++) buf_addf(&b, "%s\"%s\":\"%s\"", i ? "," : "", x->t[i].name, i < cut ? first : "b.safetensors");
    buf_addf(&b, "%s}}", extra);
    scratch_file("m/model.safetensors.index.json", b.p, b.n);
    buf_release(&b);
}

static void reads_shards(void **state) {
    struct dir x = dir_start();
    dir_write(&x, "a.safetensors", 0, 9);
    dir_write(&x, "b.safetensors", 9, x.n);
    write_index(&x, 9, "a.safetensors", "");
    opens_as_base();
    write_index(&x, 10, "a.safetensors", "");
    refuses(RC_INPUT, "is not in a.safetensors");
    write_index(&x, 9, "../m/a.safetensors", "");
    refuses(RC_INPUT, "expected the name of a file beside the index");
    write_index(&x, 9, "c.safetensors", "");
    refuses(RC_IO, "cannot open");
    write_index(&x, 9, "a.safetensors", ",\"x\":\"a.safetensors\"");
    refuses(RC_INPUT, "tensor x is not in a.safetensors");
    dir_write(&x, "a.safetensors", 0, 10);
    write_index(&x, 9, "a.safetensors", "");
    refuses(RC_INPUT, "the shards hold 21 tensors, the index names 20");
    safetensors_close(x.file);
}

/* Data that starts at an odd byte: allowed by the format, and loaded by copy. */
static void reads_misaligned_data(void **state) {
    struct dir x = dir_start();
    dir_write(&x, "model.safetensors", 0, x.n);
    struct buf b = slurp(scratch("m/model.safetensors"));
    size_t len = (unsigned char)b.p[0] | (size_t)(unsigned char)b.p[1] << 8;
    struct buf odd = BUF_INIT;
    buf_add(&odd, b.p, 8 + len);
    odd.p[0]++; /* one more space in the header; its length is a multiple of 8, so nothing carries */
    buf_addc(&odd, ' ');
    buf_add(&odd, b.p + 8 + len, b.n - 8 - len);
    scratch_file("m/model.safetensors", odd.p, odd.n);
    opens_as_base();
    buf_release(&b);
    buf_release(&odd);
    safetensors_close(x.file);
}

static void refuses_bad_directories(void **state) {
    struct dir x = dir_start();
    refuses(RC_INPUT, "neither model.safetensors nor model.safetensors.index.json is there");
    struct tensor *k = dir_tensor(&x, "model.layers.1.self_attn.k_proj.weight"), good = *k;
    k->shape[0] = 32;
    k->shape[1] = 16;
    dir_write(&x, "model.safetensors", 0, x.n);
    refuses(RC_INPUT, "tensor model.layers.1.self_attn.k_proj.weight has shape 32x16, expected 16x32");
    *k = good;
    k->type = DT_I16;
    dir_write(&x, "model.safetensors", 0, x.n);
    refuses(RC_INPUT, "k_proj.weight has type i16, expected f32, f16, bf16");
    *k = good;
    k->name = "model.layers.1.self_attn.k_proj.bias";
    dir_write(&x, "model.safetensors", 0, x.n);
    refuses(RC_INPUT, "tensor model.layers.1.self_attn.k_proj.weight is missing");
    *k = good;
    x.t[x.n] = (struct tensor){"model.layers.2.mlp.up_proj.weight", DT_BF16, 2, {1, 1}, "ab", 2};
    dir_write(&x, "model.safetensors", 0, x.n + 1);
    refuses(RC_INPUT, "tensor model.layers.2.mlp.up_proj.weight is not part of a Llama model of 2 layers");
    x.t[x.n] = *dir_tensor(&x, "model.embed_tokens.weight");
    x.t[x.n].name = "lm_head.weight";
    dir_write(&x, "model.safetensors", 0, x.n + 1); /* a tied head may be stored, … */
    struct dev *d = device("cpu");
    struct model *m = open_model(scratch("m"), d, BASE_KEEP);
    assert_ptr_equal(m->head.data, m->embed.data);
    model_close(m);
    d->close(d);
    char *other = xmemdup0(x.t[x.n].data, x.t[x.n].bytes);
    other[5] ^= 1;
    x.t[x.n].data = other;
    dir_write(&x, "model.safetensors", 0, x.n + 1); /* … if it is the embedding */
    refuses(RC_INPUT, "tensor lm_head.weight differs from the embedding");
    free(other);
    dir_write(&x, "model.safetensors", 0, x.n);
    assert_int_equal(remove(scratch("m/tokenizer.json")), 0);
    refuses(RC_IO, "tokenizer.json");
    safetensors_close(x.file);
}

/* A head of its own, and f32 norms, are read where the config says so. */
static void reads_untied_head(void **state) {
    struct dir x = dir_start();
    struct buf b = slurp(DIR_BASE "/config.json");
    char *tie = strstr(b.p, "\"tie_word_embeddings\": true");
    assert_non_null(tie);
    memcpy(tie, "\"tie_word_embeddings\":false", 27);
    scratch_file("m/config.json", b.p, b.n);
    dir_write(&x, "model.safetensors", 0, x.n);
    refuses(RC_INPUT, "tensor lm_head.weight is missing");
    x.t[x.n] = *dir_tensor(&x, "model.embed_tokens.weight");
    x.t[x.n].name = "lm_head.weight";
    dir_write(&x, "model.safetensors", 0, x.n + 1);
    struct dev *d = device("poison");
    struct model *m = open_model(scratch("m"), d, BASE_F32);
    assert_ptr_not_equal(m->head.data, m->embed.data);
    assert_true(m->head.type == DT_BF16 && m->layers[0].w[SITE_Q].type == DT_F32);
    model_close(m);
    d->close(d);
    buf_release(&b);
    safetensors_close(x.file);
}

/* ---- the real model ---- */
static void real_model_decodes_exactly(void **state) {
    char path[400];
    snprintf(path, sizeof path, "%s/SmolLM2-135M-Instruct.Q4_1.gguf", getenv("FETCHED") ? getenv("FETCHED") : ".fetched");
    if (!io_exists(path)) {
        print_message("# no %s: run make model\n", path);
        skip();
    }
    static const char *const sites[] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
    struct json_doc *doc = golden("tests/data/gguf/smollm2.json");
    struct dev *d = device("cpu");
    struct model *m = open_model(path, d, BASE_KEEP);
    int seen = 0;
    assert_string_equal(model_hash(m), json_get(json_root(doc), "file_sha256")->str);
    for (const struct json *v = json_get(json_root(doc), "tensors")->first; v; v = v->next, seen++) {
        struct weight w = weight_plain(DT_F32, 1, m->cfg.C, m->norm);
        char site[40], hex[SHA256_HEX], first[9];
        int l;
        if (!strcmp(v->key, "token_embd.weight")) w = m->embed;
        if (sscanf(v->key, "blk.%d.%39[a-z_].weight", &l, site) == 2) {
            w.data = m->layers[l].mlp_norm; /* the one norm of a layer in the list */
            for (int s = 0; s < N_SITES; s++)
                if (!strcmp(site, sites[s])) w = m->layers[l].w[s];
        }
        float *x = values_of(d, &w);
        int i = 0;
        for (const struct json *f = json_get(v, "first")->first; f; f = f->next, i++) {
            uint32_t bits;
            memcpy(&bits, &x[i], 4);
            snprintf(first, sizeof first, "%08x", bits);
            if (strcmp(first, f->str)) fail_msg("%s value %d: %s, expected %s", v->key, i, first, f->str);
        }
        sha256_hex(x, (size_t)(w.rows * w.cols) * 4, hex);
        assert_string_equal(hex, json_get(v, "sha256")->str);
        free(x);
    }
    assert_int_equal(seen, 12);
    model_close(m);
    d->close(d);
    json_doc_free(doc);
}

static void device_errors_have_codes(void **state) {
    struct dev *d = device("cpu");
    struct err e = ERR_INIT;
    assert_int_equal(dev_err(d, K_OK, &e, "x", 1), 0);
    assert_int_equal(e.code, 0);
    assert_int_equal(dev_err(d, K_NOMEM, &e, "the cache", 77), -1);
    assert_err(&e, RC_IO, "out of device memory (cpu): the cache needs 77 bytes, ");
    assert_int_equal(dev_err(d, K_NOMEM, &e, "the pass", 0), -1);
    assert_err(&e, RC_IO, "out of device memory (cpu) at the pass: no error, ");
    assert_int_equal(dev_err(d, K_DEVICE, &e, "x", 1), -1);
    assert_err(&e, RC_DEVICE, "device cpu failed at x");
    assert_int_equal(dev_err(d, K_UNSUPPORTED, &e, "x", 1), -1);
    assert_err(&e, RC_DEVICE, "device cpu does not support x");
    d->close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_gguf_decodes_exactly), cmocka_unit_test(mixed_gguf_keeps_its_types), cmocka_unit_test(conversion_rounds),
        cmocka_unit_test(estimate_is_what_it_takes), cmocka_unit_test(directory_equals_gguf), cmocka_unit_test(reads_shards),
        cmocka_unit_test(reads_misaligned_data), cmocka_unit_test(refuses_bad_directories), cmocka_unit_test(reads_untied_head),
        cmocka_unit_test(real_model_decodes_exactly), cmocka_unit_test(device_errors_have_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Hugging Face directories written here: config.json says the same shape when read back, the tokenizer has the same identity,
   and weights that came in one order lie aligned in their files, sharded or not. */
#include "tests/common/scratch.h"
#include "common/io/json.h"
#include "common/io/sha256.h"
#include "common/model/hfdir.h"
#include "common/model/llama.h"
#include "common/model/weights.h"
#include "tests/model/tiny.h"
#include <math.h>

#define TINY "tests/data/gguf/good-llama3.gguf"
#define DIR_BASE "tests/data/adapters/base"

static struct weights *open_weights(const char *path) {
    struct err e = ERR_INIT;
    struct weights *w = weights_open(path, &e);
    if (!w) fail_msg("%s", e.msg);
    return w;
}

/* The files of w in the scratch folder `name`; its path, to be freed. */
static char *write_files(const struct weights *w, const char *name, const char *quantization) {
    struct err e = ERR_INIT;
    struct hf_files x;
    char *dir = xstrdup(scratch(name));
    if (io_mkdirs(dir, &e) < 0 || hf_files_make(&x, w, DT_BF16, quantization, &e) < 0 || hf_files_write(&x, dir, &e) < 0) fail_msg("%s", e.msg);
    assert_string_equal(x.f[0].name, "config.json");
    hf_files_release(&x);
    return dir;
}

static void assert_same_shape(const struct model_config *a, const struct model_config *b) {
    assert_int_equal(a->C, b->C);
    assert_int_equal(a->F, b->F);
    assert_int_equal(a->V, b->V);
    assert_int_equal(a->L, b->L);
    assert_int_equal(a->H, b->H);
    assert_int_equal(a->G, b->G);
    assert_int_equal(a->D, b->D);
    assert_int_equal(a->context, b->context);
    assert_true(a->norm_eps == b->norm_eps && a->rope_theta == b->rope_theta && a->rope == b->rope && a->tied == b->tied);
    assert_true(a->rope_factor == b->rope_factor && a->rope_low_freq == b->rope_low_freq && a->rope_high_freq == b->rope_high_freq);
    assert_int_equal(a->rope_original_max, b->rope_original_max);
    assert_int_equal(a->bos, b->bos);
    assert_int_equal(a->n_eos, b->n_eos);
    for (int i = 0; i < a->n_eos; i++) assert_int_equal(a->eos[i], b->eos[i]);
}

/* Shape and tokenizer of the directory are those of the GGUF file. */
static void check_round_trip(const char *gguf, const char *name) {
    struct err e = ERR_INIT;
    struct model_config c;
    struct weights *w = open_weights(gguf);
    char *dir = write_files(w, name, NULL), *config = io_join(dir, "config.json"), *json = io_join(dir, "tokenizer.json");
    if (config_from_json(&c, config, &e) < 0) fail_msg("%s", e.msg);
    assert_same_shape(&c, &w->cfg);
    struct tokenizer *a = tokenizer_from_gguf(w->gguf, &e), *b = tokenizer_from_json(json, &e);
    if (!a || !b) fail_msg("%s", e.msg);
    assert_string_equal(tokenizer_hash(a), tokenizer_hash(b));
    assert_int_equal(tokenizer_bos(a), tokenizer_bos(b));
    assert_true(!tokenizer_chat_template(a) == !tokenizer_chat_template(b));
    if (tokenizer_chat_template(a)) assert_string_equal(tokenizer_chat_template(a), tokenizer_chat_template(b));
    tokenizer_free(a);
    tokenizer_free(b);
    weights_close(w);
    free(config);
    free(json);
    free(dir);
}

static void gguf_round_trip(void **state) {
    check_round_trip(TINY, "tiny");
    check_round_trip("tests/data/gguf/good-mixed.gguf", "mixed");
}

/* tests/oracle/hfdir.py found these bytes to give Hugging Face's tokenizers our ids on all strings of tests/data/tokenizer. */
static void smollm2_tokenizer_is_the_one_that_was_checked(void **state) {
    char path[1000], hex[SHA256_HEX];
    snprintf(path, sizeof path, "%s/SmolLM2-135M-Instruct.Q4_1.gguf", getenv("FETCHED") ? getenv("FETCHED") : ".fetched");
    if (!io_exists(path)) {
        print_message("no %s: run make model\n", path);
        skip();
    }
    check_round_trip(path, "smollm2");
    struct buf json = slurp(scratch("smollm2/tokenizer.json")), want = slurp("tests/data/hfdir/smollm2.sha256");
    sha256_hex(json.p, json.n, hex);
    assert_int_equal(want.n, 65);
    if (strncmp(hex, want.p, 64)) fail_msg("tokenizer.json has SHA-256 %s, checked was %s", hex, want.p);
    buf_release(&json);
    buf_release(&want);
}

/* ---- from a directory ---- */
static void assert_same_file(const char *a, const char *b) {
    struct buf x = slurp(a), y = slurp(b);
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.p, y.p, x.n);
    buf_release(&x);
    buf_release(&y);
}

static void directory_is_copied(void **state) {
    struct err e = ERR_INIT;
    struct weights *w = open_weights(DIR_BASE);
    char *dir = write_files(w, "copy", "{\"quant_method\": \"x\"}"), *config = io_join(dir, "config.json");
    assert_same_file(DIR_BASE "/tokenizer.json", scratch("copy/tokenizer.json"));
    assert_same_file(DIR_BASE "/generation_config.json", scratch("copy/generation_config.json"));
    struct json_doc *from = json_read_file(DIR_BASE "/config.json", &e), *to = json_read_file(config, &e);
    if (!from || !to) fail_msg("%s", e.msg);
    for (const struct json *v = json_root(from)->first; v; v = v->next)
        if (strcmp(v->key, "dtype") && strcmp(v->key, "torch_dtype")) assert_true(json_equal(v, json_get(json_root(to), v->key)));
    assert_true(json_is_str(json_get(json_root(to), "dtype"), "bfloat16"));
    assert_true(json_is_str(json_get(json_get(json_root(to), "quantization_config"), "quant_method"), "x"));
    json_doc_free(from);
    json_doc_free(to);
    weights_close(w);
    free(config);
    free(dir);
}

/* ---- weights ---- */
/* One byte, three bytes and one: without sorting, what is wider would lie at odd places. */
static const struct tensor mixed[] = {
    {.name = "a.state", .type = DT_U8, .dims = 1, .shape = {3}, .bytes = 3},
    {.name = "a", .type = DT_F32, .dims = 2, .shape = {3, 5}, .bytes = 60},
    {.name = "empty", .type = DT_F16, .dims = 2, .shape = {0, 5}, .bytes = 0},
    {.name = "scalar", .type = DT_U8, .dims = 0, .bytes = 1},
    {.name = "b", .type = DT_BF16, .dims = 1, .shape = {7}, .bytes = 14},
    {.name = "c", .type = DT_I64, .dims = 1, .shape = {2}, .bytes = 16},
};
#define N_MIXED ((int)(sizeof mixed / sizeof *mixed))

static unsigned char byte_at(size_t i) { return (unsigned char)(i * 7 + i / 251); }

static void push_all(struct hf_weights *h, size_t piece) {
    struct err e = ERR_INIT;
    unsigned char p[94];
    for (size_t i = 0; i < sizeof p; i++) p[i] = byte_at(i);
    for (size_t at = 0; at < sizeof p; at += piece)
        if (hf_weights_push(h, p + at, sizeof p - at < piece ? sizeof p - at : piece, &e) < 0) fail_msg("%s", e.msg);
    if (hf_weights_finish(h, &e) < 0) fail_msg("%s", e.msg);
}

static void check_tensor(const char *file, int i) {
    struct err e = ERR_INIT;
    struct safetensors *s = safetensors_open(file, &e);
    if (!s) fail_msg("%s", e.msg);
    const struct tensor *t = safetensors_get(s, mixed[i].name);
    if (!t) fail_msg("%s is not in %s", mixed[i].name, file);
    size_t first = 0;
    for (int k = 0; k < i; k++) first += mixed[k].bytes;
    assert_int_equal(t->type, mixed[i].type);
    assert_int_equal(t->dims, mixed[i].dims);
    assert_int_equal(t->bytes, mixed[i].bytes);
    assert_string_equal(safetensors_meta(s, "format"), "pt");
    for (size_t k = 0; k < t->bytes; k++) assert_int_equal(((const unsigned char *)t->data)[k], byte_at(first + k));
    assert_int_equal((uintptr_t)t->data % dtype_block_bytes(t->type), 0);
    safetensors_close(s);
}

static void weights_come_in_any_pieces(void **state) {
    struct err e = ERR_INIT;
    for (size_t piece = 1; piece <= 94; piece += 31) {
        assert_int_equal(io_mkdirs(scratch("whole"), &e), 0);
        struct hf_weights *h = hf_weights_create(scratch("whole"), mixed, N_MIXED, 94, &e);
        if (!h) fail_msg("%s", e.msg);
        assert_int_equal(hf_weights_files(h), 1);
        push_all(h, piece);
        assert_false(io_exists(scratch("whole/model.safetensors.index.json")));
        for (int i = 0; i < N_MIXED; i++) check_tensor(scratch("whole/model.safetensors"), i);
    }
}

static void shards_have_an_index(void **state) {
    static const int file[] = {1, 1, 1, 2, 2, 2}; /* of 63 bytes at most: 3 + 60 + 0, 1 + 14 + 16 */
    static const int tight[] = {1, 2, 3, 3, 3, 4}; /* of 15: what is larger lies alone */
    struct err e = ERR_INIT;
    char name[60];
    for (int k = 0; k < 2; k++) {
        const int *want = k ? tight : file;
        assert_int_equal(io_remove_tree(scratch("shards"), &e), 0);
        assert_int_equal(io_mkdirs(scratch("shards"), &e), 0);
        struct hf_weights *h = hf_weights_create(scratch("shards"), mixed, N_MIXED, k ? 15 : 63, &e);
        if (!h) fail_msg("%s", e.msg);
        int files = hf_weights_files(h);
        push_all(h, 5);
        struct json_doc *doc = json_read_file(scratch("shards/model.safetensors.index.json"), &e);
        if (!doc) fail_msg("%s", e.msg);
        const struct json *map = json_get(json_root(doc), "weight_map");
        assert_int_equal(map->count, N_MIXED);
        assert_true(json_get(json_get(json_root(doc), "metadata"), "total_size")->number == 94);
        for (int i = 0; i < N_MIXED; i++) {
            snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", want[i], files);
            if (!json_is_str(json_get(map, mixed[i].name), name)) fail_msg("%s lies in %s, expected %s", mixed[i].name, json_get(map, mixed[i].name)->raw, name);
            char path[100];
            snprintf(path, sizeof path, "shards/%s", name);
            check_tensor(scratch(path), i);
        }
        json_doc_free(doc);
    }
}

static void block_types_are_refused(void **state) {
    static const struct tensor q = {.name = "q", .type = DT_Q4_1, .dims = 2, .shape = {1, 32}, .bytes = 20};
    struct err e = ERR_INIT;
    assert_int_equal(io_mkdirs(scratch("blocks"), &e), 0);
    assert_null(hf_weights_create(scratch("blocks"), &q, 1, HF_SHARD, &e));
    assert_err(&e, RC_INPUT, "q4_1");
}

/* ---- llama3 RoPE, through a directory in two shards ---- */
/* The tensors that the golden file lists, their values by its formula (tests/oracle/hfdir.py). */
static int list_tensors(const struct json *list, struct tensor *t) {
    int n = 0;
    for (const struct json *v = list->first; v; v = v->next, n++) {
        const struct json *dims = v->first->next;
        t[n] = (struct tensor){.name = v->first->str, .type = DT_F32, .dims = (int)dims->count, .bytes = 4};
        int k = 0;
        for (const struct json *d = dims->first; d; d = d->next) {
            t[n].shape[k++] = (int64_t)d->number;
            t[n].bytes *= (size_t)d->number;
        }
    }
    return n;
}

static void push_random(struct hf_weights *h, const struct tensor *t, int n) {
    struct err e = ERR_INIT;
    for (int i = 0; i < n; i++) {
        size_t count = t[i].bytes / 4;
        float *x = xcalloc(count, sizeof *x);
        for (size_t k = 0; k < count; k++) x[k] = (t[i].dims == 1 ? 1.0f : 0.0f) + 0.375f * tiny_rand((uint64_t)i, k);
        if (hf_weights_push(h, x, t[i].bytes, &e) < 0) fail_msg("%s", e.msg);
        free(x);
    }
    if (hf_weights_finish(h, &e) < 0) fail_msg("%s", e.msg);
}

static struct model *random_model(const struct json *root, const char *config, size_t n_config, struct dev *d) {
    struct err e = ERR_INIT;
    struct tensor t[40];
    struct buf tok = slurp(DIR_BASE "/tokenizer.json");
    char *dir = xstrdup(scratch("rope"));
    if (io_mkdirs(dir, &e) < 0) fail_msg("%s", e.msg);
    scratch_file("rope/config.json", config, n_config);
    scratch_file("rope/tokenizer.json", tok.p, tok.n);
    int n = list_tensors(json_get(root, "tensors"), t);
    struct hf_weights *h = hf_weights_create(dir, t, n, 200000, &e);
    if (!h) fail_msg("%s", e.msg);
    assert_int_equal(hf_weights_files(h), 2);
    push_random(h, t, n);
    struct model *m = model_open(dir, d, BASE_KEEP, &e);
    if (!m) fail_msg("%s", e.msg);
    free(dir);
    buf_release(&tok);
    return m;
}

/* Largest difference at the first `rows` places of the golden file, in parts of a row's largest logit. */
static double worst_row(const struct model *m, const struct json *root, int rows) {
    int32_t sel[8], *ids, *pos, *seq;
    struct err e = ERR_INIT;
    int n = 0;
    for (const struct json *v = json_get(root, "places")->first; v && n < rows; v = v->next) sel[n++] = (int32_t)v->number;
    int R = sel[n - 1] + 1, every = (int)json_get(root, "every")->number;
    ids = xcalloc((size_t)R, sizeof *ids), pos = xcalloc((size_t)R, sizeof *pos), seq = xcalloc((size_t)R, sizeof *seq);
    for (int64_t i = 0; i < R; i++) ids[i] = (int32_t)((i * i * 31 + i * 17 + 5) % 260), pos[i] = (int32_t)i;
    struct packed b = {.R = R, .S = 1, .M = n, .ids = ids, .pos = pos, .seq = seq, .cu = (const int32_t[]){0, R}, .sel = sel};
    struct llama_pass *p = llama_pass_new(m, NULL, R, 1, false, 0, &e);
    float *logits = xcalloc((size_t)n * 260, sizeof *logits);
    if (!p || llama_logits(p, NULL, 0, &b, logits, &e) < 0) fail_msg("%s", e.msg);
    double worst = 0;
    const struct json *row = json_get(root, "logits")->first, *largest = json_get(root, "largest")->first;
    for (int i = 0; i < n; i++, row = row->next, largest = largest->next) {
        int k = 0;
        for (const struct json *v = row->first; v; v = v->next, k += every) {
            double d = fabs((double)logits[i * 260 + k] - v->number) / largest->number;
            worst = isfinite(d) ? fmax(worst, d) : INFINITY;
        }
        assert_int_equal(k, 260);
    }
    llama_pass_free(p);
    free(logits);
    free(ids), free(pos), free(seq);
    return worst;
}

static void llama3_rope_to_position_16000(void **state) {
    struct err e = ERR_INIT;
    struct json_doc *doc = json_read_file("tests/data/hfdir/rope.json", &e);
    if (!doc) fail_msg("%s", e.msg);
    const struct json *root = json_root(doc), *config = json_get(root, "config");
    struct dev *d = tiny_dev("cpu");
    struct model *m = random_model(root, config->raw, config->raw_len, d);
#ifdef __SANITIZE_ADDRESS__
    double worst = worst_row(m, root, 4); /* to 2,000: attention over 16,000 takes minutes here */
#else
    double worst = worst_row(m, root, 8);
#endif
    print_message("off by %.2g of the largest logit\n", worst);
    if (!(worst <= 1e-4)) fail_msg("off by %.3g of the largest logit, allowed 1e-4", worst);
    model_close(m);
    /* Another factor would be seen, already in the first 2,000 places. */
    char *other = xmemdup0(config->raw, config->raw_len), *factor = strstr(other, "\"factor\":32.0");
    assert_non_null(factor);
    memcpy(factor, "\"factor\":16.0", 13);
    m = random_model(root, other, config->raw_len, d);
    worst = worst_row(m, root, 4);
    if (!(worst > 1e-3)) fail_msg("a factor of 16 is off by %.3g only", worst);
    model_close(m);
    free(other);
    d->close(d);
    json_doc_free(doc);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_round_trip), cmocka_unit_test(smollm2_tokenizer_is_the_one_that_was_checked), cmocka_unit_test(directory_is_copied),
        cmocka_unit_test(weights_come_in_any_pieces), cmocka_unit_test(shards_have_an_index), cmocka_unit_test(block_types_are_refused),
        cmocka_unit_test(llama3_rope_to_position_16000),
    };
    return cmocka_run_group_tests_name("hfdir", tests, NULL, NULL);
}

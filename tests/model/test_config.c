/* Shapes from config.json and GGUF metadata; RoPE frequencies against transformers' own bits. */
#include "tests/common/scratch.h"
#include "common/io/json.h"
#include "common/model/config.h"

#define BASE \
    "\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":96,\"vocab_size\":300,\"num_hidden_layers\":3," \
    "\"num_attention_heads\":4"

/* Reads {BASE, extra}; a generation_config.json is there when text is given. */
static int read_config(struct model_config *c, const char *extra, const char *generation, struct err *e) {
    struct buf b = BUF_INIT;
    struct err ignored;
    buf_addf(&b, "{%s%s%s}", BASE, *extra ? "," : "", extra);
    const char *path = scratch_file("config.json", b.p, b.n);
    io_remove_tree(scratch("generation_config.json"), &ignored);
    if (generation) scratch_file("generation_config.json", generation, strlen(generation));
    buf_release(&b);
    return config_from_json(c, path, e);
}

static struct model_config good(const char *extra, const char *generation) {
    struct model_config c;
    struct err e = ERR_INIT;
    if (read_config(&c, extra, generation, &e) < 0) fail_msg("%s: %s", extra, e.msg);
    return c;
}

static void takes_defaults(void **state) {
    struct model_config c = good("", NULL);
    assert_true(c.C == 64 && c.F == 96 && c.V == 300 && c.L == 3 && c.H == 4 && c.G == 4 && c.D == 16 && c.context == 2048);
    assert_true(c.norm_eps == 1e-6f && c.rope_theta == 10000 && c.rope == ROPE_DEFAULT && !c.tied && c.bos == -1 && c.n_eos == 0);
}

static void takes_fields(void **state) {
    struct model_config c = good("\"num_key_value_heads\":2,\"head_dim\":24,\"max_position_embeddings\":512,\"rms_norm_eps\":1e-5,\"rope_theta\":5e5,"
                                 "\"tie_word_embeddings\":true,\"bos_token_id\":7,\"eos_token_id\":9,\"sliding_window\":null,\"mlp_bias\":false,"
                                 "\"hidden_act\":\"silu\",\"rope_scaling\":null,\"architectures\":[\"LlamaForCausalLM\"]", NULL);
    assert_true(c.G == 2 && c.D == 24 && c.context == 512 && c.norm_eps == 1e-5f && c.rope_theta == 5e5f && c.tied && c.bos == 7);
    assert_true(c.n_eos == 1 && c.eos[0] == 9);
}

#define LLAMA3 "\"factor\":32.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192"

static void takes_every_spelling_of_rope(void **state) {
    static const char *const llama3[] = {
        "\"rope_theta\":5e5,\"rope_scaling\":{\"rope_type\":\"llama3\"," LLAMA3 "}",
        "\"rope_theta\":5e5,\"rope_scaling\":{\"type\":\"llama3\"," LLAMA3 "}",
        "\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":500000," LLAMA3 "}",
    };
    for (size_t i = 0; i < 3; i++) {
        struct model_config c = good(llama3[i], NULL);
        assert_true(c.rope == ROPE_LLAMA3 && c.rope_theta == 5e5f && c.rope_factor == 32 && c.rope_low_freq == 1 && c.rope_high_freq == 4);
        assert_int_equal(c.rope_original_max, 8192);
    }
    assert_true(good("\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":1e5}", NULL).rope_theta == 1e5f);
    assert_int_equal(good("\"rope_scaling\":{\"type\":\"default\"}", NULL).rope, ROPE_DEFAULT);
}

static void takes_end_tokens(void **state) {
    struct model_config c = good("\"eos_token_id\":[5,6,5]", NULL);
    assert_true(c.n_eos == 2 && c.eos[0] == 5 && c.eos[1] == 6);
    c = good("\"eos_token_id\":5", "{\"eos_token_id\":[8,9]}"); /* generation_config.json goes before */
    assert_true(c.n_eos == 2 && c.eos[0] == 8 && c.eos[1] == 9);
    c = good("\"eos_token_id\":5", "{\"bos_token_id\":1}");
    assert_true(c.n_eos == 1 && c.eos[0] == 5);
}

static void names_the_line(void **state) {
    struct model_config c;
    struct err e = ERR_INIT;
    assert_int_equal(read_config(&c, "\n\"bos_token_id\":1,\n\"mlp_bias\":true", NULL, &e), -1);
    assert_err(&e, RC_INPUT, "config.json:3: mlp_bias is true");
}

static void refuses(void **state) {
    static const struct {
        const char *extra, *generation, *says;
    } bad[] = {
        {"\"attention_bias\":true", NULL, "attention_bias is true"},
        {"\"mlp_bias\":true", NULL, "mlp_bias is true"},
        {"\"sliding_window\":4096", NULL, "sliding_window is 4096"},
        {"\"quantization_config\":{\"bits\":4}", NULL, "quantization_config has no quant_method, expected \"bitsandbytes\" or \"bitnet\""},
        {"\"quantization_config\":4", NULL, "quantization_config is 4, expected an object"},
        {"\"quantization_config\":{\"quant_method\":\"gptq\"}", NULL, "quantization_config has quant_method \"gptq\""},
        {"\"quantization_config\":{\"quant_method\":\"bitsandbytes\"}", NULL, "either load_in_4bit or load_in_8bit to be true"},
        {"\"quantization_config\":{\"quant_method\":\"bitsandbytes\",\"load_in_8bit\":true,\"llm_int8_has_fp16_weight\":true}", NULL, "llm_int8_has_fp16_weight true, expected false"},
        {"\"quantization_config\":{\"quant_method\":\"bitsandbytes\",\"load_in_8bit\":1}", NULL, "load_in_8bit 1, expected true or false"},
        {"\"quantization_config\":{\"quant_method\":\"bitnet\",\"quantization_mode\":\"online\"}", NULL, "quantization_mode \"online\", expected \"offline\""},
        {"\"quantization_config\":{\"quant_method\":\"bitnet\",\"linear_class\":\"linear\"}", NULL, "linear_class \"linear\""},
        {"\"quantization_config\":{\"quant_method\":\"bitnet\",\"use_rms_norm\":true}", NULL, "use_rms_norm true, expected false"},
        {"\"hidden_act\":\"gelu\"", NULL, "hidden_act is \"gelu\", expected \"silu\""},
        {"\"architectures\":[\"MistralForCausalLM\"]", NULL, "architectures is [\"MistralForCausalLM\"]"},
        {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}", NULL, "rope_type is \"linear\", expected \"default\" or \"llama3\""},
        {"\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2}", NULL, "rope_type is \"yarn\""},
        {"\"rope_scaling\":{\"factor\":2}", NULL, "expected a rope_type"},
        {"\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":2}", NULL, "field low_freq_factor is missing"},
        {"\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4,\"original_max_position_embeddings\":8192}", NULL, "0 < low < high"},
        {"\"rope_parameters\":{\"rope_type\":\"default\",\"beta_fast\":1}", NULL, "RoPE field \"beta_fast\" is not supported"},
        {"\"partial_rotary_factor\":0.5", NULL, "partial_rotary_factor is 0.5"},
        {"\"rope_theta\":-1", NULL, "RoPE base is -1"},
        {"\"rms_norm_eps\":0", NULL, "RMSNorm epsilon is 0"},
        {"\"num_key_value_heads\":3", NULL, "4 heads do not divide among 3"},
        {"\"num_key_value_heads\":0", NULL, "number of key/value heads is 0"},
        {"\"head_dim\":15", NULL, "head size 15 is odd"},
        {"\"head_dim\":-2", NULL, "head_dim is -2"},
        {"\"head_dim\":1.5", NULL, "head_dim is 1.5"},
        {"\"max_position_embeddings\":1e99", NULL, "max_position_embeddings is 1e99"},
        {"\"eos_token_id\":300", NULL, "end token 300 is not in the vocabulary of 300"},
        {"\"eos_token_id\":\"2\"", NULL, "eos_token_id is \"2\""},
        {"\"eos_token_id\":[1,2,3,4,5,6,7,8,9]", NULL, "more than 8 end tokens"},
        {"\"bos_token_id\":-1", NULL, "bos_token_id is -1"},
        {"", "{\"eos_token_id\":-2}", "generation_config.json: end token -2"},
        {"", "{", "generation_config.json"},
        {"\"vocab_size\":5", NULL, "config.json"}, /* twice */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct model_config c;
        struct err e = ERR_INIT;
        if (read_config(&c, bad[i].extra, bad[i].generation, &e) == 0) fail_msg("taken: %s", bad[i].extra);
        assert_err(&e, RC_INPUT, bad[i].says);
    }
}

static void refuses_other_files(void **state) {
    static const char *const bad[][2] = {{"[]", "expected an object"}, {"{\"model_type\":\"qwen2\"}", "model_type is \"qwen2\", expected \"llama\""},
                                         {"{}", "field model_type is missing"}, {"{\"model_type\":\"llama\"}", "field hidden_size is missing"},
                                         {"", "config.json"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct model_config c;
        struct err e = ERR_INIT;
        assert_int_equal(config_from_json(&c, scratch_file("config.json", bad[i][0], strlen(bad[i][0])), &e), -1);
        assert_err(&e, RC_INPUT, bad[i][1]);
    }
}

/* ---- RoPE ---- */
static float real_of(const struct json *o, const char *key) {
    const struct json *v = json_get(o, key);
    return v ? (float)v->number : 0;
}

static void inv_freq_has_transformers_bits(void **state) {
    struct err e = ERR_INIT;
    struct json_doc *doc = json_read_file("tests/data/gguf/inv_freq.json", &e);
    if (!doc) fail_msg("%s", e.msg);
    int cases = 0;
    for (const struct json *x = json_get(json_root(doc), "cases")->first; x; x = x->next, cases++) {
        const struct json *r = json_get(x, "rope");
        struct model_config c = {.D = (int)json_get(x, "D")->number, .rope_theta = real_of(r, "rope_theta"), .rope_factor = real_of(r, "factor"),
                                 .rope = json_is_str(json_get(r, "rope_type"), "llama3") ? ROPE_LLAMA3 : ROPE_DEFAULT,
                                 .rope_low_freq = real_of(r, "low_freq_factor"), .rope_high_freq = real_of(r, "high_freq_factor"),
                                 .rope_original_max = (int)real_of(r, "original_max_position_embeddings")};
        float got[256];
        int i = 0;
        config_inv_freq(&c, got);
        for (const struct json *v = json_get(x, "inv_freq")->first; v; v = v->next, i++) {
            uint32_t bits;
            char hex[9];
            memcpy(&bits, &got[i], 4);
            snprintf(hex, sizeof hex, "%08x", bits);
            if (strcmp(hex, v->str)) fail_msg("case %d value %d: %s, expected %s", cases, i, hex, v->str);
        }
        assert_int_equal(i, c.D / 2);
    }
    assert_int_equal(cases, 5);
    json_doc_free(doc);
}

/* ---- GGUF ---- */
static void reads_gguf(void **state) {
    struct err e = ERR_INIT;
    struct model_config c;
    struct gguf *g = gguf_open("tests/data/gguf/good-llama3.gguf", &e);
    if (!g || config_from_gguf(&c, g, "x", &e) < 0) fail_msg("%s", e.msg);
    assert_true(c.C == 32 && c.F == 64 && c.V == 260 && c.L == 2 && c.H == 4 && c.G == 2 && c.D == 8 && c.context == 512 && c.tied);
    assert_true(c.norm_eps == 1e-5f && c.rope_theta == 5e5f && c.bos == 1 && c.n_eos == 2 && c.eos[0] == 2 && c.eos[1] == 0);
    assert_true(c.rope == ROPE_LLAMA3 && c.rope_factor == 8 && c.rope_low_freq == 1 && c.rope_high_freq == 4 && c.rope_original_max == 8192);
    gguf_close(g);
}

/* The good file with one piece of its bytes replaced by another as long. */
static void refuses_gguf(void **state) {
    static const float other[] = {3};
    static const struct {
        const char *file, *find;
        size_t n;
        long skip; /* from the end of what was found */
        const void *put;
        size_t put_n;
        const char *says;
    } bad[] = {
        {"good-mixed.gguf", "general.architecture", 20, 12, "gemma", 5, "architecture is \"gemma\", expected \"llama\""},
        {"good-mixed.gguf", "llama.block_count", 17, -1, "T", 1, "llama.block_count is missing"},
        {"good-mixed.gguf", "llama.attention.head_count", 26, 4, "\0", 1, "llama.attention.head_count is 0"},
        {"good-mixed.gguf", "llama.rope.dimension_count", 26, 4, "\4", 1, "RoPE over 4 of 8"},
        {"good-mixed.gguf", "llama.attention.head_count_kv", 29, 4, "\3", 1, "4 heads do not divide among 3"},
        {"good-mixed.gguf", "tokenizer.ggml.eos_token_id", 27, 5, "\7", 1, "end token 1794 is not in the vocabulary of 260"},
        {"good-llama3.gguf", "\0\0\x80\x3f\0\0\x80\x3f", 8, -4, other, 4, "rope_freqs.weight is not Llama 3's scaling"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char path[100];
        struct err e = ERR_INIT;
        struct model_config c;
        snprintf(path, sizeof path, "tests/data/gguf/%s", bad[i].file);
        struct buf b = slurp(path);
        char *at = memmem(b.p, b.n, bad[i].find, bad[i].n);
        assert_non_null(at);
        memcpy(at + bad[i].n + bad[i].skip, bad[i].put, bad[i].put_n);
        struct gguf *g = gguf_open(scratch_file("bad.gguf", b.p, b.n), &e);
        if (!g) fail_msg("case %zu: %s", i, e.msg);
        if (config_from_gguf(&c, g, "bad.gguf", &e) == 0) fail_msg("case %zu taken, expected %s", i, bad[i].says);
        assert_err(&e, RC_INPUT, bad[i].says);
        gguf_close(g);
        buf_release(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_defaults), cmocka_unit_test(takes_fields), cmocka_unit_test(takes_every_spelling_of_rope),
        cmocka_unit_test(takes_end_tokens), cmocka_unit_test(names_the_line), cmocka_unit_test(refuses), cmocka_unit_test(refuses_other_files),
        cmocka_unit_test(inv_freq_has_transformers_bits), cmocka_unit_test(reads_gguf), cmocka_unit_test(refuses_gguf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The files beside the tensors: see quantise.h. config.json is the source's with its types and quantization_config changed,
   or made from GGUF's metadata; the tokenizer's files are copied, or made too. */
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/model/quantise_impl.h"
#include "common/text/tokenizer_export.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- quantization_config ---- */
static void put_bitsandbytes(const struct quantise *q, struct buf *b) {
    bool four = q->o.to != TO_INT8;
    buf_addf(b, "{\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": %s, \"load_in_8bit\": %s, \"_load_in_4bit\": %s, \"_load_in_8bit\": %s, ", four ? "true" : "false",
             four ? "false" : "true", four ? "true" : "false", four ? "false" : "true");
    buf_addf(b, "\"bnb_4bit_quant_type\": \"%s\", \"bnb_4bit_use_double_quant\": %s, \"bnb_4bit_compute_dtype\": \"%s\", \"bnb_4bit_quant_storage\": \"uint8\", ",
             q->o.to == TO_NF4 ? "nf4" : "fp4", q->o.nested ? "true" : "false", quantise_torch_type(q->rest));
    buf_adds(b, "\"llm_int8_enable_fp32_cpu_offload\": false, \"llm_int8_has_fp16_weight\": false, \"llm_int8_skip_modules\": [\"lm_head\"], \"llm_int8_threshold\": 6.0}");
}

static void put_types(const struct quantise *q, struct buf *b) {
    buf_addf(b, "  \"dtype\": \"%s\"", quantise_torch_type(q->rest));
    if (q->o.to <= TO_BF16) return;
    buf_adds(b, ",\n  \"quantization_config\": ");
    if (q->o.to == TO_TERNARY)
        buf_adds(b, "{\"quant_method\": \"bitnet\", \"linear_class\": \"autobitlinear\", \"quantization_mode\": \"offline\", \"use_rms_norm\": false, \"rms_norm_eps\": 1e-06, "
                    "\"modules_to_not_convert\": [\"lm_head\"]}");
    else
        put_bitsandbytes(q, b);
}

/* ---- config.json ---- */
static int config_of_source(const struct quantise *q, struct buf *b, struct err *e) {
    char *path = weights_file(q->w, "config.json");
    struct json_doc *doc = json_read_file(path, e);
    free(path);
    if (!doc) return -1;
    buf_adds(b, "{\n");
    for (const struct json *v = json_root(doc)->first; v; v = v->next) {
        if (!strcmp(v->key, "dtype") || !strcmp(v->key, "torch_dtype") || !strcmp(v->key, "quantization_config")) continue;
        buf_adds(b, "  ");
        json_put_string(b, v->key, v->key_len);
        buf_adds(b, ": ");
        buf_add(b, v->raw, v->raw_len);
        buf_adds(b, ",\n");
    }
    put_types(q, b);
    buf_adds(b, "\n}\n");
    json_doc_free(doc);
    return 0;
}

/* "name": the shortest decimal that is this f32 */
static void put_f32(struct buf *b, const char *name, float x) {
    char s[40];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, (double)x);
        if (strtof(s, NULL) == x) break;
    }
    buf_addf(b, "\"%s\": %s", name, s);
}

static void put_ids(struct buf *b, const struct model_config *c) {
    if (c->bos >= 0) buf_addf(b, "  \"bos_token_id\": %d,\n", c->bos);
    if (!c->n_eos) return;
    buf_adds(b, "  \"eos_token_id\": ");
    for (int i = 0; i < c->n_eos; i++) buf_addf(b, "%s%d", i ? ", " : c->n_eos > 1 ? "[" : "", c->eos[i]);
    buf_adds(b, c->n_eos > 1 ? "],\n" : ",\n");
}

static void config_of_gguf(const struct quantise *q, struct buf *b) {
    const struct model_config *c = &q->w->cfg;
    buf_adds(b, "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n  \"hidden_act\": \"silu\",\n  \"attention_bias\": false,\n  \"mlp_bias\": false,\n");
    buf_addf(b, "  \"vocab_size\": %d,\n  \"hidden_size\": %d,\n  \"intermediate_size\": %d,\n  \"num_hidden_layers\": %d,\n  \"num_attention_heads\": %d,\n", c->V, c->C, c->F, c->L, c->H);
    buf_addf(b, "  \"num_key_value_heads\": %d,\n  \"head_dim\": %d,\n  \"max_position_embeddings\": %d,\n  ", c->G, c->D, c->context);
    put_f32(b, "rms_norm_eps", c->norm_eps);
    buf_adds(b, ",\n  ");
    put_f32(b, "rope_theta", c->rope_theta);
    buf_adds(b, ",\n  \"rope_scaling\": ");
    if (c->rope == ROPE_LLAMA3) {
        buf_adds(b, "{\"rope_type\": \"llama3\", ");
        put_f32(b, "factor", c->rope_factor);
        buf_adds(b, ", ");
        put_f32(b, "low_freq_factor", c->rope_low_freq);
        buf_adds(b, ", ");
        put_f32(b, "high_freq_factor", c->rope_high_freq);
        buf_addf(b, ", \"original_max_position_embeddings\": %d}", c->rope_original_max);
    } else {
        buf_adds(b, "null");
    }
    buf_addf(b, ",\n  \"tie_word_embeddings\": %s,\n", c->tied ? "true" : "false");
    put_ids(b, c);
    put_types(q, b);
    buf_adds(b, "\n}\n");
}

/* ---- all of them ---- */
static void keep(struct quantise *q, const char *name, struct buf *b) {
    q->files = xrealloc(q->files, (size_t)q->n_files + 1, sizeof *q->files);
    size_t n = b->n;
    q->files[q->n_files++] = (struct quantise_file){xstrdup(name), buf_detach(b), n};
}

static int copy(struct quantise *q, const char *name, struct err *e) {
    char *path = weights_file(q->w, name);
    struct buf b = BUF_INIT;
    int rc = io_exists(path) ? io_read_all(path, 0, &b, e) : 0;
    if (!rc && io_exists(path)) keep(q, name, &b);
    buf_release(&b);
    free(path);
    return rc;
}

static int files_of_gguf(struct quantise *q, struct err *e) {
    struct buf tokenizer = BUF_INIT, config = BUF_INIT, generation = BUF_INIT;
    if (tokenizer_export(q->w->gguf, &tokenizer, &config, e) < 0) return err_prefix(e, "%s: ", q->w->path);
    keep(q, "tokenizer.json", &tokenizer);
    keep(q, "tokenizer_config.json", &config);
    buf_adds(&generation, "{\n");
    put_ids(&generation, &q->w->cfg);
    if (generation.n > 2) generation.n -= 2; /* the last comma */
    buf_adds(&generation, "\n}\n");
    keep(q, "generation_config.json", &generation);
    return 0;
}

int quantise_files(struct quantise *q, const struct quantise_file **f, int *n, struct err *e) {
    static const char *const names[] = {"generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "vocab.json", "merges.txt"};
    struct buf b = BUF_INIT;
    int rc = 0;
    if (!q->n_files) {
        if (q->w->gguf)
            config_of_gguf(q, &b);
        else
            rc = config_of_source(q, &b, e);
        if (!rc) keep(q, "config.json", &b);
        buf_release(&b);
        if (!rc && q->w->gguf) rc = files_of_gguf(q, e);
        for (size_t i = 0; !rc && !q->w->gguf && i < sizeof names / sizeof *names; i++) rc = copy(q, names[i], e);
    }
    *f = q->files;
    *n = q->n_files;
    return rc;
}

/* The files beside the weights of a Hugging Face directory: see hfdir.h. */
#include "common/model/hfdir.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/model/weights.h"
#include "common/text/tokenizer_write.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *hf_type_name(enum dtype t) {
    if (t != DT_F32 && t != DT_F16 && t != DT_BF16) BUG("%s is no type of config.json", dtype_name(t));
    return t == DT_F16 ? "float16" : t == DT_BF16 ? "bfloat16" : "float32";
}

/* ---- config.json ---- */
static void put_types(struct buf *b, enum dtype type, const char *quantization) {
    buf_addf(b, "  \"dtype\": \"%s\"", hf_type_name(type));
    if (quantization) buf_addf(b, ",\n  \"quantization_config\": %s", quantization);
}

/* Every field that the source has, those that say how its tensors lie apart. */
static int config_of_source(struct buf *b, const struct weights *w, struct err *e) {
    static const char *const ours[] = {"dtype", "torch_dtype", "quantization_config"};
    char *path = weights_file(w, "config.json");
    struct json_doc *doc = json_read_file(path, e);
    free(path);
    if (!doc) return -1;
    for (const struct json *v = json_root(doc)->first; v; v = v->next) {
        bool skip = false;
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) skip = skip || (v->key_len == strlen(ours[i]) && !memcmp(v->key, ours[i], v->key_len));
        if (skip) continue;
        buf_adds(b, "  ");
        json_put_string(b, v->key, v->key_len);
        buf_adds(b, ": ");
        buf_add(b, v->raw, v->raw_len);
        buf_adds(b, ",\n");
    }
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

/* transformers takes LlamaConfig's own ids, 1 and 2, for fields that are absent: null says that there is none. */
static void put_ids(struct buf *b, const struct model_config *c) {
    if (c->bos >= 0)
        buf_addf(b, "  \"bos_token_id\": %d,\n  \"eos_token_id\": ", c->bos);
    else
        buf_adds(b, "  \"bos_token_id\": null,\n  \"eos_token_id\": ");
    if (!c->n_eos) buf_adds(b, "null");
    for (int i = 0; i < c->n_eos; i++) buf_addf(b, "%s%d", i ? ", " : c->n_eos > 1 ? "[" : "", c->eos[i]);
    if (c->n_eos > 1) buf_addc(b, ']');
}

/* As transformers 4 has it (base beside, scaling apart), which 5 reads too. */
static void put_rope(struct buf *b, const struct model_config *c) {
    buf_adds(b, "  ");
    put_f32(b, "rope_theta", c->rope_theta);
    if (c->rope == ROPE_DEFAULT) {
        buf_adds(b, ",\n  \"rope_scaling\": null,\n");
        return;
    }
    buf_adds(b, ",\n  \"rope_scaling\": {\"rope_type\": \"llama3\", ");
    put_f32(b, "factor", c->rope_factor);
    buf_adds(b, ", ");
    put_f32(b, "low_freq_factor", c->rope_low_freq);
    buf_adds(b, ", ");
    put_f32(b, "high_freq_factor", c->rope_high_freq);
    buf_addf(b, ", \"original_max_position_embeddings\": %d},\n", c->rope_original_max);
}

static void config_of_shape(struct buf *b, const struct model_config *c) {
    buf_adds(b, "  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n  \"hidden_act\": \"silu\",\n"
                "  \"attention_bias\": false,\n  \"mlp_bias\": false,\n");
    buf_addf(b, "  \"vocab_size\": %d,\n  \"hidden_size\": %d,\n  \"intermediate_size\": %d,\n  \"num_hidden_layers\": %d,\n", c->V, c->C, c->F, c->L);
    buf_addf(b, "  \"num_attention_heads\": %d,\n  \"num_key_value_heads\": %d,\n  \"head_dim\": %d,\n  \"max_position_embeddings\": %d,\n  ", c->H, c->G, c->D, c->context);
    put_f32(b, "rms_norm_eps", c->norm_eps);
    buf_adds(b, ",\n");
    put_rope(b, c);
    buf_addf(b, "  \"tie_word_embeddings\": %s,\n", c->tied ? "true" : "false");
    put_ids(b, c);
    buf_adds(b, ",\n");
}

/* ---- all of them ---- */
static void keep(struct hf_files *x, const char *name, struct buf *b) {
    size_t n = b->n;
    x->f = xrealloc(x->f, (size_t)x->n + 1, sizeof *x->f);
    x->f[x->n++] = (struct tstream_file){xstrdup(name), buf_detach(b), n};
}

static int make_config(struct hf_files *x, const struct weights *w, enum dtype type, const char *quantization, struct err *e) {
    struct buf b = BUF_INIT;
    int rc = 0;
    buf_adds(&b, "{\n");
    if (w->gguf)
        config_of_shape(&b, &w->cfg);
    else
        rc = config_of_source(&b, w, e);
    put_types(&b, type, quantization);
    buf_adds(&b, "\n}\n");
    if (!rc) keep(x, "config.json", &b);
    buf_release(&b);
    return rc;
}

int hf_files_add(struct hf_files *x, const char *name, const char *path, struct err *e) {
    struct buf b = BUF_INIT;
    int rc = io_read_all(path, 0, &b, e);
    if (!rc) keep(x, name, &b);
    buf_release(&b);
    return rc;
}

static int copy(struct hf_files *x, const struct weights *w, const char *name, struct err *e) {
    char *path = weights_file(w, name);
    int rc = io_exists(path) ? hf_files_add(x, name, path, e) : 0;
    free(path);
    return rc;
}

static int copy_all(struct hf_files *x, const struct weights *w, struct err *e) {
    static const char *const names[] = {"generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                        "added_tokens.json", "chat_template.jinja", "tokenizer.model", "vocab.json", "merges.txt"};
    int rc = 0;
    for (size_t i = 0; !rc && i < sizeof names / sizeof *names; i++) rc = copy(x, w, names[i], e);
    return rc;
}

static int make_from_gguf(struct hf_files *x, const struct weights *w, struct err *e) {
    struct buf tokenizer = BUF_INIT, config = BUF_INIT, generation = BUF_INIT;
    int rc = tokenizer_write(w->gguf, &tokenizer, &config, e);
    if (rc < 0) {
        err_prefix(e, "%s: ", w->path);
    } else {
        buf_adds(&generation, "{\n");
        put_ids(&generation, &w->cfg);
        buf_adds(&generation, "\n}\n");
        keep(x, "generation_config.json", &generation);
        keep(x, "tokenizer.json", &tokenizer);
        keep(x, "tokenizer_config.json", &config);
    }
    buf_release(&tokenizer);
    buf_release(&config);
    return rc;
}

int hf_files_make(struct hf_files *x, const struct weights *w, enum dtype type, const char *quantization, struct err *e) {
    *x = (struct hf_files)HF_FILES_INIT;
    if (make_config(x, w, type, quantization, e) == 0 && (w->gguf ? make_from_gguf(x, w, e) : copy_all(x, w, e)) == 0) return 0;
    hf_files_release(x);
    return -1;
}

int hf_files_of_model(struct hf_files *x, const struct model *m, enum dtype type, const char *quantization, struct err *e) {
    return hf_files_make(x, model_weights(m), type, quantization, e);
}

void hf_files_release(struct hf_files *x) {
    for (int i = 0; i < x->n; i++) {
        free((void *)(uintptr_t)x->f[i].name);
        free((void *)(uintptr_t)x->f[i].p);
    }
    free(x->f);
    *x = (struct hf_files)HF_FILES_INIT;
}

int hf_files_write(const struct hf_files *x, const char *dir, struct err *e) {
    int rc = 0;
    for (int i = 0; !rc && i < x->n; i++) {
        char *path = io_join(dir, x->f[i].name);
        rc = io_write_file(path, x->f[i].p, x->f[i].n, e);
        free(path);
    }
    return rc;
}

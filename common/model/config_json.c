/* Shapes from Hugging Face's config.json, with generation_config.json beside it: see config.h.
   Fields that would change the computation and are not implemented are refused by name; absent ones take the
   defaults of transformers' LlamaConfig. */
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/model/config.h"
#include "common/model/json_line.h"
#include <stdlib.h>
#include <string.h>

struct reader {
    const struct json *root;
    const char *path;
    struct err *e;
};

static bool is_null(const struct json *v) { return !v || v->type == JSON_NULL; }

static int refuse(const struct reader *r, const char *key, const struct json *v, const char *expected) {
    return err_set(r->e, RC_INPUT, "%s:%d: %s is %.*s, expected %s", r->path, json_line(r->root, v), key, (int)(v->raw_len < 80 ? v->raw_len : 80), v->raw, expected);
}

/* An integer of 0..2147483647; null or absent: `missing`, or an error where that is negative. */
static int get_int(const struct reader *r, const struct json *in, const char *key, int *out, int missing) {
    const struct json *v = json_get(in, key);
    int64_t x;
    *out = missing;
    if (is_null(v)) return missing >= 0 ? 0 : err_set(r->e, RC_INPUT, "%s: field %s is missing", r->path, key);
    if (!json_int(v, &x) || x < 0 || x > INT32_MAX) return refuse(r, key, v, "an integer of 0 to 2147483647");
    *out = (int)x;
    return 0;
}

static int get_real(const struct reader *r, const struct json *in, const char *key, float *out, float missing) {
    const struct json *v = json_get(in, key);
    *out = missing;
    if (is_null(v)) return missing >= 0 ? 0 : err_set(r->e, RC_INPUT, "%s: field %s is missing", r->path, key);
    if (v->type != JSON_NUMBER) return refuse(r, key, v, "a number");
    *out = (float)v->number;
    return 0;
}

static int get_bool(const struct reader *r, const char *key, bool *out) {
    const struct json *v = json_get(r->root, key);
    *out = false;
    if (is_null(v)) return 0;
    if (v->type != JSON_BOOL) return refuse(r, key, v, "true or false");
    *out = v->truth;
    return 0;
}

/* What this reader does not compute, by field: each must be absent, null or false. */
static int check_refused(const struct reader *r) {
    static const char *const unset[] = {"attention_bias", "mlp_bias", "sliding_window", "use_sliding_window", "num_experts"};
    const struct json *v = json_get(r->root, "model_type");
    if (is_null(v)) return err_set(r->e, RC_INPUT, "%s: field model_type is missing", r->path);
    if (!json_is_str(v, "llama")) return refuse(r, "model_type", v, "\"llama\"");
    v = json_get(r->root, "architectures");
    if (!is_null(v) && (v->type != JSON_ARRAY || v->count != 1 || !json_is_str(v->first, "LlamaForCausalLM")))
        return refuse(r, "architectures", v, "[\"LlamaForCausalLM\"]");
    v = json_get(r->root, "hidden_act");
    if (!is_null(v) && !json_is_str(v, "silu")) return refuse(r, "hidden_act", v, "\"silu\"");
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++) {
        v = json_get(r->root, unset[i]);
        if (!is_null(v) && !(v->type == JSON_BOOL && !v->truth)) return refuse(r, unset[i], v, "it to be absent: this is not supported");
    }
    return 0;
}

static int read_sizes(struct model_config *c, const struct reader *r) {
    const struct json *o = r->root;
    if (get_int(r, o, "hidden_size", &c->C, -1) < 0 || get_int(r, o, "intermediate_size", &c->F, -1) < 0 ||
        get_int(r, o, "vocab_size", &c->V, -1) < 0 || get_int(r, o, "num_hidden_layers", &c->L, -1) < 0 ||
        get_int(r, o, "num_attention_heads", &c->H, -1) < 0 || get_int(r, o, "num_key_value_heads", &c->G, c->H) < 0 ||
        get_int(r, o, "max_position_embeddings", &c->context, 2048) < 0 || get_real(r, o, "rms_norm_eps", &c->norm_eps, 1e-6f) < 0 ||
        get_bool(r, "tie_word_embeddings", &c->tied) < 0)
        return -1;
    if (c->H < 1) return err_set(r->e, RC_INPUT, "%s: num_attention_heads is 0", r->path);
    if (is_null(json_get(o, "head_dim")) && c->C % c->H)
        return err_set(r->e, RC_INPUT, "%s: hidden_size %d does not divide among %d heads, and head_dim is missing", r->path, c->C, c->H);
    return get_int(r, o, "head_dim", &c->D, c->C / c->H);
}

/* ---- RoPE ---- */
static int rope_llama3(struct model_config *c, const struct reader *r, const struct json *o) {
    c->rope = ROPE_LLAMA3;
    if (get_real(r, o, "factor", &c->rope_factor, -1) < 0 || get_real(r, o, "low_freq_factor", &c->rope_low_freq, -1) < 0 ||
        get_real(r, o, "high_freq_factor", &c->rope_high_freq, -1) < 0 ||
        get_int(r, o, "original_max_position_embeddings", &c->rope_original_max, -1) < 0)
        return -1;
    return config_check_llama3(c, r->path, r->e);
}

static int rope_known_fields(const struct reader *r, const struct json *o) {
    static const char *const known[] = {"rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor",
                                        "original_max_position_embeddings", "partial_rotary_factor"};
    for (const struct json *v = o->first; v; v = v->next) {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) found = found || !strcmp(v->key, known[i]);
        if (!found) return err_set(r->e, RC_INPUT, "%s:%d: RoPE field \"%s\" is not supported", r->path, json_line(r->root, v), v->key);
    }
    return 0;
}

static int check_partial(const struct reader *r, const struct json *in) {
    const struct json *v = json_get(in, "partial_rotary_factor");
    if (is_null(v) || (v->type == JSON_NUMBER && v->number == 1)) return 0;
    return refuse(r, "partial_rotary_factor", v, "1");
}

/* rope_scaling (transformers 4: type, later rope_type; the base stands beside) or rope_parameters (transformers 5: the
   base stands inside). */
static int read_rope(struct model_config *c, const struct reader *r) {
    const struct json *o = json_get(r->root, "rope_parameters"), *type;
    if (is_null(o)) o = json_get(r->root, "rope_scaling");
    if (get_real(r, r->root, "rope_theta", &c->rope_theta, 10000) < 0 || check_partial(r, r->root) < 0) return -1;
    if (is_null(o)) return 0;
    if (o->type != JSON_OBJECT) return refuse(r, "rope_scaling", o, "an object");
    if (rope_known_fields(r, o) < 0 || check_partial(r, o) < 0 || get_real(r, o, "rope_theta", &c->rope_theta, c->rope_theta) < 0) return -1;
    type = json_get(o, "rope_type");
    if (is_null(type)) type = json_get(o, "type");
    if (is_null(type)) return refuse(r, "rope_scaling", o, "a rope_type");
    if (json_is_str(type, "llama3")) return rope_llama3(c, r, o);
    return json_is_str(type, "default") ? 0 : refuse(r, "rope_type", type, "\"default\" or \"llama3\"");
}

/* ---- first and last tokens ---- */
/* An id or a list of ids. */
static int add_ends(struct model_config *c, const struct reader *r, const struct json *v) {
    int64_t id;
    for (const struct json *x = v->type == JSON_ARRAY ? v->first : v; x; x = v->type == JSON_ARRAY ? x->next : NULL)
        if (!json_int(x, &id))
            return refuse(r, "eos_token_id", v, "an integer or a list of integers");
        else if (config_add_eos(c, id, r->path, r->e) < 0)
            return -1;
    return 0;
}

/* generation_config.json, where it names end tokens, counts before config.json, as in transformers' generate. */
static int read_generation(struct model_config *c, const char *config_path, struct err *e) {
    const char *slash = strrchr(config_path, '/');
    char *dir = slash ? xmemdup0(config_path, (size_t)(slash - config_path) + 1) : xstrdup("./");
    char *path = io_join(dir, "generation_config.json");
    int rc = 0;
    if (io_exists(path)) {
        struct json_doc *doc = json_read_file(path, e);
        struct reader r = {doc ? json_root(doc) : NULL, path, e};
        const struct json *v = doc ? json_get(r.root, "eos_token_id") : NULL;
        rc = !doc ? -1 : is_null(v) ? 0 : add_ends(c, &r, v);
        if (doc) json_doc_free(doc);
    }
    free(path);
    free(dir);
    return rc;
}

static int read_ends(struct model_config *c, const struct reader *r) {
    const struct json *bos = json_get(r->root, "bos_token_id"), *eos = json_get(r->root, "eos_token_id");
    int64_t id;
    c->bos = -1;
    if (!is_null(bos)) {
        if (!json_int(bos, &id) || id < 0 || id >= c->V) return refuse(r, "bos_token_id", bos, "an id of the vocabulary");
        c->bos = (int32_t)id;
    }
    if (read_generation(c, r->path, r->e) < 0) return -1;
    return c->n_eos || is_null(eos) ? 0 : add_ends(c, r, eos);
}

int config_from_json(struct model_config *c, const char *path, struct err *e) {
    struct json_doc *doc = json_read_file(path, e);
    if (!doc) return -1;
    struct reader r = {json_root(doc), path, e};
    *c = (struct model_config){.rope = ROPE_DEFAULT};
    int rc = r.root->type != JSON_OBJECT ? refuse(&r, "the file", r.root, "an object") : 0;
    if (!rc) rc = check_refused(&r);
    if (!rc) rc = config_quant(c, r.root, path, e);
    if (!rc) rc = read_sizes(c, &r);
    if (!rc) rc = read_rope(c, &r);
    if (!rc) rc = config_check(c, path, e);
    if (!rc) rc = read_ends(c, &r);
    json_doc_free(doc);
    return rc;
}

/* Model shapes: see config.h. This file has what both sources share (limits, RoPE frequencies) and GGUF metadata;
   config_json.c reads config.json. */
#include "common/model/config.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- what every source must satisfy ---- */
struct limit {
    const char *name;
    int64_t value, max;
};

int config_check(const struct model_config *c, const char *path, struct err *e) {
    const struct limit limits[] = {
        {"hidden size", c->C, 1 << 20},        {"feed-forward size", c->F, 1 << 22}, {"vocabulary size", c->V, 1 << 24},
        {"number of layers", c->L, 1 << 12},   {"number of heads", c->H, 1 << 14},   {"number of key/value heads", c->G, 1 << 14},
        {"head size", c->D, 1 << 12},          {"context length", c->context, 1 << 30},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i].value < 1 || limits[i].value > limits[i].max)
            return err_set(e, RC_INPUT, "%s: %s is %lld, expected 1 to %lld", path, limits[i].name, (long long)limits[i].value,
                           (long long)limits[i].max);
    if (c->H % c->G) return err_set(e, RC_INPUT, "%s: %d heads do not divide among %d key/value heads", path, c->H, c->G);
    if (c->D % 2) return err_set(e, RC_INPUT, "%s: head size %d is odd, expected an even number", path, c->D);
    if (!isfinite(c->norm_eps) || !(c->norm_eps > 0))
        return err_set(e, RC_INPUT, "%s: RMSNorm epsilon is %g, expected a positive number", path, (double)c->norm_eps);
    if (!isfinite(c->rope_theta) || !(c->rope_theta > 0))
        return err_set(e, RC_INPUT, "%s: RoPE base is %g, expected a positive number", path, (double)c->rope_theta);
    return 0;
}

int config_add_eos(struct model_config *c, int64_t id, const char *path, struct err *e) {
    const int most = sizeof c->eos / sizeof *c->eos;
    if (id < 0 || id >= c->V) return err_set(e, RC_INPUT, "%s: end token %lld is not in the vocabulary of %d", path, (long long)id, c->V);
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos[i] == id) return 0;
    if (c->n_eos == most) return err_set(e, RC_INPUT, "%s: more than %d end tokens", path, most);
    c->eos[c->n_eos++] = (int32_t)id;
    return 0;
}

/* ---- RoPE ---- */
/* The steps are those of transformers' _compute_llama3_parameters, each rounded to f32 as torch does
   (scalar / tensor is reciprocal times scalar there). */
static float llama3_scaled(const struct model_config *c, float inv_freq) {
    const double old = c->rope_original_max, low = c->rope_low_freq, high = c->rope_high_freq;
    float wavelen = 1.0f / inv_freq * (float)(2 * 3.14159265358979323846);
    float factor = c->rope_factor;
    if (wavelen > (float)(old / low)) return inv_freq / factor;
    if (wavelen < (float)(old / high)) return inv_freq;
    float smooth = (1.0f / wavelen * (float)old - (float)low) / (float)(high - low);
    float a = (1.0f - smooth) * inv_freq / factor, b = smooth * inv_freq;
    return a + b;
}

void config_inv_freq(const struct model_config *c, float *inv_freq) {
    for (int i = 0; i < c->D / 2; i++) {
        float exponent = (float)(2 * i) / (float)c->D;
        float power = (float)pow((double)c->rope_theta, (double)exponent);
        inv_freq[i] = 1.0f / power;
        if (c->rope == ROPE_LLAMA3) inv_freq[i] = llama3_scaled(c, inv_freq[i]);
    }
}

int config_check_llama3(const struct model_config *c, const char *path, struct err *e) {
    bool fine = isfinite(c->rope_factor) && c->rope_factor >= 1 && isfinite(c->rope_low_freq) && c->rope_low_freq > 0 &&
                isfinite(c->rope_high_freq) && c->rope_high_freq > c->rope_low_freq && c->rope_original_max > 0;
    if (fine) return 0;
    return err_set(e, RC_INPUT, "%s: RoPE type llama3 with factor %g, low_freq_factor %g, high_freq_factor %g, original_max_position_embeddings %d, "
                   "expected factor >= 1, 0 < low < high and a positive original", path, (double)c->rope_factor, (double)c->rope_low_freq,
                   (double)c->rope_high_freq, c->rope_original_max);
}

/* ---- GGUF ---- */
/* llama.N of an integer kind into *out; when `missing` is >= 0 it stands in for an absent key. */
static int gguf_int(const struct gguf *g, const char *key, int *out, int missing, const char *path, struct err *e) {
    int64_t v;
    if (!gguf_has(g, key)) {
        if (missing < 0) return err_set(e, RC_INPUT, "%s: metadata key %s is missing", path, key);
        *out = missing;
        return 0;
    }
    if (!gguf_get_int(g, key, &v)) return err_set(e, RC_INPUT, "%s: metadata key %s is not an integer", path, key);
    if (v < 0 || v > INT32_MAX) return err_set(e, RC_INPUT, "%s: metadata key %s is %lld, expected 0 to 2147483647", path, key, (long long)v);
    *out = (int)v;
    return 0;
}

static int gguf_real(const struct gguf *g, const char *key, float *out, float missing, const char *path, struct err *e) {
    double v;
    *out = missing;
    if (!gguf_has(g, key)) return missing >= 0 ? 0 : err_set(e, RC_INPUT, "%s: metadata key %s is missing", path, key);
    if (!gguf_get_real(g, key, &v)) return err_set(e, RC_INPUT, "%s: metadata key %s is not a real number", path, key);
    *out = (float)v;
    return 0;
}

static int gguf_sizes(struct model_config *c, const struct gguf *g, const char *path, struct err *e) {
    int64_t tokens = gguf_arr_strs(g, "tokenizer.ggml.tokens");
    int vocab = tokens < 0 || tokens > INT32_MAX ? -1 : (int)tokens;
    if (gguf_int(g, "llama.embedding_length", &c->C, -1, path, e) < 0 || gguf_int(g, "llama.feed_forward_length", &c->F, -1, path, e) < 0 ||
        gguf_int(g, "llama.block_count", &c->L, -1, path, e) < 0 || gguf_int(g, "llama.attention.head_count", &c->H, -1, path, e) < 0 ||
        gguf_int(g, "llama.attention.head_count_kv", &c->G, c->H, path, e) < 0 ||
        gguf_int(g, "llama.context_length", &c->context, -1, path, e) < 0 || gguf_int(g, "llama.vocab_size", &c->V, vocab, path, e) < 0)
        return -1;
    if (c->H < 1) return err_set(e, RC_INPUT, "%s: llama.attention.head_count is 0", path);
    int dims, value;
    if (gguf_int(g, "llama.attention.key_length", &c->D, c->C / c->H, path, e) < 0 ||
        gguf_int(g, "llama.attention.value_length", &value, c->D, path, e) < 0 ||
        gguf_int(g, "llama.rope.dimension_count", &dims, c->D, path, e) < 0)
        return -1;
    if (value != c->D) return err_set(e, RC_INPUT, "%s: heads of %d keys and %d values, expected the same size", path, c->D, value);
    if (dims != c->D) return err_set(e, RC_INPUT, "%s: RoPE over %d of %d head dimensions, expected all of them", path, dims, c->D);
    return gguf_real(g, "llama.attention.layer_norm_rms_epsilon", &c->norm_eps, -1, path, e) < 0 ||
                   gguf_real(g, "llama.rope.freq_base", &c->rope_theta, 10000, path, e) < 0
               ? -1
               : 0;
}

static int gguf_refuse(const struct gguf *g, const char *path, struct err *e) {
    static const char *const zero[] = {"llama.expert_count", "llama.attention.sliding_window"};
    const char *s;
    size_t n;
    if (!gguf_get_str(g, "general.architecture", &s, &n)) return err_set(e, RC_INPUT, "%s: metadata key general.architecture is missing", path);
    if (n != 5 || memcmp(s, "llama", 5))
        return err_set(e, RC_INPUT, "%s: architecture is \"%.*s\", expected \"llama\"", path, (int)(n < 60 ? n : 60), s);
    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++) {
        int v;
        if (gguf_int(g, zero[i], &v, 0, path, e) < 0) return -1;
        if (v) return err_set(e, RC_INPUT, "%s: %s is %d, which is not supported: expected 0", path, zero[i], v);
    }
    if (gguf_has(g, "llama.rope.scaling.type")) {
        if (!gguf_get_str(g, "llama.rope.scaling.type", &s, &n)) return err_set(e, RC_INPUT, "%s: llama.rope.scaling.type is not a string", path);
        if (n != 4 || memcmp(s, "none", 4))
            return err_set(e, RC_INPUT, "%s: RoPE scaling \"%.*s\" is not supported, expected none", path, (int)(n < 60 ? n : 60), s);
    }
    float scale;
    if (gguf_real(g, "llama.rope.scale_linear", &scale, 1, path, e) < 0) return -1;
    if (!(scale == 1)) return err_set(e, RC_INPUT, "%s: llama.rope.scale_linear is %g, which is not supported: expected 1", path, (double)scale);
    return 0;
}

/* llama.cpp stores Llama 3's scaling as the tensor rope_freqs.weight of D/2 divisors. The parameters that transformers
   names are found again: the factor is the largest divisor, the others have one value in all published models; the
   divisors that they give must then be those of the file (to 1e-4: both are sums of f32 roundings). */
static int gguf_rope_freqs(struct model_config *c, const struct gguf *g, const char *path, struct err *e) {
    const struct tensor *t = gguf_tensor(g, "rope_freqs.weight");
    struct model_config plain = *c, scaled = *c;
    float base[1 << 11], want[1 << 11];
    if (!t) return 0;
    if (t->type != DT_F32 || t->dims != 1 || t->shape[0] != c->D / 2)
        return err_set(e, RC_INPUT, "%s: tensor rope_freqs.weight is not f32 of %d values", path, c->D / 2);
    const float *divisor = t->data;
    scaled.rope = ROPE_LLAMA3;
    scaled.rope_factor = 1;
    for (int i = 0; i < c->D / 2; i++)
        if (divisor[i] > scaled.rope_factor) scaled.rope_factor = divisor[i];
    scaled.rope_low_freq = 1;
    scaled.rope_high_freq = 4;
    if (gguf_int(g, "llama.rope.scaling.original_context_length", &scaled.rope_original_max, 8192, path, e) < 0 ||
        config_check_llama3(&scaled, path, e) < 0)
        return -1;
    config_inv_freq(&plain, base);
    config_inv_freq(&scaled, want);
    for (int i = 0; i < c->D / 2; i++)
        if (!(fabsf(base[i] / want[i] - divisor[i]) <= 1e-4f * divisor[i]))
            return err_set(e, RC_INPUT, "%s: tensor rope_freqs.weight is not Llama 3's scaling: value %d is %g, expected %g (factor %g, low 1, high 4, original %d)",
                           path, i, (double)divisor[i], (double)(base[i] / want[i]), (double)scaled.rope_factor, scaled.rope_original_max);
    *c = scaled;
    return 0;
}

static int gguf_ends(struct model_config *c, const struct gguf *g, const char *path, struct err *e) {
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"};
    int bos;
    c->bos = -1;
    if (gguf_has(g, "tokenizer.ggml.bos_token_id")) {
        if (gguf_int(g, "tokenizer.ggml.bos_token_id", &bos, -1, path, e) < 0) return -1;
        if (bos >= c->V) return err_set(e, RC_INPUT, "%s: start token %d is not in the vocabulary of %d", path, bos, c->V);
        c->bos = bos;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int id;
        if (!gguf_has(g, keys[i])) continue;
        if (gguf_int(g, keys[i], &id, -1, path, e) < 0 || config_add_eos(c, id, path, e) < 0) return -1;
    }
    return 0;
}

int config_from_gguf(struct model_config *c, const struct gguf *g, const char *path, struct err *e) {
    *c = (struct model_config){.rope = ROPE_DEFAULT};
    if (gguf_refuse(g, path, e) < 0 || gguf_sizes(c, g, path, e) < 0 || config_check(c, path, e) < 0) return -1;
    c->tied = !gguf_tensor(g, "output.weight");
    return gguf_rope_freqs(c, g, path, e) < 0 ? -1 : gguf_ends(c, g, path, e);
}

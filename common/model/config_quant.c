/* quantization_config of config.json: see config.h. What the tensors hold is checked in weights_quant.c; here, that they
   are computed with as we do. */
#include "common/io/json.h"
#include "common/model/config.h"
#include "common/model/json_line.h"

struct reader {
    const struct json *root, *q;
    const char *path;
    struct err *e;
};

static int refuse(const struct reader *r, const char *key, const struct json *v, const char *expected) {
    if (!v) return err_set(r->e, RC_INPUT, "%s:%d: quantization_config has no %s, expected %s", r->path, json_line(r->root, r->q), key, expected);
    return err_set(r->e, RC_INPUT, "%s:%d: quantization_config has %s %.*s, expected %s", r->path, json_line(r->root, v), key,
                   (int)(v->raw_len < 80 ? v->raw_len : 80), v->raw, expected);
}

/* absent and null are false */
static int flag(const struct reader *r, const char *key, bool *out) {
    const struct json *v = json_get(r->q, key);
    *out = v && v->type == JSON_BOOL && v->truth;
    return !v || v->type == JSON_BOOL || v->type == JSON_NULL ? 0 : refuse(r, key, v, "true or false");
}

static int bitsandbytes(struct model_config *c, const struct reader *r) {
    bool four, eight, fp16;
    if (flag(r, "load_in_4bit", &four) < 0 || flag(r, "load_in_8bit", &eight) < 0 || flag(r, "llm_int8_has_fp16_weight", &fp16) < 0) return -1;
    if (four == eight) return refuse(r, "load_in_4bit", json_get(r->q, "load_in_4bit"), "either load_in_4bit or load_in_8bit to be true");
    if (fp16) return refuse(r, "llm_int8_has_fp16_weight", json_get(r->q, "llm_int8_has_fp16_weight"), "false");
    c->quant = four ? QUANT_BNB4 : QUANT_BNB8;
    return 0;
}

static int bitnet(struct model_config *c, const struct reader *r) {
    const struct json *class = json_get(r->q, "linear_class"), *mode = json_get(r->q, "quantization_mode");
    bool norm;
    if (flag(r, "use_rms_norm", &norm) < 0) return -1;
    if (norm) return refuse(r, "use_rms_norm", json_get(r->q, "use_rms_norm"), "false: norms within linears are not supported");
    if (mode && !json_is_str(mode, "offline")) return refuse(r, "quantization_mode", mode, "\"offline\"");
    if (class && !json_is_str(class, "bitlinear") && !json_is_str(class, "autobitlinear")) return refuse(r, "linear_class", class, "\"bitlinear\" or \"autobitlinear\"");
    c->quant = class && json_is_str(class, "autobitlinear") ? QUANT_BITNET_MUL : QUANT_BITNET_DIV;
    return 0;
}

int config_quant(struct model_config *c, const struct json *root, const char *path, struct err *e) {
    struct reader r = {root, json_get(root, "quantization_config"), path, e};
    c->quant = QUANT_PLAIN;
    if (!r.q || r.q->type == JSON_NULL) return 0;
    if (r.q->type != JSON_OBJECT) return err_set(e, RC_INPUT, "%s:%d: quantization_config is %.*s, expected an object", path, json_line(root, r.q), (int)(r.q->raw_len < 80 ? r.q->raw_len : 80), r.q->raw);
    const struct json *method = json_get(r.q, "quant_method");
    if (method && json_is_str(method, "bitsandbytes")) return bitsandbytes(c, &r);
    if (method && json_is_str(method, "bitnet")) return bitnet(c, &r);
    return refuse(&r, "quant_method", method, "\"bitsandbytes\" or \"bitnet\"");
}

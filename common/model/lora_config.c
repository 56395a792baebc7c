/* adapter_config.json, in PEFT 0.21's form, and coador.json beside it. */
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/model/json_line.h"
#include "common/model/lora_files.h"
#include <stdlib.h>
#include <string.h>

struct reader {
    const struct json *root;
    const char *path;
    struct err *e;
};

static int refuse(const struct reader *r, const char *key, const char *expected) {
    const struct json *v = json_get(r->root, key);
    if (!v) return err_set(r->e, RC_INPUT, "%s: field %s is missing, expected %s", r->path, key, expected);
    return err_set(r->e, RC_INPUT, "%s:%d: %s is %.*s, expected %s", r->path, json_line(r->root, v), key, (int)(v->raw_len < 100 ? v->raw_len : 100), v->raw, expected);
}

/* null, false, {} and []: what a feature that is not used looks like. */
static bool is_off(const struct json *v) {
    return !v || v->type == JSON_NULL || (v->type == JSON_BOOL && !v->truth) || ((v->type == JSON_OBJECT || v->type == JSON_ARRAY) && !v->count);
}

/* Fields with a meaning here, or none for the numbers of an adapter; every other one must be off. */
static bool is_known(const char *key) {
    static const char *const known[] = {"peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "bias",
                                        "init_lora_weights", "base_model_name_or_path", "inference_mode", "peft_version", "revision",
                                        "auto_mapping", "megatron_core", "qalora_group_size"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(key, known[i])) return true;
    return false;
}

/* Initialisations that also change the base's weights (pissa, olora, corda, loftq) make an adapter for another base. */
static bool harmless_init(const struct json *v) {
    return is_off(v) || v->type == JSON_BOOL || json_is_str(v, "gaussian") || json_is_str(v, "eva") || json_is_str(v, "orthogonal");
}

static int check_refused(const struct reader *r) {
    const struct json *v;
    if (!json_is_str(json_get(r->root, "peft_type"), "LORA")) return refuse(r, "peft_type", "\"LORA\"");
    v = json_get(r->root, "task_type");
    if (!is_off(v) && !json_is_str(v, "CAUSAL_LM")) return refuse(r, "task_type", "\"CAUSAL_LM\"");
    v = json_get(r->root, "bias");
    if (!is_off(v) && !json_is_str(v, "none")) return refuse(r, "bias", "\"none\"");
    if (!harmless_init(json_get(r->root, "init_lora_weights"))) return refuse(r, "init_lora_weights", "true, false, \"gaussian\", \"eva\" or \"orthogonal\"");
    for (v = r->root->first; v; v = v->next)
        if (!is_known(v->key) && !is_off(v)) return refuse(r, v->key, "it to be off: this is not supported");
    return 0;
}

static int read_numbers(struct lora_config *c, const struct reader *r) {
    const struct json *rank = json_get(r->root, "r"), *alpha = json_get(r->root, "lora_alpha"), *drop = json_get(r->root, "lora_dropout");
    const struct json *rs = json_get(r->root, "use_rslora");
    int64_t v;
    if (!rank || !json_int(rank, &v) || v < 1 || v > LORA_MAX_RANK) return refuse(r, "r", "an integer of 1 to 65536");
    c->r = (int)v;
    if (!alpha || alpha->type != JSON_NUMBER) return refuse(r, "lora_alpha", "a number");
    c->alpha = alpha->number;
    if (drop && (drop->type != JSON_NUMBER || !(drop->number >= 0 && drop->number < 1))) return refuse(r, "lora_dropout", "a number from 0, below 1");
    c->dropout = drop ? drop->number : 0;
    if (!is_off(rs) && rs->type != JSON_BOOL) return refuse(r, "use_rslora", "true or false");
    c->rslora = !is_off(rs);
    return 0;
}

static int read_targets(struct lora_config *c, int L, const struct reader *r) {
    const struct json *v = json_get(r->root, "target_modules");
    if (v && v->type == JSON_STRING && strlen(v->str) == v->len)
        return lora_match_regex(c->sites, L, v->str, r->e) < 0 ? err_prefix(r->e, "%s: ", r->path) : 0;
    if (!v || v->type != JSON_ARRAY) return refuse(r, "target_modules", "a list of names or a regular expression");
    const char **names = xcalloc(v->count + 1, sizeof *names);
    int n = 0, rc = 0;
    for (const struct json *x = v->first; !rc && x; x = x->next)
        if (x->type == JSON_STRING)
            names[n++] = x->str;
        else
            rc = refuse(r, "target_modules", "a list of names or a regular expression");
    if (!rc && (rc = lora_match_names(c->sites, L, names, n, r->e)) < 0) err_prefix(r->e, "%s: ", r->path);
    free(names);
    return rc;
}

int lora_config_read(struct lora_config *c, int L, const char *path, struct err *e) {
    struct json_doc *doc = json_read_file(path, e);
    if (!doc) return -1;
    struct reader r = {json_root(doc), path, e};
    *c = (struct lora_config){0};
    int rc = r.root->type == JSON_OBJECT ? check_refused(&r) : err_set(e, RC_INPUT, "%s: not an object", path);
    if (!rc) rc = read_numbers(c, &r);
    if (!rc) rc = read_targets(c, L, &r);
    json_doc_free(doc);
    return rc;
}

/* ---- writing ---- */
static void put_field(struct buf *b, const char *key, const char *value) { buf_addf(b, "%s\n  \"%s\": %s", b->n > 1 ? "," : "", key, value); }

static void put_number(struct buf *b, const char *key, double v) {
    struct buf n = BUF_INIT;
    json_put_number(&n, v);
    put_field(b, key, n.p);
    buf_release(&n);
}

static void put_text(struct buf *b, const char *key, const char *s) {
    struct buf v = BUF_INIT;
    if (s)
        json_put_string(&v, s, strlen(s));
    else
        buf_adds(&v, "null");
    put_field(b, key, v.p);
    buf_release(&v);
}

static void put_targets(struct buf *b, const struct lora_config *c) {
    struct buf v = BUF_INIT;
    buf_addc(&v, '[');
    for (int s = 0; s < N_SITES; s++)
        if (c->sites[s]) buf_addf(&v, "%s\n    \"%s\"", v.n > 1 ? "," : "", site_names[s]);
    buf_adds(&v, "\n  ]");
    put_field(b, "target_modules", v.p);
    buf_release(&v);
}

int lora_config_write(const struct lora_config *c, const char *path, const char *base_name, struct err *e) {
    static const char *const off[][2] = {{"alpha_pattern", "{}"}, {"auto_mapping", "null"}, {"bias", "\"none\""}, {"exclude_modules", "null"},
                                         {"fan_in_fan_out", "false"}, {"inference_mode", "true"}, {"init_lora_weights", "true"},
                                         {"layer_replication", "null"}, {"layers_pattern", "null"}, {"layers_to_transform", "null"},
                                         {"loftq_config", "{}"}, {"lora_bias", "false"}, {"modules_to_save", "null"}, {"peft_type", "\"LORA\""},
                                         {"rank_pattern", "{}"}, {"revision", "null"}, {"task_type", "\"CAUSAL_LM\""}, {"use_dora", "false"}};
    struct buf b = BUF_INIT;
    buf_addc(&b, '{');
    put_text(&b, "base_model_name_or_path", base_name);
    put_number(&b, "r", c->r);
    put_number(&b, "lora_alpha", c->alpha);
    put_number(&b, "lora_dropout", c->dropout);
    put_targets(&b, c);
    put_field(&b, "use_rslora", c->rslora ? "true" : "false");
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) put_field(&b, off[i][0], off[i][1]);
    buf_adds(&b, "\n}\n");
    int rc = io_write_file(path, b.p, b.n, e);
    buf_release(&b);
    return rc;
}

/* ---- coador.json ---- */
/* The document, NULL where the file is absent (rc 0) or bad (rc -1). */
static struct json_doc *open_identity(const char *dir, int *rc, struct err *e) {
    char *path = io_join(dir, "coador.json");
    struct json_doc *doc = NULL;
    int64_t format;
    *rc = 0;
    if (io_exists(path)) {
        doc = json_read_file(path, e);
        const struct json *v = doc ? json_get(json_root(doc), "format") : NULL;
        if (!doc)
            *rc = -1;
        else if (!v || !json_int(v, &format) || format != 1)
            *rc = err_set(e, RC_INPUT, "%s: format is not 1, the only one known to this version", path);
    }
    free(path);
    if (*rc == 0 || !doc) return doc;
    json_doc_free(doc);
    return NULL;
}

static int check_hash(const struct json *root, const char *dir, const char *key, const char *what, const char *have, struct err *e) {
    const struct json *v = json_get(root, key);
    if (json_is_str(v, have)) return 0;
    if (!v || v->type != JSON_STRING) return err_set(e, RC_INPUT, "%s/coador.json: field %s is missing or not a string", dir, key);
    return err_set(e, RC_INPUT, "%s: the adapter was trained on another %s: its SHA-256 is %.16s…, the model's %.16s…", dir, what, v->str, have);
}

int lora_check_identity(const struct model *m, const char *dir, struct err *e) {
    int rc;
    struct json_doc *doc = open_identity(dir, &rc, e);
    if (!doc) return rc;
    rc = check_hash(json_root(doc), dir, "base_sha256", "base", model_hash(m), e);
    if (!rc) rc = check_hash(json_root(doc), dir, "tokenizer_sha256", "tokenizer", tokenizer_hash(m->tok), e);
    json_doc_free(doc);
    return rc;
}

int lora_read_template(const char *dir, char **name, struct err *e) {
    int rc;
    struct json_doc *doc = open_identity(dir, &rc, e);
    *name = NULL;
    if (!doc) return rc;
    const struct json *v = json_get(json_root(doc), "template");
    if (v && v->type == JSON_STRING)
        *name = xmemdup0(v->str, v->len);
    else if (!v || v->type != JSON_NULL)
        rc = err_set(e, RC_INPUT, "%s/coador.json: field template is missing, expected a name or null", dir);
    json_doc_free(doc);
    return rc;
}

int lora_check_template(const char *dir, const char *now, struct err *e) {
    char *path = io_join(dir, "coador.json"), *trained = NULL;
    int rc = 0;
    if (io_exists(path)) rc = lora_read_template(dir, &trained, e);
    if (!rc && io_exists(path) && strcmp(trained ? trained : "none", now ? now : "none"))
        rc = err_set(e, RC_INPUT, "%s: trained with chat template %s, asked with %s: %s", path, trained ? trained : "none", now ? now : "none",
                     now ? "leave out --chat" : "give --chat");
    free(trained);
    free(path);
    return rc;
}

int lora_write_identity(const struct model *m, const char *dir, const char *chat_template, struct err *e) {
    struct buf b = BUF_INIT;
    char *path = io_join(dir, "coador.json");
    buf_addc(&b, '{');
    put_field(&b, "format", "1");
    put_text(&b, "coador", COADOR_VERSION);
    put_text(&b, "base_sha256", model_hash(m));
    put_text(&b, "tokenizer_sha256", tokenizer_hash(m->tok));
    put_text(&b, "template", chat_template);
    buf_adds(&b, "\n}\n");
    int rc = io_write_file(path, b.p, b.n, e);
    free(path);
    buf_release(&b);
    return rc;
}

/* LoRA adapters: host description and device tensors, PEFT's files both ways
   (adapter_model.safetensors in f32, names base_model.model.model.layers.N.self_attn.q_proj.lora_A.weight;
   adapter_config.json). */
#ifndef COADOR_LORA_H
#define COADOR_LORA_H
#include "common/model/model.h"

struct lora_config {
    int r;
    double alpha;
    double dropout;
    bool rslora;             /* scale alpha/sqrt(r) instead of alpha/r */
    bool sites[N_SITES];     /* which linears carry an adapter (every layer) */
    bool per_module;         /* dropout: one mask a module as PEFT, instead of one an input */
};
float lora_scale(const struct lora_config *c);

/* Which sites target_modules means, for a model of L layers. Names as PEFT's lists match them: a module's whole name or
   its end after a dot ("q_proj", "self_attn.q_proj"). A regex (PCRE2) as PEFT's strings: it must match the whole name
   ("model.layers.0.self_attn.q_proj"); "all-linear" is every site. Errors (RC_INPUT): a name that matches nothing, a
   site matched in some layers only, modules that can carry no adapter here (lm_head, embed_tokens, norms, …). */
int lora_match_names(bool sites[N_SITES], int L, const char *const *names, int n, struct err *e);
int lora_match_regex(bool sites[N_SITES], int L, const char *regex, struct err *e);

/* All parameters of one adapter lie in one f32 device buffer (so norms and AdamW are one call each): for each layer, each
   site present, A(r,K) then B(N,r). */
struct lora {
    struct lora_config cfg;
    struct dev *d;
    int L;
    int64_t n;               /* parameters in all */
    float *p;                /* (n) f32, device: owned */
    int64_t *a_off, *b_off;  /* [L·N_SITES] offsets into p; -1 where the site has none */
    float scale;             /* of this use: lora_scale · what the user asked for ("--adapter DIR=0.5") */
};
/* A from Kaiming uniform (bound 1/sqrt(K), as PEFT's default), by a counter-based generator keyed with seed and tensor
   (lora.c), the same on any device; B zero. RC_INPUT where r < 1 or no site is chosen. give: lora_free. */
struct lora *lora_new(const struct model *m, const struct lora_config *cfg, uint64_t seed, struct err *e);
void lora_free(struct lora *a);
/* "DIR=0.5" as users write an adapter: gives DIR and sets *scale to what stands behind the last = if that is a number; else the
   whole is the directory and the scale 1. free(3). */
char *lora_split_scale(const char *arg, double *scale);
/* Reads a PEFT directory for this model: unknown tensors, missing ones, other shapes, unsupported config fields (DoRA,
   bias, modules_to_save, rank patterns, …) are errors. Checks coador.json's hashes when there unless `any_base`.
   cfg.per_module is false: it is not PEFT's to store. give: lora_free. */
struct lora *lora_read(const struct model *m, const char *dir, bool any_base, struct err *e);
/* Writes adapter_model.safetensors and adapter_config.json into an existing directory. base_name: for base_model_name_or_path. */
int lora_write(const struct lora *a, const char *dir, const char *base_name, struct err *e);
/* Writes coador.json into the directory: {"format":1,"coador":version,"base_sha256":…,"tokenizer_sha256":…,"template":…};
   chat_template: chat_name() of the template trained with, NULL where none was. */
int lora_write_identity(const struct model *m, const char *dir, const char *chat_template, struct err *e);
/* The template named there; *name NULL where coador.json is absent or names none, else give. */
int lora_read_template(const char *dir, char **name, struct err *e);
/* An adapter answers in the template it was trained with: RC_INPUT where coador.json names another than `now` (NULL: none).
   One without that file (PEFT's own) tells nothing. */
int lora_check_template(const char *dir, const char *now, struct err *e);
/* Host copies of p in and out (n f32). */
int lora_download(const struct lora *a, float *p, struct err *e);
int lora_upload(struct lora *a, const float *p, struct err *e);
/* Name of the module, for messages and gradients by name: "model.layers.3.self_attn.q_proj"; static buffer. */
const char *lora_module_name(int layer, enum site s);
#endif

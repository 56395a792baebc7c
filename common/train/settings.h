/* What a training is told: PEFT's LoraConfig and transformers' TrainingArguments by their own names, read from YAML
   (flat, or under `lora:` and `training:`) and overridden by the command line. Fields left out have those libraries'
   defaults, so that a pasted notebook means here what it meant there; coador-lora-train(1) lists the exceptions. */
#ifndef COADOR_SETTINGS_H
#define COADOR_SETTINGS_H
#include "common/io/buf.h"
#include "common/io/err.h"
#include "common/io/yaml.h"
#include "common/model/lora.h"
#include "common/train/order.h"
#include "common/train/schedule.h"

struct targets { /* target_modules: exactly one of the three */
    bool all_linear;
    char *regex;  /* must match a module's whole name, as re.fullmatch does */
    char **names; /* n suffixes: "q_proj" */
    int n;
};

#define SETTINGS_MAX_FIELDS 48
enum { OPTIM_PAGED = 2 };
struct settings {
    /* LoraConfig */
    int64_t r;
    double lora_alpha, lora_dropout;
    bool use_rslora, lora_dropout_per_module;
    struct targets targets;
    /* TrainingArguments */
    char *output_dir;
    int64_t batch, accumulation;
    double epochs;
    int64_t max_steps; /* -1: by epochs */
    double learning_rate, warmup_ratio, warmup_steps, max_grad_norm, weight_decay, beta1, beta2, eps;
    int schedule, sampling, optim; /* enum schedule_kind, enum sampling, index into the words: OPTIM_PAGED is the one that means something */
    bool group_by_length, bf16, fp16, load_best, completion_only, gradient_checkpointing;
    int64_t logging_steps, save_steps, save_total_limit, eval_steps, patience, seed, max_length;
    double threshold, distill_alpha;
    int padding_side;
    /* Where each field was set (by its place in the table): 0 nowhere, -1 on the command line, else its line. */
    int line[SETTINGS_MAX_FIELDS];
};
void settings_init(struct settings *s);
void settings_release(struct settings *s);
/* Reads a YAML file over what is there. Errors: "path:line: field: expected …"; an unknown field is one. */
int settings_read(struct settings *s, const char *path, struct err *e);
int settings_parse(struct settings *s, const char *text, size_t n, const char *name, struct err *e);
/* One field from the command line: `option` names it in messages ("--lr"). Errors are RC_USAGE. */
int settings_set(struct settings *s, const char *field, const char *value, const char *option, struct err *e);
bool settings_given(const struct settings *s, const char *field);
/* What fields say together: conflicts are errors; what has no effect here is a line in `remarks`. cpu: the device is one. */
int settings_check(const struct settings *s, bool cpu, bool has_eval, struct buf *remarks, struct err *e);
/* The linears that target_modules names in a model of L layers (lora.h: lora_match_names, lora_match_regex). */
int settings_targets(const struct settings *s, int L, bool sites[N_SITES], struct err *e);
/* Appends the fields on which the trained bytes depend as members of a JSON object: "r":16,"lora_alpha":64,… (targets
   as the resolved sites). Two trainings with the same text and data end in the same adapter. */
void settings_put(const struct settings *s, const bool sites[N_SITES], struct buf *b);
#endif

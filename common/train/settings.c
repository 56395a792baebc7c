/* Training settings from YAML and options: see settings.h. One table drives reading, checking and writing. */
#include "common/train/settings.h"
#include "common/io/json.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    INT,     /* int64_t, min..max */
    REAL,    /* double, min..max; OPEN_MIN, OPEN_MAX leave the end out */
    BOOL,    /* bool */
    WORD,    /* int: index into words */
    STR,     /* char *, owned */
    TARGETS, /* struct targets */
    ONLY     /* nothing kept: one of the words, all of which mean what is done anyway */
};
enum { OPEN_MIN = 1, OPEN_MAX = 2, BYTES = 4 /* the trained bytes depend on it */ };

struct field {
    const char *name;
    enum kind kind;
    size_t at; /* in struct settings */
    double min, max;
    const char *words;
    int flags;
};
#define AT(member) offsetof(struct settings, member)
#define MAX_COUNT 1e9
static const struct field fields[] = {
    {"r", INT, AT(r), 1, 4096, NULL, BYTES},
    {"lora_alpha", REAL, AT(lora_alpha), 0, 1e6, NULL, BYTES | OPEN_MIN},
    {"lora_dropout", REAL, AT(lora_dropout), 0, 1, NULL, BYTES | OPEN_MAX},
    {"target_modules", TARGETS, AT(targets), 0, 0, NULL, 0}, /* written as resolved sites */
    {"bias", ONLY, 0, 0, 0, "none", 0},
    {"use_rslora", BOOL, AT(use_rslora), 0, 0, NULL, BYTES},
    {"lora_dropout_per_module", BOOL, AT(lora_dropout_per_module), 0, 0, NULL, BYTES},
    {"task_type", ONLY, 0, 0, 0, "CAUSAL_LM", 0},
    {"peft_type", ONLY, 0, 0, 0, "LORA", 0},
    {"output_dir", STR, AT(output_dir), 0, 0, NULL, 0},
    {"per_device_train_batch_size", INT, AT(batch), 1, 1e6, NULL, BYTES},
    {"gradient_accumulation_steps", INT, AT(accumulation), 1, 1e6, NULL, BYTES},
    {"num_train_epochs", REAL, AT(epochs), 0, 1e6, NULL, BYTES | OPEN_MIN},
    {"max_steps", INT, AT(max_steps), -1, MAX_COUNT, NULL, BYTES},
    {"learning_rate", REAL, AT(learning_rate), 0, 1e3, NULL, BYTES | OPEN_MIN},
    {"lr_scheduler_type", WORD, AT(schedule), 0, 0, "constant|constant_with_warmup|linear|cosine", BYTES},
    {"warmup_ratio", REAL, AT(warmup_ratio), 0, 1, NULL, BYTES},
    {"warmup_steps", REAL, AT(warmup_steps), 0, MAX_COUNT, NULL, BYTES},
    {"max_grad_norm", REAL, AT(max_grad_norm), 0, 1e9, NULL, BYTES},
    {"weight_decay", REAL, AT(weight_decay), 0, 1e3, NULL, BYTES},
    {"adam_beta1", REAL, AT(beta1), 0, 1, NULL, BYTES | OPEN_MAX},
    {"adam_beta2", REAL, AT(beta2), 0, 1, NULL, BYTES | OPEN_MAX},
    {"adam_epsilon", REAL, AT(eps), 0, 1, NULL, BYTES | OPEN_MIN},
    {"optim", WORD, AT(optim), 0, 0, "adamw_torch|adamw_torch_fused|paged_adamw_32bit", 0},
    {"train_sampling_strategy", WORD, AT(sampling), 0, 0, "random|sequential|group_by_length", BYTES},
    {"group_by_length", BOOL, AT(group_by_length), 0, 0, NULL, 0}, /* ends up in the line above */
    {"bf16", BOOL, AT(bf16), 0, 0, NULL, 0},
    {"fp16", BOOL, AT(fp16), 0, 0, NULL, 0},
    {"gradient_checkpointing", BOOL, AT(gradient_checkpointing), 0, 0, NULL, 0}, /* the same bytes */
    {"logging_steps", INT, AT(logging_steps), 1, MAX_COUNT, NULL, 0},
    {"save_steps", INT, AT(save_steps), 1, MAX_COUNT, NULL, 0},
    {"save_total_limit", INT, AT(save_total_limit), 1, MAX_COUNT, NULL, 0},
    {"eval_steps", INT, AT(eval_steps), 1, MAX_COUNT, NULL, BYTES},
    {"early_stopping_patience", INT, AT(patience), 1, MAX_COUNT, NULL, BYTES},
    {"early_stopping_threshold", REAL, AT(threshold), 0, 1e9, NULL, BYTES},
    {"load_best_model_at_end", BOOL, AT(load_best), 0, 0, NULL, BYTES},
    {"metric_for_best_model", ONLY, 0, 0, 0, "eval_loss|loss", 0},
    {"greater_is_better", ONLY, 0, 0, 0, "false|False", 0},
    {"seed", INT, AT(seed), 0, 9007199254740992.0, NULL, BYTES},
    {"padding_side", WORD, AT(padding_side), 0, 0, "right|left", 0},
    {"report_to", ONLY, 0, 0, 0, "none", 0},
    {"max_length", INT, AT(max_length), 2, 1e7, NULL, 0}, /* the data's hash shows it */
    {"completion_only_loss", BOOL, AT(completion_only), 0, 0, NULL, 0},
    {"distill_alpha", REAL, AT(distill_alpha), 0, 1, NULL, 0}, /* counts with a teacher only, who is named beside it */
};
enum { N_FIELDS = sizeof fields / sizeof *fields };
_Static_assert(N_FIELDS <= SETTINGS_MAX_FIELDS, "struct settings holds a line for each field");

static int find(const char *name) {
    for (int i = 0; i < N_FIELDS; i++)
        if (!strcmp(fields[i].name, name)) return i;
    return -1;
}

bool settings_given(const struct settings *s, const char *field) {
    int i = find(field);
    if (i < 0) BUG("no training field is called %s", field);
    return s->line[i] != 0;
}

static void targets_release(struct targets *t) {
    free(t->regex);
    for (int i = 0; i < t->n; i++) free(t->names[i]);
    free(t->names);
    *t = (struct targets){0};
}

static void targets_add(struct targets *t, const char *name) {
    t->names = xrealloc(t->names, (size_t)t->n + 1, sizeof *t->names);
    t->names[t->n++] = xstrdup(name);
}

void settings_init(struct settings *s) {
    *s = (struct settings){.r = 8, .lora_alpha = 8, .batch = 8, .accumulation = 1, .epochs = 3, .max_steps = -1,
        .learning_rate = 5e-5, .schedule = SCHEDULE_LINEAR, .sampling = SAMPLING_RANDOM, .max_grad_norm = 1,
        .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .logging_steps = 10, .save_steps = 500, .save_total_limit = 2,
        .seed = 42, .completion_only = true, .distill_alpha = 0.5};
    targets_add(&s->targets, "q_proj"); /* PEFT's choice for Llama */
    targets_add(&s->targets, "v_proj");
}

void settings_release(struct settings *s) {
    targets_release(&s->targets);
    free(s->output_dir);
    *s = (struct settings){0};
}

/* ---- one value ---- */
static int place(const struct yaml *y, const char *name, const struct field *f, struct err *e) {
    return err_prefix(e, "%s:%d: %s: ", name, y->line, f->name);
}

static int set_number(struct settings *s, const struct field *f, const struct yaml *y, const char *name, struct err *e) {
    double x;
    int64_t i = 0;
    if (f->kind == INT ? yaml_int(y, name, &i, e) : yaml_real(y, name, &x, e)) return -1;
    if (f->kind == INT) x = (double)i;
    bool low = f->flags & OPEN_MIN ? !(x > f->min) : !(x >= f->min), high = f->flags & OPEN_MAX ? !(x < f->max) : !(x <= f->max);
    if (low || high) {
        err_set(e, RC_INPUT, "expected a number %s %g and %s %g, found %s", f->flags & OPEN_MIN ? "above" : "of at least",
            f->min, f->flags & OPEN_MAX ? "below" : "at most", f->max, y->text);
        return place(y, name, f, e);
    }
    if (f->kind == INT)
        *(int64_t *)((char *)s + f->at) = i;
    else
        *(double *)((char *)s + f->at) = x;
    return 0;
}

/* Index of text among the |-separated words, or -1. */
static int word_index(const char *words, const char *text) {
    size_t n = strlen(text);
    for (int i = 0; words; i++) {
        const char *bar = strchr(words, '|');
        size_t len = bar ? (size_t)(bar - words) : strlen(words);
        if (len == n && !memcmp(words, text, n)) return i;
        words = bar ? bar + 1 : NULL;
    }
    return -1;
}

static int set_word(struct settings *s, const struct field *f, const struct yaml *y, const char *name, struct err *e) {
    int i = y->type == YAML_SCALAR ? word_index(f->words, y->text) : -1;
    if (i < 0) {
        err_set(e, RC_INPUT, "expected %s%s, found %s", strchr(f->words, '|') ? "one of " : "", f->words,
            y->type == YAML_SCALAR ? y->text : y->type == YAML_LIST ? "a list" : "a map");
        return place(y, name, f, e);
    }
    if (f->kind == WORD) *(int *)((char *)s + f->at) = i;
    return 0;
}

static int set_targets(struct settings *s, const struct field *f, const struct yaml *y, const char *name, struct err *e) {
    struct targets t = {0};
    const char *text;
    if (y->type == YAML_SCALAR) {
        if (!*y->text) return err_set(e, RC_INPUT, "expected a list of modules, a regular expression or all-linear"), place(y, name, f, e);
        t.all_linear = !strcmp(y->text, "all-linear");
        if (!t.all_linear) t.regex = xstrdup(y->text);
    } else if (y->type == YAML_LIST && y->count) {
        for (const struct yaml *x = y->first; x; x = x->next) {
            if (yaml_str(x, name, &text, e) < 0) return targets_release(&t), -1;
            targets_add(&t, text);
        }
    } else {
        err_set(e, RC_INPUT, "expected a list of modules, a regular expression or all-linear, found %s", y->type == YAML_MAP ? "a map" : "an empty list");
        return place(y, name, f, e);
    }
    targets_release(&s->targets);
    s->targets = t;
    return 0;
}

static int set_str(struct settings *s, const struct field *f, const struct yaml *y, const char *name, struct err *e) {
    const char *text;
    char **to = (char **)((char *)s + f->at);
    if (yaml_str(y, name, &text, e) < 0) return -1;
    free(*to);
    *to = xstrdup(text);
    return 0;
}

static int set_field(struct settings *s, const struct field *f, const struct yaml *y, const char *name, struct err *e) {
    switch (f->kind) {
    case INT:
    case REAL: return set_number(s, f, y, name, e);
    case BOOL: return yaml_bool(y, name, (bool *)((char *)s + f->at), e);
    case WORD:
    case ONLY: return set_word(s, f, y, name, e);
    case STR: return set_str(s, f, y, name, e);
    case TARGETS: return set_targets(s, f, y, name, e);
    }
    return 0;
}

/* ---- a file ---- */
static bool is_group(const struct yaml *y) {
    return y->type == YAML_MAP && (!strcmp(y->key, "lora") || !strcmp(y->key, "training"));
}

static int read_map(struct settings *s, const struct yaml *map, const char *name, bool top, struct err *e) {
    for (const struct yaml *y = map->first; y; y = y->next) {
        if (top && is_group(y)) {
            if (read_map(s, y, name, false, e) < 0) return -1;
            continue;
        }
        int i = find(y->key);
        if (i < 0)
            return err_set(e, RC_INPUT, "%s:%d: unknown field %s, expected one that coador-lora-train(1) lists", name, y->key_line, y->key);
        if (s->line[i] > 0)
            return err_set(e, RC_INPUT, "%s:%d: %s stands in line %d already", name, y->key_line, y->key, s->line[i]);
        if (set_field(s, &fields[i], y, name, e) < 0) return -1;
        s->line[i] = y->key_line;
    }
    return 0;
}

/* group_by_length is the older spelling of one train_sampling_strategy. */
static int join_sampling(struct settings *s, const char *name, struct err *e) {
    int g = find("group_by_length"), t = find("train_sampling_strategy");
    if (!s->group_by_length) return 0;
    if (s->line[t] > 0 && s->sampling != SAMPLING_GROUP_BY_LENGTH)
        return err_set(e, RC_INPUT, "%s:%d: group_by_length: contradicts train_sampling_strategy in line %d", name, s->line[g], s->line[t]);
    s->sampling = SAMPLING_GROUP_BY_LENGTH;
    return 0;
}

static int read_tree(struct settings *s, struct yaml *y, const char *name, struct err *e) {
    int rc = -1;
    if (y && y->type != YAML_MAP)
        err_set(e, RC_INPUT, "%s:%d: expected a map of fields", name, y->line);
    else if (y)
        rc = read_map(s, y, name, true, e) < 0 ? -1 : join_sampling(s, name, e);
    yaml_free(y);
    return rc;
}

int settings_read(struct settings *s, const char *path, struct err *e) { return read_tree(s, yaml_read_file(path, e), path, e); }

int settings_parse(struct settings *s, const char *text, size_t n, const char *name, struct err *e) {
    return read_tree(s, yaml_parse(text, n, name, e), name, e);
}

/* Text "--lr:1: learning_rate: expected …" of a one-line document into "--lr: expected …". */
static int as_usage(const char *option, const char *field, struct err *e) {
    char with[200];
    size_t n = (size_t)snprintf(with, sizeof with, "%s:1: %s: ", option, field);
    if (n >= sizeof with || strncmp(e->msg, with, n)) n = (size_t)snprintf(with, sizeof with, "%s:1: ", option);
    if (!strncmp(e->msg, with, n)) memmove(e->msg, e->msg + n, strlen(e->msg + n) + 1);
    e->code = RC_USAGE;
    return err_prefix(e, "%s: ", option);
}

int settings_set(struct settings *s, const char *field, const char *value, const char *option, struct err *e) {
    int i = find(field);
    if (i < 0) return err_set(e, RC_USAGE, "%s: unknown field %s, expected one that coador-lora-train(1) lists", option, field);
    struct buf text = BUF_INIT;
    buf_addf(&text, "%s: %s", field, value);
    struct yaml *y = yaml_parse(text.p, text.n, option, e);
    int rc = y ? set_field(s, &fields[i], y->first, option, e) : -1;
    if (y && !rc && y->count != 1) rc = err_set(e, RC_USAGE, "expected one value, found several lines");
    yaml_free(y);
    buf_release(&text);
    if (rc < 0) return as_usage(option, field, e);
    s->line[i] = -1;
    if (!strcmp(field, "group_by_length")) {
        if (s->group_by_length || s->sampling == SAMPLING_GROUP_BY_LENGTH) s->sampling = s->group_by_length ? SAMPLING_GROUP_BY_LENGTH : SAMPLING_RANDOM;
    }
    return 0;
}

/* ---- what fields say together ---- */
int settings_targets(const struct settings *s, int L, bool sites[N_SITES], struct err *e) {
    const struct targets *t = &s->targets;
    if (t->n) return lora_match_names(sites, L, (const char *const *)t->names, t->n, e);
    return lora_match_regex(sites, L, t->all_linear ? "all-linear" : t->regex, e);
}

int settings_check(const struct settings *s, bool cpu, bool has_eval, struct buf *remarks, struct err *e) {
    if (s->bf16 && s->fp16) return err_set(e, RC_INPUT, "bf16 and fp16 are both true, expected at most one");
    if (s->max_steps == 0) return err_set(e, RC_INPUT, "max_steps is 0, expected at least 1, or -1 to count by epochs");
    if (s->batch * s->accumulation > 1000000)
        return err_set(e, RC_INPUT, "per_device_train_batch_size times gradient_accumulation_steps is %lld, expected at most 1000000 rows a step", (long long)(s->batch * s->accumulation));
    if (!has_eval && (s->patience || s->load_best || settings_given(s, "eval_steps")))
        return err_set(e, RC_USAGE, "%s needs rows to evaluate on: --eval FILE",
            s->patience ? "early_stopping_patience" : s->load_best ? "load_best_model_at_end" : "eval_steps");
    if (s->patience && settings_given(s, "load_best_model_at_end") && !s->load_best)
        return err_set(e, RC_INPUT, "early_stopping_patience keeps the best adapter, but load_best_model_at_end is false");
    bool warm = s->warmup_ratio > 0 || s->warmup_steps > 0;
    if (warm && s->schedule == SCHEDULE_CONSTANT)
        buf_addf(remarks, "%s has no effect under lr_scheduler_type constant (transformers ignores it too); constant_with_warmup heeds it\n",
            s->warmup_steps > 0 ? "warmup_steps" : "warmup_ratio");
    if (s->warmup_ratio > 0 && s->warmup_steps > 0) buf_adds(remarks, "warmup_ratio has no effect beside warmup_steps\n");
    if (s->max_steps > 0 && settings_given(s, "num_train_epochs")) buf_adds(remarks, "num_train_epochs has no effect beside max_steps\n");
    if (cpu && s->optim == OPTIM_PAGED) buf_adds(remarks, "optim paged_adamw_32bit: plain AdamW in f32 here, a CPU has nothing to page\n");
    if (cpu && (s->bf16 || s->fp16)) buf_addf(remarks, "%s: computed in f32 on a CPU\n", s->bf16 ? "bf16" : "fp16");
    if (settings_given(s, "padding_side") && s->padding_side) buf_adds(remarks, "padding_side left has no effect: sequences are packed, nothing is padded\n");
    return 0;
}

void settings_put(const struct settings *s, const bool sites[N_SITES], struct buf *b) {
    for (int i = 0; i < N_FIELDS; i++) {
        const struct field *f = &fields[i];
        const char *at = (const char *)s + f->at;
        if (!(f->flags & BYTES)) continue;
        buf_addf(b, "\"%s\":", f->name);
        switch (f->kind) {
        case INT: buf_addf(b, "%lld", (long long)*(const int64_t *)at); break;
        case REAL: json_put_number(b, *(const double *)at); break;
        case BOOL: buf_adds(b, *(const bool *)at ? "true" : "false"); break;
        case WORD: buf_addf(b, "%d", *(const int *)at); break;
        default: BUG("field %s is not written", f->name);
        }
        buf_addc(b, ',');
    }
    buf_adds(b, "\"target_modules\":\"");
    const char *comma = "";
    for (int i = 0; i < N_SITES; i++)
        if (sites[i]) buf_addf(b, "%s%s", comma, site_names[i]), comma = ",";
    buf_addc(b, '"');
}

/* Trains a LoRA adapter on rows of text:
     coador csv2prompt --prompt p.txt --completion c.txt train.csv | coador lora-train --model m.gguf --config lora.yaml -o adapter */
#include "common/io/io.h"
#include "common/io/opt.h"
#include "common/model/llama.h"
#include "common/text/asked.h"
#include "common/text/chat.h"
#include "common/train/metrics.h"
#include "common/train/plan.h"
#include "common/train/rows_fit.h"
#include "common/train/trainer.h"
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "coador lora-train --model M -o DIR [OPTION ...] [FILE]\n"
                            "       coador lora-train --model M --show-mask N [OPTION ...] [FILE]\n"
                            "       coador lora-train --model M --estimate [OPTION ...]";

struct opts {
    const char *model, *dir, *config, *eval, *init, *device, *file, *teacher;
    struct opt_list set;
    int64_t tokens_per_pass, threads, show;
    const char *limit;
    int overlong, base, recompute, space, compute;
    struct asked ask; /* of completions: --schema */
    bool chat, skip_incomplete, resume, overwrite, estimate, quiet, no_shuffle, paged;
};
static const char *const base_words[] = {"keep", "f32", "bf16"};

/* Options that set one field of the training settings. */
static struct { const char *option, *field; const char *value; } fields[] = {
    {"epochs", "num_train_epochs", NULL}, {"max-steps", "max_steps", NULL}, {"lr", "learning_rate", NULL},
    {"schedule", "lr_scheduler_type", NULL}, {"batch", "per_device_train_batch_size", NULL},
    {"accumulation", "gradient_accumulation_steps", NULL}, {"rank", "r", NULL}, {"alpha", "lora_alpha", NULL},
    {"dropout", "lora_dropout", NULL}, {"targets", "target_modules", NULL}, {"seed", "seed", NULL},
    {"max-length", "max_length", NULL}, {"loss", "completion_only_loss", NULL},
    {"distill-alpha", "distill_alpha", NULL},
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

static bool is_stdin(const char *path) { return path && !strcmp(path, "-"); }

static void check_inputs(const struct opts *o) {
    if (is_stdin(o->file) + is_stdin(o->eval) + is_stdin(o->teacher) > 1) die_usage("standard input (-) is named twice: at most one input may be -");
    if (o->teacher && (o->estimate || o->show)) die_usage("--teacher-logits has no meaning with --%s", o->estimate ? "estimate" : "show-mask");
}

static void parse(struct opts *o, int argc, char **argv) {
    *o = (struct opts){.device = "auto"};
    int i = 0;
    const struct option options[] = {
        {"model", 'm', OPT_STR, &o->model, "M", "GGUF file, Hugging Face directory or tensor stream of the frozen base", 0, 0},
        {"output", 'o', OPT_STR, &o->dir, "DIR", "where the adapter goes (or output_dir)", 0, 0},
        {"config", 'c', OPT_STR, &o->config, "FILE", "YAML with LoraConfig's and TrainingArguments' fields", 0, 0},
        {"set", 0, OPT_LIST, &o->set, "FIELD=VALUE", "one field of the config; may be repeated", 0, 0},
        {"epochs", 0, OPT_STR, &fields[i++].value, "N", "num_train_epochs", 0, 0},
        {"max-steps", 0, OPT_STR, &fields[i++].value, "N", "max_steps", 0, 0},
        {"lr", 0, OPT_STR, &fields[i++].value, "X", "learning_rate", 0, 0},
        {"schedule", 0, OPT_STR, &fields[i++].value, "NAME", "lr_scheduler_type", 0, 0},
        {"batch", 0, OPT_STR, &fields[i++].value, "N", "per_device_train_batch_size", 0, 0},
        {"accumulation", 0, OPT_STR, &fields[i++].value, "N", "gradient_accumulation_steps", 0, 0},
        {"rank", 'r', OPT_STR, &fields[i++].value, "N", "r", 0, 0},
        {"alpha", 0, OPT_STR, &fields[i++].value, "X", "lora_alpha", 0, 0},
        {"dropout", 0, OPT_STR, &fields[i++].value, "X", "lora_dropout", 0, 0},
        {"targets", 0, OPT_STR, &fields[i++].value, "WHAT", "target_modules: [q_proj, v_proj], a regex or all-linear", 0, 0},
        {"seed", 0, OPT_STR, &fields[i++].value, "N", "seed", 0, 0},
        {"max-length", 0, OPT_STR, &fields[i++].value, "N", "max_length: tokens of a row (default: the model's context)", 0, 0},
        {"loss", 0, OPT_STR, &fields[i++].value, "completion|all", "which tokens are trained", 0, 0},
        {"distill-alpha", 0, OPT_STR, &fields[i++].value, "X", "distill_alpha: share of the loss against soft labels (0.5)", 0, 0},
        {"teacher-logits", 0, OPT_STR, &o->teacher, "FILE", "soft labels of the same records (generate --score --top-k)", 0, 0},
        {"overlong", 0, OPT_CHOICE, &o->overlong, "error|skip|truncate", "what becomes of longer rows", 0, 0},
        {"skip-incomplete", 0, OPT_FLAG, &o->skip_incomplete, NULL, "leave out records with an error or without completion", 0, 0},
        {"chat", 0, OPT_FLAG, &o->chat, NULL, "wrap prompts with the model's chat template", 0, 0},
        {"no-shuffle", 0, OPT_FLAG, &o->no_shuffle, NULL, "take the rows in their order", 0, 0},
        {"eval", 0, OPT_STR, &o->eval, "FILE", "rows to evaluate on", 0, 0},
        {"init-adapter", 0, OPT_STR, &o->init, "DIR", "begin from this adapter", 0, 0},
        {"resume", 0, OPT_FLAG, &o->resume, NULL, "go on from the last whole checkpoint", 0, 0},
        {"overwrite", 0, OPT_FLAG, &o->overwrite, NULL, "delete an earlier training in DIR first; with --resume, only one that cannot be resumed", 0, 0},
        {"tokens-per-pass", 0, OPT_INT, &o->tokens_per_pass, "N", "tokens packed into one pass (default 1024, on a card 8192)", 1, 1 << 24},
        {"recompute", 0, OPT_CHOICE, &o->recompute, "none|mlp|layer", "what the backward computes again instead of keeping it", 0, 0},
        {"memory-limit", 0, OPT_STR, &o->limit, "SIZE", "keep the peak below SIZE (3.4G, 900M) by smaller passes or recomputing", 0, 0},
        {"paged-moments", 0, OPT_FLAG, &o->paged, NULL, "on a card: AdamW's moments in the host's memory (or optim paged_adamw_32bit)", 0, 0},
        {"base-dtype", 0, OPT_CHOICE, &o->base, "keep|f32|bf16", "frozen linears in memory", 0, 0},
        {"compute", 0, OPT_CHOICE, &o->compute, "auto|fp8", "products with the frozen linears: the device's type, or e4m3 on cards that have it", 0, 0},
        {"device", 0, OPT_STR, &o->device, "D", "auto, cpu, cuda or cuda:N: where to compute (auto: the first card, else the CPU)", 0, 0},
        {"threads", 0, OPT_INT, &o->threads, "N", "threads (default: all cores)", 1, 1024},
        {"estimate", 0, OPT_FLAG, &o->estimate, NULL, "print the peak memory by part and exit", 0, 0},
        {"show-mask", 0, OPT_INT, &o->show, "N", "print the tokens of N rows, trained ones marked, and exit", 1, 1e9},
        {"schema", 0, OPT_STR, &o->ask.schema_file, "FILE", "with --show-mask: warn where generate --schema would not write a completion", 0, 0},
        {"whitespace", 0, OPT_CHOICE, &o->space, "compact|python|bounded", "of those completions", 0, 0},
        {"quiet", 'q', OPT_FLAG, &o->quiet, NULL, "warnings and errors only", 0, 0},
        OPT_END};
    int n = opt_parse(argc, argv, "lora-train", usage, options);
    if (n > 1) die_usage("unexpected operand %s", argv[1]);
    if (!o->model) die_usage("--model M is missing");
    if (o->ask.schema_file && !o->show) die_usage("--schema has no meaning without --show-mask");
    if (opt_given("whitespace") && !o->ask.schema_file) die_usage("--whitespace has no meaning without --schema");
    o->ask.space = (enum grammar_space)o->space;
    o->file = n ? argv[0] : "-";
    check_inputs(o);
}

/* ---- settings ---- */
static const char *loss_value(const char *word) {
    if (!strcmp(word, "completion")) return "true";
    if (!strcmp(word, "all")) return "false";
    die_usage("--loss %s: expected one of completion|all", word);
}

static void set_pairs(struct settings *s, const struct opt_list *l) {
    struct err e = ERR_INIT;
    for (int i = 0; i < l->n; i++) {
        const char *eq = strchr(l->v[i], '=');
        if (!eq) die_usage("--set %s: expected FIELD=VALUE", l->v[i]);
        char *name = xmemdup0(l->v[i], (size_t)(eq - l->v[i]));
        if (settings_set(s, name, eq + 1, "--set", &e) < 0) die_err(&e);
        free(name);
    }
}

static void read_settings(struct settings *s, const struct opts *o) {
    struct err e = ERR_INIT;
    char option[40];
    settings_init(s);
    if (o->config && settings_read(s, o->config, &e) < 0) die_err(&e);
    set_pairs(s, &o->set);
    for (int i = 0; i < N_FIELDS; i++) {
        if (!fields[i].value) continue;
        snprintf(option, sizeof option, "--%s", fields[i].option);
        const char *value = strcmp(fields[i].option, "loss") ? fields[i].value : loss_value(fields[i].value);
        if (settings_set(s, fields[i].field, value, option, &e) < 0) die_err(&e);
    }
    if (o->no_shuffle && settings_set(s, "train_sampling_strategy", "sequential", "--no-shuffle", &e) < 0) die_err(&e);
}

static void check_settings(const struct settings *s, const struct opts *o, bool cpu) {
    struct err e = ERR_INIT;
    if (settings_given(s, "distill_alpha") && !o->teacher) die_usage("distill_alpha needs a teacher: --teacher-logits FILE");
    struct buf remarks = BUF_INIT;
    if (settings_check(s, cpu, o->eval, &remarks, &e) < 0) die_err(&e);
    for (char *t = remarks.p, *end; t && (end = strchr(t, '\n')); t = end + 1) {
        *end = 0;
        warn("%s", t);
    }
    buf_release(&remarks);
}

/* ---- rows ---- */
static void say_rows(const struct rows *r, const char *name) {
    if (r->spaced)
        warn("%s:%lld: the prompt ends in a space, as %lld do: the completion's first word will then lack its own", name,
            (long long)r->first_spaced, (long long)r->spaced);
    if (r->skipped_overlong) warn("%s: %lld rows longer than --max-length left out", name, (long long)r->skipped_overlong);
    if (r->truncated) warn("%s: %lld rows longer than --max-length truncated", name, (long long)r->truncated);
    if (r->skipped_incomplete) warn("%s: %lld records with an error or without completion left out", name, (long long)r->skipped_incomplete);
}

static struct row_rules rules_for(const struct model *m, const struct chat *chat, const struct settings *s, const struct opts *o) {
    if (chat && o->overlong == OVERLONG_TRUNCATE) die_usage("--overlong truncate would cut the chat template: not with --chat");
    if (s->max_length > m->cfg.context)
        die(RC_INPUT, "max_length is %lld, expected at most the model's context of %d", (long long)s->max_length, m->cfg.context);
    return (struct row_rules){.tok = m->tok, .chat = chat, .bos = tokenizer_bos(m->tok), .vocab = m->cfg.V,
        .end = chat ? chat_end(chat) : m->cfg.n_eos ? m->cfg.eos[0] : -1, .max_length = s->max_length ? (int)s->max_length : m->cfg.context,
        .overlong = (enum overlong)o->overlong, .all = !s->completion_only, .skip_incomplete = o->skip_incomplete};
}

static void read_rows(struct rows *r, const char *file, const struct row_rules *rules) {
    struct err e = ERR_INIT;
    if (rows_read(r, file, rules, &e) < 0) die_err(&e);
    say_rows(r, strcmp(file, "-") ? file : "stdin");
}

static void show_mask(const struct rows *r, const struct model *m, const struct opts *o) {
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    const char *name = strcmp(o->file, "-") ? o->file : "stdin";
    struct grammar *g = o->ask.schema ? asked_grammar(&o->ask, NULL, &e) : NULL;
    if (o->ask.schema && !g) die_err(&e);
    for (int64_t i = 0; i < r->n && i < o->show; i++) {
        buf_clear(&b);
        rows_show(r, i, name, m->tok, &b);
        fwrite(b.p, 1, b.n, stdout);
        if (g && rows_fit(r, i, name, m->tok, g, o->ask.schema, &e) < 0) warn("%s", e.msg);
    }
    grammar_free(g);
    buf_release(&b);
    io_close_stdout();
}

/* ---- the adapter ---- */
static void must_equal(const struct settings *s, const char *field, double asked, double has) {
    if (settings_given(s, field) && asked != has)
        die(RC_INPUT, "--init-adapter: the adapter's %s is %g, but %g is asked for", field, has, asked);
}

/* Begins from an adapter: its shape is taken over; a config that asks for another is an error. */
static struct lora *open_init(const struct model *m, struct settings *s, struct lora_config *c, const char *dir) {
    struct err e = ERR_INIT;
    struct lora *a = lora_read(m, dir, false, &e);
    if (!a) die_err(&e);
    must_equal(s, "r", (double)s->r, a->cfg.r);
    must_equal(s, "lora_alpha", s->lora_alpha, a->cfg.alpha);
    must_equal(s, "use_rslora", s->use_rslora, a->cfg.rslora);
    if (settings_given(s, "target_modules") && memcmp(c->sites, a->cfg.sites, sizeof c->sites))
        die(RC_INPUT, "--init-adapter: the adapter's target_modules differ from those asked for");
    s->r = a->cfg.r;
    s->lora_alpha = a->cfg.alpha;
    s->use_rslora = a->cfg.rslora;
    a->cfg.dropout = s->lora_dropout;
    a->cfg.per_module = s->lora_dropout_per_module;
    return a;
}

static struct lora *open_adapter(const struct model *m, struct settings *s, const struct opts *o) {
    struct err e = ERR_INIT;
    struct lora_config c = {.r = (int)s->r, .alpha = s->lora_alpha, .dropout = s->lora_dropout, .rslora = s->use_rslora, .per_module = s->lora_dropout_per_module};
    if (settings_targets(s, m->cfg.L, c.sites, &e) < 0) die_err(&e);
    if (o->init) return open_init(m, s, &c, o->init);
    struct lora *a = lora_new(m, &c, (uint64_t)s->seed, &e);
    if (!a) die_err(&e);
    return a;
}

/* ---- the output directory ---- */
static const char *const outputs[] = {"adapter_model.safetensors", "adapter_config.json", "coador.json", "metrics.jsonl", "checkpoints"};

static void refuse_earlier(const char *dir) {
    for (int i = 0; i < 5; i++) {
        char *p = io_join(dir, outputs[i]);
        if (io_exists(p))
            die(RC_USAGE, "%s is there from an earlier training: go on with --resume, begin anew with --overwrite, or choose another directory", p);
        free(p);
    }
}

/* An adapter that is about to be replaced goes first, so that an interrupted training leaves none that looks whole. */
static void prepare_dir(const char *dir, const struct opts *o) {
    struct err e = ERR_INIT;
    for (int i = 0; i < 5; i++) {
        char *p = io_join(dir, outputs[i]);
        if (((o->overwrite && !o->resume) || i < 3) && io_remove_tree(p, &e) < 0) die_err(&e);
        free(p);
    }
    if (io_mkdirs(dir, &e) < 0) die_err(&e);
}

/* The three files appear one by one, the weights last: an adapter without them is not taken for whole. */
static void put_adapter(const struct lora *a, const struct model *m, const struct chat *chat, const char *dir) {
    struct err e = ERR_INIT;
    char *name = io_join(dir, "adapter"), *tmp = io_tmpdir(name, &e);
    if (!tmp || lora_write(a, tmp, m->path, &e) < 0 || lora_write_identity(m, tmp, chat ? chat_name(chat) : NULL, &e) < 0) die_err(&e);
    for (int i = 2; i >= 0; i--) {
        char *from = io_join(tmp, outputs[i]), *to = io_join(dir, outputs[i]);
        if (rename(from, to) < 0) {
            err_sys(&e, "cannot write %s", to);
            die_err(&e);
        }
        free(from);
        free(to);
    }
    free(name);
}

/* ---- interrupts ---- */
static volatile sig_atomic_t stop;
static void on_signal(int sig) { stop = sig; }
static void catch_signals(void) {
    const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) {
        struct sigaction old, new = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND}; /* the second one kills */
        if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN) sigaction(signals[i], &new, NULL);
    }
}

static void say_quietly(const char *text) { (void)text; }
static void say_note(const char *text) { note("%s", text); }

/* ---- memory ---- */
/* "3.4G", "900M", "512K" or bytes; units are powers of 1024. */
static size_t parse_size(const char *text) {
    static const char units[] = "KMGT";
    char *end;
    double x = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (end == text || !(x > 0) || (*end && (!unit || (end[1] && strcmp(end + 1, "iB")))) || x > 1e15)
        die_usage("--memory-limit %s: expected a size such as 3.4G or 900M", text);
    for (int i = unit ? (int)(unit - units) + 1 : 0; i > 0; i--) x *= 1024;
    return (size_t)x;
}

static enum kept kept_of(const struct settings *s, const struct opts *o) {
    static const enum kept kept[] = {KEEP_ALL, KEEP_ATTENTION, KEEP_INPUTS};
    return s->gradient_checkpointing && !opt_given("recompute") ? KEEP_INPUTS : kept[o->recompute];
}

/* The passes of a training whose longest row has so many tokens; of NULL: as asked for, whatever they take. */
static struct pass_size choose_passes(struct estimate_of *of, const struct model_config *c, int longest, const struct settings *s, const struct opts *o) {
    struct err e = ERR_INIT;
    struct pass_size size = pass_size(c, (int)o->tokens_per_pass, 1, kept_of(s, o), 0);
    size_t limit = o->limit ? parse_size(o->limit) : 0;
    size.e4m3 = o->compute;
    if (!o->limit) {
        if (of && !o->estimate && plan_check(of, longest, &size, &e) < 0) die_err(&e);
    } else if (plan_fit(of, limit < of->room ? limit : of->room, longest, &size, &e) < 0)
        die(e.code, "--memory-limit %s%s: %s", o->limit, limit < of->room ? "" : ", more than the device has free", e.msg);
    return size;
}

static void check_compute(const struct model_config *c, const struct lora_config *a, const struct opts *o) {
    struct err e = ERR_INIT;
    if (!o->compute || llama_e4m3_fits(c, a, &e) == 0) return;
    err_prefix(&e, "--compute fp8: ");
    die_err(&e);
}

static void say_passes(const struct estimate_of *of, const struct pass_size *size, const struct opts *o) {
    struct buf b = BUF_INIT;
    if (!o->limit || o->quiet) return;
    plan_put(of, size, &b);
    note("--memory-limit %s: %s", o->limit, b.p);
    buf_release(&b);
}

static void train(struct settings *s, const struct model *m, const struct chat *chat, const struct rows *rows, const struct rows *eval, const char *dir, struct estimate_of *of, const struct opts *o) {
    struct err e = ERR_INIT;
    int longest = eval && eval->longest > rows->longest ? eval->longest : rows->longest;
    struct pass_size size = choose_passes(of, &m->cfg, longest, s, o);
    say_passes(of, &size, o);
    struct lora *a = open_adapter(m, s, o);
    check_compute(&m->cfg, &a->cfg, o);
    struct train_result r;
    prepare_dir(dir, o);
    struct train_job j = {.settings = s, .m = m, .a = a, .rows = rows, .eval = eval, .dir = dir, .tokens_per_pass = size.R, .chunk = size.chunk,
        .layers_again = size.layers_again, .mlp_again = size.mlp_again, .e4m3 = o->compute, .paged = of ? of->paged : o->paged, .base_dtype = base_words[o->base], .base_name = m->path, .resume = o->resume, .or_anew = o->overwrite, .progress = !o->quiet, .ready = catch_signals,
        .stop = &stop, .say = o->quiet ? say_quietly : say_note};
    if (train_run(&j, &r, &e) < 0) die_err(&e);
    if (r.end == TRAIN_STOPPED) {
        note("stopped after step %lld of %lld; --resume goes on", (long long)r.steps, (long long)r.total);
        signal(stop, SIG_DFL);
        raise(stop);
    }
    put_adapter(a, m, chat, dir);
    lora_free(a);
    if (o->quiet) return;
    if (!r.ran) note("all %lld steps were done already", (long long)r.steps);
    if (r.ran) note("%lld steps over %lld rows, last loss %.4f, %.0f tokens/s, peak memory %.0f MiB", (long long)r.steps, (long long)rows->n, r.loss,
        r.seconds > 0 ? (double)r.tokens / r.seconds : 0, (double)memory_peak() / 1048576.0);
    if (r.loss_scale.skipped) note("%lld steps did not update, for their gradients were not finite in f16; the loss scale is %g", (long long)r.loss_scale.skipped, r.loss_scale.scale);
    if (size.R < longest) size.R = longest;
    if (r.ran && of && m->d->own_bytes)
        note("memory of %s: %.0f MiB, estimated were %.0f", m->d->name, (double)estimate_held(of, r.device_free) / 1048576.0, (double)estimate_pass(of, &size).total / 1048576.0);
    if (isfinite(r.eval_loss)) note("%s adapter of step %lld, evaluation loss %.4f", r.early ? "stopped early;" : "kept the", (long long)r.kept, r.eval_loss);
    note("adapter in %s", dir);
}

static void print_estimate(struct estimate_of *of, const struct settings *s, const struct opts *o) {
    struct buf b = BUF_INIT;
    struct pass_size size = choose_passes(of, &of->c, 1, s, o);
    say_passes(of, &size, o);
    struct estimate x = estimate_pass(of, &size);
    estimate_put(of, &x, &b);
    fputs(b.p, stdout);
    buf_release(&b);
    io_close_stdout();
}

/* Moments are paged where that is asked for by option or by the notebook's optimiser, and can be had. */
static void check_paged(struct opts *o, const struct settings *s, const struct dev *d) {
    bool optim = s->optim == OPTIM_PAGED;
    if (o->paged && !d->own_bytes) die_usage("--paged-moments is for cards: on %s the moments are in the host's memory anyway", d->name);
    if (o->paged && !d->alloc_paged) die_usage("--paged-moments: the driver of %s cannot page memory while both sides use it", d->name);
    if (optim && d->own_bytes && !d->alloc_paged) warn("optim paged_adamw_32bit: the moments stay on %s, whose driver cannot page them", d->name);
    o->paged |= optim && d->alloc_paged;
}

/* Reads the model's header, where memory is planned; false where it is not. What no card has room for is refused before it is loaded. */
static bool estimate_memory(struct estimate_of *of, struct dev *d, const struct settings *s, const struct opts *o) {
    struct err e = ERR_INIT;
    bool piped = !strcmp(o->model, "-"), card = d->own_bytes != NULL;
    if (o->limit && piped) die_usage("--memory-limit reads the model's header first: not from standard input");
    if (o->show || (!o->estimate && !o->limit && (!card || piped))) return false;
    if (estimate_training(of, d, o->model, (enum base_dtype)o->base, s, &e) < 0) die_err(&e);
    of->paged = o->paged;
    if (!o->init) check_compute(&of->c, &of->a, o); /* whose shape is known later */
    if (card && !o->estimate) choose_passes(of, &of->c, 1, s, o);
    of->paged = o->paged; /* how long the rows are is not known yet */
    return true;
}

static void release(struct dev *d, struct settings *s, struct opts *o) {
    d->close(d);
    settings_release(s);
    free(o->set.v);
    asked_release(&o->ask);
}

int main(int argc, char **argv) {
    struct opts o;
    struct settings s;
    struct err e = ERR_INIT;
    struct dev *d;
    const char *why;
    parse(&o, argc, argv);
    read_settings(&s, &o);
    const char *dir = o.dir ? o.dir : s.output_dir;
    bool trains = !o.estimate && !o.show;
    if (trains && !dir) die_usage("-o DIR is missing");
    if (asked_read(&o.ask, &e) < 0) die_err(&e);
    if (trains && !o.resume && !o.overwrite) refuse_earlier(dir);
    if (dev_open(&d, o.device, (int)o.threads, &why)) die(RC_DEVICE, "--device %s: %s", o.device, why);
    if (o.teacher && llama_soft_able(d, &e) < 0) die_err(&e);
    if (o.compute && llama_e4m3_able(d, &e) < 0) die(e.code, "--compute fp8: %s", e.msg);
    bool cpu = !d->own_bytes;
    o.threads = dev_threads(d);
    if (!o.tokens_per_pass) o.tokens_per_pass = cpu ? 1024 : 8192;
    check_settings(&s, &o, cpu);
    if (*why) warn("%s", why);
    check_paged(&o, &s, d);
    if (!cpu && !o.quiet && !o.estimate) note("computing on %s%s", d->name, o.compute ? ", products with the frozen linears in fp8 (e4m3)" : "");
    struct estimate_of of;
    bool planned = estimate_memory(&of, d, &s, &o);
    if (o.estimate) {
        print_estimate(&of, &s, &o);
        release(d, &s, &o);
        return RC_DONE;
    }
    struct model *m = model_open(o.model, d, o.show ? BASE_KEEP : (enum base_dtype)o.base, &e);
    if (!m) die_err(&e);
    struct chat *chat = o.chat ? chat_open(m->tok, &e) : NULL;
    if (o.chat && !chat) die_err(&e);
    struct row_rules rules = rules_for(m, chat, &s, &o);
    struct rows rows, eval = {0};
    struct soft_file soft = {0};
    read_rows(&rows, o.file, &rules);
    if (o.eval && trains) read_rows(&eval, o.eval, &rules);
    if (o.teacher) {
        if (soft_read(&soft, o.teacher, &rows, strcmp(o.file, "-") ? o.file : "stdin", m->tok, m->cfg.V, &e) < 0) die_err(&e);
        rows.soft = &soft;
    }
    if (trains)
        train(&s, m, chat, &rows, o.eval ? &eval : NULL, dir, planned ? &of : NULL, &o);
    else
        show_mask(&rows, m, &o);
    rows_release(&rows);
    rows_release(&eval);
    soft_release(&soft);
    chat_free(chat);
    model_close(m);
    release(d, &s, &o);
    return RC_DONE;
}

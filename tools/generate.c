/* generate: answers to prompts from a model and its adapters, or the log-probability or soft labels of given completions.
   coador generate --model SmolLM2.gguf --adapter out/adapter --schema schema.json rows.jsonl >answers.jsonl */
#include "common/infer/soft.h"
#include "common/io/opt.h"
#include <stdlib.h>
#include <string.h>

static const char usage[] = "coador generate [OPTION]... --model MODEL [FILE]";

#define AHEAD 64 /* records an answer may wait for the ones before it, times the batch size */
#define BATCH 8  /* by default; on a card, for which a pass of more rows takes hardly longer */
#define CARD_BATCH 32

struct job {
    /* options */
    const char *model, *output, *device;
    struct opt_list adapters, stop, choices;
    int base, space, unknown, compute;
    struct asked ask; /* of answers */
    int64_t max_new, top_k, seed, threads, batch, max_cached, max_rejects;
    double temperature, top_p, penalty;
    bool chat, score, any_base;
    bool soft; /* --score --top-k: a stream of soft labels instead of records */
    /* what runs */
    struct dev *d;
    struct model *m;
    struct lora **lora;
    struct chat *template;
    int32_t eos[9]; /* ids that end an answer */
    struct vocab *vocab;
    struct constraint *constraint;
    struct generator *gen;
    struct scorer *scorer;
    struct flight flight;
    struct out out;
    struct progress progress;
};

/* ---- the command line ---- */
/* The two options that --score shares with answering. */
static void check_soft(struct job *j) {
    bool warm = opt_given("temperature");
    if (!j->soft && warm) die_usage("--score has a --temperature with --top-k only: log-probabilities are those of temperature 1");
    if (!j->soft) return;
    if (j->top_k < 1 || j->top_k > TOPK_MAX) die_usage("--score --top-k %lld: expected 1 to %d", (long long)j->top_k, TOPK_MAX);
    if (!warm) j->temperature = 1;
    if (!(j->temperature >= 1e-3 && j->temperature <= 1e3)) die_usage("--score --temperature %g: expected 0.001 to 1000", j->temperature);
    opt_refuse_terminal(j->output);
}

static void check_score(struct job *j) {
    static const char *const answering[] = {"max-new-tokens", "top-p", "repetition-penalty", "stop", "seed", "max-cached-tokens", "batch", "compute", "schema", "regex", "gbnf", "choice"};
    j->soft = j->score && opt_given("top-k");
    if (!j->score) return;
    for (size_t i = 0; i < sizeof answering / sizeof *answering; i++)
        if (opt_given(answering[i])) die_usage("--score generates nothing: --%s has no meaning with it", answering[i]);
    check_soft(j);
}

/* What is asked of answers. */
static void check_asked(const struct job *j, const char *input) {
    static const char *const of_schema[] = {"whitespace", "unknown-keywords", "schema-lenient"};
    const struct asked *q = &j->ask;
    int kinds = (q->schema_file != NULL) + (q->regex != NULL) + (q->gbnf_file != NULL) + (j->choices.n > 0);
    if (kinds > 1) die_usage("--schema, --regex, --gbnf and --choice exclude each other");
    if (kinds && j->stop.n) die_usage("--stop would cut a constrained answer");
    if (!kinds && q->prefix) die_usage("--prefix has no meaning without --schema, --regex, --gbnf or --choice");
    for (size_t i = 0; !q->schema_file && i < sizeof of_schema / sizeof *of_schema; i++)
        if (opt_given(of_schema[i])) die_usage("--%s has no meaning without --schema", of_schema[i]);
    const char *file = q->schema_file ? q->schema_file : q->gbnf_file;
    if (file && !strcmp(file, "-") && !strcmp(input, "-")) die_usage("standard input (-) is named twice: at most one input may be -");
}

static void check_options(struct job *j, const char *input) {
    if (!j->model) die_usage("--model is missing");
    for (int i = 0; i < j->stop.n; i++)
        if (!*j->stop.v[i]) die_usage("--stop needs a text that is not empty");
    check_score(j);
    check_asked(j, input);
    if (!j->temperature && (opt_given("top-k") || opt_given("top-p"))) die_usage("--top-k and --top-p need a --temperature above 0");
}

static void parse(struct job *j, int argc, char **argv, const char **input) {
    const struct option options[] = {
        {"model", 'm', OPT_STR, &j->model, "MODEL", "GGUF file, Hugging Face directory or tensor stream", 0, 0},
        {"adapter", 'a', OPT_LIST, &j->adapters, "DIR[=SCALE]", "LoRA adapter; several are summed", 0, 0},
        {"any-base", 0, OPT_FLAG, &j->any_base, NULL, "take an adapter that was trained on another base or template", 0, 0},
        {"base-dtype", 0, OPT_CHOICE, &j->base, "keep|f32|bf16", "the frozen linears in memory", 0, 0},
        {"chat", 0, OPT_FLAG, &j->chat, NULL, "wrap each prompt (or messages) in the model's chat template", 0, 0},
        {"max-new-tokens", 'n', OPT_INT, &j->max_new, "N", "tokens an answer may take (256)", 1, 1e9},
        {"temperature", 't', OPT_REAL, &j->temperature, "T", "0 is greedy (0)", 0, 1e3},
        {"top-k", 0, OPT_INT, &j->top_k, "K", "sample from the K likeliest tokens; 0 is off (0); with --score: see there", 0, 1e9},
        {"top-p", 0, OPT_REAL, &j->top_p, "P", "sample from the likeliest tokens that reach probability P (1)", 1e-9, 1},
        {"repetition-penalty", 0, OPT_REAL, &j->penalty, "X", "make tokens already seen less likely (1)", 1e-3, 1e3},
        {"stop", 0, OPT_LIST, &j->stop, "TEXT", "end an answer before this text; may be repeated", 0, 0},
        {"schema", 0, OPT_STR, &j->ask.schema_file, "FILE", "answers are JSON documents that fit this JSON Schema", 0, 0},
        {"schema-lenient", 0, OPT_FLAG, &j->ask.lenient, NULL, "leave out keywords of the schema that cannot be kept, and say so", 0, 0},
        {"regex", 0, OPT_STR, &j->ask.regex, "PATTERN", "answers match this regular expression from end to end", 0, 0},
        {"gbnf", 0, OPT_STR, &j->ask.gbnf_file, "FILE", "answers are what this grammar in llama.cpp's GBNF derives", 0, 0},
        {"choice", 0, OPT_LIST, &j->choices, "A,B,C", "answers are one of these; may be repeated", 0, 0},
        {"whitespace", 0, OPT_CHOICE, &j->space, "compact|python|bounded", "between the tokens of JSON, with --schema", 0, 0},
        {"unknown-keywords", 0, OPT_CHOICE, &j->unknown, "error|annotate", "of the schema: refuse them or pass over them", 0, 0},
        {"prefix", 0, OPT_STR, &j->ask.prefix, "TEXT", "how a constrained answer begins (an optional space)", 0, 0},
        {"seed", 's', OPT_INT, &j->seed, "N", "of the sampling (0)", 0, 9e15},
        {"score", 0, OPT_FLAG, &j->score, NULL, "log-probability of each record's completion instead of answers; with --top-k K a stream of soft labels", 0, 0},
        {"batch", 'b', OPT_INT, &j->batch, "N", "records at once (8; on a card 32)", 1, 4096},
        {"max-cached-tokens", 0, OPT_INT, &j->max_cached, "N", "room for keys and values of all records at once", 0, 1e12},
        {"max-rejects", 0, OPT_INT, &j->max_rejects, "N", "exit 1 when more records than this failed", 0, 9e15},
        {"compute", 0, OPT_CHOICE, &j->compute, "f32|int8", "products with the weights: exact, or of integers", 0, 0},
        {"threads", 0, OPT_INT, &j->threads, "N", "CPU threads (all cores)", 0, 1024},
        {"device", 0, OPT_STR, &j->device, "D", "auto, cpu, cuda or cuda:N (auto: the first card, else the CPU)", 0, 0},
        {"output", 'o', OPT_STR, &j->output, "FILE", "instead of standard output", 0, 0},
        OPT_END};
    int n = opt_parse(argc, argv, "generate", usage, options);
    if (n > 1) die_usage("one input at most, got %d", n);
    *input = n ? argv[0] : "-";
    check_options(j, *input);
    j->ask.space = (enum grammar_space)j->space;
    j->ask.annotate_unknown = j->unknown;
    j->ask.choices = j->choices.v;
    j->ask.n_choices = j->choices.n;
}

/* ---- setting up ---- */
static void open_device(struct job *j) {
    const char *why = NULL, *name = j->device ? j->device : "auto";
    if (dev_open(&j->d, name, (int)j->threads, &why) != K_OK) die(RC_DEVICE, "device %s: %s", name, why);
    if (*why) warn("%s", why);
}

static struct lora *open_adapter(struct job *j, const char *arg) {
    struct err e = ERR_INIT;
    double scale;
    char *dir = lora_split_scale(arg, &scale);
    struct lora *a = lora_read(j->m, dir, j->any_base, &e);
    if (!a) die_err(&e);
    if (!j->any_base && lora_check_template(dir, j->chat ? chat_name(j->template) : NULL, &e) < 0) die(e.code, "%s, or --any-base", e.msg);
    a->scale *= (float)scale;
    free(dir);
    return a;
}

static void open_model(struct job *j) {
    struct err e = ERR_INIT;
    open_device(j);
    j->m = model_open(j->model, j->d, (enum base_dtype)j->base, &e);
    if (!j->m) die_err(&e);
    if (j->chat && !(j->template = chat_open(j->m->tok, &e))) die_err(&e);
    j->lora = xcalloc((size_t)j->adapters.n, sizeof *j->lora);
    for (int i = 0; i < j->adapters.n; i++) j->lora[i] = open_adapter(j, j->adapters.v[i]);
}

static void open_constraint(struct job *j) {
    struct err e = ERR_INIT;
    if (!asked_any(&j->ask)) return;
    j->vocab = vocab_new(j->m->tok);
    struct grammar *g = asked_grammar(&j->ask, vocab_bytes(j->vocab), &e);
    if (!g) die_err(&e);
    j->constraint = constraint_new(g, j->vocab, j->m->tok);
    uint32_t least = constraint_shortest(j->constraint);
    if (least > j->max_new) die(RC_INPUT, "--max-new-tokens %lld is too few: the shortest answer takes %u", (long long)j->max_new, least);
}

static void open_generator(struct job *j) {
    struct err e = ERR_INIT;
    open_constraint(j);
    if (!j->batch) j->batch = j->d->choose ? CARD_BATCH : BATCH;
    memcpy(j->eos, j->m->cfg.eos, sizeof j->m->cfg.eos);
    int64_t per_record = j->m->cfg.context < 1024 ? j->m->cfg.context : 1024;
    struct gen_options o = {
        .slots = (int)j->batch, .max_cached = j->max_cached ? j->max_cached : j->batch * per_record, .max_new = (int)j->max_new,
        .stop = j->stop.v, .n_stop = j->stop.n, .eos = j->eos, .n_eos = j->m->cfg.n_eos, .constraint = j->constraint, .compute = (enum compute)j->compute,
        .sampling = {j->temperature, (int)j->top_k, j->top_p, j->penalty, (uint64_t)j->seed}};
    if (j->chat) j->eos[o.n_eos++] = chat_end(j->template); /* the template's end of turn ends an answer too */
    j->gen = generator_new(j->m, (const struct lora *const *)j->lora, j->adapters.n, &o, &e);
    if (!j->gen) die_err(&e);
}

static void open_scorer(struct job *j) {
    struct err e = ERR_INIT;
    if (j->soft && j->top_k >= j->m->cfg.V) die(RC_INPUT, "--top-k %lld, expected fewer than the vocabulary's %d tokens", (long long)j->top_k, j->m->cfg.V);
    j->scorer = scorer_new(j->m, (const struct lora *const *)j->lora, j->adapters.n, 1024, j->soft ? (int)j->top_k : 0, &e);
    if (!j->scorer) die_err(&e);
}

/* Input and output first: a wrong path must not cost the loading of a model. */
static void open_all(struct job *j, const char *input) {
    struct err e = ERR_INIT;
    struct flight *f = &j->flight;
    must(flight_open(f, input, (int)(j->score ? AHEAD : AHEAD * (j->batch ? j->batch : CARD_BATCH)), &e), &e);
    must(out_open(&j->out, j->output, &e), &e);
    must(asked_read(&j->ask, &e), &e); /* a schema that cannot be kept must not cost it either */
    open_model(j);
    if (j->score)
        open_scorer(j);
    else
        open_generator(j);
    f->m = j->m;
    f->chat = j->template;
    f->generator = j->gen;
    f->scorer = j->scorer;
    f->asked = asked_any(&j->ask) ? &j->ask : NULL;
    f->out = &j->out;
    f->progress = &j->progress;
}

/* ---- running ---- */
/* A record that fails here goes nowhere, so the first is told of. */
static void run_soft(struct job *j) {
    struct err e = ERR_INIT;
    struct soft_records *s = soft_records_new();
    struct pending *p;
    bool told = false;
    int rc;
    while ((rc = flight_take(&j->flight, true, &p, &e)) == 1) {
        if (j->flight.first.code && !told) warn("%s", j->flight.first.msg);
        told = j->flight.first.code;
        soft_records_add(s, p);
        window_drop(&j->flight.window);
    }
    must(rc, &e);
    must(soft_records_write(s, &j->flight, (int)j->top_k, j->temperature, &e), &e);
    soft_records_free(s);
}

static void run(struct job *j) {
    struct err e = ERR_INIT;
    progress_start(&j->progress, j->score ? "scoring" : "generating", "records", 0);
    if (j->soft)
        run_soft(j);
    else
        must(j->score ? flight_score(&j->flight, &e) : flight_answer(&j->flight, &e), &e);
    progress_end(&j->progress);
    must(out_commit(&j->out, &e), &e);
    const unsigned long long failed = j->flight.failed, all = j->flight.window.next;
    if (failed) warn(j->soft ? "%llu of %llu records have no soft labels" : "%llu of %llu records carry an error", failed, all);
}

static void release(struct job *j) {
    flight_close(&j->flight);
    generator_free(j->gen);
    constraint_free(j->constraint);
    vocab_free(j->vocab);
    asked_release(&j->ask);
    scorer_free(j->scorer);
    for (int i = 0; i < j->adapters.n; i++) lora_free(j->lora[i]);
    free(j->lora);
    chat_free(j->template);
    model_close(j->m);
    j->d->close(j->d);
    free(j->adapters.v);
    free(j->stop.v);
    free(j->choices.v);
}

int main(int argc, char **argv) {
    struct job j = {.max_new = 256, .top_p = 1, .penalty = 1, .max_rejects = -1};
    const char *input;
    parse(&j, argc, argv, &input);
    open_all(&j, input);
    run(&j);
    const uint64_t failed = j.flight.failed;
    release(&j);
    io_close_stdout();
    return j.max_rejects >= 0 && failed > (uint64_t)j.max_rejects ? RC_NEGATIVE : RC_DONE;
}

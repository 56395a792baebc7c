/* generate: answers to prompts from a model and its adapters, or the log-probability or soft labels of given completions.
   coador generate --model SmolLM2.gguf --adapter out/adapter --schema schema.json rows.jsonl >answers.jsonl */
#include "common/io/opt.h"
#include "common/io/progress.h"
#include "common/io/queue.h"
#include "common/model/generate.h"
#include "common/model/score.h"
#include "common/text/asked.h"
#include "common/text/chat.h"
#include "common/train/soft.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] = "coador generate [OPTION]... --model MODEL [FILE]";

#define AHEAD 64 /* records an answer may wait for the ones before it, times the batch size */

struct pending { /* a record that came in and has not gone out */
    struct record *r;
    struct ids ids;
    size_t n_prompt;
    bool encoded, done;
};

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
    bool told; /* of the first record that failed here */
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
    struct record_queue *in;
    struct out out;
    struct progress progress;
    /* records in input order: numbers first..next-1 are in the ring */
    struct pending *ring;
    int window;
    uint64_t first, next, failed;
    bool input_ended;
};

static void check(int rc, const struct err *e) {
    if (rc < 0) die_err(e);
}

/* ---- setting up ---- */
/* The two options that --score shares with answering. */
static void parse_soft(struct job *j) {
    bool warm = opt_given("temperature");
    if (!j->soft && warm) die_usage("--score has a --temperature with --top-k only: log-probabilities are those of temperature 1");
    if (!j->soft) return;
    if (j->top_k < 1 || j->top_k > TOPK_MAX) die_usage("--score --top-k %lld: expected 1 to %d", (long long)j->top_k, TOPK_MAX);
    if (!warm) j->temperature = 1;
    if (!(j->temperature >= 1e-3 && j->temperature <= 1e3)) die_usage("--score --temperature %g: expected 0.001 to 1000", j->temperature);
    if ((!j->output || !strcmp(j->output, "-")) && isatty(STDOUT_FILENO)) die_usage("standard output is a terminal: name a file by -o, or pipe it");
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
        {"batch", 'b', OPT_INT, &j->batch, "N", "records at once (8)", 1, 4096},
        {"max-cached-tokens", 0, OPT_INT, &j->max_cached, "N", "room for keys and values of all records at once", 0, 1e12},
        {"max-rejects", 0, OPT_INT, &j->max_rejects, "N", "exit 1 when more records than this failed", 0, 9e15},
        {"compute", 0, OPT_CHOICE, &j->compute, "f32|int8", "products with the weights: exact, or of integers", 0, 0},
        {"threads", 0, OPT_INT, &j->threads, "N", "CPU threads (all cores)", 0, 1024},
        {"device", 0, OPT_STR, &j->device, "D", "auto, cpu, cuda or cuda:N (auto: the first card, else the CPU)", 0, 0},
        {"output", 'o', OPT_STR, &j->output, "FILE", "instead of standard output", 0, 0},
        OPT_END};
    int n = opt_parse(argc, argv, "generate", usage, options);
    if (n > 1) die_usage("one input at most, got %d", n);
    if (!j->model) die_usage("--model is missing");
    for (int i = 0; i < j->stop.n; i++)
        if (!*j->stop.v[i]) die_usage("--stop needs a text that is not empty");
    j->soft = j->score && opt_given("top-k");
    static const char *const answering[] = {"max-new-tokens", "top-p", "repetition-penalty", "stop", "seed", "max-cached-tokens", "batch", "compute", "schema", "regex", "gbnf", "choice"};
    for (size_t i = 0; j->score && i < sizeof answering / sizeof *answering; i++)
        if (opt_given(answering[i])) die_usage("--score generates nothing: --%s has no meaning with it", answering[i]);
    if (j->score) parse_soft(j);
    int kinds = (j->ask.schema_file != NULL) + (j->ask.regex != NULL) + (j->ask.gbnf_file != NULL) + (j->choices.n > 0);
    if (kinds > 1) die_usage("--schema, --regex, --gbnf and --choice exclude each other");
    if (kinds && j->stop.n) die_usage("--stop would cut a constrained answer");
    if (!kinds && j->ask.prefix) die_usage("--prefix has no meaning without --schema, --regex, --gbnf or --choice");
    static const char *const of_schema[] = {"whitespace", "unknown-keywords", "schema-lenient"};
    for (size_t i = 0; !j->ask.schema_file && i < sizeof of_schema / sizeof *of_schema; i++)
        if (opt_given(of_schema[i])) die_usage("--%s has no meaning without --schema", of_schema[i]);
    if (!j->temperature && (opt_given("top-k") || opt_given("top-p"))) die_usage("--top-k and --top-p need a --temperature above 0");
    *input = n ? argv[0] : "-";
    const char *file = j->ask.schema_file ? j->ask.schema_file : j->ask.gbnf_file;
    if (file && !strcmp(file, "-") && !strcmp(*input, "-")) die_usage("standard input (-) is named twice: at most one input may be -");
    j->ask.space = (enum grammar_space)j->space;
    j->ask.annotate_unknown = j->unknown;
    j->ask.choices = j->choices.v;
    j->ask.n_choices = j->choices.n;
}

static void open_device(struct job *j) {
    const char *why = NULL, *name = j->device ? j->device : "auto";
    if (dev_open(&j->d, name, (int)j->threads, &why) != K_OK) die(RC_DEVICE, "device %s: %s", name, why);
}

/* An adapter answers in the template it was trained with; one without coador.json (PEFT's own) tells nothing. */
static void check_template(struct job *j, const char *dir) {
    struct err e = ERR_INIT;
    char *identity = io_join(dir, "coador.json"), *trained = NULL;
    const char *now = j->chat ? chat_name(j->template) : "none";
    if (!j->any_base && io_exists(identity)) {
        check(lora_read_template(dir, &trained, &e), &e);
        if (strcmp(trained ? trained : "none", now))
            die(RC_INPUT, "%s: trained with chat template %s, asked with %s: %s, or --any-base", identity, trained ? trained : "none", now,
                j->chat ? "leave out --chat" : "give --chat");
    }
    free(trained);
    free(identity);
}

static struct lora *open_adapter(struct job *j, const char *arg) {
    struct err e = ERR_INIT;
    double scale;
    char *dir = lora_split_scale(arg, &scale);
    struct lora *a = lora_read(j->m, dir, j->any_base, &e);
    if (!a) die_err(&e);
    check_template(j, dir);
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

/* ---- records ---- */
static struct pending *at(struct job *j, uint64_t number) { return &j->ring[number % (uint64_t)j->window]; }

static void fail(struct job *j, struct pending *p, const char *text) {
    if (j->soft && !j->told) warn("line %lld: %s", (long long)record_line(p->r), text); /* its record goes nowhere */
    j->told = true;
    record_fail(p->r, j->score ? NULL : "output", "%s", text);
    p->done = true;
    j->failed++;
}

/* Ids of what the model is shown before it answers. */
static int encode_prompt(struct job *j, struct pending *p, struct err *e) {
    struct json *messages = record_get(p->r, "messages");
    size_t n;
    const char *prompt = record_str(p->r, "prompt", &n);
    if (!prompt && !messages) return err_set(e, RC_INPUT, "no prompt: expected a string field prompt, or messages with --chat");
    if (!prompt && !j->chat) return err_set(e, RC_INPUT, "messages need --chat");
    if (j->chat) return prompt ? chat_encode_user(j->template, prompt, n, &p->ids, e) : chat_encode(j->template, messages, true, &p->ids, e);
    if (tokenizer_bos(j->m->tok) >= 0) ids_add(&p->ids, tokenizer_bos(j->m->tok));
    return tokenizer_encode(j->m->tok, prompt, n, &p->ids, e);
}

/* For --score: the completion and the id that ends it, as lora-train trains them. */
static int encode_completion(struct job *j, struct pending *p, struct err *e) {
    size_t n;
    const char *text = record_str(p->r, "completion", &n);
    if (!text) return err_set(e, RC_INPUT, "no completion: expected a string field completion to score");
    if (!p->ids.n) return err_set(e, RC_INPUT, "the prompt has no token");
    if (tokenizer_encode(j->m->tok, text, n, &p->ids, e) < 0) return -1;
    ids_add(&p->ids, j->chat ? chat_end(j->template) : j->m->cfg.eos[0]);
    if (p->ids.n > (size_t)j->m->cfg.context)
        return err_set(e, RC_INPUT, "%zu tokens do not fit the model's context of %d", p->ids.n, j->m->cfg.context);
    return 0;
}

static void encode(struct job *j, struct pending *p) {
    struct err e = ERR_INIT;
    p->encoded = true;
    if (record_get(p->r, "error")) { /* failed before: goes on as it came */
        p->done = true;
        j->failed++;
        return;
    }
    int rc = encode_prompt(j, p, &e);
    p->n_prompt = p->ids.n;
    if (!rc) rc = j->score ? encode_completion(j, p, &e) : generator_fits(j->gen, p->ids.n, &e);
    if (rc < 0) fail(j, p, e.msg);
}

/* Reads one record into the ring: false when none can be had now. */
static bool admit(struct job *j, bool wait) {
    struct err e = ERR_INIT;
    struct record *r;
    if (j->input_ended || j->next - j->first == (uint64_t)j->window) return false;
    int rc = record_queue_take(j->in, wait, &r, &e);
    check(rc, &e);
    if (rc == 0) j->input_ended = true;
    if (rc != 1) return false;
    struct pending *p = at(j, j->next++);
    p->r = r;
    p->done = p->encoded = false;
    p->ids.n = 0;
    encode(j, p);
    return true;
}

/* Writes the records at the head that are done, at once: a reader downstream need not wait for the end. */
static void emit(struct job *j) {
    bool wrote = false;
    for (; j->first < j->next && at(j, j->first)->done; j->first++) {
        record_write(at(j, j->first)->r, j->out.f);
        record_free(at(j, j->first)->r);
        wrote = true;
    }
    if (wrote && fflush(j->out.f)) die(RC_IO, "cannot write the output: %m");
    if (wrote) progress_at(&j->progress, (int64_t)j->first, NULL);
}

/* ---- answering ---- */
/* The last word on an answer under a schema: strict JSON and the validator, which also sees a member twice. */
static int check_answer(struct job *j, const struct gen_answer *a, struct err *e) {
    if (!j->ask.schema) return 0;
    size_t skip = j->ask.prefix ? strlen(j->ask.prefix) : a->text.n && *a->text.p == ' ';
    struct json_doc *d = json_parse(a->text.p + skip, a->text.n - skip, e);
    int rc = d ? schema_validate(j->ask.schema, json_root(d), e) : -1;
    json_doc_free(d);
    return rc < 0 ? err_prefix(e, "the answer does not fit the schema: ") : 0;
}

static void set_usage(struct job *j, struct record *r, const struct gen_answer *a) {
    struct buf b = BUF_INIT;
    buf_addf(&b, "{\"prompt_tokens\":%zu,\"completion_tokens\":%zu", a->n_prompt, a->ids.n);
    if (j->constraint) buf_addf(&b, ",\"model_calls\":%d", a->calls);
    buf_addc(&b, '}');
    record_set_raw(r, "usage", b.p, b.n);
    buf_release(&b);
}

static void finish_answer(struct job *j, struct gen_answer *a) {
    static const char *const reasons[] = {"stop", "length", "schema"};
    struct err e = ERR_INIT;
    struct pending *p = at(j, a->number);
    if (j->ask.left_out.n) record_set_raw(p->r, "not_enforced", j->ask.left_out.p, j->ask.left_out.n);
    if (a->finish == FINISH_FAILED) {
        fail(j, p, "the model gave no finite logit");
    } else if (check_answer(j, a, &e) < 0) {
        fail(j, p, e.msg);
    } else {
        record_set_str(p->r, "output", a->text.p ? a->text.p : "", a->text.n);
        record_set_str(p->r, "finish_reason", reasons[a->finish], strlen(reasons[a->finish]));
        set_usage(j, p->r, a);
        p->done = true;
    }
    gen_answer_free(a);
}

static void take_answers(struct job *j) {
    struct gen_answer *a;
    while ((a = generator_take(j->gen))) finish_answer(j, a);
}

/* Starts what waits, in order, as far as there is room; reads more input when all in the ring has started. */
static uint64_t start_waiting(struct job *j, uint64_t started) {
    struct err e = ERR_INIT;
    for (;;) {
        if (started == j->next && !admit(j, !generator_active(j->gen))) return started;
        struct pending *p = at(j, started);
        if (!p->done) {
            if (!generator_ready(j->gen, p->ids.n)) return started;
            check(generator_submit(j->gen, p->ids.v, p->ids.n, started, &e), &e);
            take_answers(j); /* one that leaves no choice has ended already */
        }
        started++;
        emit(j);
    }
}

static void run_answers(struct job *j) {
    struct err e = ERR_INIT;
    uint64_t started = 0;
    for (;;) {
        started = start_waiting(j, started);
        if (!generator_active(j->gen) && j->input_ended && started == j->next) break;
        check(generator_step(j->gen, &e), &e);
        take_answers(j);
        emit(j);
    }
}

/* ---- scoring ---- */
static void set_score(struct pending *p, const struct score_item *it) {
    size_t n = it->ids.n - it->n_prompt;
    double sum = 0;
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        sum += it->logprob[i];
        buf_addc(&b, i ? ',' : '[');
        json_put_number(&b, it->logprob[i]);
    }
    buf_addc(&b, ']');
    record_set_number(p->r, "logprob", sum);
    record_set_raw(p->r, "token_logprobs", b.p, b.n);
    buf_release(&b);
    p->done = true;
}

static void score_window(struct job *j) {
    struct err e = ERR_INIT;
    struct score_item *items = xcalloc((size_t)j->window, sizeof *items);
    struct pending **of = xcalloc((size_t)j->window, sizeof *of);
    int n = 0;
    for (uint64_t k = j->first; k < j->next; k++) {
        struct pending *p = at(j, k);
        if (p->done) continue;
        items[n] = (struct score_item){p->ids, p->n_prompt, xcalloc(p->ids.n - p->n_prompt, sizeof(float))};
        of[n++] = p;
    }
    check(scorer_run(j->scorer, items, n, &e), &e);
    for (int i = 0; i < n; i++) {
        set_score(of[i], &items[i]);
        free(items[i].logprob);
    }
    free(items);
    free(of);
}

static void run_scores(struct job *j) {
    while (!j->input_ended) {
        while (admit(j, j->next == j->first)) {}
        score_window(j);
        emit(j);
    }
}

/* ---- soft labels ---- */
struct soft_job {
    struct job *j;
    struct score_item *items; /* records with tokens to score */
    size_t n, cap;
    int64_t *offset;          /* [records+1] */
    size_t records, cap_offset;
    struct ids tokens;        /* those scored, of all records */
    struct sha256 *record_ids;
    struct soft_writer *writer;
    int64_t written;
};

/* One record, which is not needed any more behind its tokens. */
static void collect(struct soft_job *s, struct pending *p) {
    soft_add_id(s->record_ids, p->r);
    if (!p->done) {
        GROW(s->items, s->n, s->cap);
        s->items[s->n++] = (struct score_item){.ids = p->ids, .n_prompt = p->n_prompt};
        for (size_t i = p->n_prompt; i < p->ids.n; i++) ids_add(&s->tokens, p->ids.v[i]);
        p->ids = (struct ids){0};
    }
    record_free(p->r);
    GROW(s->offset, s->records + 1, s->cap_offset);
    s->offset[++s->records] = (int64_t)s->tokens.n;
}

static int put_soft(void *arg, int64_t n, const int32_t *id, const float *logp, const float *tail, struct err *e) {
    struct soft_job *s = arg;
    for (int64_t t = 0; t < n; t++) {
        if (isfinite(tail[t])) continue;
        size_t r = 0;
        while (s->offset[r + 1] <= s->written + t) r++;
        return err_set(e, RC_INPUT, "record %zu: the model gave a logit that is not finite", r + 1);
    }
    s->written += n;
    return soft_put(s->writer, n, id, logp, tail, e);
}

static void begin_soft(struct soft_job *s) {
    struct err e = ERR_INIT;
    char ids[SHA256_HEX];
    sha256_end(s->record_ids, ids);
    if (!s->tokens.n) die(RC_INPUT, "no record has a completion to score");
    const struct soft_spec spec = {.records = (int64_t)s->records, .offset = s->offset, .token = s->tokens.v, .K = (int)s->j->top_k, .T = s->j->temperature,
                                   .tokenizer = tokenizer_hash(s->j->m->tok), .record_ids = ids};
    if (!(s->writer = soft_create(s->j->out.f, &spec, &e))) die_err(&e);
}

/* The stream begins with how many tokens there are, so all records are read first. */
static void run_soft(struct job *j) {
    struct err e = ERR_INIT;
    struct soft_job s = {.j = j, .record_ids = sha256_new(), .offset = xcalloc(1, sizeof *s.offset), .cap_offset = 1};
    for (; admit(j, true); j->first++) collect(&s, at(j, j->first));
    begin_soft(&s);
    j->progress.total = (int64_t)s.n;
    for (size_t i = 0; i < s.n; i += AHEAD) {
        int n = (int)(s.n - i < AHEAD ? s.n - i : AHEAD);
        check(scorer_soft(j->scorer, s.items + i, n, (float)j->temperature, put_soft, &s, &e), &e);
        progress_at(&j->progress, (int64_t)i + n, NULL);
    }
    check(soft_finish(s.writer, &e), &e);
    for (size_t i = 0; i < s.n; i++) ids_release(&s.items[i].ids);
    free(s.items);
    free(s.offset);
    ids_release(&s.tokens);
}

/* Input and output first: a wrong path must not cost the loading of a model. */
static void open_all(struct job *j, const char *input) {
    struct err e = ERR_INIT;
    j->window = (int)(j->score ? AHEAD : AHEAD * j->batch);
    j->ring = xcalloc((size_t)j->window, sizeof *j->ring);
    j->in = record_queue_open(input, j->window, &e);
    if (!j->in) die_err(&e);
    check(out_open(&j->out, j->output, &e), &e);
    check(asked_read(&j->ask, &e), &e); /* a schema that cannot be kept must not cost it either */
    open_model(j);
    if (!j->score) {
        open_generator(j);
        return;
    }
    if (j->soft && j->top_k >= j->m->cfg.V) die(RC_INPUT, "--top-k %lld, expected fewer than the vocabulary's %d tokens", (long long)j->top_k, j->m->cfg.V);
    j->scorer = scorer_new(j->m, (const struct lora *const *)j->lora, j->adapters.n, 1024, j->soft ? (int)j->top_k : 0, &e);
    if (!j->scorer) die_err(&e);
}

static void release(struct job *j) {
    for (int i = 0; i < j->window; i++) ids_release(&j->ring[i].ids);
    free(j->ring);
    record_queue_close(j->in);
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
    struct job j = {.max_new = 256, .top_p = 1, .penalty = 1, .batch = 8, .max_rejects = -1};
    struct err e = ERR_INIT;
    const char *input;
    parse(&j, argc, argv, &input);
    open_all(&j, input);
    progress_start(&j.progress, j.score ? "scoring" : "generating", "records", 0);
    if (j.soft)
        run_soft(&j);
    else if (j.score)
        run_scores(&j);
    else
        run_answers(&j);
    progress_end(&j.progress);
    check(out_commit(&j.out, &e), &e);
    if (j.failed) warn(j.soft ? "%llu of %llu records have no soft labels" : "%llu of %llu records carry an error", (unsigned long long)j.failed, (unsigned long long)j.next);
    release(&j);
    io_close_stdout();
    return j.max_rejects >= 0 && j.failed > (uint64_t)j.max_rejects ? RC_NEGATIVE : RC_DONE;
}

/* distill-label: labels and reasoning from teachers, served or in process, for a student to learn.
   coador distill-label --teacher openai:gpt-5-mini --schema schema.json --reasoning-key reasoning --cache answers.jsonl rows.jsonl >train.jsonl */
#include "common/io/opt.h"
#include "common/io/progress.h"
#include "common/io/window.h"
#include "common/label/question.h"
#include "common/label/summary.h"
#include "common/label/twotask.h"
#include <stdlib.h>
#include <string.h>

static const char usage[] = "coador distill-label [OPTION]... --teacher TEACHER --schema FILE [FILE]";

#define AHEAD 64 /* records that may be under way, times the answers under way */

struct row { /* a record that came in and has not gone out */
    struct record *r;
    struct ask *asks;      /* [teachers · samples]; NULL: nothing is asked for it */
    struct buf messages;
};

struct job {
    /* options */
    struct opt_list teacher_specs, sets, imports;
    const char *schema, *reasoning, *template, *lead, *cache, *export, *rejects_path, *summary, *output, *ca, *device, *input;
    struct teacher_defaults defaults;
    bool labels_only, strict, chat;
    int reasoning_at, agree, format;
    int64_t samples, max_tokens, seed, concurrency, retries, reasks, max_body, batch, max_cached, threads, max_rejects;
    const char *task_prefix;
    double two_tasks; /* lambda; negative: one row a record */
    double min_confidence, temperature, timeout, connect_timeout, backoff, longest_backoff, budget;
    /* what runs */
    struct teacher *teachers;
    int n_teachers, n_asks; /* asks a record */
    struct label_task task;
    struct question question;
    struct results results;
    struct batchfile_results batches;
    struct asker *asker;
    struct window window; /* of struct row */
    struct out out, rejects, exported;
    struct progress progress;
    struct buf line;
    int64_t passed; /* records that came with an error */
};

/* ---- the command line ---- */
static void check_options(struct job *j) {
    struct err e = ERR_INIT;
    if (!j->teacher_specs.n) die_usage("--teacher is missing");
    if (!j->schema) die_usage("--schema is missing");
    if (j->reasoning && !*j->reasoning) die_usage("--reasoning-key is empty");
    static const char *const reasoned[] = {"reasoning", "labels-only", "agree", "as-two-tasks"};
    for (int i = 0; !j->reasoning && i < 4; i++)
        if (opt_given(reasoned[i])) die_usage("--%s needs --reasoning-key", reasoned[i]);
    if (j->two_tasks >= 0 && j->labels_only) die_usage("--labels-only and --as-two-tasks exclude each other");
    if (j->two_tasks < 0 && opt_given("task-prefix")) die_usage("--task-prefix has no meaning without --as-two-tasks");
    if (j->two_tasks >= 0 && !*j->task_prefix) die_usage("--task-prefix is empty: the two tasks would have one prompt");
    if (!opt_given("temperature")) j->temperature = j->samples > 1 ? 0.7 : 0;
    if (j->samples > 1 && !(j->temperature > 0)) die_usage("--samples %lld at temperature 0 are all the same", (long long)j->samples);
    if (j->budget > 0 && !j->cache) die_usage("--budget needs --cache: else what was paid for could not be gone on with");
    if (j->export && (j->imports.n || j->output || j->rejects_path)) die_usage("--batch-export writes requests alone: no --batch-import, -o or --rejects");
    if (j->rejects_path && !strcmp(j->rejects_path, "-")) die_usage("--rejects -: standard output carries the records");
    must(openai_check_sets(&j->sets, &e), &e);
}

static void parse(struct job *j, int argc, char **argv) {
    struct teacher_defaults *d = &j->defaults;
    const struct option options[] = {
        {"teacher", 0, OPT_LIST, &j->teacher_specs, "TEACHER", "openai:NAME or local:MODEL[,adapter=DIR]; several vote", 0, 0},
        {"schema", 0, OPT_STR, &j->schema, "FILE", "JSON Schema of the labels", 0, 0},
        {"prompt", 0, OPT_STR, &j->template, "FILE", "template of what the teacher is shown (the record's prompt)", 0, 0},
        {"reasoning-key", 0, OPT_STR, &j->reasoning, "NAME", "ask for reasoning too, a string under this key", 0, 0},
        {"reasoning", 0, OPT_CHOICE, &j->reasoning_at, "first|last", "where it stands beside the labels (first)", 0, 0},
        {"labels-only", 0, OPT_FLAG, &j->labels_only, NULL, "completions without the reasoning", 0, 0},
        {"as-two-tasks", 0, OPT_REAL, &j->two_tasks, "X", "a row of the labels and one of the reasoning, of weight X", 0, 1e6},
        {"task-prefix", 0, OPT_STR, &j->task_prefix, "TEXT", "before the prompts of the latter ([reasoning] )", 0, 0},
        {"lead", 0, OPT_STR, &j->lead, "TEXT", "put before each completion", 0, 0},
        {"samples", 'n', OPT_INT, &j->samples, "N", "answers of each teacher to a record (1)", 1, 1000},
        {"agree", 0, OPT_CHOICE, &j->agree, "all|most", "fields in which kept reasoning agrees with the vote (all)", 0, 0},
        {"min-confidence", 0, OPT_REAL, &j->min_confidence, "X", "records with a smaller share in any field fail", 0, 1},
        {"strict", 0, OPT_FLAG, &j->strict, NULL, "answers must be JSON as they stand: no repair", 0, 0},
        {"temperature", 't', OPT_REAL, &j->temperature, "T", "of the teachers (0; 0.7 with several samples)", 0, 100},
        {"max-tokens", 0, OPT_INT, &j->max_tokens, "N", "tokens an answer may take (1024)", 1, 1e9},
        {"seed", 's', OPT_INT, &j->seed, "N", "of the sampling; sample K asks with seed N + K (0)", 0, 9e15},
        {"base-url", 0, OPT_STR, &d->base_url, "URL", "of the server (OPENAI_BASE_URL)", 0, 0},
        {"key-env", 0, OPT_STR, &d->key_env, "NAME", "environment variable with the key (OPENAI_API_KEY)", 0, 0},
        {"key-file", 0, OPT_STR, &d->key_file, "FILE", "file with the key", 0, 0},
        {"ca", 0, OPT_STR, &j->ca, "FILE", "certificate authorities to trust instead of the system's", 0, 0},
        {"response-format", 0, OPT_CHOICE, &j->format, "json_schema|json_object|none", "how teachers are told the schema (json_schema)", 0, 0},
        {"set", 0, OPT_LIST, &j->sets, "NAME=JSON", "member of the requests; null leaves one out", 0, 0},
        {"cache", 0, OPT_STR, &j->cache, "FILE", "keep all answers there, and take them from there", 0, 0},
        {"concurrency", 'c', OPT_INT, &j->concurrency, "N", "requests at once (8)", 1, 4096},
        {"rpm", 0, OPT_REAL, &d->requests, "N", "requests a minute and teacher", 1e-3, 1e9},
        {"tpm", 0, OPT_REAL, &d->tokens, "N", "tokens a minute and teacher", 1e-3, 1e12},
        {"timeout", 0, OPT_REAL, &j->timeout, "S", "seconds that a request may take (300)", 1e-2, 1e5},
        {"connect-timeout", 0, OPT_REAL, &j->connect_timeout, "S", "seconds that a connection may take (20)", 1e-2, 1e5},
        {"retries", 0, OPT_INT, &j->retries, "N", "further tries after a failed one (6)", 0, 1000},
        {"backoff", 0, OPT_REAL, &j->backoff, "S", "seconds before the second try, doubled each time (1)", 1e-3, 1e4},
        {"max-backoff", 0, OPT_REAL, &j->longest_backoff, "S", "but no more than this (60)", 1e-3, 1e5},
        {"reasks", 0, OPT_INT, &j->reasks, "N", "ask again when an answer does not fit (0)", 0, 100},
        {"max-body", 0, OPT_INT, &j->max_body, "BYTES", "of a reply (4194304)", 1, 1e12},
        {"price-in", 0, OPT_REAL, &d->price_in, "X", "of a million prompt tokens", 0, 1e9},
        {"price-out", 0, OPT_REAL, &d->price_out, "X", "of a million answer tokens", 0, 1e9},
        {"budget", 0, OPT_REAL, &j->budget, "X", "stop asking when all answers together cost this: exit 1", 1e-12, 1e12},
        {"batch-export", 0, OPT_STR, &j->export, "FILE", "write the requests as an OpenAI Batch file, ask nothing", 0, 0},
        {"batch-import", 0, OPT_LIST, &j->imports, "FILE", "take answers from Batch results, ask nothing", 0, 0},
        {"chat", 0, OPT_FLAG, &j->chat, NULL, "local teachers: through the model's chat template", 0, 0},
        {"batch", 'b', OPT_INT, &j->batch, "N", "local teachers: answers at once (8)", 1, 4096},
        {"max-cached-tokens", 0, OPT_INT, &j->max_cached, "N", "local teachers: room for keys and values", 0, 1e12},
        {"threads", 0, OPT_INT, &j->threads, "N", "local teachers: CPU threads (all cores)", 0, 1024},
        {"device", 0, OPT_STR, &j->device, "D", "local teachers: cpu (auto)", 0, 0},
        {"rejects", 0, OPT_STR, &j->rejects_path, "FILE", "copy failed records there", 0, 0},
        {"max-rejects", 0, OPT_INT, &j->max_rejects, "N", "exit 1 when more records than this failed", 0, 9e15},
        {"summary", 0, OPT_STR, &j->summary, "FILE", "counts, cost and agreement as JSON", 0, 0},
        {"output", 'o', OPT_STR, &j->output, "FILE", "instead of standard output", 0, 0},
        OPT_END};
    int n = opt_parse(argc, argv, "distill-label", usage, options);
    if (n > 1) die_usage("one input at most, got %d", n);
    j->input = n ? argv[0] : "-";
    check_options(j);
}

/* ---- setting up ---- */
static void open_local(struct job *j, struct teacher *t) {
    struct err e = ERR_INIT;
    struct local_options o = {.device = j->device, .threads = (int)j->threads, .batch = (int)j->batch, .max_cached = j->max_cached,
                              .max_new = (int)j->max_tokens, .temperature = j->temperature, .seed = (uint64_t)j->seed, .chat = j->chat,
                              .schema = j->format == FORMAT_NONE ? NULL : j->task.asked};
    if (!(t->local = local_open(t->name, t->adapter, &o, &e)) || !(t->identity = local_identity(t->local, &e))) die_err(&e);
}

static void parse_teachers(struct job *j) {
    struct err e = ERR_INIT;
    j->n_teachers = j->teacher_specs.n;
    j->n_asks = j->n_teachers * (int)j->samples;
    j->teachers = xcalloc((size_t)j->n_teachers, sizeof *j->teachers);
    for (int i = 0; i < j->n_teachers; i++) {
        must(teacher_parse(&j->teachers[i], j->teacher_specs.v[i], &j->defaults, &e), &e);
        if (j->export && (j->teachers[i].is_local || i)) die_usage("--batch-export takes one teacher, openai:NAME");
        if (j->chat && !j->teachers[i].is_local && j->n_teachers == 1) die_usage("--chat is for local teachers: servers have their own template");
        if (j->budget > 0 && !(j->teachers[i].price_in + j->teachers[i].price_out > 0) && !j->teachers[i].is_local)
            die_usage("--budget needs the prices of %s: --price-in, --price-out", j->teachers[i].spec);
    }
}

static void open_asker(struct job *j) {
    struct err e = ERR_INIT;
    const struct asker_options o = {
        .params = {j->temperature, j->max_tokens, j->samples > 1 || opt_given("seed"), (uint64_t)j->seed, (enum response_format)j->format, &j->task, &j->sets},
        .http = {j->timeout, j->connect_timeout, (size_t)j->max_body, (int)j->concurrency, j->ca},
        .concurrency = (int)j->concurrency, .retries = (int)j->retries, .reasks = (int)j->reasks, .backoff = j->backoff,
        .longest_backoff = j->longest_backoff, .budget = j->budget, .cache = j->cache, .export = j->export ? j->exported.f : NULL,
        .offline = j->imports.n > 0, .batches = &j->batches, .fits = results_fit, .arg = &j->results};
    if (!(j->asker = asker_new(j->teachers, j->n_teachers, &o, &e))) die_err(&e);
    for (int i = 0; i < j->imports.n; i++) must(batchfile_read(&j->batches, j->imports.v[i], asker_cache(j->asker), &e), &e);
    batchfile_index(&j->batches);
}

/* What is quick to check comes first: a wrong path must not cost the loading of a model, nor a request. */
static void open_all(struct job *j) {
    struct err e = ERR_INIT;
    parse_teachers(j);
    must(label_task_init(&j->task, j->schema, j->reasoning, j->reasoning_at == 1, &e), &e);
    j->question.task = &j->task;
    if (j->template && !(j->question.template = template_read(j->template, &e))) die_err(&e);
    const struct result_rules rules = {.task = &j->task, .teachers = j->n_teachers, .samples = (int)j->samples, .labels_only = j->labels_only || j->two_tasks >= 0,
                                       .most = j->agree == 1, .strict = j->strict, .min_confidence = j->min_confidence, .lead = j->lead};
    results_init(&j->results, &rules);
    int64_t widest = j->concurrency > j->batch ? j->concurrency : j->batch;
    must(window_open(&j->window, j->input, 256, (int)(AHEAD * widest), sizeof(struct row), &e), &e);
    must(j->export ? out_open(&j->exported, j->export, &e) : out_open(&j->out, j->output, &e), &e);
    if (j->rejects_path) must(out_open(&j->rejects, j->rejects_path, &e), &e);
    for (int i = 0; i < j->n_teachers; i++)
        if (j->teachers[i].is_local) open_local(j, &j->teachers[i]);
    open_asker(j);
}

/* ---- records ---- */
static void ask(struct job *j, struct row *w) {
    w->asks = xcalloc((size_t)j->n_asks, sizeof *w->asks);
    for (int i = 0; i < j->n_asks; i++) {
        struct ask *q = &w->asks[i];
        q->teacher = i / (int)j->samples;
        q->sample = i % (int)j->samples;
        q->messages = w->messages.p;
        q->n_messages = w->messages.n;
        asker_submit(j->asker, q);
    }
}

static bool has_error(const struct record *r) {
    const struct json *error = record_get(r, "error");
    return error && error->type != JSON_NULL;
}

/* Reads one record into the window: false when none can be had now. */
static bool admit(struct job *j, bool wait) {
    struct err e = ERR_INIT;
    struct record *r;
    int rc = window_take(&j->window, wait, &r, &e);
    must(rc, &e);
    if (!rc) return false;
    struct row *w = window_at(&j->window, j->window.next - 1);
    w->r = r;
    w->asks = NULL;
    buf_clear(&w->messages);
    if (has_error(r)) { /* failed before: goes on as it came */
        j->passed++;
    } else if (question_put(&j->question, r, &w->messages, &e) < 0) {
        if (j->template && j->window.next == 1) die(e.code, "record 1: %s", e.msg); /* the template's mistake rather than the record's */
        record_fail(r, "parsed", "%s", e.msg);
        record_set_null(r, "completion");
        j->results.failed++;
    } else {
        ask(j, w);
    }
    return true;
}

static bool ended(const struct job *j, const struct row *w) {
    for (int i = 0; w->asks && i < j->n_asks; i++)
        if (w->asks[i].end == ASK_OPEN) return false;
    return true;
}

static void write_row(struct job *j, struct row *w) {
    bool good = w->asks && !j->export && results_put(&j->results, w->r, w->asks);
    for (int i = 0; w->asks && i < j->n_asks; i++) ask_release(&w->asks[i]);
    free(w->asks);
    w->asks = NULL;
    buf_clear(&j->line);
    record_put(w->r, &j->line);
    if (!j->export) fwrite(j->line.p, 1, j->line.n, j->out.f);
    if (j->rejects_path && has_error(w->r)) fwrite(j->line.p, 1, j->line.n, j->rejects.f);
    if (good && j->two_tasks >= 0 && twotask_turn(w->r, j->task_prefix, j->lead, j->two_tasks)) record_write(w->r, j->out.f);
    record_free(w->r);
}

static void show_progress(struct job *j) {
    const struct asker_counts *c = asker_counts(j->asker);
    struct buf b = BUF_INIT;
    buf_addf(&b, "cost %.4g", c->cost);
    label_put_faults(&b, c, "  ", "  ");
    progress_at(&j->progress, (int64_t)j->window.first, b.p);
    buf_release(&b);
}

/* Writes the records at the head that have ended, at once. */
static void emit(struct job *j) {
    struct err e = ERR_INIT;
    bool wrote = false;
    for (struct row *w; (w = window_oldest(&j->window)) && ended(j, w); window_drop(&j->window)) {
        write_row(j, w);
        wrote = true;
    }
    if (wrote && !j->export) must(out_flush(&j->out, &e), &e);
    show_progress(j);
}

static void run(struct job *j) {
    struct err e = ERR_INIT;
    const struct window *w = &j->window;
    while (!w->ended || !window_empty(w)) {
        while (admit(j, asker_idle(j->asker) && window_empty(w))) {}
        bool more = !w->ended && !window_full(w);
        if (asker_run(j->asker, more ? 0.01 : 1, &e) < 0) {
            struct err ignored;
            asker_free(j->asker, &ignored); /* what was paid for is kept */
            die_err(&e);
        }
        emit(j);
    }
}

/* ---- the end ---- */
static void note_lines(char *lines) {
    for (char *line; (line = strsep(&lines, "\n"));) note("%s", line);
}

static void tell(struct job *j) {
    const struct asker_counts *c = asker_counts(j->asker);
    const struct label_summary s = {j->window.next, j->passed, &j->results, c, j->imports.n ? &j->batches : NULL, j->teachers};
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    if (j->export) {
        note("%lld requests written, %lld answers are in the cache", (long long)c->asked, (long long)c->cached);
    } else {
        label_summary_text(&s, &b);
        note_lines(b.p);
        if (c->unknown_tokens && j->defaults.price_in + j->defaults.price_out > 0) warn("%lld answers came without their tokens: the cost is too low", (long long)c->unknown_tokens);
    }
    buf_clear(&b);
    label_summary_json(&s, &b);
    if (j->summary) must(io_write_file(j->summary, b.p, b.n, &e), &e);
    buf_release(&b);
}

static void release(struct job *j) {
    for (int i = 0; i < j->window.slots; i++) buf_release(&((struct row *)window_slot(&j->window, i))->messages);
    window_close(&j->window);
    for (int i = 0; i < j->n_teachers; i++) teacher_release(&j->teachers[i]);
    free(j->teachers);
    question_release(&j->question);
    results_release(&j->results);
    batchfile_release(&j->batches);
    label_task_release(&j->task);
    buf_release(&j->line);
    free(j->teacher_specs.v);
    free(j->sets.v);
    free(j->imports.v);
}

int main(int argc, char **argv) {
    struct job j = {.lead = "", .task_prefix = "[reasoning] ", .two_tasks = -1, .samples = 1, .max_tokens = 1024, .concurrency = 8, .retries = 6, .max_body = 4 << 20, .batch = 8, .max_rejects = -1,
                    .timeout = 300, .connect_timeout = 20, .backoff = 1, .longest_backoff = 60};
    struct err e = ERR_INIT;
    parse(&j, argc, argv);
    open_all(&j);
    progress_start(&j.progress, "labelling", "records", io_count_lines(j.input));
    run(&j);
    progress_end(&j.progress);
    must(j.export ? out_commit(&j.exported, &e) : out_commit(&j.out, &e), &e);
    if (j.rejects_path) must(out_commit(&j.rejects, &e), &e);
    tell(&j);
    const bool stopped = asker_counts(j.asker)->stopped;
    const int64_t failed = j.results.failed + j.passed;
    must(asker_free(j.asker, &e), &e);
    if (stopped) note("stopped: the budget of %g is spent; run again with a larger one to go on", j.budget);
    release(&j);
    io_close_stdout();
    return stopped || (j.max_rejects >= 0 && failed > j.max_rejects) ? RC_NEGATIVE : RC_DONE;
}

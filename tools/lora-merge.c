/* lora-merge: adapters worked into the weights of their base, and a look at what that does to the logits.
   coador lora-merge --model SmolLM2.gguf --adapter out/adapter --dequantize -o merged */
#include "common/io/json.h"
#include "common/io/jsonl.h"
#include "common/io/opt.h"
#include "common/io/progress.h"
#include "common/model/merge.h"
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "coador lora-merge [OPTION]... --model MODEL --adapter DIR[=SCALE]... -o DIR";

struct job {
    /* options */
    const char *model, *output, *probe;
    struct opt_list adapters;
    int to; /* index into --to's words */
    bool dequantize, any_base;
    double limit;
    int64_t threads;
    /* what runs */
    struct dev *d;
    struct model *m;
    bool packed;
    struct lora **lora;
    enum dtype type;
    struct ids *probes;
    int n_probes;
    char *tmp; /* the directory while it is being written */
    struct merge_report report;
    struct progress progress;
};

/* What the largest difference may be, relative to the largest logit. Rounding to f32 leaves some 1e-6 of it; the others lose
   bits of every weight (2^-9 and 2^-12 of its size), which a deep model adds up. */
static double default_limit(enum dtype t) { return t == DT_F32 ? 1e-4 : t == DT_F16 ? 2e-2 : 1e-1; }

/* ---- command line ---- */
static void parse(struct job *j, int argc, char **argv) {
    const struct option options[] = {
        {"model", 'm', OPT_STR, &j->model, "MODEL", "the base: GGUF file, Hugging Face directory or tensor stream (-: from standard input)", 0, 0},
        {"adapter", 'a', OPT_LIST, &j->adapters, "DIR[=SCALE]", "LoRA adapter; several are summed", 0, 0},
        {"any-base", 0, OPT_FLAG, &j->any_base, NULL, "take an adapter that was trained on another base", 0, 0},
        {"to", 0, OPT_CHOICE, &j->to, "keep|f32|bf16|f16", "type of what is written (keep: the base's, f32 if it is packed)", 0, 0},
        {"dequantize", 0, OPT_FLAG, &j->dequantize, NULL, "take a packed base, and write it unpacked", 0, 0},
        {"probe", 0, OPT_STR, &j->probe, "FILE", "compare logits on these records' prompts, not on a few texts of our own", 0, 0},
        {"limit", 0, OPT_REAL, &j->limit, "X", "largest difference, relative to the largest logit (f32 1e-4, f16 0.02, bf16 0.1)", 0, 1e9},
        {"threads", 0, OPT_INT, &j->threads, "N", "CPU threads (all cores)", 0, 1024},
        {"output", 'o', OPT_STR, &j->output, "DIR", "the directory to write", 0, 0},
        OPT_END};
    int n = opt_parse(argc, argv, "lora-merge", usage, options);
    if (n) die_usage("%s: no operand is expected", argv[0]);
    if (!j->model) die_usage("--model is missing");
    if (!j->adapters.n) die_usage("--adapter is missing");
    if (j->probe && !strcmp(j->probe, "-") && !strcmp(j->model, "-")) die_usage("--model and --probe cannot both be standard input");
    if (!j->output || !*j->output || !strcmp(j->output, "-")) die_usage("-o DIR is missing: a model is a directory");
}

/* Whether the existing path `inside` is `dir` or lies in it. */
static bool within(const char *inside, const char *dir) {
    char *a = realpath(inside, NULL), *b = realpath(dir, NULL);
    size_t n = b ? strlen(b) : 0;
    bool yes = a && b && !strncmp(a, b, n) && (!a[n] || a[n] == '/' || n == 1);
    free(a);
    free(b);
    return yes;
}

static bool is_empty_dir(const char *path) {
    DIR *d = opendir(path);
    int n = 0;
    for (struct dirent *x; d && (x = readdir(d));) n += strcmp(x->d_name, ".") && strcmp(x->d_name, "..");
    if (d) closedir(d);
    return d && !n;
}

/* The output replaces an earlier model, but none in use and no directory of other things. */
static void check_output(const struct job *j) {
    if (!io_exists(j->output)) return;
    char *config = io_join(j->output, "config.json");
    if (within(j->model, j->output)) die_usage("-o %s would replace the model %s", j->output, j->model);
    if (within(".", j->output)) die_usage("-o %s would replace the working directory", j->output);
    if (!is_empty_dir(j->output) && !io_exists(config)) die_usage("-o %s is there and holds no model: not replaced", j->output);
    free(config);
}

/* ---- model and adapters ---- */
static struct lora *open_adapter(const struct job *j, const char *arg) {
    struct err e = ERR_INIT;
    double scale;
    char *dir = lora_split_scale(arg, &scale), *template = NULL;
    if (!isfinite(scale)) die_usage("--adapter %s: the scale is not a finite number", arg);
    if (io_exists(j->output) && within(dir, j->output)) die_usage("-o %s would replace the adapter %s", j->output, dir);
    struct lora *a = lora_read(j->m, dir, j->any_base, &e);
    if (!a) die_err(&e);
    must(lora_read_template(dir, &template, &e), &e);
    if (template) note("%s was trained with chat template %s: ask the merged model with --chat", dir, template);
    a->scale *= (float)scale;
    free(template);
    free(dir);
    return a;
}

static void open_model(struct job *j) {
    static const enum dtype types[] = {DT_COUNT, DT_F32, DT_BF16, DT_F16};
    struct err e = ERR_INIT;
    const char *why = NULL, *name = NULL;
    enum dtype packed = DT_COUNT;
    if (dev_open(&j->d, "cpu", (int)j->threads, &why) != K_OK) die(RC_DEVICE, "device cpu: %s", why);
    if (!(j->m = model_open(j->model, j->d, BASE_KEEP, &e))) die_err(&e);
    j->packed = merge_packed(j->m, &name, &packed);
    if (j->packed && !j->dequantize)
        die_usage("%s: tensor %s is packed as %s, which cannot hold a merged weight: --dequantize writes all of them unpacked", j->model, name, dtype_name(packed));
    j->type = j->to ? types[j->to] : merge_type(j->m);
    if (!opt_given("limit")) j->limit = default_limit(j->type);
    j->lora = xcalloc((size_t)j->adapters.n, sizeof *j->lora);
    for (int i = 0; i < j->adapters.n; i++) j->lora[i] = open_adapter(j, j->adapters.v[i]);
}

/* ---- probes ---- */
static struct ids *new_probe(struct job *j) {
    j->probes = xrealloc(j->probes, (size_t)j->n_probes + 1, sizeof *j->probes);
    struct ids *p = &j->probes[j->n_probes++];
    *p = (struct ids)IDS_INIT;
    if (tokenizer_bos(j->m->tok) >= 0) ids_add(p, tokenizer_bos(j->m->tok));
    return p;
}

/* A text without any token for this vocabulary tells nothing. */
static void own_probes(struct job *j) {
    static const char *const texts[] = {"A bolsa caiu ontem, mas os investidores continuam otimistas.\nResultado:",
                                        "The quick brown fox jumps over the lazy dog, and the dog does not mind.",
                                        "{\"f1\": {\"polaridade\": \"Positivo\", \"emocao\": \"Felicidade\"}, \"f2\":",
                                        "for (int i = 0; i < 10; i++) sum += x[i] * 3.14159;"};
    struct err e = ERR_INIT;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct ids *p = new_probe(j);
        must(tokenizer_encode(j->m->tok, texts[i], strlen(texts[i]), p, &e), &e);
        if (p->n > (size_t)j->m->cfg.context) p->n = (size_t)j->m->cfg.context;
        if (!p->n) j->n_probes--;
    }
    if (!j->n_probes) die(RC_INPUT, "%s: the tokenizer knows no character of our probes: give --probe FILE", j->model);
}

static void add_record(struct job *j, const struct record *r, const char *file) {
    struct err e = ERR_INIT;
    size_t n;
    long long line = (long long)record_line(r);
    const char *text = record_str(r, "prompt", &n);
    if (!text) die(RC_INPUT, "%s:%lld: no prompt: expected a string field prompt", file, line);
    struct ids *p = new_probe(j);
    if (tokenizer_encode(j->m->tok, text, n, p, &e) < 0) die(e.code, "%s:%lld: %s", file, line, e.msg);
    if (!p->n) die(RC_INPUT, "%s:%lld: the prompt has no token", file, line);
    if (p->n > (size_t)j->m->cfg.context) die(RC_INPUT, "%s:%lld: %zu tokens do not fit the model's context of %d", file, line, p->n, j->m->cfg.context);
}

static void read_probes(struct job *j) {
    struct err e = ERR_INIT;
    struct record *r;
    int rc;
    struct jsonl *in = jsonl_open(j->probe, &e);
    if (!in) die_err(&e);
    while ((rc = jsonl_next(in, &r, &e)) > 0) {
        add_record(j, r, jsonl_name(in));
        record_free(r);
    }
    must(rc, &e);
    if (!j->n_probes) die(RC_INPUT, "%s: no record, expected at least one prompt", jsonl_name(in));
    jsonl_close(in);
}

/* ---- writing and comparing ---- */
static void show(void *arg, int done, int of) {
    struct progress *p = arg;
    p->total = of;
    progress_at(p, done, NULL);
}

static void write_model(struct job *j) {
    struct err e = ERR_INIT;
    progress_start(&j->progress, "merging", "tensors", 0);
    must(merge_write(j->m, (const struct lora *const *)j->lora, j->adapters.n, j->type, HF_SHARD, j->tmp, dev_threads(j->d), show, &j->progress, &j->report, &e), &e);
    progress_end(&j->progress);
}

/* What was written, as any program reads it, beside base and adapters. Whether they are close enough. */
static bool compare(struct job *j) {
    struct err e = ERR_INIT;
    struct merge_diff d = {0};
    struct model *merged = model_open(j->tmp, j->d, BASE_KEEP, &e);
    if (!merged) die_err(&e);
    must(merge_compare(j->m, (const struct lora *const *)j->lora, j->adapters.n, merged, j->probes, j->n_probes, &d, &e), &e);
    model_close(merged);
    bool good = merge_relative(&d) <= j->limit;
    printf("logits of %s base and adapter, and of the merged model: largest difference %.3g, %.3g of the largest logit %.4g; the likeliest token is the same "
           "at %" PRId64 " of %" PRId64 " places in %d texts\n",
           j->packed ? "the packed" : "the", d.max_abs, merge_relative(&d), d.max_logit, d.same, d.rows, j->n_probes);
    if (!good) note("the largest difference is %.3g of the largest logit, the limit %g: nothing was written", merge_relative(&d), j->limit);
    return good;
}

/* Puts the directory in place. */
static void finish(struct job *j) {
    struct err e = ERR_INIT;
    const struct merge_report *r = &j->report;
    must(io_commit_dir(j->tmp, j->output, &e), &e);
    printf("%s: %d tensors, %" PRIu64 " bytes as %s in %d file%s; the base takes %zu bytes\n", j->output, r->tensors, r->bytes, dtype_name(j->type), r->files,
           r->files > 1 ? "s" : "", j->m->weight_bytes);
}

static void release(struct job *j) {
    for (int i = 0; i < j->n_probes; i++) ids_release(&j->probes[i]);
    free(j->probes);
    for (int i = 0; i < j->adapters.n; i++) lora_free(j->lora[i]);
    free(j->lora);
    model_close(j->m);
    j->d->close(j->d);
    free(j->adapters.v);
}

int main(int argc, char **argv) {
    struct job j = {.to = 0};
    struct err e = ERR_INIT;
    parse(&j, argc, argv);
    check_output(&j);
    if (!(j.tmp = io_tmpdir(j.output, &e))) die_err(&e); /* first: a wrong path must not cost the loading of a model */
    open_model(&j);
    if (j.probe)
        read_probes(&j);
    else
        own_probes(&j);
    write_model(&j);
    bool good = compare(&j);
    if (good) finish(&j);
    release(&j);
    io_close_stdout();
    return good ? RC_DONE : RC_NEGATIVE;
}

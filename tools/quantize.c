/* coador quantize: writes a model in fewer bits (or in a plain type), with a report of the error.
     coador quantize --to nf4 --double-quant --allow-requantize --report error.jsonl SmolLM2.gguf -o smollm2-nf4
     coador quantize --to nf4 model | coador lora-train --model - rows.jsonl -o adapter */
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/io/opt.h"
#include "common/io/progress.h"
#include "common/io/tstream.h"
#include "common/model/quantise.h"
#include <dirent.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "coador quantize --to TYPE [--double-quant] [--report FILE] [--allow-requantize] [--level N] [--threads N] [--quiet] [-o OUT] MODEL";
static const char *const words[] = {"f32", "f16", "bf16", "int8", "nf4", "fp4", "ternary"};

struct job {
    int to;
    bool nested, requant, quiet, stream;
    const char *report, *out, *level, *model;
    int64_t threads;
    struct quantise *q;
    struct out log;  /* of --report */
    struct hf_weights *h; /* a directory's */
    struct tstream_writer *w;
    struct quant_error total;
    uint64_t model_bytes;
    int done;
    enum dtype worst_from; /* a type that the linears came in */
    struct progress progress;
};

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n > m && !strcmp(s + n - m, end);
}

static void parse(struct job *j, int argc, char **argv) {
    *j = (struct job){.to = -1, .level = "1"};
    const struct option options[] = {
        {"to", 0, OPT_CHOICE, &j->to, "f32|f16|bf16|int8|nf4|fp4|ternary", "what the linears become", 0, 0},
        {"double-quant", 0, OPT_FLAG, &j->nested, NULL, "nf4, fp4: quantise the scales as well", 0, 0},
        {"report", 0, OPT_STR, &j->report, "FILE", "bytes and error of each tensor and of all, as JSONL", 0, 0},
        {"allow-requantize", 0, OPT_FLAG, &j->requant, NULL, "take a model that is quantised already", 0, 0},
        {"level", 0, OPT_STR, &j->level, "N", "of a stream: zstd's 1 to 19, or none to store (default 1)", 0, 0},
        {"threads", 0, OPT_INT, &j->threads, "N", "threads (default: all cores)", 1, 1024},
        {"quiet", 'q', OPT_FLAG, &j->quiet, NULL, "warnings and errors only", 0, 0},
        {"output", 'o', OPT_STR, &j->out, "OUT", "a directory, or a stream if it ends in .st.zst; without it a stream on standard output", 0, 0},
        OPT_END};
    int n = opt_parse(argc, argv, "quantize", usage, options);
    if (n > 1) die_usage("unexpected operand %s", argv[1]);
    if (!n) die_usage("MODEL is missing");
    if (j->to < 0) die_usage("--to TYPE is missing: %s", options[0].arg);
    if (j->nested && j->to != TO_NF4 && j->to != TO_FP4) die_usage("--double-quant is for nf4 and fp4, not for %s", words[j->to]);
    j->model = argv[0];
    j->stream = !j->out || !strcmp(j->out, "-") || ends_with(j->out, ".st.zst");
    if (!j->stream && opt_given("level")) die_usage("--level is for streams, not for a directory");
    if (j->stream) opt_refuse_terminal(j->out);
    if (j->threads) omp_set_num_threads((int)j->threads);
}

static int level_of(const char *s) {
    int n = tstream_level(s);
    if (n < 0) die_usage("--level %s: expected none or 1 to 19", s);
    return n;
}

/* ---- report ---- */
static void put_numbers(struct buf *b, const struct quant_error *q) {
    const struct { const char *key; double value; } n[] = {{"bits", 8.0 * (double)q->bytes / (double)q->values}, {"rmse", quant_rmse(q)}, {"cosine", quant_cosine(q)}, {"snr_db", quant_snr(q)}};
    buf_addf(b, "\"values\":%lld,\"bytes\":%llu", (long long)q->values, (unsigned long long)q->bytes);
    for (int i = 0; i < 4; i++) {
        buf_addf(b, ",\"%s\":", n[i].key);
        json_put_number(b, n[i].value);
    }
    buf_adds(b, "}\n");
}

static void log_line(struct job *j, struct buf *b) {
    if (j->report) fwrite(b->p, 1, b->n, j->log.f);
    buf_release(b);
}

static void told(void *arg, const char *name, enum dtype from, int64_t rows, int64_t cols, const struct quant_error *q) {
    struct job *j = arg;
    struct buf b = BUF_INIT;
    const char *dot = strrchr(name, '.');
    buf_adds(&b, "{\"tensor\":");
    json_put_string(&b, name, (size_t)(dot - name)); /* the module: its tensors are several */
    buf_addf(&b, ",\"from\":\"%s\",\"to\":\"%s\",\"shape\":[%lld,%lld],", dtype_name(from), words[j->to], (long long)rows, (long long)cols);
    put_numbers(&b, q);
    log_line(j, &b);
    struct quant_error *t = &j->total;
    t->xx += q->xx, t->yy += q->yy, t->xy += q->xy, t->dd += q->dd, t->values += q->values, t->bytes += q->bytes;
    j->worst_from = from;
    progress_at(&j->progress, ++j->done, NULL);
}

static void finish_report(struct job *j) {
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT;
    buf_addf(&b, "{\"total\":true,\"to\":\"%s\",\"linears\":%d,\"model_bytes\":%llu,", words[j->to], j->done, (unsigned long long)j->model_bytes);
    put_numbers(&b, &j->total);
    log_line(j, &b);
    if (j->report) must(out_commit(&j->log, &e), &e);
    double snr = quant_snr(&j->total);
    if (!j->quiet && isfinite(snr))
        note("%d linears in %.1f MB, %.2f bits a weight, signal to noise %.1f dB; the model has %.1f MB", j->done, (double)j->total.bytes / 1e6, 8.0 * (double)j->total.bytes / (double)j->total.values, snr, (double)j->model_bytes / 1e6);
    else if (!j->quiet)
        note("%d linears in %.1f MB, %.2f bits a weight, without any error; the model has %.1f MB", j->done, (double)j->total.bytes / 1e6, 8.0 * (double)j->total.bytes / (double)j->total.values, (double)j->model_bytes / 1e6);
    if (j->to == TO_TERNARY && j->worst_from != DT_TERNARY)
        warn("rounding a model to ternary that was not trained in ternary ruins it (signal to noise %.1f dB): use it to see that, not to answer", snr);
}

/* ---- output ---- */
static int push(void *arg, const void *p, size_t n, struct err *e) {
    struct job *j = arg;
    j->model_bytes += n;
    if (j->w) return tstream_push(j->w, p, n, e);
    return hf_weights_push(j->h, p, n, e);
}

static void run(struct job *j) {
    struct err e = ERR_INIT;
    progress_start(&j->progress, "quantising", "linears", quantise_linears(j->q));
    must(quantise_run(j->q, push, j, told, j, &e), &e);
    progress_end(&j->progress);
}

static void write_stream(struct job *j) {
    struct err e = ERR_INIT;
    struct out o;
    struct tstream_spec spec = {.level = level_of(j->level)};
    const struct hf_files *files = quantise_files(j->q, &e);
    if (!files) die_err(&e);
    spec.files = files->f;
    spec.n_files = files->n;
    spec.n = quantise_tensors(j->q, &spec.t);
    must(out_open(&o, j->out, &e), &e);
    j->w = tstream_create(o.f, &spec, &e);
    if (!j->w) die_err(&e);
    run(j);
    must(tstream_finish(j->w, &e), &e);
    must(out_commit(&o, &e), &e);
}

/* What stands there may only be replaced if it is empty, or a model too. */
static void check_replaced(const char *dir) {
    char *config = io_join(dir, "config.json");
    DIR *d = opendir(dir);
    if (io_exists(dir) && !d) die(RC_IO, "%s is there and no directory", dir);
    for (struct dirent *x; d && !io_exists(config) && (x = readdir(d));)
        if (strcmp(x->d_name, ".") && strcmp(x->d_name, "..")) die(RC_IO, "%s is there and no model's directory: it holds %s", dir, x->d_name);
    if (d) closedir(d);
    free(config);
}

static void write_directory(struct job *j) {
    struct err e = ERR_INIT;
    const struct tensor *t;
    int n = quantise_tensors(j->q, &t);
    check_replaced(j->out);
    char *tmp = io_tmpdir(j->out, &e);
    if (!tmp) die_err(&e);
    const struct hf_files *files = quantise_files(j->q, &e);
    if (!files) die_err(&e);
    must(hf_files_write(files, tmp, &e), &e);
    j->h = hf_weights_create(tmp, t, n, HF_SHARD, &e);
    if (!j->h) die_err(&e);
    run(j);
    must(hf_weights_finish(j->h, &e), &e);
    must(io_commit_dir(tmp, j->out, &e), &e);
}

int main(int argc, char **argv) {
    struct job j;
    struct err e = ERR_INIT;
    parse(&j, argc, argv);
    level_of(j.level);
    j.q = quantise_open(j.model, &(struct quantise_options){.to = (enum quant_to)j.to, .nested = j.nested, .requant = j.requant, .plain = !j.stream}, &e);
    if (!j.q) die_err(&e);
    if (j.report) must(out_open(&j.log, j.report, &e), &e);
    if (j.stream)
        write_stream(&j);
    else
        write_directory(&j);
    finish_report(&j);
    quantise_free(j.q);
    io_close_stdout();
    return RC_DONE;
}

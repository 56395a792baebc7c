/* coador tensors: looks into tensor streams and model files, checks, unpacks and compares them, and makes random models.
     coador quantize … | coador tensors verify -
     coador tensors random config.json | coador lora-train --model - rows.jsonl -o adapter */
#include "common/io/json.h"
#include "common/io/opt.h"
#include "common/io/tcompare.h"
#include "common/model/random_write.h"
#include <inttypes.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

struct job {
    bool json, directory;
    const char *tensor, *files, *out, *level, *tokenizer;
    double tolerance;
    int64_t seed, threads;
    int dtype; /* index into --dtype's words */
};

static const char usage[] = "coador tensors list [--json] [--threads N] [FILE]\n"
                            "       coador tensors verify [--threads N] [FILE]\n"
                            "       coador tensors extract [--tensor NAME | --files DIR] [-o OUT] [--threads N] [FILE]\n"
                            "       coador tensors compare [--tolerance X] [--json] [--threads N] A B\n"
                            "       coador tensors random [--seed N] [--dtype TYPE] [--tokenizer FILE] [--level N] [--directory] [-o OUT] [--threads N] CONFIG";

static struct tsource *open_source(const char *path) {
    struct err e = ERR_INIT;
    struct tsource *s = tsource_open(path, &e);
    if (!s) die_err(&e);
    return s;
}

static void open_out(struct out *o, const char *path) {
    struct err e = ERR_INIT;
    opt_refuse_terminal(path);
    must(out_open(o, path, &e), &e);
}

/* ---- list ---- */
static const char *shape_text(const struct tensor *t, const char *between) {
    static struct buf b;
    buf_clear(&b);
    buf_adds(&b, "");
    for (int i = 0; i < t->dims; i++) buf_addf(&b, "%s%" PRId64, i ? between : "", t->shape[i]);
    return b.p ? b.p : "";
}

static int name_width(const struct tsource *s) {
    size_t most = 4;
    for (int i = 0; i < tsource_count(s); i++) {
        size_t n = strlen(tsource_at(s, i)->name);
        if (n > most) most = n;
    }
    return most < 100 ? (int)most : 100;
}

static void list_json(const struct tensor *t, size_t bytes, const char *hex) {
    struct buf b = BUF_INIT;
    buf_adds(&b, "{\"name\":");
    json_put_string(&b, t->name, strlen(t->name));
    printf("%s,\"dtype\":\"%s\",\"shape\":[%s],\"bytes\":%zu,\"sha256\":\"%s\"}\n", b.p, dtype_name(t->type), shape_text(t, ","), bytes, hex);
    buf_release(&b);
}

static int list(const struct job *j, int n, char **args) {
    struct err e = ERR_INIT;
    struct tsource *s = open_source(n ? args[0] : "-");
    char hex[SHA256_HEX];
    int width = name_width(s);
    if (!j->json) printf("%-*s  %-5s  %-14s  %12s  %s\n", width, "name", "dtype", "shape", "bytes", "sha256");
    for (int i = 0; i < tsource_count(s); i++) {
        const struct tensor *t = tsource_at(s, i);
        size_t bytes = tsource_length(s, i);
        must(tsource_hash(s, i, hex, &e), &e);
        if (j->json)
            list_json(t, bytes, hex);
        else
            printf("%-*s  %-5s  %-14s  %12zu  %s\n", width, t->name, dtype_name(t->type), t->dims ? shape_text(t, "x") : "-", bytes, hex);
        if (ferror(stdout)) break;
    }
    tsource_close(s);
    return RC_DONE;
}

/* ---- verify ---- */
static int verify(const struct job *j, int n, char **args) {
    struct err e = ERR_INIT;
    const char *path = n ? args[0] : "-";
    struct tsource *s = open_source(path);
    char hex[SHA256_HEX];
    uint64_t bytes = 0;
    int count[3] = {0};
    for (int i = 0; i < tsource_count(s); i++) {
        must(tsource_hash(s, i, hex, &e), &e); /* reads and checks it */
        bytes += tsource_at(s, i)->bytes;
        count[tsource_kind(s, i)]++;
    }
    printf("%s: good %s: %d tensors, %d files, %" PRIu64 " bytes", strcmp(path, "-") ? path : "stdin", tsource_format(s), count[TSTREAM_TENSOR],
        count[TSTREAM_PACKED], bytes);
    if (tsource_stream(s)) printf(" in %" PRId64 " frames", tstream_frames(tsource_stream(s)));
    putchar('\n');
    tsource_close(s);
    return RC_DONE;
}

/* ---- extract ---- */
static void extract_tensor(struct tsource *s, const struct job *j) {
    struct err e = ERR_INIT;
    struct out o;
    int i = tsource_find(s, j->tensor);
    if (i < 0) die(RC_INPUT, "no tensor is called %s", j->tensor);
    open_out(&o, j->out);
    must(tsource_copy(s, i, tsource_length(s, i), &o, &e), &e);
    must(tsource_drain(s, &e), &e); /* even where the rest is not wanted */
    must(out_commit(&o, &e), &e);
}

static void extract_files(struct tsource *s, const char *dir) {
    struct err e = ERR_INIT;
    int n = 0;
    while (n < tsource_count(s) && tsource_kind(s, n) == TSTREAM_PACKED) n++;
    if (!n) die(RC_INPUT, "no files travel along");
    char **content = xcalloc((size_t)n, sizeof *content);
    for (int i = 0; i < n; i++)
        if (!(content[i] = tsource_read_whole(s, i, &e))) die_err(&e);
    must(tsource_drain(s, &e), &e);
    must(io_mkdirs(dir, &e), &e);
    for (int i = 0; i < n; i++) {
        char *path = io_join(dir, tstream_file_name(tsource_at(s, i)));
        must(io_write_file(path, content[i], tsource_length(s, i), &e), &e);
        free(path);
        free(content[i]);
    }
    free(content);
}

/* The safetensors file, byte for byte as `zstd -dc` gives it. */
static void extract_all(struct tsource *s, const char *out) {
    struct err e = ERR_INIT;
    struct out o;
    const void *p;
    size_t n;
    if (!tsource_stream(s)) die(RC_INPUT, "%s: expected a tensor stream; coador quantize rewrites other files", tsource_format(s));
    open_out(&o, out);
    tstream_head_bytes(tsource_stream(s), &p, &n);
    must(out_put(&o, p, n, &e), &e);
    for (int i = 0; i < tsource_count(s); i++) must(tsource_copy(s, i, tsource_at(s, i)->bytes, &o, &e), &e);
    must(out_commit(&o, &e), &e);
}

static int extract(const struct job *j, int n, char **args) {
    if (j->tensor && j->files) die_usage("--tensor and --files exclude each other");
    if (j->files && j->out) die_usage("--files DIR says where the files go: -o has no meaning with it");
    struct tsource *s = open_source(n ? args[0] : "-");
    if (j->tensor)
        extract_tensor(s, j);
    else if (j->files)
        extract_files(s, j->files);
    else
        extract_all(s, j->out);
    tsource_close(s);
    return RC_DONE;
}

/* ---- compare ---- */
struct table {
    bool json;
    int width; /* of names, columns */
};

static void put_number(struct buf *b, const char *key, double x) {
    buf_addf(b, ",\"%s\":", key);
    json_put_number(b, x);
}

static void print_json(const char *name, const struct tensor_diff *d, const char *problem) {
    struct buf b = BUF_INIT;
    buf_adds(&b, "{\"name\":");
    json_put_string(&b, name, strlen(name));
    if (d) {
        put_number(&b, "max_abs", tensor_diff_max(d));
        put_number(&b, "cosine", tensor_diff_cosine(d));
    } else {
        buf_addf(&b, ",\"problem\":\"%s\"", problem);
    }
    printf("%s}\n", b.p);
    buf_release(&b);
}

static void print_diff(void *arg, const char *name, const struct tensor_diff *d, const char *problem) {
    const struct table *t = arg;
    if (t->json)
        print_json(name, d, problem);
    else if (d)
        printf("%-*s  %12.6g  %.9f\n", t->width, name, tensor_diff_max(d), tensor_diff_cosine(d));
    else
        printf("%-*s  %s\n", t->width, name, problem);
}

static int compare(const struct job *j, int n, char **args) {
    struct err e = ERR_INIT;
    struct tsource *a = open_source(args[0]), *b = open_source(args[1]);
    struct table t = {j->json, name_width(a)};
    struct tensor_diff all;
    int problems;
    if (!j->json) printf("%-*s  %12s  %s\n", t.width, "name", "max abs", "cosine");
    must(tcompare(a, b, print_diff, &t, &all, &problems, &e), &e);
    print_diff(&t, "total", &all, NULL);
    bool beyond = opt_given("tolerance") && !(tensor_diff_max(&all) <= j->tolerance);
    if (beyond) note("the largest difference is %g, the tolerance %g", tensor_diff_max(&all), j->tolerance);
    if (problems) note("%d tensors have no counterpart", problems);
    tsource_close(a);
    tsource_close(b);
    return problems || beyond ? RC_NEGATIVE : RC_DONE;
}

/* ---- random ---- */
static void write_stream(const struct random_model *r, const struct hf_files *x, int level, const char *path) {
    struct err e = ERR_INIT;
    struct out o;
    open_out(&o, path);
    must(random_write_stream(r, x, level, o.f, &e), &e);
    must(out_commit(&o, &e), &e);
}

static int make_random(const struct job *j, int n, char **args) {
    static const enum dtype types[] = {DT_BF16, DT_F16, DT_F32};
    struct err e = ERR_INIT;
    struct model_config c;
    struct random_model r;
    struct hf_files x;
    float std;
    int level = j->level ? tstream_level(j->level) : TSTREAM_LEVEL;
    if (level < 0) die_usage("--level %s: expected none or a number from 1 to 19", j->level);
    if (j->directory && (!j->out || !strcmp(j->out, "-"))) die_usage("--directory needs -o DIR");
    if (j->directory && j->level) die_usage("--level has no meaning with --directory");
    char *config = io_is_dir(args[0]) ? io_join(args[0], "config.json") : xstrdup(args[0]);
    must(config_from_json(&c, config, &e), &e);
    must(random_files(&x, config, j->tokenizer, &e), &e);
    must(random_spread(&x, config, &std, &e), &e);
    random_model_init(&r, &c, types[j->dtype], (uint64_t)j->seed, std);
    if (j->directory)
        must(random_write_dir(&r, &x, j->out, &e), &e);
    else
        write_stream(&r, &x, level, j->out);
    random_model_release(&r);
    hf_files_release(&x);
    free(config);
    return RC_DONE;
}

/* ---- command line ---- */
static const struct verb {
    const char *name;
    int (*run)(const struct job *, int n, char **args);
    int min, max;        /* operands */
    const char *options; /* its own, each between spaces */
} verbs[] = {{"list", list, 0, 1, " json "},
             {"verify", verify, 0, 1, " "},
             {"extract", extract, 0, 1, " tensor files output "},
             {"compare", compare, 2, 2, " tolerance json "},
             {"random", make_random, 1, 1, " seed dtype tokenizer level directory output "}};

static void check_options(const struct verb *v, const struct option *o) {
    char name[40];
    for (; o->name; o++) {
        snprintf(name, sizeof name, " %s ", o->name);
        if (strcmp(o->name, "threads") && opt_given(o->name) && !strstr(v->options, name)) die_usage("--%s has no meaning with %s", o->name, v->name);
    }
}

static const struct verb *find_verb(int n, char **argv) {
    if (!n) die_usage("list, verify, extract, compare or random?");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(verbs[i].name, argv[0])) return &verbs[i];
    die_usage("%s: expected list, verify, extract, compare or random", argv[0]);
}

int main(int argc, char **argv) {
    struct job j = {0};
    const struct option options[] = {
        {"json", 0, OPT_FLAG, &j.json, NULL, "list, compare: one JSON object a line", 0, 0},
        {"tensor", 0, OPT_STR, &j.tensor, "NAME", "extract: this tensor's bytes only", 0, 0},
        {"files", 0, OPT_STR, &j.files, "DIR", "extract: the files that travel along, into this folder", 0, 0},
        {"tolerance", 0, OPT_REAL, &j.tolerance, "X", "compare: exit 1 when a value differs by more", 0, 1e300},
        {"seed", 0, OPT_INT, &j.seed, "N", "random: another N, other weights (default: 0)", 0, 9e15},
        {"dtype", 0, OPT_CHOICE, &j.dtype, "bf16|f16|f32", "random: type of the weights (default: bf16)", 0, 0},
        {"tokenizer", 0, OPT_STR, &j.tokenizer, "FILE", "random: tokenizer.json (default: the one beside CONFIG)", 0, 0},
        {"level", 0, OPT_STR, &j.level, "N", "random: zstd's level, 1 to 19, or none to store (default: 1)", 0, 0},
        {"directory", 0, OPT_FLAG, &j.directory, NULL, "random: a Hugging Face directory instead of a stream", 0, 0},
        {"output", 'o', OPT_STR, &j.out, "OUT", "extract, random: write there instead of to standard output", 0, 0},
        {"threads", 0, OPT_INT, &j.threads, "N", "threads (default: all cores)", 1, 4096},
        OPT_END};
    int n = opt_parse(argc, argv, "tensors", usage, options);
    const struct verb *v = find_verb(n, argv);
    check_options(v, options);
    if (n - 1 < v->min) die_usage("%s: an operand is missing", v->name);
    if (n - 1 > v->max) die_usage("%s: one operand too many", argv[v->max + 1]);
    if (j.threads) omp_set_num_threads((int)j.threads);
    int rc = v->run(&j, n - 1, argv + 1);
    io_close_stdout();
    return rc;
}

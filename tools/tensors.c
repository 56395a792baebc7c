/* coador tensors: looks into tensor streams and model files, checks, unpacks and compares them, and makes random models.
     coador quantize … | coador tensors verify -
     coador tensors random config.json | coador lora-train --model - rows.jsonl -o adapter */
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/io/opt.h"
#include "common/io/sha256.h"
#include "common/io/tsource.h"
#include "common/model/random_model.h"
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20) /* bytes looked at at a time; a multiple of every value's size */

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

static void must(int rc, const struct err *e) {
    if (rc < 0) die_err(e);
}

static void open_out(struct out *o, const char *path) {
    struct err e = ERR_INIT;
    if ((!path || !strcmp(path, "-")) && isatty(STDOUT_FILENO)) die_usage("standard output is a terminal: name a file by -o, or pipe it");
    must(out_open(o, path, &e), &e);
}

static void put(struct out *o, const void *p, size_t n) {
    fwrite(p, 1, n, o->f); /* an error is told at the close; a full disk need not be filled further */
    if (ferror(o->f)) {
        struct err e = ERR_INIT;
        must(out_commit(o, &e), &e);
    }
}

static int64_t values(const struct tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->dims; i++) n *= t->shape[i];
    return n;
}

/* ---- list ---- */
static void hash(struct tsource *s, int i, char hex[SHA256_HEX]) {
    static char piece[PIECE];
    struct err e = ERR_INIT;
    struct sha256 *h = sha256_new();
    size_t bytes = tsource_length(s, i);
    if (tsource_kind(s, i) != TSTREAM_TENSOR) { /* small, and checked */
        char *p = tsource_read_whole(s, i, &e);
        if (!p) die_err(&e);
        sha256_add(h, p, bytes);
        free(p);
        bytes = 0;
    }
    for (size_t at = 0; at < bytes; at += PIECE) {
        size_t n = bytes - at < PIECE ? bytes - at : PIECE;
        must(tsource_read(s, i, at, piece, n, &e), &e);
        sha256_add(h, piece, n);
    }
    sha256_end(h, hex);
}

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
    struct tsource *s = open_source(n ? args[0] : "-");
    char hex[SHA256_HEX];
    int width = name_width(s);
    if (!j->json) printf("%-*s  %-5s  %-14s  %12s  %s\n", width, "name", "dtype", "shape", "bytes", "sha256");
    for (int i = 0; i < tsource_count(s); i++) {
        const struct tensor *t = tsource_at(s, i);
        size_t bytes = tsource_length(s, i);
        hash(s, i, hex);
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
    const char *path = n ? args[0] : "-";
    struct tsource *s = open_source(path);
    char hex[SHA256_HEX];
    uint64_t bytes = 0;
    int count[3] = {0};
    for (int i = 0; i < tsource_count(s); i++) {
        hash(s, i, hex); /* reads and checks it */
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
/* Bytes of tensor i to o; checked, if it is a file or a description. */
static void copy(struct tsource *s, int i, size_t bytes, struct out *o) {
    static char piece[PIECE];
    struct err e = ERR_INIT;
    if (tsource_kind(s, i) != TSTREAM_TENSOR) {
        char *p = tsource_read_whole(s, i, &e);
        if (!p) die_err(&e);
        put(o, p, bytes);
        free(p);
        return;
    }
    for (size_t at = 0; at < bytes; at += PIECE) {
        size_t n = bytes - at < PIECE ? bytes - at : PIECE;
        must(tsource_read(s, i, at, piece, n, &e), &e);
        put(o, piece, n);
    }
}

/* A pipe is read to its end even where the rest is not wanted: only then is it known to be whole, and its writer done. */
static void drain(struct tsource *s) {
    struct err e = ERR_INIT;
    const struct safetensors *h = tsource_header(s);
    if (tsource_is_pipe(s)) must(tstream_seek(tsource_stream(s), safetensors_begin(h, safetensors_count(h)), &e), &e);
}

static void extract_tensor(struct tsource *s, const struct job *j) {
    struct err e = ERR_INIT;
    struct out o;
    int i = tsource_find(s, j->tensor);
    if (i < 0) die(RC_INPUT, "no tensor is called %s", j->tensor);
    open_out(&o, j->out);
    copy(s, i, tsource_length(s, i), &o);
    drain(s);
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
    drain(s);
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
    put(&o, p, n);
    for (int i = 0; i < tsource_count(s); i++) copy(s, i, tsource_at(s, i)->bytes, &o);
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
struct diff { /* of two vectors a and b; sums in double */
    double max_abs, dot, aa, bb;
    bool nan;
};

static void diff_values(struct diff *d, const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double x = a[i], y = b[i], by = x == y ? 0 : fabs(x - y);
        d->nan |= isnan(by);
        if (by > d->max_abs) d->max_abs = by;
        d->dot += x * y;
        d->aa += x * x;
        d->bb += y * y;
    }
}

static void diff_add(struct diff *sum, const struct diff *d) {
    sum->nan |= d->nan;
    if (d->max_abs > sum->max_abs) sum->max_abs = d->max_abs;
    sum->dot += d->dot;
    sum->aa += d->aa;
    sum->bb += d->bb;
}

static double max_abs(const struct diff *d) { return d->nan ? NAN : d->max_abs; }

/* Two zero vectors are the same. */
static double cosine(const struct diff *d) { return d->aa == 0 && d->bb == 0 ? 1 : d->dot / (sqrt(d->aa) * sqrt(d->bb)); }

/* n values of tensor i from value `at` on, n a multiple of the block, as f32. */
static void read_f32(struct tsource *s, int i, int64_t at, int64_t n, float *dst) {
    static char piece[PIECE];
    struct err e = ERR_INIT;
    enum dtype t = tsource_at(s, i)->type;
    must(tsource_read(s, i, dtype_bytes(t, at), piece, dtype_bytes(t, n), &e), &e);
    dtype_to_f32(dst, t, piece, n);
}

static struct diff diff_tensors(struct tsource *a, int i, struct tsource *b, int k) {
    enum { AT_ONCE = PIECE / 8 }; /* values of at most 8 bytes */
    static float x[AT_ONCE], y[AT_ONCE];
    struct diff d = {0};
    int64_t count = values(tsource_at(a, i));
    for (int64_t at = 0; at < count; at += AT_ONCE) {
        int64_t n = count - at < AT_ONCE ? count - at : AT_ONCE;
        read_f32(a, i, at, n, x);
        read_f32(b, k, at, n, y);
        diff_values(&d, x, y, n);
    }
    return d;
}

static void print_number(struct buf *b, const char *key, double x) {
    buf_addf(b, ",\"%s\":", key);
    json_put_number(b, x);
}

static void print_diff(const struct job *j, int width, const char *name, const struct diff *d) {
    if (j->json) {
        struct buf b = BUF_INIT;
        buf_adds(&b, "{\"name\":");
        json_put_string(&b, name, strlen(name));
        print_number(&b, "max_abs", max_abs(d));
        print_number(&b, "cosine", cosine(d));
        printf("%s}\n", b.p);
        buf_release(&b);
        return;
    }
    printf("%-*s  %12.6g  %.9f\n", width, name, max_abs(d), cosine(d));
}

static void print_problem(const struct job *j, int width, const char *name, const char *problem) {
    if (j->json) {
        struct buf b = BUF_INIT;
        json_put_string(&b, name, strlen(name));
        printf("{\"name\":%s,\"problem\":\"%s\"}\n", b.p, problem);
        buf_release(&b);
        return;
    }
    printf("%-*s  %s\n", width, name, problem);
}

static bool same_shape(const struct tensor *a, const struct tensor *b) {
    return a->dims == b->dims && !memcmp(a->shape, b->shape, sizeof *a->shape * (size_t)a->dims);
}

/* Tensors of b that a lacks; how many. */
static int missing(const struct job *j, int width, const struct tsource *a, const struct tsource *b, const char *problem) {
    int n = 0;
    for (int k = 0; k < tsource_count(b); k++)
        if (tsource_kind(b, k) == TSTREAM_TENSOR && tsource_find(a, tsource_at(b, k)->name) < 0) {
            print_problem(j, width, tsource_at(b, k)->name, problem);
            n++;
        }
    return n;
}

static int compare(const struct job *j, int n, char **args) {
    struct tsource *a = open_source(args[0]), *b = open_source(args[1]);
    bool pipe = tsource_is_pipe(b); /* then it says in which order */
    struct tsource *lead = pipe ? b : a, *other = pipe ? a : b;
    struct diff all = {0};
    int width = name_width(a), problems = 0;
    if (!j->json) printf("%-*s  %12s  %s\n", width, "name", "max abs", "cosine");
    for (int i = 0; i < tsource_count(lead); i++) {
        const struct tensor *t = tsource_at(lead, i);
        int k = tsource_find(other, t->name);
        if (tsource_kind(lead, i) != TSTREAM_TENSOR || k < 0) continue;
        if (!same_shape(t, tsource_at(other, k))) {
            print_problem(j, width, t->name, "the shapes differ");
            problems++;
            continue;
        }
        struct diff d = diff_tensors(lead, i, other, k);
        diff_add(&all, &d);
        print_diff(j, width, t->name, &d);
    }
    drain(lead);
    problems += missing(j, width, a, b, "missing in A") + missing(j, width, b, a, "missing in B");
    print_diff(j, width, "total", &all);
    bool beyond = opt_given("tolerance") && !(max_abs(&all) <= j->tolerance);
    if (beyond) note("the largest difference is %g, the tolerance %g", max_abs(&all), j->tolerance);
    if (problems) note("%d tensors have no counterpart", problems);
    tsource_close(a);
    tsource_close(b);
    return problems || beyond ? RC_NEGATIVE : RC_DONE;
}

/* ---- random ---- */
enum { MAX_FILES = 8 };
struct files { /* that travel along */
    struct tstream_file f[MAX_FILES];
    struct buf content[MAX_FILES];
    int n;
};

static void add_file(struct files *x, const char *path, const char *name) {
    struct err e = ERR_INIT;
    struct buf *b = &x->content[x->n];
    must(io_read_all(path, 0, b, &e), &e);
    x->f[x->n++] = (struct tstream_file){name, b->p ? b->p : "", b->n};
}

static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? xmemdup0(path, (size_t)(slash - path) + 1) : xstrdup("./");
}

static void add_neighbour(struct files *x, const char *path, const char *name) {
    char *dir = folder_of(path), *p = io_join(dir, name);
    if (io_exists(p)) add_file(x, p, name);
    free(p);
    free(dir);
}

static void gather_files(struct files *x, const char *config, const char *tokenizer) {
    add_file(x, config, "config.json");
    add_neighbour(x, config, "generation_config.json");
    if (tokenizer)
        add_file(x, tokenizer, "tokenizer.json");
    else
        add_neighbour(x, config, "tokenizer.json");
    const char *beside = tokenizer ? tokenizer : config;
    add_neighbour(x, beside, "tokenizer_config.json");
    add_neighbour(x, beside, "special_tokens_map.json");
    add_neighbour(x, beside, "chat_template.jinja");
}

/* config.json's initializer_range; transformers' default without it. */
static float spread(const struct files *x, const char *path) {
    struct err e = ERR_INIT;
    struct json_doc *d = json_parse_named(x->f[0].p, x->f[0].n, path, &e);
    if (!d) die_err(&e);
    const struct json *v = json_get(json_root(d), "initializer_range");
    double std = v && v->type == JSON_NUMBER ? v->number : 0.02;
    if (!(std > 0 && std < 1e4)) die(RC_INPUT, "%s: initializer_range is %g, expected a number above 0", path, std);
    json_doc_free(d);
    return (float)std;
}

/* Where the tensors' bytes go: a stream or a safetensors file. */
struct sink {
    struct tstream_writer *w;
    struct out *o;
};

static void fill(const struct random_model *r, const struct sink *to) {
    static char piece[8 * PIECE];
    struct err e = ERR_INIT;
    for (int i = 0; i < r->n; i++) {
        int64_t count = values(&r->t[i]), size = (int64_t)dtype_block_bytes(r->t[i].type), most = (int64_t)sizeof piece / size;
        for (int64_t at = 0; at < count; at += most) {
            int64_t n = count - at < most ? count - at : most;
            random_model_fill(r, i, at, n, piece);
            if (to->w)
                must(tstream_push(to->w, piece, (size_t)(n * size), &e), &e);
            else
                put(to->o, piece, (size_t)(n * size));
        }
    }
}

static void write_stream(const struct random_model *r, const struct files *x, int level, const char *path) {
    struct err e = ERR_INIT;
    struct out o;
    struct tstream_spec spec = {.t = r->t, .n = r->n, .files = x->f, .n_files = x->n, .level = level};
    open_out(&o, path);
    struct sink to = {tstream_create(o.f, &spec, &e), NULL};
    if (!to.w) die_err(&e);
    fill(r, &to);
    must(tstream_finish(to.w, &e), &e);
    must(out_commit(&o, &e), &e);
}

static void write_directory(const struct random_model *r, const struct files *x, const char *path) {
    static const char *const meta[] = {"format", "pt", NULL};
    struct err e = ERR_INIT;
    struct out o;
    struct buf head = BUF_INIT;
    char *tmp = io_tmpdir(path, &e);
    if (!tmp) die_err(&e);
    for (int i = 0; i < x->n; i++) {
        char *p = io_join(tmp, x->f[i].name);
        must(io_write_file(p, x->f[i].p, x->f[i].n, &e), &e);
        free(p);
    }
    char *p = io_join(tmp, "model.safetensors");
    must(out_open(&o, p, &e), &e);
    must(safetensors_put_header(&head, r->t, r->n, meta, &e), &e);
    put(&o, head.p, head.n);
    fill(r, &(struct sink){NULL, &o});
    must(out_commit(&o, &e), &e);
    must(io_commit_dir(tmp, path, &e), &e);
    buf_release(&head);
    free(p);
}

static int parse_level(const char *s) {
    char *end;
    if (!s) return TSTREAM_LEVEL;
    if (!strcmp(s, "none")) return TSTREAM_STORE;
    long x = strtol(s, &end, 10);
    if (end == s || *end || x < 1 || x > 19) die_usage("--level %s: expected none or a number from 1 to 19", s);
    return (int)x;
}

static int make_random(const struct job *j, int n, char **args) {
    static const enum dtype types[] = {DT_BF16, DT_F16, DT_F32};
    struct err e = ERR_INIT;
    struct model_config c;
    struct random_model r;
    struct files x = {.n = 0};
    int level = parse_level(j->level);
    if (j->directory && (!j->out || !strcmp(j->out, "-"))) die_usage("--directory needs -o DIR");
    if (j->directory && j->level) die_usage("--level has no meaning with --directory");
    char *config = io_is_dir(args[0]) ? io_join(args[0], "config.json") : xstrdup(args[0]);
    must(config_from_json(&c, config, &e), &e);
    gather_files(&x, config, j->tokenizer);
    random_model_init(&r, &c, types[j->dtype], (uint64_t)j->seed, spread(&x, config));
    if (j->directory)
        write_directory(&r, &x, j->out);
    else
        write_stream(&r, &x, level, j->out);
    random_model_release(&r);
    for (int i = 0; i < x.n; i++) buf_release(&x.content[i]);
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

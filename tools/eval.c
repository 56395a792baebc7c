/* eval: scores of systems on a task, with intervals and paired tests; needs no model.
   coador eval --schema schema.json --cluster article base=zero.jsonl tuned=tuned.jsonl */
#include "common/io/io.h"
#include "common/io/jsonl.h"
#include "common/io/opt.h"
#include "common/stats/report.h"
#include "common/stats/svg.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "coador eval [OPTION]... --schema SCHEMA [[NAME=]FILE]...";

struct job {
    const char *schema, *truth, *cluster, *json, *svg, *output;
    struct opt_list curves, minima;
    int64_t bootstrap, permutations, seed;
    int n;
    char **operands;
    struct task task;
    struct reference ref;
    struct answers *systems;
    struct report report;
};

static void check(int rc, const struct err *e) {
    if (rc < 0) die_err(e);
}

static void parse(struct job *j, int argc, char **argv) {
    const struct option options[] = {
        {"schema", 0, OPT_STR, &j->schema, "SCHEMA", "JSON Schema of the answers; its enums are what is scored", 0, 0},
        {"truth", 0, OPT_STR, &j->truth, "FILE", "records with the true answers; without it the first FILE's own", 0, 0},
        {"cluster", 0, OPT_STR, &j->cluster, "FIELD", "rows with the same FIELD (of the record or its row) are resampled together", 0, 0},
        {"bootstrap", 0, OPT_INT, &j->bootstrap, "N", "resamples for intervals (2000)", 100, 1e7},
        {"permutations", 0, OPT_INT, &j->permutations, "N", "resamples for paired tests (10000)", 100, 1e8},
        {"seed", 's', OPT_INT, &j->seed, "N", "of the resampling (0)", 0, 9e15},
        {"json", 0, OPT_STR, &j->json, "FILE", "all numbers as JSON; - writes them to stdout instead of the table", 0, 0},
        {"svg", 0, OPT_STR, &j->svg, "DIR", "confusion matrices, and the loss curve with --curve, as SVG files in DIR", 0, 0},
        {"curve", 0, OPT_LIST, &j->curves, "[NAME=]FILE", "metrics.jsonl of a training for the loss curve; may be repeated", 0, 0},
        {"min", 0, OPT_LIST, &j->minima, "METRIC=X", "exit 1 if the first system is below; may be repeated", 0, 0},
        {"output", 'o', OPT_STR, &j->output, "FILE", "the table, instead of standard output", 0, 0},
        OPT_END};
    j->n = opt_parse(argc, argv, "eval", usage, options);
    j->operands = argv;
    if (!j->schema) die_usage("--schema is missing");
    if (j->curves.n && !j->svg) die_usage("--curve needs --svg DIR");
    if (j->json && !strcmp(j->json, "-") && j->output) die_usage("--json - writes no table: -o has no meaning with it");
    if (!j->n) {
        static char stdin_name[] = "-";
        static char *only[] = {stdin_name};
        j->operands = only;
        j->n = 1;
    }
}

/* "NAME=FILE", or a name made from the file's: give. */
static char *split_name(const char *operand, const char **file) {
    const char *eq = strchr(operand, '=');
    if (eq && eq != operand) {
        *file = eq + 1;
        return xmemdup0(operand, (size_t)(eq - operand));
    }
    *file = operand;
    if (!strcmp(operand, "-")) return xstrdup("answers");
    const char *base = strrchr(operand, '/');
    base = base ? base + 1 : operand;
    return xmemdup0(base, strcspn(base, "."));
}

static void read_systems(struct job *j) {
    struct err e = ERR_INIT;
    bool learn = !j->truth;
    if (j->truth) check(reference_read(&j->ref, &j->task, j->truth, j->cluster, &e), &e);
    j->systems = xcalloc((size_t)j->n, sizeof *j->systems);
    for (int i = 0; i < j->n; i++) {
        const char *file, *name = split_name(j->operands[i], &file);
        for (int k = 0; k < i; k++)
            if (!strcmp(j->systems[k].name, name)) die_usage("two systems are called %s: give them names as NAME=FILE", name);
        check(answers_read(&j->systems[i], &j->task, &j->ref, learn && !i, j->cluster, name, file, &e), &e);
    }
}

/* ---- pictures ---- */
static void write_svg(struct job *j, const char *name, const struct buf *b) {
    struct err e = ERR_INIT;
    char *path = io_join(j->svg, name);
    check(io_write_file(path, b->p, b->n, &e), &e);
    free(path);
}

/* A system's and group's names as a file name: what is not a letter, digit, - or _ becomes _. */
static void file_name(struct buf *b, const char *a, const char *c) {
    buf_addf(b, "confusion-%s-%s", a, c);
    for (size_t i = 0; i < b->n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", b->p[i])) b->p[i] = '_';
    buf_adds(b, ".svg");
}

static void draw_confusions(struct job *j) {
    for (int i = 0; i < j->n; i++)
        for (int g = 0; j->systems[i].has_parsed && g < j->task.n_groups; g++) {
            struct buf b = BUF_INIT, title = BUF_INIT, name = BUF_INIT;
            const struct group *x = &j->task.groups[g];
            buf_addf(&title, "%s: %s", j->systems[i].name, x->name);
            svg_confusion(&b, title.p, x->labels, x->K, j->report.systems[i].g[g].counts);
            file_name(&name, j->systems[i].name, x->name);
            write_svg(j, name.p, &b);
            buf_release(&b);
            buf_release(&title);
            buf_release(&name);
        }
}

struct points {
    double *x, *y;
    size_t n, cap_x, cap_y;
};

static void add_point(struct points *p, const struct json *x, const struct json *y) {
    if (!x || !y || x->type != JSON_NUMBER || y->type != JSON_NUMBER) return;
    GROW(p->x, p->n, p->cap_x);
    GROW(p->y, p->n, p->cap_y);
    p->x[p->n] = x->number;
    p->y[p->n++] = y->number;
}

/* Two curves of one metrics file: training loss, and evaluation loss where there is any. */
static int read_curves(struct curve *c, int n, const char *name, const char *file) {
    struct err e = ERR_INIT;
    struct jsonl *in = jsonl_open(file, &e);
    struct record *r;
    struct points loss = {0}, eval = {0};
    int rc;
    if (!in) die_err(&e);
    while ((rc = jsonl_next(in, &r, &e)) > 0) {
        add_point(&loss, record_get(r, "step"), record_get(r, "loss"));
        add_point(&eval, record_get(r, "step"), record_get(r, "eval_loss"));
        record_free(r);
    }
    check(rc, &e);
    jsonl_close(in);
    if (!loss.n) die(RC_INPUT, "%s: no record with step and loss", file);
    struct buf label = BUF_INIT;
    buf_addf(&label, "%s, held out", name);
    c[n++] = (struct curve){name, loss.x, loss.y, (int)loss.n};
    if (eval.n) c[n++] = (struct curve){buf_detach(&label), eval.x, eval.y, (int)eval.n};
    buf_release(&label);
    return n; /* names and points are the curves' now */
}

static void draw_curves(struct job *j) {
    struct curve *c = xcalloc(2 * (size_t)j->curves.n, sizeof *c);
    struct buf b = BUF_INIT;
    int n = 0;
    if (!j->curves.n) return free(c);
    for (int i = 0; i < j->curves.n; i++) {
        const char *file, *name = split_name(j->curves.v[i], &file);
        n = read_curves(c, n, name, file);
    }
    svg_curves(&b, "Training loss", "step", "loss a token", c, n);
    write_svg(j, "loss.svg", &b);
    buf_release(&b);
    for (int i = 0; i < n; i++) {
        free((void *)c[i].name);
        free((void *)c[i].x);
        free((void *)c[i].y);
    }
    free(c);
}

/* ---- results ---- */
static void write_text(const char *path, const struct buf *b) {
    struct err e = ERR_INIT;
    struct out o;
    check(out_open(&o, path, &e), &e);
    fwrite(b->p, 1, b->n, o.f);
    check(out_commit(&o, &e), &e);
}

static void write_results(struct job *j) {
    struct buf text = BUF_INIT, json = BUF_INIT;
    report_text(&j->report, &text);
    report_json(&j->report, &json);
    if (j->json) write_text(j->json, &json);
    if (!j->json || strcmp(j->json, "-")) write_text(j->output, &text);
    buf_release(&text);
    buf_release(&json);
}

struct minimum {
    char *name;
    double want;
};

static struct minimum parse_minimum(const char *arg) {
    const char *eq = strchr(arg, '=');
    char *end;
    if (!eq) die_usage("--min %s: expected METRIC=X", arg);
    struct minimum m = {xmemdup0(arg, (size_t)(eq - arg)), strtod(eq + 1, &end)};
    if (end == eq + 1 || *end || !isfinite(m.want)) die_usage("--min %s: expected a number behind =", arg);
    return m;
}

static int check_minima(struct job *j) {
    int rc = RC_DONE;
    for (int i = 0; i < j->minima.n; i++) {
        struct minimum m = parse_minimum(j->minima.v[i]);
        double have;
        if (!report_metric(&j->report, m.name, &have))
            die_usage("--min %s: expected valid_rate, exact, accuracy, macro_f1, weighted_f1, kappa or perplexity", m.name);
        if (!(have >= m.want)) {
            note("%s: %s is %.4f, below the minimum of %.4f", j->systems[0].name, m.name, have, m.want);
            rc = RC_NEGATIVE;
        }
        free(m.name);
    }
    return rc;
}

int main(int argc, char **argv) {
    struct job j = {.bootstrap = 2000, .permutations = 10000};
    struct err e = ERR_INIT;
    parse(&j, argc, argv);
    struct schema *schema = schema_read_file(j.schema, &e);
    if (!schema) die_err(&e);
    if (task_init(&j.task, schema, &e) < 0) die(e.code, "%s: %s", j.schema, e.msg);
    read_systems(&j);
    struct report_options o = {(int)j.bootstrap, (int)j.permutations, (uint64_t)j.seed};
    report_make(&j.report, &j.task, &j.ref, j.systems, j.n, &o);
    int rc = check_minima(&j);
    if (j.svg) {
        check(io_mkdirs(j.svg, &e), &e);
        draw_confusions(&j);
        draw_curves(&j);
    }
    write_results(&j);
    report_release(&j.report);
    for (int i = 0; i < j.n; i++) {
        free((void *)j.systems[i].name);
        answers_release(&j.systems[i]);
    }
    free(j.systems);
    reference_release(&j.ref);
    task_release(&j.task);
    schema_free(schema);
    free(j.curves.v);
    free(j.minima.v);
    io_close_stdout();
    return rc;
}

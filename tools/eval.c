/* eval: scores of systems on a task, with intervals, paired tests and a report; needs no model.
   coador eval --schema schema.json --cluster article base=zero.jsonl tuned@1=one.jsonl tuned@2=two.jsonl */
#include "common/io/io.h"
#include "common/io/jsonl.h"
#include "common/io/opt.h"
#include "common/stats/chart.h"
#include "common/stats/losses.h"
#include "common/stats/page.h"
#include "common/stats/svg.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "coador eval [OPTION]... --schema SCHEMA [[NAME[@SEED]=]FILE]...";

struct job {
    const char *schema, *truth, *json, *svg, *output, *html, *markdown, *teacher, *student, *reasoning;
    struct opt_list curves, minima, about, questions, learning, notes;
    int64_t bootstrap, permutations, seed, differing;
    struct report_options o;
    int n;
    char **operands;
    struct task task;
    struct reference ref;
    struct systems systems;
    struct losses losses;
    struct report report;
};

/* Mistakes on the command line end as those that opt_parse finds. */
_Noreturn static void fail(const struct err *e) {
    if (e->code == RC_USAGE) die_usage("%s", e->msg);
    die_err(e);
}

static void check_options(const struct job *j) {
    if (!j->schema) die_usage("--schema is missing");
    if (j->curves.n && !j->svg && !j->html) die_usage("--curve needs --svg DIR or --report FILE");
    if (j->json && !strcmp(j->json, "-") && j->output) die_usage("--json - writes no table: -o has no meaning with it");
    if (!j->teacher != !j->student) die_usage("--teacher and --student are given together");
    if (!j->teacher && (j->reasoning || opt_given("differing"))) die_usage("--reasoning-key and --differing need --teacher and --student");
    if (!j->questions.n && opt_given("margin")) die_usage("--margin needs --question");
    if (!j->html && !j->markdown && (j->o.title || j->notes.n)) die_usage("--title and --note need --report or --report-md");
}

static void parse(struct job *j, int argc, char **argv) {
    const struct option options[] = {
        {"schema", 0, OPT_STR, &j->schema, "SCHEMA", "JSON Schema of the answers; its enums are what is scored", 0, 0},
        {"truth", 0, OPT_STR, &j->truth, "FILE", "records with the true answers; without it the first FILE's own", 0, 0},
        {"cluster", 0, OPT_STR, &j->o.cluster, "FIELD", "rows with the same FIELD (of the record or its row) are resampled together", 0, 0},
        {"bootstrap", 0, OPT_INT, &j->bootstrap, "N", "resamples for intervals (2000)", 100, 1e7},
        {"permutations", 0, OPT_INT, &j->permutations, "N", "resamples for paired tests (10000)", 100, 1e8},
        {"seed", 's', OPT_INT, &j->seed, "N", "of the resampling (0)", 0, 9e15},
        {"json", 0, OPT_STR, &j->json, "FILE", "all numbers as JSON; - writes them to stdout instead of the table", 0, 0},
        {"svg", 0, OPT_STR, &j->svg, "DIR", "pictures as SVG files in DIR", 0, 0},
        {"curve", 0, OPT_LIST, &j->curves, "[NAME=]FILE", "metrics.jsonl of a training for the loss curve; may be repeated", 0, 0},
        {"about", 0, OPT_LIST, &j->about, "NAME[@SEED]:KEY=VALUE", "what a system cost: rows, training, tokens, seconds, model, bytes, price or note", 0, 0},
        {"question", 0, OPT_LIST, &j->questions, "A>B[=TEXT]", "whether A is better than B, answered in a sentence; may be repeated", 0, 0},
        {"margin", 0, OPT_REAL, &j->o.margin, "X", "smallest difference of macro-F1 that matters (0.02)", 0, 1},
        {"learning", 0, OPT_LIST, &j->learning, "NAME=SYSTEM,...", "a learning curve through these systems; may be repeated", 0, 0},
        {"teacher", 0, OPT_STR, &j->teacher, "NAME", "system whose answers --student's are set against", 0, 0},
        {"student", 0, OPT_STR, &j->student, "NAME", "see --teacher", 0, 0},
        {"differing", 0, OPT_INT, &j->differing, "N", "rows to show where the two differ most (10)", 1, 1000},
        {"reasoning-key", 0, OPT_STR, &j->reasoning, "KEY", "where in parsed the reasoning stands, in records without a field reasoning", 0, 0},
        {"report", 0, OPT_STR, &j->html, "FILE", "all of it as one HTML page", 0, 0},
        {"report-md", 0, OPT_STR, &j->markdown, "FILE", "the same as Markdown", 0, 0},
        {"title", 0, OPT_STR, &j->o.title, "TEXT", "of the report", 0, 0},
        {"note", 0, OPT_LIST, &j->notes, "TEXT", "shown at the top of the report; may be repeated", 0, 0},
        {"min", 0, OPT_LIST, &j->minima, "METRIC=X", "exit 1 if the first system is below; may be repeated", 0, 0},
        {"output", 'o', OPT_STR, &j->output, "FILE", "the table, instead of standard output", 0, 0},
        OPT_END};
    static char stdin_name[] = "-";
    static char *only[] = {stdin_name};
    j->n = opt_parse(argc, argv, "eval", usage, options);
    j->operands = j->n ? argv : only;
    j->n = j->n ? j->n : 1;
    check_options(j);
}

static void read_all(struct job *j) {
    struct err e = ERR_INIT;
    bool learn = !j->truth;
    if (learn && j->n == 1) j->ref.alone = rowcount_new(ROWCOUNT_TABLE);
    if (j->truth) must(reference_read(&j->ref, &j->task, j->truth, j->o.cluster, &e), &e);
    for (int i = 0; i < j->n; i++)
        if (systems_add(&j->systems, &j->task, &j->ref, learn && !i, j->o.cluster, j->operands[i], &e) < 0) fail(&e);
    for (int i = 0; i < j->curves.n; i++) must(losses_read(&j->losses, j->curves.v[i], &e), &e);
}

static void add_facts(struct job *j) {
    struct err e = ERR_INIT;
    struct facts_reader *f = facts_new(&j->systems);
    for (int i = 0; i < j->about.n; i++)
        if (facts_add(f, j->about.v[i], &e) < 0) fail(&e);
    for (int i = 0; i < j->systems.n; i++) facts_of(f, i, &j->report.systems[i].facts);
    facts_free(f);
}

static int system_called(const struct job *j, const char *option, const char *name) {
    int i = systems_find(&j->systems, name, strlen(name));
    if (i < 0) die_usage("--%s %s: no system is called so", option, name);
    if (!j->report.systems[i].classified) die(RC_INPUT, "--%s %s: its records have no field parsed", option, name);
    return i;
}

static void make(struct job *j) {
    struct err e = ERR_INIT;
    struct report *r = &j->report;
    report_make(r, &j->task, &j->ref, &j->systems, &j->o);
    r->losses = j->losses.v;
    r->n_losses = j->losses.n;
    add_facts(j);
    for (int i = 0; i < j->questions.n; i++)
        if (report_ask(r, j->questions.v[i], &e) < 0) fail(&e);
    for (int i = 0; i < j->learning.n; i++)
        if (report_learning(r, j->learning.v[i], &e) < 0) fail(&e);
    if (!j->teacher) return;
    int teacher = system_called(j, "teacher", j->teacher), student = system_called(j, "student", j->student);
    if (differing_find(&r->differing, &j->task, &j->ref, &j->systems, teacher, student, (int)j->differing, j->reasoning, &e) < 0) fail(&e);
}

/* ---- pictures ---- */
static void write_svg(struct job *j, const char *name, const struct buf *b) {
    struct err e = ERR_INIT;
    char *path = io_join(j->svg, name);
    must(io_write_file(path, b->p, b->n, &e), &e);
    free(path);
}

/* "KIND-A[-B].svg": what is not a letter, digit, - or _ in the names becomes _. */
static void write_picture(struct job *j, const char *kind, const char *a, const char *c, const struct buf *picture) {
    struct buf b = BUF_INIT;
    buf_addf(&b, "%s-%s%s%s", kind, a, c ? "-" : "", c ? c : "");
    for (size_t i = 0; i < b.n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", b.p[i])) b.p[i] = '_';
    buf_adds(&b, ".svg");
    write_svg(j, b.p, picture);
    buf_release(&b);
}

static void draw_system(struct job *j, const struct system_result *s) {
    struct buf b = BUF_INIT, title = BUF_INIT;
    for (int g = 0; g < j->task.n_groups; g++) {
        const struct group *x = &j->task.groups[g];
        buf_addf(&title, "%s: %s", s->name, x->name);
        svg_confusion(&b, title.p, x->labels, x->K, s->g[g].counts);
        write_picture(j, "confusion", s->name, x->name, &b);
        buf_clear(&title);
        buf_clear(&b);
    }
    if (s->calibration.n) {
        chart_reliability(&b, s->name, &s->calibration, 0);
        chart_alone(&b);
        write_picture(j, "reliability", s->name, NULL, &b);
    }
    buf_release(&b);
    buf_release(&title);
}

static void draw_facts(struct job *j) {
    struct view v;
    view_init(&v, &j->report);
    for (int f = 0; f < N_FACTS; f++) {
        struct buf b = BUF_INIT;
        if (page_fact_chart(&b, &v, f)) {
            chart_alone(&b);
            write_picture(j, "score", fact_keys[f], NULL, &b);
        }
        buf_release(&b);
    }
    view_release(&v);
}

static void draw_losses(struct job *j) {
    struct buf b = BUF_INIT;
    if (!j->losses.n) return;
    svg_curves(&b, "Training loss", "step", "loss a token", j->losses.v, j->losses.n);
    write_svg(j, "loss.svg", &b);
    buf_release(&b);
}

/* ---- results ---- */
static void write_text(const char *path, const struct buf *b) {
    struct err e = ERR_INIT;
    struct out o;
    must(out_open(&o, path, &e), &e);
    fwrite(b->p, 1, b->n, o.f);
    must(out_commit(&o, &e), &e);
}

static void write_results(struct job *j) {
    struct buf text = BUF_INIT, json = BUF_INIT, html = BUF_INIT, markdown = BUF_INIT;
    report_text(&j->report, &text);
    report_json(&j->report, &json);
    report_html(&j->report, &html);
    report_markdown(&j->report, &markdown);
    if (j->html) write_text(j->html, &html);
    if (j->markdown) write_text(j->markdown, &markdown);
    if (j->json) write_text(j->json, &json);
    if (!j->json || strcmp(j->json, "-")) write_text(j->output, &text);
    buf_release(&text);
    buf_release(&json);
    buf_release(&html);
    buf_release(&markdown);
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
            note("%s: %s is %.4f, below the minimum of %.4f", j->systems.v[0].name, m.name, have, m.want);
            rc = RC_NEGATIVE;
        }
        free(m.name);
    }
    return rc;
}

static void release_lists(struct job *j) {
    struct opt_list *const lists[] = {&j->curves, &j->minima, &j->about, &j->questions, &j->learning, &j->notes};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) free(lists[i]->v);
}

int main(int argc, char **argv) {
    struct job j = {.bootstrap = 2000, .permutations = 10000, .differing = 10, .o = {.margin = 0.02}};
    struct err e = ERR_INIT;
    parse(&j, argc, argv);
    struct schema *schema = schema_read_file(j.schema, &e);
    if (!schema) die_err(&e);
    if (task_init(&j.task, schema, &e) < 0) die(e.code, "%s: %s", j.schema, e.msg);
    read_all(&j);
    j.o.bootstrap = (int)j.bootstrap;
    j.o.permutations = (int)j.permutations;
    j.o.seed = (uint64_t)j.seed;
    j.o.notes = j.notes.v;
    j.o.n_notes = j.notes.n;
    make(&j);
    int rc = check_minima(&j);
    if (j.svg) {
        must(io_mkdirs(j.svg, &e), &e);
        for (int i = 0; i < j.systems.n; i++)
            if (j.report.systems[i].classified) draw_system(&j, &j.report.systems[i]);
        draw_facts(&j);
        draw_losses(&j);
    }
    write_results(&j);
    report_release(&j.report);
    systems_release(&j.systems);
    losses_release(&j.losses);
    reference_release(&j.ref);
    task_release(&j.task);
    schema_free(schema);
    release_lists(&j);
    io_close_stdout();
    return rc;
}

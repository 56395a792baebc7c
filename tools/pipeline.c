/* Pipelines: make decides order and parallelism, this decides whether a stage must run, and runs it.
       coador pipeline rules pipelines/nyt --set epochs=1 | make -f - -j2
   `rules` prints one phony target a stage, whose recipe is `coador pipeline stage`. */
#include "common/flow/flow.h"
#include "common/flow/run.h"
#include "common/io/buf.h"
#include "common/io/io.h"
#include "common/io/opt.h"
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] = "coador pipeline rules DIR [MORE.yaml]... [--set NAME=VALUE]...\n"
                            "       coador pipeline status DIR [MORE.yaml]... [--set NAME=VALUE]...\n"
                            "       coador pipeline stage DIR NAME [MORE.yaml]... [--set NAME=VALUE]...\n"
                            "       coador pipeline --dot DIR [MORE.yaml]... [--set NAME=VALUE]...";

struct job {
    struct opt_list set;
    bool dot;
    char *front;    /* path of the front end */
    char *programs; /* folder of the programs */
};

/* The front end says where it is; run by itself, this program finds it as it is installed, or trusts PATH. */
static void find_programs(struct job *j) {
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    const char *front = getenv("COADOR_FRONT_END"), *exec = getenv("COADOR_EXEC_PATH");
    char *dir = xstrdup(dirname(self)), *guess = io_join(dir, "../../bin/coador");
    j->front = front && *front ? xstrdup(front) : realpath(guess, NULL);
    j->programs = exec && *exec ? realpath(exec, NULL) : xstrdup(dir);
    if (!j->front) die(RC_IO, "cannot find the front end; run this as `coador pipeline`");
    if (!j->programs) die(RC_IO, "COADOR_EXEC_PATH %s: no such folder", exec);
    free(guess);
    free(dir);
}

/* ---- rules ---- */
/* A word for make's recipe: quoted for the shell, $ doubled for make. */
static void put_word(struct buf *b, const char *s) {
    buf_adds(b, " '");
    for (; *s; s++) {
        if (*s == '\n') die(RC_USAGE, "a line break in an argument cannot go through make");
        if (*s == '\'')
            buf_adds(b, "'\\''");
        else if (*s == '$')
            buf_adds(b, "$$");
        else
            buf_addc(b, *s);
    }
    buf_addc(b, '\'');
}

static void put_rule(struct buf *b, const struct job *j, const struct flow *f, const struct flow_args *a, int i) {
    const struct flow_stage *s = &f->stages[i];
    buf_addf(b, "stage/%s:", s->name);
    for (int k = 0; k < s->n_needs; k++) buf_addf(b, " stage/%s", f->stages[s->needs[k]].name);
    buf_adds(b, "\n\t@$(SUBMIT)");
    put_word(b, j->front);
    buf_adds(b, " pipeline stage");
    put_word(b, a->dir);
    put_word(b, s->name);
    for (int k = 0; k < a->n_more; k++) put_word(b, a->more[k]);
    for (int k = 0; k < a->n_set; k++) {
        buf_adds(b, " --set");
        put_word(b, a->set[k]);
    }
    buf_addc(b, '\n');
}

static int print_rules(const struct job *j, const struct flow *f, const struct flow_args *a) {
    struct buf b = BUF_INIT;
    buf_adds(&b, "# Made by `coador pipeline rules`. SUBMIT goes before each stage's runner.\npipeline:");
    for (int i = 0; i < f->n; i++) buf_addf(&b, " stage/%s", f->stages[i].name);
    buf_adds(&b, "\n.PHONY: pipeline");
    for (int i = 0; i < f->n; i++) buf_addf(&b, " stage/%s", f->stages[i].name);
    buf_addc(&b, '\n');
    for (int i = 0; i < f->n; i++) put_rule(&b, j, f, a, i);
    fwrite(b.p, 1, b.n, stdout);
    buf_release(&b);
    return RC_DONE;
}

/* ---- drawing ---- */
static void put_dot_string(const char *s) {
    putchar('"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') putchar('\\');
        putchar(*s);
    }
    putchar('"');
}

static void put_edge(const char *from, const char *to, const char *style) {
    printf("  ");
    put_dot_string(from);
    printf(" -> ");
    put_dot_string(to);
    printf("%s;\n", style);
}

/* Stages are boxes, files are plain text; what nobody makes has no arrow into it. */
static int print_dot(const struct flow *f) {
    printf("digraph pipeline {\n  rankdir=LR;\n  node [shape=plaintext];\n");
    for (int i = 0; i < f->n; i++) {
        const struct flow_stage *s = &f->stages[i];
        struct buf b = BUF_INIT;
        buf_addf(&b, "stage %s", s->name);
        printf("  ");
        put_dot_string(b.p);
        printf(" [shape=box, label=");
        put_dot_string(s->name);
        printf("];\n");
        for (int k = 0; k < s->n_deps; k++) put_edge(s->deps[k].path, b.p, "");
        for (int k = 0; k < s->n_outs; k++) put_edge(b.p, s->outs[k].path, s->outs[k].persist ? " [style=dashed]" : "");
        buf_release(&b);
    }
    /* a dependency inside somebody's out folder, or around somebody's out */
    for (int i = 0; i < f->n; i++)
        for (int k = 0; k < f->stages[i].n_deps; k++)
            for (int j = 0; j < f->n; j++)
                for (int x = 0; x < f->stages[j].n_outs; x++) {
                    const char *d = f->stages[i].deps[k].path, *o = f->stages[j].outs[x].path;
                    if (strcmp(d, o) && (flow_inside(d, o) || flow_inside(o, d))) put_edge(o, d, " [style=dotted]");
                }
    printf("}\n");
    return RC_DONE;
}

/* ---- status ---- */
static int print_status(const struct job *j, const struct flow *f) {
    bool *pending = xcalloc((size_t)f->n, sizeof *pending), any = false;
    struct err e = ERR_INIT;
    for (int k = 0; k < f->n; k++) {
        char *why;
        int i = f->order[k];
        if (flow_foresee(f, i, j->programs, pending, &why, &e) < 0) die_err(&e);
        printf("%s: %s%s\n", f->stages[i].name, why ? "would run, because " : "up to date", why ? why : "");
        any |= why != NULL;
        free(why);
    }
    free(pending);
    return any ? RC_NEGATIVE : RC_DONE;
}

/* ---- one stage ---- */
static int run_stage(const struct job *j, const struct flow *f, const char *name) {
    struct err e = ERR_INIT;
    char *front = xstrdup(j->front);
    struct flow_run r = {.f = f, .programs = j->programs, .front = dirname(front), .say = note};
    int i = flow_find(f, name);
    if (i < 0) die(RC_USAGE, "%s has no stage %s", f->shown, name);
    int rc = flow_run_stage(&r, i, &e);
    free(front);
    if (rc == 0) return RC_DONE;
    note("%s", e.msg);
    if (r.signal) {
        signal(r.signal, SIG_DFL);
        raise(r.signal);
    }
    return r.status ? r.status : e.code;
}

int main(int argc, char **argv) {
    struct job j = {0};
    struct err e = ERR_INIT;
    const struct option options[] = {
        {"set", 0, OPT_LIST, &j.set, "NAME=VALUE", "give a variable of the pipeline another value", 0, 0},
        {"dot", 0, OPT_FLAG, &j.dot, NULL, "print the pipeline as a Graphviz drawing", 0, 0},
        OPT_END,
    };
    int n = opt_parse(argc, argv, "pipeline", usage, options);
    const char *verb = j.dot ? "dot" : n ? argv[0] : "";
    char **v = argv + !j.dot;
    n -= !j.dot;
    bool stage = !strcmp(verb, "stage");
    if (!j.dot && !stage && strcmp(verb, "rules") && strcmp(verb, "status")) die_usage("expected rules, status, stage or --dot");
    if (n < 1 + stage) die_usage(stage ? "stage needs a folder and a stage's name" : "which folder?");
    find_programs(&j);
    struct flow_args a = {.dir = v[0], .more = (const char *const *)v + 1 + stage, .n_more = n - 1 - stage,
                          .set = j.set.v, .n_set = j.set.n, .any_deps = j.dot};
    struct flow *f = flow_open(&a, &e);
    if (!f) die_err(&e);
    int rc = j.dot ? print_dot(f) : stage ? run_stage(&j, f, v[1]) : *verb == 'r' ? print_rules(&j, f, &a) : print_status(&j, f);
    flow_free(f);
    free(j.front);
    free(j.programs);
    free(j.set.v);
    io_close_stdout();
    return rc;
}

/* Who needs whom, and in which order: see flow.h. */
#include "common/flow/flow.h"
#include "common/io/buf.h"
#include "common/io/io.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool overlap(const char *a, const char *b) { return flow_inside(a, b) || flow_inside(b, a); }

/* No path is made twice, nor lies inside another out. */
static int check_outs(const struct flow *f, struct err *e) {
    for (int i = 0; i < f->n; i++)
        for (int x = 0; x < f->stages[i].n_outs; x++)
            for (int j = 0; j <= i; j++)
                for (int y = 0; y < (i == j ? x : f->stages[j].n_outs); y++) {
                    const struct flow_stage *s = &f->stages[i], *t = &f->stages[j];
                    if (overlap(s->outs[x].path, t->outs[y].path))
                        return err_set(e, RC_INPUT, "%s:%d: stage %s: out %s is also an out of stage %s (%s:%d: %s)", s->file, s->outs[x].line,
                                       s->name, s->outs[x].path, t->name, t->file, t->outs[y].line, t->outs[y].path);
                }
    return 0;
}

static void add_need(struct flow_stage *s, int i) {
    for (int k = 0; k < s->n_needs; k++)
        if (s->needs[k] == i) return;
    s->needs = xrealloc(s->needs, (size_t)s->n_needs + 1, sizeof *s->needs);
    int k = s->n_needs++;
    for (; k > 0 && s->needs[k - 1] > i; k--) s->needs[k] = s->needs[k - 1];
    s->needs[k] = i;
}

/* The stages that make something of dependency d. */
static bool link_makers(struct flow *f, struct flow_stage *s, const struct flow_path *d) {
    bool made = false;
    for (int i = 0; i < f->n; i++)
        for (int x = 0; x < f->stages[i].n_outs; x++)
            if (overlap(d->path, f->stages[i].outs[x].path)) {
                add_need(s, i);
                made = true;
            }
    return made;
}

static int link_stage(struct flow *f, struct flow_stage *s, bool any_deps, struct err *e) {
    for (int i = 0; i < s->n_deps; i++) {
        const struct flow_path *d = &s->deps[i];
        struct stat st;
        char *path = flow_abs(f, d->path);
        bool there = link_makers(f, s, d) || any_deps || !stat(path, &st);
        free(path);
        if (!there)
            return err_set(e, RC_INPUT, "%s:%d: stage %s: dependency %s does not exist and no stage makes it", s->file, d->line, s->name, d->path);
    }
    return 0;
}

/* Depth first; state 1 is a stage on the way down, 2 is done. */
struct walk {
    struct flow *f;
    unsigned char *state;
    int *path, depth, done;
    struct err *e;
};

static int report_cycle(struct walk *w, int back) {
    struct buf b = BUF_INIT;
    const struct flow_stage *s = &w->f->stages[back];
    int i = w->depth - 1;
    while (w->path[i] != back) i--;
    for (; i < w->depth; i++) buf_addf(&b, "%s needs ", w->f->stages[w->path[i]].name);
    err_set(w->e, RC_INPUT, "%s:%d: stages need each other in a cycle: %s%s", s->file, s->line, b.p, s->name);
    buf_release(&b);
    return -1;
}

static int visit(struct walk *w, int i) {
    if (w->state[i] == 2) return 0;
    if (w->state[i] == 1) return report_cycle(w, i);
    w->state[i] = 1;
    w->path[w->depth++] = i;
    for (int k = 0; k < w->f->stages[i].n_needs; k++)
        if (visit(w, w->f->stages[i].needs[k]) < 0) return -1;
    w->depth--;
    w->state[i] = 2;
    w->f->order[w->done++] = i;
    return 0;
}

int flow_link(struct flow *f, bool any_deps, struct err *e) {
    if (check_outs(f, e) < 0) return -1;
    for (int i = 0; i < f->n; i++)
        if (link_stage(f, &f->stages[i], any_deps, e) < 0) return -1;
    f->order = xcalloc((size_t)f->n, sizeof *f->order);
    struct walk w = {f, xcalloc((size_t)f->n, 1), xcalloc((size_t)f->n, sizeof(int)), 0, 0, e};
    int rc = 0;
    for (int i = 0; i < f->n && !rc; i++) rc = visit(&w, i);
    free(w.state);
    free(w.path);
    return rc;
}

/* ---- the object ---- */
struct flow *flow_open(const struct flow_args *a, struct err *e) {
    struct flow *f = xcalloc(1, sizeof *f);
    f->shown = xstrdup(a->dir);
    f->dir = realpath(a->dir, NULL);
    if (!f->dir || !io_is_dir(f->dir)) {
        err_set(e, RC_INPUT, "%s: no such folder, expected one with a dvc.yaml", a->dir);
    } else if (!strcmp(f->dir, "/")) {
        err_set(e, RC_INPUT, "%s: the root folder cannot be a pipeline", a->dir);
    } else if (flow_load(f, a, e) == 0 && flow_link(f, a->any_deps, e) == 0) {
        return f;
    }
    flow_free(f);
    return NULL;
}

static void free_paths(struct flow_path *p, int n) {
    for (int i = 0; i < n; i++) free(p[i].path);
    free(p);
}

void flow_stage_release(struct flow_stage *s) {
    for (int i = 0; i < s->n_cmd; i++) free(s->cmd[i]);
    free(s->cmd);
    free_paths(s->deps, s->n_deps);
    free_paths(s->outs, s->n_outs);
    var_uses_release(&s->uses);
    free(s->needs);
    free(s->name);
    free(s->group);
}

void flow_free(struct flow *f) {
    if (!f) return;
    for (int i = 0; i < f->n; i++) flow_stage_release(&f->stages[i]);
    for (int i = 0; i < f->n_files; i++) free(f->files[i]);
    free(f->files);
    free(f->stages);
    free(f->order);
    free(f->shown);
    free(f->dir);
    free(f);
}

int flow_find(const struct flow *f, const char *name) {
    for (int i = 0; i < f->n; i++)
        if (!strcmp(f->stages[i].name, name)) return i;
    return -1;
}

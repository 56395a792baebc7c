/* dvc.yaml and its replacements into stages: see flow.h. Every message says file:line. */
#include "common/flow/flow.h"
#include "common/io/buf.h"
#include "common/io/io.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct loader {
    struct flow *f;
    struct vars vars;
    const char *file; /* the one being read; owned by the flow */
    struct err *e;
};

static int fail(struct loader *l, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int fail(struct loader *l, int line, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(l->e, RC_INPUT, fmt, ap);
    va_end(ap);
    return err_prefix(l->e, "%s:%d: ", l->file, line);
}

static int place(struct loader *l, int line, const char *stage) {
    return err_prefix(l->e, "%s:%d: stage %s: ", l->file, line, stage);
}

/* Every key of map m is one of `allowed` (ended by NULL). */
static int check_fields(struct loader *l, const struct yaml *m, const char *what, const char *const *allowed) {
    for (const struct yaml *k = m->first; k; k = k->next) {
        int i = 0;
        while (allowed[i] && strcmp(k->key, allowed[i])) i++;
        if (allowed[i]) continue;
        struct buf b = BUF_INIT;
        for (i = 0; allowed[i]; i++) buf_addf(&b, "%s%s", i ? ", " : "", allowed[i]);
        fail(l, k->key_line, "%s: field %s is not in the subset of dvc.yaml read here (%s)", what, k->key, b.p);
        buf_release(&b);
        return -1;
    }
    return 0;
}

/* Fit for a file name and for a target of make. */
static bool good_name(const char *s) {
    if (!*s || *s == '.' || *s == '-') return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("._@-+,", *s)) return false;
    return true;
}

/* ---- one stage; its text is already expanded ---- */
static void add_cmd(struct flow_stage *s, const char *text, size_t n) {
    s->cmd = xrealloc(s->cmd, (size_t)s->n_cmd + 1, sizeof *s->cmd);
    s->cmd[s->n_cmd++] = xmemdup0(text, n);
}

/* A string's lines are commands by themselves, as DVC has it; a list's items are whole. */
static int read_cmd(struct loader *l, struct flow_stage *s, const struct yaml *y) {
    if (y->type == YAML_LIST) {
        for (const struct yaml *k = y->first; k; k = k->next) {
            if (k->type != YAML_SCALAR || yaml_is_null(k)) return fail(l, k->line, "stage %s: cmd: expected a list of commands", s->name);
            add_cmd(s, k->text, strlen(k->text));
        }
    } else if (y->type == YAML_SCALAR && !yaml_is_null(y)) {
        for (const char *p = y->text; *p;) {
            size_t n = strcspn(p, "\n");
            if (n && p[n - 1] == '\\' && p[n])
                return fail(l, y->line, "stage %s: cmd: a line ends in \\, but each line of a string runs by itself; expected a folded block (>) or a list", s->name);
            if (strspn(p, " \t") < n) add_cmd(s, p, n);
            p += n + (p[n] == '\n');
        }
    }
    return s->n_cmd ? 0 : fail(l, y->line, "stage %s: cmd: expected a command or a list of commands", s->name);
}

static int add_path(struct loader *l, struct flow_stage *s, const char *text, int line, bool out, bool persist) {
    char *path = flow_clean(l->f->dir, text, out, l->e);
    if (!path) return place(l, line, s->name);
    struct flow_path **v = out ? &s->outs : &s->deps;
    int *n = out ? &s->n_outs : &s->n_deps;
    *v = xrealloc(*v, (size_t)*n + 1, sizeof **v);
    (*v)[(*n)++] = (struct flow_path){path, line, persist};
    return 0;
}

static int read_deps(struct loader *l, struct flow_stage *s, const struct yaml *y) {
    if (y->type != YAML_LIST) return fail(l, y->line, "stage %s: deps: expected a list of paths", s->name);
    for (const struct yaml *k = y->first; k; k = k->next) {
        if (k->type != YAML_SCALAR || !*k->text) return fail(l, k->line, "stage %s: deps: expected a path", s->name);
        if (strstr(k->text, "://")) return fail(l, k->line, "stage %s: deps: %s: addresses are not fetched, expected a path", s->name, k->text);
        if (add_path(l, s, k->text, k->line, false, false) < 0) return -1;
    }
    return 0;
}

/* {path: {cache: false, persist: true}}: DVC's cache does not exist here, so only persist matters. */
static int read_out_map(struct loader *l, struct flow_stage *s, const struct yaml *y) {
    static const char *const fields[] = {"cache", "persist", NULL};
    const struct yaml *o = y->first, *p;
    bool persist = false, cache;
    if (!o || o->next || o->type != YAML_MAP) return fail(l, y->line, "stage %s: outs: expected a path or {path: {cache: false, persist: true}}", s->name);
    if (check_fields(l, o, "outs", fields) < 0) return -1;
    if ((p = yaml_get(o, "persist")) && yaml_bool(p, l->file, &persist, l->e) < 0) return -1;
    if ((p = yaml_get(o, "cache")) && yaml_bool(p, l->file, &cache, l->e) < 0) return -1;
    char *path = vars_expand(&l->vars, o->key, &s->uses, l->e);
    if (!path) return place(l, o->key_line, s->name);
    int rc = add_path(l, s, path, o->key_line, true, persist);
    free(path);
    return rc;
}

static int read_outs(struct loader *l, struct flow_stage *s, const struct yaml *y) {
    if (y->type != YAML_LIST) return fail(l, y->line, "stage %s: outs: expected a list of paths", s->name);
    for (const struct yaml *k = y->first; k; k = k->next) {
        if (k->type == YAML_MAP ? read_out_map(l, s, k) < 0
            : k->type != YAML_SCALAR || !*k->text ? fail(l, k->line, "stage %s: outs: expected a path", s->name) < 0
                                                  : add_path(l, s, k->text, k->line, true, false) < 0)
            return -1;
    }
    return 0;
}

static int read_fields(struct loader *l, struct flow_stage *s, const struct yaml *m) {
    static int (*const read[])(struct loader *, struct flow_stage *, const struct yaml *) = {read_cmd, read_deps, read_outs};
    static const char *const names[] = {"cmd", "deps", "outs"};
    for (int i = 0; i < 3; i++) {
        const struct yaml *y = yaml_get(m, names[i]);
        if (!y) continue;
        struct yaml *r = vars_resolve(&l->vars, y, &s->uses, l->e);
        if (!r) return err_prefix(l->e, "%s:%d: stage %s: %s: ", l->file, y->line, s->name, names[i]);
        int rc = read[i](l, s, r);
        yaml_free(r);
        if (rc < 0) return -1;
    }
    return s->n_cmd ? 0 : fail(l, m->line, "stage %s: cmd is missing", s->name);
}

static int add_stage(struct loader *l, const char *group, const char *name, const struct yaml *m, const char *what) {
    static const char *const fields[] = {"cmd", "deps", "outs", "desc", NULL};
    if (!good_name(name)) return fail(l, m->line, "stage name %s: expected letters, digits and . _ - + , @", name);
    if (m->type != YAML_MAP) return fail(l, m->line, "stage %s: expected a map with cmd, deps, outs", name);
    if (check_fields(l, m, what, fields) < 0) return -1;
    struct flow *f = l->f;
    f->stages = xrealloc(f->stages, (size_t)f->n + 1, sizeof *f->stages);
    struct flow_stage *s = &f->stages[f->n++];
    *s = (struct flow_stage){.name = xstrdup(name), .group = xstrdup(group), .file = l->file, .line = m->key ? m->key_line : m->line};
    return read_fields(l, s, m);
}

/* ---- foreach ---- */
/* Name of one element: its key in a map, its text in a list of values, its index in a list with maps or lists. */
static char *element_name(struct loader *l, const struct yaml *data, const struct yaml *el, int index) {
    bool nested = false;
    if (data->type == YAML_MAP) return xstrdup(el->key);
    for (const struct yaml *k = data->first; k; k = k->next) nested |= k->type != YAML_SCALAR;
    if (!nested) return vars_text(el, l->e);
    struct buf b = BUF_INIT;
    buf_addf(&b, "%d", index);
    return buf_detach(&b);
}

static int each(struct loader *l, const char *group, const struct yaml *data, const struct yaml *body) {
    int index = 0, rc = 0;
    for (const struct yaml *el = data->first; el && !rc; el = el->next, index++) {
        char *key = element_name(l, data, el, index);
        if (!key) return err_prefix(l->e, "%s:%d: stage %s: foreach: an element ", l->file, el->line, group);
        struct buf name = BUF_INIT;
        buf_addf(&name, "%s@%s", group, key);
        l->vars.item = el;
        l->vars.key = data->type == YAML_MAP ? key : NULL;
        for (int i = 0; i < l->f->n && !rc; i++)
            if (!strcmp(l->f->stages[i].name, name.p) && l->f->stages[i].file == l->file)
                rc = fail(l, el->line, "stage %s: foreach: %s stands twice", group, key);
        if (!rc) rc = add_stage(l, group, name.p, body, "do");
        l->vars.item = NULL;
        l->vars.key = NULL;
        buf_release(&name);
        free(key);
    }
    return rc;
}

static int read_foreach(struct loader *l, const struct yaml *m) {
    static const char *const fields[] = {"foreach", "do", NULL};
    const struct yaml *data = yaml_get(m, "foreach"), *body = yaml_get(m, "do");
    if (check_fields(l, m, m->key, fields) < 0) return -1;
    if (!data || !body) return fail(l, m->key_line, "stage %s: foreach and do belong together", m->key);
    struct yaml *r = vars_resolve(&l->vars, data, NULL, l->e);
    if (!r) return err_prefix(l->e, "%s:%d: stage %s: foreach: ", l->file, data->line, m->key);
    int rc = r->type == YAML_SCALAR ? fail(l, data->line, "stage %s: foreach: expected a list or a map", m->key)
                                    : each(l, m->key, r, body);
    yaml_free(r);
    return rc;
}

static int read_stages(struct loader *l, const struct yaml *stages) {
    if (stages->type != YAML_MAP) return fail(l, stages->line, "stages: expected a map of stages");
    for (const struct yaml *m = stages->first; m; m = m->next) {
        bool each_one = yaml_get(m, "foreach") || yaml_get(m, "do");
        if (each_one ? read_foreach(l, m) < 0 : add_stage(l, m->key, m->key, m, m->key) < 0) return -1;
    }
    return 0;
}

/* ---- files ---- */
/* Drops the stages from before index `before` that a later file names: by their own name or their foreach's. */
static void drop_replaced(struct flow *f, int before) {
    int kept = 0;
    for (int i = 0; i < f->n; i++) {
        bool gone = false;
        for (int j = before; i < before && j < f->n && !gone; j++)
            gone = !strcmp(f->stages[i].group, f->stages[j].group) || !strcmp(f->stages[i].name, f->stages[j].name);
        if (gone)
            flow_stage_release(&f->stages[i]);
        else
            f->stages[kept++] = f->stages[i];
    }
    f->n = kept;
}

static struct yaml *read_top(struct loader *l, const char *path) {
    static const char *const fields[] = {"vars", "stages", NULL};
    struct flow *f = l->f;
    f->files = xrealloc(f->files, (size_t)f->n_files + 1, sizeof *f->files);
    l->file = f->files[f->n_files++] = xstrdup(path);
    struct yaml *y = yaml_read_file(path, l->e);
    if (!y) return NULL;
    if (y->type != YAML_MAP) {
        fail(l, y->line, "expected a map with vars and stages");
    } else if (check_fields(l, y, "top level", fields) == 0) {
        return y;
    }
    yaml_free(y);
    return NULL;
}

/* All variables first, so that a replacement's values reach the stages of dvc.yaml. */
static int read_vars(struct loader *l, struct yaml *const *tops, int n, const struct flow_args *a) {
    for (int i = 0; i < n; i++) {
        const struct yaml *v = yaml_get(tops[i], "vars");
        if (v && vars_merge(&l->vars, v, l->f->files[i], i > 0, l->e) < 0) return -1;
    }
    for (int i = 0; i < a->n_set; i++)
        if (vars_set(&l->vars, a->set[i], l->e) < 0) return -1;
    return 0;
}

static int read_files(struct loader *l, const char *path, struct yaml **tops, int *n, const struct flow_args *a) {
    if (!(tops[(*n)++] = read_top(l, path))) return -1;
    for (int i = 0; i < a->n_more; i++)
        if (!(tops[(*n)++] = read_top(l, a->more[i]))) return -1;
    if (read_vars(l, tops, *n, a) < 0) return -1;
    for (int i = 0; i < *n; i++) {
        const struct yaml *stages = yaml_get(tops[i], "stages");
        int before = l->f->n;
        l->file = l->f->files[i];
        if (stages && read_stages(l, stages) < 0) return -1;
        if (i) drop_replaced(l->f, before);
    }
    return l->f->n ? 0 : err_set(l->e, RC_INPUT, "%s: no stages", path);
}

int flow_load(struct flow *f, const struct flow_args *a, struct err *e) {
    struct loader l = {.f = f, .e = e};
    char *path = io_join(a->dir, "dvc.yaml"), *params = io_join(a->dir, "params.yaml");
    struct yaml **tops = xcalloc((size_t)a->n_more + 1, sizeof *tops);
    int n = 0, rc;
    vars_init(&l.vars);
    if (io_exists(params))
        rc = err_set(e, RC_INPUT, "%s: DVC takes variables from this file, coador does not: expected them under vars in dvc.yaml", params);
    else
        rc = read_files(&l, path, tops, &n, a);
    for (int i = 0; i < n; i++) yaml_free(tops[i]);
    vars_release(&l.vars);
    free(tops);
    free(path);
    free(params);
    return rc;
}

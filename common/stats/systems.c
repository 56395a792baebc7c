/* Systems and their runs: see systems.h. */
#include "common/stats/systems.h"
#include <stdlib.h>
#include <string.h>

int64_t name_before(const char *text, char end, const char **rest) {
    const char *at = strchr(text, end);
    if (!at || at == text) return -1;
    *rest = at + 1;
    return at - text;
}

int systems_find(const struct systems *s, const char *name, size_t n) {
    for (int i = 0; i < s->n; i++)
        if (strlen(s->v[i].name) == n && !memcmp(s->v[i].name, name, n)) return i;
    return -1;
}

char *name_of_file(const char *file) {
    const char *base = strrchr(file, '/');
    if (!strcmp(file, "-")) return xstrdup("answers");
    base = base ? base + 1 : file;
    return xmemdup0(base, strcspn(base, "."));
}

/* Name, seed (NULL: none) and file of an operand. */
static int split_operand(const char *operand, char **name, char **seed, const char **file, struct err *e) {
    int64_t n = name_before(operand, '=', file);
    const char *at = n < 0 ? NULL : memchr(operand, '@', (size_t)n);
    *seed = NULL;
    if (n < 0) {
        *file = operand;
        *name = name_of_file(operand);
        return 0;
    }
    if (at == operand || (at && at + 1 == operand + n)) return err_set(e, RC_USAGE, "%s: expected NAME@SEED=FILE", operand);
    *name = xmemdup0(operand, (size_t)(at ? at - operand : n));
    if (at) *seed = xmemdup0(at + 1, (size_t)(operand + n - at - 1));
    return 0;
}

static struct run *new_run(struct systems *s, char *name, char *seed, struct err *e) {
    int i = systems_find(s, name, strlen(name));
    if (i < 0) {
        s->v = xrealloc(s->v, (size_t)s->n + 1, sizeof *s->v);
        s->v[i = s->n++] = (struct system){.name = xstrdup(name)};
    }
    struct system *x = &s->v[i];
    for (int k = 0; k < x->n_runs; k++) {
        const char *other = x->runs[k].seed;
        if (seed && other && strcmp(seed, other)) continue;
        err_set(e, RC_USAGE, seed && other ? "two runs are called %s@%s" : "two systems are called %s: give them names as NAME=FILE, or seeds as NAME@SEED=FILE", name, seed ? seed : "");
        return NULL;
    }
    x->runs = xrealloc(x->runs, (size_t)x->n_runs + 1, sizeof *x->runs);
    struct run *r = &x->runs[x->n_runs++];
    *r = (struct run){.seed = seed ? xstrdup(seed) : NULL};
    return r;
}

int systems_add(struct systems *s, const struct task *t, struct reference *ref, bool learn, const char *cluster, const char *operand, struct err *e) {
    char *name = NULL, *seed = NULL;
    const char *file;
    if (split_operand(operand, &name, &seed, &file, e) < 0) return -1;
    struct run *r = new_run(s, name, seed, e);
    free(name);
    free(seed);
    return r ? answers_read(&r->answers, t, ref, learn, cluster, file, e) : -1;
}

void systems_release(struct systems *s) {
    for (int i = 0; i < s->n; i++) {
        for (int k = 0; k < s->v[i].n_runs; k++) {
            free(s->v[i].runs[k].seed);
            answers_release(&s->v[i].runs[k].answers);
        }
        free(s->v[i].runs);
        free(s->v[i].name);
    }
    free(s->v);
}

/* A pipeline: the stages that a folder's dvc.yaml describes, a subset of DVC's schema (coador-pipeline.1).
       load.c   dvc.yaml, variables and replacements into stages     graph.c  who needs whom, order, cycles
       paths.c  paths of dependencies and outs                       hashes.c SHA-256 of files and folders, cached
       state.c  what a stage's last run left, and whether it holds   place.c  scratch folder, moving outs into place
       exec.c   one command under bash, watched                      run.c    one stage from decision to provenance */
#ifndef COADOR_FLOW_H
#define COADOR_FLOW_H
#include "common/flow/vars.h"

struct flow_path {
    char *path;   /* clean, relative to the folder; a dependency may start with ../ or / */
    int line;     /* in the stage's file */
    bool persist; /* an out that stays when the stage runs again or fails */
};
struct flow_stage {
    char *name;       /* "train", or "train@int8" out of a foreach */
    char *group;      /* its key under `stages` */
    const char *file; /* where it is described; borrowed from the flow */
    int line;
    char **cmd; /* commands, run one after the other */
    int n_cmd;
    struct flow_path *deps, *outs;
    int n_deps, n_outs;
    struct var_uses uses; /* variables that its text used */
    int *needs, n_needs;  /* indices of the stages that make its dependencies, ascending */
};
struct flow {
    char *dir;   /* the folder, absolute, links resolved */
    char *shown; /* as the user gave it */
    char **files;
    int n_files;
    struct flow_stage *stages; /* in file order */
    int n;
    int *order; /* (n) every stage after those it needs */
};

struct flow_args {
    const char *dir;
    const char *const *more; /* YAML files whose stages and variables replace those of dvc.yaml */
    int n_more;
    const char *const *set; /* "NAME=VALUE" */
    int n_set;
    bool any_deps; /* do not ask that dependencies exist (for drawing) */
};
/* Reads, expands, checks and orders. NULL and e ("file:line: what"): RC_INPUT, RC_USAGE for `set`. give: flow_free. */
struct flow *flow_open(const struct flow_args *a, struct err *e);
void flow_free(struct flow *f);
int flow_find(const struct flow *f, const char *name); /* index of a stage, -1 */

/* ---- parts, used by flow_open ---- */
int flow_load(struct flow *f, const struct flow_args *a, struct err *e);       /* load.c */
int flow_link(struct flow *f, bool any_deps, struct err *e);                   /* graph.c: needs and order */
void flow_stage_release(struct flow_stage *s);
/* paths.c. Cleans by text alone ("a/./b/../c" is "a/c"); a path that leads back into the folder becomes relative to it.
   give; NULL and e (without a place) for an out outside the folder, or the folder itself. */
char *flow_clean(const char *dir, const char *path, bool out, struct err *e);
bool flow_inside(const char *path, const char *tree); /* path is tree or lies under it */
bool flow_outside(const char *path);                  /* a clean path that leaves the folder */
char *flow_abs(const struct flow *f, const char *path); /* the clean path as an absolute one; give */
#endif

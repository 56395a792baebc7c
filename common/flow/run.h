/* One stage, from the decision to the provenance. */
#ifndef COADOR_FLOW_RUN_H
#define COADOR_FLOW_RUN_H
#include "common/flow/flow.h"

struct flow_run {
    const struct flow *f;
    const char *programs;                                                      /* folder of the coador programs */
    const char *front;                                                         /* folder of the front end: first on the commands' PATH */
    void (*say)(const char *fmt, ...) __attribute__((format(printf, 1, 2)));   /* progress, one line a call */
    int status; /* out: exit status of the command that failed, 0 if none did */
    int signal; /* out: the signal that broke the run off, 0 if none */
};
/* Runs stage i if it must. 0: it stands as its provenance says. -1: its command failed (status, e), its outs do not fit or
   it could not be run (e); then the folder has none of its outs but persist ones. */
int flow_run_stage(struct flow_run *r, int i, struct err *e);

/* Why each stage would run: *why is NULL where nothing is to be done; give (free(3)). In the order of f->order a caller
   fills `pending` (f->n, zeroed at first), so that what a stage to be run makes counts as changed. -1 on an error. */
int flow_foresee(const struct flow *f, int i, const char *programs, bool *pending, char **why, struct err *e);
#endif

/* What a stage is made from and what it made: the facts that its provenance records, and whether they still hold. */
#ifndef COADOR_FLOW_STATE_H
#define COADOR_FLOW_STATE_H
#include "common/flow/flow.h"
#include "common/flow/hashes.h"
#include "common/io/buf.h"

struct fact {
    char *name; /* path, or a program's name */
    char hex[SHA256_HEX];
    int64_t bytes;
};
struct facts {
    struct fact *v;
    int n;
};
void facts_release(struct facts *f);

/* Where a flow keeps its own files: DIR/.coador/NAME; give. */
char *state_path(const struct flow *f, const char *name, const char *suffix);

struct state {
    struct facts deps, programs;
};
void state_release(struct state *s);
/* Hashes the stage's dependencies and the coador programs that its commands name (all of them where a command takes the
   name from a shell variable). `programs` is the folder they lie in. A missing dependency is an error. */
int state_take(const struct flow *f, const struct flow_stage *s, const char *programs, struct hashes *h, struct state *out, struct err *e);
/* 1: the stage must run, and why is in `reason`; 0: what its provenance says holds; -1: error. */
int state_judge(const struct flow *f, const struct flow_stage *s, const struct state *now, struct hashes *h, struct buf *reason, struct err *e);

struct run_facts {
    const char *started; /* UTC, "2026-01-31T12:00:00Z" */
    double wall;         /* seconds */
    int64_t peak;        /* bytes: of the largest process */
};
/* Hashes the outs as they lie and writes the provenance: whole, last. */
int state_record(const struct flow *f, const struct flow_stage *s, const struct state *was, const struct run_facts *r, struct hashes *h, struct err *e);
#endif

/* Systems and their runs: the same system trained with several seeds is one system, whose scores are means over its runs. */
#ifndef COADOR_SYSTEMS_H
#define COADOR_SYSTEMS_H
#include "common/stats/answers.h"

struct run {
    char *seed;                /* what stands behind @, or NULL */
    struct answers answers;
};
struct system {
    char *name;
    int n_runs;
    struct run *runs;
};
struct systems {
    int n;
    struct system *v;          /* in the order of their first files */
};
/* Reads "[NAME[@SEED]=]FILE" as one more run; without NAME it is the file's name up to its first dot. learn: its own truth
   makes the (empty) reference. */
int systems_add(struct systems *s, const struct task *t, struct reference *r, bool learn, const char *cluster, const char *operand, struct err *e);
void systems_release(struct systems *s);
int systems_find(const struct systems *s, const char *name, size_t n); /* -1: none */
/* "NAME=REST": the length of NAME and *rest; or -1 when there is no = or nothing before it. */
int64_t name_before(const char *text, char end, const char **rest);
/* What a file is called that came without a name: up to its first dot; give. */
char *name_of_file(const char *file);
#endif

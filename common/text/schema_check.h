/* Inside of schema_check.c and schema_rest.c: a validation under way. */
#ifndef COADOR_SCHEMA_CHECK_H
#define COADOR_SCHEMA_CHECK_H
#include "common/text/schema_node.h"

struct place { /* where in the instance: a list towards the root */
    const struct place *up;
    const struct json *key; /* a member, else an element */
    size_t index;
};

struct check {
    struct err *e;
    int silent; /* above 0: inside a branch whose failure is no error */
    long steps;
    int depth;
    const char *given_up; /* why the answer would mean nothing */
};

int check_node(struct check *c, const struct node *n, const struct json *v, const struct place *at);
bool check_holds(struct check *c, const struct node *n, const struct json *v, const struct place *at); /* without a message */
/* "at PLACE: text", then ", got V" unless v is NULL. Returns -1 at once in a silent branch. */
int check_fail(struct check *c, const struct place *at, const struct json *v, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Whether n's properties or patternProperties name the member. */
bool check_names(struct check *c, const struct node *n, const struct json *m);
/* unevaluatedProperties and unevaluatedItems of n, for which the rest holds. */
int check_rest(struct check *c, const struct node *n, const struct json *v, const struct place *at);
#endif

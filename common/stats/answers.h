/* What systems answered, as class numbers aligned with a reference: the input of every score.
   The schema says what is answered: its enum leaves ("fields"); fields with the same values form a group and are
   scored together ("pooled"). */
#ifndef COADOR_ANSWERS_H
#define COADOR_ANSWERS_H
#include "common/io/err.h"
#include "common/io/intern.h"
#include "common/io/json.h"
#include "common/text/rowcount.h"
#include "common/text/schema.h"
#include <stdbool.h>

struct group {
    char *name;                /* last path component its fields share, else the fields' names */
    int K;                     /* classes */
    const char **labels;       /* K, borrowed from the schema */
    int n_fields;
};
struct task {
    const struct schema *schema; /* borrowed */
    int n_fields, n_groups;
    const char **field;        /* paths */
    int *group_of;             /* of each field */
    struct group *groups;
};
int task_init(struct task *t, const struct schema *s, struct err *e);
void task_release(struct task *t);

struct reference {             /* what is true, and which rows belong together */
    struct intern ids;         /* rows in order; none if alone */
    struct rowcount *alone;    /* set before reading where one file is all there is: its ids are only counted, in memory that does not grow
                                  with them; owned */
    uint8_t *truth;            /* (rows, fields) class */
    int32_t *unit;             /* (rows) cluster number; NULL without clusters: each row is a unit */
    struct intern clusters;    /* private */
    int64_t rows, n_units, cap;
};
/* From records with `truth`; cluster: a field of the record or of its `row` (NULL: none). Missing or unknown labels,
   duplicate ids and missing clusters are errors with file and line. */
int reference_read(struct reference *r, const struct task *t, const char *path, const char *cluster, struct err *e);
void reference_release(struct reference *r);

enum answer_state { ANSWER_NONE, ANSWER_INVALID, ANSWER_VALID }; /* not read yet; read; parsed and valid against the schema */
struct answers {
    const char *path;
    uint8_t *pred;             /* (rows, fields) class, K of the field's group = unparsed */
    uint8_t *state;            /* (rows) enum answer_state */
    int64_t cap, next;         /* private: rows there is room for; the row behind the last one read */
    int64_t scored_tokens;     /* of rows with token_logprobs */
    double logprob;            /* their sum, natural logarithm */
    bool has_parsed;           /* any record carried `parsed` */
    double *confidence;        /* (rows, fields), NaN where the record has none; NULL without any */
    int64_t with_usage, tokens_in, tokens_out; /* records with `usage`, and what it counts in all */
};
/* From records with `parsed` (absent or null: unparsed), `token_logprobs`, `confidence` and `usage`; ids must be the reference's, each once.
   learn: the records' own `truth` makes the reference, which has no row yet, on the way. */
int answers_read(struct answers *a, const struct task *t, struct reference *r, bool learn, const char *cluster, const char *path, struct err *e);
void answers_release(struct answers *a);
/* A value's member by path ("f1.pol"), NULL if absent. */
const struct json *json_walk(const struct json *v, const char *path);
#endif

/* What systems answered, as class numbers aligned with a reference: the input of every score.
   The schema says what is answered: its enum leaves ("fields"); fields with the same values form a group and are
   scored together ("pooled"). */
#ifndef COADOR_ANSWERS_H
#define COADOR_ANSWERS_H
#include "common/io/err.h"
#include "common/io/intern.h"
#include "common/io/json.h"
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
    struct intern ids;         /* rows in order */
    int16_t *truth;            /* (rows, fields) class */
    int32_t *unit;             /* (rows) cluster number; its own number without clusters */
    struct intern units;
    int64_t rows, cap;
};
/* From records with `truth`; cluster: a field of the record or of its `row` (NULL: none). Missing or unknown labels,
   duplicate ids and missing clusters are errors with file and line. */
int reference_read(struct reference *r, const struct task *t, const char *path, const char *cluster, struct err *e);
void reference_release(struct reference *r);

struct answers {
    const char *path;
    int16_t *pred;             /* (rows, fields) class, K of the field's group = unparsed */
    bool *valid;               /* (rows) parsed and valid against the schema */
    bool *exact;               /* (rows) every field right */
    bool *seen;                /* private */
    int64_t cap;               /* private: rows there is room for */
    int64_t scored_tokens;     /* of rows with token_logprobs */
    double logprob;            /* their sum, natural logarithm */
    bool has_parsed;           /* any record carried `parsed` */
    double *confidence;        /* (rows, fields), NaN where the record has none; NULL without any */
    int64_t with_usage, tokens_in, tokens_out; /* records with `usage`, and what it counts in all */
};
/* From records with `parsed` (absent or null: unparsed), `token_logprobs`, `confidence` and `usage`; ids must be the reference's, each once.
   learn: the records' own `truth` makes the (empty) reference on the way. */
int answers_read(struct answers *a, const struct task *t, struct reference *r, bool learn, const char *cluster, const char *path, struct err *e);
void answers_release(struct answers *a);
/* A value's member by path ("f1.pol"), NULL if absent. */
const struct json *json_walk(const struct json *v, const char *path);
#endif

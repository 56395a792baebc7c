/* What a teacher is asked for: labels that fit a schema, and beside them its reasoning, a string under a key of its own that
   stands before or behind the labels. And the student's completion made from both. */
#ifndef COADOR_LABEL_TASK_H
#define COADOR_LABEL_TASK_H
#include "common/text/schema.h"

struct label_task {
    struct schema *labels;     /* as given: what `parsed` fits, without reasoning */
    struct schema *asked;      /* what answers must fit: the labels' with a reasoning that is not empty; the same without a key */
    char *told;                /* its text for teachers: without minLength, which strict servers refuse */
    const char *reasoning;     /* the key, or NULL; borrowed */
    bool last;                 /* reasoning behind the labels */
    struct json_doc *doc;      /* the labels' schema, for the order of members */
};
/* Refuses (RC_INPUT) a schema whose root is no object with properties, or has the reasoning key already. */
int label_task_init(struct label_task *t, const char *schema_path, const char *reasoning, bool last, struct err *e);
void label_task_release(struct label_task *t);
/* The reasoning in an answer that fits t->asked; NULL without a key. */
const struct json *label_reasoning(const struct label_task *t, const struct json *answer);
/* Appends the labels, members in the schema's order, as compact JSON; with `reasoning` (may be NULL) under its key. */
void label_put(const struct label_task *t, const struct json *labels, const struct json *reasoning, struct buf *out);
#endif

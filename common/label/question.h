/* What a teacher is shown for one record: its own prompt or messages, or a template filled with the record's strings, the
   cells of its `row`, and the schema. */
#ifndef COADOR_LABEL_QUESTION_H
#define COADOR_LABEL_QUESTION_H
#include "common/io/jsonl.h"
#include "common/io/template.h"
#include "common/label/task.h"

struct question {
    struct template *template; /* NULL: the record's own prompt */
    const struct label_task *task;
    struct cell *names, *cells; /* of the record at hand */
    size_t n, cap;
};
/* Appends the messages as JSON, [{"role","content"}…]. Names in a template are the cells of `row` first, then string fields of
   the record, then `schema`: what answers must fit. -1 and why: a name that this record lacks, no prompt. */
int question_put(struct question *q, const struct record *r, struct buf *out, struct err *e);
void question_release(struct question *q);
/* Makes the record one to train on: `completion` beside its prompt, or for a record of messages one more message of the
   assistant. */
void question_answer(struct record *r, const char *completion, size_t n);
#endif

/* An answer template rendered for one row: the text to train on, and the truth to score against. */
#ifndef COADOR_ANSWER_H
#define COADOR_ANSWER_H
#include "common/io/buf.h"
#include "common/io/json.h"
#include "common/io/template.h"

enum answer_style {
    ANSWER_COMPACT,  /* {"a":1,"b":2} */
    ANSWER_PYTHON,   /* {"a": 1, "b": 2}: as Python's json.dumps spaces it */
    ANSWER_VERBATIM, /* as the template has it */
    ANSWER_NOTEBOOK  /* {'a': 1, 'b': 2}: str() of the dict */
};

struct answer; /* scratch memory, used for every row */
struct answer *answer_new(void); /* give: answer_free */
void answer_free(struct answer *a);
/* Appends to text the rendered answer, and to truth one JSON value. An answer that parses as JSON is written again in
   the style, the white space around it kept, and is the truth (compact, numbers as they stood); any other is a string,
   whose truth is without the white space around it. An error where JSON is needed: the template starts with { or [, or
   the style is NOTEBOOK. `text` may be NULL. `what` names the template in messages: "completion". */
int answer_put(struct answer *a, const char *what, const struct template *t, enum answer_style style, const struct cell *cells,
               struct buf *text, struct buf *truth, struct err *e);
#endif

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

struct answer; /* an answer template in a style, with scratch memory */
/* t is bound, and borrowed; `what` names it in messages: "completion". give: answer_free. */
struct answer *answer_new(const char *what, const struct template *t, enum answer_style style);
void answer_free(struct answer *a);
/* Reads the answer of a row. One that parses as JSON is written again in the style, the white space around it kept, and is
   the truth (compact, numbers as they stood); any other is a string, whose truth is without the white space around it. An
   error where JSON is needed: the template starts with { or [, or the style is NOTEBOOK. Borrows cells until the next. */
int answer_read(struct answer *a, const struct cell *cells, struct err *e);
/* Each appends of the row last read: its text, that as the content of a JSON string, the truth as one JSON value. */
void answer_text(const struct answer *a, struct buf *b);
void answer_text_chars(const struct answer *a, struct buf *b);
void answer_truth(const struct answer *a, struct buf *b);
#endif

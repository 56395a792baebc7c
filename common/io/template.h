/* Templates with LangChain's braces: `{col}` is a cell, `{{` and `}}` are literal braces, and `{col|json}` is the
   cell as a JSON string with its quotes. Names are taken as they stand (spaces count); the filter is what follows
   the last `|`. One newline (LF or CRLF) at the end of the text is dropped, as is a BOM at its start.
   Errors are "file:line:column: what, what was expected", columns counted in characters from 1. */
#ifndef COADOR_TEMPLATE_H
#define COADOR_TEMPLATE_H
#include "common/io/buf.h"
#include "common/io/csv.h"
#include "common/io/err.h"
#include <stdbool.h>

struct template;
/* Both give; template_free. Refuse: unclosed {, lone }, { inside a name, empty names, unknown filters, empty
   templates, invalid UTF-8, NUL. */
struct template *template_read(const char *path, struct err *e); /* "-": stdin */
struct template *template_parse(const char *text, size_t n, const char *name, struct err *e);
void template_free(struct template *t);

/* Names that a template may use: `names` are a CSV's, `aliases` stand for some of them and win. */
struct alias {
    const char *name;
    size_t column;
};
struct columns {
    const struct cell *names;
    size_t n;
    const struct alias *aliases;
    size_t n_aliases;
};
/* Column of a name (n bytes), or -1. */
long columns_find(const struct columns *c, const char *name, size_t n);
/* Appends "'a', 'b' and 3 more" for messages. */
void columns_list(const struct columns *c, struct buf *b);

/* Finds every name's column; an unknown name is an error that lists those that exist. */
int template_bind(struct template *t, const struct columns *c, struct err *e);
/* After binding: marks used[column] of every column that t names. */
void template_used(const struct template *t, bool *used);
/* Appends the text for one row to b. */
void template_render(const struct template *t, const struct cell *cells, struct buf *b);
/* The same as the content of a JSON string: json_put_chars of that text. */
void template_render_chars(const struct template *t, const struct cell *cells, struct buf *b);
/* The last byte of that text, 0 if it is empty. */
char template_last(const struct template *t, const struct cell *cells);
/* The first byte that is not white space, if it is the template's own and not a cell's; else 0. */
char template_first(const struct template *t);
const char *template_name(const struct template *t);
#define TEMPLATE_MARK "\xEE\x80\x80" /* U+E000, of private use */
/* A template whose text is that of t (bound), rewritten: `rewrite` is given t's text with a JSON string for each cell, one that
   begins with TEMPLATE_MARK, and appends another with the same strings in the same order, or says false. NULL then, where strings went missing or came
   again, and where t has a cell that is no {column|json}. Right for every row where no content of a string changes what
   `rewrite` does beside it. give: template_free; neither parsed nor bound again. */
struct template *template_rewrite(const struct template *t, bool (*rewrite)(void *arg, const struct buf *text, struct buf *to), void *arg);
#endif

/* Names of members in a JSON text while it is written: whether what is written next would give an object a name twice. The text is
   taken for JSON, with one way to write each name (grammars of schemas have json_put_string's): names are compared as bytes. */
#ifndef COADOR_NAMES_H
#define COADOR_NAMES_H
#include "common/io/buf.h"
#include <stdbool.h>

struct names {
    struct buf text; /* names of the objects that are open, the outermost's first, each before a NUL; then what is there of one more */
    struct level {
        size_t from; /* of an object: where its names begin */
        bool object;
    } *levels;       /* the open objects and arrays */
    size_t n, cap, begun; /* begun: where in text the name that is being written begins */
    bool in_string, escaped, name; /* name: the string that is being written, or comes next, is a name */
};
#define NAMES_INIT {.text = BUF_INIT}
void names_release(struct names *s);
/* Goes on by n bytes: whether an object got a name that it had. */
bool names_take(struct names *s, const char *bytes, size_t n);
/* The same question, and s stays as it is; scratch: any names, changed. */
bool names_would(const struct names *s, const char *bytes, size_t n, struct names *scratch);
/* Quotes that bytes need at least to end a name from here. */
int names_quotes(const struct names *s);
#endif

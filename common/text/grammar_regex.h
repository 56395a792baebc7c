/* Inside of grammar_regex*.c: a parsed pattern. The subset of ECMA-262 (u flag): characters, classes, escapes (\d \w \s and
   their opposites, \x, \u, \c, \0, \p of PCRE2's properties), groups of every kind but look-behind, alternatives, counts (lazy
   or not), ^ and $, look-ahead outside of repetition. Back references, \b and \B are errors that say so. */
#ifndef COADOR_GRAMMAR_REGEX_H
#define COADOR_GRAMMAR_REGEX_H
#include "common/text/grammar_impl.h"

enum regex_kind { R_EMPTY, R_SET, R_CAT, R_OR, R_REP, R_LOOK, R_NOT_LOOK, R_START, R_END };

struct spans {
    struct span *v;
    size_t n, cap;
};

struct regex {
    enum regex_kind kind;
    struct spans set;
    struct regex *first, *next; /* children; next sibling */
    uint32_t lo, hi;
};

/* give: regex_free. Errors without a place. */
struct regex *regex_parse(const char *p, size_t n, struct err *e);
void regex_free(struct regex *r);
void spans_add(struct spans *s, uint32_t from, uint32_t to);
void spans_tidy(struct spans *s);   /* ascending, apart */
void spans_invert(struct spans *s); /* of tidy ones */
/* The code points of \p{name}. */
int spans_property(struct spans *s, const char *name, size_t n, struct err *e);
#endif

/* Inside of grammar*.c: what the readers of schemas, patterns and grammars share. */
#ifndef COADOR_GRAMMAR_IMPL_H
#define COADOR_GRAMMAR_IMPL_H
#include "common/io/json.h"
#include "common/text/grammar.h"
#include "common/text/grammar_term.h"

struct grammar {
    struct terms x;
    term start;
    char **left; /* grammar_left_out */
    size_t n_left, cap_left;
    term char_free, char_plain; /* one character inside a JSON string; see lex_init */
    size_t prefix; /* bytes before the document */
    bool open;     /* objects may have members that no schema names */
};

/* ---- grammar.c ---- */
struct grammar *grammar_new(const struct grammar_options *o);
/* Puts the prefix before body and readies g; takes g: NULL and the reason where that fails. */
struct grammar *grammar_finish(struct grammar *g, term body, const struct grammar_options *o, struct err *e);

/* ---- grammar_lex.c: characters and strings ---- */
struct span { /* code points, both ends included */
    uint32_t from, to;
};
/* Fills char_free (any way to write it: raw, short escape, \u, a pair of \u) and char_plain (as json_put_string does). */
void lex_init(struct grammar *g);
/* One character of the spans (ascending, apart), written plainly inside a JSON string; surrogates are left out. */
term lex_spans(struct terms *x, const struct span *v, size_t n);
/* The same as plain UTF-8, outside of JSON. */
term lex_spans_raw(struct terms *x, const struct span *v, size_t n);
term lex_digit(struct terms *x, char from, char to);

/* ---- grammar_number.c ---- */
struct limits { /* of numbers: what several schemas ask together */
    const struct json *least, *most; /* NULL: none */
    bool above, below;               /* least, most themselves are out */
    const struct json *multiple[4];
    int n_multiple;
};
/* -1 and why where that cannot be kept. */
int number_term(struct terms *x, const struct limits *l, bool whole, term *out, struct err *e);

/* ---- grammar_regex.c ---- */
/* A whole JSON string, quotes and all, that the ECMA-262 pattern matches somewhere; a regular term. */
int regex_string_term(struct grammar *g, const char *p, size_t n, term *out, struct err *e);
/* A whole text, not JSON, that the pattern matches from end to end. */
int regex_text_term(struct grammar *g, const char *p, size_t n, term *out, struct err *e);
#endif

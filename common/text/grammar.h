/* Grammars for constrained decoding: what an answer may look like, byte by byte. Made from a JSON Schema, a regular
   expression, a GBNF grammar or a list of choices; mask.h applies one to the tokens of a model.
   A state is a number: copied freely, good as long as the grammar. One thread at a time on one grammar.
   From a schema: every document that is accepted is valid (fail-closed); of a valid value one way to write it is accepted,
   mostly the one of json_put_value: properties in the schema's order and before others, strings of enums, keys and strings
   under a pattern without needless escapes, whole numbers without point or exponent, bounded numbers without exponent.
   One thing is left to who walks: two members that no schema names may have one name, which strict JSON refuses (grammar_open).
   Nothing of it is kept on disk: of MaskBench's schemas (every fifth file) half compile within 0.24 ms, 90 % within 1.3 ms, 99 %
   within 11 ms, the notebook's in 0.1 to 0.2 ms, and the vocabulary of 49,152 tokens takes 31 ms once a run, all less than the
   opening of a model; reading a cache back would have to fill the same tables.
   Numbers have at most 100 digits on each side of the point and, free, an exponent below 200: none leaves a double's range. */
#ifndef COADOR_GRAMMAR_H
#define COADOR_GRAMMAR_H
#include "common/io/buf.h"
#include "common/io/err.h"
#include "common/text/schema.h"
#include <stdbool.h>
#include <stdint.h>

enum grammar_space {
    GRAMMAR_COMPACT, /* {"a":1,"b":2} */
    GRAMMAR_PYTHON,  /* {"a": 1, "b": 2} */
    GRAMMAR_BOUNDED  /* at most 40 white-space characters where JSON allows any */
};
struct grammar_options {
    enum grammar_space space;
    const char *prefix;    /* text before the document; NULL: an optional space. Choices and patterns too */
    const uint64_t *bytes; /* 256 bits: those that may be written at all (mask.h: vocab_bytes); NULL: all */
    bool lenient;          /* schemas: leaves out keywords that cannot be kept, instead of refusing the schema */
};

struct grammar;
/* All return NULL and the reason (RC_INPUT). A keyword that cannot be kept is named with its path; a schema that no document
   fits is an error, too. give: grammar_free. */
struct grammar *grammar_from_schema(const struct schema *s, const struct grammar_options *o, struct err *e);
struct grammar *grammar_from_regex(const char *pattern, const struct grammar_options *o, struct err *e); /* matched from end to end */
/* A grammar in llama.cpp's GBNF (its parts: grammar_gbnf.h); messages begin with "file:line: ". */
struct grammar *grammar_from_gbnf(const char *text, size_t n, const char *file, const struct grammar_options *o, struct err *e);
struct grammar *grammar_from_choices(const char *const *v, int n, const struct grammar_options *o, struct err *e);
void grammar_free(struct grammar *g);
/* What was left out: "at #/items: uniqueItems: why". Then answers need not be valid. */
size_t grammar_n_left_out(const struct grammar *g);
const char *grammar_left_out(const struct grammar *g, size_t i);

/* Walking is bounded. Searches may look at GRAMMAR_SEARCH states from grammar_try to the next one, some 50 ms (nested counts of
   overlapping sets under look-aheads need more), and a grammar holds 4 million states. Where grammar_beyond says that a bound was
   passed, everything is a dead end until grammar_try: what was answered since is of no use, and nothing of it is kept. Before the
   first grammar_try only single searches are bounded, at 200,000. */
#define GRAMMAR_SEARCH 10000
void grammar_try(struct grammar *g);
bool grammar_beyond(const struct grammar *g);

/* Whether the grammar lets an object have a name twice. *prefix: bytes that stand before the document. */
bool grammar_open(const struct grammar *g, size_t *prefix);

#define GRAMMAR_DEAD 0u /* the state that nothing leads out of */
uint32_t grammar_start(const struct grammar *g);
/* The state behind one more byte, GRAMMAR_DEAD if it may not stand here. No other state is without a way to the end. */
uint32_t grammar_byte(struct grammar *g, uint32_t state, unsigned char byte);
bool grammar_done(struct grammar *g, uint32_t state); /* the text may end here */
bool grammar_ended(struct grammar *g, uint32_t state); /* it must */
/* Bytes of the shortest text that ends the answer; those bytes: always the same ones, and after the first of them the
   rest is the shortest text from there. Lengths beyond 4 billion are taken as that. */
uint32_t grammar_min_close(struct grammar *g, uint32_t state);
void grammar_close(struct grammar *g, uint32_t state, struct buf *out);
/* Appends the bytes that must follow, as far as there is one way only; returns the state behind them. At most `max` bytes. */
uint32_t grammar_forced(struct grammar *g, uint32_t state, size_t max, struct buf *out);
#endif

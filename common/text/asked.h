/* What a tool's options ask of answers: one of a schema, a regular expression, a GBNF grammar or choices; read once, before
   the model, and made into a grammar for its vocabulary. */
#ifndef COADOR_ASKED_H
#define COADOR_ASKED_H
#include "common/text/grammar.h"

struct asked {
    /* filled by the tool, borrowed; at most one of the first four */
    const char *schema_file, *regex, *gbnf_file;
    const char *const *choices; /* "A,B,C" each; \, is a comma and \\ a backslash inside one */
    int n_choices;
    const char *prefix; /* as in grammar_options */
    enum grammar_space space;
    bool annotate_unknown; /* schema_options */
    bool lenient;          /* grammar_options */
    /* read */
    struct schema *schema;
    struct buf gbnf, left_out; /* left_out: of a lenient schema, a JSON array of grammar_left_out's strings */
    char **choice; /* cut at the commas */
    int n_choice, cap_choice;
};
static inline bool asked_any(const struct asked *a) { return a->schema_file || a->regex || a->gbnf_file || a->n_choices; }
/* Reads the files and sees that a grammar can be made: 0 or -1. give either way: asked_release. */
int asked_read(struct asked *a, struct err *e);
/* bytes: what the vocabulary can write (vocab_bytes). give: grammar_free. */
struct grammar *asked_grammar(const struct asked *a, const uint64_t *bytes, struct err *e);
void asked_release(struct asked *a);
#endif

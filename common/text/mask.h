/* Grammars over the tokens of a model: which tokens may come next, how many are left to a valid end.
   A vocabulary is prepared once (a trie of the tokens' bytes, and the tokens that stay inside a JSON string); a mask is found
   by walking the trie with the grammar, only where the grammar goes, and kept for the next visit of the state.
   A bit mask is (size + 31) / 32 words, bit i % 32 of word i / 32 for token i. */
#ifndef COADOR_MASK_H
#define COADOR_MASK_H
#include "common/text/grammar.h"
#include "common/text/tokenizer.h"

struct vocab;
/* Special tokens, holes and tokens beyond 250 bytes are never in a mask. Keeps nothing of t. give: vocab_free. */
struct vocab *vocab_new(const struct tokenizer *t);
/* The same of n texts (length 0: not in a mask). */
struct vocab *vocab_of_texts(const char *const *text, const size_t *len, int32_t n);
void vocab_free(struct vocab *v);
int32_t vocab_size(const struct vocab *v);
/* 256 bits: the bytes that are tokens by themselves. A grammar that writes only these (grammar_options) never comes to a
   state without a token. */
const uint64_t *vocab_bytes(const struct vocab *v);
/* Whether some token has b right behind a. Where none has, every way to cut a text cuts it there. */
bool vocab_joins(const struct vocab *v, unsigned char a, unsigned char b);

struct masker;
/* Borrows both; g must have been made with vocab_bytes(v). give: masker_free. One thread at a time. */
struct masker *masker_new(struct grammar *g, const struct vocab *v);
void masker_free(struct masker *m);
/* bits: tokens that may come next. Their number; -1 beyond the grammar's bounds (grammar_beyond; masks and mask_accept try anew by
   themselves). */
int32_t mask_fill(struct masker *m, uint32_t state, uint32_t *bits);
/* The same, but only those after which the answer can still end within tokens_left tokens, this one counted; *narrowed: some
   were taken out for that. With tokens_left >= mask_min_tokens(state) > 0 there is always one. */
int32_t mask_fill_within(struct masker *m, uint32_t state, uint32_t tokens_left, uint32_t *bits, bool *narrowed);
/* The state behind a token, GRAMMAR_DEAD if it may not come, or beyond bounds. */
uint32_t mask_accept(struct masker *m, uint32_t state, int32_t token);
/* Tokens that the shortest text from here to the end takes (grammar_close, cut into as few tokens as can be); TERM_INF beyond
   bounds. */
uint32_t mask_min_tokens(struct masker *m, uint32_t state);
#endif

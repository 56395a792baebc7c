/* Pre-tokenisers: the regular expressions that cut a text into the words BPE works on. Every byte of the text lies in
   exactly one word. Letters, numbers and white space are those of Unicode 16 whatever PCRE2's own tables are (14 or newer),
   and white space is Unicode's White_Space: both as in Hugging Face tokenizers 0.23. */
#ifndef COADOR_PRETOK_H
#define COADOR_PRETOK_H
#include "common/io/err.h"
#include <stddef.h>

enum pretok_kind {
    PRETOK_SMOLLM, /* each number character alone, then GPT-2's pattern in between */
    PRETOK_GPT2,
    PRETOK_LLAMA,  /* Llama-3: numbers in groups of up to three */
    PRETOK_QWEN2   /* Llama-3's with single number characters */
};
/* Kind by the name that GGUF files use (tokenizer.ggml.pre), -1 if it is not one of the four. */
int pretok_by_name(const char *s, size_t n);
const char *pretok_name(enum pretok_kind k); /* "smollm", "gpt-2", "llama-bpe", "qwen2" */

struct pretok; /* compiled patterns; immutable, so shared by threads */
struct pretok *pretok_new(enum pretok_kind k, struct err *e); /* give: pretok_free */
void pretok_free(struct pretok *p);

/* One walk over a text: begin, then next until it returns 0, then end. */
struct pretok_walk {
    const struct pretok *p;
    const char *text; /* borrowed, valid UTF-8 */
    size_t n, at, limit;
    void *match; /* pcre2_match_data of this walk */
};
void pretok_begin(struct pretok_walk *w, const struct pretok *p);
void pretok_text(struct pretok_walk *w, const char *text, size_t n); /* starts over on another text */
/* 1 and the next word, 0 at the end, -1 if PCRE2 gave up (memory). */
int pretok_next(struct pretok_walk *w, const char **word, size_t *len, struct err *e);
void pretok_end(struct pretok_walk *w);
#endif

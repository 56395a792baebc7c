/* BPE tokenizers from GGUF metadata or tokenizer.json; ids are those of Hugging Face's tokenizers 0.23. SentencePiece's BPE
   with byte fallback (Llama-2, TinyLlama, Mistral; from GGUF: by scores, as SentencePiece itself and llama.cpp), and
   byte-level BPE with pre-tokenisers by name (PCRE2, UTF): "smollm" (single digits, then GPT-2's pattern), "gpt-2", "llama-bpe", "qwen2".
   A kind that is not known is an error that says its name. */
#ifndef COADOR_TOKENIZER_H
#define COADOR_TOKENIZER_H
#include "common/io/buf.h"
#include "common/io/err.h"
#include "common/io/gguf.h"
#include <stdbool.h>

struct tokenizer;
/* Keeps nothing of g. give: tokenizer_free. GGUF has no normaliser: Qwen2's NFC is then the caller's business, as in llama.cpp. */
struct tokenizer *tokenizer_from_gguf(const struct gguf *g, struct err *e);
/* tokenizer.json, and from beside it chat_template.jinja and tokenizer_config.json (eos_token, chat_template) if they exist. */
struct tokenizer *tokenizer_from_json(const char *path, struct err *e);
void tokenizer_free(struct tokenizer *t);

/* Ids, grown by the caller's struct. */
struct ids {
    int32_t *v;
    size_t n, cap;
};
#define IDS_INIT {0, 0, 0}
void ids_add(struct ids *s, int32_t id);
void ids_release(struct ids *s);

/* Appends the ids of text[0..n) (valid UTF-8, else RC_INPUT and out as before). Special tokens inside text are plain text:
   their characters are encoded like any others. Added tokens that are not special are found, they are part of the vocabulary
   (Hugging Face: encode_special_tokens=True). A byte that the vocabulary has no token for vanishes, as in Hugging Face's
   (SmolLM2 lacks 21 bytes, rare ones). No BOS or EOS is added. Thread-safe on one tokenizer. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, struct ids *out, struct err *e);
/* The same, but special tokens in the text become their ids too: for templates that we wrote ourselves. */
int tokenizer_encode_special(const struct tokenizer *t, const char *text, size_t n, struct ids *out, struct err *e);
/* Appends the bytes of one id (special tokens as nothing unless `special`, ids without a token as nothing); may end inside a
   character. */
void tokenizer_bytes(const struct tokenizer *t, int32_t id, bool special, struct buf *out);
/* Text of ids: bytes joined; ill-formed UTF-8 becomes U+FFFD as in Hugging Face's decoder. Where encoding puts a space before
   a text (SentencePiece's kinds), one at its beginning is left out; tokenizer_bytes keeps it. */
void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool special, struct buf *out);
/* Streaming: feeds one id and appends only whole characters; flush appends U+FFFD for what is left. */
struct detok {
    char held[8];
    int n;
    bool begun; /* a byte came */
};
#define DETOK_INIT {"", 0, false}
void detok_feed(struct detok *d, const struct tokenizer *t, int32_t id, struct buf *out);
void detok_flush(struct detok *d, struct buf *out);

int32_t tokenizer_size(const struct tokenizer *t);                 /* ids are 0..size-1 */
int32_t tokenizer_id(const struct tokenizer *t, const char *token); /* by its exact text ("<|im_end|>"), -1 if none */
bool tokenizer_is_special(const struct tokenizer *t, int32_t id);
/* Token put before every text once by the tokenizer's own rules, or -1 (SmolLM2: none). */
int32_t tokenizer_bos(const struct tokenizer *t);
/* The end ids the tokenizer's own file names (GGUF: eos, eot); count; ids point into t. */
int tokenizer_eos(const struct tokenizer *t, const int32_t **ids);
const char *tokenizer_chat_template(const struct tokenizer *t); /* Jinja text or NULL */
struct pretok;
const struct pretok *tokenizer_pretok(const struct tokenizer *t); /* what cuts its texts into words; borrowed */
const char *tokenizer_hash(const struct tokenizer *t);          /* SHA-256 over vocabulary, merges, kinds: 64 hex digits */
#endif

/* BPE (Sennrich et al. 2016): a vocabulary of byte strings and ranked merges, over bytes as in GPT-2 or over characters as in
   SentencePiece, where a character without a token becomes the tokens of its bytes.
   Semantics of Hugging Face's BPE model: of all adjacent pairs the one of lowest rank merges first, the leftmost of equals.
   A word of n bytes costs O(n log n). Built once by one thread; afterwards shared by threads. */
#ifndef COADOR_BPE_H
#define COADOR_BPE_H
#include "common/io/buf.h"
#include "common/io/err.h"
#include "common/text/tokenizer.h"
#include <stdbool.h>

#define BPE_MAX_TOKENS (1 << 22)

struct bpe;
struct bpe *bpe_new(int32_t n_tokens, int32_t n_merges); /* sizes of its tables; give: bpe_free */
void bpe_free(struct bpe *b);

/* GPT-2's printable alphabet: the bytes that text stands for. False if a character is outside of it (out is then restored). */
bool bpe_unprintable(const char *text, size_t n, struct buf *out);

/* Adds the next token, id 0, 1, …; `word` tokens are found by their bytes (and must differ), others only have bytes. */
int bpe_add_token(struct bpe *b, const void *bytes, size_t n, bool word, struct err *e);
/* Adds the next merge after all tokens; both halves and the whole must be word tokens. Lower ranks merge first; merges may
   share one. */
int bpe_add_merge(struct bpe *b, const void *left, size_t nl, const void *right, size_t nr, int32_t rank, struct err *e);
/* After the last merge. unk: id for a byte that has no token, -1: such bytes vanish. ignore_merges: a word that is a token
   as a whole becomes that token whatever the merges say. */
void bpe_finish(struct bpe *b, int32_t unk, bool ignore_merges);
/* Instead of bpe_finish: words are UTF-8, their characters are merged; byte_token[c] stands for byte c of those that have none. */
void bpe_finish_chars(struct bpe *b, const int32_t byte_token[256]);

int32_t bpe_find(const struct bpe *b, const void *bytes, size_t n); /* a word token's id, or -1 */
const char *bpe_bytes(const struct bpe *b, int32_t id, size_t *n);  /* borrowed until the next bpe_add_token */
int32_t bpe_n_merges(const struct bpe *b);
void bpe_merge_at(const struct bpe *b, int32_t i, int32_t *left, int32_t *right); /* in the order of adding */

/* Memory of one encoding thread, kept from word to word. */
struct bpe_work {
    struct bpe_symbol *sym;
    uint64_t *heap;
    size_t cap, n_heap, heap_cap;
};
#define BPE_WORK_INIT {0, 0, 0, 0, 0}
void bpe_work_release(struct bpe_work *w);
/* Appends the ids of one word; n < 2^31. */
void bpe_encode(const struct bpe *b, const char *word, size_t n, struct bpe_work *w, struct ids *out);
#endif

/* Inside of mask*.c: tries of tokens (mask_vocab.c, mask_walk.c), masks kept by state (mask.c), how one is found (mask_state.c). */
#ifndef COADOR_MASK_IMPL_H
#define COADOR_MASK_IMPL_H
#include "common/text/grammar_impl.h"
#include "common/text/mask.h"

#define TOKEN_MAX 250 /* bytes */

/* Preorder: a node's subtree is the `size` nodes from it on, so a dead branch is one addition. */
struct trie_node {
    uint32_t size;
    int32_t token; /* -1: none ends here */
    uint8_t byte, depth; /* depth 0: one byte */
    uint16_t below;      /* 1 + index in trie.below of the bytes in its subtree, this one left out; 0 where that is small */
};
struct trie {
    struct trie_node *v;
    struct byteset *below; /* each once */
    uint32_t n_below;
    uint32_t n, root[257]; /* root[b]: where the subtree of first byte b begins; equal to root[b + 1]: none */
};

struct string_tokens { /* of one way to write characters inside a JSON string */
    uint32_t *inside;  /* bits: tokens that may stand there whole */
    int32_t n_inside;
    int32_t *by_length;     /* (n_inside) the same by falling number of characters, the last one perhaps begun only */
    uint8_t *length;        /* (n_inside) that number */
    struct trie leaving; /* tokens that come to a quote */
};

struct vocab {
    int32_t n;
    char *bytes;
    uint32_t *at; /* (n + 1) token i is bytes[at[i] .. at[i + 1]) */
    int32_t *twin; /* (n) the next token of the same bytes, -1 for none */
    uint64_t usable[4];
    uint64_t pairs[256][4]; /* bit b of pairs[a]: some token has byte b right behind byte a */
    struct trie all;
    struct string_tokens free, plain;
};

void trie_find_below(struct trie *t);
void trie_release(struct trie *t);
/* Every token of the trie that the grammar takes from `state`: found(arg, token, state behind it). */
typedef void trie_fn(void *arg, int32_t token, uint32_t state);
void trie_walk(const struct trie *t, struct grammar *g, uint32_t state, trie_fn *found, void *arg);
/* Length of each token that s[0..n) begins with: calls found(arg, length). */
void trie_prefixes(const struct trie *t, const char *s, size_t n, void (*found)(void *, size_t), void *arg);

/* ---- mask.c ---- */
#define FEW 64 /* tokens: kept as a list, not as bits */

struct entry {
    uint32_t *bits; /* or NULL, and the list */
    int32_t list[FEW];
    int32_t n;
    uint32_t farthest; /* no token leads farther than this from the end, in bytes */
    uint32_t farthest_tokens; /* the same in tokens, 0: not known yet */
    struct narrow *narrow; /* masks for few tokens left, newest first */
    bool near;         /* of term_near: late is known, for this tail */
    uint32_t tail;
    struct late {
        int32_t token;
        uint32_t bytes; /* of the shortest answer that begins with it, without the tail */
    } *late;            /* those with more than FAR */
    size_t n_late, cap_late;
};

struct narrow {
    struct narrow *next;
    uint32_t left;
    int32_t n;
    bool narrowed;
    uint32_t bits[];
};

struct masker {
    struct grammar *g;
    const struct vocab *v;
    size_t words;
    struct entry **entries; /* by state */
    uint32_t *min_tokens;   /* by state, 0: not known (of an end: never asked) */
    size_t n_states, n_min;
    size_t kept;
    struct entry *now; /* being filled */
    uint32_t *scratch; /* (words) */
    term *alternatives; /* of the state being filled */
    size_t n_alternatives, cap_alternatives;
    uint32_t left;     /* tokens, by mask_fill_within */
    uint32_t *out;
    int32_t n_out;
    bool narrowed;
    uint32_t far; /* tokens from the end, of what was met */
};

void entry_free(struct entry *e);
/* Keeps e, which it takes, for the state. */
struct entry *entry_keep(struct masker *m, uint32_t state, struct entry *e);
void mask_set_bits(const struct masker *m, uint32_t *bits, const int32_t *list, int32_t n); /* those of the list alone */
uint32_t mask_step(struct masker *m, uint32_t state, int32_t token); /* mask_accept within the bounds of a mask */
/* ---- mask_state.c ---- */
struct entry *entry_fill(struct masker *m, uint32_t state); /* of no use where grammar_beyond */
#endif

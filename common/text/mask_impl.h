/* Inside of mask*.c. */
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
#endif

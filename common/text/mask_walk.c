/* Walks of a trie of tokens with a grammar; see mask_impl.h. Most of a vocabulary is letters, and most states inside a string
   stay as they are behind a letter: where every byte of a subtree leads from a state to itself, its tokens are taken without
   a look at the nodes' transitions. With 49,152 tokens (100,297 nodes) a walk behind a pattern takes 0.8 ms,
   without this 1.6. */
#include "common/text/mask_impl.h"
#include <stdlib.h>
#include <string.h>

#define LARGE 16  /* nodes: subtrees whose bytes are kept */
#define LOOPS 64  /* states whose loops a walk remembers */

/* ---- bytes below ---- */
struct sets { /* hash table over trie.below */
    uint32_t *slots;
    size_t n_slots, cap;
};

static uint16_t intern_set(struct trie *t, struct sets *h, const struct byteset *s) {
    uint64_t mixed = (s->w[0] ^ s->w[1] * 3 ^ s->w[2] * 5 ^ s->w[3] * 7) * 0x9e3779b97f4a7c15u;
    size_t at = mixed >> 40 & (h->n_slots - 1);
    for (; h->slots[at]; at = (at + 1) & (h->n_slots - 1))
        if (!memcmp(&t->below[h->slots[at] - 1], s, sizeof *s)) return (uint16_t)h->slots[at];
    if (t->n_below == UINT16_MAX) return 0;
    GROW(t->below, t->n_below, h->cap);
    t->below[t->n_below++] = *s;
    h->slots[at] = t->n_below;
    return (uint16_t)h->slots[at];
}

void trie_find_below(struct trie *t) {
    struct sets h = {.n_slots = (size_t)1 << 17};
    h.slots = xcalloc(h.n_slots, sizeof *h.slots);
    struct byteset *sets = xcalloc((size_t)TOKEN_MAX + 2, sizeof *sets); /* by depth: of the subtrees gone by at that depth */
    for (uint32_t i = t->n; i-- > 0;) { /* children before their parents */
        struct trie_node *n = &t->v[i];
        struct byteset *own = &sets[n->depth + 1], *up = &sets[n->depth];
        if (n->size >= LARGE) n->below = intern_set(t, &h, own);
        byteset_add(own, n->byte, n->byte);
        for (int k = 0; k < 4; k++) up->w[k] |= own->w[k];
        memset(own, 0, sizeof *own);
    }
    free(sets);
    free(h.slots);
}

void trie_release(struct trie *t) {
    free(t->v);
    free(t->below);
    *t = (struct trie){0};
}

/* ---- walks ---- */
struct loops {
    uint32_t state[LOOPS]; /* 0: none */
    struct byteset bytes[LOOPS];
};

/* Bytes that lead from the state to itself. */
static const struct byteset *loops_of(struct loops *l, struct terms *x, uint32_t state) {
    uint32_t at = state % LOOPS;
    if (l->state[at] == state) return &l->bytes[at];
    struct byteset *s = &l->bytes[at];
    l->state[at] = state;
    *s = (struct byteset){{0}};
    for (int b = 0; b < 256; b++)
        if (term_step(x, state, x->class_of[b]) == state) byteset_add(s, (unsigned)b, (unsigned)b);
    return s;
}

static bool within(const struct byteset *a, const struct byteset *b) {
    uint64_t out = 0;
    for (int i = 0; i < 4; i++) out |= a->w[i] & ~b->w[i];
    return !out;
}

void trie_walk(const struct trie *t, struct grammar *g, uint32_t state, trie_fn *found, void *arg) {
    struct terms *x = &g->x;
    struct loops loops;
    uint32_t states[TOKEN_MAX + 1];
    states[0] = state;
    memset(loops.state, 0, sizeof loops.state);
    for (uint32_t i = 0; i < t->n;) {
        const struct trie_node *n = &t->v[i];
        uint32_t to = term_step(x, states[n->depth], x->class_of[n->byte]);
        if (to == TERM_EMPTY) {
            if (x->overflow) return;
            i += n->size;
            continue;
        }
        states[n->depth + 1] = to;
        if (n->token >= 0) found(arg, n->token, to);
        i++;
        if (!n->below || term_step(x, to, x->class_of[t->v[i].byte]) != to || !within(&t->below[n->below - 1], loops_of(&loops, x, to))) continue;
        for (uint32_t end = i + n->size - 1; i < end; i++)
            if (t->v[i].token >= 0) found(arg, t->v[i].token, to);
    }
}

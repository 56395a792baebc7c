/* Masks by state, kept, and the way to the end; see mask.h. */
#include "common/text/mask_impl.h"
#include <stdlib.h>
#include <string.h>

#define KEPT_BYTES ((size_t)64 << 20) /* of bits; beyond that all masks are forgotten */

struct masker *masker_new(struct grammar *g, const struct vocab *v) {
    struct masker *m = xcalloc(1, sizeof *m);
    *m = (struct masker){.g = g, .v = v, .words = ((size_t)v->n + 31) / 32};
    m->scratch = xcalloc(m->words + 1, sizeof *m->scratch);
    return m;
}

void entry_free(struct entry *e) {
    if (!e) return;
    for (struct narrow *n = e->narrow, *next; n; n = next) {
        next = n->next;
        free(n);
    }
    free(e->bits);
    free(e->late);
    free(e);
}

static void forget(struct masker *m) {
    for (size_t i = 0; i < m->n_states; i++) {
        entry_free(m->entries[i]);
        m->entries[i] = NULL;
    }
    m->kept = 0;
}

void masker_free(struct masker *m) {
    if (!m) return;
    forget(m);
    free(m->scratch);
    free(m->alternatives);
    free(m->entries);
    free(m->min_tokens);
    free(m);
}

/* ---- masks by state ---- */
void mask_set_bits(const struct masker *m, uint32_t *bits, const int32_t *list, int32_t n) {
    memset(bits, 0, m->words * sizeof *bits);
    for (int32_t i = 0; i < n; i++) bits[list[i] >> 5] |= 1u << (list[i] & 31);
}

static int32_t count_bits(const struct masker *m, const uint32_t *bits) {
    int32_t n = 0;
    for (size_t i = 0; i < m->words; i++) n += __builtin_popcount(bits[i]);
    return n;
}

struct entry *entry_keep(struct masker *m, uint32_t state, struct entry *e) {
    if (e->bits) e->n = count_bits(m, e->bits);
    m->kept += sizeof *e + (e->bits ? m->words * sizeof *e->bits : 0) + e->cap_late * sizeof *e->late;
    if (state >= m->n_states) {
        size_t n = m->g->x.n + m->g->x.n / 2;
        m->entries = xrealloc(m->entries, n, sizeof *m->entries);
        memset(m->entries + m->n_states, 0, (n - m->n_states) * sizeof *m->entries);
        m->n_states = n;
    }
    entry_free(m->entries[state]);
    return m->entries[state] = e;
}

/* NULL: beyond bounds. */
static struct entry *entry(struct masker *m, uint32_t state) {
    if (state < m->n_states && m->entries[state]) return m->entries[state];
    if (m->kept > KEPT_BYTES) forget(m);
    grammar_try(m->g);
    struct entry *e = entry_fill(m, state);
    if (!grammar_beyond(m->g)) return entry_keep(m, state, e);
    entry_free(e);
    return NULL;
}

int32_t mask_fill(struct masker *m, uint32_t state, uint32_t *bits) {
    const struct entry *e = entry(m, state);
    if (!e) return -1;
    if (e->bits) memcpy(bits, e->bits, m->words * sizeof *bits);
    else mask_set_bits(m, bits, e->list, e->n);
    return e->n;
}

uint32_t mask_step(struct masker *m, uint32_t state, int32_t token) {
    if (token < 0 || token >= m->v->n || m->v->at[token] == m->v->at[token + 1]) return GRAMMAR_DEAD;
    for (uint32_t i = m->v->at[token]; i < m->v->at[token + 1] && state != GRAMMAR_DEAD; i++)
        state = grammar_byte(m->g, state, (unsigned char)m->v->bytes[i]);
    return state;
}

uint32_t mask_accept(struct masker *m, uint32_t state, int32_t token) {
    grammar_try(m->g);
    return mask_step(m, state, token);
}

/* ---- the way to the end ---- */
struct cut {
    uint32_t *least; /* (bytes + 1) tokens from a byte to the end */
    size_t at;
};

static void better(void *arg, size_t len) {
    struct cut *c = arg;
    if (c->least[c->at + len] + 1 < c->least[c->at]) c->least[c->at] = c->least[c->at + len] + 1;
}

static uint32_t count_tokens(struct masker *m, uint32_t state) {
    struct buf text = BUF_INIT;
    grammar_close(m->g, state, &text);
    struct cut c = {xcalloc(text.n + 1, sizeof *c.least), 0};
    for (size_t i = text.n; i-- > 0;) {
        c.at = i;
        c.least[i] = TERM_INF - 1;
        trie_prefixes(&m->v->all, text.p + i, text.n - i, better, &c);
    }
    uint32_t n = c.least[0];
    free(c.least);
    buf_release(&text);
    return n;
}

uint32_t mask_min_tokens(struct masker *m, uint32_t state) {
    if (grammar_done(m->g, state)) return 0;
    if (state < m->n_min && m->min_tokens[state]) return m->min_tokens[state];
    if (state == GRAMMAR_DEAD || term_min(&m->g->x, state) > (uint32_t)1 << 30) return TERM_INF;
    uint32_t n = count_tokens(m, state);
    if (grammar_beyond(m->g)) return TERM_INF;
    if (state >= m->n_min) {
        size_t to = m->g->x.n + m->g->x.n / 2;
        m->min_tokens = xrealloc(m->min_tokens, to, sizeof *m->min_tokens);
        memset(m->min_tokens + m->n_min, 0, (to - m->n_min) * sizeof *m->min_tokens);
        m->n_min = to;
    }
    return m->min_tokens[state] = n;
}

/* ---- few tokens left ---- */
static void add_within(void *arg, int32_t token, uint32_t state) {
    struct masker *m = arg;
    uint32_t bytes = term_min(&m->g->x, state); /* never fewer than the tokens */
    uint32_t tokens = bytes > m->far || bytes >= m->left ? mask_min_tokens(m, state) : bytes;
    if (tokens > m->far) m->far = tokens;
    if (tokens >= m->left) {
        m->narrowed = true;
        return;
    }
    for (; token >= 0; token = m->v->twin[token], m->n_out++) m->out[token >> 5] |= 1u << (token & 31);
}

/* Kept by state and number: answers that share a text's end share these. NULL: beyond bounds. */
static const struct narrow *narrow(struct masker *m, struct entry *e, uint32_t state, uint32_t left) {
    for (struct narrow *n = e->narrow; n; n = n->next)
        if (n->left == left) return n;
    size_t bytes = sizeof(struct narrow) + m->words * sizeof(uint32_t);
    struct narrow *n = xcalloc(1, bytes);
    m->left = left;
    m->out = n->bits;
    m->n_out = 0;
    m->narrowed = false;
    m->far = 0;
    grammar_try(m->g);
    trie_walk(&m->v->all, m->g, state, add_within, m);
    if (grammar_beyond(m->g)) {
        free(n);
        return NULL;
    }
    n->next = e->narrow;
    n->left = left;
    n->n = m->n_out;
    n->narrowed = m->narrowed;
    e->farthest_tokens = m->far;
    m->kept += bytes;
    return e->narrow = n;
}

int32_t mask_fill_within(struct masker *m, uint32_t state, uint32_t tokens_left, uint32_t *bits, bool *narrowed) {
    struct entry *e = entry(m, state);
    *narrowed = false;
    if (!e) return -1;
    if (e->farthest < tokens_left || (e->farthest_tokens && e->farthest_tokens < tokens_left)) return mask_fill(m, state, bits);
    const struct narrow *n = narrow(m, e, state, tokens_left);
    if (!n) return -1;
    memcpy(bits, n->bits, m->words * sizeof *bits);
    *narrowed = n->narrowed;
    return n->n;
}

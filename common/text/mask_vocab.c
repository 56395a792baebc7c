/* Vocabularies for masks: tries, and what stays inside a JSON string; see mask.h and mask_impl.h. */
#include "common/text/mask_impl.h"
#include <stdlib.h>
#include <string.h>

/* ---- tries ---- */
static int by_bytes(const void *a, const void *b, void *arg) {
    const struct vocab *v = arg;
    int32_t p = *(const int32_t *)a, q = *(const int32_t *)b;
    size_t m = v->at[p + 1] - v->at[p], n = v->at[q + 1] - v->at[q];
    int c = memcmp(v->bytes + v->at[p], v->bytes + v->at[q], m < n ? m : n);
    return c ? c : m != n ? (m > n) - (m < n) : (p > q) - (p < q);
}

static size_t shared(const struct vocab *v, int32_t p, int32_t q) {
    size_t m = v->at[p + 1] - v->at[p], n = v->at[q + 1] - v->at[q], i = 0;
    while (i < m && i < n && v->bytes[v->at[p] + i] == v->bytes[v->at[q] + i]) i++;
    return i;
}

/* ids: n tokens sorted by bytes, twins left out. */
static void build(struct trie *t, const struct vocab *v, const int32_t *ids, int32_t n) {
    uint32_t open[TOKEN_MAX];
    size_t cap = 0, depth = 0;
    *t = (struct trie){0};
    for (int32_t i = 0; i < n; i++) {
        size_t len = v->at[ids[i] + 1] - v->at[ids[i]], keep = i ? shared(v, ids[i - 1], ids[i]) : 0;
        while (depth > keep) depth--, t->v[open[depth]].size = t->n - open[depth];
        for (; depth < len; depth++) {
            uint8_t byte = (uint8_t)v->bytes[v->at[ids[i]] + depth];
            GROW(t->v, t->n, cap);
            if (!depth) t->root[byte + 1] = 1;
            open[depth] = t->n;
            t->v[t->n++] = (struct trie_node){1, -1, byte, (uint8_t)depth, 0};
        }
        t->v[t->n - 1].token = ids[i];
    }
    while (depth > 0) depth--, t->v[open[depth]].size = t->n - open[depth];
    uint32_t at = 0;
    for (int b = 0; b < 256; b++) {
        bool any = t->root[b + 1];
        t->root[b] = at;
        if (any) at += t->v[at].size;
    }
    t->root[256] = at;
    trie_find_below(t);
}

void trie_prefixes(const struct trie *t, const char *s, size_t n, void (*found)(void *, size_t), void *arg) {
    if (!n) return;
    uint32_t i = t->root[(uint8_t)*s], end = t->root[(uint8_t)*s + 1];
    for (size_t depth = 0; i < end && depth < n;) {
        const struct trie_node *k = &t->v[i];
        if (k->byte != (uint8_t)s[depth]) {
            i += k->size;
            continue;
        }
        end = i + k->size;
        i++;
        depth++;
        if (k->token >= 0) found(arg, depth);
    }
}

/* ---- inside strings ---- */
struct sorting {
    struct vocab *v;
    struct grammar *g;
    struct string_tokens *to;
};

/* Characters that are still allowed in a state of REP(character, 0, TOKEN_MAX). */
static uint32_t characters_left(const struct terms *x, uint32_t state) {
    const struct term_node *t = &x->v[state];
    while (t->kind == T_CAT) t = &x->v[t->b];
    return t->kind == T_REP ? t->hi : 0;
}

static void stays(void *arg, int32_t token, uint32_t state) {
    struct sorting *s = arg;
    struct string_tokens *to = s->to;
    uint8_t length = (uint8_t)(TOKEN_MAX - characters_left(&s->g->x, state));
    for (; token >= 0; token = s->v->twin[token], to->n_inside++) {
        to->inside[token >> 5] |= 1u << (token & 31);
        to->by_length[to->n_inside] = token;
        to->length[token] = length;
    }
}

static int longer_first(const void *a, const void *b, void *arg) {
    const uint8_t *length = arg;
    int32_t p = *(const int32_t *)a, q = *(const int32_t *)b;
    return length[p] != length[q] ? (length[p] < length[q]) - (length[p] > length[q]) : (p > q) - (p < q);
}

/* From lengths by token to lengths by place in by_length. */
static void order_by_length(struct vocab *v, struct string_tokens *to) {
    uint8_t *by_place = xcalloc((size_t)v->n + 1, 1);
    qsort_r(to->by_length, (size_t)to->n_inside, sizeof *to->by_length, longer_first, to->length);
    for (int32_t i = 0; i < to->n_inside; i++) by_place[i] = to->length[to->by_length[i]];
    free(to->length);
    to->length = by_place;
}

/* Whether the text is inside characters up to a quote: such tokens may end a string. */
static bool leaves(const struct vocab *v, struct grammar *g, uint32_t state, int32_t token) {
    for (uint32_t i = v->at[token]; i < v->at[token + 1]; i++) {
        uint32_t to = grammar_byte(g, state, (unsigned char)v->bytes[i]);
        if (to == GRAMMAR_DEAD) return v->bytes[i] == '"' && grammar_done(g, state);
        state = to;
    }
    return false;
}

static void sort_tokens(struct vocab *v, struct string_tokens *to, const int32_t *ids, int32_t n, bool plain) {
    struct grammar_options o = {.prefix = "", .bytes = v->usable};
    struct grammar *g = grammar_new(&o);
    lex_init(g);
    g = grammar_finish(g, term_rep(&g->x, plain ? g->char_plain : g->char_free, 0, TOKEN_MAX), &o, NULL);
    to->inside = xcalloc((size_t)v->n / 32 + 1, sizeof *to->inside);
    to->by_length = xcalloc((size_t)v->n + 1, sizeof *to->by_length);
    to->length = xcalloc((size_t)v->n + 1, 1);
    if (!g) return; /* a vocabulary that cannot write a single character */
    struct sorting s = {v, g, to};
    trie_walk(&v->all, g, grammar_start(g), stays, &s);
    order_by_length(v, to);
    int32_t *leaving = xcalloc((size_t)n + 1, sizeof *leaving), many = 0;
    for (int32_t i = 0; i < n; i++)
        if (!(to->inside[ids[i] >> 5] >> (ids[i] & 31) & 1) && leaves(v, g, grammar_start(g), ids[i])) leaving[many++] = ids[i];
    build(&to->leaving, v, leaving, many);
    free(leaving);
    grammar_free(g);
}

/* ---- making ---- */
static void index_tokens(struct vocab *v) {
    int32_t *ids = xcalloc((size_t)v->n + 1, sizeof *ids), n = 0, kept = 0;
    v->twin = xcalloc((size_t)v->n + 1, sizeof *v->twin);
    for (int32_t i = 0; i < v->n; i++) {
        size_t len = v->at[i + 1] - v->at[i];
        v->twin[i] = -1;
        if (len && len <= TOKEN_MAX) ids[n++] = i;
        uint8_t b = len == 1 ? (uint8_t)v->bytes[v->at[i]] : 0;
        if (len == 1) v->usable[b >> 6] |= (uint64_t)1 << (b & 63);
        for (size_t k = 1; k < len; k++) {
            uint8_t left = (uint8_t)v->bytes[v->at[i] + k - 1], right = (uint8_t)v->bytes[v->at[i] + k];
            v->pairs[left][right >> 6] |= (uint64_t)1 << (right & 63);
        }
    }
    qsort_r(ids, (size_t)n, sizeof *ids, by_bytes, v);
    for (int32_t i = 0; i < n; i++) {
        size_t len = v->at[ids[i] + 1] - v->at[ids[i]];
        if (kept && shared(v, ids[kept - 1], ids[i]) == len && v->at[ids[kept - 1] + 1] - v->at[ids[kept - 1]] == len) {
            v->twin[ids[i]] = v->twin[ids[kept - 1]];
            v->twin[ids[kept - 1]] = ids[i];
        } else {
            ids[kept++] = ids[i];
        }
    }
    build(&v->all, v, ids, kept);
    sort_tokens(v, &v->free, ids, kept, false);
    sort_tokens(v, &v->plain, ids, kept, true);
    free(ids);
}

struct vocab *vocab_new(const struct tokenizer *t) {
    struct vocab *v = xcalloc(1, sizeof *v);
    struct buf b = BUF_INIT;
    v->n = tokenizer_size(t);
    v->at = xcalloc((size_t)v->n + 1, sizeof *v->at);
    for (int32_t i = 0; i < v->n; i++) {
        tokenizer_bytes(t, i, false, &b);
        if (b.n > UINT32_MAX) BUG("a vocabulary of %zu bytes", b.n);
        v->at[i + 1] = (uint32_t)b.n;
    }
    v->bytes = buf_detach(&b);
    index_tokens(v);
    return v;
}

struct vocab *vocab_of_texts(const char *const *text, const size_t *len, int32_t n) {
    struct vocab *v = xcalloc(1, sizeof *v);
    struct buf b = BUF_INIT;
    v->n = n;
    v->at = xcalloc((size_t)n + 1, sizeof *v->at);
    for (int32_t i = 0; i < n; i++) {
        buf_add(&b, text[i], len[i]);
        v->at[i + 1] = (uint32_t)b.n;
    }
    v->bytes = buf_detach(&b);
    index_tokens(v);
    return v;
}

static void free_strings(struct string_tokens *s) {
    free(s->inside);
    free(s->by_length);
    free(s->length);
    trie_release(&s->leaving);
}

void vocab_free(struct vocab *v) {
    if (!v) return;
    free_strings(&v->free);
    free_strings(&v->plain);
    trie_release(&v->all);
    free(v->twin);
    free(v->at);
    free(v->bytes);
    free(v);
}

int32_t vocab_size(const struct vocab *v) { return v->n; }
const uint64_t *vocab_bytes(const struct vocab *v) { return v->usable; }
bool vocab_joins(const struct vocab *v, unsigned char a, unsigned char b) { return v->pairs[a][b >> 6] >> (b & 63) & 1; }

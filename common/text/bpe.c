/* BPE: see bpe.h. */
#include "common/text/bpe.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct span {
    size_t at;
    uint32_t n;
};
struct word_slot {
    uint32_t tag; /* other half of the hash */
    int32_t id;   /* -1: empty */
};
struct merge_slot {
    uint64_t pair; /* left << 32 | right */
    uint32_t rank; /* NONE: empty */
    int32_t whole;
};
struct merge {
    int32_t left, right;
};
/* Whether a token's own bytes encode to it alone, found out at first use. Threads may find it out twice; they agree. */
enum { UNKNOWN, ALONE, SPLITS };

struct bpe {
    struct buf bytes;
    struct span *token;
    int32_t n, room;
    struct word_slot *words;
    size_t word_mask;
    struct merge_slot *pairs;
    size_t pair_mask;
    struct merge *merges;
    int32_t n_merges, merge_room;
    int32_t byte_id[256]; /* -1: the byte has no token and vanishes */
    bool ignore_merges, chars;
    _Atomic unsigned char *alone;
};

struct bpe_symbol {
    int32_t id;
    uint32_t prev, next; /* index, NONE at the ends */
    uint32_t rank;       /* of the merge with its right neighbour; NONE: there is none, or the symbol is gone */
    int32_t whole;       /* what it makes */
};

/* Power of two with at most half of the slots taken. */
static size_t slots_for(size_t n) {
    size_t s = 16;
    while (s < 2 * n) s *= 2;
    return s;
}

struct bpe *bpe_new(int32_t n_tokens, int32_t n_merges) {
    struct bpe *b = xcalloc(1, sizeof *b);
    b->room = n_tokens;
    b->merge_room = n_merges;
    b->token = xcalloc((size_t)n_tokens, sizeof *b->token);
    b->alone = xcalloc((size_t)n_tokens, sizeof *b->alone);
    b->merges = xcalloc((size_t)n_merges, sizeof *b->merges);
    size_t words = slots_for((size_t)n_tokens), pairs = slots_for((size_t)n_merges);
    b->words = xcalloc(words, sizeof *b->words);
    b->pairs = xcalloc(pairs, sizeof *b->pairs);
    b->word_mask = words - 1;
    b->pair_mask = pairs - 1;
    for (size_t i = 0; i < words; i++) b->words[i].id = -1;
    for (size_t i = 0; i < pairs; i++) b->pairs[i].rank = NONE;
    return b;
}

void bpe_free(struct bpe *b) {
    if (!b) return;
    buf_release(&b->bytes);
    free(b->token);
    free(b->alone);
    free(b->merges);
    free(b->words);
    free(b->pairs);
    free(b);
}

/* ---- GPT-2's alphabet: printable Latin-1 stands for itself, the other 68 bytes for U+0100 onwards in order ---- */

static int byte_of(unsigned cp) {
    if ((cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 172) || (cp >= 174 && cp <= 255)) return (int)cp;
    if (cp < 256 || cp > 323) return -1;
    unsigned k = cp - 256;
    return (int)(k < 33 ? k : k < 67 ? 127 + k - 33 : 173);
}

bool bpe_unprintable(const char *text, size_t n, struct buf *out) {
    size_t before = out->n;
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)text[i];
        bool two = c >= 0xc2 && c <= 0xc5 && i + 1 < n; /* U+0080 to U+017F */
        unsigned cp = c < 0x80 ? c : two ? (c & 31u) << 6 | ((unsigned char)text[i + 1] & 63u) : 0xffff;
        int byte = byte_of(cp);
        if (byte < 0) {
            out->n = before;
            return false;
        }
        buf_addc(out, (char)byte);
        i += 1 + two;
    }
    return true;
}

/* ---- vocabulary ---- */

static uint64_t mix(uint64_t h) {
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t hash_bytes(const void *p, size_t n) {
    const unsigned char *s = p;
    uint64_t h = n, w;
    for (; n >= 8; s += 8, n -= 8) {
        memcpy(&w, s, 8);
        h = mix(h ^ w);
    }
    w = 0;
    for (size_t i = 0; i < n; i++) w = w << 8 | s[i];
    return mix(mix(h ^ w));
}

/* The slot of the bytes, or the empty one where they would go. */
static struct word_slot *word_slot(const struct bpe *b, uint64_t h, const void *bytes, size_t n) {
    for (size_t i = h & b->word_mask;; i = (i + 1) & b->word_mask) {
        struct word_slot *s = &b->words[i];
        if (s->id < 0) return s;
        const struct span *t = &b->token[s->id];
        if (s->tag == (uint32_t)(h >> 32) && t->n == n && !memcmp(b->bytes.p + t->at, bytes, n)) return s;
    }
}

int32_t bpe_find(const struct bpe *b, const void *bytes, size_t n) { return n ? word_slot(b, hash_bytes(bytes, n), bytes, n)->id : -1; }

int bpe_add_token(struct bpe *b, const void *bytes, size_t n, bool word, struct err *e) {
    if (b->n == b->room) BUG("more tokens than announced");
    if (n > INT32_MAX) return err_set(e, RC_INPUT, "token %d is %zu bytes long", b->n, n);
    b->token[b->n] = (struct span){b->bytes.n, (uint32_t)n};
    buf_add(&b->bytes, bytes, n);
    if (word && n) {
        uint64_t h = hash_bytes(bytes, n);
        struct word_slot *s = word_slot(b, h, bytes, n);
        if (s->id >= 0) return err_set(e, RC_INPUT, "tokens %d and %d are the same, expected distinct ones", s->id, b->n);
        *s = (struct word_slot){(uint32_t)(h >> 32), b->n};
    }
    b->n++;
    return 0;
}

const char *bpe_bytes(const struct bpe *b, int32_t id, size_t *n) {
    *n = b->token[id].n;
    return b->bytes.p + b->token[id].at;
}

/* ---- merges ---- */

static struct merge_slot *merge_slot(const struct bpe *b, uint64_t pair) {
    size_t i = mix(mix(pair)) & b->pair_mask;
    while (b->pairs[i].rank != NONE && b->pairs[i].pair != pair) i = (i + 1) & b->pair_mask;
    return &b->pairs[i];
}

static uint64_t pair_of(int32_t left, int32_t right) { return (uint64_t)(uint32_t)left << 32 | (uint32_t)right; }

int bpe_add_merge(struct bpe *b, const void *left, size_t nl, const void *right, size_t nr, int32_t rank, struct err *e) {
    if (b->n_merges == b->merge_room) BUG("more merges than announced");
    int32_t l = bpe_find(b, left, nl), r = bpe_find(b, right, nr), whole = -1;
    if (l >= 0 && r >= 0) {
        struct buf joined = BUF_INIT;
        buf_add(&joined, left, nl);
        buf_add(&joined, right, nr);
        whole = bpe_find(b, joined.p, joined.n);
        buf_release(&joined);
    }
    if (whole < 0)
        return err_set(e, RC_INPUT, "merge %d (%.*s + %.*s): %s is not in the vocabulary", b->n_merges, (int)(nl > 40 ? 40 : nl),
                       (const char *)left, (int)(nr > 40 ? 40 : nr), (const char *)right,
                       l < 0 ? "its left half" : r < 0 ? "its right half" : "what it makes");
    /* A pair listed twice has its last rank, as in Hugging Face's table. */
    *merge_slot(b, pair_of(l, r)) = (struct merge_slot){pair_of(l, r), (uint32_t)rank, whole};
    b->merges[b->n_merges++] = (struct merge){l, r};
    return 0;
}

int32_t bpe_n_merges(const struct bpe *b) { return b->n_merges; }

void bpe_merge_at(const struct bpe *b, int32_t i, int32_t *left, int32_t *right) {
    *left = b->merges[i].left;
    *right = b->merges[i].right;
}

void bpe_finish(struct bpe *b, int32_t unk, bool ignore_merges) {
    b->ignore_merges = ignore_merges;
    for (int i = 0; i < 256; i++) {
        unsigned char byte = (unsigned char)i;
        b->byte_id[i] = bpe_find(b, &byte, 1);
        if (b->byte_id[i] < 0) b->byte_id[i] = unk;
    }
}

void bpe_finish_chars(struct bpe *b, const int32_t byte_token[256]) {
    b->chars = true;
    memcpy(b->byte_id, byte_token, sizeof b->byte_id);
}

/* ---- encoding ---- */

void bpe_work_release(struct bpe_work *w) {
    free(w->sym);
    free(w->heap);
    *w = (struct bpe_work)BPE_WORK_INIT;
}

/* The heap holds rank << 32 | position, smallest first. An entry is stale when its position has another rank by now. */
static void sift_down(uint64_t *h, size_t n, size_t i) {
    uint64_t x = h[i];
    for (size_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && h[c + 1] < h[c]) c++;
        if (x <= h[c]) break;
        h[i] = h[c];
    }
    h[i] = x;
}

static void push(struct bpe_work *w, uint64_t x) {
    GROW(w->heap, w->n_heap, w->heap_cap);
    size_t i = w->n_heap++;
    for (size_t up; i && w->heap[up = (i - 1) / 2] > x; i = up) w->heap[i] = w->heap[up];
    w->heap[i] = x;
}

static uint64_t pop(struct bpe_work *w) {
    uint64_t top = w->heap[0];
    w->heap[0] = w->heap[--w->n_heap];
    sift_down(w->heap, w->n_heap, 0);
    return top;
}

static void rerank(const struct bpe *b, struct bpe_work *w, uint32_t i) {
    struct bpe_symbol *s = &w->sym[i];
    s->rank = NONE;
    if (s->next == NONE) return;
    const struct merge_slot *m = merge_slot(b, pair_of(s->id, w->sym[s->next].id));
    s->rank = m->rank;
    s->whole = m->whole;
    if (s->rank != NONE) push(w, (uint64_t)s->rank << 32 | i);
}

static size_t char_length(unsigned char c) { return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4; }

/* The word's bytes, or its characters and the bytes of those that have no token, as linked symbols: their number. */
static uint32_t symbols_of(const struct bpe *b, const char *word, size_t n, struct bpe_work *w) {
    uint32_t k = 0;
    if (n > w->cap) {
        w->cap = n < 64 ? 64 : n;
        w->sym = xrealloc(w->sym, w->cap, sizeof *w->sym);
    }
    for (size_t i = 0, len; i < n; i += len) {
        len = b->chars ? char_length((unsigned char)word[i]) : 1;
        int32_t id = b->chars ? bpe_find(b, word + i, len) : -1;
        for (size_t j = 0; j < (id >= 0 ? 1 : len); j++) {
            int32_t x = id >= 0 ? id : b->byte_id[(unsigned char)word[i + j]];
            if (x < 0) continue;
            w->sym[k] = (struct bpe_symbol){x, k ? k - 1 : NONE, k + 1, NONE, -1};
            k++;
        }
    }
    if (k) w->sym[k - 1].next = NONE;
    return k;
}

static void merge_symbols(const struct bpe *b, struct bpe_work *w, uint32_t n) {
    w->n_heap = 0;
    for (uint32_t i = 0; i + 1 < n; i++) rerank(b, w, i);
    while (w->n_heap) {
        uint64_t top = pop(w);
        uint32_t i = (uint32_t)top, rank = (uint32_t)(top >> 32);
        struct bpe_symbol *s = &w->sym[i];
        if (s->rank != rank) continue;
        struct bpe_symbol *gone = &w->sym[s->next];
        s->id = s->whole;
        s->next = gone->next;
        gone->rank = NONE;
        if (s->next != NONE) w->sym[s->next].prev = i;
        rerank(b, w, i);
        if (s->prev != NONE) rerank(b, w, s->prev);
    }
}

void bpe_encode(const struct bpe *b, const char *word, size_t n, struct bpe_work *w, struct ids *out) {
    int32_t whole = bpe_find(b, word, n);
    int known = whole < 0 ? SPLITS : b->ignore_merges ? ALONE : atomic_load_explicit(&b->alone[whole], memory_order_relaxed);
    if (known == ALONE) {
        ids_add(out, whole);
        return;
    }
    uint32_t k = symbols_of(b, word, n, w);
    merge_symbols(b, w, k);
    size_t before = out->n;
    for (uint32_t i = k ? 0 : NONE; i != NONE; i = w->sym[i].next) ids_add(out, w->sym[i].id);
    if (known == UNKNOWN) {
        bool alone = out->n == before + 1 && out->v[before] == whole;
        atomic_store_explicit(&b->alone[whole], alone ? ALONE : SPLITS, memory_order_relaxed);
    }
}
